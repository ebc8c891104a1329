"""Ops that look: preconditions, expected refusals, and points at which everything is judged."""

from dataclasses import dataclass
from enum import StrEnum

from harness.model.program.ops.files import Switch


class Entry(StrEnum):
    """The page-table level that maps an address."""

    PTE = "pte"
    PMD = "pmd"


class Signal(StrEnum):
    """A signal that an access may end in."""

    SIGBUS = "SIGBUS"
    SIGSEGV = "SIGSEGV"


class Plant(StrEnum):
    """Faults that are planted in the emulated hardware (a test of the harness, never of the kernel)."""

    IGNORE_FLUSH = "ignore_flush"
    LATE_FLUSH = "late_flush"  # what is flushed becomes durable when the op ends, whatever fence came before
    NO_FENCE = "no_fence"  # sfence and mfence do no more than locked instructions
    WRITE_CACHE_OFF = "write_cache_off"  # the kernel is told that caches survive, and skips its flushes


@dataclass(frozen=True, slots=True)
class ExpectMapped:
    """A precondition: every `entry`-sized piece of the range is mapped by an entry of that level now."""

    map: str
    entry: Entry
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ExpectDax:
    """A precondition: statx(2) says STATX_ATTR_DAX of the open file, or does not."""

    fd: str
    dax: Switch


@dataclass(frozen=True, slots=True)
class ExpectErrno:
    """The next op must be refused as a whole, with one of `errnos` (EINVAL, or EINVAL|EOPNOTSUPP).

    It is one system call then, which is not repeated for what is left. A write, read or copy that was done in part
    returns the count of that part (write(2): "a successful write() may transfer fewer than count bytes"), which is no
    refusal. What a call that was refused may have changed all the same is in harness.model.contract.effect.
    """

    errnos: str


@dataclass(frozen=True, slots=True)
class ExpectShort:
    """The next op, one system call that returns a count, must return COUNT bytes, fewer than its length.

    Its first COUNT bytes are then done and the rest is untouched: write(2), read(2) and copy_file_range(2), RETURN
    VALUE, call the count that of the bytes written, read and copied.
    """

    count: int


@dataclass(frozen=True, slots=True)
class ExpectSignal:
    """The next op, a store, load or madvise of at most one page, must end in this signal, and change nothing.

    It runs in a forked process with the same mappings.
    """

    signal: Signal


@dataclass(frozen=True, slots=True)
class Observe:
    """Every file is read by all three views now and judged against its current contents."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Plant a fault in the emulated hardware for device bytes [start, end); comes before all other ops."""

    plant: Plant
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class CutPower:
    """Power fails here. The last op; all that comes after is recovery."""
