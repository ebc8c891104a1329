"""No scenario hides what it tests: after the op under test nothing makes dirty anew what it left.

An op may make the kernel forget that an entry is dirty: a hole that drops it, an msync of a part that cleans all of it.
That shows in what a later sync loses, unless the entry is made dirty anew and synced before the cut: by a store, or by
a load, since Linux 6.1 marks an entry dirty that a read faults in (fs/dax.c, dax_insert_entry). An entry is 2 MiB
where a mapping lets it be, and a page after an op that leaves blocks of two kinds in it. The Programs alone are read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from harness.model.contract.extents import END
from harness.model.program import ops
from harness.model.program.ops import Mode, MsyncFlag, Op, Sharing
from harness.model.program.paths import renamed
from harness.model.program.program import Program, describe, parse
from harness.model.units import PAGE, PMD
from harness.pytestplugin import recording
from harness.pytestplugin.arguments import SCENARIOS

EXCEPTIONS = {
    "test_mixed.py::test_writes_and_stores_by_turns": "the turns are what is tested; the last write stays as it is",
    "test_reflink.py::test_store_through_old_mapping": "the store is under test; test_clone_of_dirty_pmd has the clone",
    "test_reflink.py::test_store_after_each_of_several_clones": "the stores are under test, as before",
    "test_remap.py::test_mprotect_inside_dirty_pmd": "stored to after the second mprotect; the first stays as it is",
    "test_sync_calls.py::test_store_after_mount": "the stores are under test; test_umount has what is before",
}
"""Scenarios of which an op is hidden, and why that is right."""
BEGIN = """daxcheck program 1
create f data
fallocate f allocate 0 4M
mmap m f 0 4M
store m 0 4M
fsync f
store m 0 2M
"""

Unit = tuple[int, int, int]
"""An entry: file, start and end."""

_POPULATE = (ops.Advice.POPULATE_READ, ops.Advice.POPULATE_WRITE)
_SPLITTING = (Mode.PUNCH_HOLE, Mode.ZERO_RANGE, Mode.ZERO_RANGE_KEEP_SIZE)
_SHIFTING = (Mode.COLLAPSE_RANGE, Mode.INSERT_RANGE)
_WHOLE = (ops.Sync, ops.Syncfs, ops.Freeze, ops.Umount)


@dataclass(slots=True)
class _Map:
    file: int
    offset: int
    length: int
    huge: bool


@dataclass(slots=True)
class _Entry:
    """What became of an entry since an op touched it: `bare` after a sync of it as the op left it; `redirtied` by that
    op since; `hidden` by it, since then it was synced."""

    bare: bool = False
    redirtied: int | None = None
    hidden: int | None = None


@dataclass(slots=True)
class _Deed:
    """An op that touched dirty entries."""

    index: int
    left: dict[Unit, _Entry] = field(default_factory=dict)


class _Kernel:
    """The entries of all files, as far as a Program tells of them."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._names: dict[str, int] = {}
        self._fds: dict[str, int] = {}
        self._maps: dict[str, _Map] = {}
        self._dirty: set[Unit] = set()
        self._split: set[tuple[int, int]] = set()
        self._shifted: dict[int, int] = {}
        self.deeds: list[_Deed] = []

    def run(self) -> None:
        racing = signalled = False
        for index, op in enumerate(self._program.ops):
            racing = not isinstance(op, ops.Join) and (racing or isinstance(op, ops.Lane))
            if not signalled:
                self._op(index, op, racing)
            signalled = isinstance(op, ops.ExpectSignal)

    def _op(self, index: int, op: Op, racing: bool) -> None:
        self._name(index, op)
        synced = list(self._synced(op))
        if not racing:  # what races leaves is not left at one moment: they are repeated instead
            touched = {unit for low in self._touched(op) for unit in self._dirty if _meet(unit, low)}
            if touched := {unit for unit in touched if not any(_within(unit, whole) for whole in synced)}:
                self._note(index, op, touched)
        for whole in synced:
            self._flush(whole)
        for low, stores in self._faults(op):
            self._fault(index, low, stores)

    def _name(self, index: int, op: Op) -> None:
        match op:
            case ops.Create(fd, path) | ops.Open(fd, path):
                if isinstance(op, ops.Create):
                    self._names[path] = self._program.file_ids()[index]
                self._fds[fd] = self._names.get(path, 0)
            case ops.Tmpfile(fd):
                self._fds[fd] = self._program.file_ids()[index]
            case ops.LinkFd(fd, to):
                self._names[to] = self._fds[fd]
            case ops.Rename():
                self._names = renamed(self._names, op)
            case ops.Link(path, to):
                self._names[to] = self._names.get(path, 0)
            case ops.Unlink(path):
                self._names.pop(path, None)
            case ops.Mmap(name, fd, offset, length, sharing, align) if sharing is not Sharing.PRIVATE:
                self._maps[name] = _Map(self._fds[fd], offset, length, align >= PMD)
            case ops.Mremap(name, offset, new) if name in self._maps:
                old = self._maps[name]
                self._maps[new] = _Map(old.file, old.offset + offset, old.length - offset, old.huge)
                old.length = offset
            case _:
                pass

    def _of_map(self, name: str, offset: int, length: int) -> Iterator[Unit]:
        if name in self._maps:
            start = self._maps[name].offset + offset
            yield self._maps[name].file, start, start + length

    def _touched(self, op: Op) -> Iterator[Unit]:
        """Where the op may change what the kernel knows of dirty entries."""
        match op:
            case ops.Fallocate(fd, mode, offset, length):
                yield self._fds[fd], offset, END if mode in _SHIFTING else offset + length
            case ops.Ftruncate(fd, size):
                yield self._fds[fd], size, END
            case ops.Open(fd, _, ops.Opening.TRUNCATE):
                yield self._fds[fd], 0, END
            case ops.Pwrite(fd, offset, length) | ops.SyncFileRange(fd, offset, length):
                yield self._fds[fd], offset, offset + length
            case ops.WriteFrom(fd, offset, length):
                yield self._fds[fd], offset, offset + length
            case ops.CloneFile(fd, source) | ops.Swapext(fd, source):
                yield from ((self._fds[name], 0, END) for name in (fd, source))
            case ops.Clone(fd, offset, length, source, begin) | ops.Dedupe(fd, offset, length, source, begin):
                yield from ((self._fds[fd], offset, offset + length), (self._fds[source], begin, begin + length))
            case ops.CopyFileRange(fd, offset, length, source, begin):
                yield from ((self._fds[fd], offset, offset + length), (self._fds[source], begin, begin + length))
            case ops.ExchangeRange(fd, offset, length, other, begin):
                yield from ((self._fds[fd], offset, offset + length), (self._fds[other], begin, begin + length))
            case ops.Msync(name, offset, length) | ops.Mprotect(name, offset, length):
                yield from self._of_map(name, offset, length)
            case ops.Madvise(name, offset, length, advice) if advice not in _POPULATE:
                yield from self._of_map(name, offset, length)
            case ops.Mremap(name, offset, new) if new in self._maps:
                yield from self._of_map(new, 0, self._maps[new].length)
            case ops.Munmap(name) if name in self._maps:
                yield from self._of_map(name, 0, self._maps[name].length)
            case ops.SetDax(fd):
                yield self._fds[fd], 0, END
            case ops.DropCaches() | ops.Remount():
                yield from ((file, 0, END) for file in set(self._fds.values()))
            case _:
                pass

    def _synced(self, op: Op) -> Iterator[Unit]:
        """What the op has flushed when it returns, by its promise."""
        match op:
            case ops.Fsync(fd) | ops.Fdatasync(fd):
                yield self._fds[fd], 0, END
            case ops.Msync(name, offset, length, flag) if flag is not MsyncFlag.ASYNC:
                yield from ((file, low, _up(high)) for file, low, high in self._of_map(name, offset, length))
            case _ if isinstance(op, _WHOLE):
                yield from ((file, 0, END) for file in set(self._fds.values()))
            case _:
                pass

    def _faults(self, op: Op) -> Iterator[tuple[Unit, bool]]:
        """Where the op may fault entries in, and whether it stores there."""
        match op:
            case ops.Store(name, offset, length) | ops.DirectStore(name, offset, length):
                yield from ((unit, True) for unit in self._mapped(name, offset, length))
            case ops.ReadInto(name, offset, length):
                yield from ((unit, True) for unit in self._mapped(name, offset, length))
            case ops.Load(name, offset, length) | ops.DirectLoad(name, offset, length):
                yield from ((unit, False) for unit in self._mapped(name, offset, length))
            case ops.Mlock(name, offset, length):
                yield from ((unit, False) for unit in self._mapped(name, offset, length))
            case ops.WriteFrom(_, _, length, name, offset):
                yield from ((unit, False) for unit in self._mapped(name, offset, length))
            case ops.Madvise(name, offset, length, advice) if advice in _POPULATE:
                writes = advice is ops.Advice.POPULATE_WRITE
                yield from ((unit, writes) for unit in self._mapped(name, offset, length))
            case ops.Observe():
                seen = {unit for deed in self.deeds for unit in deed.left if unit[0] in self._names.values()}
                yield from ((unit, False) for unit in seen)
            case _:
                pass

    def _mapped(self, name: str, offset: int, length: int) -> Iterator[Unit]:
        """The entries that map the range, each as large as it may be."""
        for file, low, high in self._of_map(name, offset, length):
            map = self._maps[name]
            for start in range(low // PMD * PMD, high, PMD):
                fits = map.offset <= start and start + PMD <= _up(map.offset + map.length)
                split = (file, start) in self._split or start >= self._shifted.get(file, END)
                if map.huge and fits and not split:
                    yield file, start, start + PMD
                else:
                    pages = range(max(start, low // PAGE * PAGE), min(start + PMD, high), PAGE)
                    yield from ((file, page, page + PAGE) for page in pages)

    def _note(self, index: int, op: Op, touched: set[Unit]) -> None:
        """The op touches these dirty entries; what it takes out of one leaves pages."""
        if isinstance(op, ops.Ftruncate) or (isinstance(op, ops.Fallocate) and op.mode in _SPLITTING):
            ((file, low, high),) = self._touched(op)
            self._part(touched, file, low, high)
            touched = {unit for unit in self._dirty if any(_within(unit, old) for old in touched)}
        elif isinstance(op, ops.Fallocate) and op.mode in _SHIFTING and (op.offset % PMD or op.length % PMD):
            ((file, low, _),) = self._touched(op)
            self._shifted[file] = low // PMD * PMD
            self._part(touched, file, END, END)
            touched = {unit for unit in self._dirty if any(_within(unit, old) for old in touched)}
        self.deeds.append(_Deed(index, {unit: _Entry() for unit in touched}))

    def _part(self, touched: set[Unit], file: int, low: int, high: int) -> None:
        """Dirty entries become pages, without those that [low, high) takes out."""
        for unit in touched:
            self._split.add((file, unit[1] // PMD * PMD))
            self._dirty.discard(unit)
            pages = range(unit[1], unit[2], PAGE)
            self._dirty |= {(file, page, page + PAGE) for page in pages if page < low or high < page + PAGE}

    def _flush(self, whole: Unit) -> None:
        done = {unit for unit in self._dirty if _within(unit, whole)}
        self._dirty -= done
        for deed in self.deeds:
            for unit, entry in deed.left.items():
                if not _within(unit, whole) or entry.hidden is not None:
                    continue
                entry.hidden, entry.bare = entry.redirtied, entry.redirtied is None

    def _fault(self, index: int, unit: Unit, stores: bool) -> None:
        for deed in self.deeds:
            for left, entry in deed.left.items():
                if entry.redirtied is None and _within(left, unit):
                    entry.redirtied = index
        if stores:
            self._dirty.add(unit)


def _up(offset: int) -> int:
    return -(-offset // PAGE) * PAGE


def _meet(one: Unit, two: Unit) -> bool:
    return one[0] == two[0] and one[1] < two[2] and two[1] < one[2]


def _within(one: Unit, two: Unit) -> bool:
    return one[0] == two[0] and two[1] <= one[1] and one[2] <= two[2]


def hidden(program: Program) -> list[str]:
    """The ops of which nobody could see what they did to dirty entries, each with an op that made one dirty anew."""
    kernel = _Kernel(program)
    kernel.run()
    found = []
    for deed in kernel.deeds:
        by = [entry.hidden for entry in deed.left.values() if entry.hidden is not None]
        if by and not any(entry.bare for entry in deed.left.values()):
            found.append(f"op {deed.index}: {describe(program.ops[deed.index])}, then op {min(by)}: "
                         f"{describe(program.ops[min(by)])}")
    return found


def test_no_scenario_hides_what_it_tests() -> None:
    """But for those that are named, with the reason; who is named needs it."""
    every = recording.record_all(SCENARIOS)
    assert len(every) > 300
    found = {name: wrong for name, one in every.items() if (wrong := hidden(one.program))}
    assert {name: wrong for name, wrong in found.items() if name not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= set(found)


HIDDEN = {
    "a store": "msync m 64K 4K\nstore m 64K 4K\nfsync f\n",
    "a store elsewhere in the entry": "msync m 64K 4K\nstore m 1M 8\nfsync f\n",
    "a load": "munmap m\nmmap n f 0 4M\nload n 0 8\nfsync f\n",
    "the buffer of a write": "msync m 0 4K\ncreate g other\nwrite_from g 0 8 m 0\nfsync f\n",
    "an observe": "msync m 64K 4K flag=async\nobserve\nfsync f\n",
    "a store after the first sync": "msync m 64K 4K\nfsync f\nstore m 0 8\nfsync f\n",
    "a store to all that a hole left": "fallocate f punch_hole 0 4K\nstore m 0 2M\nfsync f\n",
}
SHOWN = {
    "nothing": "msync m 64K 4K\nfsync f\n",
    "a load after the sync": "msync m 64K 4K\nfsync f\nload m 0 4M\n",
    "a store to another entry": "msync m 64K 4K\nstore m 2M 8\nfsync f\n",
    "a store to a page of what a hole left": "fallocate f punch_hole 64K 4K\nstore m 64K 8K\nfsync f\n",
    "a pread, which faults nothing in": "msync m 64K 4K\npread f 0 4M\nfsync f\n",
    "a sync of all": "fsync f\nstore m 0 8\nfsync f\n",
    "a store that ends in a signal": "msync m 64K 4K\nexpect_signal SIGBUS\nstore m 0 8\nfsync f\n",
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN.keys())
def test_what_is_hidden_is_found(text: str) -> None:
    """One op after BEGIN, which makes [0..2M) dirty, and what hides it."""
    assert len(hidden(parse(BEGIN + text + "cut_power\n"))) == 1


@pytest.mark.parametrize("text", SHOWN.values(), ids=SHOWN.keys())
def test_what_shows_is_left_alone(text: str) -> None:
    """The same op, where a loss would be seen."""
    assert hidden(parse(BEGIN + text + "cut_power\n")) == []
