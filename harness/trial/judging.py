"""Judges the crash images of a trial in the order of their moments, up to the first that the verifier calls bad."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from harness.media.image import CrashImage, CrashPoint, Eviction
from harness.model.program.stages import Stage
from harness.model.setting.crashplan import CrashPlan
from harness.model.wire.commanded import Commanded
from harness.targets.engines.cut import Cut
from harness.targets.engines.markedrun import MarkedRun
from harness.targets.engines.series import Series
from harness.targets.target import Recovery
from harness.trial.sessions import ended, said

BEFORE = CrashPoint(-1)
"""The moment at which the writing command begins: that after op -1, of which mark 0 is the end."""
UNTOLD_LIMIT = 5
"""Images that nobody could tell of, of which the reason is kept."""


class Answer(StrEnum):
    """The answers to whether an image is good: by the verifier, or by the kernel where it cannot be mounted."""

    GOOD = "good"
    BAD = "bad"
    UNTOLD = "cannot tell"


@dataclass(frozen=True, slots=True)
class Looked:
    """One image that was looked at: the end of the verifier, None where it did not run or the kernel ended it.

    `mounted`: the file system was there to be looked at. `seconds` is what the verifier may take.
    """

    recovery: Recovery
    found: Commanded | None
    mounted: bool
    seconds: float

    @property
    def answer(self) -> Answer:
        """The answer. A kernel or a fsck that complains of what the verifier accepts leaves it open."""
        if self.found is None:
            return Answer.UNTOLD if self.mounted else Answer.BAD
        if self.found.status == 1:
            return Answer.BAD
        recovery = self.recovery
        clean = not (self.found.status != 0 or recovery.failure or recovery.complaints or recovery.unsound)
        return Answer.GOOD if clean else Answer.UNTOLD

    @property
    def words(self) -> str:
        """The reason for the answer, in one line."""
        if self.found is not None and self.found.status == 1:
            words = said(self.found)
            return f"the verifier said: {words}" if words else "the verifier ended with 1, and said nothing"
        if self.found is None:
            return self.recovery.failure if self.mounted else f"it cannot be mounted: {self.recovery.failure}"
        if self.found.status != 0:
            return f"the verifier {ended(self.found, self.seconds)}"
        for complaint in self.recovery.complaints:
            return f"the kernel said: {complaint.trouble}: {complaint.line}"
        return self.recovery.failure or (f"fsck said: {self.recovery.unsound}" if self.recovery.unsound else "")


Look = Callable[[CrashImage, bytes], Looked]
"""Recovers an image and has the verifier look at it, given what had been written before the cut."""


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """One image that is not good, at its first moment."""

    point: CrashPoint
    eviction: Eviction
    looked: Looked


@dataclass(frozen=True, slots=True)
class TrialVerdict:
    """The verdict on a trial: the first bad image, if any, and those before it that nobody could tell of.

    `looked` counts the images that were looked at, of `different` ones, in media or in what had been written, among all
    `images`. These are of `taken` moments, of `moments` in all. `refused` says why the verifier does not accept the
    state before the command; empty if it does. If not, `left_out` images from before the first output are not judged.
    """

    moments: int
    taken: int
    images: int
    different: int
    looked: int
    bad: JudgedImage | None
    untold: tuple[JudgedImage, ...]
    refused: str
    left_out: int


def marked_run(written: Commanded) -> MarkedRun:
    """The stages of a writing command: one ends with each piece of output, the last one with the command."""
    return MarkedRun(tuple(Stage(index, index) for index in range(len(written.ends) + 1)))


def acked(written: Commanded, point: CrashPoint) -> bytes:
    """The output that had been written at a moment: op N of a trial is what came between pieces N and N + 1."""
    if point.op is None:
        return written.acked(None)
    return written.acked(point.op if point.record is not None else point.op + 1)


class TrialJudge:
    """The judging of one trial. `on_bad` gets the first bad image while its media are there."""

    def __init__(self, cut: Cut, written: Commanded, plan: CrashPlan, seed: int, look: Look) -> None:
        self._cut = cut
        self._written = written
        self._look = look
        self._series = cut.series(plan, marked_run(written), seed)

    def run(
        self, advance: Callable[[int, int], None], on_bad: Callable[[CrashImage, Looked], None]
    ) -> TrialVerdict:
        """Look at an image of each kind, in order, up to the first bad one. Raises InfraError."""
        refused = self._why_not_empty()
        series = self._counting(bool(refused))
        counts = series.points, series.taken, series.images, len(series.groups)
        beside = refused, self._series.images - series.images
        untold: list[JudgedImage] = []
        done = 0
        for group, crash in zip(series.groups, series.crashes(), strict=False):
            with crash.media:
                looked = self._look(crash, acked(self._written, crash.point))
                done += 1
                judged = JudgedImage(*group.members[0], looked)
                if looked.answer is Answer.BAD:
                    on_bad(crash, looked)
                    return TrialVerdict(*counts, done, judged, tuple(untold), *beside)
            if looked.answer is Answer.UNTOLD and len(untold) < UNTOLD_LIMIT:
                untold.append(judged)
            advance(done, len(series.groups))
        return TrialVerdict(*counts, done, None, tuple(untold), *beside)

    def _why_not_empty(self) -> str:
        """Return why the verifier does not accept the state before the writing command; empty if it does, or nobody can
        know."""
        if not self._cut.dated:
            return ""
        crash = self._cut.at(BEFORE)
        with crash.media:
            looked = self._look(crash, b"")
        return "" if looked.answer is Answer.GOOD else looked.words

    def _counting(self, refused: bool) -> Series:
        """Return the images that count; equal media are looked at once for each state of the output.

        If `refused`, those from before the first output do not: by them nobody was promised anything yet.
        """

        def by(point: CrashPoint) -> int | None:
            if refused and point.op == 0 and point.record is not None:
                return None
            return len(acked(self._written, point))

        return self._series.split(by)
