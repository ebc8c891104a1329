"""The kernel's own account of DAX faults, from a tracefs instance that is daxcheck's alone."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from harness.agent import syscalls
from harness.model.units import PAGE, PMD

TRACEFS = "/sys/kernel/tracing"
INSTANCE = "daxcheck"
EVENTS = ("dax_pmd_fault_done", "dax_pte_fault_done", "dax_insert_pfn_mkwrite")
BUFFER_KB = 2048
"""Per CPU; about 15000 faults."""
READ_LIMIT = 16 << 20
"""Bytes of trace text taken in one go; what is beyond counts as lost."""
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """One finished fault: the piece [address, address+size) it was for, whether to write, its VM_FAULT_ names, and the
    thread that took it (as the kernel numbers them from the root of all pid namespaces)."""

    address: int
    size: int
    write: bool
    result: str
    thread: int = 0

    @property
    def mapped(self) -> bool:
        """The fault left an entry of this size behind."""
        # A private copy of a page is told as DONE_COW (fs/dax.c, dax_fault_cow_page).
        return not {"NOPAGE", "DONE_COW"}.isdisjoint(self.result.split("|"))


class FaultTrace:
    """Owns the instance, which watches this process and all its descendants while it is on.

    Made once and kept: to make one costs a quarter second of RCU grace periods under TCG. Raises OSError when
    the kernel has no tracefs or no fs_dax events, or this process may not use them.
    """

    def __init__(self) -> None:
        if not os.path.isdir(f"{TRACEFS}/instances"):
            syscalls.mount("tracefs", TRACEFS, "tracefs")
        self._root = f"{TRACEFS}/instances/{INSTANCE}"
        os.makedirs(self._root, exist_ok=True)
        self._fd = -1
        try:
            self._set_up()
        except OSError:
            self.close()
            raise

    def _set_up(self) -> None:
        self._write("tracing_on", "0")
        self._write("buffer_size_kb", str(BUFFER_KB))
        self._write("options/event-fork", "1")
        self._write("set_event_pid", str(os.getpid()))
        for event in EVENTS:
            self._write(f"events/fs_dax/{event}/enable", "1")
        self._fd = os.open(f"{self._root}/trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def _write(self, name: str, text: str) -> None:
        with open(f"{self._root}/{name}", "w") as file:
            file.write(text)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Record faults within; those of before are gone."""
        self._write("tracing_on", "1")
        self.read()
        try:
            yield
        finally:
            self._write("tracing_on", "0")

    def close(self) -> None:
        """Remove the instance."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(OSError):
            os.rmdir(self._root)

    def __enter__(self) -> "FaultTrace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> tuple[list[Fault], bool]:
        """Faults since the last read in the order they happened, and whether some were lost."""
        text = bytearray()
        while len(text) < READ_LIMIT:
            try:
                data = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                return parse(text.decode("ascii", "replace"))
            if not data:
                return parse(text.decode("ascii", "replace"))
            text += data
        return parse(text.decode("ascii", "replace"))[0], True


def parse(text: str) -> tuple[list[Fault], bool]:
    """Read trace_pipe's text: the faults, and whether the ring buffer overran ("LOST n EVENTS")."""
    faults: list[Fault] = []
    lost = False
    for line in text.splitlines():
        if line.startswith("CPU:") and "LOST" in line:
            lost = True
        for event, size in _SIZES:
            if event in line:
                before, _, words = line.partition(event)
                faults.append(_fault(words.split(), size, _thread(before), faults))
                break
    return faults, lost


_SIZES = (("dax_pmd_fault_done: ", PMD), ("dax_pte_fault_done: ", PAGE), ("dax_insert_pfn_mkwrite: ", PAGE))


def _thread(words: str) -> int:
    """The number in "            init-1       [001] ..... ": the name before it may hold anything, even spaces."""
    number = words.rpartition(" [")[0].rpartition("-")[2].strip()
    return int(number) if number.isdigit() else 0


def _fault(words: list[str], size: int, thread: int, before: list[Fault]) -> Fault:
    # dev 259:0 ino 0xc shared WRITE|ALLOW_RETRY|... address 0x7f0000400000 ... NOPAGE (include/trace/events/fs_dax.h)
    place = words.index("address")
    # A MAP_SYNC write fault first asks for a sync (NEEDDSYNC) and is finished by dax_insert_pfn_mkwrite, whose
    # event does not tell the size (fs/dax.c, dax_finish_sync_fault).
    last = next((fault for fault in reversed(before) if fault.thread == thread), None)
    if last is not None and last.result == "NEEDDSYNC":
        size = last.size
    address = int(words[place + 1], 16) // size * size
    return Fault(address, size, "WRITE" in words[place - 1].split("|"), words[-1], thread)


def available() -> FaultTrace | None:
    """A FaultTrace, or None where this kernel or this user has none."""
    try:
        return FaultTrace()
    except OSError:
        return None
