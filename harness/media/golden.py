"""Golden images: freshly formatted file systems, kept in the cache so that a run does not pay for mkfs."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from harness import cachedir
from harness.memfile import MemFile

KEEP = 32
"""Images in the cache, a few MB each: one per kernel and file system."""
FORMAT = 1
"""Raise when what a golden image holds changes its meaning."""


def load(key: tuple[str, ...], size: int, make: Callable[[MemFile], None]) -> MemFile:
    """A copy of the golden image for `key`, owned by the caller; `make` formats a blank one when none is cached."""
    digest = hashlib.sha256(json.dumps((FORMAT, size, *key)).encode()).hexdigest()

    def fill(room: Path) -> None:
        with MemFile("golden", size) as blank:
            make(blank)
            blank.save(room / "image")

    entry = cachedir.directory("golden", digest, fill, hashed=True, keep=KEEP)
    medium = MemFile("golden", size)
    medium.load(entry / "image")
    return medium
