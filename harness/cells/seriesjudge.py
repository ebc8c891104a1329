"""Judges the crash images of one cut: each medium is recovered once, and held against every moment that it is of."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from harness.cells.gathering import Gathering, is_alike
from harness.media.image import CrashImage, CrashPoint, image_name
from harness.model.judge.judgement import Judgement
from harness.model.judge.result import ImageCounts
from harness.model.judge.violation import LOSSES
from harness.targets.engines.series import EqualImages, Series
from harness.targets.target import Doubt, Recovery

Judge = Callable[[CrashPoint, Recovery], Judgement]
"""A function that holds a recovery against what the media may hold at a point."""
Recover = Callable[[Iterable[CrashImage], Doubt], Iterator[Recovery]]
Advance = Callable[[int, int], None]
"""A function that is told how many images are done, and how many there are."""
_CONSOLES = 8
"""Consoles of recoveries that are kept of one cell, where images were wrong."""


def silent(done: int, total: int) -> None:
    """Tell nobody."""


class SeriesJudge:
    """The judging of one series. `control`: the cut itself is to lose data.

    `end` is the judgement of the images of the cut itself, `gathering` has what all other moments showed. `recovered`
    counts the images that were, `wrong` those that were not as they may be; `consoles` has what the guests of the first
    wrong ones said.
    """

    def __init__(self, series: Series, judge: Judge, *, control: bool) -> None:
        self.end = Judgement()
        self.consoles = ""
        self.recovered = 0
        self.wrong = 0
        points = [point for group in series.groups for point, _ in group.members]
        self.gathering = Gathering({point.op for point in points if point.op is not None and point.record is None})
        self._series = series
        self._judge = judge
        self._control = control
        self._group = EqualImages(())

    def run(self, recover: Recover, advance: Advance, *, until_wrong: bool = False) -> None:
        """Recover and judge an image of each kind; `advance` is told after each. `until_wrong`: the first one that is
        wrong is the last."""
        for recovery in recover(self._crashes(), self._doubtful):
            self._take(recovery)
            advance(self.recovered, len(self._series.groups))
            if until_wrong and self.wrong:
                return
        if self.wrong > _CONSOLES:
            self.consoles += f"\n--- {self.wrong - _CONSOLES} more images were wrong ---\n"
        missing = len(self._series.groups) - self.recovered
        if not self.recovered:
            self.end += Judgement(unjudged=("no crash image was recovered",))
        elif missing:
            self.end += Judgement(unjudged=(f"{missing} crash images were not recovered",))

    def counts(self, left_out: int) -> ImageCounts:
        """The counts of this series, of whose violations so many are left out."""
        series = self._series
        equal = series.images - len(series.groups)
        return ImageCounts(series.points, series.taken, self.recovered, equal, left_out)

    def _crashes(self) -> Iterator[CrashImage]:
        for group, crash in zip(self._series.groups, self._series.crashes(), strict=True):
            self._group = group
            yield crash

    def _judged(self, recovery: Recovery) -> Iterator[tuple[CrashPoint, Judgement]]:
        """Judge the recovery as each image of its group: of those that are held against the same state the first."""
        seen: set[tuple[int | None, bool]] = set()
        for point, eviction in self._group.members:
            state = (point.op, point.record is None)
            if state not in seen:
                seen.add(state)
                yield point, self._judge(point, replace(recovery, image=image_name(point, eviction)))

    def _doubtful(self, recovery: Recovery) -> bool:
        """Say whether the recovery shows what nothing has shown yet: something wrong, or a control that has lost
        nothing in any image so far. It need not lose in each of them, since lines that were evicted are safe."""
        for point, judgement in self._judged(recovery):
            if point.is_end and self._control:
                found = {one.kind for one in (*judgement.violations, *self.end.violations)}
                doubt = not found or not found <= LOSSES
            elif point.is_end:
                doubt = not all(is_alike(one, self.end.violations) for one in judgement.violations)
            else:
                doubt = self.gathering.is_news(point, judgement)
            if doubt:
                return True
        return False

    def _take(self, recovery: Recovery) -> None:
        wrong = False
        for point, judgement in self._judged(recovery):
            wrong |= bool(judgement.violations)
            if point.is_end:
                self.end += judgement
            else:
                self.gathering.add(point, judgement)
        self.recovered += 1
        self.wrong += wrong
        if wrong and self.wrong <= _CONSOLES:
            self.consoles += f"\n--- recovery of the {recovery.image} image ---\n{recovery.console}"
