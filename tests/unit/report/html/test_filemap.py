"""The map of a file says of each page what the violations say of its bytes."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.model.judge.judgement import RANGE_LIMIT
from harness.model.judge.violation import Kind, Violation
from harness.model.units import LINE, PAGE, PMD
from harness.report.html.deeds import course
from harness.report.html.fates import FATES, WORST, Fate
from harness.report.html.filemap import COLUMNS, FileMap, draw, images, paths
from tests.unit.findings.cells import LOSS, PROGRAM, cell

COURSE = course(cell(LOSS))
SMALL = course(cell(LOSS, program=PROGRAM.replace("8M", "2M")))
assert COURSE is not None and SMALL is not None
FILE = COURSE.file("data")
SIZE = PMD
KINDS = st.sampled_from([Kind.STALE, Kind.ZERO, Kind.TORN, Kind.FOREIGN])
LINES = SIZE // LINE
RANGE = st.tuples(st.integers(0, LINES - 1), st.integers(1, 300)).map(
    lambda one: (one[0] * LINE, min(sum(one), LINES) * LINE)
)


def wrong(kind: Kind, *ranges: tuple[int, int]) -> Violation:
    return replace(LOSS, kind=kind, ranges=ranges, bytes=sum(high - low for low, high in ranges))


def mapped(*violations: Violation) -> FileMap:
    return draw("data", LOSS.image, violations, FILE)


def pages(found: FileMap) -> list[tuple[Fate, bool]]:
    """The fate of each page that a map draws, in order; asserts that each is drawn once."""
    told: list[tuple[Fate, bool]] = []
    for band in found.bands:
        start, end = (_bytes(word) for word in band.label.strip("[)").split(".."))
        assert start == len(told) * PAGE
        if not band.rows:
            told += [(band.fate, "in part" in band.words)] * ((end - start) // PAGE)
            continue
        cells: dict[int, tuple[Fate, bool]] = {}
        for strip in band.runs:
            for column in range(strip.column, strip.column + strip.length):
                assert column < COLUMNS and strip.row * COLUMNS + column not in cells
                cells[strip.row * COLUMNS + column] = strip.fate, strip.part
        assert sorted(cells) == list(range((end - start) // PAGE))
        told += [cells[index] for index in sorted(cells)]
    return told


def _bytes(words: str) -> int:
    return int(words.rstrip("KM")) * {"K": 1024, "M": 1 << 20}.get(words[-1], 1)


def expected(violations: list[Violation]) -> list[tuple[Fate, bool]]:
    """The same, line by line by hand: the Program has promised all of its 2 MiB."""
    fates = [Fate.KEPT] * LINES
    for violation in sorted(violations, key=lambda one: -WORST.index(FATES[one.kind])):
        for low, high in violation.ranges:
            fates[low // LINE : high // LINE] = [FATES[violation.kind]] * ((high - low) // LINE)
    found = []
    for page in range(0, LINES, PAGE // LINE):
        inside = set(fates[page : page + PAGE // LINE])
        worst = next((fate for fate in WORST if fate in inside), Fate.KEPT)
        found.append((worst, inside != {worst}))
    return found


@given(st.lists(st.tuples(KINDS, st.lists(RANGE, min_size=1, max_size=6)), max_size=4))
def test_every_page_is_drawn_as_it_is(told: list[tuple[Kind, list[tuple[int, int]]]]) -> None:
    """Each page is drawn once, as the worst of its cache lines, and marked if not all of them are."""
    violations = [wrong(kind, *ranges) for kind, ranges in told]
    assert SMALL is not None
    assert pages(draw("data", LOSS.image, violations, SMALL.file("data"))) == expected(violations)


def test_punched_page() -> None:
    """511 stale pages of a PMD are three runs of the first row and three rows; PMDs that kept all are one band."""
    found = mapped(wrong(Kind.STALE, (0, 16 * PAGE), (17 * PAGE, PMD)))
    assert [(band.label, band.words) for band in found.bands] == [
        ("[0..2M)", ""), ("[2M..8M)", "3 PMDs, 1536 pages as promised"),
    ]  # fmt: skip
    assert [(run.row, run.column, run.length, run.fate.name) for run in found.bands[0].runs] == [
        (0, 0, 16, "STALE"), (0, 16, 1, "KEPT"), (0, 17, 111, "STALE"), (1, 0, 128, "STALE"), (2, 0, 128, "STALE"),
        (3, 0, 128, "STALE"),
    ]  # fmt: skip
    assert found.legend == ((Fate.KEPT, "1537 pages"), (Fate.STALE, "511 pages"))
    assert found.lines == () and found.more == ()


def test_lines_of_a_page() -> None:
    """A page of which 3 lines are torn, and 2 stale, has a row of its 64 lines."""
    found = mapped(wrong(Kind.TORN, (0, 3 * LINE)), wrong(Kind.STALE, (PAGE - 2 * LINE, PAGE)))
    (row,) = found.lines
    assert [(run.column, run.length, run.fate) for run in row.runs] == [
        (0, 3, Fate.TORN), (3, 59, Fate.KEPT), (62, 2, Fate.STALE),
    ]  # fmt: skip
    assert found.bands[0].runs[0].part and found.bands[0].runs[0].fate is Fate.TORN


def test_one_gib_is_short() -> None:
    """A file of 1 GiB that lost one page is three bands, one of them page by page."""
    huge = course(replace(cell(LOSS), program=PROGRAM.replace("8M", "1024M")))
    assert huge is not None
    found = draw("data", LOSS.image, [wrong(Kind.ZERO, (600 << 20, (600 << 20) + PAGE))], huge.file("data"))
    assert [(band.label, band.rows) for band in found.bands] == [
        ("[0..600M)", 0), ("[600M..602M)", 4), ("[602M..1024M)", 0),
    ]  # fmt: skip


def test_the_last_of_many_ranges() -> None:
    """The last range that a result keeps stands for others, gaps included: so its pages are wrong in part."""
    spans = [(2 * page * PAGE, (2 * page + 1) * PAGE) for page in range(RANGE_LIMIT - 1)]
    spans.append((2 * RANGE_LIMIT * PAGE, 2 * RANGE_LIMIT * PAGE + 40 * PAGE))
    found = mapped(replace(wrong(Kind.STALE, *spans), bytes=80 * PAGE))
    drawn = pages(found)
    assert drawn[2 * RANGE_LIMIT] == (Fate.STALE, True)
    assert drawn[0] == (Fate.STALE, False)
    assert dict(found.legend)[Fate.STALE] == "80 pages"  # as the result counts, not as the ranges span
    assert "the last one stands for all" in found.more[-1]
    assert found.lines == ()


def test_any_ranges_stay_small() -> None:
    """Whatever ranges a results file holds, a map has few strips, and says what it does not draw."""
    odd = [(page * PAGE, (page + 1) * PAGE) for page in range(0, 120, 2)]
    many = [wrong(Kind.STALE, *((pmd + low, pmd + high) for low, high in odd)) for pmd in range(0, 40 * PMD, PMD)]
    found = draw("data", LOSS.image, [*many, *many, wrong(Kind.ZERO, (1 << 63, 1 << 64))], FILE)
    assert 500 < found.weight < 1500
    assert found.more[0].endswith("is not drawn")
    assert draw("data", LOSS.image, [wrong(Kind.STALE, *[(0, 1)] * 60_000)], FILE).bands


def test_images_and_paths() -> None:
    """Images and files are those in which bytes were wrong: a complaint of the kernel has no map."""
    other = replace(LOSS, image="random:1", path="other")
    said = replace(LOSS, kind=Kind.KERNEL, image="evicted", ranges=())
    assert images([LOSS, other, said]) == ("pessimistic", "random:1")
    assert paths([LOSS, other, said], "random:1") == ("other",)
    assert draw("nothing", "x", [], None).bands == ()
