"""Ops that promise durability, or look as if they did."""

from dataclasses import dataclass
from enum import StrEnum


class MsyncFlag(StrEnum):
    """msync(2) flags; INVALIDATE comes with MS_SYNC."""

    SYNC = "sync"
    ASYNC = "async"
    INVALIDATE = "invalidate"


class Wait(StrEnum):
    """sync_file_range(2): start writing, or wait before and after as well."""

    WRITE = "write"
    WRITE_AND_WAIT = "write_and_wait"


@dataclass(frozen=True, slots=True)
class Msync:
    """msync(2); `offset` counts from the start of the mapping."""

    map: str
    offset: int
    length: int
    flag: MsyncFlag = MsyncFlag.SYNC


@dataclass(frozen=True, slots=True)
class Fsync:
    """fsync(2)."""

    fd: str


@dataclass(frozen=True, slots=True)
class Fdatasync:
    """fdatasync(2)."""

    fd: str


@dataclass(frozen=True, slots=True)
class Fsyncdir:
    """fsync(2) of a directory, the root by default: makes the names in it durable."""

    path: str = ""


@dataclass(frozen=True, slots=True)
class SyncFileRange:
    """sync_file_range(2), which promises nothing after a power cut (its man page, "Warning")."""

    fd: str
    offset: int
    length: int
    wait: Wait = Wait.WRITE


@dataclass(frozen=True, slots=True)
class Syncfs:
    """syncfs(2) of the file system under test."""


@dataclass(frozen=True, slots=True)
class Sync:
    """sync(2), which on Linux waits until everything is written (man 2 sync, VERSIONS)."""
