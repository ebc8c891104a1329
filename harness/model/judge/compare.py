"""Compares observed segments with what each byte may be.

Sources are compared as sources where whole words show one, and byte by byte where a store's unaligned edge
leaves a word that belongs to two.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.model.contract.allowed import Allowed, Anything, Known
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState
from harness.model.units import LINE
from harness.model.wire.observation import RAW_LIMIT, Opaque, Raw, Segment, Source
from harness.model.wire.stamps import WORD, source_bytes


@dataclass(frozen=True, slots=True)
class Expected:
    """Bytes [start, end) may be any of `sources`, which op `promised_by` promised; `past` was there at some time
    (None: that is not followed).

    Bytes that may be anything are not compared: leave them out.
    """

    start: int
    end: int
    sources: frozenset[Known]
    past: frozenset[Known] | None
    promised_by: int | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Bytes [start, end) show `found`, which `expected` does not allow; `torn` if the rest of their line is right."""

    start: int
    end: int
    found: Source
    expected: Expected
    torn: bool = False


def compare(expected: Iterable[Expected], segments: Sequence[Segment]) -> tuple[int, list[Mismatch]]:
    """Return how many bytes were compared, and those that are wrong. Both arguments ascend without overlap."""
    judged = 0
    wrong: list[Mismatch] = []
    end = segments[-1].end if segments else 0
    first = 0
    for run in expected:
        found: list[Mismatch] = []
        while first < len(segments) and segments[first].end <= run.start:
            first += 1
        for index in range(first, len(segments)):
            segment = segments[index]
            if segment.start >= run.end:
                break
            low, high = max(segment.start, run.start), min(segment.end, run.end)
            judged += high - low
            found.extend(_wrong(low, high, segment, run))
        wrong.extend(_marked(found, run, end))
    return judged, wrong


def compare_file(
    file: FileState, expected: Callable[[Extents[Allowed]], Iterable[Expected]], segments: Sequence[Segment]
) -> tuple[int, list[Mismatch]]:
    """Compare with what `expected` makes of the contents of the file.

    What was there before says in which way a byte is wrong, and splits the contents into many more runs. So they are
    compared without that first: if no byte is wrong then, none is, since a run that is right is so in all its parts.
    """
    judged, wrong = compare(expected(file.held), segments)
    return compare(expected(file.contents), segments) if wrong else (judged, wrong)


def made_of(data: bytes, start: int, sources: Iterable[Known]) -> bool:
    """Say whether each byte of `data`, at offset `start`, is the one that some source has there."""
    certain = [source for source in sources if not isinstance(source, Anything)]
    candidates = [known for source in certain if (known := source_bytes(source, start, start + len(data))) is not None]
    return all(any(known[i] == byte for known in candidates) for i, byte in enumerate(data))


def _wrong(start: int, end: int, segment: Segment, run: Expected) -> Iterator[Mismatch]:
    source = segment.source
    if source in run.sources:
        return
    if isinstance(source, Opaque):
        yield Mismatch(start, end, source, run)
        return
    head = min(-(-start // WORD) * WORD, end)
    tail = max(end // WORD * WORD, head)
    if tail - head <= RAW_LIMIT:
        words = [(low, min(low + WORD, tail)) for low in range(head, tail, WORD)]
    else:
        # Bytes mixed by chance into a word that decodes are one word long; here is a run of them.
        words = [(head, tail)]
    for low, high in [(start, head), *words, (tail, end)]:
        if high - low > WORD:
            yield Mismatch(low, high, source, run)
        elif low < high:
            data = _bytes(segment, low, high)
            if data is None or not made_of(data, low, run.sources):
                yield Mismatch(low, high, Raw(data) if data and isinstance(source, Raw) else source, run)


def _bytes(segment: Segment, start: int, end: int) -> bytes | None:
    """Return the bytes of the segment at [start, end); None if there are none: a stamp moved up from before the start
    of the file."""
    if isinstance(segment.source, Raw):
        return segment.source.data[start - segment.start : end - segment.start]
    return source_bytes(segment.source, start, end)


def _marked(found: list[Mismatch], run: Expected, end: int) -> Iterator[Mismatch]:
    """`found`, cut where a cache line begins or ends that is only partly wrong, and those parts marked torn.

    Caches write whole lines: a line that is right in part was torn on its way, unless the oracle itself, or the
    end of what was read, draws a boundary in it.
    """
    edges: set[int] = set()
    for mismatch in found:
        edges ^= {mismatch.start, mismatch.end}  # where one ends and the next begins is no edge
    torn = {edge // LINE * LINE for edge in edges if edge % LINE}
    torn = {line for line in torn if run.start <= line and min(line + LINE, end) <= run.end}
    wrong = _wrong_bytes(found)
    torn -= {line for line in torn if wrong[line] == min(line + LINE, end) - line}
    for mismatch in found:
        start = mismatch.start
        touched = torn.intersection(_outer_lines(mismatch))
        cuts = {cut for line in touched for cut in (line, line + LINE) if start < cut < mismatch.end}
        for stop in sorted(cuts | {mismatch.end}):
            yield Mismatch(start, stop, mismatch.found, run, start // LINE * LINE in torn)
            start = stop


def _outer_lines(mismatch: Mismatch) -> set[int]:
    """The cache lines in which the mismatch begins and ends; those between are wrong as a whole."""
    return {mismatch.start // LINE * LINE, (mismatch.end - 1) // LINE * LINE}


def _wrong_bytes(found: list[Mismatch]) -> dict[int, int]:
    """The number of wrong bytes in each line in which some mismatch begins or ends."""
    wrong: dict[int, int] = {}
    for mismatch in found:
        for line in _outer_lines(mismatch):
            inside = min(mismatch.end, line + LINE) - max(mismatch.start, line)
            wrong[line] = wrong.get(line, 0) + inside
    return wrong
