"""Finds the dirty DAX entries that the kernel dropped or cleaned without a flush, and the functions that asked for it.

fs/dax.c. dax_delete_mapping_entry() takes the entry at an index, dirty or not; all its calls come from
truncate_inode_pages_range(), once per entry, so the stack is recorded there, once per range. From Linux 6.15 on
dax_delete_mapping_range() takes all entries of a range. __dax_clear_dirty_range() removes dirty tags. Another function
that takes an entry out (dax_invalidate_mapping_entry_sync) leaves dirty ones in; the one that puts one in place of
another (dax_insert_entry) tags the new one.

The calls take ranges, which may hold no entry, or one that was flushed before: a drop is the part of the range that was
dirty, by agent.watch.entries. An entry can be a PMD, and then all of it goes, whatever the range.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.agent.watch import entries
from harness.agent.watch.entries import Entries, Entry, Touch
from harness.agent.watch.touches import Touches
from harness.linux import btf, probes, tracefs
from harness.linux.probes import Probe
from harness.linux.tracefs import Instance
from harness.model.units import PAGE
from harness.model.wire.traced import DROP_LIMIT, NAME_LIMIT, STACK_LIMIT

INSTANCE = f"{tracefs.PREFIX}_drops"
BUFFER_KB = 2048
"""KiB of the buffer of each CPU: about 15000 faults or entries, or 6000 stacks."""
END = 1 << 63
"""The end of any file."""

ENTRY, RANGE, CLEAN, TRUNCATE = "daxcheck_entry", "daxcheck_range", "daxcheck_clean", "daxcheck_truncate"
ENTRY_FUNCTION = "dax_delete_mapping_entry"
OP = "daxcheck_op="
"""The text that a lane writes into the trace before each of its ops, followed by the op's index."""
_S_DAX = 1 << 13
"""S_DAX of include/linux/fs.h."""
_HEAD = re.compile(r"^.{16}-(\d+) +\[\d+\] +\S+ +[\d.]+: (?:daxcheck_entry: .* start=(\d+)(?: inode=(\d+))?$|(.*))")
_PROBE = re.compile(r"(daxcheck_\w+): \((\w+)[^)]*\) start=(-?\d+)(?: end=(-?\d+))?(?: inode=(\d+))?")
_TOUCH = re.compile(rf"({'|'.join(entries.EVENTS)}): dev \S+ ino (0x[0-9a-f]+) (?:(?:shared|private) (\S*) )?"
                    r"(?:(?:\S+ \S+ )*?pgoff (0x[0-9a-f]+)(?: pglen (0x[0-9a-f]+))?(?:.* (\S+))?)?")  # fmt: skip
_LANE = re.compile(rf"\S+: {OP}(\d{{1,5}})$")
_STACK = "<stack trace>"
_CALLER = " => "


@dataclass(frozen=True, slots=True)
class Drop:
    """The loss of `entries` dirty entries of a file that follow each other: bytes [start, end). `inode` is 0 where not
    known; `stack` has the nearest caller first; `op` is that of the lane whose thread it was, None outside of lanes."""

    function: str
    inode: int
    start: int
    end: int
    stack: tuple[str, ...]
    entries: int = 1
    op: int | None = None


@dataclass(slots=True)
class _Event:
    """A line of the trace: the event's name, the probed function, the three numbers, and the callers.

    An ENTRY stands for all lines that follow each other on pages `start` to `end`: a file can have thousands.
    """

    thread: str
    name: str
    function: str
    start: int
    end: int
    inode: int
    stack: list[str]


@dataclass(frozen=True, slots=True)
class _Begun:
    """A line that says that the lane in `thread` begins an op."""

    thread: str
    op: int


class History:
    """Makes drops out of trace lines; remembers which entries are dirty, and what else became of them."""

    def __init__(self) -> None:
        self._entries = Entries()
        self._callers: dict[str, tuple[str, ...]] = {}
        self.touches = Touches()

    def take(self, text: str) -> tuple[list[Drop], bool]:
        """Return the drops that these lines tell of, each once, neighbours joined, DROP_LIMIT at most, and whether the
        buffer overran."""
        found: dict[Drop, None] = {}
        ops: dict[str, int] = {}  # of this text alone: a thread of another race may have the number of one that ended
        events, lost = parse(text)
        for event in events:
            match event:
                case Touch():
                    if touched := self._entries.take(event):
                        self.touches.add(ops.get(event.thread), touched[0], event.inode, touched[1])
                case _Begun():
                    ops[event.thread] = event.op
                case _Event(name=name) if name == TRUNCATE:
                    self._callers[event.thread] = _names(event)
                case _Event():
                    for drop in self._drops(event, ops.get(event.thread)):
                        last = next(reversed(found), None)
                        if last is not None and _neighbours(last, drop):
                            del found[last]
                            drop = replace(drop, start=last.start, entries=last.entries + drop.entries)
                        found.setdefault(drop)
        return list(found)[:DROP_LIMIT], lost or self._entries.full

    def _drops(self, event: _Event, op: int | None) -> Iterator[Drop]:
        """Yield a drop for each run of dirty entries."""
        start, end = (place // PAGE for place in bounds(event))
        take = self._entries.clean if event.name == CLEAN else self._entries.drop
        stack = _names(event) or self._callers.get(event.thread, ())
        for run in runs(take(event.inode, start, end)):
            low, high = run[0][0] * PAGE, sum(run[-1]) * PAGE
            yield Drop(event.function, event.inode, low, high, stack, len(run), op)


def runs(found: Iterable[Entry]) -> list[list[Entry]]:
    """The entries, ascending, in groups of those that follow each other."""
    groups: list[list[Entry]] = []
    for entry in found:
        if groups and sum(groups[-1][-1]) >= entry[0]:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def bounds(event: _Event) -> tuple[int, int]:
    """The bytes that an event names. The arguments are page numbers, but bytes for dax_delete_mapping_range(); an end
    is that of the last page that goes, and -1 or LLONG_MAX the end of the file."""
    unit = 1 if event.name == RANGE else PAGE
    start = max(event.start, 0) * unit // PAGE * PAGE
    last = event.end * unit
    return start, END if not 0 <= last < END - PAGE else max(start, last // PAGE * PAGE) + PAGE


def parse(text: str) -> tuple[list[_Event | Touch | _Begun], bool]:
    """The events of trace_pipe's text with their stacks, and whether the buffer overran."""
    events: list[_Event | Touch | _Begun] = []
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
            mine = (event for event in reversed(events) if isinstance(event, _Event) and event.thread == thread)
            calling = next((event.stack for event in mine), None)
        elif event := _event(thread, words):
            events.append(event)
    return events, lost


def _extend(events: list[_Event | Touch | _Begun], thread: str, index: int, inode: int) -> None:
    last = events[-1] if events else None
    if (
        isinstance(last, _Event)
        and (last.name, last.thread, last.inode, last.end + 1) == (ENTRY, thread, inode, index)
        and not last.stack
    ):
        last.end = index
    else:
        events.append(_Event(thread, ENTRY, ENTRY_FUNCTION, index, index, inode, []))


def _event(thread: str, words: str) -> _Event | Touch | _Begun | None:
    if found := _TOUCH.match(words):
        name, inode, flags, page, pages, result = found.groups()
        store = "WRITE" in (flags or "").split("|") and "NOPAGE" in (result or "").split("|")
        return Touch(thread, name, int(inode, 16), int(page or "0", 16), int(pages or "1", 16),
                     name == entries.MKWRITE or store)  # fmt: skip
    if found := _PROBE.match(words):
        name, function, start, end, inode = found.groups()
        return _Event(thread, name, function, int(start), int(end or 0), int(inode or 0), [])
    if found := _LANE.match(words):
        return _Begun(thread, int(found[1]))
    return None


def _names(event: _Event) -> tuple[str, ...]:
    """The callers of the probed function, nearest first; above it stands what the probe itself called."""
    stack = [name.partition(".")[0] for name in event.stack]
    above = stack.index(event.function) + 1 if event.function in stack else 0
    if event.name == TRUNCATE and above:
        above -= 1  # it is a caller of the one that drops
    return tuple(name[:NAME_LIMIT] for name in stack[above : above + STACK_LIMIT])


def _neighbours(one: Drop, two: Drop) -> bool:
    same = (one.function, one.inode, one.stack, one.op) == (two.function, two.inode, two.stack, two.op)
    return same and one.end == two.start


class DropTrace:
    """Owns the probes and their instance, which watches this process and all its descendants while it is on.

    Raises OSError where the kernel has no kprobe events, none of the functions, or not all of entries.EVENTS: then
    nothing tells a dirty entry from a clean one.
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
        for event, condition in entries.EVENTS.items():
            if condition:
                self._instance.write(f"events/fs_dax/{event}/filter", condition)
            self._instance.write(f"events/fs_dax/{event}/enable", "1")

    @property
    def functions(self) -> list[str]:
        """The watched functions that drop entries."""
        return sorted(probe.function for probe in self._probes if probe.name != TRUNCATE)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Record drops within."""
        self._history = History()
        with self._instance.on():
            yield

    def begin(self, op: int) -> None:
        """Note that a lane begins op `op` in the thread that calls this."""
        self._instance.mark(f"{OP}{op}")

    def read(self) -> tuple[list[Drop], bool]:
        """The drops since the last read, and whether some were lost."""
        text, cut = self._instance.read()
        if not text:
            return [], False
        found, lost = self._history.take(text)
        return found, lost or cut

    @property
    def touches(self) -> Touches:
        """The entries that were dirtied or written back, as far as they were read with the drops."""
        return self._history.touches

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
    """Yield all four probes; where the types of the kernel are not known, they do not record the inode."""
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
    """Return the filter that leaves out files that have no entries, or pages instead, as far as the probe can tell."""
    wanted = (("pages=", "pages > 0"), ("flags=", f"flags & {_S_DAX}"))
    return " && ".join(condition for field, condition in wanted if field in probe.fetch)


def available() -> DropTrace | None:
    """A DropTrace, or None where this kernel or this user has none."""
    try:
        return DropTrace()
    except OSError:
        return None
