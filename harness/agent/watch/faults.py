"""Reads the kernel's own account of DAX faults, from a tracefs instance that is daxcheck's alone."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.linux.tracefs import PREFIX, Instance, overrun
from harness.model.units import PAGE, PMD

EVENTS = ("dax_pmd_fault_done", "dax_pte_fault_done", "dax_insert_pfn_mkwrite")
BUFFER_KB = 2048
"""KiB of the buffer of each CPU: about 15000 faults."""


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
        """True when the fault left an entry of this size behind."""
        # A private copy of a page is told as DONE_COW (fs/dax.c, dax_fault_cow_page).
        return not {"NOPAGE", "DONE_COW"}.isdisjoint(self.result.split("|"))


class FaultTrace:
    """Owns the instance, which watches this process and all its descendants while it is on.

    Raises OSError when the kernel has no tracefs or no fs_dax events, or this process may not use them.
    """

    def __init__(self) -> None:
        self._instance = Instance(PREFIX, BUFFER_KB)
        try:
            self._instance.watch_self()
            for event in EVENTS:
                self._instance.write(f"events/fs_dax/{event}/enable", "1")
        except OSError:
            self.close()
            raise

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Record faults within; those of before are gone."""
        with self._instance.on():
            yield

    def close(self) -> None:
        """Remove the instance."""
        self._instance.close()

    def __enter__(self) -> "FaultTrace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> tuple[list[Fault], bool]:
        """Faults since the last read in the order they happened, and whether some were lost."""
        text, cut = self._instance.read()
        faults, lost = parse(text)
        return faults, lost or cut


def parse(text: str) -> tuple[list[Fault], bool]:
    """Read trace_pipe's text: the faults, and whether the ring buffer overran ("LOST n EVENTS")."""
    faults: list[Fault] = []
    last: dict[int, Fault] = {}
    """Thread -> its last fault."""
    lost = False
    for line in text.splitlines():
        before, event, words = line.rpartition(_EVENT)
        if not event:
            lost = lost or overrun(line)
            continue
        thread = _thread(before)
        last[thread] = fault = _fault(words.split(), thread, last.get(thread))
        faults.append(fault)
    return faults, lost


_EVENT = ": dax_"
_SIZES = {"pmd_fault_done:": PMD, "pte_fault_done:": PAGE, "insert_pfn_mkwrite:": PAGE}


def _thread(words: str) -> int:
    """The number in "            init-1       [001] .....     9.98": the name before it may hold even spaces."""
    number = words.rsplit(None, 3)[0].rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _fault(words: list[str], thread: int, last: Fault | None) -> Fault:
    # pte_fault_done: dev 259:0 ino 0xc shared WRITE|ALLOW_RETRY|... address 0x7f0000400000 ... NOPAGE
    # (include/trace/events/fs_dax.h)
    place = words.index("address", 6)
    # A MAP_SYNC write fault first asks for a sync (NEEDDSYNC) and is finished by dax_insert_pfn_mkwrite, whose
    # event does not tell the size (fs/dax.c, dax_finish_sync_fault).
    size = last.size if last is not None and last.result == "NEEDDSYNC" else _SIZES[words[0]]
    address = int(words[place + 1], 16) // size * size
    return Fault(address, size, "WRITE" in words[place - 1].split("|"), words[-1], thread)


def available() -> FaultTrace | None:
    """A FaultTrace, or None where this kernel or this user has none."""
    try:
        return FaultTrace()
    except OSError:
        return None
