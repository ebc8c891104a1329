"""The axis shows every byte in its order, a small range beside a large one too."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.model.units import PAGE, PMD
from harness.report.html.axis import WIDTH, Bar, lay

SPANS = st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(1, 1 << 40)).map(lambda s: (s[0], sum(s))), max_size=60)


def test_a_page_beside_eight_mib() -> None:
    """A punched page is to be seen in a file of 8M: true to scale it would be half a unit of a thousand."""
    axis = lay({1: [(0, 4 * PMD), (16 * PAGE, 17 * PAGE)]}, {1: "data"})[1]
    bar = axis.bar(16 * PAGE, 17 * PAGE)
    assert bar is not None and bar.width > 40
    assert [tick.label for tick in axis.ticks()] == ["0", "64K", "68K", "8M"]
    assert [tick.pmd for tick in axis.ticks()] == [True, False, False, True]
    assert axis.bar(0, 4 * PMD) == Bar(0.0, axis.places[-1]) and round(axis.places[-1], 3) == WIDTH


@given(st.dictionaries(st.integers(1, 9), SPANS, max_size=4))
def test_the_order_is_kept(spans: dict[int, list[tuple[int, int]]]) -> None:
    """Files follow each other without overlap, edges ascend within [0, WIDTH], and every span has its bar."""
    axes = lay(spans, dict.fromkeys(spans, "x"))
    assert list(axes) == [file for file, found in spans.items() if found]
    places = [place for axis in axes.values() for place in axis.places]
    assert all(one <= two for one, two in pairwise(places))
    assert all(-0.01 <= place <= WIDTH + 0.01 for place in places)
    for file, axis in axes.items():
        assert axis.edges[0] == 0 and axis.edges[-1] == max(end for _, end in spans[file])
        for start, end in spans[file]:
            bar = axis.bar(start, end)
            assert bar is None or (bar.width > 0 and bar.x >= axis.places[0] - 0.01)


@given(SPANS.filter(bool))
def test_names_have_room(spans: list[tuple[int, int]]) -> None:
    """Two named edges are far enough apart for their names, and the end of the file always has its own."""
    (axis,) = lay({1: spans}, {1: "x"}).values()
    named = [tick.x for tick in axis.ticks() if tick.label]
    assert named[-1] == axis.places[-1]
    assert all(two - one > 60 for one, two in pairwise(named))


def test_what_is_not_on_the_axis_has_no_bar() -> None:
    axis = lay({1: [(0, PAGE)]}, {1: "x"})[1]
    assert axis.bar(PAGE, 2 * PAGE) is None
    assert axis.bar(0, 0) is None
    assert axis.bar(0, 9 * PAGE) == axis.bar(0, PAGE)
