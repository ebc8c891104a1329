"""Finds the zeroes that a reproducer reads back at once, with the power on, since no event tells what a file shows.

    store m 8K 4K                   the file ends at 9096, within this page
    copy_file_range f 13192 4K g    it now reaches further: [9096..12K) must read as zeroes

A cut is not needed to see a store there (ext4 6.12): the rules that judge a run hold for reads with the power on too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.contract.allowed import ZEROES
from harness.model.contract.extents import Extents
from harness.model.contract.state import State
from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.program.stages import stages
from harness.repro.naming import NamesInC


@dataclass(frozen=True, slots=True)
class Zeroes:
    """Bytes [start, end) of a file, by its id and its path, that must read as zeroes at the end.

    `fd` is a descriptor of the Program that is still open there; empty if all are closed.
    """

    file: int
    path: str
    fd: str
    start: int
    end: int


def zeroes(program: Program, names: NamesInC, state: State) -> Iterator[Zeroes]:
    """Yield the bytes that must read as zeroes in `state`, the last, and that the Program stored to through a shared
    mapping: before they were zeroed, or where the file had ended."""
    kinds = {type(op): index for index, op in enumerate(program.ops)}
    if kinds.get(ops.Umount, -1) > kinds.get(ops.Mount, -1):
        return  # nothing can be read
    stored = _stored(program, names)
    left = _left_open(program, names)
    for path in state.names:
        file = state.file(path)
        if file is None or file.id not in stored:
            continue
        wanted = Extents.of(False)
        for low, high, hit in stored.pop(file.id).runs(0, file.shortest):
            for start, end, byte in file.contents.runs(low, high) if hit else ():
                wanted = wanted.set(start, end, byte.current == ZEROES)
        fd = left.get(file.id, "")
        yield from (Zeroes(file.id, path, fd, low, high) for low, high, zero in wanted.runs() if zero)


def _left_open(program: Program, names: NamesInC) -> dict[int, str]:
    """By file a descriptor that is open at the end, and that no lane had to itself."""
    here = [op for stage in stages(program.ops) if not stage.races for op in (program.ops[stage.last],)]
    closed = {op.fd for op in here if isinstance(op, ops.Close)}
    opened = [op.fd for op in here if isinstance(op, ops.Create | ops.Tmpfile | ops.Open) and op.fd not in closed]
    return {names.files[fd]: names.fds[fd] for fd in opened if fd in names.files}


def _stored(program: Program, names: NamesInC) -> dict[int, Extents[bool]]:
    found: dict[int, Extents[bool]] = {}
    for op in program.ops:
        if isinstance(op, ops.Store) and names.shared(op.map):
            facts = names.facts[op.map]
            start = facts.offset + op.offset
            found[facts.file] = found.get(facts.file, Extents.of(False)).set(start, start + op.length, True)
    return found
