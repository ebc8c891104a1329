"""Flush coverage: laws by example. See test_coverage_bruteforce for the same against a machine with dirty bits."""

from collections.abc import Sequence

import pytest

from harness.model.contract import oracle
from harness.model.contract.domain import PersistenceDomain
from harness.model.judge import coverage
from harness.model.judge.judgement import Judgement
from harness.model.judge.values import Condition, Stored
from harness.model.judge.violation import COVERAGE, Kind
from harness.model.program.program import parse
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire.observation import FileView, OpResult, Segment, Stamp
from harness.model.wire.traced import FileBlock, Flushed, Placed, Range, Traced
from harness.report.words import Words

AT = 64 * PAGE
"""Where the first file lies on the medium in the examples, in one piece; the second lies PMD bytes further."""

FILE = """daxcheck program 1
create f data
ftruncate f 2M
fsync f
mmap m f 0 2M
store m 0 2M
"""  # ops 0 to 4
FSYNC, STORE = 2, 4


def judged(
    text: str,
    flushed: dict[int, list[Range]],
    *,
    placed: Sequence[int] | None = None,
    blocks: tuple[FileBlock, ...] = (FileBlock(0, AT, 4 * PMD),),
    file: int = 1,
    results: Sequence[OpResult] = (),
    lost: str = "",
    domain: PersistenceDomain = PersistenceDomain.MEMORY_CONTROLLER,
) -> Judgement:
    """`text` judged when each op flushed those bytes of the medium; by default the file was placed after every op."""
    program = parse(text)
    states = oracle.run(program, results)
    where = range(len(program.ops)) if placed is None else placed
    traced = Traced(
        flushed=tuple(Flushed(index, tuple(ranges)) for index, ranges in flushed.items()),
        placed=tuple(Placed(index, file, blocks) for index in where), lost=lost,
    )  # fmt: skip
    return coverage.judge(program, states, oracle.at_cut(program, states), traced, domain)


def told(judgement: Judgement) -> list[tuple[str, tuple[Range, ...]]]:
    return [(f"op {one.op}", one.ranges) for one in judgement.violations]


def test_what_was_flushed_keeps_its_promise() -> None:
    """All that msync promised was flushed while it ran: nothing is wrong, and all of it was judged."""
    judgement = judged(FILE + "msync m 0 2M\ncut_power\n", {5: [(AT, AT + PMD)]})
    assert judgement == Judgement(PMD)


def test_a_page_that_was_not_flushed_is_told() -> None:
    """What no op flushed is told by the promise that it breaks, in the words of a report."""
    judgement = judged(FILE + "msync m 0 2M\ncut_power\n", {5: [(AT + 16 * PAGE, AT + 17 * PAGE)]})
    (one,) = judgement.violations
    assert (one.kind, one.path, one.image) == (Kind.UNFLUSHED, "data", COVERAGE)
    assert (one.op, one.verb, one.expected, one.found) == (5, "msync", Stored(1, 4), Condition.NOT_FLUSHED)
    assert (one.ranges, one.bytes) == (((0, 16 * PAGE), (17 * PAGE, PMD)), 511 * PAGE)
    assert Words(None).sentence([one]) == "msync returned 0, 511 of 512 pages of data[0..2M) were not flushed"


@pytest.mark.parametrize(("index", "red"), [(3, True), (4, False), (5, False), (6, False), (7, True)])
def test_only_flushes_between_store_and_promise_count(index: int, red: bool) -> None:
    """A flush before the store flushed something else; one after the promise came too late, whoever asked for it."""
    text = FILE + "load m 0 4K\nmsync m 0 2M\nmsync m 0 4K\ncut_power\n"
    assert bool(judged(text, {index: [(AT, AT + PMD)]}).violations) == red


def test_just_what_was_flushed_counts() -> None:
    """Bytes that a flush does not tell of have not left the caches, be it one, in the middle of a line."""
    text = FILE + "msync m 0 2M\ncut_power\n"
    assert told(judged(text, {5: [(AT, AT + 100), (AT + 101, AT + PMD)]})) == [("op 5", ((100, 101),))]


def test_ranges_of_several_ops_add_up() -> None:
    """What ops flushed piece by piece, overlapping or not, is flushed."""
    text = FILE + "load m 0 4K\nload m 0 4K\nmsync m 0 2M\ncut_power\n"
    flushes = {5: [(AT, AT + 8), (AT + 4096, AT + PMD)], 6: [(AT + 6, AT + 1000)], 7: [(AT + 64, AT + 4096)]}
    assert not judged(text, flushes).violations


def test_each_byte_is_told_once() -> None:
    """The first promise that a byte breaks is told; it breaks no other one until it is stored again."""
    text = FILE + "msync m 0 4K\nfsync f\nstore m 0 4K\nfsync f\nfsync f\ncut_power\n"
    assert told(judged(text, {})) == [("op 5", ((0, PAGE),)), ("op 6", ((PAGE, PMD),)), ("op 8", ((0, PAGE),))]


def test_what_an_earlier_promise_covered_stays_covered() -> None:
    """A clean page is not flushed again, and need not be."""
    text = FILE + "msync m 0 2M\nstore m 0 4K\nfsync f\ncut_power\n"
    assert not judged(text, {5: [(AT, AT + PMD)], 7: [(AT, AT + PAGE)]}).violations
    assert told(judged(text, {5: [(AT, AT + PMD)]})) == [("op 7", ((0, PAGE),))]


def test_a_refused_sync_promises_nothing() -> None:
    """An msync that failed, or one that promises nothing, breaks nothing."""
    text = FILE + "msync m 0 2M\ncut_power\n"
    assert judged(text, {}, results=[OpResult(5, errno=5)]).violations == ()
    assert judged(FILE + "msync m 0 2M flag=async\nsync_file_range f 0 2M\ncut_power\n", {}).violations == ()


def test_zeroes_are_not_judged() -> None:
    """Nobody's stamp tells who wrote a zero, so what was punched is left out, and so is what was never written."""
    text = FILE + "fallocate f punch_hole 0 64K\nfsync f\ncut_power\n"
    judgement = judged(text, {})
    assert judgement.judged_bytes == PMD - 16 * PAGE
    assert told(judgement) == [("op 6", ((16 * PAGE, PMD),))]
    empty = "daxcheck program 1\ncreate f data\nfallocate f allocate 0 2M\nfsync f\ncut_power\n"
    assert judged(empty, {}) == Judgement()


def test_written_bytes_need_a_flush_too() -> None:
    """A write with O_DSYNC promises what it writes itself."""
    text = "daxcheck program 1\ncreate f data\npwrite f 100 5000 how=dsync\ncut_power\n"
    assert not judged(text, {1: [(AT + 100, AT + 5100)]}).violations
    assert told(judged(text, {1: [(AT + 100, AT + 4000)]})) == [("op 1", ((4000, 5100),))]


def test_map_sync() -> None:
    """Flushed by the program itself through a MAP_SYNC mapping: the lines that it named, and no others."""
    text = (
        "daxcheck program 1\ncreate f data\nfallocate f allocate 0 8K\nfsync f\nmmap m f 0 8K sharing=sync\n"
        "store m 0 8K\nflush m 4000 10\ncut_power\n"
    )
    assert judged(text, {5: [(AT + 3968, AT + 4032)]}) == Judgement(LINE)
    assert told(judged(text, {})) == [("op 5", ((3968, 4032),))]


def test_caches_that_survive() -> None:
    """With eADR nothing needs to be flushed, so there is nothing to judge."""
    text = FILE + "msync m 0 2M\ncut_power\n"
    assert judged(text, {}, domain=PersistenceDomain.CPU_CACHE) == Judgement()


def test_a_trace_with_gaps_proves_nothing() -> None:
    """Lost events: no loss is told, and no pass either."""
    judgement = judged(FILE + "msync m 0 2M\ncut_power\n", {}, lost="12 events")
    assert judgement.violations == () and judgement.judged_bytes == 0
    assert judgement.unjudged == ("flush coverage: the trace proves nothing: 12 events",)


MOVED = "daxcheck program 1\ncreate f data\npwrite f 0 16K\nmmap m f 0 16K\nstore m 8K 4K\n"  # ops 0 to 3


def test_content_that_moved_in_its_file_keeps_its_flushes() -> None:
    """Collapse moves blocks, not bytes: what was flushed in a block before is flushed at its new offset."""
    text = MOVED + "fallocate f collapse_range 0 4K\nfsync f\ncut_power\n"
    pages = tuple(FileBlock(page * PAGE, AT + (page + 1) * PAGE, PAGE) for page in range(3))
    written = [(AT, AT + 4 * PAGE)]
    flushes = {1: written, 4: [(AT + 2 * PAGE, AT + 3 * PAGE)]}
    assert judged(text, flushes, placed=[5], blocks=pages) == Judgement(3 * PAGE)
    judgement = judged(text, {1: written}, placed=[5], blocks=pages)
    assert told(judgement) == [("op 5", ((PAGE, 2 * PAGE),))]
    assert judgement.violations[0].expected == Stored(2, 3, shift=-PAGE)


def test_copies_by_the_kernel_are_new_where_they_arrive() -> None:
    """read(2) into a mapping stores what it reads: that its source was flushed, or its place before, does not help."""
    text = (
        "daxcheck program 1\ncreate g source\npwrite g 0 4K how=dsync\ncreate f data\npwrite f 0 8K how=dsync\n"
        "mmap m f 0 8K\nread_into m 4K 4K g 0\nfsync f\ncut_power\n"
    )
    flushes = {1: [(0, PAGE)], 3: [(AT, AT + 2 * PAGE)]}
    judgement = judged(text, flushes, file=2)
    assert told(judgement) == [("op 6", ((PAGE, 2 * PAGE),))]
    assert judgement.violations[0].expected == Stored(1, 1, "source", PAGE)
    assert not judged(text, {**flushes, 6: [(AT + PAGE, AT + 2 * PAGE)]}, file=2).violations


def test_a_read_that_shows_who_won_is_no_store() -> None:
    """What a race left open and a load told has been there since the race: it need not be flushed again."""
    text = (
        "daxcheck program 1\ncreate f data\npwrite f 0 4K\nmmap m f 0 4K\nlane a\nstore m 0 4K\nlane b\nstore m 0 4K\n"
        "join\nfsync f\nload m 0 4K\nfsync f\ncut_power\n"
    )
    seen = OpResult(9, segments=(Segment(0, PAGE, Stamp(2, 1)),))
    judgement = judged(text, {8: [(AT, AT + PAGE)]}, results=[seen])
    assert judgement == Judgement(PAGE)
    assert told(judged(text, {2: [(AT, AT + PAGE)]}, results=[seen])) == [("op 10", ((0, PAGE),))]


LANES = "daxcheck program 1\ncreate f data\npwrite f 0 8K how=dsync\nmmap m f 0 8K\n"  # ops 0 to 2
SYNCED = "lane a times=3\nstore m 0 4K\nmsync m 0 4K\nlane b\nstore m 4K 4K\njoin\n"  # ops 3 to 8


@pytest.mark.parametrize("index", [3, 4, 5, 8])
def test_a_join_promises_what_its_lanes_synced(index: int) -> None:
    """Nothing tells the order in a race: a flush anywhere in it counts for a promise given in it."""
    written = {1: [(AT, AT + 2 * PAGE)]}
    text = LANES + SYNCED + "cut_power\n"
    assert told(judged(text, written)) == [("op 5", ((0, PAGE),))]
    assert not judged(text, {**written, index: [(AT, AT + PAGE)]}).violations


def test_a_place_within_a_race_is_none() -> None:
    """Where a file lay in the middle of a race says nothing of where it lies after it."""
    judgement = judged(LANES + SYNCED + "fallocate f zero_range 0 4K\ncut_power\n", {}, placed=[5])
    assert judgement.violations == ()


def test_a_race_with_shared_blocks_is_left_to_the_next_sync() -> None:
    """A store after the sync of its lane gives a shared page another block, which that sync has not promised."""
    text = LANES + "create g other\nclone_file g f\n" + SYNCED
    written = {1: [(AT, AT + 2 * PAGE)]}
    judgement = judged(text + "cut_power\n", written)
    assert judgement.violations == () and judgement.unjudged
    assert told(judged(text + "fsync f\ncut_power\n", written)) == [
        ("op 11", ((0, PAGE),)),
        ("op 11", ((PAGE, 2 * PAGE),)),
    ]


def test_a_control_is_judged_at_its_end() -> None:
    """A Program that expects a loss is held against all that it stored, as though that had been synced."""
    text = FILE.replace("program 1\n", "program 1\nexpect loss\n")
    judgement = judged(text + "msync m 0 4K\ncut_power\n", {5: [(AT, AT + PAGE)]})
    assert told(judgement) == [("op 6", ((PAGE, PMD),))]
    assert Words(None).sentence(judgement.violations) == "not synced, 511 of 511 pages of data[4K..2M) were not flushed"
    assert not judged(text + "cut_power\n", {5: [(AT, AT + PMD)]}).violations


def test_a_nameless_file_is_not_judged() -> None:
    """Nothing can read a file that has lost its names after a cut; another name keeps it alive."""
    assert judged(FILE + "unlink data\nfsync f\ncut_power\n", {}) == Judgement()
    (one,) = judged(FILE + "link data more\nunlink data\nfsync f\ncut_power\n", {}).violations
    assert one.path == "more"


def test_a_renamed_file_is_told_by_its_name() -> None:
    """The name in a violation is the one at the time of the promise."""
    (one,) = judged(FILE + "rename data more\nfsync f\nrename more last\ncut_power\n", {}).violations
    assert one.path == "more"


def test_a_place_from_another_time_stands_in() -> None:
    """Without a place at the promise another does, before or after it, while no op could take blocks away."""
    text = FILE + "munmap m\nclose f\nsyncfs\nopen h data\nfsync h\ncut_power\n"
    for placed in ([FSYNC], [9]):
        assert told(judged(text, {}, placed=placed)) == [("op 7", ((0, PMD),))]
        assert judged(text, {6: [(AT, AT + PMD)]}, placed=placed) == Judgement(2 * PMD)


def test_a_place_past_the_end_of_then_does_not() -> None:
    """Blocks past the end may have been given back before the file grew there."""
    text = (
        "daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\npwrite f 4K 4K\nclose f\nsyncfs\n"
        "open h data\nfsync h\ncut_power\n"
    )
    judgement = judged(text, {1: [(AT, AT + PAGE)]}, placed=[2])
    assert judgement.violations == () and judgement.unjudged == ("data: 4096 bytes of unknown place on the medium",)
    assert told(judged(text, {1: [(AT, AT + PAGE)]}, placed=[7])) == [("op 5", ((PAGE, 2 * PAGE),))]


@pytest.mark.parametrize("op", ["fallocate f punch_hole 1M 4K", "ftruncate f 2M", "fallocate f unshare_range 0 4K"])
def test_a_place_from_before_blocks_were_taken_does_not(op: str) -> None:
    """Then nobody knows where the bytes were, so that nothing is told of them but that they were not judged."""
    text = FILE + f"{op}\nfsync f\ncut_power\n"
    judgement = judged(text, {}, placed=[FSYNC])
    assert judgement.violations == () and judgement.judged_bytes == 0
    (said,) = judgement.unjudged
    assert said.startswith("data: ") and said.endswith(" bytes of unknown place on the medium")


def test_what_was_judged_later_is_judged() -> None:
    """A promise without a place is made good by a later one that has one; what was overwritten since is forgotten."""
    text = FILE + "fallocate f punch_hole 1M 4K\nfsync f\nstore m 0 4K\nftruncate f 2M\nfsync f\ncut_power\n"
    judgement = judged(text, {6: [(AT, AT + PMD)], 9: [(AT, AT + PAGE)]}, placed=[9])
    assert judgement == Judgement(PMD - PAGE)


def test_places_that_cannot_be_are_none() -> None:
    """A place of a file before it was made, of no file, or after ops that the Program has not, is no place."""
    text = "daxcheck program 1\nsync\ncreate f data\npwrite f 0 4K\nsync\ncut_power\n"
    for index in (0, 99):
        assert judged(text, {}, placed=[index]).judged_bytes == 0
    assert judged(text, {}, file=7).unjudged == ("data: 4096 bytes of unknown place on the medium",)


def test_bytes_in_no_block_are_told_as_unjudged() -> None:
    """A promised stamp where FIEMAP shows no block is not flushed nor lost for all we know."""
    blocks = (FileBlock(PAGE, AT, PAGE), FileBlock(4 * PAGE, AT + 4 * PAGE, PMD))
    judgement = judged(FILE + "msync m 0 2M\ncut_power\n", {5: [(AT, AT + 4 * PMD)]}, blocks=blocks)
    assert judgement.violations == () and judgement.judged_bytes == PMD - 3 * PAGE
    assert judgement.unjudged == (f"data: {3 * PAGE} bytes of unknown place on the medium",)


def test_blocks_in_any_order() -> None:
    """A flush is found by the bytes of the medium, wherever the blocks of the file lie there."""
    blocks = tuple(FileBlock(n * PAGE, AT + (511 - n) * PAGE, PAGE) for n in range(512))
    judgement = judged(FILE + "msync m 0 2M\ncut_power\n", {5: [(AT, AT + 511 * PAGE)]}, blocks=blocks)
    assert told(judgement) == [("op 5", ((0, PAGE),))]


def test_what_a_live_read_told_is_judged_at_the_end() -> None:
    """A race that only the last look decided is judged by what was flushed up to the end."""
    text = (
        "daxcheck program 1\ncreate f data\npwrite f 0 4K\nmmap m f 0 4K\nlane a\nstore m 0 4K\nlane b\nstore m 0 4K\n"
        "join\nfsync f\ncut_power\n"
    )
    program = parse(text)
    live = [FileView("data", PAGE, (Segment(0, PAGE, Stamp(3, 1)),))]
    final = oracle.at_cut(program, oracle.run(program), live)
    places = (Placed(8, 1, (FileBlock(0, AT, PAGE),)),)
    for flushed, red in ((Flushed(8, ((AT, AT + PAGE),)), False), (Flushed(1, ((AT, AT + PAGE),)), True)):
        judgement = coverage.judge(program, oracle.run(program), final, Traced((flushed,), places))
        assert [one.op for one in judgement.violations] == [8] * red
        assert judgement.judged_bytes == PAGE


def test_many_pieces() -> None:
    """Thousands of extents and of flushed ranges per op are judged within seconds."""
    pages = 4096
    text = "daxcheck program 1\ncreate f data\nftruncate f 16M\nmmap m f 0 16M\n" + 6 * "store m 0 16M\nmsync m 0 16M\n"
    blocks = tuple(FileBlock(n * PAGE, AT + 2 * (n * 1117 % pages) * PAGE, PAGE) for n in range(pages))
    ranges = [(AT + 2 * n * PAGE + part * 1024, AT + 2 * n * PAGE + part * 1024 + 960)
              for n in range(pages) for part in range(4)]  # fmt: skip
    judgement = judged(text + "cut_power\n", {4 + 2 * n: ranges for n in range(6)}, blocks=blocks)
    assert judgement.judged_bytes == 6 * pages * PAGE
    assert all(one.bytes == pages * 4 * LINE for one in judgement.violations) and len(judgement.violations) == 6
