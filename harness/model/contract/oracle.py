"""The contract of the system calls: from a Program alone, what each file must read as and may be after a cut.

This knows nothing of any file system or of caches. A rule that is stricter than what a kernel does is the
test; one that is laxer than the documents is a hole in it. Every rule names its document; they stand in contract.rules.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from harness.model.contract.domain import PersistenceDomain
from harness.model.contract.during import during
from harness.model.contract.effect import Effect, came, effect
from harness.model.contract.evidence import seen, told
from harness.model.contract.rules import copies, files, lanes, mappings, names, syncs
from harness.model.contract.state import NOTHING, State, Step
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.program import Expect, Program
from harness.model.program.stages import by_op, stages
from harness.model.wire.observation import FileView, OpResult


def run(
    program: Program,
    results: Iterable[OpResult] = (),
    domain: PersistenceDomain = PersistenceDomain.MEMORY_CONTROLLER,
    journal: bool = True,
) -> tuple[State, ...]:
    """The state after each op; the last is the one at the cut. Results that are not given are taken to be success.

    An op that was refused changed nothing and promised nothing, and an op on a name that it was to define does nothing
    either; one that failed half-way may have changed all, nothing, or a part, but surely what it said it had done. The
    state after an op of a lane is what that lane may see in its last run, good for judging what it read; the state
    after the join is the next to cut at. Where a race, or an op that failed half-way, leaves several contents, a later
    read shows which of them it is.
    """
    return tuple(steps(program, results, domain, journal))


def steps(
    program: Program,
    results: Iterable[OpResult] = (),
    domain: PersistenceDomain = PersistenceDomain.MEMORY_CONTROLLER,
    journal: bool = True,
) -> Iterator[State]:
    """The states of `run`, each worked out when it is asked for."""
    one_run = _OracleRun(program, {result.index: result for result in results}, Step(0, domain=domain, journal=journal))
    state = NOTHING
    for stage in stages(program.ops):
        before = state
        if stage.races:
            state, seen_by_lanes = lanes.run(state, stage, program.ops, one_run.step)
            yield from seen_by_lanes[:-1]
        else:
            state = one_run.told(one_run.step(state, stage.first), stage.first)
        state = state.since(before)
        yield state


def at_cut(program: Program, states: Sequence[State], live: Iterable[FileView] = ()) -> State:
    """Return the state to judge the final image against, when the files were seen to be `live` right before the cut:
    for a Program that expects a loss, as though all had been synced. `states` are those of its run."""
    state = seen(states[-1] if states else NOTHING, live)
    if program.expect is not Expect.LOSS:
        return state
    # A control is to lose contents; that it lost blocks without contents as well would say nothing.
    return syncs.everything(state, len(program.ops) - 1, blocks=False)


def within(program: Program, states: Sequence[State], index: int, journal: bool = True) -> State:
    """Return what the media may hold while op `index` runs, or the race that it is part of; `states` are those of its
    run, on a file system with a `journal` or without.

    With one, all that the media may hold right before the op or right after it, they may hold here too, and little
    else (see contract.during).
    """
    stage = by_op(program.ops)[index]
    before = states[stage.first - 1] if stage.first else NOTHING
    return during([before, *(states[one] for one in stage.indices)], journal)


def after(program: Program, states: Sequence[State], index: int, journal: bool = True) -> State:
    """Return what the media may hold right after op `index`; when that is the op of a lane, the race still runs."""
    last = by_op(program.ops)[index].last
    return states[index] if index == last else within(program, states, index, journal)


class _OracleRun:
    """Knows a Program's numbers and what became of each op."""

    def __init__(self, program: Program, results: dict[int, OpResult], setting: Step) -> None:
        self._ops = program.ops
        self._results = results
        self._seqs, self._ids = program.seqs(), program.file_ids()
        self._setting = setting

    def told(self, state: State, index: int) -> State:
        """The state, when the op has shown what some file holds."""
        result = self._results.get(index)
        return told(state, self._ops[index], result) if result else state

    def step(self, state: State, index: int, again: bool = False) -> State:
        """The state after op `index`; `again`: its result may be that of another of its runs."""
        op = self._ops[index]
        step = replace(self._setting, index=index, seq=self._seqs.get(index, 0), file=self._ids.get(index, 0))
        foreseen = self._ops[index - 1] if index else None
        result = self._results.get(index)
        done = came(op, result, foreseen, again)
        after = state if done is None else apply(state, step, done)
        match effect(op, result, again):
            case Effect.NONE:
                return after
            case Effect.PART:
                return after.either(apply(state, step, op))
            case Effect.DONE:
                return _in_another_process(state, after) if isinstance(foreseen, ops.ExpectSignal) else after


def _in_another_process(before: State, after: State) -> State:
    """The op ran in a forked process (ops.ExpectSignal): its page tables and private copies are gone with it."""
    return replace(
        after, maps={name: mapping.observing(after.files[mapping.file]) for name, mapping in before.maps.items()}
    )


def apply(state: State, step: Step, op: Op) -> State:
    """The state after an op that succeeded."""
    match op:
        case ops.Create() | ops.Open() | ops.Close() | ops.Rename() | ops.Link() | ops.Unlink():
            return names.apply(state, step, op)
        case ops.Mkdir() | ops.Rmdir() | ops.SymbolicLink() | ops.Tmpfile() | ops.LinkFd():
            return names.apply(state, step, op)
        case ops.Fallocate() | ops.Ftruncate() | ops.Pwrite():
            return files.apply(state, step, op)
        case ops.CloneFile() | ops.Clone() | ops.Dedupe() | ops.CopyFileRange() | ops.ExchangeRange() | ops.Swapext():
            return copies.apply(state, step, op)
        case ops.ReadInto() | ops.WriteFrom() | ops.Splice() | ops.Sendfile():
            return copies.apply(state, step, op)
        case ops.Mmap() | ops.Munmap() | ops.Mremap() | ops.Madvise() | ops.Store() | ops.Flush() | ops.DirectStore():
            return mappings.apply(state, step, op)
        case ops.Mresize() | ops.MmapOver():
            return mappings.apply(state, step, op)
        case ops.Msync() | ops.Fsync() | ops.Fdatasync() | ops.Fsyncdir() | ops.SyncFileRange():
            return syncs.apply(state, step, op)
        case ops.Syncfs() | ops.Sync() | ops.Freeze() | ops.Umount() | ops.Shutdown():
            return syncs.apply(state, step, op)
        case ops.Mlock():
            return state  # mlock(2) faults pages in; that may copy private ones, which mmap(2) leaves open anyway
        case ops.Load() | ops.Pread() | ops.DirectLoad() | ops.Mprotect() | ops.SetDax():
            return state  # mprotect(2) changes what may be done, FS_XFLAG_DAX (dax.rst) how it is done: never contents
        case ops.Thaw() | ops.Remount() | ops.Mount() | ops.DropCaches() | ops.Fill() | ops.Unfill():
            return state  # proc(5) drop_caches: only what is clean goes, "a non-destructive operation"
        case ops.Lane() | ops.Barrier() | ops.Join():
            return state  # lanes.run
        case ops.ExpectMapped() | ops.ExpectDax() | ops.ExpectErrno() | ops.ExpectShort() | ops.ExpectSignal():
            return state
        case ops.Observe() | ops.Planted() | ops.CutPower():
            return state
        case _:
            assert_never(op)
