"""Stamps: what a store writes, byte by byte, and how to tell from bytes which store wrote them.

Contents are little-endian words of eight bytes. The word that store `seq` writes at file offset o of file
`file` is ((file << 48) | o // 8) XOR seq repeated in every byte. So any byte differs between two stores of
the same place, byte 7 is `seq` itself (no stamped word is all zero), and a word tells where it was stored:
moving data by collapse or insert shows up as `shift`. A store whose edges are not multiples of eight writes
the bytes of those words that fall into its range.
"""

from array import array
from collections.abc import Iterator
from typing import Protocol

from harness.model.units import LINE
from harness.model.wire.observation import RAW_LIMIT, SAMPLE, SEGMENT_LIMIT, Opaque, Raw, Segment, Source, Stamp, Zero

WORD = 8
SHIFT_UNIT = 512
"""A word counts as a stamp only if its shift is a multiple of this: random bytes then seldom pass."""
SHIFT_LIMIT = 1 << 40
_REPEAT = 0x0101010101010101
_PLACE = (1 << 48) - 1
_CHUNK = 1 << 17  # words per step of pattern: bounds its memory


def word(seq: int, file: int, shift: int, offset: int) -> int:
    """The word of a stamp at file offset `offset`, a multiple of eight, as an integer."""
    return ((file << 48) | ((offset - shift) // WORD & _PLACE)) ^ (seq * _REPEAT)


def decode_word(value: int, offset: int) -> Zero | Stamp | None:
    """Return the source of the word `value` at file offset `offset`; None if no store can have written it."""
    if value == 0:
        return Zero()
    seq = value >> 56
    file = (value >> 48 & 0xFF) ^ seq
    shift = offset - WORD * ((value ^ seq * _REPEAT) & _PLACE)
    if seq == 0 or file == 0 or shift % SHIFT_UNIT or abs(shift) > SHIFT_LIMIT:
        return None
    return Stamp(seq, file, shift)


def pattern(seq: int, file: int, shift: int, start: int, end: int) -> bytes:
    """The bytes that the stamp has at file offsets [start, end), which need not be multiples of eight."""
    first = start // WORD
    last = -(-end // WORD)
    moved = shift // WORD
    key = ((file << 48) ^ (seq * _REPEAT)).to_bytes(WORD, "little")
    chunks = []
    for low in range(first, last, _CHUNK):
        high = min(low + _CHUNK, last)
        places = int.from_bytes(array("Q", range(low - moved, high - moved)).tobytes(), "little")
        keys = int.from_bytes(key * (high - low), "little")
        chunks.append((places ^ keys).to_bytes(WORD * (high - low), "little"))
    return b"".join(chunks)[start - WORD * first : end - WORD * first]


def source_bytes(source: Source, start: int, end: int) -> bytes | None:
    """The bytes that `source` has at [start, end); None for bytes nobody can know (Raw and Opaque)."""
    match source:
        case Zero():
            return bytes(end - start)
        case Stamp(seq, file, shift):
            # Nothing can have been stored before the start of the file.
            return pattern(seq, file, shift, start, end) if start // WORD * WORD >= shift else None
        case _:
            return None


class View(Protocol):
    """The contents of a file as `decode` looks at them. All offsets are file offsets."""

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end), few of them."""
        ...

    def zero_run(self, start: int, end: int) -> int:
        """Return how many bytes from `start` on are zero words; start, end and the answer are multiples of eight."""
        ...

    def stamp_run(self, start: int, end: int, stamp: Stamp) -> int:
        """Return how many bytes from `start` on are words of `stamp`; all are multiples of eight as above."""
        ...


class Buffer:
    """A View of bytes in memory; `offset` is the file offset of the first. The reference for every other View."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self._data = data
        self._offset = offset

    def read(self, start: int, end: int) -> bytes:
        return self._data[start - self._offset : end - self._offset]

    def zero_run(self, start: int, end: int) -> int:
        return _common_words(self.read(start, end), bytes(end - start))

    def stamp_run(self, start: int, end: int, stamp: Stamp) -> int:
        return _common_words(self.read(start, end), pattern(stamp.seq, stamp.file, stamp.shift, start, end))


def _common_words(left: bytes, right: bytes) -> int:
    """The length of the longest common prefix of two equally long strings, in whole words, in bytes."""
    differs = int.from_bytes(left, "little") ^ int.from_bytes(right, "little")
    if not differs:
        return len(left)
    lowest = (differs & -differs).bit_length() - 1
    return lowest // (8 * WORD) * WORD


def decode(view: View, start: int, end: int, limit: int = SEGMENT_LIMIT) -> tuple[tuple[Segment, ...], bool]:
    """The contents [start, end) as runs of sources, and whether they were cut off after `limit` runs.

    Runs of zero words are Zero, runs of one stamp's words Stamp. Words that decode to nothing gather in Raw,
    or, when there are more than RAW_LIMIT bytes of them, in Opaque, which lasts until a cache line begins with
    a word that decodes. Less than a word at either end counts to the run beside it if it continues that run's
    stamp, else it is Zero or Raw. Neighbouring segments differ, except that a Raw may follow a Raw.
    """
    found: list[Segment] = []
    for segment in _runs(view, start, end):
        last = found[-1] if found else None
        if last is not None and last.source == segment.source and not isinstance(last.source, Raw | Opaque):
            found[-1] = Segment(last.start, segment.end, last.source)
        elif len(found) == limit:
            return tuple(found), True
        else:
            found.append(segment)
    return tuple(found), False


def _runs(view: View, start: int, end: int) -> Iterator[Segment]:
    head = min(-(-start // WORD) * WORD, end)
    tail = max(end // WORD * WORD, head)
    beside: Zero | Stamp | None = None
    if head + WORD <= tail:
        beside = _word_at(view, head)
    if start < head:
        yield _edge(view, start, head, beside)
    offset, beside = head, None
    while offset < tail:
        segment = _run(view, offset, tail)
        beside = segment.source if isinstance(segment.source, Stamp | Zero) else None
        offset = segment.end
        yield segment
    if tail < end:
        yield _edge(view, tail, end, beside)


def _word_at(view: View, offset: int) -> Zero | Stamp | None:
    return decode_word(int.from_bytes(view.read(offset, offset + WORD), "little"), offset)


def _edge(view: View, start: int, end: int, beside: Zero | Stamp | None) -> Segment:
    """Less than one word, judged by the run that it touches."""
    data = view.read(start, end)
    if beside is not None and data == source_bytes(beside, start, end):
        return Segment(start, end, beside)
    return Segment(start, end, Raw(data) if any(data) else Zero())


def _run(view: View, offset: int, end: int) -> Segment:
    match _word_at(view, offset):
        case None:
            return _unknown(view, offset, end)
        case Zero():
            return Segment(offset, offset + max(WORD, view.zero_run(offset, end)), Zero())
        case Stamp() as stamp:
            return Segment(offset, offset + max(WORD, view.stamp_run(offset, end, stamp)), stamp)


def _unknown(view: View, offset: int, end: int) -> Segment:
    stop = offset + WORD
    while stop < end and stop - offset <= RAW_LIMIT and _word_at(view, stop) is None:
        stop += WORD
    if stop - offset <= RAW_LIMIT:
        return Segment(offset, stop, Raw(view.read(offset, stop)))
    # From here on the run is a violation whatever follows: looking at one word per line is enough.
    stop = -(-stop // LINE) * LINE
    while stop < end and _word_at(view, stop) is None:
        stop += LINE
    return Segment(offset, min(stop, end), Opaque(view.read(offset, offset + SAMPLE)))
