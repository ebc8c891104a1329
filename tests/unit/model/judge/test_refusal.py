"""Errnos and signals: a violation only if a sound kernel on healthy hardware cannot answer so; else a skip or error."""

import errno
from collections.abc import Iterable

import pytest

from harness.model.contract.oracle import run
from harness.model.judge.refusal import Refusals, judge_death, judge_refusals
from harness.model.judge.violation import LOSSES, Kind
from harness.model.program.program import Program, parse
from harness.model.wire.observation import OpResult
from harness.report.words import Words

TEXT = """daxcheck program 1
create f data
ftruncate f 16K
mmap m f 0 16K
"""
SIGBUS, SIGSEGV = 7, 11


def judged(text: str, *results: OpResult) -> Refusals:
    """The judgement of results of the last op, or of others by index."""
    program = parse(TEXT + text)
    return judge_refusals(program, run(program, results), results)


def last(text: str, number: int = 0, signal: int = 0) -> Refusals:
    return judged(text, OpResult(len(parse(TEXT + text).ops) - 1, number, signal=signal))


def told(refusals: Refusals, text: str = "") -> list[str]:
    """What is wrong in the words of a report, the op with its number."""
    assert not refusals.unsupported and not refusals.faults
    assert all(one.kind not in LOSSES for one in refusals.violations)
    return [Words(parse(TEXT + text)).sentence([one]) for one in refusals.violations]


def test_success_is_right() -> None:
    """So is an errno, or a signal, that was foreseen."""
    assert last("fsync f\n") == Refusals()
    assert last("expect_errno EINVAL\nfallocate f collapse_range 0 1\n", errno.EINVAL) == Refusals()
    assert last("expect_errno EINVAL|EPERM\nfallocate f collapse_range 0 1\n", errno.EPERM) == Refusals()
    assert last("expect_signal SIGBUS\nstore m 0 8\n", signal=SIGBUS) == Refusals()


def test_what_was_foreseen_must_come() -> None:
    """Success, another errno, or another signal in its place is a violation."""
    text = "expect_errno EINVAL\nfallocate f collapse_range 0 1\n"
    assert told(last(text), text) == ["fallocate f collapse_range [0..1): success, not EINVAL"]
    assert told(last(text, errno.EIO), text) == ["fallocate f collapse_range [0..1): EIO, not EINVAL"]
    text = "expect_signal SIGBUS\nstore m 0 8\n"
    assert told(last(text), text) == ["store m [0..8): success, not SIGBUS"]
    assert told(last(text, signal=SIGSEGV), text) == ["store m [0..8): SIGSEGV, not SIGBUS"]
    assert told(last(text, signal=4), text) == ["store m [0..8): signal 4, not SIGBUS"]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY])
def test_an_op_that_a_kernel_lacks_is_no_verdict(number: int) -> None:
    """The cell is skipped, whatever was foreseen."""
    assert last("swapext f f\n", number).unsupported
    assert last("expect_errno EINVAL\nswapext f f\n", number).unsupported
    assert last("direct_store m 0 4K\n", errno.ENODEV).unsupported
    assert last("madvise m 0 4K hwpoison\n", errno.EINVAL).unsupported


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM, errno.EINVAL, errno.EPERM, errno.ENOENT, errno.ENODEV])
def test_other_errnos_prove_nothing(number: int) -> None:
    """A lack of memory or space, or a fault of the Program, is an error and no verdict."""
    result = last("pwrite f 0 8\n", number)
    assert not result.violations and not result.unsupported
    assert result.faults == (f"op 3: pwrite f [0..8) failed: {errno.errorcode[number]}",)


@pytest.mark.parametrize("number", [errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EROFS, errno.EFBIG])
def test_a_sound_kernel_does_not_say_so(number: int) -> None:
    """On healthy hardware these are violations, by the name of the file."""
    result = last("fsync f\n", number)
    assert told(result, "fsync f\n") == [f"fsync f: {errno.errorcode[number]}, not success"]
    assert result.violations[0].path == "data"


@pytest.mark.parametrize(
    ("text", "number"),
    [("open g data\n", errno.ENOENT), ("rename data b\n", errno.ENOENT), ("unlink data\n", errno.ENOENT),
     ("link data b\n", errno.ENOENT), ("link data b\n", errno.EEXIST), ("create g b\n", errno.EEXIST),
     ("fsync f\n", errno.EBADF), ("pwrite f 0 8\n", errno.EBADF), ("msync m 0 4K\nfsync f\n", errno.EBADF)],
)  # fmt: skip
def test_what_is_there_cannot_be_missing(text: str, number: int) -> None:
    """ENOENT of a name that stands for a file, EEXIST of one that does not, EBADF of a descriptor that is open."""
    assert told(last(text, number), text)[0].endswith(f": {errno.errorcode[number]}, not success")


@pytest.mark.parametrize(
    ("text", "number"),
    [("create g b\nunlink b\nfsync f\n", errno.ENOENT), ("create g b\n", errno.ENOENT), ("msync m 0 4K\n", errno.EBADF),
     ("open g data\n", errno.EEXIST)],
)  # fmt: skip
def test_what_no_state_contradicts_proves_nothing(text: str, number: int) -> None:
    """Other calls, other names, and calls without a descriptor."""
    assert last(text, number).faults and not last(text, number).violations


def test_only_the_first_failure_counts() -> None:
    """Others may follow from it."""
    result = judged("pwrite f 0 8\nfsync f\n", OpResult(3, errno.EINVAL), OpResult(4, errno.EIO))
    assert len(result.faults) == 1 and not result.violations


def test_read_only_by_request_is_no_violation() -> None:
    """EROFS after a remount is the Program's doing."""
    assert last("remount ro\npwrite f 0 8\n", errno.EROFS).faults


def test_poison_excuses() -> None:
    """Poisoned pages may answer EIO, and signals, to whatever comes near them."""
    poison = "madvise m 0 4K hwpoison\n"
    assert last(poison, 133) == Refusals()
    assert last(poison + "pread f 8K 8\n", errno.EIO) == last(poison + "sync\n", errno.EIO) == Refusals()
    assert judge(poison + "load m 0 8\n", SIGBUS).faults
    assert told(last("pread f 8K 8\n", errno.EIO))


def test_buffers_past_the_end() -> None:
    """EFAULT is right where the mapping reaches past the end of its file, and may be in a race that cuts it."""
    text = "create g other\npwrite g 0 16K\nread_into m 0 8K g 0\n"
    assert told(last(text, errno.EFAULT), text) == ["read_into m [0..8K) g 0: EFAULT, not success"]
    assert last("ftruncate f 100\n" + text, errno.EFAULT).faults
    lanes = "lane a\ndirect_store m 8K 4K\nlane b\nftruncate f 4K\njoin\n"
    assert judged(lanes, OpResult(4, errno.EFAULT)) == Refusals()
    assert judged("lane a\ndirect_store m 8K 4K\njoin\n", OpResult(4, errno.EFAULT)).violations


def judge(text: str, signal: int) -> Refusals:
    program: Program = parse(TEXT + text)
    return judge_death(program, run(program), len(program.ops) - 1, signal)


def test_a_death_that_nothing_explains_is_a_violation() -> None:
    """An access inside the file must not be killed."""
    assert told(judge("store m 0 8\n", SIGBUS), "store m 0 8\n") == ["store m [0..8): SIGBUS, not success"]
    assert told(judge("load m 12K 4K\n", SIGSEGV), "load m 12K 4K\n") == ["load m [12K..16K): SIGSEGV, not success"]


EXPLAINED: Iterable[str] = (
    "ftruncate f 8K\nstore m 8K 8\n", "mprotect m 0 4K none\nload m 0 8\n", "fill 0\nstore m 0 8\n",
    "create g big\nftruncate g 1024M\nstore m 0 8\n", "fsync f\n",
)  # fmt: skip


@pytest.mark.parametrize("text", EXPLAINED)
def test_a_death_that_something_explains_is_an_error(text: str) -> None:
    """Past the end, protected, out of space, or not in an access at all."""
    result = judge(text, SIGBUS)
    assert result.faults and not result.violations
    assert judge("store m 0 8\n", 9).faults


def test_kinds_are_no_losses() -> None:
    """No cut excuses a wrong errno, signal, allocation or a complaint of the checker."""
    assert not LOSSES & {Kind.ERRNO, Kind.SIGNAL, Kind.FSCK, Kind.ALLOCATION}
