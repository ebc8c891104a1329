"""The verdict: no false alarm on anything allowed, no byte missed that is not, and words that say which."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.contract.allowed import Anything, Known
from harness.model.contract.oracle import at_cut, run
from harness.model.judge.values import Condition, Stored
from harness.model.judge.verdict import Judgement, judge, judge_reads
from harness.model.judge.violation import Kind
from harness.model.program.ops import (
    Create,
    CutPower,
    Fallocate,
    Fsync,
    Fsyncdir,
    Ftruncate,
    Load,
    Mmap,
    Mode,
    Msync,
    Op,
    Plant,
    Planted,
    Pread,
    Pwrite,
    Store,
)
from harness.model.program.program import Expect, Program, parse
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire.observation import Difference, FileView, Opaque, OpResult, Raw, Segment, Source, Stamp, Zero
from harness.model.wire.stamps import Buffer, decode, source_bytes
from harness.report import words
from harness.report.words import Words

SIZE = 2 * PAGE


def view(data: bytes, path: str = "data") -> FileView:
    """The file as an agent would observe it."""
    segments, truncated = decode(Buffer(data), 0, len(data))
    return FileView(path, len(data), segments, (), truncated)


def built(*parts: tuple[int, Source]) -> bytes:
    """The bytes of sources that each end at the given offset."""
    data = b""
    for end, source in parts:
        piece = source_bytes(source, len(data), end)
        assert piece is not None
        data += piece
    return data


def bytes_of(source: Known, start: int, end: int) -> bytes:
    assert not isinstance(source, Anything)
    return source_bytes(source, start, end) or b""


def judged(ops: Sequence[Op], data: bytes, expect: Expect = Expect.KEPT) -> Judgement:
    program = Program(tuple(ops), expect)
    return judge(program, at_cut(program, run(program)), [view(data)], "pessimistic")


sentence = Words(None).sentence


def summary(judgement: Judgement) -> list[tuple[str, str, tuple[tuple[int, int], ...], str, str]]:
    """The violations, each with the number and verb of its op and with its values in words."""
    ops = {v: "" if v.op is None else f"op {v.op}: {v.verb}" for v in judgement.violations}
    return [(v.kind.value, op, v.ranges, words.value(v.expected), words.value(v.found)) for v, op in ops.items()]


span = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 300)).map(lambda s: (s[0], min(s[1], SIZE - s[0])))
any_op: st.SearchStrategy[Op] = st.one_of(
    st.builds(lambda s: Store("m", *s), span),
    st.builds(lambda s: Pwrite("f", *s), span),
    st.builds(lambda mode, s: Fallocate("f", mode, *s), st.sampled_from((Mode.PUNCH_HOLE, Mode.ZERO_RANGE)), span),
    st.builds(lambda size: Ftruncate("f", size), st.integers(0, SIZE)),
    st.just(Fallocate("f", Mode.COLLAPSE_RANGE, 512, 512)),
    st.just(Fallocate("f", Mode.INSERT_RANGE, 512, 512)),
    st.builds(lambda page: Msync("m", page * PAGE, 1), st.integers(0, 1)),
    st.just(Fsync("f")),
)
START = (Create("f", "data"), Ftruncate("f", SIZE), Fsync("f"), Fsyncdir(), Mmap("m", "f", 0, SIZE))
programs = st.lists(any_op, max_size=8).map(lambda ops: Program((*START, *ops, CutPower())))


@settings(max_examples=300, deadline=None)
@given(programs, st.data())
def test_no_false_alarm(program: Program, data: st.DataObject) -> None:
    """A file of any allowed size, whose every byte comes from any source allowed there, violates nothing."""
    state = at_cut(program, run(program))
    file = state.file("data")
    assert file is not None
    sizes = data.draw(st.sampled_from(sorted(file.sizes)))
    size = data.draw(st.integers(sizes.low, sizes.high))
    cuts = data.draw(st.lists(st.integers(0, SIZE), max_size=4))
    contents = b""
    for low, high, byte in file.contents.runs(0, size):
        bounds = sorted({low, high, *(cut for cut in cuts if low < cut < high)})
        for start, end in pairwise(bounds):
            source = data.draw(st.sampled_from(sorted(byte.durable, key=repr)))
            contents += bytes_of(source, start, end)
    result = judge(program, state, [view(contents)], "evicted")
    assert result == Judgement(size, ())


@settings(max_examples=300, deadline=None)
@given(programs, st.data())
def test_no_byte_missed(program: Program, data: st.DataObject) -> None:
    """One byte changed to what no source allowed there has is found, and its word is all that is blamed."""
    state = at_cut(program, run(program))
    file = state.file("data")
    assert file is not None
    contents = bytearray()
    for low, high, byte in file.contents.runs(0, file.shortest):
        (current,) = byte.current
        contents += bytes_of(current, low, high)
    if not contents:
        return
    at = data.draw(st.integers(0, len(contents) - 1))
    allowed = {bytes_of(source, at, at + 1) for source in file.contents.at(at).durable}
    value = data.draw(st.integers(0, 255).filter(lambda value: bytes([value]) not in allowed))
    contents[at] = value
    result = judge(program, state, [view(bytes(contents))], "evicted")
    ranges = [one for violation in result.violations for one in violation.ranges]
    assert any(low <= at < high for low, high in ranges)
    assert all(at // 8 * 8 <= low and high <= at // 8 * 8 + 8 for low, high in ranges)
    assert result.judged_bytes == len(contents)


CREATE = Create("f", "data")
FILE = (CREATE, Fallocate("f", Mode.ALLOCATE, 0, 4 * PMD), Fsync("f"), Fsyncdir(), Mmap("m", "f", 0, 4 * PMD))
PUNCH = (
    *FILE, Store("m", 0, 4 * PMD), Msync("m", 0, 4 * PMD), Store("m", 0, 2 * PMD),
    Fallocate("f", Mode.PUNCH_HOLE, 16 * PAGE, PAGE), Msync("m", 0, 4 * PMD), CutPower(),
)  # fmt: skip
OLD, NEW, ZERO = Stamp(1, 1), Stamp(2, 1), Zero()


def test_the_reference_loss() -> None:
    """Punched inside a dirty PMD and lost: 511 pages are stale by the second msync, and it is said in these words."""
    result = judged(PUNCH, built((16 * PAGE, OLD), (17 * PAGE, ZERO), (PMD, OLD), (2 * PMD, NEW), (4 * PMD, OLD)))
    (lost,) = result.violations
    assert (lost.kind, lost.path, lost.op, lost.verb, lost.image) == (Kind.STALE, "data", 9, "msync", "pessimistic")
    assert (lost.expected, lost.found) == (Stored(2, 7), Stored(1, 5))
    assert lost.ranges == ((0, 16 * PAGE), (17 * PAGE, PMD))
    assert lost.bytes == 511 * PAGE
    assert result.judged_bytes == 4 * PMD
    assert sentence(result.violations) == "msync returned 0, 511 of 512 pages of data[0..2M) hold the older store"


def test_what_was_promised_is_kept() -> None:
    """The same contents with nothing lost violate nothing, and every byte is judged."""
    data = built((16 * PAGE, NEW), (17 * PAGE, ZERO), (2 * PMD, NEW), (4 * PMD, OLD))
    assert judged(PUNCH, data) == Judgement(4 * PMD)


def test_a_control_must_lose() -> None:
    """Judged as though synced, a store that did not reach the media is a loss by the cut."""
    result = judged((*FILE, Store("m", 0, PMD), CutPower()), bytes(4 * PMD), Expect.LOSS)
    assert summary(result) == [("zero", "op 6: cut_power", ((0, PMD),), "store 1 (op 5)", "zero")]
    assert sentence(result.violations) == "not synced, 512 of 512 pages of data[0..2M) are zero"


STORED = (*FILE[:1], Ftruncate("f", PAGE), Fsyncdir(), Mmap("m", "f", 0, PAGE), Store("m", 0, PAGE), Fsync("f"))


def test_what_was_stored_past_the_end_and_moved_is_told() -> None:
    """Seen past the new end after an insert it is a remark, no violation: mmap(2) excuses, and names no place. A stamp
    of that store for a place where it never stored is a violation, and no remark."""
    stored = parse(
        "daxcheck program 1\ncreate f data\nfallocate f allocate 0 8292\nmmap m f 0 12K\nstore m 0 8292\n"
        "store m 8292 3996\nmunmap m\nfallocate f insert_range 4K 4K\nobserve\ncut_power\n"
    )
    state = run(stored)[-1]
    whole = built((PAGE, Stamp(1, 1)), (2 * PAGE, ZERO), (3 * PAGE + 100, Stamp(1, 1, PAGE)))

    def seen(source: Source) -> Judgement:
        past = Difference("eof", 3 * PAGE + 104, 4 * PAGE, source)
        return judge(stored, state, [replace(view(whole), differences=(past,))], "live", "current", 7)

    moved = seen(Stamp(2, 1, PAGE))
    assert moved.violations == () and sentence(moved.remarks) == (
        "3992 of 3992 bytes of data[12392..16K) past the end show store 2 (op 4) moved by +4K"
    )
    strange = seen(Stamp(2, 1))
    assert [one.kind for one in strange.violations] == ["incoherent"] and strange.remarks == ()


def test_only_a_cut_tears() -> None:
    """Lines that a live read shows in part as they were before are stale, or zero, or foreign, by what they show."""
    ops = (*FILE[:1], Pwrite("f", 0, PAGE), Pwrite("f", 0, PAGE), Pread("f", 0, PAGE))
    old, new = Stamp(1, 1), Stamp(2, 1)
    for wrong, kind in ((old, "stale"), (ZERO, "zero"), (Stamp(9, 1), "foreign")):
        segments = (Segment(0, LINE + 8, new), Segment(LINE + 8, LINE + 24, wrong), Segment(LINE + 24, PAGE, new))
        found = judge_reads(Program(ops), run(Program(ops)), [OpResult(3, segments=segments, done=PAGE)])
        assert [(one.kind, one.ranges) for one in found.violations] == [(kind, ((LINE + 8, LINE + 24),))]
    torn = built((LINE + 8, new), (LINE + 24, old), (PAGE, new))
    seen = judge(Program(ops), run(Program(ops))[-1], [view(torn)], "live", "current")
    assert [one.kind for one in seen.violations] == ["stale"]


def test_kinds() -> None:
    """Zeroes are zero; resurfaced data stale; a part of a line torn; what never was there, or nobody wrote, foreign."""
    op, want = "op 5: fsync", "store 1 (op 4)"
    new = Stamp(1, 1)

    def lost(*parts: tuple[int, Source]) -> list[tuple[str, str, tuple[tuple[int, int], ...], str, str]]:
        return summary(judged(STORED, built(*parts)))

    assert lost((PAGE, ZERO)) == [("zero", op, ((0, PAGE),), want, "zero")]
    assert lost((LINE, new), (LINE + 8, ZERO), (PAGE, new)) == [("torn", op, ((LINE, LINE + 8),), want, "zero")]
    assert lost((LINE - 8, new), (2 * LINE, ZERO), (PAGE, new)) == [
        ("torn", op, ((LINE - 8, LINE),), want, "zero"), ("zero", op, ((LINE, 2 * LINE),), want, "zero"),
    ]  # fmt: skip
    assert lost((PAGE, Stamp(9, 1))) == [("foreign", op, ((0, PAGE),), want, "no store")]
    assert lost((PAGE, Stamp(1, 1, -PAGE))) == [("foreign", op, ((0, PAGE),), want, "store 1 (op 4) moved by -4K")]
    punched = (*STORED, Fallocate("f", Mode.PUNCH_HOLE, 0, PAGE), Fsync("f"))
    result = judged(punched, built((PAGE, new)))
    assert summary(result) == [("stale", "op 7: fsync", ((0, PAGE),), "zero", want)]
    text = "fsync returned 0, 1 of 1 pages of data[0..4K) hold old data where zeroes belong"
    assert sentence(result.violations) == text


def test_garbage_is_foreign() -> None:
    """Undecodable bytes, few or many, are foreign where anything was promised."""
    for source in (Raw(b"\1" * 128), Opaque(b"\1" * 16)):
        program = Program(STORED)
        seen = FileView("data", PAGE, (Segment(0, 128, source), Segment(128, PAGE, Stamp(1, 1))))
        result = judge(program, at_cut(program, run(program)), [seen], "x")
        assert summary(result) == [("foreign", "op 5: fsync", ((0, 128),), "store 1 (op 4)", "no store")]


def test_unaligned_edges_lose_by_byte() -> None:
    """Of a word that an unaligned store shares with older contents only the store's own bytes can be lost."""
    ops = (*STORED, Store("m", 100, 200), Fsync("f"))
    assert judged(ops, built((100, OLD), (300, NEW), (PAGE, OLD))).violations == ()
    result = judged(ops, built((PAGE, OLD)))
    assert summary(result) == [("stale", "op 7: fsync", ((100, 300),), "store 2 (op 6)", "store 1 (op 4)")]
    assert sentence(result.violations) == "fsync returned 0, 200 of 200 bytes of data[100..300) hold the older store"


def test_words_of_many_stores_are_judged_by_byte() -> None:
    """Where unaligned stores meet in one word after the other, each byte counts by itself."""
    stores: list[Op] = [Store("m", 8 * n + 2, 4) for n in range(20)]
    ops = (*STORED, *stores, Fsync("f"))
    parts = [part for n in range(20) for part in ((8 * n + 2, OLD), (8 * n + 6, Stamp(2 + n, 1)))]
    assert judged(ops, built(*parts, (PAGE, OLD))).violations == ()


def test_the_end_of_a_file_tears_no_line() -> None:
    """A last line that is wrong as far as the file goes is not torn."""
    ops = (CREATE, Fsyncdir(), Pwrite("f", 0, 100), Fsync("f"))
    assert summary(judged(ops, bytes(100))) == [("zero", "op 3: fsync", ((0, 100),), "store 1 (op 2)", "zero")]


def test_an_impossible_stamp_is_foreign() -> None:
    """A stamp moved up from before the start of the file has no bytes that could be right."""
    program = Program((CREATE, Fsyncdir(), Ftruncate("f", 8), Fsync("f")))
    seen = FileView("data", 8, (Segment(0, 8, Stamp(1, 1, PAGE)),))
    assert [v.kind for v in judge(program, at_cut(program, run(program)), [seen], "x").violations] == [Kind.FOREIGN]


def test_older_stores_mixed_in_a_word_are_stale() -> None:
    """A lost store over a place where two older ones met in a word is stale in all of it, not foreign."""
    ops = (*STORED, Store("m", 100, 200), Fsync("f"), Store("m", 0, PAGE), Fsync("f"))
    result = judged(ops, built((100, OLD), (300, NEW), (PAGE, OLD)))
    assert {v.kind for v in result.violations} == {Kind.STALE}
    assert sum(v.bytes for v in result.violations) == PAGE


def test_sizes() -> None:
    """A size that no order of events gives is a violation of the op that promised it; so is a promised file gone."""
    short = judged(STORED, built((100, OLD)))
    assert summary(short) == [("size", "op 5: fsync", ((100, PAGE),), "4K long", "100 long")]
    assert short.judged_bytes == 100
    assert sentence(short.violations) == "fsync returned 0, data is 100 long, not 4K long"
    long = judged(STORED, built((PAGE, OLD), (PAGE + 8, ZERO)))
    assert summary(long) == [("size", "op 5: fsync", ((PAGE, PAGE + 8),), "4K long", "4104 long")]
    program = Program(STORED)
    gone = judge(program, at_cut(program, run(program)), [FileView("data", None)], "x")
    assert summary(gone) == [("size", "op 2: fsyncdir", ((0, PAGE),), "4K long", "missing")]
    nameless = Program((Create("f", "data"), Pwrite("f", 0, 8), Fsync("f")))
    assert judge(nameless, at_cut(nameless, run(nameless)), [FileView("data", None)], "x") == Judgement()
    assert judge(nameless, at_cut(nameless, run(nameless)), [FileView("data", None)], "live", "current").violations


def test_views_must_agree() -> None:
    """A view that shows other bytes than the mapping is incoherent, whatever is allowed on the media."""
    program = Program(STORED)
    seen = view(built((PAGE, OLD)))
    differences = tuple(Difference("read", start, start + LINE, ZERO) for start in (0, LINE))
    differing = replace(seen, differences=differences)
    result = judge(program, at_cut(program, run(program)), [differing], "live", "current")
    assert summary(result) == [("incoherent", "", ((0, 128),), "mmap: store 1 (op 4)", "read: zero")]
    assert sentence(result.violations) == "128 of 128 bytes of data[0..128) read differently by another view"


def test_with_the_power_on_only_the_current_contents_count() -> None:
    """What may be on the media after a cut may not be read before it."""
    program = Program((*STORED, Store("m", 0, PAGE)))
    state = at_cut(program, run(program))
    old = [view(built((PAGE, OLD)))]
    assert judge(program, state, old, "x").violations == ()
    assert summary(judge(program, state, old, "live", "current")) == [
        ("stale", "", ((0, PAGE),), "store 2 (op 6)", "store 1 (op 4)")
    ]
    assert judge(program, state, [FileView("data", None)], "live", "current").violations[0].found is Condition.MISSING


def test_what_was_not_read_is_not_judged() -> None:
    """A truncated view is judged as far as it goes; the rest, a view that lacks, and one too many are told."""
    program = Program(STORED)
    state = at_cut(program, run(program))
    cut = FileView("data", PAGE, (Segment(0, 8, OLD),), truncated=True, error="SIGBUS")
    assert judge(program, state, [cut], "x") == Judgement(8, (), ("data: 8 of 4096 bytes read: SIGBUS",))
    assert judge(program, state, [], "x") == Judgement(0, (), ("data: not read back",))
    stranger = judge(program, state, [view(built((PAGE, OLD))), FileView("other", 0)], "x")
    assert summary(stranger) == [("foreign", "", (), "no file of the program", "0 long")]
    assert sentence(stranger.violations) == "other is there, which no op made"


@pytest.mark.parametrize("answer", ["SIGBUS", "EIO", "EUCLEAN", "EBADMSG", "end of file"])
def test_a_file_that_the_kernel_does_not_let_be_read_is_wrong(answer: str) -> None:
    """A file that is there can be read, after a cut and before; a lack of memory, or an agent that failed, is an error,
    and so is all where memory fails or the hardware lies."""
    program = Program(STORED)
    state = at_cut(program, run(program))
    cut = FileView("data", PAGE, (Segment(0, 8, OLD),), truncated=True, error="reading: no", answer=answer)
    (wrong,) = judge(program, state, [cut], "x").violations
    assert (wrong.kind, sentence([wrong])) == (Kind.RECOVERY, "data: reading: no")
    (wrong,) = judge(program, state, [cut], "live", "current", 5).violations
    assert sentence([wrong]) == f"reading data: {answer}, not success" and wrong.op == 5
    for other in (replace(cut, answer=""), replace(cut, answer="ENOMEM")):
        assert judge(program, state, [other], "x").violations == () != judge(program, state, [other], "x").unjudged
    lying = Program((Planted(Plant.IGNORE_FLUSH, 0, PMD), *STORED))
    assert judge(lying, at_cut(lying, run(lying)), [cut], "x").unjudged


def test_unknown_contents_excuse_no_failure_to_read() -> None:
    """Where the media may hold anything, as after an unsynced punch without a journal, any bytes will do. That the file
    cannot be read, or reads differently by another view, is wrong all the same: only poison excuses it."""
    program = parse(
        "daxcheck program 1\ncreate f data\npwrite f 0 16K\nfsync f\nfsyncdir\n"
        "fallocate f punch_hole 4K 4K\ncut_power\n"
    )
    state = at_cut(program, run(program, journal=False))
    whole = view(built((4 * PAGE, Stamp(1, 1))))
    strange = replace(whole, segments=(Segment(0, PAGE, Stamp(1, 1)), Segment(PAGE, 2 * PAGE, Stamp(9, 9)),
                                       Segment(2 * PAGE, 4 * PAGE, Stamp(1, 1))))  # fmt: skip
    assert judge(program, state, [strange], "x").violations == ()
    cut = replace(whole, segments=(Segment(0, PAGE, Stamp(1, 1)),), truncated=True, error="reading: no", answer="EIO")
    assert [one.kind for one in judge(program, state, [cut], "x").violations] == [Kind.RECOVERY]
    differing = replace(whole, differences=(Difference("read", PAGE, 2 * PAGE, ZERO),))
    assert [one.kind for one in judge(program, state, [differing], "x").violations] == [Kind.INCOHERENT]


def test_reads_are_judged() -> None:
    """Loads and preads must return the current contents, all of them; one that failed has returned nothing."""
    ops = (*STORED, Store("m", 100, 50), Load("m", 64, 64), Pread("f", 0, PAGE))
    program = Program(ops)
    states = run(program)
    right = built((100, OLD), (150, NEW), (PAGE, OLD))

    def result(index: int, data: bytes, start: int) -> OpResult:
        return OpResult(index, 0, decode(Buffer(data[start:], start), start, len(data))[0])

    good = [result(7, right[:128], 64), result(8, right, 0)]
    assert judge_reads(program, states, good) == Judgement(64 + PAGE)
    stale = judge_reads(program, states, [good[0], result(8, built((PAGE, OLD)), 0)])
    assert summary(stale) == [("stale", "op 8: pread", ((100, 150),), "store 2 (op 6)", "store 1 (op 4)")]
    assert judge_reads(program, states, [good[0], OpResult(8, 5)]) == Judgement(64)
    assert judge_reads(program, states, good[1:]).unjudged == ("op 7: load m [64..128): 64 bytes not seen",)


def test_a_sentence_is_short() -> None:
    """Many violations are told by the largest, each once however many images show it, and a count."""
    (one,) = judged(STORED, bytes(PAGE)).violations
    losses = [replace(one, path=path, image=image) for image in ("a", "b") for path in "vwxyz"]
    text = sentence(losses)
    assert text.count("fsync returned 0, 1 of 1 pages of") == 3
    assert text.endswith("; and 2 more")
    assert sentence([]) == ""


def test_a_store_past_the_end_that_shows_up_is_no_foreign_data() -> None:
    """What this file's own store left behind its end is told as old data when the file grows over it."""
    text = "daxcheck program 1\ncreate f data\npwrite f 0 100\nmmap m f 0 4K\nstore m 0 200\nftruncate f 200\n"
    program = parse(text)
    file = FileView("data", 200, (Segment(0, 200, Stamp(2, 1)),))
    (violation,) = judge(program, run(program)[-1], [file], "live", "current").violations
    assert (violation.kind, violation.ranges, violation.expected) == (Kind.STALE, ((100, 200),), Condition.ZERO)
