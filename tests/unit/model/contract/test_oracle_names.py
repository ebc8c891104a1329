"""Names: which file one stands for, which it may stand for after a cut, and how that is judged."""

from harness.model.contract.oracle import at_cut, run
from harness.model.contract.state import State
from harness.model.judge.verdict import LIVE, Judgement, judge, judge_reads
from harness.model.judge.violation import Kind
from harness.model.program.ops import Observe
from harness.model.program.program import Program, parse
from harness.model.wire.observation import FileView, OpResult, Stamp
from harness.model.wire.stamps import Buffer, decode, pattern
from harness.report.words import Words

LONG = {1: 100, 2: 200, 3: 300}
"""The size of each file, by its id: tells them apart."""


def made(fd: str, path: str, id: int) -> str:
    return f"create {fd} {path}\npwrite {fd} 0 {LONG[id]}\nfsync {fd}\n"


A = "daxcheck program 1\n" + made("f", "a", 1)
TWO = A + made("g", "b", 2) + "fsyncdir\n"


def state(text: str) -> State:
    return run(parse(text))[-1]


def may(text: str, path: str) -> set[int | None]:
    return set(state(text).name(path).durable)


def now(text: str, path: str) -> int | None:
    return state(text).name(path).current


def test_a_rename_replaces() -> None:
    """The new name stands for the file at once; after a cut it is the one or the other, never nothing."""
    text = TWO + "rename a b\n"
    assert now(text, "a") is None and now(text, "b") == 1
    assert may(text, "a") == {1, None}
    assert may(text, "b") == {2, 1}
    assert may(text + "fsync f\n", "b") == {2, 1}
    for sync in ("fsyncdir", "syncfs", "sync", "freeze"):
        assert may(f"{text}{sync}\n", "a") == {None} and may(f"{text}{sync}\n", "b") == {1}


def test_links_and_unlinks() -> None:
    """A link is another name, and an unlinked name is gone; each is durable with the directory."""
    assert may(TWO + "link a c\n", "c") == {None, 1}
    assert may(TWO + "unlink a\n", "a") == {None, 1}
    assert may(TWO + "unlink a\nfsyncdir\n", "a") == {None}
    text = TWO + "link a c\nrename a c\nfsyncdir\n"
    assert may(text, "a") == may(text, "c") == {1}  # rename(2): hard links of one file


def test_a_name_may_be_used_again() -> None:
    """What is created under an old name is another file."""
    text = TWO + "unlink a\ncreate h a\npwrite h 0 300\n"
    assert now(text, "a") == 3 and may(text, "a") == {None, 1, 3}
    opened = state(TWO + "rename a c\nrename b a\nopen h a\n")
    assert opened.fds["h"] == 2


def test_what_a_failed_op_was_to_name() -> None:
    """A name that was never made stands for nothing, and opening it does nothing."""
    program = parse(TWO + "rename a c\nopen h c\npwrite h 0 8\n")
    index = len(program.ops) - 3
    failed = run(program, [OpResult(index, 5), OpResult(index + 1, 2), OpResult(index + 2, 9)])[-1]
    assert failed == state(TWO)


def view(path: str, id: int | None, seq: int = 0) -> FileView:
    if id is None:
        return FileView(path, None)
    data = pattern(seq or id, id, 0, 0, LONG[id])
    return FileView(path, len(data), decode(Buffer(data), 0, len(data))[0])


def judged(text: str, *views: FileView) -> Judgement:
    program = parse(text + "cut_power\n")
    return judge(program, at_cut(program, run(program)), views, "x")


def wrong(text: str, *views: FileView) -> list[str]:
    return [Words(None).sentence([one]) for one in judged(text, *views).violations]


def test_any_file_that_a_name_may_stand_for_explains_it() -> None:
    """After an unsynced rename the old file or the new is right, each with its own contents."""
    text = TWO + "rename a b\n"
    assert wrong(text, view("a", 1), view("b", 2)) == []
    assert wrong(text, view("a", None), view("b", 1)) == []
    assert wrong(text, view("a", 1), view("b", 1)) == []
    assert judged(text, view("a", None), view("b", 1)).judged_bytes == LONG[1]
    text += "fsyncdir\n"
    assert wrong(text, view("a", None), view("b", 1)) == []
    (first, *_) = wrong(text, view("a", None), view("b", 2))
    assert first == "fsync returned 0, b is 200 long, not 100 long"


def test_a_rename_loses_no_name() -> None:
    """The replaced name is never absent, and one of the renamed file's names is always there."""
    text = TWO + "rename a b\n"
    assert wrong(text, view("a", 1), view("b", None)) == ["fsyncdir returned 0, b is missing, not 100 long"]
    assert wrong(text, view("a", None), view("b", 2)) == [
        "fsyncdir returned 0, b has lost its name: a or b is not there"
    ]
    renamed = TWO + "rename a c\n"
    gone = [view("a", None), view("b", 2), view("c", None)]
    assert wrong(renamed, *gone) == ["fsyncdir returned 0, c has lost its name: a or c is not there"]
    assert wrong(renamed + "unlink c\n", *gone) == []
    assert wrong(renamed + "rename b c\n", view("a", None), view("b", 2), view("c", None)) == []
    assert wrong(A + "rename a c\n", view("a", None), view("c", None)) == []  # its first name was never durable


def test_an_exchange() -> None:
    """Each name is the one file or the other, each file keeps one of the names; the directory's sync settles it."""
    text = TWO + "rename a b flag=exchange\n"
    assert (now(text, "a"), now(text, "b")) == (2, 1)
    assert may(text, "a") == may(text, "b") == {1, 2}
    assert (may(text + "fsyncdir\n", "a"), may(text + "fsyncdir\n", "b")) == ({2}, {1})
    assert wrong(text, view("a", 1), view("b", 2)) == wrong(text, view("a", 2), view("b", 1)) == []
    assert wrong(text, view("a", 1), view("b", 1)) == ["fsyncdir returned 0, a has lost its name: a or b is not there"]
    assert wrong(text + "fsyncdir\n", view("a", 1), view("b", 2))
    lost = [FileView("a", None), FileView("b", None)]
    program = parse(text + "cut_power\n")
    assert judge(program, at_cut(program, run(program, journal=False)), lost, "x").violations == ()
    assert now(TWO + "link a c\nrename a c flag=exchange\n", "a") == 1  # hard links of one file


def test_what_open_does_to_the_file() -> None:
    """With O_TRUNC it is cut to nothing, and may be so after a cut; with O_APPEND a write goes behind its end."""
    cut = state(TWO + "open h a flag=truncate\n").files[1]
    assert (cut.shortest, cut.longest, cut.longest_durable, cut.surely_durable) == (0, 0, LONG[1], 0)
    grown = state(TWO + "open h a flag=append\npwrite h 0 50\n").files[1]
    assert (grown.longest, grown.surely_durable) == (LONG[1] + 50, LONG[1])
    assert [byte.current for byte in map(grown.contents.at, (0, LONG[1]))] == [{Stamp(1, 1)}, {Stamp(3, 1)}]


def test_an_append_where_the_end_is_not_known() -> None:
    """Behind whichever end the file has."""
    race = "lane x\npwrite f 0 150\nlane y\nftruncate f 120\njoin\n"
    file = state(TWO + "open h a flag=append\n" + race + "pwrite h 0 50\n").files[1]
    ends = (120, 150)
    assert all(Stamp(4, 1) in file.contents.at(end).current for end in ends)
    assert file.longest >= 200 and Stamp(1, 1) not in file.contents.at(160).current


def test_without_a_journal_a_rename_is_not_atomic() -> None:
    """e2fsck may find neither."""
    program = parse(TWO + "rename a b\ncut_power\n")
    lost = [FileView("a", None), FileView("b", None)]
    assert judge(program, at_cut(program, run(program, journal=False)), lost, "x").violations == ()
    synced = parse(TWO + "rename a b\nfsyncdir\ncut_power\n")
    assert judge(synced, at_cut(synced, run(synced, journal=False)), lost, "x").violations


def test_what_is_gone_stays_gone() -> None:
    """A name whose end was synced must not come back; with the power on it is gone at once."""
    text = TWO + "unlink a\n"
    assert wrong(text, view("a", 1), view("b", 2)) == []
    assert wrong(text + "fsyncdir\n", view("a", 1), view("b", 2)) == ["fsyncdir returned 0, a is still there"]
    program = parse(text)
    there = [view("a", 1), view("b", 2)]
    found = judge(program, run(program)[-1], there, LIVE, "current").violations
    assert Words(program).sentence(found) == "a is still there"


def test_names_of_one_file_are_judged_alike() -> None:
    """Both names of a linked file are held against its contents."""
    text = TWO + "link a c\nfsyncdir\n"
    assert wrong(text, view("a", 1), view("b", 2), view("c", 1)) == []
    lost = view("c", None)
    assert wrong(text, view("a", 1), view("b", 2), lost) == ["fsyncdir returned 0, c is missing, not 100 long"]


def test_every_name_must_be_looked_at() -> None:
    """A name that was not read back is told, unless nothing can be there."""
    assert judged(TWO, view("a", 1)).unjudged == ("b: not read back",)
    assert judged(TWO + "unlink b\nfsyncdir\n", view("a", 1)).unjudged == ()


def observed(program: Program, *views: FileView) -> Judgement:
    index = next(i for i, op in enumerate(program.ops) if isinstance(op, Observe))
    return judge_reads(program, run(program), [OpResult(index, files=views)])


def test_observe_is_judged_where_it_stands() -> None:
    """What is read in the middle is held against what is current there, and told by the op that looked."""
    program = parse(TWO + "observe\npwrite f 0 100\nunlink b\n")
    assert observed(program, view("a", 1), view("b", 2)).judged_bytes == LONG[1] + LONG[2]
    later = observed(program, view("a", 1, seq=3), view("b", None))
    assert [(one.kind, one.op, one.verb) for one in later.violations] == [
        (Kind.STALE, 7, "observe"), (Kind.SIZE, 7, "observe"),
    ]  # fmt: skip
    assert observed(program).unjudged == ("a: not read back", "b: not read back")
