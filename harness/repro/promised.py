"""Finds which pages a reproducer can judge by the trace: stored through a shared mapping, and promised by a later sync.

    4 store m 0 4M
    5 fallocate f punch_hole 64K 4K
    6 msync m 0 4M          Promise(6, file 1, pages [0..16) and [17..1024))

The sync is to write back each of these pages after the store (fs/dax.c, dax_writeback_one). What the kernel itself
copied or zeroed it flushes at once, without that event, so bytes of these are left to a comparison after a cut. The
same holds for bytes that the Program flushed, and for stores that are poisoned, or that a race may have undone.

A page is left out if it also has bytes that were stored and that this sync did not promise: they may have been stored
after the page was written back, and the trace tells of pages only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.model.contract import oracle
from harness.model.contract.allowed import Allowed
from harness.model.contract.extents import END, Extents
from harness.model.contract.filestate import FileState
from harness.model.contract.state import State
from harness.model.program import ops
from harness.model.program.ops import Mode, Op
from harness.model.program.program import Expect, Program
from harness.model.program.stages import Stage, stages
from harness.model.units import PAGE
from harness.model.wire.observation import Stamp
from harness.repro.naming import NamesInC

_Origins = Extents[int | None]
"""By byte the op that stored it through a mapping, or the join of its race; None if the trace cannot tell."""
_NOWHERE: int | None = None
_NONE: _Origins = Extents.of(_NOWHERE)


@dataclass(frozen=True, slots=True)
class PromisedPages:
    """Pages [first, last) of a file that op `index` is the first to promise."""

    index: int
    file: int
    pages: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Traceable:
    """All that a trace can judge of a Program, and the bytes of each file at the cut that are among it."""

    promises: tuple[PromisedPages, ...]
    judged: dict[int, Extents[bool]]


def traceable(program: Program, names: NamesInC, states: Sequence[State]) -> Traceable:
    """Return what the trace can judge; `states` are those of a run in which all happened as the Program foresees."""
    following = _Following(program, names, states)
    found: list[PromisedPages] = []
    last = len(program.ops) - 1
    for stage in stages(program.ops):
        following.step(stage)
        if program.expect is not Expect.LOSS:
            found += following.promised(states[stage.last], stage.first, stage.last)
    if program.expect is Expect.LOSS:
        found += following.promised(oracle.at_cut(program, states), last, last)
    origins = following.origins.items()
    return Traceable(tuple(found), {id: runs.merge(0, END, following.judged.get(id, _NONE), _still).to(bool)
                                    for id, runs in origins})  # fmt: skip


def _still(origin: int | None, judged: int | None) -> int | None:
    """The origin of a byte that was judged since it was stored. Op 0 stores nothing, so that each is true."""
    return origin if origin == judged else None


class _Following:
    """Follows where each stored byte is, op by op."""

    def __init__(self, program: Program, names: NamesInC, states: Sequence[State]) -> None:
        self._program = program
        self._names = names
        self._states = states
        self._ops_of = {seq: program.ops[index] for index, seq in program.seqs().items()}
        self.origins: dict[int, _Origins] = {}
        self.judged: dict[int, _Origins] = {}

    def step(self, stage: Stage) -> None:
        """Take account of what the stage has stored, flushed and moved."""
        done = [self._program.ops[index] for index in stage.indices if not self._refused(index)]
        before = dict(self._states[stage.first - 1].files) if stage.first else {}
        after = self._states[stage.last].files
        if not stage.races and done:
            self._move(done[0], before, after)
        for id, file in after.items():
            if not stage.races and id in before and file is not before[id]:
                for low, high in _changed(before[id], file):
                    self._set(id, low, high, None)
        for op in done:
            match op:
                case ops.Store(name, offset, length) | ops.DirectStore(name, offset, length):
                    self._stored(name, offset, length, stage.last)
                case ops.ReadInto(name, offset, length):
                    self._stored(name, offset, length, stage.last)
                case _:
                    pass
        for op in done:
            if isinstance(op, ops.Flush):
                self._stored(op.map, op.offset, op.length, None)

    def _refused(self, index: int) -> bool:
        """Say whether the op is to end in an errno or a signal."""
        before = self._program.ops[index - 1] if index else None
        return isinstance(before, ops.ExpectErrno | ops.ExpectSignal)

    def _stored(self, name: str, offset: int, length: int, origin: int | None) -> None:
        if self._names.shared(name):
            facts = self._names.facts[name]
            self._set(facts.file, facts.offset + offset, facts.offset + offset + length, origin)

    def _set(self, id: int, low: int, high: int, origin: int | None) -> None:
        self.origins[id] = self.origins.get(id, _NONE).set(low, high, origin)

    def _move(self, op: Op, before: dict[int, FileState], after: Mapping[int, FileState]) -> None:
        """Move origins as a collapse or an insert moves bytes; the reproducer moves its marks in the same way.

        `before` is that of the op afterwards: nobody has changed what was moved.
        """
        for fd, offset, length in shifted(op):
            id = self._names.files[fd]
            for held in (self.origins, self.judged):
                old = held.get(id, _NONE)
                held[id] = old.removed(offset, -length) if length < 0 else old.inserted(offset, length, None)
            before[id] = after[id]

    def promised(self, state: State, first: int, last: int) -> Iterator[PromisedPages]:
        """Yield what the ops from `first` to `last` promised and nobody judged before, and count it as judged."""
        for id, file in state.files.items():
            if not any(name.current == id for name in state.names.values()):
                continue  # after a cut nobody can read it
            pages = [(low, high) for low, high, wanted in self._pages(file, first, last).runs() if wanted]
            if pages:
                yield PromisedPages(last, id, tuple(pages))

    def _pages(self, file: FileState, first: int, last: int) -> Extents[bool]:
        """The pages to judge: they have bytes that are to be judged, and no others that were stored and not promised.
        """
        wanted, barred = Extents.of(False), Extents.of(False)
        judged = self.judged.get(file.id, _NONE)
        new: list[tuple[int, int, int]] = []
        for low, high, origin, byte in self._stored_bytes(file):
            if byte.promised_by is None or not first <= byte.promised_by <= last:
                barred = barred.set(low // PAGE, -(-high // PAGE), True)
            elif self._certain(byte, origin):
                new.append((low, high, origin))
        for low, high, origin in new:
            for a, b, bad in barred.runs(low // PAGE, -(-high // PAGE)):
                if not bad:
                    wanted = wanted.set(a, b, True)
                    judged = judged.set(max(low, a * PAGE), min(high, b * PAGE), origin)
        self.judged[file.id] = judged
        return wanted

    def _stored_bytes(self, file: FileState) -> Iterator[tuple[int, int, int, Allowed]]:
        """Yield the bytes that were stored through a mapping and not judged since: start, end, origin, what is allowed.
        """
        origins, judged = self.origins.get(file.id, _NONE), self.judged.get(file.id, _NONE)
        for low, high, byte in file.contents.runs(0, file.shortest):
            for a, b, origin in origins.runs(low, high):
                if origin is not None:
                    yield from ((x, y, origin, byte) for x, y, before in judged.runs(a, b) if before != origin)

    def _certain(self, byte: Allowed, origin: int) -> bool:
        """Say whether the media hold, whichever of its contents it has, one that was stored through a mapping."""
        if not byte.settled or not all(isinstance(source, Stamp) for source in byte.current):
            return False
        if isinstance(self._program.ops[origin], ops.ReadInto):
            return True
        made = [self._ops_of.get(source.seq) for source in byte.current if isinstance(source, Stamp)]
        return all(isinstance(op, ops.Store | ops.DirectStore) for op in made)


def shifted(op: Op) -> Iterator[tuple[str, int, int]]:
    """Yield the descriptor and the offset from which the op moves whole pages of its file, and how far."""
    match op:
        case ops.Fallocate(fd, Mode.COLLAPSE_RANGE, offset, length) if not (offset | length) % PAGE:
            yield fd, offset, -length
        case ops.Fallocate(fd, Mode.INSERT_RANGE, offset, length) if not (offset | length) % PAGE:
            yield fd, offset, length
        case _:
            pass


def _changed(before: FileState, after: FileState) -> Iterator[tuple[int, int]]:
    """Yield the bytes that may read as something else."""
    for low, high, byte in after.contents.runs():
        for a, b, old in before.contents.runs(low, high):
            if byte.current != old.current:
                yield a, b
