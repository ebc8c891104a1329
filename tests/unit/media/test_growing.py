"""The growing medium: at every moment it is what the whole log up to there makes of the base, and so is its digest."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest

from harness.media.growing import GrowingMedium, Lines
from harness.media.image import persisted
from harness.media.log import PersistLogError, log_bytes
from harness.media.records import RECORD
from harness.memfile import MemFile
from harness.model.units import LINE, PAGE
from tests.unit.media.logs import CAPACITY, Put, Set, put, written

SIZE = 4 * PAGE


@pytest.fixture
def base() -> Iterator[MemFile]:
    with MemFile("base", SIZE) as file:
        file.array[: PAGE + 8] = 7
        yield file


@pytest.fixture
def log_file() -> Iterator[MemFile]:
    with MemFile("log", log_bytes(CAPACITY)) as file:
        yield file


def some_sets(seed: int) -> list[Set]:
    """Sets on three lines of two pages, captured in any order, whole lines and parts of them."""
    draw = random.Random(seed)
    order = draw.sample(range(1, 200), 60)
    puts = []
    for sequence in order:
        line = draw.choice([0, 1, PAGE // LINE])
        start, length = draw.choice([(0, LINE), (0, LINE), (8, 8), (0, 16), (12, 40)])
        puts.append(Put(line * LINE + start, draw.randrange(4), length, sequence))
    return [put(*puts[at : at + 3]) for at in range(0, len(puts), 3)]


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_the_log_makes_of_the_base(base: MemFile, log_file: MemFile, seed: int) -> None:
    """At each moment, however far apart the moments are, and in whatever order records were captured; and the digests
    of two moments are the same if and only if the media are."""
    draw = random.Random(seed)
    contents: dict[int, set[bytes]] = {}
    with written(log_file, some_sets(seed)) as log, GrowingMedium(base, log, 0) as growing:
        counts = [one.count for one in log.completions()]
        for count in (counts, sorted(draw.sample(counts, 5)))[seed % 2]:
            growing.advance(count)
            with persisted(base, log, 0, count) as whole:
                assert bytes(growing.media.array) == bytes(whole.array)
            contents.setdefault(growing.digest, set()).add(bytes(growing.media.array))
    assert all(len(found) == 1 for found in contents.values())
    assert len(set().union(*contents.values())) == len(contents)


def test_equal_media_have_one_digest_whatever_led_there(base: MemFile, log_file: MemFile) -> None:
    """Also where a page has changed and is as it was at first."""
    steps = [put(Put(0, 1)), put(Put(PAGE, 2)), put(Put(0, 7)), put(Put(PAGE, 7, 8), Put(PAGE + 8, 0, 56))]
    with written(log_file, steps) as log, GrowingMedium(base, log, 0) as growing:
        digests = [growing.digest]
        for one in log.completions():
            growing.advance(one.count)
            digests.append(growing.digest)
        assert bytes(growing.media.array) == bytes(base.array)
    assert digests[-1] == digests[0] and len(set(digests)) == 4


def test_the_same_bytes_at_another_place_are_other_media(base: MemFile, log_file: MemFile) -> None:
    """A page that has moved is no page that stayed."""
    steps = [put(Put(2 * PAGE, 1)), put(Put(2 * PAGE, 0), Put(3 * PAGE, 1))]
    with written(log_file, steps) as log, GrowingMedium(base, log, 0) as growing:
        digests = set()
        for one in log.completions():
            growing.advance(one.count)
            digests.add(growing.digest)
    assert len(digests) == 2


@pytest.mark.parametrize("lines", [s for n in range(4) for s in itertools.combinations([0, 1, 70], n)])
def test_lines_on_top(base: MemFile, log_file: MemFile, lines: tuple[int, ...]) -> None:
    """A copy with lines written holds these and nothing else, and has the digest of a medium to which a log led."""
    data = np.full((len(lines), LINE), 9, np.uint8)
    chosen = Lines(np.array(lines, np.int64), data)
    steps = [put(Put(0, 1)), put(*(Put(line * LINE, 9) for line in lines))]
    with written(log_file, steps) as log, GrowingMedium(base, log, 0) as growing:
        growing.advance(2)
        before = growing.digest
        digest = growing.digest_with(chosen)
        with growing.copy(chosen) as copy:
            found = bytes(copy.array)
        assert growing.digest == before
        growing.advance(log.count)
        assert (digest, found) == (growing.digest, bytes(growing.media.array))


def test_what_is_pending_is_as_it_would_be_written(base: MemFile, log_file: MemFile) -> None:
    """The newest capture of each byte counts, on top of what is durable; what a newer capture has overwritten does
    not come back."""
    steps = [
        put(Put(0, 1, sequence=5), Put(LINE, 1, sequence=9)),
        put(Put(LINE, 2, sequence=7), Put(8, 3, 8, sequence=10), Put(8, 4, 4, sequence=11), Put(PAGE, 5, sequence=12)),
    ]
    with written(log_file, steps) as log, GrowingMedium(base, log, 0) as growing:
        growing.advance(3)
        lines = growing.pending(log.records(3, 8))
    assert lines.index.tolist() == [0, PAGE // LINE]
    assert lines.data[0].tolist() == [1] * 8 + [4] * 4 + [3] * 4 + [1] * 48
    assert set(lines.data[1].tolist()) == {5}


@pytest.mark.parametrize("start", [SIZE, 1 << 40])
def test_a_record_outside_the_media_is_refused(base: MemFile, log_file: MemFile, start: int) -> None:
    """A guest is hostile: nothing beside the media is written."""
    with written(log_file, [put(Put(start, 1))]) as log, GrowingMedium(base, log, 0) as growing:
        with pytest.raises(PersistLogError, match="outside"):
            growing.advance(2)
        with pytest.raises(PersistLogError, match="outside"):
            growing.pending(log.records())
        assert growing.pending(np.empty(0, RECORD)).index.size == 0
