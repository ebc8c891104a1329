"""Crash images: what is certain, what is dirty, and what a sample of evictions may hold."""

from collections.abc import Iterator

import numpy as np
import pytest

from harness.media.image import END, PESSIMISTIC, dirty_lines, images, persisted
from harness.media.log import HEADER_SIZE, RECORD, PersistLog, RecordKind
from harness.memfile import MemFile
from harness.model.units import LINE, PAGE

SIZE = 64 * PAGE
ORIGIN = 1 << 32


@pytest.fixture
def media() -> Iterator[MemFile]:
    with MemFile("media", SIZE) as file:
        yield file


@pytest.fixture
def live() -> Iterator[MemFile]:
    with MemFile("live", SIZE) as file:
        yield file


@pytest.mark.parametrize("places", [[], [0], [SIZE - 1], [63, 64], [PAGE + 5, 9 * PAGE], [PAGE - 1, PAGE, PAGE + 63]])
def test_dirty_lines_are_those_that_differ(media: MemFile, live: MemFile, places: list[int]) -> None:
    """A line is dirty when any byte of it differs, whichever side holds data and whichever a hole."""
    for place in places:
        live.array[place] = 1
    media.array[20 * PAGE] = live.array[20 * PAGE] = 5
    assert dirty_lines(media, live).tolist() == sorted({place // LINE for place in places})
    assert dirty_lines(live, media).tolist() == sorted({place // LINE for place in places})


def test_a_clean_device_has_one_image(media: MemFile, live: MemFile) -> None:
    """Without dirty lines every choice of evictions is the same image."""
    media.array[5] = live.array[5] = 1
    (crash,) = images(media, live, dirty_lines(media, live), 1)
    with crash.media as only:
        assert (crash.point, crash.eviction) == (END, PESSIMISTIC) and bytes(only.array) == bytes(media.array)


@pytest.mark.parametrize("seed", range(8))
def test_the_images_span_what_is_possible(media: MemFile, live: MemFile, seed: int) -> None:
    """The pessimistic image is the media, the evicted one live memory; each line of a sample is whole and from one
    of the two; the same seed gives the same sample."""
    media.array[:] = 1
    live.array[:] = 1
    live.array[3 * PAGE : 30 * PAGE] = 2
    dirty = dirty_lines(media, live)
    found = {crash.name: crash.media for crash in images(media, live, dirty, seed)}
    again = {crash.name: crash.media for crash in images(media, live, dirty, seed)}
    assert list(found) == ["pessimistic", "evicted", f"random:{seed}"]
    assert bytes(found["pessimistic"].array) == bytes(media.array)
    assert bytes(found["evicted"].array) == bytes(live.array)
    sample = found[f"random:{seed}"].array.reshape(-1, LINE)
    assert (sample.min(axis=1) == sample.max(axis=1)).all()
    evicted = np.flatnonzero(sample[:, 0] == 2)
    assert set(evicted) < set(dirty) and evicted.size > 0
    assert bytes(sample) == bytes(again[f"random:{seed}"].array)
    for file in (*found.values(), *again.values()):
        file.close()


def test_images_are_private(media: MemFile, live: MemFile) -> None:
    """What a recovery does to one image is seen in no other, nor in what they were made from."""
    live.array[0:PAGE] = 1
    for crash in images(media, live, dirty_lines(media, live), 1):
        with crash.media as file:
            file.array[:] = 99
    assert not media.array.any() and set(live.array[:2 * PAGE].tolist()) == {0, 1}


def test_persisted_is_a_prefix_of_the_log(media: MemFile) -> None:
    """The media after n records are the base and those records: later ones are not there, the base is unchanged."""
    with MemFile("log", HEADER_SIZE + 8 * RECORD.itemsize) as file, PersistLog.create(file.fd, 8) as log:
        rows = np.zeros(3, RECORD)
        rows["kind"], rows["length"] = RecordKind.LINE, LINE
        rows["address"] = [ORIGIN, ORIGIN + LINE, ORIGIN]
        rows["data"] = np.array([1, 2, 3])[:, None]
        file.array[HEADER_SIZE : HEADER_SIZE + rows.nbytes] = np.frombuffer(rows.tobytes(), np.uint8)
        file.array[24:32] = np.frombuffer((3).to_bytes(8, "little"), np.uint8)
        assert log.count == 3
        for count, first in enumerate(((0, 0), (1, 0), (1, 2), (3, 2))):
            with persisted(media, log, ORIGIN, count) as image:
                assert (image.array[0], image.array[LINE]) == first
    assert not media.array.any()
