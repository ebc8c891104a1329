"""A cause is the same for the same fault, wherever in a Program and under whatever seed it shows, and differs for
different faults."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.findings.cause import cause, causes, family
from harness.model.contract import oracle
from harness.model.judge import culprit, verdict
from harness.model.judge.values import Answers, Condition, Said, Stored
from harness.model.judge.violation import LIVE, Culprit, Kind, Violation
from harness.model.program.program import HEADER, Program, parse
from harness.model.units import PAGE, PMD
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.observation import FileView, Segment, Source, Stamp, Zero
from harness.model.wire.traced import Dropped, Traced
from tests.unit.findings.cells import PROGRAM as PUNCHED
from tests.unit.findings.cells import cell

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
    traced = Traced(dropped=(dropped,))
    found = {cause(one, program).signature for one in culprit.name(program, violations, traced, states)}
    (signature,) = found
    return signature


SAME = "dropped; dax_delete_mapping_entry <- ext4_punch_hole <- ext4_fallocate"


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


UNKNOWN = replace(LOSS, culprit=None)
PROGRAM = parse(HEAD + BODY.format(name="data", at=0, hole=0))


def signature(violation: Violation, program: Program | None = PROGRAM) -> str:
    return cause(violation, program).signature


@pytest.mark.parametrize(
    "other",
    [
        {"ranges": ((PAGE, PAGE + 64),), "bytes": 64}, {"image": "random:3"}, {"path": "other"},
        {"expected": Stored(7, 1)}, {"found": Stored(5, 2)},
    ],
)  # fmt: skip
def test_what_does_not_matter(other: dict[str, object]) -> None:
    """Place, size, indices and image, whether it is known who forgot the bytes or not."""
    for one in (LOSS, UNKNOWN):
        assert signature(replace(one, **other)) == signature(one)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": Kind.TORN}, {"kind": Kind.ZERO, "found": Condition.ZERO}, {"verb": "fsync", "op": 6},
        {"culprit": Culprit(2, "dax_delete_mapping_entry", ("ext4_punch_hole", "vfs_fallocate"), PMD, 2 * PMD, 9)},
        {"culprit": Culprit(7, "dax_delete_mapping_entry.isra.0", ("ext4_punch_hole.cold", "vfs_fallocate"), 0, 8, 1)},
    ],
)  # fmt: skip
def test_one_drop_has_many_faces(other: dict[str, object]) -> None:
    """A dropped entry is one fault, whatever the cut showed of it, and whatever another build calls the function."""
    assert signature(replace(LOSS, **other)) == signature(LOSS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": Kind.TORN}, {"verb": "fsync"}, {"image": LIVE}, {"expected": Condition.ZERO},
        {"found": Condition.ZERO}, {"found": Stored(1, 3, "other")}, {"found": Stored(1, 3, shift=-PAGE)},
        {"found": Answers(("EIO",))}, {"op": 6}, {"culprit": LOSS.culprit},
    ],
)  # fmt: skip
def test_what_matters(other: dict[str, object]) -> None:
    """Where nobody is known: kind, promise, power on or off, what was expected and found, and what came before."""
    assert signature(replace(UNKNOWN, **other)) != signature(UNKNOWN)  # type: ignore[arg-type]


INSIDE = ("ext4_truncate_page_cache_block_range", "{}", "vfs_fallocate")


def test_the_whole_way_through_the_file_system_matters() -> None:
    """Two calls that reach one helper are two causes: 6.12's ext4 drops in the same one for a hole and a zero range."""
    stacks = [tuple(frame.format(name) for frame in INSIDE) for name in ("ext4_punch_hole", "ext4_zero_range")]
    causes = [replace(LOSS, culprit=Culprit(7, "dax_delete_mapping_entry", stack, 0, PMD, 1)) for stack in stacks]
    assert signature(causes[0]) != signature(causes[1])


RACE = """create f data
fallocate f allocate 0 8M
mmap m f 0 8M
store m 0 4K
lane a
store m 0 4K
lane b
fallocate f punch_hole 4K 4K
join
msync m 0 8M
cut_power
"""


def test_family() -> None:
    """The op that disturbed the file last before the promise; a race if lanes did; nothing before the first store."""
    assert family(replace(UNKNOWN, op=8), PROGRAM) == "punch_hole"
    assert family(replace(UNKNOWN, op=5), PROGRAM) == ""
    assert family(replace(UNKNOWN, op=None), PROGRAM) == ""
    assert family(UNKNOWN, None) == ""
    race = parse(HEAD + RACE)
    assert [family(replace(UNKNOWN, op=op), race) for op in (3, 5, 7, 9)] == ["", "race", "race", "race"]


def test_family_is_of_the_same_file() -> None:
    """What happened to another file is not why this one lost data."""
    program = parse(f"{HEADER}\ncreate f data\nftruncate f 4K\nmmap m f 0 4K\ncreate g other\nstore m 0 4K\n"
                    "ftruncate g 0\nsync\nclone_file g f\nsync\ncut_power\n")  # fmt: skip
    one = replace(UNKNOWN, path="data", op=6)
    assert family(one, program) == ""
    assert family(replace(one, path="other"), program) == "ftruncate"
    assert family(replace(one, op=8), program) == "clone_file"
    assert family(replace(one, path="nobody"), program) == "ftruncate"


def complained(line: str, phase: Phase = Phase.OP, op: int | None = 3, image: str = LIVE) -> Violation:
    moment = Moment(phase, op)
    return Violation(Kind.KERNEL, "", op, "pread", image, (), 0, Condition.SILENCE, Said(line), moment=moment)


WARNINGS = (
    "warning: [   10.356896] WARNING: fs/dax.c:452 at dax_x.isra.0+0x9c/0xc0, CPU#0: init/107",
    "warning: [ 9.1] WARNING: fs/dax.c:460 at dax_x+0x90/0xb8, CPU#11: init/99",
    "warning: [    7.1] WARNING: CPU: 0 PID: 1 at fs/dax.c:380 dax_x+0x1b1/0x310",
)


def test_the_same_complaint_of_a_kernel() -> None:
    """Function and file are in it, on all versions; time, process, CPU, line, op and phase are not."""
    found = {signature(complained(line, op=op)) for op, line in enumerate(WARNINGS)}
    found |= {signature(complained(WARNINGS[0], phase=Phase.RECOVERY, op=None, image="evicted"))}
    assert found == {"kernel; WARNING in dax_x (fs/dax.c)"}
    other = "warning: [ 9.1] WARNING: fs/dax.c:460 at dax_y+0x90/0xb8, CPU#11: init/99"
    assert signature(complained(other)) == "kernel; WARNING in dax_y (fs/dax.c)"
    assert signature(complained("bug: [ 8.0] kernel BUG at fs/inode.c:650!")) == "kernel; BUG in fs/inode.c"
    hung = "hung task: not back from the kernel for 9 s: op {} of lane 1, S in ext4_x.isra.0 <- y; op 8 of lane 0, D"
    assert {signature(complained(hung.format(op))) for op in (10, 13)} == {"kernel; hung in ext4_x"}
    odd = "file system: [ 3.2] EXT4-fs error (device pmem0): ext4_x:12: inode #13: bad"
    assert signature(complained(odd)) == "kernel; file system: EXT#-fs error (device pmem#): ext#_x:#: inode #: bad"


BUG = complained("bug: [ 8.0] kernel BUG at fs/inode.c:650!")
OOPS = complained("oops: [ 8.1] Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI")
SECOND = complained("oops: [ 8.3] Oops: 0000 [#2] PREEMPT SMP NOPTI")
PANIC = complained("panic: [ 8.2] Kernel panic - not syncing: Fatal exception")
SLEEPING = complained("bug: [ 7.0] BUG: sleeping function called from invalid context at mm/x.c:1")
FAULT = complained("oops: [ 8.1] Oops: general protection fault: 0000 [#1] PREEMPT SMP NOPTI")
OTHER = complained("panic: [ 8.2] Kernel panic - not syncing: XFS: log is lost")


def found_in(*violations: Violation) -> list[int]:
    """The number of violations of each cause."""
    return [len(of) for of in causes(cell(*violations)).values()]


def test_what_follows_from_a_bug_is_of_its_cause() -> None:
    """The first oops, and a panic that only says that something died; nothing else, and in no other image."""
    assert found_in(BUG, OOPS, PANIC) == [3]
    assert found_in(OOPS, PANIC) == [2]
    assert found_in(BUG, OOPS, SECOND) == [2, 1]
    assert found_in(BUG, OTHER) == [1, 1]
    assert found_in(PANIC, OOPS) == [1, 1]
    assert found_in(SLEEPING, FAULT, PANIC) == [1, 2]
    assert found_in(BUG, replace(OOPS, image="evicted")) == [1, 1]
    assert found_in(BUG, complained(WARNINGS[0]), OOPS) == [2, 1]


def test_what_a_cut_inside_an_op_alone_shows_is_of_that_op() -> None:
    """Whatever moment in it was looked at, whichever instruction was there, and whatever was done before the promise;
    it is no loss that a cut after an op shows."""
    program = parse(PUNCHED)
    first = replace(UNKNOWN, op=4, verb="fsync", image="inside op 6 at record 12", fence="jbd2_x+0x5e")
    others = [replace(first, image="inside op 6 at record 400, random:3", fence="ext4_y+0x1"), replace(first, op=2)]
    (found,) = {signature(one, program) for one in (first, *others, replace(first, fence=""))}
    assert found == "stale; fsync; cut inside punch_hole; store not store"
    for image in ("inside op 5 at record 3", "after op 6", "pessimistic"):
        assert signature(replace(first, image=image), program) != found
    assert signature(replace(first, image="inside op 99 at record 3"), program).count("cut inside an op") == 1
