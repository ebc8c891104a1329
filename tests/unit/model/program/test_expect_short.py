"""Ops that come short: how far they came is told, required by expect_short, and what the oracle goes by."""

import errno
from pathlib import Path

import pytest

from harness.agent import run as agent
from harness.agent import transfer
from harness.agent.transfer import CutShort
from harness.agent.watch.observer import Traces
from harness.agent.x86.cpu import Cpu
from harness.errors import ChannelError
from harness.link.session import ran_from_wire
from harness.linux.mounts import Place
from harness.model.contract import oracle
from harness.model.contract.allowed import Known
from harness.model.contract.state import State
from harness.model.judge.refusal import Refusals, judge_refusals
from harness.model.judge.verdict import judge_reads
from harness.model.judge.violation import Violation
from harness.model.program.program import Program, parse
from harness.model.units import PAGE
from harness.model.wire import wire
from harness.model.wire.observation import OpResult, Segment, Stamp, Zero
from harness.report.words import Words

MAPPED = """daxcheck program 1
create a src
pwrite a 0 4K
fsync a
mmap s a 0 64K
create b dst
"""
"""A mapping of 64K of which the file has 4K: a buffer that faults half-way."""
LAST = "expect_short 4K\nwrite_from b 0 64K s 0\n"
ZERO = Zero()


def program(text: str) -> Program:
    return parse(MAPPED + text)


def result(text: str, done: int | None, number: int = 0) -> OpResult:
    return OpResult(len(program(text).ops) - 1, number, done=done)


def judged(text: str, done: int | None, number: int = 0) -> Refusals:
    """The judgement of the last op."""
    found = [result(text, done, number)]
    return judge_refusals(program(text), oracle.run(program(text), found), found)


def after(text: str, done: int | None = None, number: int = 0) -> State:
    results = () if done is None else [result(text, done, number)]
    return oracle.run(program(text), results)[-1]


def current(state: State, path: str, offset: int) -> set[Known]:
    file = state.file(path)
    assert file is not None
    return set(file.contents.at(offset).current)


def size(state: State, path: str) -> tuple[int, int]:
    file = state.file(path)
    assert file is not None
    return file.shortest, file.longest


def ran(root: Path, text: str) -> list[OpResult]:
    answer = agent.run(Cpu(), Traces(), Place(str(root)), program(text), 1, lambda event: None)
    return list(wire.op_results_from_wire(answer["results"]))


def test_an_op_with_an_expectation_is_one_call(tmp_path: Path) -> None:
    """write(2) of a buffer that faults half-way returns what it wrote. Whoever goes on gets the errno after that, with
    the count of before; with an expectation nobody goes on."""
    (short,) = [one for one in ran(tmp_path, LAST) if one.index == 6]
    assert (short.errno, short.done) == (0, PAGE)
    assert (tmp_path / "dst").stat().st_size == PAGE
    (tmp_path / "src").unlink()
    (tmp_path / "dst").unlink()
    (refused,) = [one for one in ran(tmp_path, "expect_errno EFAULT\nwrite_from b 0 64K s 0\n") if one.index == 6]
    assert (refused.errno, refused.done) == (0, PAGE)
    (tmp_path / "src").unlink()
    (tmp_path / "dst").unlink()
    (gone_on,) = [one for one in ran(tmp_path, "write_from b 0 64K s 0\n") if one.index == 5]
    assert (gone_on.errno, gone_on.done) == (errno.EFAULT, PAGE)


def test_calls_are_repeated_until_one_does_nothing() -> None:
    """Or fails: then it is told what those before did. Not with `once`."""
    left = [3, 2, 0]
    assert transfer.counted(lambda done: left.pop(0), 8, once=False) == 5 and not left
    assert transfer.counted(lambda done: 3, 8, once=True) == 3

    def failing(done: int) -> int:
        if done:
            raise OSError(errno.ENOSPC, "write")
        return 4

    with pytest.raises(CutShort, match="write") as caught:
        transfer.counted(failing, 8, once=False)
    assert (caught.value.done, caught.value.errno) == (4, errno.ENOSPC)


def said(text: str, wrong: Violation) -> str:
    return Words(program(text)).sentence([wrong])


def test_a_part_is_no_refusal() -> None:
    """What must be refused, and returns that it did a part, is wrong, and what it did is in the file."""
    text = "expect_errno EFAULT\nwrite_from b 0 64K s 0\n"
    (wrong,) = judged(text, PAGE).violations
    assert said(text, wrong) == "write_from b [0..64K) s 0: 4K of 64K, not EFAULT"
    assert size(after(text, PAGE), "dst") == (PAGE, PAGE)
    assert judged(text, 0, errno.EFAULT) == Refusals()
    assert size(after(text, 0, errno.EFAULT), "dst") == (0, 0)


def test_the_count_must_be_the_one() -> None:
    """Another count, all of it, or EFAULT, is a violation; a lack of space is none; no count is an error."""
    assert judged(LAST, PAGE) == Refusals()
    for done, number, found in ((100, 0, "100 of 64K"), (64 << 10, 0, "success"), (0, errno.EFAULT, "EFAULT")):
        (wrong,) = judged(LAST, done, number).violations
        assert said(LAST, wrong) == f"write_from b [0..64K) s 0: {found}, not 4K of 64K"
    assert judged(LAST, 0, errno.ENOSPC).faults and not judged(LAST, 0, errno.ENOSPC).violations
    assert judged(LAST, None).faults


@pytest.mark.parametrize("told", [None, PAGE])
def test_the_first_bytes_are_done_and_the_rest_is_untouched(told: int | None) -> None:
    """Of a write, a copy, and a read into a mapping; foreseen as well as told."""
    before = "pwrite b 0 64K\n"
    for text in (LAST, "expect_short 4K\ncopy_file_range b 0 64K a 0\n"):
        state = after(before + text, told)
        assert current(state, "dst", 0) == {Stamp(1, 1)}
        assert current(state, "dst", PAGE) == {Stamp(2, 2)}
        assert size(state, "dst") == (16 * PAGE, 16 * PAGE)
    grown = "ftruncate a 64K\n" + before + "expect_short 4K\nread_into s 0 64K b 0\n"
    assert current(after(grown, told), "src", 0) == {Stamp(2, 2)}
    assert current(after(grown, told), "src", PAGE) == {ZERO}
    assert size(after(LAST, told), "dst") == (PAGE, PAGE)


def test_nothing_done_is_nothing() -> None:
    """expect_short 0: the op returns 0 and leaves all as it was."""
    text = "expect_short 0\npwrite b 0 4K\n"
    assert size(after(text, 0), "dst") == size(after(text), "dst") == (0, 0)
    assert judged(text, 0) == Refusals()


def test_a_synced_part_is_promised() -> None:
    """write(2) with O_DSYNC that returns a count has that much on the hardware, and of the rest nothing is promised."""
    file = after("expect_short 4K\npwrite b 0 64K how=dsync\n", PAGE).file("dst")
    assert file is not None
    assert set(file.contents.at(PAGE - 1).durable) == {Stamp(2, 2)} and file.contents.at(0).promised_by == 6
    assert {(span.low, span.high) for span in file.sizes} == {(PAGE, PAGE)}


def test_what_failed_had_surely_done_what_it_told() -> None:
    """An op whose calls went on until one failed: what was counted is done; what came of the last call, its document
    says: nothing of a plain write, perhaps a part of one with O_DIRECT."""
    text = "write_from b 0 64K s 0\n"
    assert size(after(text, PAGE, errno.EFAULT), "dst") == (PAGE, PAGE)
    assert current(after(text, PAGE, errno.EFAULT), "dst", 0) == {Stamp(1, 1)}
    direct = after("pwrite b 0 64K how=direct\n", PAGE, errno.EIO)
    assert current(direct, "dst", 0) == {Stamp(2, 2)}
    assert current(direct, "dst", PAGE) == {Stamp(2, 2), ZERO} and size(direct, "dst") == (PAGE, 16 * PAGE)


def test_a_short_read_is_judged_as_far_as_it_came() -> None:
    """Of a pread that must return 4K, these bytes are judged and no more are missed."""
    text = "pwrite b 0 8K\nexpect_short 4K\npread b 0 8K\n"
    seen = OpResult(7, segments=(Segment(0, PAGE, Stamp(2, 2)),), done=PAGE)
    found = judge_reads(program(text), oracle.run(program(text), [seen]), [seen])
    assert found.judged_bytes == PAGE and not found.unjudged and not found.violations
    none = OpResult(7, done=0)
    assert judge_reads(program(text), oracle.run(program(text), [none]), [none]).judged_bytes == 0


@pytest.mark.parametrize(
    "text",
    ["pwrite b 0 8K\n", "pwrite b 0 8K\npread b 0 8K\n", "write_from b 0 8K s 0\n", "copy_file_range b 0 4K a 0\n",
     "pwrite b 0 8K\nread_into s 0 8K b 0\n"],
)  # fmt: skip
def test_what_ends_early_without_an_errno_is_wrong(text: str) -> None:
    """A write goes on or fails (write(2), NOTES); a read or copy returns 0 at the end of the file, and not before."""
    (wrong,) = judged(text, 100).violations
    assert "100 of" in said(text, wrong) and said(text, wrong).endswith(", not success")


def test_what_ends_with_its_source_is_right() -> None:
    """A read or a copy has no more than the file; ranges that differ are not shared."""
    assert judged("pread a 0 8K\n", PAGE) == judged("pread a 8K 8K\n", 0) == Refusals()
    assert judged("copy_file_range b 0 8K a 0\n", PAGE) == judged("dedupe b 0 4K a 0\n", 0) == Refusals()


def test_a_count_must_be_one() -> None:
    """More than was asked for, or a count of what has none, is no answer of our agent."""
    short = program("pwrite b 0 4K\n")
    results = [OpResult(index) for index in range(5)]
    for wrong in (OpResult(5, done=PAGE + 1), OpResult(5, done=-1)):
        answer = {"results": [wire.to_wire(one) for one in (*results, wrong)], "files": [], "signal": None}
        with pytest.raises(ChannelError, match="done"):
            ran_from_wire(answer, short)
    counted = [OpResult(0, done=1), *results[1:]]
    answer = {"results": [wire.to_wire(one) for one in counted], "files": [], "signal": None}
    with pytest.raises(ChannelError, match="1 bytes done by op 0"):
        ran_from_wire(answer, short)
