"""The cell that a finding is shown by: what was lost, the timeline of its Program, maps of its files, its console."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.findings.finding import Case
from harness.model.cell import short
from harness.model.judge.violation import COVERAGE, LIVE, Violation
from harness.report import setting
from harness.report.html import filemap
from harness.report.html.deeds import Course, course
from harness.report.html.filemap import FileMap
from harness.report.html.timeline import Timeline, timeline
from harness.report.results import Run
from harness.report.setting import facts, medium
from harness.report.splat import splat
from harness.report.title import command
from harness.report.words import Words

_CONSOLE = 12_000
"""Characters of a console: its end."""
_IMAGES = 6
_MAPS = 4
"""Files that are drawn of one image."""
_PROGRAM = 20_000


@dataclass(frozen=True, slots=True)
class ImageMaps:
    """The maps of the files that one image got wrong; `title` names it, and `words` say what it is."""

    image: str
    title: str
    words: str
    maps: tuple[FileMap, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One cell in full. `timeline` is None where the Program cannot be read; then `program` holds its text.

    `splat` has the kernel's own words if it complained. `images` are those in which bytes were wrong; the timeline ends
    with the first of them.
    """

    scenario: str
    kernel: str
    medium: str
    facts: tuple[tuple[str, str], ...]
    sentence: str
    splat: str
    command: str
    program: str
    timeline: Timeline | None
    images: tuple[ImageMaps, ...]
    console: str

    @property
    def weight(self) -> int:
        """The number of shapes that are drawn."""
        maps = sum(one.weight for image in self.images for one in image.maps)
        return maps + (self.timeline.weight if self.timeline else 0)


def example(case: Case, run: Run) -> Example:
    """The example of a finding, with what the run's directory keeps of its cell."""
    result, found = case.result, course(case.result)
    images = filemap.images(case.violations)[:_IMAGES]
    shown = [one for one in result.violations if one.image in images[:1]]
    console, headed = run.console(result), run.headed_file(result)
    return Example(
        short(result.scenario), result.kernel, medium(result), tuple(facts(result).items()),
        Words.of(result).sentence(case.violations), "\n".join(splat(case, console)),
        command(result, headed or run.program_file(result), headed=headed is not None), result.program[:_PROGRAM],
        timeline(found, case, shown, run.entries(result)) if found else None,
        tuple(_image(name, result.violations, found) for name in images), console[-_CONSOLE:],
    )  # fmt: skip


def _image(name: str, violations: Sequence[Violation], found: Course | None) -> ImageMaps:
    paths = filemap.paths(violations, name)
    maps = tuple(
        filemap.draw(path, name, violations, found.file(path) if found else None) for path in paths[:_MAPS]
    )  # fmt: skip
    title = name if name in (LIVE, COVERAGE) else f"after the cut, {name} image"
    return ImageMaps(name, title, setting.image(name), maps)

