"""Which DAX entries the kernel took out of page trees, or cleaned, without a flush, and who asked for it.

fs/dax.c. dax_delete_mapping_entry() takes the entry at an index, dirty or not; all its calls come from
truncate_inode_pages_range(), once per entry, so the stack is recorded there, once per range. From Linux 6.15 on
dax_delete_mapping_range() takes all entries of a range. __dax_clear_dirty_range() removes dirty tags. What else takes
an entry out (dax_invalidate_mapping_entry_sync) leaves dirty ones in; what puts one in place of another
(dax_insert_entry) tags the new one.

An entry can be a PMD, and then all of it goes, whatever the range; which are is known from the faults.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.agent import btf, probes, tracefs
from harness.agent.probes import Probe
from harness.agent.tracefs import Instance
from harness.model.traced import DROP_LIMIT, NAME_LIMIT, STACK_LIMIT
from harness.model.units import PAGE, PMD

INSTANCE = f"{tracefs.PREFIX}_drops"
BUFFER_KB = 512
"""Per CPU; about 6000 entries, or 1500 stacks."""
PMDS_LIMIT = 1 << 16
"""PMD entries remembered."""
END = 1 << 63
"""The end of any file."""

ENTRY, RANGE, CLEAN, TRUNCATE = "daxcheck_entry", "daxcheck_range", "daxcheck_clean", "daxcheck_truncate"
ENTRY_FUNCTION = "dax_delete_mapping_entry"
FAULT = "dax_pmd_fault_done"
_INSERTED = 0x100 | 0x2000
"""VM_FAULT_NOPAGE, VM_FAULT_NEEDDSYNC (include/linux/mm_types.h): the fault left an entry."""
_S_DAX = 1 << 13
"""include/linux/fs.h."""
_HEAD = re.compile(r"^.{16}-(\d+) +\[\d+\] +\S+ +[\d.]+: (?:daxcheck_entry: .* start=(\d+)(?: inode=(\d+))?$|(.*))")
_PROBE = re.compile(r"(daxcheck_\w+): \((\w+)[^)]*\) start=(-?\d+)(?: end=(-?\d+))?(?: inode=(\d+))?")
_FAULT = re.compile(r" ino (0x[0-9a-f]+) .* pgoff (0x[0-9a-f]+) max_pgoff ")
_STACK = "<stack trace>"
_CALLER = " => "


@dataclass(frozen=True, slots=True)
class Drop:
    """The entries of bytes [start, end) of a file went. `inode` is 0 where it is not known; `stack` nearest first."""

    function: str
    inode: int
    start: int
    end: int
    stack: tuple[str, ...]


@dataclass(slots=True)
class _Event:
    """A line of the trace: the event's name, the function probed, the three numbers, and who called.

    Of ENTRY it stands for all lines that follow each other on pages `start` to `end`: a file can have thousands.
    """

    thread: str
    name: str
    function: str
    start: int
    end: int
    inode: int
    stack: list[str]


class History:
    """Makes drops out of trace lines; remembers which entries are PMDs."""

    def __init__(self) -> None:
        self._pmds: set[tuple[int, int]] = set()
        self._callers: dict[str, tuple[str, ...]] = {}

    def take(self, text: str) -> tuple[list[Drop], bool]:
        """The drops that these lines tell of, each once, neighbours joined, DROP_LIMIT at most, and whether the buffer
        overran."""
        found: dict[Drop, None] = {}
        events, lost = parse(text)
        for event in events:
            if event.name == FAULT:
                if len(self._pmds) < PMDS_LIMIT:
                    self._pmds.add((event.inode, event.start // PMD))
                continue
            if event.name == TRUNCATE:
                self._callers[event.thread] = _names(event)
                continue
            drop = self._drop(event)
            last = next(reversed(found), None)
            if last is not None and _neighbours(last, drop):
                del found[last]
                drop = replace(drop, start=last.start)
            found.setdefault(drop)
        return list(found)[:DROP_LIMIT], lost

    def _drop(self, event: _Event) -> Drop:
        """With whole PMDs at both ends, where the entry there is one."""
        start, end = bounds(event)
        if (event.inode, start // PMD) in self._pmds:
            start = start // PMD * PMD
        if end < END and (event.inode, (end - 1) // PMD) in self._pmds:
            end = -(-end // PMD) * PMD
        if event.name != CLEAN:
            gone = range(start // PMD, -(-end // PMD))
            self._pmds -= {(inode, pmd) for inode, pmd in self._pmds if inode == event.inode and pmd in gone}
        stack = _names(event) or self._callers.get(event.thread, ())
        return Drop(event.function, event.inode, start, end, stack)


def bounds(event: _Event) -> tuple[int, int]:
    """The bytes that an event names. The arguments are page numbers, but bytes for dax_delete_mapping_range(); an end
    is that of the last page that goes, and -1 or LLONG_MAX the end of the file."""
    unit = 1 if event.name == RANGE else PAGE
    start = max(event.start, 0) * unit // PAGE * PAGE
    last = event.end * unit
    return start, END if not 0 <= last < END - PAGE else max(start, last // PAGE * PAGE) + PAGE


def parse(text: str) -> tuple[list[_Event], bool]:
    """The events of trace_pipe's text with their stacks, and whether the buffer overran."""
    events: list[_Event] = []
    lost = False
    calling: list[str] | None = None
    for line in text.splitlines():
        if line.startswith(_CALLER):
            if calling is not None:
                calling.append(line.removeprefix(_CALLER).strip())
            continue
        head = _HEAD.match(line)
        if head is None:
            lost = lost or tracefs.overrun(line)
            continue
        thread, index, inode, words = head.groups()
        calling = None
        if index is not None:
            _extend(events, thread, int(index), int(inode or 0))
            continue
        if words.startswith(_STACK):
            calling = next((event.stack for event in reversed(events) if event.thread == thread), None)
        elif event := _event(thread, words):
            events.append(event)
    return events, lost


def _extend(events: list[_Event], thread: str, index: int, inode: int) -> None:
    last = events[-1] if events else None
    known = last is not None and last.name == ENTRY and not last.stack
    if known and last is not None and (last.thread, last.inode, last.end + 1) == (thread, inode, index):
        last.end = index
    else:
        events.append(_Event(thread, ENTRY, ENTRY_FUNCTION, index, index, inode, []))


def _event(thread: str, words: str) -> _Event | None:
    if found := _PROBE.match(words):
        name, function, start, end, inode = found.groups()
        return _Event(thread, name, function, int(start), int(end or 0), int(inode or 0), [])
    if words.startswith(FAULT) and (found := _FAULT.search(words)):
        inode, offset = (int(text, 16) for text in found.groups())
        return _Event(thread, FAULT, "", offset * PAGE, 0, inode, [])
    return None


def _names(event: _Event) -> tuple[str, ...]:
    """The callers of the probed function, nearest first; above it stands what the probe itself called."""
    stack = [name.partition(".")[0] for name in event.stack]
    above = stack.index(event.function) + 1 if event.function in stack else 0
    if event.name == TRUNCATE and above:
        above -= 1  # it is a caller of the one that drops
    return tuple(name[:NAME_LIMIT] for name in stack[above : above + STACK_LIMIT])


def _neighbours(one: Drop, two: Drop) -> bool:
    same = (one.function, one.inode, one.stack) == (two.function, two.inode, two.stack)
    return same and one.end == two.start


class DropTrace:
    """Owns the probes and their instance, which watches this process and all its descendants while it is on.

    Raises OSError where the kernel has no kprobe events, or none of the functions.
    """

    def __init__(self) -> None:
        self._instance = Instance(INSTANCE, BUFFER_KB)
        self._history = History()
        self._probes: list[Probe] = []
        try:
            self._probes = probes.define(_probes(btf.of_running_kernel()))
            if not self.functions:
                raise OSError(0, "no kprobe on any function that drops DAX entries")
            self._enable()
        except OSError:
            self.close()
            raise

    def _enable(self) -> None:
        self._instance.watch_self()
        made = {probe.name: probe for probe in self._probes}
        for name, probe in made.items():
            event, condition = f"events/{probes.GROUP}/{name}", _condition(probe)
            if condition:
                self._instance.write(f"{event}/filter", condition)
            if name != ENTRY or TRUNCATE not in made:
                self._instance.write(f"{event}/trigger", f"stacktrace if {condition}" if condition else "stacktrace")
            self._instance.write(f"{event}/enable", "1")
        with contextlib.suppress(OSError):  # without it every entry counts as a PTE
            self._instance.write(f"events/fs_dax/{FAULT}/filter", f"result & {_INSERTED}")
            self._instance.write(f"events/fs_dax/{FAULT}/enable", "1")

    @property
    def functions(self) -> list[str]:
        """The functions watched that drop entries."""
        return sorted(probe.function for probe in self._probes if probe.name != TRUNCATE)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Record drops within."""
        self._history = History()
        with self._instance.on():
            yield

    def read(self) -> tuple[list[Drop], bool]:
        """The drops since the last read, and whether some were lost."""
        text, cut = self._instance.read()
        if not text:
            return [], False
        found, lost = self._history.take(text)
        return found, lost or cut

    def close(self) -> None:
        """Remove instance and probes."""
        self._instance.close()
        with contextlib.suppress(OSError):
            probes.remove(probe.name for probe in self._probes)

    def __enter__(self) -> "DropTrace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _probes(types: btf.Types | None) -> Iterable[Probe]:
    """All four; where the types of the kernel are not known, without the inode."""
    inode = flags = pages = ""
    if types is not None:
        with contextlib.suppress(LookupError):
            host = types.offset("address_space", "host")
            inode = f" inode=+{types.offset('inode', 'i_ino')}(+{host}(%di)):u64"
            flags = f" flags=+{types.offset('inode', 'i_flags')}(+{host}(%di)):u32"
            pages = f" pages=+{types.offset('address_space', 'nrpages')}(%di):u64"
    yield Probe(ENTRY, ENTRY_FUNCTION, f"start=%si:s64{inode}")
    yield Probe(RANGE, "dax_delete_mapping_range", f"start=%si:s64 end=%dx:s64{inode}{pages}")
    yield Probe(CLEAN, "__dax_clear_dirty_range", f"start=%si:s64 end=%dx:s64{inode}{pages}")
    yield Probe(TRUNCATE, "truncate_inode_pages_range", f"start=%si:s64 end=%dx:s64{inode}{pages}{flags}")


def _condition(probe: Probe) -> str:
    """Leaves out files that have no entries, or pages in their place, as far as the probe can tell."""
    wanted = (("pages=", "pages > 0"), ("flags=", f"flags & {_S_DAX}"))
    return " && ".join(condition for field, condition in wanted if field in probe.fetch)


def available() -> DropTrace | None:
    """A DropTrace, or None where this kernel or this user has none."""
    try:
        return DropTrace()
    except OSError:
        return None
