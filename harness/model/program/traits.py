"""One table of facts per op: what it promises, moves, drops, needs, and may be refused with.

A fact that holds for a kind of op on every file system and kernel stands here once; a module that must know it asks
`traits(op)`. The effect of an op on contents is no fact of this table: those rules are harness.model.contract.rules.

    fallocate f punch_hole 0 4K    frees blocks, unmaps the file's pages, may be done in part
    fallocate f keep_size 0 4K     takes no block from where it is
    pwrite f 0 4K how=dsync        promises its range; by an errno nobody knows what it did
    pwrite f 0 4K                  promises nothing; by an errno it did nothing beyond what it has counted
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.model.program import ops
from harness.model.program.ops import Advice, Going, How, Mode, MsyncFlag, Op, Opening


class Promise(StrEnum):
    """The things that an op has made durable when it has returned success, by the document of its call."""

    NOTHING = ""
    RANGE = "range"  # the bytes that it names, and the metadata to find them
    DATA = "data"  # the whole file's, and the metadata to find them
    FILE = "file"  # the whole file's, and all its metadata
    NAMES = "names"  # those in the directory
    ALL = "all"  # the whole file system
    LANES = "lanes"  # what the ops of the lanes that it joins have promised


class Failure(StrEnum):
    """The work that a system call has done by the time it answers an errno."""

    NOTHING = "nothing"
    COUNTED = "counted"  # nothing, if the calls before it have told the count of all that was done
    ANYTHING = "anything"  # all, a part or nothing


class Unmaps(StrEnum):
    """The page-table entries that an op may take away; shared zero pages do not count (see agent.levels)."""

    NOTHING = ""
    EDGES = "edges"  # an entry that lies across either end of the op's range
    RANGE = "range"  # those of the op's range of its mapping
    FILE = "file"  # those of every mapping of its files


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The facts about one kind of op, or one mode of it."""

    needs_open: tuple[str, ...] = ()
    """Fields that name descriptors, which must be open."""
    needs_mapped: str = ""
    """The field that names a mapping, which must be there."""
    defines: str = ""
    """The field that names a descriptor or mapping that is there only after the op."""
    page_aligned: bool = False
    """Its `offset` must be a multiple of the page size: else the call is an error of the Program, no matter of kernels.
    """
    promises: Promise = Promise.NOTHING
    writes_back: bool = False
    """It may flush what is dirty, though its document promises nothing of it."""
    quiets: bool = False
    """The log of the file system may be clean after it."""
    stamps: bool = False
    """It writes a stamp of its own, which has a number."""
    stores: bool = False
    """It stores through a mapping."""
    accesses: str = ""
    """It touches the memory of a mapping from the offset in this field on, by the CPU or by the kernel: that ends in a
    signal or EFAULT where it must not be touched."""
    bars: bool = False
    """An access through a mapping may rightly end in a signal after it: mprotect(2), or no space for a block."""
    looks: bool = False
    """It returns contents, which are judged."""
    copies: bool = False
    """It reads what is stored anew at its destination: through a mapping, into one, or through a pipe."""
    moves: bool = False
    """It gives contents another place, in the file or in another one, without storing them."""
    shares: bool = False
    """Blocks may be shared, exchanged, or no longer shared, after it."""
    frees: bool = False
    """It can take blocks from where they are, in a file that shares none."""
    past_end: bool = False
    """Its range may end past the end of its file."""
    whole_blocks: bool = False
    """A kernel takes its ranges in whole blocks only."""
    unmaps: Unmaps = Unmaps.NOTHING
    poisons: bool = False
    """It poisons memory."""
    ramdisk: bool = False
    """It needs another disk, a RAM disk."""
    refusable: bool = True
    """It is a system call, or several, so that a kernel can refuse it."""
    on_errno: Failure = Failure.NOTHING
    may_signal: bool = False
    """It can run in a forked process and is to end in a signal there (expect_signal)."""
    in_lanes: bool = False
    """It may stand in a lane."""
    while_frozen: bool = False
    """It does not wait for a thaw."""
    while_shut: bool = False
    """It works when the file system is shut down."""
    while_unmounted: bool = False
    """It needs no mounted file system."""


@dataclass(frozen=True, slots=True)
class ByForm:
    """Facts that depend on one field of the op, such as the mode of a fallocate."""

    field: str
    forms: Mapping[str, Traits]


_FD = Traits(needs_open=("fd",))
_MAP = Traits(needs_mapped="map")
_LOOK = Traits(refusable=False, while_frozen=True)
_EXPECT = replace(_LOOK, while_shut=True)
_LANE = Traits(refusable=False)

# fallocate(2) and ftruncate(2) do not say that a call which fails has done nothing.
_ALLOCATE = replace(_FD, unmaps=Unmaps.FILE, on_errno=Failure.ANYTHING, in_lanes=True)
# In a lane they would move what other lanes store: nobody could say what must be there.
_SHIFT = replace(_ALLOCATE, moves=True, frees=True, whole_blocks=True, in_lanes=False)
_ADVISE = replace(
    _MAP, page_aligned=True, accesses="offset", on_errno=Failure.ANYTHING, may_signal=True, in_lanes=True
)  # fmt: skip
_STORE = replace(_MAP, stores=True, accesses="offset")
_MSYNC = replace(_MAP, page_aligned=True, writes_back=True, in_lanes=True)
_FSYNC = replace(_FD, in_lanes=True)
# read(2) leaves open what the buffer holds after an errno.
_READ_INTO = replace(_STORE, needs_open=("fd",), copies=True, on_errno=Failure.ANYTHING)
# POSIX write(): the room there is gets written and counted; it is the next write that fails.
_WRITE = replace(_FD, past_end=True, unmaps=Unmaps.FILE, on_errno=Failure.COUNTED)
_REMAP = Traits(needs_open=("fd", "source"), shares=True, unmaps=Unmaps.FILE, on_errno=Failure.ANYTHING)
# What a pipe has taken and the file has not is in no count.
_SPLICE = replace(_WRITE, needs_open=("fd", "source"), copies=True, on_errno=Failure.ANYTHING)
_EXCHANGE = replace(_REMAP, needs_open=("fd", "other"), moves=True)


def _by_how(plain: Traits) -> ByForm:
    """A write(2): open(2) lets O_SYNC and O_DSYNC promise its range; such a write may have been done and not synced,
    and after an errno of one with O_DIRECT "partial data may be written" (write(2), NOTES)."""
    direct = replace(plain, on_errno=Failure.ANYTHING)
    synced = replace(direct, promises=Promise.RANGE)
    # RWF_NOWAIT: EAGAIN says that nothing was written but what the calls before it have counted (pwritev2(2)).
    return ByForm("how", {
        How.PLAIN: plain, How.DIRECT: direct, How.DSYNC: synced, How.SYNC: synced, How.NOWAIT: plain,
        How.APPEND: replace(plain, in_lanes=False),  # in a lane nobody could say where it goes
        How.ATOMIC: plain,  # all or nothing
    })  # fmt: skip


TABLE: Mapping[type[Op], Traits | ByForm] = {
    ops.Create: Traits(defines="fd"),
    ops.Open: ByForm("flag", {
        Opening.PLAIN: Traits(defines="fd", in_lanes=True),
        Opening.APPEND: Traits(defines="fd"),
        Opening.TRUNCATE: Traits(defines="fd", frees=True, unmaps=Unmaps.FILE, on_errno=Failure.ANYTHING),
    }),
    ops.Close: replace(_FD, in_lanes=True, while_shut=True),
    ops.Rename: Traits(),
    ops.Link: Traits(),
    ops.Unlink: Traits(),
    ops.Mkdir: Traits(),
    ops.Rmdir: Traits(),
    ops.SymbolicLink: Traits(),
    ops.Tmpfile: Traits(defines="fd"),
    ops.LinkFd: _FD,
    ops.Fallocate: ByForm("mode", {
        Mode.ALLOCATE: replace(_ALLOCATE, past_end=True),
        Mode.KEEP_SIZE: replace(_ALLOCATE, past_end=True),
        Mode.PUNCH_HOLE: replace(_ALLOCATE, frees=True),
        Mode.ZERO_RANGE: replace(_ALLOCATE, frees=True, past_end=True),
        Mode.ZERO_RANGE_KEEP_SIZE: replace(_ALLOCATE, frees=True),
        Mode.COLLAPSE_RANGE: _SHIFT,
        Mode.INSERT_RANGE: _SHIFT,
        Mode.WRITE_ZEROES: replace(_ALLOCATE, frees=True, past_end=True),
        Mode.UNSHARE_RANGE: replace(_ALLOCATE, frees=True, shares=True),
    }),
    ops.Ftruncate: replace(_ALLOCATE, frees=True, past_end=True),
    ops.Pwrite: _by_how(replace(_WRITE, stamps=True, in_lanes=True)),
    ops.Pread: replace(_FD, looks=True, in_lanes=True, while_frozen=True),
    ops.SetDax: _FD,

    ops.CloneFile: replace(_REMAP, moves=True, past_end=True),
    ops.Clone: replace(_REMAP, moves=True, past_end=True, whole_blocks=True),
    ops.Dedupe: replace(_REMAP, whole_blocks=True),
    ops.CopyFileRange: replace(_REMAP, moves=True, past_end=True),  # it may share blocks instead of copying
    ops.Splice: _SPLICE,
    ops.Sendfile: _SPLICE,
    ops.ExchangeRange: replace(_EXCHANGE, whole_blocks=True),
    ops.Swapext: _EXCHANGE,
    ops.ReadInto: _READ_INTO,
    ops.WriteFrom: _by_how(replace(_WRITE, needs_mapped="map", accesses="source_offset", copies=True)),
    ops.DirectStore: replace(_STORE, stamps=True, ramdisk=True, on_errno=Failure.ANYTHING, in_lanes=True),
    ops.DirectLoad: replace(_MAP, accesses="offset", looks=True, ramdisk=True, in_lanes=True),

    ops.Mmap: replace(_FD, defines="map", page_aligned=True, past_end=True, unmaps=Unmaps.RANGE, in_lanes=True),
    ops.Munmap: replace(_MAP, unmaps=Unmaps.RANGE, in_lanes=True, while_shut=True),
    ops.Mremap: replace(_MAP, defines="new", page_aligned=True, unmaps=Unmaps.RANGE),
    ops.Mresize: replace(_MAP, unmaps=Unmaps.RANGE),
    ops.MmapOver: replace(_MAP, needs_open=("fd",), defines="new", page_aligned=True, unmaps=Unmaps.RANGE),
    ops.Mprotect: replace(_MAP, page_aligned=True, bars=True, unmaps=Unmaps.EDGES, in_lanes=True),
    ops.Mlock: _MAP,
    ops.Madvise: ByForm("advice", {
        Advice.DONTNEED: replace(_ADVISE, unmaps=Unmaps.RANGE),
        # A flag of the VMA, which is split for it, and with it a huge entry (vma_adjust_trans_huge).
        Advice.HUGEPAGE: replace(_ADVISE, unmaps=Unmaps.EDGES),
        Advice.NOHUGEPAGE: replace(_ADVISE, unmaps=Unmaps.EDGES),
        Advice.POPULATE_READ: _ADVISE,
        Advice.POPULATE_WRITE: _ADVISE,
        Advice.REMOVE: replace(_ADVISE, frees=True, unmaps=Unmaps.FILE),
        Advice.HWPOISON: replace(_ADVISE, frees=True, unmaps=Unmaps.FILE, poisons=True),
        # Of a DAX page the kernel refuses it (mm/memory-failure.c, soft_offline_page: ZONE_DEVICE is not online).
        Advice.SOFT_OFFLINE: replace(_ADVISE, poisons=True),
        # An advice for a part of a huge entry may split it (mm/madvise.c, madvise_cold_or_pageout_pte_range).
        Advice.COLD: replace(_ADVISE, unmaps=Unmaps.RANGE),
        Advice.PAGEOUT: replace(_ADVISE, unmaps=Unmaps.RANGE),
        Advice.FREE: _ADVISE,
        Advice.COLLAPSE: replace(_ADVISE, unmaps=Unmaps.RANGE),
    }),
    ops.Store: replace(_STORE, stamps=True, may_signal=True, in_lanes=True),
    ops.Load: replace(_MAP, accesses="offset", looks=True, may_signal=True, in_lanes=True, while_frozen=True),
    # What it flushes is durable by itself on a MAP_SYNC mapping only (mmap(2)).
    ops.Flush: replace(_MAP, accesses="offset", promises=Promise.RANGE, refusable=False, in_lanes=True),

    ops.Msync: ByForm("flag", {
        MsyncFlag.SYNC: replace(_MSYNC, promises=Promise.RANGE),
        MsyncFlag.ASYNC: _MSYNC,
        MsyncFlag.INVALIDATE: replace(_MSYNC, promises=Promise.RANGE),
    }),
    ops.Fsync: replace(_FSYNC, promises=Promise.FILE),
    ops.Fdatasync: replace(_FSYNC, promises=Promise.DATA),
    ops.Fsyncdir: Traits(promises=Promise.NAMES),
    ops.SyncFileRange: replace(_FD, writes_back=True, in_lanes=True),  # its man page, Warning: it guarantees nothing
    ops.Syncfs: Traits(promises=Promise.ALL, in_lanes=True),
    ops.Sync: Traits(promises=Promise.ALL, in_lanes=True, while_unmounted=True),

    ops.Freeze: Traits(promises=Promise.ALL, quiets=True),
    ops.Thaw: Traits(while_frozen=True),
    ops.Remount: Traits(writes_back=True, quiets=True),  # to read-only; mount(2) promises nothing of it
    # ioctl_xfs_goingdown(2): what is flushed before it goes down; EXT4_GOING_FLAGS_ of ext4.h are the same.
    ops.Shutdown: ByForm("going", {
        Going.DEFAULT: Traits(promises=Promise.ALL, quiets=True),
        Going.LOGFLUSH: Traits(promises=Promise.NAMES, quiets=True),
        Going.NOLOGFLUSH: Traits(quiets=True),
    }),
    ops.Umount: Traits(promises=Promise.ALL, quiets=True, while_shut=True),
    ops.Mount: Traits(while_unmounted=True),
    ops.DropCaches: Traits(in_lanes=True, while_unmounted=True),
    ops.Fill: Traits(bars=True),
    ops.Unfill: Traits(),

    ops.Lane: _LANE,
    ops.Barrier: replace(_LANE, in_lanes=True),
    ops.Join: replace(_LANE, promises=Promise.LANES),

    ops.ExpectMapped: replace(_LOOK, needs_mapped="map"),
    ops.ExpectDax: replace(_LOOK, needs_open=("fd",)),
    ops.ExpectErrno: _EXPECT,
    ops.ExpectShort: _LOOK,
    ops.ExpectSignal: _EXPECT,
    ops.Observe: replace(_LOOK, looks=True),
    ops.Planted: _LOOK,
    ops.CutPower: _LOOK,
}  # fmt: skip
"""The facts about every kind of op (tested to be total)."""


def traits(op: Op) -> Traits:
    """The facts about this op."""
    row = TABLE[type(op)]
    return row if isinstance(row, Traits) else row.forms[getattr(op, row.field)]


def descriptors(op: Op) -> tuple[str, ...]:
    """The descriptors that the op needs to be open."""
    return tuple(getattr(op, field) for field in traits(op).needs_open)


def mapping(op: Op) -> str:
    """The mapping that the op needs to be there; empty if it needs none."""
    return _field(op, traits(op).needs_mapped)


def defined(op: Op) -> str:
    """The descriptor or mapping that the op defines; empty if it defines none."""
    return _field(op, traits(op).defines)


def _field(op: Op, field: str) -> str:
    return getattr(op, field) if field else ""


def touched(op: Op) -> tuple[str, int, int] | None:
    """Return the memory that the op accesses: a mapping, an offset in it, a length; None if it accesses none."""
    field = traits(op).accesses
    return (mapping(op), getattr(op, field), getattr(op, "length", 0)) if field else None
