"""Ops on mappings. `offset` and `length` count from the start of the mapping, except in Mmap."""

from dataclasses import dataclass
from enum import StrEnum

from harness.model.program.ops.files import Switch
from harness.model.units import PMD


class Sharing(StrEnum):
    """The ways in which mmap(2) shares the mapping; SYNC is MAP_SHARED_VALIDATE|MAP_SYNC."""

    SHARED = "shared"
    PRIVATE = "private"
    SYNC = "sync"


class Access(StrEnum):
    """The access that mprotect(2) allows."""

    NONE = "none"
    READ = "read"
    WRITE = "write"  # PROT_READ|PROT_WRITE


class Advice(StrEnum):
    """madvise(2) advice, by the names of the MADV_ constants."""

    DONTNEED = "dontneed"
    HUGEPAGE = "hugepage"
    NOHUGEPAGE = "nohugepage"
    POPULATE_READ = "populate_read"
    POPULATE_WRITE = "populate_write"
    REMOVE = "remove"  # punches a hole
    HWPOISON = "hwpoison"
    SOFT_OFFLINE = "soft_offline"
    COLD = "cold"
    PAGEOUT = "pageout"
    FREE = "free"  # of private anonymous memory alone: EINVAL here
    COLLAPSE = "collapse"


@dataclass(frozen=True, slots=True)
class Mmap:
    """mmap(2) of [offset, offset+length) at an address congruent to `offset` modulo `align`, and modulo nothing larger.

    So align=PMD lets PMD entries map it, and align=PAGE forces PTEs. Offset and length are those of the file.
    `populate` is MAP_POPULATE: pages are faulted in at once.
    """

    map: str
    fd: str
    offset: int
    length: int
    sharing: Sharing = Sharing.SHARED
    align: int = PMD
    populate: Switch = Switch.OFF


@dataclass(frozen=True, slots=True)
class Munmap:
    """munmap(2) of the whole mapping."""

    map: str


@dataclass(frozen=True, slots=True)
class Mremap:
    """mremap(2) of [offset, its end) of `map` to another address, as mapping `new`; `map` keeps what is before."""

    map: str
    offset: int
    new: str


@dataclass(frozen=True, slots=True)
class Mresize:
    """mremap(2) of all of `map` to `size` bytes, where it is: shorter or longer. MREMAP_MAYMOVE is not given."""

    map: str
    size: int


@dataclass(frozen=True, slots=True)
class MmapOver:
    """mmap(2) with MAP_FIXED over [offset, its end) of `map`: `new` maps as much of `fd` there, from `file_offset` on.

    `map` keeps what is before.
    """

    map: str
    offset: int
    new: str
    fd: str
    file_offset: int
    sharing: Sharing = Sharing.SHARED


@dataclass(frozen=True, slots=True)
class Mprotect:
    """mprotect(2)."""

    map: str
    offset: int
    length: int
    access: Access


@dataclass(frozen=True, slots=True)
class Mlock:
    """mlock(2): the pages of the range are faulted in and stay."""

    map: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Madvise:
    """madvise(2)."""

    map: str
    offset: int
    length: int
    advice: Advice


@dataclass(frozen=True, slots=True)
class Store:
    """CPU stores of one stamp through the mapping; no flush, no fence."""

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
