"""Stamps tell who wrote each byte, and Extents behave as a plain list of values would."""

import random

from hypothesis import given
from hypothesis import strategies as st

from harness.model.contract.extents import END, Extents
from harness.model.units import PAGE
from harness.model.wire.observation import RAW_LIMIT, SAMPLE, Opaque, Raw, Segment, Stamp, Zero
from harness.model.wire.stamps import WORD, Buffer, decode, decode_word, pattern, source_bytes, word

seqs = st.integers(1, 255)
shifts = st.integers(-8, 8).map(lambda n: n * PAGE)
offsets = st.integers(0, 1 << 27).map(lambda n: n * WORD + 8 * PAGE)


@given(seqs, seqs, shifts, offsets)
def test_word_round_trip(seq: int, file: int, shift: int, offset: int) -> None:
    """A word decodes to the store, file and shift it was made of, and is never zero."""
    value = word(seq, file, shift, offset)
    assert 0 < value < 1 << 64
    assert decode_word(value, offset) == Stamp(seq, file, shift)


@given(seqs, seqs, seqs, offsets)
def test_every_byte_tells_two_stores_apart(one: int, two: int, file: int, offset: int) -> None:
    """No byte of a word is the same for two stores of the same place."""
    left, right = (pattern(seq, file, 0, offset, offset + WORD) for seq in (one, two))
    assert one == two or all(a != b for a, b in zip(left, right, strict=True))


@given(seqs, seqs, shifts, st.integers(8 * PAGE, 9 * PAGE), st.integers(0, 100))
def test_pattern_is_the_words(seq: int, file: int, shift: int, start: int, length: int) -> None:
    """Any range of a pattern holds those bytes of the words that lie in it."""
    first = start // WORD * WORD
    words = b"".join(
        word(seq, file, shift, offset).to_bytes(WORD, "little") for offset in range(first, start + length, WORD)
    )
    assert pattern(seq, file, shift, start, start + length) == words[start - first : start - first + length]


def test_pattern_is_long_enough_in_one_piece() -> None:
    """Chunks that a pattern is made of in steps join without a seam."""
    whole = pattern(1, 1, 0, 0, 3 << 20)
    assert whole[(1 << 20) - 24 : (1 << 20) + 24] == pattern(1, 1, 0, (1 << 20) - 24, (1 << 20) + 24)
    assert len(whole) == 3 << 20


def test_nothing_is_stored_before_the_start() -> None:
    """A stamp that was moved up has no bytes below where it came to."""
    assert source_bytes(Stamp(1, 1, PAGE), 0, 8) is None
    assert source_bytes(Stamp(1, 1, PAGE), PAGE + 1, PAGE + 9) == pattern(1, 1, PAGE, PAGE + 1, PAGE + 9)


def segments(data: bytes, start: int = 0) -> list[Segment]:
    found, truncated = decode(Buffer(data, start), start, start + len(data))
    assert not truncated
    return list(found)


pieces = st.lists(
    st.tuples(
        st.one_of(st.just(Zero()), st.builds(Stamp, seqs, st.integers(1, 3), st.integers(-1, 1).map(PAGE.__mul__))),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=8,
)


@given(pieces)
def test_decode_finds_what_was_stored(parts: list[tuple[Zero | Stamp, int]]) -> None:
    """Whole words of any stores decode to exactly those stores, joined where neighbours are of one source."""
    offset, data, expected = 2 * PAGE, b"", list[Segment]()
    for source, words in parts:
        end = offset + words * WORD
        data += source_bytes(source, offset, end) or b""
        if expected and expected[-1].source == source:
            offset = expected.pop().start
        expected.append(Segment(offset, end, source))
        offset = end
    assert segments(data, 2 * PAGE) == expected


@given(st.binary(max_size=700), st.integers(0, 20))
def test_decode_covers_every_byte(data: bytes, start: int) -> None:
    """Segments of any bytes are contiguous, cover all of them, and claim no byte that is not there."""
    position = start
    for segment in segments(data, start):
        assert segment.start == position < segment.end
        position = segment.end
        there = data[segment.start - start : segment.end - start]
        match segment.source:
            case Raw(raw):
                assert raw == there
            case Opaque(sample):
                assert there.startswith(sample)
            case source:
                assert source_bytes(source, segment.start, segment.end) == there
    assert position == start + len(data)


def test_decode_edges_belong_to_their_run() -> None:
    """Less than a word at either end counts to the stamp beside it; other bytes there are raw."""
    whole = pattern(7, 2, 0, 0, 64)
    assert segments(whole[3:61], 3) == [Segment(3, 61, Stamp(7, 2))]
    assert segments(whole[:56] + b"abc") == [Segment(0, 56, Stamp(7, 2)), Segment(56, 59, Raw(b"abc"))]
    assert segments(bytes(13), 5) == [Segment(5, 18, Zero())]


def test_decode_long_garbage_is_opaque() -> None:
    """More than RAW_LIMIT undecodable bytes are kept as a sample; a line that decodes ends them."""
    garbage = random.Random(1).randbytes(PAGE)
    stored = pattern(3, 1, 0, PAGE, 2 * PAGE)
    assert segments(garbage + stored) == [
        Segment(0, PAGE, Opaque(garbage[:SAMPLE])),
        Segment(PAGE, 2 * PAGE, Stamp(3, 1)),
    ]
    assert segments(garbage[:RAW_LIMIT]) == [Segment(0, RAW_LIMIT, Raw(garbage[:RAW_LIMIT]))]


def test_decode_stops_at_its_limit() -> None:
    """Contents in more pieces than the limit are cut off there, and that is said."""
    data = (pattern(1, 1, 0, 0, 8) + bytes(8)) * 10
    found, truncated = decode(Buffer(data), 0, len(data), limit=5)
    assert (len(found), truncated) == (5, True)
    assert len(decode(Buffer(bytes(8)), 0, 8, limit=1)[0]) == 1


SIZE = 24
changes = st.lists(
    st.tuples(st.sampled_from(("set", "map", "removed", "inserted")), st.integers(0, SIZE), st.integers(0, 6)),
    max_size=8,
)


@given(changes)
def test_extents_are_a_list(steps: list[tuple[str, int, int]]) -> None:
    """Extents give what a list of one value per byte gives, and equal contents are equal objects."""
    extents, plain = Extents.of(0), [0] * 4 * SIZE
    for number, (what, start, length) in enumerate(steps, start=1):
        end = start + length
        match what:
            case "set":
                extents, plain[start:end] = extents.set(start, end, number), [number] * length
            case "map":
                extents = extents.map(start, end, lambda value: value % 2)
                plain[start:end] = [value % 2 for value in plain[start:end]]
            case "removed":
                extents, plain[start:] = extents.removed(start, length), plain[end:] + [0] * length
            case "inserted":
                extents, plain[start:start] = extents.inserted(start, length, number), [number] * length
    assert [extents.at(i) for i in range(SIZE)] == plain[:SIZE]
    assert [value for low, high, value in extents.runs(0, SIZE) for _ in range(low, high)] == plain[:SIZE]
    assert all(one != two for one, two in zip(extents.values, extents.values[1:], strict=False))
    rebuilt = Extents.of(0)
    for low, high, value in extents.runs(0, END):
        rebuilt = rebuilt.set(low, high, value)
    assert rebuilt == extents


@given(changes, st.integers(0, SIZE), st.integers(0, SIZE))
def test_extents_merge_by_byte(steps: list[tuple[str, int, int]], start: int, end: int) -> None:
    """Merging two maps applies the function byte by byte, within the range only."""
    left = right = Extents.of(0)
    for number, (_, low, length) in enumerate(steps, start=1):
        left, right = right, left.set(low, low + length, number)
    merged = left.merge(start, end, right, lambda one, two: 100 * one + two)
    for i in range(SIZE):
        assert merged.at(i) == (100 * left.at(i) + right.at(i) if start <= i < end else left.at(i))
