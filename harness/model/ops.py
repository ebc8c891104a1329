"""The operations a Program is made of: plain data, one frozen dataclass each.

`fd` and `map` are names the Program gives to an open file and to a mapping. Offsets and lengths are bytes;
those of `store`, `load`, `flush`, `msync` and `expect_mapped` count from the start of the mapping, all
others from the start of the file. `path` is relative to the root of the mounted file system.
"""

from dataclasses import dataclass
from enum import StrEnum

from harness.model.units import PMD


class Mode(StrEnum):
    """fallocate(2) modes, by the names of the FALLOC_FL_ bits they set."""

    ALLOCATE = "allocate"
    KEEP_SIZE = "keep_size"
    PUNCH_HOLE = "punch_hole"  # always with FALLOC_FL_KEEP_SIZE, as the man page demands
    ZERO_RANGE = "zero_range"
    ZERO_RANGE_KEEP_SIZE = "zero_range_keep_size"
    COLLAPSE_RANGE = "collapse_range"
    INSERT_RANGE = "insert_range"
    UNSHARE_RANGE = "unshare_range"


class Sharing(StrEnum):
    """How mmap(2) shares the mapping; SYNC is MAP_SHARED_VALIDATE|MAP_SYNC."""

    SHARED = "shared"
    PRIVATE = "private"
    SYNC = "sync"


class Entry(StrEnum):
    """The page-table level that maps an address."""

    PTE = "pte"
    PMD = "pmd"


class Plant(StrEnum):
    """Faults that the persistence plugin can plant (a test of the harness, never of the kernel)."""

    IGNORE_FLUSH = "ignore_flush"


@dataclass(frozen=True, slots=True)
class Create:
    """open(2) with O_CREAT|O_EXCL|O_RDWR."""

    fd: str
    path: str


@dataclass(frozen=True, slots=True)
class Open:
    """open(2) of an existing file, O_RDWR."""

    fd: str
    path: str


@dataclass(frozen=True, slots=True)
class Close:
    fd: str


@dataclass(frozen=True, slots=True)
class Fallocate:
    fd: str
    mode: Mode
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Ftruncate:
    fd: str
    size: int


@dataclass(frozen=True, slots=True)
class Mmap:
    """mmap(2) of [offset, offset+length) at an address congruent to `offset` modulo `align`, and modulo nothing larger.

    So align=PMD lets PMD entries map it, and align=PAGE forces PTEs.
    """

    map: str
    fd: str
    offset: int
    length: int
    sharing: Sharing = Sharing.SHARED
    align: int = PMD


@dataclass(frozen=True, slots=True)
class Munmap:
    map: str


@dataclass(frozen=True, slots=True)
class Store:
    """CPU stores of one stamp (see contents) through the mapping; no flush, no fence."""

    map: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Load:
    """CPU loads through the mapping, judged against the current contents."""

    map: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Flush:
    """User-space clwb over the range, then sfence: durable by itself only on a MAP_SYNC mapping."""

    map: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Pwrite:
    fd: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Pread:
    """pread(2), judged against the current contents."""

    fd: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Msync:
    """msync(2) with MS_SYNC."""

    map: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Fsync:
    fd: str


@dataclass(frozen=True, slots=True)
class Fdatasync:
    fd: str


@dataclass(frozen=True, slots=True)
class Fsyncdir:
    """fsync(2) of the root directory: makes the names in it durable."""


@dataclass(frozen=True, slots=True)
class Sync:
    """sync(2), which on Linux waits until everything is written (man 2 sync, VERSIONS)."""


@dataclass(frozen=True, slots=True)
class ExpectMapped:
    """A precondition: every `entry`-sized piece of the range is mapped by an entry of that level now."""

    map: str
    entry: Entry
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Planted:
    """Plant a fault in the emulated hardware for device bytes [start, end); comes before all other ops."""

    plant: Plant
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class CutPower:
    """Power fails here. The last op; all that comes after is recovery."""


Op = (
    Create | Open | Close | Fallocate | Ftruncate | Mmap | Munmap | Store | Load | Flush | Pwrite | Pread
    | Msync | Fsync | Fdatasync | Fsyncdir | Sync | ExpectMapped | Planted | CutPower
)
