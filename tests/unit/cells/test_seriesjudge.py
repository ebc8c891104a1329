"""Which recoveries by the quick way are in doubt, and so are done again in full, by the judging of one series."""

from collections.abc import Iterable, Iterator

import pytest

from harness.cells.seriesjudge import SeriesJudge, silent
from harness.media.image import END, CrashImage, CrashPoint, Draft, Eviction
from harness.memfile import MemFile
from harness.model.judge.judgement import Judgement
from harness.model.judge.naming import NO_PROMISE
from harness.model.judge.values import Condition, Said
from harness.model.judge.violation import Kind, Violation
from harness.targets.engines.series import Series
from harness.targets.target import Doubt, Recovery


def wrong(kind: Kind, image: str) -> Judgement:
    return Judgement(violations=(Violation(kind, "data", *NO_PROMISE, image, (), 0, Condition.SILENCE, Said("x")),))


def doubts(kinds: list[Kind | None], *, control: bool) -> list[bool]:
    """Say of each image of a cut whether it is in doubt, when the quick way shows these violations in them."""

    def drafts() -> Iterator[Draft]:
        for number in range(len(kinds)):
            yield Draft(END, Eviction(f"image {number}"), number, lambda: MemFile("image", 4096))

    def judge(point: CrashPoint, recovery: Recovery) -> Judgement:
        kind = kinds[int(recovery.image.split()[-1])]
        return Judgement(judged_bytes=1) if kind is None else wrong(kind, recovery.image)

    found = []

    def recover(crashes: Iterable[CrashImage], doubt: Doubt) -> Iterator[Recovery]:
        for crash in crashes:
            with crash.media:
                recovery = Recovery(crash.name)
                found.append(doubt(recovery))
                yield recovery

    SeriesJudge(Series(drafts), judge, control=control).run(recover, silent)
    return found


@pytest.mark.parametrize(
    ("kinds", "in_doubt"),
    [
        ([Kind.ZERO, None, Kind.STALE], [False, False, False]),  # lost at once: what was evicted is safe
        ([None, None, Kind.ZERO, None], [True, True, False, False]),  # nothing lost so far
        ([Kind.ZERO, Kind.KERNEL], [False, True]),  # no loss, but a FAIL
        ([Kind.RECOVERY], [True]),
    ],
)
def test_a_control_is_in_doubt_until_it_has_lost(kinds: list[Kind | None], in_doubt: list[bool]) -> None:
    """What decides its verdict is confirmed: that it lost nothing so far, or did what no control is to do."""
    assert doubts(kinds, control=True) == in_doubt


def test_whatever_is_wrong_elsewhere_is_in_doubt() -> None:
    """Another image that shows the same needs no second look."""
    assert doubts([None, Kind.ZERO, Kind.ZERO, Kind.STALE], control=False)[:2] == [False, True]
