"""What a store shows at other places while the media may still look there for its block, and what ends that."""

import pytest

from harness.model.contract import oracle
from harness.model.contract.allowed import ANYTHING, ZERO, Known
from harness.model.contract.domain import PersistenceDomain
from harness.model.contract.state import State
from harness.model.judge.verdict import judge
from harness.model.program.program import parse
from harness.model.units import PAGE
from harness.model.wire.observation import Difference, FileView, Segment, Stamp, Zero

ONE = """\
create f data
pwrite f 0 64K
fsync f
fsyncdir
mmap m f 0 64K
"""
TWO = """\
create f data
create g other
pwrite f 0 64K
pwrite g 0 64K
syncfs
mmap m f 0 64K
mmap n g 0 64K
"""


def after(text: str, domain: PersistenceDomain = PersistenceDomain.MEMORY_CONTROLLER, journal: bool = True) -> State:
    return oracle.run(parse("daxcheck program 1\n" + text), domain=domain, journal=journal)[-1]


def durable(state: State, path: str, offset: int) -> frozenset[Known]:
    file = state.file(path)
    assert file is not None
    return file.contents.at(offset).durable


def allows(state: State, path: str, offset: int, source: Stamp) -> bool:
    return source in durable(state, path, offset)


@pytest.mark.parametrize(
    ("move", "store", "shown"),
    [
        ("fallocate f insert_range 0 4K", "pwrite f 4K 4K", (0, Stamp(2, 1, -PAGE))),
        ("fallocate f insert_range 0 4K", "store m 4K 4K", (0, Stamp(2, 1, -PAGE))),
        ("fallocate f insert_range 0 4K", "direct_store m 4K 4K", (0, Stamp(2, 1, -PAGE))),
        ("fallocate f collapse_range 0 4K", "store m 0 4K", (PAGE, Stamp(2, 1, PAGE))),
        # Zeroes are written in place where no whole block goes.
        ("fallocate f collapse_range 0 4K", "fallocate f punch_hole 0 512", (PAGE, Zero())),
        # A chain: until a sync the media may know none, one or both of the moves.
        ("fallocate f insert_range 0 4K\nfallocate f insert_range 0 4K", "store m 8K 4K", (0, Stamp(2, 1, -2 * PAGE))),
        ("fallocate f insert_range 0 4K\nfallocate f insert_range 0 4K", "store m 8K 4K", (PAGE, Stamp(2, 1, -PAGE))),
    ],
)  # fmt: skip
def test_store_shows_where_its_block_was(move: str, store: str, shown: tuple[int, Stamp | Zero]) -> None:
    """A store after a move that is not durable may show at the old offset; after a sync of the file it may not."""
    offset, source = shown
    assert source in durable(after(f"{ONE}{move}\n{store}\n"), "data", offset)
    assert source not in durable(after(f"{ONE}{move}\n{store}\nfsync f\n"), "data", offset)
    late = durable(after(f"{ONE}{move}\nfsync f\n{store}\n"), "data", offset)
    assert source not in late or (isinstance(source, Zero) and ZERO in durable(after(f"{ONE}{move}\n"), "data", offset))


def test_store_shows_only_where_its_block_was() -> None:
    """What the move did not touch keeps its one content, and so does what a new block is for."""
    state = after(ONE + "fallocate f insert_range 8K 4K\nstore m 8K 8K\n")
    assert durable(state, "data", 0) == {Stamp(1, 1)}
    # [8K..12K) is new, [12K..16K) has the block that was at [8K..12K).
    assert durable(state, "data", 2 * PAGE) == {ZERO, Stamp(1, 1), Stamp(2, 1), Stamp(2, 1, -PAGE)}
    assert durable(state, "data", 3 * PAGE) == {ZERO, Stamp(1, 1), Stamp(1, 1, PAGE), Stamp(2, 1)}
    assert Stamp(2, 1, -PAGE) not in durable(state, "data", 3 * PAGE)


def test_msync_ends_it_for_what_it_promises() -> None:
    """msync of a range promises what is read there: the media look for no other block there. Elsewhere they may."""
    moved = ONE + "fallocate f insert_range 0 4K\n"
    assert durable(after(moved + "msync m 0 4K\nstore m 4K 4K\n"), "data", 0) == {ZERO}
    assert allows(after(moved + "msync m 4K 4K\nstore m 4K 4K\n"), "data", 0, Stamp(2, 1, -PAGE))


def test_map_sync_store_is_promised_at_its_new_place() -> None:
    """mmap(2) MAP_SYNC: the file shows it at that offset after a crash; the old place is promised by nobody."""
    moved = ONE + "mmap y f 0 64K sharing=sync\nfallocate f insert_range 0 4K\nstore y 4K 4K\n"
    for state in (after(moved + "flush y 4K 4K\n"), after(moved, PersistenceDomain.CPU_CACHE)):
        assert durable(state, "data", PAGE) == {Stamp(2, 1)}
        assert allows(state, "data", 0, Stamp(2, 1, -PAGE))


@pytest.mark.parametrize("swap", ["swapext f g", "exchange_range f 0 64K g 0"])
def test_exchanged_blocks(swap: str) -> None:
    """After an exchange a store to either file may show in the other, until a sync of the other."""
    state = after(f"{TWO}{swap}\nstore m 0 4K\nstore n 8K 4K\n")
    assert allows(state, "other", 0, Stamp(3, 1)) and allows(state, "data", 2 * PAGE, Stamp(4, 2))
    assert not allows(state, "other", PAGE, Stamp(3, 1))
    state = after(f"{TWO}{swap}\nfsync f\nstore m 0 4K\nstore n 8K 4K\n")
    assert allows(state, "other", 0, Stamp(3, 1)) and durable(state, "data", 2 * PAGE) == {Stamp(2, 2)}
    state = after(f"{TWO}{swap}\nsyncfs\nstore m 0 4K\nstore n 8K 4K\n")
    assert durable(state, "other", 0) == {Stamp(1, 1)} and durable(state, "data", 2 * PAGE) == {Stamp(2, 2)}


CLONED = TWO + "clone_file g f\nsyncfs\n"


@pytest.mark.parametrize(
    "away",
    ["ftruncate f 0", "fallocate f punch_hole 0 4K", "store m 0 4K", "pwrite f 0 8", "unlink data", "clone f 0 4K g 8K",
     "fallocate f zero_range 0 4K", "fallocate f collapse_range 0 4K"],
)  # fmt: skip
def test_store_to_clone_after_source_went_its_way(away: str) -> None:
    """A block that only the clone has by now is stored to in place, and the media may still show it in the source."""
    shown = after(f"{CLONED}{away}\nstore n 0 4K\n")
    last = max(source.seq for source in durable(shown, "other", 0) if isinstance(source, Stamp))
    file = shown.files[1]
    assert Stamp(last, 2) in file.contents.at(0).durable
    synced = after(f"{CLONED}{away}\nsyncfs\nstore n 0 4K\n").files[1]
    gone = away.startswith("unlink")  # and its name from the media: nobody can see it
    assert gone or Stamp(last, 2) not in synced.contents.at(0).durable


@pytest.mark.parametrize(
    "away", ["pwrite f 512 8", "store m 1K 1K", "fallocate f unshare_range 0 4K", "fallocate f punch_hole 1K 1K"]
)
def test_promised_bytes_beside_a_copy_stand(away: str) -> None:
    """What was synced and not written since is not to be what another file is written in the block that it has left."""
    assert durable(after(f"{CLONED}{away}\nstore n 0 512\n"), "data", 0) == {Stamp(1, 1)}
    # What no sync has promised may be, and so may what an op has changed since.
    late = TWO + f"store m 0 512\nclone_file g f\n{away}\nstore n 0 512\n"
    assert allows(after(late), "data", 0, Stamp(5 if "fallocate" not in away else 4, 2))


def test_store_to_shared_block_shows_in_no_clone() -> None:
    """ioctl_ficlonerange(2): changes of a shared region "remain private to the file being written"."""
    state = after(CLONED + "store m 0 4K\nstore n 4K 4K\n")
    assert durable(state, "other", 0) == {Stamp(1, 1)}
    assert durable(state, "data", PAGE) == {Stamp(1, 1)}


def test_dedupe_may_share_or_not() -> None:
    """ioctl_fideduperange(2) changes no contents; which of the blocks is kept nobody knows."""
    same = TWO + "clone_file g f\nfallocate g unshare_range 0 64K\nsyncfs\ndedupe g 0 64K f 0\n"
    assert durable(after(same), "other", 0) == {Stamp(1, 1)}
    assert allows(after(same + "ftruncate f 0\nstore n 0 4K\n"), "data", 0, Stamp(3, 2))


def test_copied_range_may_have_been_written_in_place() -> None:
    """copy_file_range(2) may copy: to blocks in which the media may look for other bytes."""
    state = after(TWO + "fallocate g insert_range 0 4K\ncopy_file_range g 4K 4K f 0\n")
    assert allows(state, "other", 0, Stamp(1, 1))
    assert allows(state, "other", PAGE, Stamp(1, 1, PAGE))


def test_freed_blocks_are_not_excused() -> None:
    """A block given to another file before the media know that it was freed is a leak, unless nothing keeps order."""
    punched = TWO + "fallocate f punch_hole 0 4K\nfallocate g allocate 64K 64K\nstore n 0 4K\n"
    assert durable(after(punched), "data", 0) == {ZERO, Stamp(1, 1)}
    assert ANYTHING in durable(after(punched, journal=False), "data", 0)
    assert ANYTHING not in durable(after(punched, journal=False), "data", PAGE)
    assert durable(after(punched + "fsync f\n", journal=False), "data", 0) == {ZERO}


RACE = """\
lane one
{}
lane two
store n 0 4K
join
"""


def test_store_in_a_lane() -> None:
    """In a race a store may come before or after the source of the clone goes its way."""
    for away in ("ftruncate f 0", "fallocate f punch_hole 0 4K", "store m 0 4K"):
        state = after(CLONED + RACE.format(away))
        assert any(allows(state, "data", 0, Stamp(seq, 2)) for seq in (3, 4)), away
    assert durable(after(CLONED + RACE.format("load m 0 4K")), "data", 0) == {Stamp(1, 1)}
    moved = ONE + "fallocate f insert_range 0 4K\nlane one\nstore m 4K 4K\nlane two\n{}\njoin\n"
    assert allows(after(moved.format("load m 0 4K")), "data", 0, Stamp(2, 1, -PAGE))
    assert durable(after(moved.format("fsync f")), "data", 0) == {ZERO}


def known(values: frozenset[Known]) -> Stamp | Zero:
    return next(value for value in values if isinstance(value, Stamp | Zero))


def eof(state: State, text: str, size: int, shown: Stamp | Zero, which: str = "durable") -> bool:
    """Whether a page past the end of `data` may show that, in a file of that size."""
    start, end = size, -(-size // PAGE) * PAGE
    contents = [Segment(low, min(high, size), known(byte.durable if which == "durable" else byte.current))
                for low, high, byte in state.files[1].contents.runs(0, size)]  # fmt: skip
    view = FileView("data", size, tuple(contents), (Difference("eof", start, end, shown),))
    program = parse("daxcheck program 1\n" + text)
    return not judge(program, state, [view], "pessimistic", "durable" if which == "durable" else "current").violations


PAST = """\
create f data
pwrite f 0 9192
fsync f
fsyncdir
mmap m f 0 12K
store m 8K 4K
fsync f
"""


@pytest.mark.parametrize(
    "then", ["", "ftruncate f 8K\n", "ftruncate f 16K\n", "ftruncate f 9000\n", "fallocate f allocate 0 16K\n"]
)  # fmt: skip
def test_old_end_shows_what_was_stored_past_it(then: str) -> None:
    """A truncate that no sync made durable takes nothing from what an image of before may show past the old end."""
    text = PAST + then
    assert eof(after(text), text, 9192, Stamp(2, 1))
    assert not eof(after(text), text, 9192, Stamp(1, 1)), "a pwrite never reached past the end"
    assert not eof(after(text), text, 9192, Stamp(9, 7)), "no store of the Program"


def test_file_that_grows_shows_zeroes_past_its_old_end() -> None:
    """ftruncate(2): "the extended part reads as null bytes", and when it is cut again, too."""
    text = PAST + "ftruncate f 12K\n"
    assert durable(after(text), "data", 9192) == {ZERO}
    text += "ftruncate f 9192\n"
    assert not eof(after(text), text, 9192, Stamp(2, 1), "current")
    assert eof(after(text), text, 9192, Stamp(2, 1))
    text = PAST + "ftruncate f 12K\nfsync f\nftruncate f 9192\n"
    assert not eof(after(text), text, 9192, Stamp(2, 1))


def test_append_that_is_not_durable_lies_past_the_old_end() -> None:
    """What a write put behind a size that is still on the media may show there, until a sync."""
    text = "create f data\npwrite f 0 5000\nfsync f\nfsyncdir\npwrite f 5000 3192\n"
    assert eof(after(text), text, 5000, Stamp(2, 1))
    assert not eof(after(text), text, 5000, Stamp(1, 1))


def test_store_past_an_end_that_is_not_durable() -> None:
    """A store past the new end goes to the block of the last page, and there the longer file on the media has it."""
    cut = ONE + "ftruncate f 100\n"
    assert allows(after(cut + "store m 0 4K\n"), "data", 100, Stamp(2, 1))
    assert not allows(after(cut + "fsync f\nstore m 0 4K\n"), "data", 100, Stamp(2, 1))


@pytest.mark.nightly
def test_four_hundred_inserts() -> None:
    """The work for an insert does not grow with those before it but for its own piece of the layout."""

    def work(inserts: int) -> tuple[int, int]:
        file = after("create f data\npwrite f 0 256K\nfsync f\n" + "fallocate f insert_range 0 4K\n" * inserts).files[1]
        runs = [byte for _, _, byte in file.contents.runs()]
        places = [place for _, _, place in file.blocks.runs()]
        return sum(len(byte.durable) + len(byte.past) for byte in runs), sum(
            len(place.now | place.old) for place in places
        )

    (few, pieces), (many, more) = work(100), work(400)
    assert many <= few
    assert more - pieces == 300


def test_too_many_moves_are_not_judged_before_a_sync() -> None:
    """Beyond the limit a byte may hold anything after a cut, and after a sync one content again."""
    text = ONE + "fallocate f insert_range 0 4K\n" * 40
    assert ANYTHING in durable(after(text), "data", 60 * PAGE)
    assert durable(after(text + "fsync f\nstore m 0 4K\n"), "data", 40 * PAGE) == {Stamp(1, 1, 40 * PAGE)}
