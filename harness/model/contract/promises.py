"""Finds the moments when a run had promised something: a cut is worth a look at these."""

from collections.abc import Iterator, Sequence

from harness.model.contract.state import NOTHING, State
from harness.model.program.program import Program
from harness.model.program.stages import stages


def made(program: Program, states: Sequence[State]) -> tuple[int, ...]:
    """The last op of each stage that has made something durable which was not certain before; `states` as oracle.run
    gives them.

    The promise of an op depends on the results of it and of the ops before: an msync that failed has promised nothing,
    nor has one of a private mapping, or a flush of a mapping without MAP_SYNC. Ops of lanes have promised when their
    join has returned, and only what no other lane may have changed.
    """
    found = []
    for stage in stages(program.ops):
        before = states[stage.first - 1] if stage.first else NOTHING
        if any(stage.first <= index <= stage.last for index in _promised(before, states[stage.last])):
            found.append(stage.last)
    return tuple(found)


def _promised(before: State, state: State) -> Iterator[int]:
    """The ops that promised what the state has of promises: contents, sizes, blocks and names. Those of files that no
    op changed since `before` are left out."""
    found = [name.promised_by for name in state.names.values()]
    for id, file in state.files.items():
        if file is not before.files.get(id):
            found.append(file.size_by)
            found += [byte.promised_by for byte in file.held.values]
            found += [allocation.durable_by for allocation in file.allocation.values]
    return (index for index in found if index is not None)
