"""The cell that a finding is shown by: what was lost, the timeline of its Program, maps of its files, its console."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.findings.finding import Case
from harness.model.cell import short
from harness.model.judge.violation import COVERAGE, LIVE, Violation
from harness.plain import plain, plain_lines
from harness.report.html import filemap
from harness.report.html.deeds import Course, course
from harness.report.html.filemap import FileMap
from harness.report.html.timeline import Timeline, timeline
from harness.report.results import Run
from harness.report.text import medium
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

    `images` are those in which bytes were wrong; the timeline ends with the first of them.
    """

    scenario: str
    kernel: str
    medium: str
    engine: str
    seconds: str
    sentence: str
    command: str
    program: str
    timeline: Timeline | None
    images: tuple[ImageMaps, ...]
    console: str


def example(case: Case, run: Run) -> Example:
    """The example of a finding, with what the run's directory keeps of its cell."""
    result = case.result
    found = course(result)
    images = filemap.images(case.violations)[:_IMAGES]
    line = None
    if found is not None:
        shown = [one for one in result.violations if one.image in images[:1]]
        line = timeline(found, case.violations, shown, None)
    return Example(
        short(result.scenario), result.kernel, medium(result), str(result.engine), f"{result.seconds:.1f} s",
        plain(Words.of(result).sentence(case.violations)), command(result, run.program_file(result)),
        plain_lines(result.program[:_PROGRAM]), line,
        tuple(_image(name, result.violations, found) for name in images),
        plain_lines(run.console(result)[-_CONSOLE:]),
    )  # fmt: skip


def _image(name: str, violations: Sequence[Violation], found: Course | None) -> ImageMaps:
    paths = filemap.paths(violations, name)
    maps = tuple(
        filemap.draw(path, name, violations, found.file(path) if found else None) for path in paths[:_MAPS]
    )  # fmt: skip
    title = name if name in (LIVE, COVERAGE) else f"after the cut, {name} image"
    return ImageMaps(name, title, _IMAGE_WORDS.get(name.partition(":")[0], ""), maps)


_IMAGE_WORDS = {
    "pessimistic": "nothing that was dirty in the caches survived",
    "random": "some dirty cache lines had been evicted, and survived",
    "evicted": "all dirty cache lines had been evicted, and survived",
    "live": "as it was read while the power was on",
    "flush coverage": "no power was cut: these bytes had not been flushed",
}
