"""The timeline shows what each op of a Program did to which bytes, and which of them had a part in what went wrong."""

import json
from dataclasses import replace

import pytest

from harness.findings.finding import Case
from harness.model.judge.entryhistory import LIMIT, EntryChange, EntryHistory, EntryLevel
from harness.model.judge.values import Condition
from harness.model.judge.violation import Violation
from harness.model.units import PAGE, PMD
from harness.model.wire.traced import EntryEvent
from harness.report.html.deeds import Course, Deed, course
from harness.report.html.fates import Fate
from harness.report.html.timeline import OpRow, Timeline, timeline
from harness.report.remarks import Role
from tests.unit.findings.cells import LOSS, PROGRAM, WARNED, cell

DIRTIED = EntryChange(5, EntryEvent.DIRTIED, 1, EntryLevel.PMD, 1, ((0, PMD),))
DROPPED = EntryChange(6, EntryEvent.DROPPED, 1, EntryLevel.PMD, 1, ((0, PMD),), "dax_delete_mapping_entry", ("f",))
WRITTEN = EntryChange(4, EntryEvent.WRITTEN, 1, EntryLevel.PTE, 512, ((0, PMD),))


def of(program: str) -> Course:
    found = course(replace(cell(LOSS), program=program))
    assert found is not None
    return found


def drawn(*violations: Violation, history: EntryHistory | None = None, program: str = PROGRAM) -> Timeline:
    return timeline(of(program), Case(cell(*violations), violations), violations, history)


def row(found: Timeline, index: int) -> OpRow:
    (one,) = (row for row in found.rows if row.index == index)
    return one


def kinds(found: OpRow) -> set[str]:
    return {mark.kind for mark in found.marks}


def roles(found: OpRow) -> list[Role]:
    return [remark.role for remark in found.remarks]


def told(found: OpRow) -> list[str]:
    return [note.words for note in found.notes]


def test_roles() -> None:
    """The op that stored what was lost, the one that stored what is there, who dropped the entry, who had promised."""
    found = drawn(LOSS)
    assert {one.index: roles(one) for one in found.rows if one.remarks} == {
        3: [Role.OLDER], 5: [Role.LOST], 6: [Role.DROPPED], 7: [Role.PROMISED],
    }  # fmt: skip
    assert [one.index for one in found.rows] == list(range(9))
    assert row(found, 6).words == "fallocate f punch_hole [0..4K)"


def test_without_an_account() -> None:
    """Without the kernel's account its culprit still tells of the drop; no fault and no write-back is made up."""
    found = drawn(LOSS)
    assert not found.account
    assert kinds(row(found, 5)) == {Deed.STORE.name}
    assert kinds(row(found, 6)) == {Deed.CHANGE.name, Deed.DROPPED.name}
    assert kinds(row(found, 7)) == {Deed.PROMISE.name}
    assert [one.words for one in row(found, 6).remarks] == ["drops the dirty entry [0..2M)"]
    assert told(row(found, 6)) == []
    assert told(row(found, 7)) == ["512 pages stale"]
    assert {mark.kind for mark in found.media} == {Fate.STALE.name, Fate.KEPT.name}


def test_with_an_account() -> None:
    """The kernel's account: what a fault dirtied is dirty until it is written back or dropped, and a sync that wrote
    nothing back is told."""
    found = drawn(LOSS, history=EntryHistory((WRITTEN, DIRTIED, DROPPED)))
    assert found.account
    assert told(row(found, 4)) == ["512 PTE entries written back: [0..2M)"]
    assert told(row(found, 5)) == ["1 PMD entry dirtied: [0..2M)"]
    assert kinds(row(found, 5)) == {Deed.STORE.name, Deed.DIRTIED.name, "dirty"}
    assert kinds(row(found, 6)) == {Deed.CHANGE.name, Deed.DROPPED.name}
    assert told(row(found, 7)) == ["no entry written back", "512 pages stale"]


def test_a_drop_is_told_once() -> None:
    """A drop that a remark tells already has no note; one that broke no promise of this finding has."""
    other = replace(DROPPED, op=2, ranges=((0, PAGE),), level=EntryLevel.PTE)
    found = drawn(LOSS, history=EntryHistory((other, DIRTIED, DROPPED)))
    assert told(row(found, 2)) == ["1 dirty PTE entry dropped, not written back: [0..4K)"]
    assert told(row(found, 6)) == []


def test_a_huge_account() -> None:
    """The largest history that a file can hold is drawn, and its marks are few: somebody may have made it up."""
    odd = tuple((2 * page * PAGE, (2 * page + 1) * PAGE) for page in range(LIMIT // 4))
    changes = [EntryChange(op, event, 1, EntryLevel.PTE, 1, odd) for op in (5, 7) for event in EntryEvent]
    huge = EntryHistory(tuple(changes[:3]))
    assert EntryHistory.from_json(json.loads(json.dumps(huge.to_json()))) == huge
    with pytest.raises(ValueError, match="more than"):
        EntryHistory.from_json(json.loads(json.dumps(EntryHistory(tuple(changes)).to_json())))
    found = drawn(LOSS, history=huge)
    assert sum(len(one.marks) for one in found.rows) < 1000
    many = EntryHistory(tuple(EntryChange(op % 9, EntryEvent.DIRTIED, 1, EntryLevel.PTE, 1, ((page, page + 1),))
                              for op, page in enumerate(range(0, LIMIT, 2))))  # fmt: skip
    assert sum(len(one.marks) for one in drawn(LOSS, history=many).rows) < 3000


def test_an_account_with_gaps_claims_nothing() -> None:
    """From the op on of which some may be missing, no sync is said to have written nothing back."""
    found = drawn(LOSS, history=EntryHistory((DIRTIED, DROPPED), missed=7))
    assert told(row(found, 7)) == ["512 pages stale"]
    assert told(row(found, 4)) == []


def test_a_complaint_has_its_words() -> None:
    """What the kernel said stands beside the op that ran."""
    found = drawn(WARNED)
    assert roles(row(found, 7)) == [Role.WRONG]
    assert told(row(found, 7)) == ["warning: WARNING: fs/dax.c:1 at dax_x+0x1/0x2"]


def test_a_long_program_is_cut() -> None:
    """Of a Program of a thousand ops those near what matters are shown, and the others counted."""
    head, tail = PROGRAM.split("cut_power")[0], "cut_power\n"
    found = drawn(LOSS, program=head + "observe\n" * 1000 + tail)
    assert sum(1 if one.index is not None else int(one.words.split()[0]) for one in found.rows) == 1009
    assert len(found.rows) < 60
    assert {3, 5, 6, 7} <= {one.index for one in found.rows}


@pytest.mark.parametrize(("op", "deed", "span"), [
    ("pwrite f 4K 8K", Deed.WRITE, (PAGE, 3 * PAGE)),
    ("flush m 0 64", Deed.FLUSH, (0, 64)),
    ("ftruncate f 4M", Deed.CHANGE, (2 * PMD, 4 * PMD)),
    ("fallocate f collapse_range 0 4K", Deed.CHANGE, (0, PAGE)),
    ("madvise m 0 4K remove", Deed.CHANGE, (0, PAGE)),
    ("store n 0 4K", Deed.STORE, (PMD, PMD + PAGE)),
])  # fmt: skip
def test_where_an_op_works(op: str, deed: Deed, span: tuple[int, int]) -> None:
    """The bytes are those of the file, wherever a mapping of it begins."""
    text = PROGRAM.replace("fallocate f punch_hole 0 4K\n", f"mmap n f 2M 2M\n{op}\n")
    assert [one.span for one in of(text).done if one.index == 7 and one.deed is deed] == [span]


def test_two_files() -> None:
    """Each file has its part of the axis, under the name that it has at the cut."""
    text = PROGRAM.replace("cut_power", "create g other\npwrite g 0 8K\nfsync g\nrename other new\ncut_power")
    found = drawn(LOSS, program=text)
    assert [axis.label for axis in found.axes] == ["data", "new"]
    (mark,) = (one for one in row(found, 9).marks if one.kind == Deed.WRITE.name)
    assert mark.bar.x >= found.axes[1].places[0] > found.axes[0].places[-1]


def test_what_is_no_file_of_the_program() -> None:
    """A violation of a file that no op made, or an op that the Program does not have, has no place and does no harm."""
    strange = replace(LOSS, path="stranger", op=99, expected=Condition.ZERO, found=Condition.MANY)
    assert [one.index for one in drawn(strange).rows] == list(range(9))
    assert course(replace(cell(LOSS), program="nonsense")) is None
