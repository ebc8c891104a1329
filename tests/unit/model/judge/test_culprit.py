"""Who forgot a lost range: by the entries that were dropped after its store and not after the promise."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.model.contract import oracle
from harness.model.judge import coverage, culprit, verdict
from harness.model.judge.naming import Naming
from harness.model.judge.values import Condition, Stored
from harness.model.judge.violation import Culprit, Kind, Violation, trimmed
from harness.model.program.program import Expect, parse
from harness.model.units import PAGE, PMD
from harness.model.wire.observation import FileView, Segment, Source, Stamp, Zero
from harness.model.wire.traced import Dropped, FileBlock, Flushed, Placed, Range, Traced
from harness.report.words import Words

FALLOCATE = ("vfs_fallocate", "ksys_fallocate", "__x64_sys_fallocate", "do_syscall_64",
             "entry_SYSCALL_64_after_hwframe")  # fmt: skip
PUNCH = ("truncate_inode_pages_range", "truncate_pagecache_range", "ext4_punch_hole", "ext4_fallocate", *FALLOCATE)
DELETE = "dax_delete_mapping_entry"
INODE = 12

TEXT = """daxcheck program 1
create f data
fallocate f allocate 0 4M
mmap m f 0 4M
store m 0 4M
msync m 0 4M
store m 0 2M
fallocate f punch_hole 64K 4K
msync m 0 4M
cut_power
"""  # op 5 stores, 6 punches, 7 promises
TWO = TEXT.replace("mmap m", "create g other\nmmap m")  # the same an op later, beside another file


def lost(text: str, ranges: Sequence[Range], op: int = 7, kind: Kind = Kind.STALE) -> Violation:
    """The first promise of `text` broken at op `op`, as a cut shows it."""
    program = parse(text)
    state = oracle.run(program)[-1]
    file = state.file("data")
    assert file is not None
    naming = Naming(program, "data", file.id)
    expected = naming.sources(file.contents.at(ranges[0][0]).current)
    size = sum(high - low for low, high in ranges)
    return Violation(kind, "data", *naming.promise(op), "pessimistic", tuple(ranges), size, expected, Stored(1, 3))


def dropped(
    index: int, start: int = 0, end: int = PMD, inode: int = INODE, stack: tuple[str, ...] = PUNCH, entries: int = 1
) -> Dropped:
    return Dropped(index, DELETE, inode, start, end, stack, entries)


def named(text: str, violation: Violation, *drops: Dropped, flushed: Sequence[Flushed] = (),
          placed: Sequence[Placed] = ()) -> str:  # fmt: skip
    traced = Traced(tuple(flushed), tuple(placed), drops, {1: INODE, 2: INODE + 1})
    program = parse(text)
    (one,) = culprit.name(program, [violation], traced, oracle.run(program))
    assert replace(one, culprit=None) == violation
    return Words(parse(text)).with_stack(one.culprit) if one.culprit else ""


AROUND = ((0, 16 * PAGE), (17 * PAGE, PMD))
"""What punching one page of a PMD entry loses."""


def test_a_punched_page_takes_its_pmd_entry_along() -> None:
    """The entry that went with it was a PMD's: all of that was forgotten, and who did it is told with the stack."""
    assert named(TEXT, lost(TEXT, AROUND), dropped(6)) == (
        "dirty entry [0..2M) dropped unflushed in op 6: fallocate f punch_hole [64K..68K) "
        "by ext4_punch_hole <- vfs_fallocate "
        "(dax_delete_mapping_entry <- truncate_inode_pages_range <- truncate_pagecache_range <- ext4_punch_hole"
        " <- ext4_fallocate <- vfs_fallocate)"
    )


@pytest.mark.parametrize("index", [3, 4, 5, 8])
def test_only_drops_between_store_and_promise_count(index: int) -> None:
    """What was dropped before the store, or by the faults of the store itself, or after the promise, is no culprit."""
    assert named(TEXT, lost(TEXT, AROUND), dropped(index)) == ""


def test_the_first_drop_is_the_one_that_forgot() -> None:
    """After the first drop nothing was dirty any longer; the order in which events are told does not matter."""
    text = TEXT.replace("msync m 0 4M\ncut", "fallocate f punch_hole 1M 4K\nmsync m 0 4M\ncut")
    drops = (dropped(7), dropped(6))
    assert " in op 6: " in named(text, lost(text, AROUND, 8), *drops)


def test_a_promise_can_forget_itself() -> None:
    """A drop in the promising op counts: it may have thrown away what it was to flush."""
    assert " in op 7: msync m [0..4M) by " in named(TEXT, lost(TEXT, AROUND), dropped(7))


def test_another_entry_is_no_culprit() -> None:
    """A drop of the next entry, or of the one before, a PMD's or a page's, forgot nothing of the lost bytes."""
    assert named(TEXT, lost(TEXT, AROUND), dropped(6, PMD, 2 * PMD)) == ""
    violation = lost(TEXT, ((20 * PAGE, 21 * PAGE),))
    for page in (16, 19, 21):
        assert named(TEXT, violation, dropped(6, page * PAGE, (page + 1) * PAGE)) == ""
    assert named(TEXT, violation, dropped(6, 20 * PAGE, 21 * PAGE)).startswith("dirty entry [80K..84K) dropped ")


def test_entries_of_one_cause_are_told_as_one() -> None:
    """PTE entries that one call took away, one by one or many that follow each other, are one culprit."""
    text = TEXT.replace("mmap m f 0 4M", "mmap m f 0 4M align=4K")
    violation = lost(text, ((20 * PAGE, 24 * PAGE),))
    drops = [dropped(6, page * PAGE, (page + 1) * PAGE) for page in (24, 23, 20, 21, 22)]
    assert named(text, violation, *drops).startswith("dirty entries [80K..96K) dropped unflushed in op 6")
    assert named(text, violation, dropped(6, 0, PMD, entries=512)).startswith("dirty entries [0..2M) dropped ")


def test_the_inode_tells_the_file() -> None:
    """Another file's entry at the same offset, or one whose file nobody knows, is no culprit."""
    violation = lost(TWO, AROUND, 8)
    assert named(TWO, violation, dropped(7))
    assert named(TWO, violation, dropped(7, inode=INODE + 1)) == ""
    assert named(TWO, violation, dropped(7, inode=99)) == ""


def test_without_an_inode_the_op_tells_the_file() -> None:
    """Where the kernel does not tell the inode, the op must be one on that file, or on all of them."""
    assert named(TWO, lost(TWO, AROUND, 8), dropped(7, inode=0))
    for op, known in (
        ("fallocate g punch_hole 64K 4K", False),
        ("drop_caches", True),
        ("madvise m 64K 4K remove", True),
    ):
        text = TWO.replace("fallocate f punch_hole 64K 4K", op)
        assert bool(named(text, lost(text, AROUND, 8), dropped(7, inode=0))) == known


@pytest.mark.parametrize("kind", Kind)
def test_only_losses_have_culprits(kind: Kind) -> None:
    """A dropped entry explains bytes that are old, zero, torn or unflushed; nothing else."""
    assert bool(named(TEXT, lost(TEXT, AROUND, kind=kind), dropped(6))) == (kind in culprit.KINDS)


def test_what_nobody_promised_or_stored_has_no_culprit() -> None:
    """No promise, no known name, no store: nothing to look for."""
    violation = lost(TEXT, AROUND)
    assert named(TEXT, replace(violation, op=None), dropped(6)) == ""
    assert named(TEXT, replace(violation, op=99), dropped(6)) == ""
    assert named(TEXT, replace(violation, path="stranger"), dropped(6)) == ""
    assert named(TEXT, lost(TEXT, ((16 * PAGE, 17 * PAGE),)), dropped(6)) == ""  # zeroes were expected there
    assert named(TEXT, replace(violation, expected=Stored(1, 3)), dropped(6)) == ""  # it was not that file


def test_a_lossy_trace_and_a_control_name_nobody() -> None:
    """Where events were lost an earlier drop may be among them; what a control loses nobody was to keep."""
    violation = lost(TEXT, AROUND)
    drops = (dropped(6),)
    for program, traced in (
        (parse(TEXT), Traced(dropped=drops, inodes={1: INODE}, lost="3 events")),
        (replace(parse(TEXT), expect=Expect.LOSS), Traced(dropped=drops, inodes={1: INODE})),
    ):
        assert culprit.name(program, [violation], traced, oracle.run(program)) == (violation,)


def test_what_had_been_flushed_was_not_forgotten() -> None:
    """Where the trace tells of flushes, bytes that were lost although they were flushed have another story."""
    places = [Placed(7, 1, (FileBlock(0, 0, 4 * PMD),))]
    violation = lost(TEXT, AROUND)
    assert named(TEXT, violation, dropped(6), flushed=[Flushed(6, ((0, PMD),))], placed=places) == ""
    assert named(TEXT, violation, dropped(6), flushed=[Flushed(4, ((0, PMD),))], placed=places)
    assert named(TEXT, violation, dropped(6), flushed=[Flushed(6, ((0, PMD - PAGE),))], placed=places)
    assert named(TEXT, violation, dropped(6), flushed=[Flushed(6, ((0, PMD),))])  # nobody knows where it lies


def test_content_that_moved_was_dropped_where_it_was() -> None:
    """Collapse drops entries at the offsets from before; a later drop hits the new ones, and only those."""
    text = TEXT.replace("punch_hole 64K 4K", "collapse_range 0 64K").replace(
        "msync m 0 4M\ncut", "fsync f\nfsync f\ncut"
    )
    text = text.replace("mmap m f 0 4M", "mmap m f 0 4M align=4K")
    violation = lost(text, ((0, PAGE),))
    assert violation.expected == Stored(2, 5, shift=-16 * PAGE)
    old = (16 * PAGE, 17 * PAGE)
    assert named(text, violation, dropped(6, *old)).startswith("dirty entry [64K..68K) dropped unflushed in op 6: ")
    assert named(text, violation, dropped(7, *old)) == ""
    assert named(text, violation, dropped(7, 0, PAGE)).startswith("dirty entry [0..4K) dropped unflushed in op 7: ")


def test_a_copy_is_forgotten_where_it_is() -> None:
    """What read(2) stored into a mapping is dirty there; dropping the entry of its source takes nothing of it."""
    text = (
        "daxcheck program 1\ncreate f data\npwrite f 0 64K\ncreate g other\npwrite g 0 64K\nmmap m f 0 64K align=4K\n"
        "read_into m 0 4K g 8K\nfallocate f keep_size 0 64K\nfsync f\ncut_power\n"
    )
    violation = lost(text, ((0, PAGE),))
    assert violation.expected == Stored(2, 3, "other", -2 * PAGE)
    assert named(text, violation, dropped(6, 2 * PAGE, 3 * PAGE, inode=INODE + 1)) == ""
    assert named(text, violation, dropped(6, 0, PAGE)).startswith("dirty entry [0..4K) ")


def test_what_an_earlier_promise_kept_was_not_forgotten() -> None:
    """An entry that a sync has cleaned is dropped without harm: a copy of its bytes that is lost was not flushed."""
    text = (
        "daxcheck program 1\ncreate f data\nfallocate f allocate 0 4M\nmmap m f 0 4M\nstore m 0 4M\nmsync m 0 4M\n"
        "create g clone\nfsync g\nfsyncdir\nclone_file g f\nfsync g\npwrite g 65000 100\nfsync g\ncut_power\n"
    )
    naming = Naming(parse(text), "clone", 2)

    def blamed(program: str) -> str:
        source = naming.sources(frozenset({Stamp(1, 1, 0)}))
        promise, lost = naming.promise(11), ((61440, 65000),)
        violation = Violation(Kind.ZERO, "clone", *promise, "", lost, 3560, source, Condition.ZERO)
        return named(program, violation, dropped(8, 0, 2 * PMD, entries=2))

    assert blamed(text) == ""
    assert blamed(text.replace("msync m 0 4M", "msync m 0 60K")).startswith("dirty entries [0..4M) dropped ")
    assert blamed(text.replace("msync m 0 4M", "msync m 64K 4032K")).startswith("dirty entries [0..4M) dropped ")


def test_entries_at_the_old_offsets_are_dropped_before_contents_move() -> None:
    """What a collapse drops is at the offsets from before it: the first PMD entry holds nothing of what is lost behind
    it, though after the collapse those bytes lie in the first PMD's range."""
    text = TEXT.replace("store m 0 2M", "store m 0 4M").replace("punch_hole 64K 4K", "collapse_range 0 64K")
    text = text.replace("msync m 0 4M\ncut", "fsync f\ncut")
    violation = lost(text, ((PMD - 16 * PAGE, 2 * PMD - 16 * PAGE),))
    assert violation.expected == Stored(2, 5, shift=-16 * PAGE)
    assert named(text, violation, dropped(6)) == ""
    assert named(text, violation, dropped(6, PMD, 2 * PMD)).startswith("dirty entry [2M..4M) dropped unflushed in op 6")
    assert named(text, violation, dropped(7)).startswith("dirty entry [0..2M) dropped unflushed in op 7: ")


def test_contents_are_followed_through_every_move() -> None:
    """Between two moves the bytes were where the first had put them, and nowhere else."""
    text = TEXT.replace("store m 0 2M", "store m 2M 4K").replace(
        "punch_hole 64K 4K", "collapse_range 0 1M\nfallocate f collapse_range 0 512K"
    )
    text = text.replace("msync m 0 4M\ncut", "fsync f\ncut")
    violation = lost(text, ((PMD // 4, PMD // 4 + PAGE),), 8)
    assert violation.expected == Stored(2, 5, shift=-(PMD // 4 * 3))
    for index, offset in ((6, PMD), (7, PMD // 2), (8, PMD // 4)):
        for place in (PMD, PMD // 2, PMD // 4):
            told = named(text, violation, dropped(index, place, place + PAGE))
            assert bool(told) == (place == offset), (index, place)


def test_the_op_of_a_lane_is_named() -> None:
    """Of a race it is told in which lane's op the entry went, the first one in the order of the trace."""
    text = (
        "daxcheck program 1\ncreate f data\nfallocate f allocate 0 4M\nmmap m f 0 4M\nstore m 0 64K\nlane a\n"
        "fallocate f punch_hole 3M 4K\nlane b\nfallocate f punch_hole 1M 4K\njoin\nmsync m 0 4M\ncut_power\n"
    )
    violation = lost(text, ((PAGE, 16 * PAGE),), 9)
    assert " in op 7: fallocate f punch_hole [1M..1028K) by " in named(text, violation, dropped(7), dropped(5))
    assert " in op 5: fallocate f punch_hole [3M..3076K) by " in named(text, violation, dropped(5), dropped(7))


def test_a_race_is_one_moment() -> None:
    """Nobody knows in which order lanes ran: a drop in the same race as the store may have come after it."""
    text = (
        "daxcheck program 1\ncreate f data\npwrite f 0 4M how=dsync\nmmap m f 0 4M\nlane a\nstore m 0 64K\n"
        "lane b\nfallocate f punch_hole 1M 4K\njoin\nmsync m 0 4M\ncut_power\n"
    )
    violation = lost(text, ((0, 16 * PAGE),), 8)
    for index in (3, 6, 7, 8):
        assert f" in op {index}: " in named(text, violation, dropped(index))
    assert named(text, violation, dropped(2)) == ""


def test_stores_of_one_race() -> None:
    """Of two stores in one race either may have been the last: a drop there forgot it, whichever it was."""
    text = (
        "daxcheck program 1\ncreate f data\npwrite f 0 4M how=dsync\nmmap m f 0 4M\nlane a\nstore m 0 64K\n"
        "ftruncate f 4M\nlane b\nstore m 0 64K\njoin\nsync\ncut_power\n"
    )  # ops 4 and 7 store, 5 truncates, 9 promises
    naming = Naming(parse(text), "data", 1)
    for seq in (2, 3):
        violation = replace(lost(text, ((0, 16 * PAGE),), 9), expected=naming.source(Stamp(seq, 1)))
        assert " in op 5: " in named(text, violation, dropped(5))
        assert named(text, violation, dropped(2)) == ""


PROMISED_INSIDE = (
    "daxcheck program 1\ncreate f data\npwrite f 0 4M how=dsync\nmmap m f 0 4M\nlane a\nstore m 0 64K\n"
    "msync m 0 4M\nlane b\nfallocate f punch_hole 1M 4K\njoin\ncut_power\n"
)  # op 4 stores, 5 promises, 7 punches


def test_a_promise_in_the_race_of_its_store() -> None:
    """Store, drop and the one promise in one race: when the entry was dropped nothing had been promised. With a second
    sync there the drop may have come after a promise that was kept, so nobody is named."""
    violation = lost(PROMISED_INSIDE, ((0, 16 * PAGE),), 5)
    assert " in op 7: " in named(PROMISED_INSIDE, violation, dropped(7))
    assert named(PROMISED_INSIDE, violation, dropped(7, PMD, 2 * PMD)) == ""
    assert named(PROMISED_INSIDE, violation, dropped(2)) == ""
    twice = PROMISED_INSIDE.replace("msync m 0 4M\n", "msync m 0 4M\nfsync f\n")
    assert named(twice, lost(twice, ((0, 16 * PAGE),), 5), dropped(8)) == ""


def test_from_a_recovered_image_to_the_culprit() -> None:
    """A loss as the verdict tells it of an image is named, by the name that the file had in the end."""
    text = TEXT.replace("cut_power", "rename data last\nfsyncdir\ncut_power")
    program = parse(text)
    states = oracle.run(program)
    held: list[tuple[int, int, Source]] = [
        (0, 16 * PAGE, Stamp(1, 1)), (16 * PAGE, 17 * PAGE, Zero()), (17 * PAGE, 2 * PMD, Stamp(1, 1))
    ]  # fmt: skip
    view = FileView("last", 2 * PMD, tuple(Segment(low, high, source) for low, high, source in held))
    violations = verdict.judge(program, states[-1], [view], "pessimistic").violations
    assert [(one.kind, one.ranges) for one in violations] == [(Kind.STALE, AROUND)]
    (one,) = culprit.name(program, violations, Traced(dropped=(dropped(6),), inodes={1: INODE}), states)
    assert one.culprit == Culprit(6, DELETE, trimmed(PUNCH), 0, PMD, 1)


def test_from_flush_coverage_to_the_culprit() -> None:
    """A loss that flush coverage tells is named by the name that the file had at the promise."""
    text = TEXT.replace("cut_power", "rename data last\nfsyncdir\ncut_power")
    program = parse(text)
    states = oracle.run(program)
    flushed = (Flushed(4, ((0, 2 * PMD),)), Flushed(7, ((PMD, 2 * PMD),)))
    places = tuple(Placed(index, 1, (FileBlock(0, 0, 2 * PMD),)) for index in (4, 7))
    traced = Traced(flushed, places, (dropped(6),), {1: INODE})
    (one,) = culprit.name(program, coverage.judge(program, states, states[-1], traced).violations, traced, states)
    assert (one.kind, one.path, one.ranges) == (Kind.UNFLUSHED, "data", AROUND)
    assert one.culprit == Culprit(6, DELETE, trimmed(PUNCH), 0, PMD, 1)


STACKS = {
    "ext4": (PUNCH, "ext4_punch_hole <- vfs_fallocate"),
    "layout": (("dax_break_layout", "ext4_break_layouts", "ext4_punch_hole", "ext4_fallocate", *FALLOCATE),
               "ext4_break_layouts <- vfs_fallocate"),
    "xfs": (("truncate_inode_pages_range", "truncate_pagecache_range", "xfs_flush_unmap_range", "xfs_free_file_space",
             "xfs_file_fallocate", *FALLOCATE), "xfs_flush_unmap_range <- vfs_fallocate"),
    "truncate": (("truncate_inode_pages_range", "truncate_pagecache", "ext4_setattr", "notify_change", "do_truncate",
                  "do_sys_ftruncate", "do_syscall_64"), "ext4_setattr <- notify_change"),
    "generic between": (("dax_iomap_iter", "dax_iomap_rw", "__xfs_file_dax_write", "iomap_x", "xfs_file_write_iter",
                         "vfs_write", "__x64_sys_pwrite64"), "__xfs_file_dax_write <- vfs_write"),
    "no file system": (("memory_failure", "madvise_inject_error", "do_madvise", "__x64_sys_madvise"), "do_madvise"),
    "thread": (("ext4_do_writepages", "kthread", "ret_from_fork_asm"), "ext4_do_writepages"),
    "nothing": ((), DELETE),
    "entry alone": (("do_syscall_64",), DELETE),
}  # fmt: skip


@pytest.mark.parametrize(("stack", "said"), STACKS.values(), ids=STACKS.keys())
def test_the_short_name(stack: tuple[str, ...], said: str) -> None:
    """The file system's function that is nearest to the drop, and what called the file system; else the outermost."""
    assert " <- ".join(Culprit(6, DELETE, trimmed(stack), 0, PMD, 1).caller) == said
