"""Tells from a Program alone what each of its ops did to which bytes of which file.

    store m1 0 4M                   STORE [0..4M) of data     m1 maps data from 0 on
    fallocate f1 punch_hole 64K 4K  CHANGE [64K..68K)
    msync m1 0 8M                   PROMISE [0..8M)           all that the contract makes certain by it

Ops are taken to have succeeded: what a kernel refused is not in a results file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.model.contract import oracle
from harness.model.contract.filestate import FileState
from harness.model.contract.state import NOTHING, State
from harness.model.judge.result import CellResult
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.program import Program, ProgramError, parse
from harness.model.program.traits import mapping, traits
from harness.model.setting.hardware import TRAITS
from harness.report.html.axis import Span


class Deed(StrEnum):
    """The things that are drawn of an op: the first five by the Program, the others by the kernel's own account."""

    STORE = "store"  # through a mapping: it stays in the CPU caches
    WRITE = "write"  # write(2) and its like: past the caches
    CHANGE = "change"  # the blocks of these bytes come, go or move
    FLUSH = "flush"  # clwb and sfence by the program itself
    PROMISE = "promise"  # durable for certain, once the op has returned
    DIRTIED = "dirtied"  # a write fault left a dirty entry
    WRITTEN = "written"  # the kernel wrote a dirty entry back
    DROPPED = "dropped"  # the kernel took a dirty entry out, and had not written it back


@dataclass(frozen=True, slots=True)
class Done:
    """Op `index` did this to bytes [start, end) of file `file` (its id in the Program)."""

    index: int
    deed: Deed
    file: int
    start: int
    end: int

    @property
    def span(self) -> Span:
        """The bytes as a pair."""
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class Course:
    """A Program, its state after each op, what its ops did, and a label for each file by id."""

    program: Program
    states: tuple[State, ...]
    done: tuple[Done, ...]
    labels: Mapping[int, str]

    @property
    def last(self) -> State:
        """The state at the cut."""
        return self.states[-1] if self.states else NOTHING

    def file(self, path: str) -> FileState | None:
        """The file that a violation's path means: of that name at the cut, or else when it was made."""
        made = {name: id for id, name in enumerate(self.program.paths(), start=1)}
        return self.last.file(path) or self.last.files.get(made.get(path, 0))


def course(result: CellResult) -> Course | None:
    """The course of a result's Program; None where a user has spoilt it in the results file."""
    try:
        program = parse(result.program)
    except ProgramError:
        return None
    states = oracle.run(program, domain=TRAITS[result.device].domain)
    done = tuple(one for index in range(len(program.ops)) for one in _deeds(program, states, index))
    return Course(program, states, done, _labels(program, states[-1] if states else NOTHING))


def _labels(program: Program, last: State) -> dict[int, str]:
    now = {name.current: path for path, name in last.names.items()}
    return {id: now.get(id, f"{path} (no name)") for id, path in enumerate(program.paths(), start=1)}


def _deeds(program: Program, states: tuple[State, ...], index: int) -> Iterator[Done]:
    op, before, after = program.ops[index], states[index - 1] if index else NOTHING, states[index]
    facts = traits(op)
    if where := _where(op, before):
        file, start, end = where
        if isinstance(op, ops.Flush):
            yield Done(index, Deed.FLUSH, file, start, end)
        elif facts.stores:
            yield Done(index, Deed.STORE, file, start, end)
        elif facts.stamps or facts.copies:
            yield Done(index, Deed.WRITE, file, start, end)
        elif facts.frees or facts.moves or facts.shares:
            yield Done(index, Deed.CHANGE, file, start, end)
    if facts.promises:
        for id, file_state in after.files.items():
            yield from (Done(index, Deed.PROMISE, id, *span) for span in _promised(file_state, index))


def _where(op: Op, before: State) -> tuple[int, int, int] | None:
    """The file of an op and its bytes there; None if it has no range, or what it names is not there."""
    map, fd = mapping(op), getattr(op, "fd", "")
    offset, length = getattr(op, "offset", 0), getattr(op, "length", 0)
    if isinstance(op, ops.Ftruncate) and (file := before.fds.get(fd)):
        ends = sorted((op.size, before.files[file].longest))
        return (file, ends[0], ends[1]) if ends[0] < ends[1] else None
    if isinstance(op, ops.WriteFrom):
        map = ""
    if map:
        mapped = before.maps.get(map)
        return (mapped.file, mapped.offset + offset, mapped.offset + offset + length) if mapped and length else None
    file = before.fds.get(fd)
    if isinstance(op, ops.CloneFile | ops.Swapext) and file:
        length = before.files[file].longest
    return (file, offset, offset + length) if file and length else None


def _promised(file: FileState, index: int) -> Iterator[Span]:
    """Yield the bytes of the file, up to its end, that op `index` was the last to make certain, joined."""
    start = end = 0
    for low, high, byte in file.contents.runs(0, file.longest):
        if byte.promised_by != index:
            continue
        if low > end and start < end:
            yield start, end
            start = low
        elif start == end:
            start = low
        end = high
    if start < end:
        yield start, end
