"""Crash images: what is certain, what is dirty, and what a sample of evictions may hold."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from harness.media.growing import Lines
from harness.media.image import (
    END,
    EVICTED,
    PESSIMISTIC,
    USUAL_CHOICES,
    CrashImage,
    choices,
    dirty_lines,
    persisted,
    unstamped,
)
from harness.media.log import HEADER_SIZE, RECORD, PersistLog, RecordKind
from harness.memfile import MemFile
from harness.model.units import LINE, PAGE
from harness.model.wire.stamps import pattern

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


def images(media: MemFile, live: MemFile, dirty: npt.NDArray[np.int64], seed: int) -> Iterator[CrashImage]:
    """The usual images of a cut."""
    for eviction, mask in choices(dirty, USUAL_CHOICES, seed):
        lines = Lines(dirty, live.array.reshape(-1, LINE)[dirty]).chosen(mask)
        yield CrashImage(END, eviction, lines.written_to(media))


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


@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
@pytest.mark.parametrize("wanted", [1, 2, 3, 9, 30])
def test_no_two_choices_are_the_same(count: int, wanted: int) -> None:
    """None comes first, then all; a line that tells is lost alone and kept alone; the seed alone decides the rest."""
    lines = np.arange(count, dtype=np.int64) + 100
    telling = [0, count - 1][: min(count, 2)]
    found = list(choices(lines, wanted, 5, telling))
    masks = {mask.tobytes() for _, mask in found}
    assert len(masks) == len(found) == len({str(one) for one, _ in found}) <= wanted
    assert [one for one, _ in found][:2] == [PESSIMISTIC, EVICTED][: min(wanted, 2 if count else 1)]
    assert [(str(a), b.tolist()) for a, b in found] == [
        (str(a), b.tolist()) for a, b in choices(lines, wanted, 5, telling)
    ]
    for eviction, mask in found:
        if eviction.choice in ("line", "but"):
            alone = mask if eviction.choice == "line" else ~mask
            (place,) = np.flatnonzero(alone)
            assert lines[place] * LINE == eviction.number and int(place) in telling
    if count == 40 and wanted == 30:
        assert {one.choice for one, _ in found} == {"pessimistic", "evicted", "random", "line", "but"}


def test_what_a_file_system_wrote_holds_no_stamp() -> None:
    """A line with a stamp of one of the files is the Program's, wherever it begins; so is one that holds nothing."""
    lines = np.zeros((5, LINE), np.uint8)
    lines[1, :] = np.frombuffer(pattern(3, 2, 0, 4096, 4096 + LINE), np.uint8)
    lines[2, :4] = [0xC0, 0x3B, 0x39, 0x98]  # the magic of a jbd2 block, big-endian
    lines[3, 8:] = np.frombuffer(pattern(200, 1, 512, 8192, 8192 + LINE - 8), np.uint8)
    lines[4, :] = 0x11
    assert unstamped(lines, 2).tolist() == [2, 4]


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
