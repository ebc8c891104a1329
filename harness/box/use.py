"""Defines what a look at the machine's block devices can find: a use, or a place that could not be looked at."""

from dataclasses import dataclass
from pathlib import Path

from harness.linux import syscalls


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a block device: its number (st_rdev), or, where that is not told, its path; and what for."""

    device: int
    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """A place that could not be looked at, and why. Nobody knows which devices are used there, so no device is free."""

    what: str


def number(path: str) -> int:
    """The number of the block device at `path`; 0 when it is none, or cannot be looked at."""
    try:
        return syscalls.block_device(path)
    except OSError:
        return 0


def comm(process: Path) -> str:
    """Name a process for people: its command and its number."""
    try:
        name = (process / "comm").read_text(errors="surrogateescape").strip()
    except OSError:
        name = ""
    return f"{name} (process {process.name})"
