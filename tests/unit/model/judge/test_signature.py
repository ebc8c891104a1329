"""A signature is the same for the same cause, wherever in a Program and under whatever seed it shows, and differs for
different causes."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.model.contract import oracle
from harness.model.judge import culprit, verdict
from harness.model.judge.values import Answers, Condition, Said, Stored
from harness.model.judge.violation import LIVE, Culprit, Kind, Violation
from harness.model.program.program import parse
from harness.model.units import PAGE, PMD
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.observation import FileView, Segment, Source, Stamp, Zero
from harness.model.wire.traced import Dropped, Traced

PUNCH = ("truncate_pagecache_range", "ext4_punch_hole", "ext4_fallocate", "vfs_fallocate", "__x64_sys_fallocate")
COLLAPSE = ("truncate_pagecache", "ext4_collapse_range", "ext4_fallocate", "vfs_fallocate", "__x64_sys_fallocate")
HEAD = "daxcheck program 1\n"
BODY = """create f {name}
fallocate f allocate 0 8M
mmap m f 0 8M
store m {at} 2M
fsync f
fsyncdir
store m {at} 2M
fallocate f punch_hole {hole} 4K
msync m 0 8M
cut_power
"""
BEFORE = "create g other\npwrite g 0 4K\n"


def lost(start: int, hole: int, image: str, before: str = "", name: str = "data", stack: Sequence[str] = PUNCH) -> str:
    """The signature of the loss of what was stored last at [start, start+2M), but for the page punched at `hole`."""
    program = parse(HEAD + before + BODY.format(name=name, at=start, hole=hole))
    punch = len(program.ops) - 3
    states, file = oracle.run(program), 2 if before else 1
    old = Stamp(2 if before else 1, file)
    held: list[tuple[int, int, Source]] = [
        (0, start, Zero()), (start, hole, old), (hole, hole + PAGE, Zero()), (hole + PAGE, start + PMD, old),
        (start + PMD, 4 * PMD, Zero()),
    ]  # fmt: skip
    segments = tuple(Segment(low, high, source) for low, high, source in held if low < high)
    views = [FileView(name, 4 * PMD, segments)]
    if before:
        views.append(FileView("other", PAGE, (Segment(0, PAGE, Stamp(1, 1)),)))
    violations = verdict.judge(program, states[-1], views, image).violations
    dropped = Dropped(punch, "dax_delete_mapping_entry", 0, start, start + PMD, tuple(stack))
    found = {one.signature for one in culprit.name(program, violations, Traced(dropped=(dropped,)), states)}
    (signature,) = found
    return signature


SAME = "stale; msync; cut; store not store; dax_delete_mapping_entry <- ext4_punch_hole <- vfs_fallocate"


def test_the_same_cause_elsewhere() -> None:
    """Other offsets, op indices, stamps, names and images: the same signature, and nothing of them in it."""
    assert lost(0, 16 * PAGE, "pessimistic") == SAME
    assert lost(PMD, PMD + 3 * PAGE, "random:7") == SAME
    assert lost(2 * PMD, 2 * PMD, "evicted", BEFORE, "file") == SAME


def test_another_cause() -> None:
    """Another function that dropped the entry is another cause, at the same place in the same Program."""
    other = lost(0, 16 * PAGE, "pessimistic", stack=COLLAPSE)
    assert other == SAME.replace("punch_hole", "collapse_range")


LOSS = Violation(
    Kind.STALE, "data", 8, "msync", "pessimistic", ((0, PMD),), PMD, Stored(2, 6), Stored(1, 3),
    Culprit(7, "dax_delete_mapping_entry", ("ext4_punch_hole", "vfs_fallocate"), 0, PMD, 1),
)  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"ranges": ((PAGE, PAGE + 64),), "bytes": 64}, {"image": "random:3"}, {"path": "other"}, {"op": 3},
        {"expected": Stored(7, 1)}, {"found": Stored(5, 2)},
        {"culprit": Culprit(2, "dax_delete_mapping_entry", ("ext4_punch_hole", "vfs_fallocate"), PMD, 2 * PMD, 9)},
        {"culprit": Culprit(7, "dax_delete_mapping_entry.isra.0", ("ext4_punch_hole.cold", "vfs_fallocate"), 0, 8, 1)},
    ],
)  # fmt: skip
def test_what_does_not_matter(other: dict[str, object]) -> None:
    """Place, size, indices, image, and what another build calls a function."""
    assert replace(LOSS, **other).signature == LOSS.signature  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": Kind.TORN}, {"verb": "fsync"}, {"image": LIVE}, {"expected": Condition.ZERO}, {"culprit": None},
        {"found": Condition.ZERO}, {"found": Stored(1, 3, "other")}, {"found": Stored(1, 3, shift=-PAGE)},
        {"culprit": Culprit(7, "dax_delete_mapping_entry", ("xfs_flush_unmap_range", "vfs_fallocate"), 0, PMD, 1)},
        {"found": Answers(("EIO",))},
    ],
)  # fmt: skip
def test_what_matters(other: dict[str, object]) -> None:
    """Kind, promise, power on or off, and what was expected, found, and by whom it was forgotten."""
    assert replace(LOSS, **other).signature != LOSS.signature  # type: ignore[arg-type]


def complaint(line: str, phase: Phase = Phase.OP, op: int | None = 3) -> str:
    moment = Moment(phase, op)
    return Violation(
        Kind.KERNEL, "", op, "pread", LIVE, (), 0, Condition.SILENCE, Said(line), moment=moment
    ).signature  # fmt: skip


def test_the_same_complaint_of_a_kernel() -> None:
    """Times, processes, CPUs, addresses, lines and offsets are not in it; the function is."""
    one = complaint("warning: [   10.356896] WARNING: fs/dax.c:452 at dax_x.isra.0+0x9c/0xc0, CPU#0: init/107")
    two = complaint("warning: [ 9.1] WARNING: fs/dax.c:460 at dax_x+0x90/0xb8, CPU#11: init/99", op=5)
    assert one == two == "kernel; pread; op; live; warning: WARNING: fs/dax.c:# at dax_x#, CPU#: init/# not silence"
    assert complaint("warning: [ 9.1] WARNING: fs/dax.c:460 at dax_y+0x90/0xb8, CPU#11: init/99") != two
