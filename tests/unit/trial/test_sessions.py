"""Laws of the two commands: what each is given, when the cut is taken, and which failure ends a trial in one line."""

from typing import Any

import pytest

from harness.errors import ChannelError
from harness.fs import filesystem
from harness.model.program.program import Program
from harness.model.wire.commanded import Commanded, decoded, to_wire
from harness.trial.kit import CopiedFile, Kit
from harness.trial.sessions import CommandFailed, Orders, VerifierSession, WriterSession, said

XFS = filesystem.find("xfs")
NOTHING = Program(())


class Actor:
    """A guest whose commands end as was planned; `heard` has what it was asked, and the cut."""

    def __init__(self, *ends: Commanded | dict[str, Any]) -> None:
        self.heard: list[tuple[object, ...]] = []
        self._ends = list(ends)

    def call(self, do: str, seconds: float = 0.0, **given: Any) -> dict[str, Any]:
        if do == "put":
            self.heard.append((do, given["name"]))
            return {}
        acked = given["acked"]
        told = None if acked is None else decoded(acked, 99)
        self.heard.append((decoded(given["command"], 99).decode(), given["marks"], told))
        assert seconds > given["limit"] == 9.0
        end = self._ends.pop(0)
        return to_wire(end) if isinstance(end, Commanded) else end


def wrote(*ends: Commanded | dict[str, Any]) -> tuple[Actor, list[Commanded]]:
    """The guest of a writer, and what was told of it."""
    guest, told = Actor(*ends), []  # type: ignore[var-annotated]
    orders = Orders("w", "v", 9.0, Kit([CopiedFile("f", b"")]))
    session: Any = WriterSession(guest, XFS, orders, told.append)  # type: ignore[arg-type]
    try:
        session.run(NOTHING, 1, lambda: guest.heard.append(("cut",)))
    except CommandFailed as error:
        guest.heard.append((str(error),))
    return guest, told


def test_the_power_is_cut_before_the_verifier_touches_anything() -> None:
    """The writer is marked and has nothing to read; the verifier is given all that it printed."""
    right = Commanded(0, b"1\n", b"", (2,))
    guest, told = wrote(right, Commanded(0, b"", b""))
    assert guest.heard == [("put", "f"), ("w", True, None), ("cut",), ("v", False, b"1\n")] and told == [right]


def test_a_writer_that_fails_is_not_cut() -> None:
    """The line has its last words, and no moment is judged."""
    for end, line in (
        (Commanded(3, b"out\n", b"no\nroom\n"), "--write ended with 3 (room): nothing was judged"),
        (Commanded(None, b"", b""), "--write did not end within 9 s: nothing was judged"),
    ):
        guest, told = wrote(end)
        assert (guest.heard[2:], told) == ([(line,)], [])


@pytest.mark.parametrize("status", [1, 7, 139, None])
def test_a_verifier_must_accept_what_was_written(status: int | None) -> None:
    """With the power on nothing is lost, so one of the commands is wrong."""
    guest, told = wrote(Commanded(0, b"", b""), Commanded(status, b"lost\n", b""))
    assert "(lost), right after --write and with the power on: it must exit 0 there" in str(guest.heard[-1][0])
    assert told == []


def test_a_verifier_reads_the_image() -> None:
    """In place of the agent, which reads no file; its end is kept, whatever it is."""
    bad = Commanded(1, b"", b"torn\n")
    guest = Actor(bad)
    session: Any = VerifierSession(guest, XFS, Orders("w", "v", 9.0, Kit([])), b"1\n")  # type: ignore[arg-type]
    assert session.observe(()) == () and session.found == bad
    assert guest.heard == [("v", False, b"1\n")]


def test_a_guest_is_not_believed() -> None:
    with pytest.raises(ChannelError, match="execute is malformed: the exit status '0'"):
        wrote({**to_wire(Commanded(0, b"", b"")), "status": "0"})


@pytest.mark.parametrize(
    ("out", "err", "words"),
    [(b"", b"", ""), (b"a\nb\n", b"", "b"), (b"a\n", b"e\n\n", "e"), (b"\x1b[31mred\n", b"", r"\x1b[31mred")],
)  # fmt: skip
def test_last_words(out: bytes, err: bytes, words: str) -> None:
    """Those on standard error, fit for a terminal; of a line that is long its beginning."""
    assert said(Commanded(1, out, err)) == words
    assert len(said(Commanded(1, bytes(b"x" * 1000), b""))) == 200
