"""Ops that move contents from one file to another, or between a file and a mapping."""

from dataclasses import dataclass

from harness.model.program.ops.files import How


@dataclass(frozen=True, slots=True)
class CloneFile:
    """ioctl_ficlone(2) FICLONE: all of `source` is shared into `fd` at the same offsets."""

    fd: str
    source: str


@dataclass(frozen=True, slots=True)
class Clone:
    """ioctl_ficlonerange(2): [source_offset, +length) of `source` is shared into `fd` at `offset`."""

    fd: str
    offset: int
    length: int
    source: str
    source_offset: int


@dataclass(frozen=True, slots=True)
class Dedupe:
    """ioctl_fideduperange(2) into `fd`: shares blocks if both ranges are the same; contents never change."""

    fd: str
    offset: int
    length: int
    source: str
    source_offset: int


@dataclass(frozen=True, slots=True)
class CopyFileRange:
    """copy_file_range(2) into `fd` at `offset`, again until all of it is copied."""

    fd: str
    offset: int
    length: int
    source: str
    source_offset: int


@dataclass(frozen=True, slots=True)
class Splice:
    """splice(2) of `source` into a pipe, and of the pipe into `fd` at `offset`, again until all of it is copied."""

    fd: str
    offset: int
    length: int
    source: str
    source_offset: int


@dataclass(frozen=True, slots=True)
class Sendfile:
    """sendfile(2) of `source` into `fd`, whose file offset is `offset`, again until all of it is copied."""

    fd: str
    offset: int
    length: int
    source: str
    source_offset: int


@dataclass(frozen=True, slots=True)
class ExchangeRange:
    """XFS_IOC_EXCHANGE_RANGE (Linux 6.10): the two ranges change places, atomically."""

    fd: str
    offset: int
    length: int
    other: str
    other_offset: int


@dataclass(frozen=True, slots=True)
class Swapext:
    """XFS_IOC_SWAPEXT: all of the two files, which are of one size, change places."""

    fd: str
    other: str


@dataclass(frozen=True, slots=True)
class ReadInto:
    """pread(2) of `fd` whose buffer is the mapping: stores what the file holds."""

    map: str
    offset: int
    length: int
    fd: str
    source_offset: int
    how: How = How.PLAIN


@dataclass(frozen=True, slots=True)
class WriteFrom:
    """pwrite(2) of `fd` whose buffer is the mapping: writes what the mapping shows."""

    fd: str
    offset: int
    length: int
    map: str
    source_offset: int
    how: How = How.PLAIN


@dataclass(frozen=True, slots=True)
class DirectStore:
    """O_DIRECT read of one stamp from another disk into the mapping: stored by the kernel through pinned pages."""

    map: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class DirectLoad:
    """O_DIRECT write of the mapping to another disk, read back from there: judged as a load."""

    map: str
    offset: int
    length: int
