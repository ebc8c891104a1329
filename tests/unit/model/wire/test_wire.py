"""Observations survive the channel, and nothing a guest can send gets past the reading but an observation."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.wire.checked import OFFSET_LIMIT
from harness.model.wire.observation import (
    RAW_LIMIT,
    SAMPLE,
    SEGMENT_LIMIT,
    Allocation,
    Difference,
    Extent,
    FileView,
    Opaque,
    OpResult,
    Raw,
    Segment,
    Source,
    Stamp,
    Zero,
)
from harness.model.wire.wire import (
    EXTENT_FLAGS,
    FILE_LIMIT,
    RANGE_LIMIT,
    VIEWS,
    allocation_from_wire,
    file_view_from_wire,
    file_views_from_wire,
    op_result_from_wire,
    op_results_from_wire,
    segment_from_wire,
    source_from_wire,
    to_wire,
)

byte = st.integers(1, 255)
sources: st.SearchStrategy[Source] = st.one_of(
    st.just(Zero()),
    st.builds(Stamp, byte, byte, st.integers(-(1 << 30), 1 << 30).map(lambda n: n * 512)),
    st.builds(Raw, st.binary(min_size=1, max_size=RAW_LIMIT)),
    st.builds(Opaque, st.binary(min_size=1, max_size=SAMPLE)),
)


def contiguous(found: list[Source], start: int = 0) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for source in found:
        end = start + (len(source.data) if isinstance(source, Raw) else 512)
        segments.append(Segment(start, end, source))
        start = end
    return tuple(segments)


edges = st.lists(st.integers(0, OFFSET_LIMIT), unique=True, max_size=8).map(sorted)
ranges = edges.map(lambda found: tuple(zip(found[::2], found[1::2], strict=False)))
flags = st.lists(st.sampled_from(sorted(EXTENT_FLAGS)), unique=True, max_size=3).map(tuple)
allocations = st.builds(
    lambda size, data, extents, named: Allocation(size, data, tuple(Extent(a, b, named) for a, b in extents)),
    st.integers(0, OFFSET_LIMIT), ranges, ranges, flags,
)  # fmt: skip


@st.composite
def views(draw: st.DrawFn) -> FileView:
    segments = contiguous(draw(st.lists(sources, max_size=5)))
    size = segments[-1].end if segments else 0
    truncated = draw(st.booleans())
    differences = [Difference(view, 0, size, draw(sources)) for view in VIEWS if size and view != "eof"]
    error = draw(st.sampled_from(("", "SIGBUS")))
    allocation = draw(st.none() | allocations)
    return FileView("data", size + truncated, segments, tuple(differences), truncated, error, allocation)


results = st.builds(
    OpResult, st.integers(0, 100), st.integers(0, 133), st.lists(sources, max_size=4).map(lambda s: contiguous(s, 77)),
    st.just(""), st.integers(0, 64), st.lists(views(), max_size=1).map(tuple),
)  # fmt: skip


def over_the_wire(value: Any) -> object:
    return json.loads(json.dumps(to_wire(value)))


@given(views())
def test_views_round_trip(view: FileView) -> None:
    """A view that was sent is the view that arrives."""
    assert file_view_from_wire(over_the_wire(view)) == view
    assert file_views_from_wire([over_the_wire(view)]) == (view,)


@given(results)
def test_results_round_trip(result: OpResult) -> None:
    """So is a result."""
    assert op_result_from_wire(over_the_wire(result)) == result
    assert op_results_from_wire([over_the_wire(result)]) == (result,)


def test_a_missing_file_has_no_size() -> None:
    """A file that does not exist is told from an empty one."""
    for view in (FileView("data", None), FileView("data", 0)):
        assert file_view_from_wire(over_the_wire(view)) == view


VIEW: dict[str, Any] = {
    "path": "data", "size": 8, "segments": [[0, 8, {"zero": 1}]], "differences": [], "truncated": False, "error": "",
    "allocation": None,
}  # fmt: skip
RESULT: dict[str, Any] = {"index": 0, "errno": 0, "segments": [], "unmet": "", "signal": 0, "files": []}
BLOCKS: dict[str, Any] = {"bytes": 8192, "data": [[0, 4096]], "extents": [[0, 8192, ["last", "unwritten"]]]}
HUGE = 10**5000

BAD_SOURCES: list[object] = [
    None, 1, [], {}, "zero", {"zero": True}, {"zero": 2}, {"zero": 1, "raw": "00"}, {"none": 1}, {"stamp": [1, 1]},
    {"stamp": [0, 1, 0]}, {"stamp": [256, 1, 0]}, {"stamp": [1, 0, 0]}, {"stamp": [1, 1, 1]}, {"stamp": [1, 1, HUGE]},
    {"stamp": [1.0, 1, 0]}, {"stamp": [True, 1, 0]}, {"raw": ""}, {"raw": "0"}, {"raw": "zz"}, {"raw": " 00 "},
    {"raw": "00" * (RAW_LIMIT + 1)}, {"opaque": "00" * (SAMPLE + 1)}, {"raw": 5}, {"raw": "\u0661\u0661"},
]  # fmt: skip
BAD_SEGMENTS: list[object] = [
    None, [], [0, 8], [8, 0, {"zero": 1}], [0, 0, {"zero": 1}], [-1, 8, {"zero": 1}],
    [0, OFFSET_LIMIT + 1, {"zero": 1}],
    [0, HUGE, {"zero": 1}], [0, 8, {"raw": "00"}],
    ["0", 8, {"zero": 1}], {"start": 0},
]  # fmt: skip
BAD_VIEWS: list[object] = [
    None, [], {}, {**VIEW, "extra": 1}, {**VIEW, "path": ""}, {**VIEW, "path": "a" * 256}, {**VIEW, "path": "a\0"},
    {**VIEW, "size": -1}, {**VIEW, "size": "8"}, {**VIEW, "size": 9}, {**VIEW, "size": 7}, {**VIEW, "size": None},
    {**VIEW, "size": HUGE}, {**VIEW, "segments": None}, {**VIEW, "segments": [[1, 8, {"zero": 1}]]},
    {**VIEW, "segments": [[0, 4, {"zero": 1}], [5, 8, {"zero": 1}]]},
    {**VIEW, "truncated": 1}, {**VIEW, "size": 7, "truncated": True},
    {**VIEW, "segments": [[0, 4, {"zero": 1}], [0, 8, {"zero": 1}]]},
    {**VIEW, "error": 5}, {**VIEW, "error": "x" * 5000},
    {**VIEW, "segments": [[n, n + 1, {"zero": 1}] for n in range(SEGMENT_LIMIT + 1)], "size": SEGMENT_LIMIT + 1},
    {**VIEW, "differences": [{"view": "mmap", "start": 0, "end": 8, "source": {"zero": 1}}]},
    {**VIEW, "differences": [{"view": "read", "start": 0, "end": 9, "source": {"zero": 1}}]},
    {**VIEW, "differences": [{"view": "read", "start": 0, "end": 8}]},
    {**VIEW, "differences": [{"view": "read", "start": 0, "end": 8, "source": {"zero": 1}}] * 2},
    {**VIEW, "differences": [{"view": ["read"], "start": 0, "end": 8, "source": {"zero": 1}}]},
]  # fmt: skip
BAD_RESULTS: list[object] = [
    None, {}, {**RESULT, "index": -1}, {**RESULT, "index": 10_001}, {**RESULT, "errno": -5}, {**RESULT, "errno": 4096},
    {**RESULT, "errno": None}, {**RESULT, "unmet": None}, {**RESULT, "unmet": "x" * 5000}, {**RESULT, "segments": {}},
    {**RESULT, "signal": -1}, {**RESULT, "signal": 65}, {**RESULT, "signal": True}, {**RESULT, "files": None},
    {**RESULT, "files": [VIEW, VIEW]}, {**RESULT, "files": [RESULT]},
]  # fmt: skip
BAD_ALLOCATIONS: list[object] = [
    None, [], {}, {**BLOCKS, "bytes": -1}, {**BLOCKS, "bytes": HUGE}, {**BLOCKS, "bytes": None}, {**BLOCKS, "more": 1},
    {**BLOCKS, "data": None}, {**BLOCKS, "data": [[0]]}, {**BLOCKS, "data": [[0, 0]]}, {**BLOCKS, "data": [[-1, 1]]},
    {**BLOCKS, "data": [[0, 8], [4, 12]]}, {**BLOCKS, "data": [[8, 12], [0, 4]]}, {**BLOCKS, "data": [[0, HUGE]]},
    {**BLOCKS, "data": [[n, n + 1] for n in range(RANGE_LIMIT + 1)]}, {**BLOCKS, "extents": [[0, 8]]},
    {**BLOCKS, "extents": [[0, 8, "last"]]}, {**BLOCKS, "extents": [[0, 8, ["LAST"]]]},
    {**BLOCKS, "extents": [[0, 8, [[]]]]}, {**BLOCKS, "extents": [[0, 8, ["last"] * 12]]},
    {**BLOCKS, "extents": [[0, 8, []], [7, 9, []]]}, {**BLOCKS, "extents": [[n, n + 1, []] for n in range(1 << 15)]},
]  # fmt: skip
BAD = [
    *((source_from_wire, value) for value in BAD_SOURCES),
    *((segment_from_wire, value) for value in BAD_SEGMENTS),
    *((file_view_from_wire, value) for value in BAD_VIEWS),
    *((op_result_from_wire, value) for value in BAD_RESULTS),
    *((allocation_from_wire, value) for value in BAD_ALLOCATIONS),
    (file_view_from_wire, {**VIEW, "size": None, "segments": [], "allocation": BLOCKS}),
    (file_views_from_wire, [VIEW, VIEW]),
    (file_views_from_wire, [VIEW] * (FILE_LIMIT + 1)),
    (op_results_from_wire, [RESULT, RESULT]),
    (op_results_from_wire, {}),
]


@pytest.mark.parametrize("case", BAD, ids=range(len(BAD)))
def test_anything_else_is_refused(case: tuple[Any, object]) -> None:
    """What is out of its limits, out of order, or of another type is a ValueError of one short line."""
    read, value = case
    with pytest.raises(ValueError, match=r".") as caught:
        read(value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*VIEW, "index", "zero"]), inner),
    max_leaves=10,
)


@given(values, st.sampled_from(sorted(VIEW)), st.sampled_from(sorted(RESULT)))
def test_no_value_breaks_the_reading(value: object, of_view: str, of_result: str) -> None:
    """Any JSON value, alone or in the place of a field, is an observation or a ValueError."""
    for read, one in (
        (file_view_from_wire, value),
        (file_view_from_wire, {**VIEW, of_view: value}),
        (op_result_from_wire, {**RESULT, of_result: value}),
        (allocation_from_wire, {**BLOCKS, "extents": value}),
        (allocation_from_wire, {**BLOCKS, "data": value}),
    ):
        with suppress(ValueError):
            read(one)
