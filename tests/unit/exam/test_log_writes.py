"""Laws of the replay of a log of dm-log-writes."""

import struct

import numpy as np
import pytest

from harness.errors import InfraError
from harness.exam.logwrites import MAGIC, MARK, SECTOR, replay

DISCARD, MARKED = 4, 8
Entry = tuple[int, bytes, int]
"""First sector, data, flags."""


def log(*entries: Entry, magic: int = MAGIC, count: int | None = None) -> bytes:
    """A log as the target writes it; what a mark says stands in its own sector."""
    data = struct.pack("<QQQI", magic, 1, len(entries) if count is None else count, SECTOR).ljust(SECTOR, b"\0")
    for first, written, flags in entries:
        said = written if flags & MARKED else b""
        sectors = 0 if flags & MARKED else len(written) // SECTOR
        data += (struct.pack("<QQQQ", first, sectors, flags, len(said)) + said).ljust(SECTOR, b"\0")
        data += written if not flags & (MARKED | DISCARD) else b""
    return data


def test_writes_up_to_the_mark() -> None:
    """They are written in their order, and what comes behind the mark is not."""
    media = np.zeros(8 * SECTOR, np.uint8)
    one, two, three = (bytes([n]) * SECTOR for n in (1, 2, 3))
    entries = ((1, one + one, 1), (0, one, DISCARD), (2, two, 0), (0, b"other", MARKED), (0, MARK, MARKED))
    assert replay(log(*entries, (3, three, 0)), media) == 4
    assert media.tobytes() == bytes(SECTOR) + one + two + bytes(5 * SECTOR)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (log(magic=1), "no log"),
        (bytes(SECTOR), "no log"),
        (log((0, bytes(SECTOR), 0)), "no mark among 1 entries"),
        (log((8, bytes(SECTOR), 0)), "beyond the device"),
    ],
)  # fmt: skip
def test_a_log_that_is_none(data: bytes, said: str) -> None:
    """Nothing is taken for what lies on the media that was not read to the end."""
    with pytest.raises(InfraError, match=said):
        replay(data, np.zeros(8 * SECTOR, np.uint8))
