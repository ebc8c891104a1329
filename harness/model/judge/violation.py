"""A Violation: an observation that the contract does not allow, as values. report/words.py says it in words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.model.judge.values import Value
from harness.model.wire.moment import Moment


class Kind(StrEnum):
    """The fault: an older store where a newer was promised; zeroes; part of a cache line, or of an exchange; promised
    bytes that were never flushed (see coverage); bytes, or files, that belong elsewhere or nowhere; views that differ;
    a size or a missing file; a name that should be gone, one of two that should be there, or that of a directory or a
    symbolic link that is something else; holes or blocks that do not suit the contents; a failed recovery; a complaint
    of the checker of the file system, or of the kernel; an errno or a signal, or the lack of one; what the kernel says
    of the device."""

    STALE = "stale"
    ZERO = "zero"
    TORN = "torn"
    UNFLUSHED = "unflushed"
    FOREIGN = "foreign"
    INCOHERENT = "incoherent"
    SIZE = "size"
    NAME = "name"
    ALLOCATION = "allocation"
    RECOVERY = "recovery"
    FSCK = "fsck"
    KERNEL = "kernel"
    ERRNO = "errno"
    SIGNAL = "signal"
    DEVICE = "device"


LOSSES = frozenset({Kind.STALE, Kind.ZERO, Kind.TORN, Kind.UNFLUSHED, Kind.SIZE, Kind.NAME})
"""The kinds that a cut is expected to cause when nothing protects from it. The other kinds are wrong even then."""
LIVE = "live"
"""The name, in place of an image's, of what was read, or said by the kernel, while the power was on."""
COVERAGE = "flush coverage"
"""The name, in place of an image's, of what the tracing alone has shown."""
FILE_SYSTEMS = ("ext2_", "ext4_", "xfs_", "fuse_", "virtio_fs_", "erofs_")
"""The prefixes of the functions of the file systems that can do DAX (those that select FS_DAX in fs/*/Kconfig)."""
_INSIDE = re.compile(r"inside op ([0-9]{1,9}) at record ([0-9]{1,9})")
"""The beginning of the name of an image of a moment inside an op (media.image)."""
_ENTRY = re.compile(
    r"__(x64|ia32|se|do)_(compat_)?sys_|ksys_|x64_sys_call|do_syscall_|entry_|asm_|exc_|ret_from_fork|kthread$"
)
"""The functions that only enter the kernel; they are the same in all stacks."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """`function` took dirty entries out of the page tree in op `op`, though nobody had flushed them.

    There were `entries` of them, within bytes [start, end) of the file. `stack` are the callers, the nearest first,
    without those that only enter the kernel (see trimmed).
    """

    op: int
    function: str
    stack: tuple[str, ...]
    start: int
    end: int
    entries: int

    @property
    def caller(self) -> tuple[str, ...]:
        """The callers of `function`, in one or two names: the function of a file system that is nearest to it, and the
        one that called into the file system; without any of a file system the outermost caller."""
        own = self.in_file_system
        told = (self.stack[own[0]], *self.stack[own[-1] + 1 : own[-1] + 2]) if own else self.stack[-1:]
        return told or (self.function,)

    @property
    def in_file_system(self) -> tuple[int, ...]:
        """The indices of the callers that are functions of a file system."""
        return tuple(i for i, frame in enumerate(self.stack) if frame.lstrip("_").startswith(FILE_SYSTEMS))


def trimmed(stack: Sequence[str]) -> tuple[str, ...]:
    """The callers without those outermost ones that only enter the kernel."""
    frames = list(stack)
    while frames and _ENTRY.match(frames[-1]):
        frames.pop()
    return tuple(frames)


@dataclass(frozen=True, slots=True)
class Violation:
    """An observation outside the oracle: `bytes` wrong bytes in `ranges` of `path`, in `image`.

    `op` is the index of the op whose promise is broken, and `verb` its verb (9 and "msync"); None and empty when none
    was given. `culprit` says what forgot the bytes; None when that is not known (see culprit.name). `moment` says what
    was done when the kernel complained, or gave a wrong answer to a read of daxcheck's own; its op is then `op`.
    `fence` is where the kernel was when the power was cut inside an op, "jbd2_journal_commit_transaction+0x5e": the
    instruction that completed the last flushes, and who called it, with " <- " between; empty for any other cut, and
    where it is not known.
    """

    kind: Kind
    path: str
    op: int | None
    verb: str
    image: str
    ranges: tuple[tuple[int, int], ...]
    bytes: int
    expected: Value
    found: Value
    culprit: Culprit | None = None
    moment: Moment | None = None
    fence: str = ""

    @property
    def inside(self) -> int | None:
        """The index of the op in which the power was cut; None for a cut after an op, and for the Program's own."""
        found = _INSIDE.match(self.image)
        return int(found[1]) if found else None

    @property
    def record(self) -> int | None:
        """The number of records of the persist log that were durable then; None where `inside` is."""
        found = _INSIDE.match(self.image)
        return int(found[2]) if found else None

    @property
    def lost(self) -> bool:
        """True if a cut took something: bytes that read wrong with the power on are wrong, but not lost."""
        return self.kind in LOSSES and self.image != LIVE

    @property
    def promised_at(self) -> int:
        """The index of the op whose promise is broken, for the order of promises; -1 for none."""
        return -1 if self.op is None else self.op
