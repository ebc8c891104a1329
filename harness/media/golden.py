"""Golden images: freshly formatted file systems, kept in the cache so that a run does not pay for mkfs."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from harness import trimming
from harness.errors import Refused
from harness.memfile import MemFile
from harness.trimming import Say

AREA = "golden"
"""Images in the cache, one or two MB each: one per kernel, file system, format and device."""
FORMAT = 1
"""Raise when what a golden image holds changes its meaning."""


def load(key: tuple[str, ...], size: int, make: Callable[[MemFile], None], say: Say | None = None) -> MemFile:
    """A copy of the golden image for `key`, owned by the caller; `make` formats a blank one when none is cached.

    A format that the kernel refuses is kept too, by the reason: raises Refused, then and ever after.
    """
    digest = hashlib.sha256(json.dumps((FORMAT, size, *key)).encode()).hexdigest()

    def fill(room: Path) -> None:
        with MemFile("golden", size) as blank:
            try:
                make(blank)
            except Refused as error:
                (room / "refused").write_text(str(error))
            else:
                blank.save(room / "image")

    entry = trimming.directory(AREA, digest, fill, hashed=True, say=say)
    if (entry / "refused").exists():
        raise Refused((entry / "refused").read_text())
    medium = MemFile("golden", size)
    medium.load(entry / "image")
    return medium
