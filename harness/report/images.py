"""The words for the crash images behind the verdicts of a run: how many there were, and what was left out of them."""

from collections.abc import Sequence

from harness.model.judge.result import CellResult
from harness.plain import plain
from harness.report.setting import place


def counted(result: CellResult) -> str:
    """290 images at 310 moments, 40 equal to one of them, 1200 moments left out: the counts of one cell; empty for the
    usual plan, and where no image was made."""
    return "" if result.plan.usual or not result.points else _told([result])


def summary(results: Sequence[CellResult]) -> list[str]:
    """A line for each configuration whose cells were not cut by the usual plan."""
    groups: dict[str, list[CellResult]] = {}
    for result in results:
        if counted(result):
            groups.setdefault(f"{result.kernel} {place(result)}", []).append(result)
    return [plain(f"{name}: {_told(cells)}, in {len(cells)} cells") for name, cells in groups.items()]


def _told(results: Sequence[CellResult]) -> str:
    points, taken, images, equal, more = (
        sum(getattr(one, name) for one in results)
        for name in ("points", "points_taken", "images", "equal_images", "violations_left_out")
    )
    parts = [f"{images} images at {taken} moments"]
    parts += [f"{equal} equal to one of them"] if equal else []
    parts += [f"{points - taken} moments left out"] if points > taken else []
    parts += [f"{more} violations left out"] if more else []
    return ", ".join(parts)
