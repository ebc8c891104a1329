"""What became of dirty entries is told by op, neighbours together, and never more than a run can carry."""

import json

from harness.agent.watch.drops import History
from harness.agent.watch.touches import Touches
from harness.model.units import PAGE, PMD
from harness.model.wire.traced import TOUCHED_LIMIT, TOUCHED_RANGES, EntryEvent, Touched, from_wire
from tests.unit.agent.watch.test_drops import HOLE, MKWRITE, WRITTEN, line, pmd, ptes

DIRTIED, CLEANED = EntryEvent.DIRTIED, EntryEvent.WRITTEN


def over_the_wire(touches: Touches, index: int = 3) -> tuple[Touched, ...]:
    """What the host reads of what the agent tells after op `index`."""
    return from_wire(json.loads(json.dumps({"touched": touches.take(index)}))).touched


def told(text: str) -> list[tuple[EntryEvent, bool, int, tuple[tuple[int, int], ...]]]:
    """Event, PMDs or pages, entries and ranges of pages, of trace text about the inode 12."""
    history = History()
    history.take(text)
    found = over_the_wire(history.touches)
    assert all((one.index, one.inode) == (3, 12) for one in found)
    return [(one.event, one.pmd, one.entries, tuple((a // PAGE, b // PAGE) for a, b in one.ranges)) for one in found]


def test_stores_and_syncs() -> None:
    """A write fault dirties its entry, write-back cleans it; of a read fault and of one that failed nothing is told."""
    assert told(ptes(4, 5, 6, 9)) == [(DIRTIED, False, 4, ((4, 7), (9, 10)))]
    assert told(pmd(512) + pmd(1024)) == [(DIRTIED, True, 2, ((512, 1536),))]
    assert told(ptes(1) + line(WRITTEN.format(1, 1)) + line(WRITTEN.format(512, 512))) == [
        (DIRTIED, False, 1, ((1, 2),)), (CLEANED, False, 1, ((1, 2),)), (CLEANED, True, 1, ((512, 1024),)),
    ]  # fmt: skip
    assert told(pmd(0, flags="") + pmd(0, result="FALLBACK") + line(HOLE) + pmd(0, flags="")) == []


def test_the_entry_that_a_store_uses() -> None:
    """A page that is stored to below a PMD entry dirties that; a MAP_SYNC fault dirties its entry at its end."""
    assert told(pmd(0, flags="") + ptes(20)) == [(DIRTIED, True, 1, ((0, 512),))]
    assert told(pmd(0, result="NEEDDSYNC")) == []
    assert told(pmd(0, result="NEEDDSYNC") + line(MKWRITE.format(16))) == [(DIRTIED, True, 1, ((0, 512),))]


def test_the_op_of_a_lane() -> None:
    """In lanes it is the op that the lane's thread had begun."""
    history = History()
    history.take(line("tracing_mark_write: daxcheck_op=7\n", 5) + pmd(0).replace("init-1 ", "init-5 ") + ptes(512))
    assert [(one.index, one.pmd) for one in over_the_wire(history.touches, 9)] == [(7, True), (9, False)]


def test_taken_once() -> None:
    """What was taken is not told again."""
    touches = Touches()
    touches.add(None, DIRTIED, 12, (0, 1))
    assert len(touches.take(0)) == 1 and touches.take(1) == []
    touches.add(None, DIRTIED, 12, (1, 1))
    (again,) = touches.take(2)
    assert (again["entries"], again["ranges"], again["index"]) == (1, [[PAGE, 2 * PAGE]], 2)


def test_a_run_cannot_tell_too_much() -> None:
    """Whatever a Program stores to: so many ranges and kinds in the whole run, then no more, and it is said."""
    pages, inodes = Touches(), Touches()
    for page in range(2 * TOUCHED_RANGES):
        pages.add(None, DIRTIED, 12, (2 * page, 1))
        if page % 100 == 0:
            assert len(pages.take(page)) <= 1
    assert pages.full
    for inode in range(1, 2 * TOUCHED_LIMIT):
        inodes.add(None, DIRTIED, inode, (0, 512))
    assert inodes.full
    text = json.dumps(inodes.take(0))
    assert len(text) < 200_000 and len(from_wire({"touched": json.loads(text)}).touched) == TOUCHED_LIMIT
    inodes.add(None, DIRTIED, 5, (0, 512))
    assert inodes.take(0) == []
    whole = Touches()
    for page in range(PMD // PAGE):
        whole.add(None, CLEANED, 12, (page, 1))
    assert not whole.full
