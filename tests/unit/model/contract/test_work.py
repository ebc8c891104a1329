"""The work of the oracle and the judges grows with the ops of a Program as the ops do. It is counted, not timed."""

import cProfile
from collections.abc import Callable
from typing import TypeVar

from harness.model.contract import oracle, promises
from harness.model.contract.allowed import Anything
from harness.model.contract.state import NOTHING, State
from harness.model.contract.worth import why_not_judged
from harness.model.judge import coverage, verdict
from harness.model.judge.refusal import judge_refusals
from harness.model.program import ops
from harness.model.program.program import Program, parse
from harness.model.wire.observation import FileView, OpResult, Segment
from harness.model.wire.traced import FileBlock, Flushed, Placed, Traced

T = TypeVar("T")
FEW = 8
MORE = 2.2
"""Twice the ops may take so many times the work: what a Program begins with is the same."""
BEGIN = "daxcheck program 1\ncreate f data\nfsync f\nfsyncdir\npwrite f 0 256K\n"
ROUND = """
pwrite f 0 256K
fallocate f collapse_range 8K 16K
fallocate f insert_range 64K 16K
mmap m{0} f 16K 16K
store m{0} 100 5000
load m{0} 0 16K
munmap m{0}
copy_file_range f 100K 30000 f 10K
fallocate f punch_hole 33333 9999
pread f 5000 200K
fallocate f zero_range 150000 20000
ftruncate f 100001
ftruncate f 256K
fsync f
"""


def rounds(count: int) -> Program:
    """A Program of as many rounds, each of which stores to the file, moves it, copies in it, and syncs it."""
    return parse(BEGIN + "".join(ROUND.format(number) for number in range(1, count + 1)) + "cut_power\n")


def work(of: Callable[[], T]) -> tuple[int, T]:
    """The number of functions that were called, and what came of it."""
    profile = cProfile.Profile()
    made = profile.runcall(of)
    return sum(entry.callcount for entry in profile.getstats()), made


def shown(state: State, start: int, end: int) -> tuple[Segment, ...]:
    """What a sound kernel shows of the file."""
    runs = state.files[1].held.runs(start, end)
    sources = ((low, high, next(iter(byte.current))) for low, high, byte in runs)
    return tuple(Segment(low, high, one) for low, high, one in sources if not isinstance(one, Anything))


def answers(program: Program, states: tuple[State, ...]) -> list[OpResult]:
    """What the ops of a sound kernel return."""
    found = []
    for index, op in enumerate(program.ops):
        before = states[index - 1] if index else NOTHING
        done = op.length if isinstance(op, ops.CountedOp) else None
        segments: tuple[Segment, ...] = ()
        if isinstance(op, ops.Pread):
            segments = shown(before, op.offset, op.offset + op.length)
        elif isinstance(op, ops.Load):
            start = before.maps[op.map].offset + op.offset
            segments = shown(before, start, start + op.length)
        found.append(OpResult(index, segments=segments, done=done))
    return found


def judged(count: int) -> dict[str, int]:
    """The work of each step for so many rounds, none of which shows anything wrong."""
    program = rounds(count)
    last = len(program.ops) - 1
    traced = Traced(tuple(Flushed(index, ((0, 1 << 20),)) for index in range(last)),
                    tuple(Placed(index, 1, (FileBlock(0, 0, 1 << 20),)) for index in range(last)))  # fmt: skip
    worth, why = work(lambda: why_not_judged(program))
    ran, states = work(lambda: oracle.run(program))
    results = answers(program, states)
    told, _ = work(lambda: oracle.run(program, results))
    refused, refusals = work(lambda: judge_refusals(program, states, results))
    read, reads = work(lambda: verdict.judge_reads(program, states, results))
    view = FileView("data", states[-1].files[1].longest, shown(states[-1], 0, states[-1].files[1].longest))
    seen, image = work(lambda: verdict.judge(program, states[-1], [view], "image"))
    covered, flushes = work(lambda: coverage.judge(program, states, states[-1], traced))
    made, moments = work(lambda: promises.made(program, states))
    assert not why and not refusals.violations and not refusals.faults and len(moments) > count
    assert not reads.violations and not image.violations and reads.judged_bytes and image.judged_bytes
    assert not flushes.violations and flushes.judged_bytes
    return {"worth": worth, "ran": ran, "told": told, "refused": refused, "read": read, "seen": seen,
            "covered": covered, "made": made}  # fmt: skip


def test_twice_the_ops_take_twice_the_work() -> None:
    """Of every step that the host does for a Program whose answers are all right."""
    once, twice = judged(FEW), judged(2 * FEW)
    assert {step: (one, twice[step]) for step, one in once.items() if twice[step] > MORE * one} == {}
    assert twice["ran"] > 1.5 * once["ran"]


def test_validity_is_known_after_the_first_ops() -> None:
    """A Program without a read is worked through up to the op that syncs contents, and no further."""

    def asked(inserts: int) -> int:
        program = parse(BEGIN + "fsync f\n" + "fallocate f insert_range 0 4K\n" * inserts + "cut_power\n")
        calls, why = work(lambda: why_not_judged(program))
        assert why == ""
        return calls

    assert asked(200) - asked(100) < 20 * 100  # an insert that is worked through takes hundreds of calls
