"""Removes spare entries of the cache, the longest unused first, when all together outgrow a bound; they save time.

An entry that is made again because it was removed so is told and noted: a cache that is too small for a session costs
a boot or a mkfs again and again, and nothing else would show it.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

from harness import cachedir
from harness.errors import UsageError

GIB = 1 << 30
LIMIT = 8
"""GiB on disk of all spare entries, unless the variable says otherwise.

Measured with three kernels (6.1, 6.12, 7.3): ext4 and xfs in every format and layout that a scenario asks for take 1.6
(6 snapshots, 54 images); with --device eadr,virtio-pmem 3.9 (15 snapshots, 150 images); tracing adds 6 snapshots.
"""
LEAST = 1
"""GiB of the least bound: with less, an entry that a session has just asked for could go for the next that it needs."""
VARIABLE = "DAXCHECK_CACHE_GIB"
MARKER = ".spare"
"""The file by which an area is known whose entries are spare."""
TRIMMED = ".trimmed"
"""The directory of an area with an empty file for each entry that has gone and was not made again."""
NOTES = "made-again"
"""The file of the cache with a line for each entry that was made again: area, key, the bound in bytes at that time."""
REMEMBERED = 1000
"""Entries of an area that are remembered, and about as many lines of NOTES."""

Say = Callable[[str], None]


def limit() -> int:
    """The bound in bytes. Raises UsageError when the variable holds none."""
    text = os.environ.get(VARIABLE, "") or str(LIMIT)
    try:
        bound = int(float(text) * GIB)
    except (ValueError, OverflowError):
        bound = 0
    if bound < LEAST * GIB:
        raise UsageError(f"{VARIABLE}={text:.40}: wants a number of GiB, {LEAST} or more; without it {LIMIT} are taken")
    return bound


def directory(area: str, key: str, make: cachedir.Make, *, hashed: bool = False, say: Say | None = None) -> Path:
    """Return a spare entry as cachedir.directory does; a new one makes room for itself.

    `say` hears of one that is made again, and of one that another process makes. Raises UsageError for a bad bound, and
    as cachedir.directory does.
    """
    bound, made = limit(), False

    def noticed(room: Path) -> None:
        nonlocal made
        make(room)
        made = True

    def waiting() -> None:
        if say is not None:
            say(f"waiting for another daxcheck that makes {area}/{key[:12]}")

    path = cachedir.directory(area, key, noticed, hashed=hashed, waiting=waiting)
    if not (marker := path.parent / MARKER).exists():
        marker.touch()
    if made:
        if _recall(path, bound) and say is not None:
            say(f"made again: {area}/{key[:12]} had gone from the cache, which holds {bound / GIB:g} GiB")
        _trim(path, bound)
    return path


def sizes() -> dict[Path, int]:
    """Return all spare entries, the one last asked for first, with the bytes on disk of each."""
    found: dict[Path, tuple[int, int]] = {}
    for marker in cachedir.root().glob(f"*/{MARKER}"):
        for path in (marker.parent / key for key in cachedir.keys(marker.parent.name)):
            with contextlib.suppress(FileNotFoundError):  # another process may remove it
                # stat(2): st_blocks are units of 512 bytes; holes have none
                found[path] = (_asked_for(path), sum(file.stat().st_blocks * 512 for file in path.rglob("*")))
    return {path: found[path][1] for path in sorted(found, key=found.__getitem__, reverse=True)}


def mark() -> int:
    """Return the length of the notes in bytes; for made_again()."""
    with contextlib.suppress(FileNotFoundError):
        return (cachedir.root() / NOTES).stat().st_size
    return 0


def made_again(since: int = 0) -> dict[str, int]:
    """Return how many entries of each area any process made again after the mark `since`, under the bound of now.

    Worker processes of a session cannot tell it otherwise.
    """
    try:
        notes = (cachedir.root() / NOTES).read_bytes()
    except FileNotFoundError:
        return {}
    lines = notes[since if since <= len(notes) else 0 :].decode(errors="replace").splitlines()
    parts = (line.split() for line in lines)
    # A line may be torn: the note of a process that was killed while it wrote.
    areas = (part[0] for part in parts if len(part) == 3 and part[2] == str(limit()))
    return dict(sorted(Counter(areas).items()))


def complaint(since: int = 0) -> str:
    """Return one line on the entries made again after the mark `since`, with the remedy; empty if there are none.

    Raises UsageError for a bad bound.
    """
    counts = ", ".join(f"{count} of {area}" for area, count in made_again(since).items())
    if not counts:
        return ""
    bound = limit() / GIB
    day = date.fromtimestamp((cachedir.root() / NOTES).stat().st_mtime)
    return (f"the cache of {bound:g} GiB was too small: made again were {counts}, last on {day}; "
            f"{VARIABLE}={2 * bound:g} doubles it")  # fmt: skip


def _trim(made: Path, bound: int) -> None:
    total = 0
    for path, size in sizes().items():
        if path == made or total + size <= bound:
            total += size
            continue
        gone = path.parent / TRIMMED
        gone.mkdir(exist_ok=True)
        (gone / path.name).touch()
        cachedir.remove(path.parent.name, path.name)
        for old in sorted(gone.iterdir(), key=_asked_for, reverse=True)[REMEMBERED:]:
            old.unlink(missing_ok=True)


def _recall(path: Path, bound: int) -> bool:
    """Say whether the entry, made now, was removed before; if so, note that and forget that it was removed."""
    try:
        (path.parent / TRIMMED / path.name).unlink()
    except FileNotFoundError:
        return False
    line = f"{path.parent.name} {path.name} {bound}\n"
    notes = cachedir.root() / NOTES
    if mark() > REMEMBERED * len(line):
        notes.unlink(missing_ok=True)
    with notes.open("a") as file:
        file.write(line)
    return True


def _asked_for(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0
