"""Verdicts on trials, whose images are those of a real log: the first bad moment, and what was promised by then."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

import pytest

from harness.link.kernellog import Complaint, Trouble
from harness.media.image import PESSIMISTIC, CrashImage, CrashPoint, persisted
from harness.media.log import log_bytes
from harness.memfile import MemFile
from harness.model.setting.crashplan import END, FENCES, CrashPlan
from harness.model.units import LINE, PAGE
from harness.model.wire.commanded import Commanded
from harness.targets.engines.cut import LoggedCut
from harness.targets.target import Recovery
from harness.trial.elf import PIE_BASE
from harness.trial.judging import Answer, Looked, TrialJudge, TrialVerdict, acked
from harness.trial.kit import CopiedFile
from harness.trial.words import Telling
from tests.unit.media.logs import CAPACITY, Put, Step, put, written

WROTE = Commanded(0, b"1\n2\n", b"", (2, 4))
"""Two lines of output: what the writer promises is the number in the last one."""
DATA, FLAG = 0, LINE
"""Where a record and the flag that commits it lie: each holds the number of the newest record."""
KERNEL = 0xFFFFFFFF81000010
RIGHT: list[Step] = [
    put(Put(3 * LINE, 9)), 0, put(Put(DATA, 1)), put(Put(FLAG, 1)), 1, put(Put(DATA, 2)), put(Put(FLAG, 2)), 2,
    put(Put(4 * LINE, 7)), 3,
]  # fmt: skip
FLAG_FIRST: list[Step] = [
    *RIGHT[:5], put(Put(FLAG, 2), address=PIE_BASE), put(Put(DATA, 2), address=KERNEL), *RIGHT[7:],
]  # fmt: skip
TOO_EARLY: list[Step] = [*RIGHT[:3], 1, *RIGHT[3:4], *RIGHT[5:]]
"""The first line is printed before its flag is durable."""


@contextmanager
def logged(steps: Sequence[Step], dirty: int = 0) -> Iterator[LoggedCut]:
    """The cut of a run with this log; `dirty` is what memory has more in the line of the data."""
    with ExitStack() as stack:
        base, file = (stack.enter_context(MemFile(*one)) for one in (("base", PAGE), ("log", log_bytes(CAPACITY))))
        log = stack.enter_context(written(file, steps))
        live = persisted(base, log, 0, log.count)
        live.array[DATA : DATA + LINE] += dirty
        yield stack.enter_context(closing(LoggedCut(base, live, log, 0, keeps_caches=False)))


class Verifier:
    """A verifier that reads the media, and a recoverer that never fails; it notes what it has looked at."""

    def __init__(self, *, wants_flag: bool = False, **told: object) -> None:
        self.seen: list[tuple[int, int, bytes]] = []
        self._wants_flag = wants_flag
        self._told = told

    def __call__(self, crash: CrashImage, promised: bytes) -> Looked:
        data, flag = int(crash.media.array[DATA]), int(crash.media.array[FLAG])
        self.seen.append((data, flag, promised))
        bad = flag > data or flag < int(promised.split()[-1] if promised else 0) or (self._wants_flag and not flag)
        found = Commanded(int(bad), b"", f"data {data}, flag {flag}".encode())
        return replace(Looked(Recovery("x"), found, True, 60.0), **self._told)  # type: ignore[arg-type]


def judged(cut: LoggedCut, verifier: Verifier, crash: str = FENCES, evictions: int = 1) -> TrialVerdict:
    bad: list[tuple[CrashImage, Looked]] = []
    judge = TrialJudge(cut, WROTE, CrashPlan(crash, evictions), 1, verifier)
    verdict = judge.run(lambda done, total: None, lambda crash, looked: bad.append((crash, looked)))
    assert [looked for _, looked in bad] == ([verdict.bad.looked] if verdict.bad else [])
    return verdict


def told(cut: LoggedCut, verdict: TrialVerdict, files: tuple[CopiedFile, ...] = ()) -> str:
    assert verdict.bad is not None
    telling = Telling(cut, WROTE, files, lambda addresses: [f"kernel{address & 0xFFF:x}" for address in addresses])
    return telling.moment(verdict.bad.point, verdict.bad.eviction)


def test_a_right_writer_is_good_everywhere() -> None:
    """Each medium is looked at once for each state of the output, the one before the command with none."""
    with logged(RIGHT) as cut:
        verifier = Verifier()
        verdict = judged(cut, verifier)
    one, two = b"1\n", b"1\n2\n"
    assert verifier.seen == [
        (0, 0, b""), (1, 0, b""), (1, 1, b""), (1, 1, one), (2, 1, one), (2, 2, one), (2, 2, two), (2, 2, two),
    ]  # fmt: skip
    assert (verdict.bad, verdict.untold, verdict.refused) == (None, (), "") and verdict.left_out == 0
    assert verdict.looked == verdict.different == 7 and verdict.images == verdict.moments == 8


def test_a_flag_before_its_data_is_named() -> None:
    """The first bad moment is told by its fence and by what executed that."""
    with logged(FLAG_FIRST) as cut:
        verdict = judged(cut, Verifier())
        assert verdict.bad is not None
        assert verdict.bad.looked.words == "the verifier said: data 1, flag 2"
        assert told(cut, verdict) == f"at fence 3 of 5, in user address {PIE_BASE:#x}"
        kernel = Telling(cut, WROTE, (), lambda addresses: [f"kernel+{one & 0xFFF:#x}" for one in addresses])
        assert kernel.moment(CrashPoint(1, cut.fences()[3]), PESSIMISTIC) == "at fence 4 of 5, in kernel+0x10"


def test_what_was_printed_too_early_is_bad() -> None:
    """Right after the line, and not a moment before: until then nothing was promised."""
    with logged(TOO_EARLY) as cut:
        verdict = judged(cut, Verifier())
        assert verdict.bad is not None and verdict.bad.point == CrashPoint(0)
        assert told(cut, verdict) == 'right after the output "1"'
        assert Telling(cut, WROTE, (), lambda _: []).promised(verdict.bad.point) == '1 line of output, the last "1"'
        assert verdict.looked == 2


def test_what_nobody_flushed_may_be_there_at_the_end() -> None:
    """The images of the end differ in what the cache had written back."""
    with logged(RIGHT, dirty=256 - 2) as cut:
        verdict = judged(cut, Verifier(), END, 0)
        assert verdict.bad is not None and verdict.bad.looked.words == "the verifier said: data 0, flag 2"
        lines = "with lines that the cache had written back (evicted)"
        assert told(cut, verdict) == f"after the end of the command, {lines}"


def test_before_a_fence_lines_may_be_there_already() -> None:
    """Flag and data in one set: the flag alone is on the media only in an image with evictions."""
    steps = [*RIGHT[:2], put(Put(DATA, 1), Put(FLAG, 1)), 1, put(Put(DATA, 2), Put(FLAG, 2), address=KERNEL), 2, 3]
    with logged(steps) as cut:
        assert judged(cut, Verifier()).bad is None
        verdict = judged(cut, Verifier(), evictions=9)
        assert told(cut, verdict).startswith("right before fence 1 of 2, in user address 0x1000, with lines")


def test_a_verifier_that_wants_something_to_be_there() -> None:
    """One that does not accept the state before the command is not asked of what came before the first promise."""
    with logged(RIGHT) as cut:
        verifier = Verifier(wants_flag=True)
        verdict = judged(cut, verifier)
    assert verifier.seen[1:3] == [(1, 1, b"1\n"), (2, 1, b"1\n")]
    assert verdict.refused == "the verifier said: data 0, flag 0" and verdict.bad is None
    assert (verdict.different, verdict.left_out) == (5, 2)


FOUND = Commanded(0, b"", b"")
FAILED = Recovery("x", failure="EIO")


@pytest.mark.parametrize(
    ("looked", "answer", "words"),
    [
        (Looked(Recovery("x"), FOUND, True, 9), Answer.GOOD, ""),
        (Looked(Recovery("x"), replace(FOUND, status=1), True, 9), Answer.BAD, "the verifier ended with 1, and said"),
        (Looked(FAILED, replace(FOUND, status=1, out=b"a\nb\n"), True, 9), Answer.BAD, "the verifier said: b"),
        (Looked(Recovery("x"), replace(FOUND, status=7), True, 9), Answer.UNTOLD, "the verifier ended with 7"),
        (Looked(Recovery("x"), replace(FOUND, status=None), True, 9), Answer.UNTOLD, "did not end within 9 s"),
        (Looked(FAILED, None, False, 9), Answer.BAD, "it cannot be mounted: EIO"),
        (Looked(FAILED, None, True, 9), Answer.UNTOLD, "EIO"),
        (Looked(FAILED, FOUND, True, 9), Answer.UNTOLD, "EIO"),
        (Looked(Recovery("x", unsound="bad count"), FOUND, True, 9), Answer.UNTOLD, "fsck said: bad count"),
        (Looked(Recovery("x", complaints=(Complaint(Trouble.WARNING, "WARNING"),)), FOUND, True, 9), Answer.UNTOLD,
         "the kernel said: warning: WARNING"),
    ],
)  # fmt: skip
def test_an_answer(looked: Looked, answer: Answer, words: str) -> None:
    """The verifier's word first; what the kernel or fsck say beside it leaves open what it called good."""
    assert looked.answer is answer and words in looked.words


def test_what_nobody_can_tell_is_no_verdict() -> None:
    """It neither ends the trial nor counts as good."""
    with logged(RIGHT) as cut:
        verdict = judged(cut, Verifier(found=Commanded(2, b"", b"")))
    assert verdict.bad is None and verdict.looked == verdict.different
    assert len(verdict.untold) == 5


def test_the_promise_of_a_moment() -> None:
    """Inside a stage what was printed before it, at its end also what ended it, and at the cut all."""
    points = [CrashPoint(-1), CrashPoint(0, 5), CrashPoint(0), CrashPoint(1, 9), CrashPoint(2, 9), CrashPoint()]
    assert [acked(WROTE, point) for point in points] == [b"", b"", b"1\n", b"1\n", b"1\n2\n", b"1\n2\n"]
