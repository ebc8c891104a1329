"""The history of DAX entries is what the trace told of the Program's files, and outlives its file unchanged."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.judge.entryhistory import LIMIT, EntryChange, EntryHistory, EntryLevel, history
from harness.model.program.program import parse
from harness.model.units import PAGE, PMD
from harness.model.wire.traced import Dropped, EntryEvent, Touched, Traced

PROGRAM = parse("""daxcheck program 1
create f a
unlink a
create g b
mmap m g 0 4M
store m 0 4M
msync m 0 4M
cut_power
""")
"""Files 1 and 2; the first may have given its inode to the second."""
STORED = Touched(4, EntryEvent.DIRTIED, 12, True, 2, ((PMD, 2 * PMD), (0, PMD)))
SYNCED = Touched(5, EntryEvent.WRITTEN, 12, False, 3, ((0, 3 * PAGE),))
DROPPED = Dropped(4, "dax_delete_mapping_entry", 12, 0, PMD, ("f", "g"))
CHANGE = EntryChange(4, EntryEvent.DROPPED, 2, EntryLevel.PMD, 1, ((0, PMD),), "dax_delete_mapping_entry", ("f", "g"))
WHOLE = EntryHistory((
    EntryChange(4, EntryEvent.DIRTIED, 2, EntryLevel.PMD, 2, ((0, 2 * PMD),)), CHANGE,
    EntryChange(5, EntryEvent.WRITTEN, 2, EntryLevel.PTE, 3, ((0, 3 * PAGE),)),
), 5)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6,
)  # fmt: skip
RIGHT: dict[str, Any] = json.loads(json.dumps(WHOLE.to_json()))


def told(*touched: Touched, **more: Any) -> EntryHistory:
    found = history(PROGRAM, Traced(touched=touched, inodes={2: 12}, watched=True, **more))
    assert found is not None
    return found


def test_what_the_trace_told() -> None:
    """Changes stand by op, in an op faults before drops, under the number of the file, their ranges joined."""
    assert told(SYNCED, STORED, dropped=(DROPPED,), missed=5) == WHOLE
    assert WHOLE.whole(4) and not WHOLE.whole(5)


def test_nobody_looked() -> None:
    """Without a watch there is no history: that nothing was written back must not be read out of it."""
    assert history(PROGRAM, Traced(touched=(STORED,), inodes={2: 12})) is None
    assert told() == EntryHistory()


def test_a_run_that_died() -> None:
    """Of the op that ended in a signal nothing is told, nor of those that ran with it in lanes."""
    assert told().missed is None
    found = history(PROGRAM, Traced(watched=True, missed=6), died=4)
    assert found is not None and found.missed == 4
    lanes = parse("daxcheck program 1\ncreate f a\nlane a\nfsync f\nlane b\nfsync f\njoin\ncut_power\n")
    found = history(lanes, Traced(watched=True), died=4)
    assert found is not None and found.missed == 1


def test_files_that_share_an_inode() -> None:
    """Of files that had an inode one after the other, the last that was there is meant; others' inodes are no file."""
    shared = Traced(
        touched=(Touched(1, EntryEvent.DIRTIED, 12, False, 1, ((0, PAGE),)), STORED,
                 Touched(4, EntryEvent.DIRTIED, 99, False, 1, ((0, PAGE),))),
        inodes={1: 12, 2: 12}, watched=True,
    )  # fmt: skip
    found = history(PROGRAM, shared)
    assert found is not None and [(one.op, one.file) for one in found.changes] == [(1, 1), (4, 2)]


@pytest.mark.parametrize(("size", "entries", "level"), [
    (PMD, 1, EntryLevel.PMD), (4 * PAGE, 4, EntryLevel.PTE), (PMD + PAGE, 2, EntryLevel.MIXED),
])  # fmt: skip
def test_the_level_of_a_drop(size: int, entries: int, level: EntryLevel) -> None:
    """A run of dropped entries is all of PMDs, all of pages, or both, by its size."""
    (change,) = told(dropped=(Dropped(4, "f", 12, 0, size, (), entries),)).changes
    assert change.level is level


def test_a_guest_that_tells_too_much() -> None:
    """What is beyond the limit is not kept, and the history says from which op on."""
    many = [Touched(4, EntryEvent.DIRTIED, 12, False, 1, ((PAGE, 2 * PAGE),))] * (LIMIT // 2)
    found = told(*many, SYNCED)
    assert len(found.changes) == LIMIT // 2 and found.missed == 5
    assert told(*many, SYNCED, missed=3).missed == 3
    deep = told(dropped=(Dropped(4, "f", 12, 0, PMD, ("f",) * 32),) * 2000)
    assert len(deep.changes) == LIMIT // 34 and deep.missed == 4
    assert EntryHistory.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_file_gives_back_what_it_was_given() -> None:
    assert EntryHistory.from_json(RIGHT) == WHOLE
    huge = told(dropped=(Dropped(4, "f", 12, 0, (1 << 64) - 1, ()),))
    assert EntryHistory.from_json(json.loads(json.dumps(huge.to_json()))) == huge


@given(VALUES | st.dictionaries(st.sampled_from([*RIGHT, "more"]), VALUES, max_size=2).map(lambda one: RIGHT | one)
       | st.dictionaries(st.sampled_from([*RIGHT["changes"][0], "more"]), VALUES, max_size=2).map(
           lambda one: RIGHT | {"changes": [RIGHT["changes"][0] | one]}))  # fmt: skip
def test_any_file_is_read_or_refused(value: object) -> None:
    """A user may have edited the file: it is a history, or a ValueError."""
    try:
        found = EntryHistory.from_json(value)
    except ValueError:
        return
    assert EntryHistory.from_json(json.loads(json.dumps(found.to_json()))) == found
