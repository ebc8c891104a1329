"""A run hears of its own events only, and of each gap."""

import os

from harness.linux.tracefs import READ_LIMIT, Instance, overrun


class Buffer(Instance):
    """An instance whose ring buffer is a file in memory."""

    def __init__(self, text: bytes) -> None:
        self._fd = os.memfd_create("buffer")
        os.write(self._fd, text)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.written: list[tuple[str, str]] = []

    def write(self, name: str, text: str) -> None:
        self.written.append((name, text))

    def close(self) -> None:
        os.close(self._fd)


def test_what_is_too_much_is_told() -> None:
    """Text beyond what is read at once is a gap for who goes by what was read."""
    buffer = Buffer(b"x" * (READ_LIMIT + 1))
    assert [(text != "", cut) for text, cut in (buffer.read(), buffer.read(), buffer.read())] == [
        (True, True), (True, False), (False, False),
    ]  # fmt: skip
    buffer.close()


def test_a_run_begins_with_an_empty_buffer() -> None:
    """All that an earlier run has left is gone, be it more than is read at once, before anything is recorded."""
    buffer = Buffer(b"old\n" * (READ_LIMIT // 2))
    with buffer.on():
        assert buffer.read() == ("", False)
        assert buffer.written == [("tracing_on", "1")]
    assert buffer.written == [("tracing_on", "1"), ("tracing_on", "0")]
    buffer.close()


def test_overruns() -> None:
    """print_trace_line() in kernel/trace/trace.c has two forms."""
    assert overrun("CPU:1 [LOST 7 EVENTS]") and overrun("CPU:1 [LOST EVENTS]")
    assert not overrun("            init-1       [000] .....    15.11: CPU:1 [LOST 7 EVENTS]")
