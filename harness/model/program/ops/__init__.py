"""The operations a Program is made of: plain data, one frozen dataclass each, in a module per kind.

`fd` and `map` are names the Program gives to an open file and to a mapping; `path` is relative to the root of the
mounted file system, such as data or dir/data. Offsets and lengths are bytes: those of ops that name only a mapping
count from its start, all others from the start of the file.
"""

from harness.model.program.ops.checks import (
    CutPower,
    Entry,
    ExpectDax,
    ExpectErrno,
    ExpectMapped,
    ExpectShort,
    ExpectSignal,
    Observe,
    Plant,
    Planted,
    Signal,
)
from harness.model.program.ops.copies import (
    Clone,
    CloneFile,
    CopyFileRange,
    Dedupe,
    DirectLoad,
    DirectStore,
    ExchangeRange,
    ReadInto,
    Sendfile,
    Splice,
    Swapext,
    WriteFrom,
)
from harness.model.program.ops.files import (
    Close,
    Create,
    Fallocate,
    Ftruncate,
    How,
    Link,
    LinkFd,
    Mkdir,
    Mode,
    Open,
    Opening,
    Pread,
    Pwrite,
    Rename,
    Replacing,
    Rmdir,
    SetDax,
    Switch,
    SymbolicLink,
    Tmpfile,
    Unlink,
)
from harness.model.program.ops.lanes import Barrier, Join, Lane, Worker
from harness.model.program.ops.mappings import (
    Access,
    Advice,
    Flush,
    Load,
    Madvise,
    Mlock,
    Mmap,
    MmapOver,
    Mprotect,
    Mremap,
    Mresize,
    Munmap,
    Sharing,
    Store,
)
from harness.model.program.ops.syncs import (
    Fdatasync,
    Fsync,
    Fsyncdir,
    Msync,
    MsyncFlag,
    Sync,
    SyncFileRange,
    Syncfs,
    Wait,
)
from harness.model.program.ops.system import (
    DropCaches,
    Fill,
    Freeze,
    Going,
    Mount,
    Remount,
    Shutdown,
    Thaw,
    Umount,
    Unfill,
)

NameOp = Create | Open | Close | Rename | Link | Unlink | Mkdir | Rmdir | SymbolicLink | Tmpfile | LinkFd
FileOp = NameOp | Fallocate | Ftruncate | Pwrite | Pread | SetDax
CopyOp = (
    CloneFile | Clone | Dedupe | CopyFileRange | Splice | Sendfile | ExchangeRange | Swapext
    | ReadInto | WriteFrom | DirectStore | DirectLoad
)  # fmt: skip
MappingOp = (
    Mmap | MmapOver | Munmap | Mremap | Mresize | Mprotect | Mlock | Madvise | Store | Load | Flush
)  # fmt: skip
SyncOp = Msync | Fsync | Fdatasync | Fsyncdir | SyncFileRange | Syncfs | Sync
SystemOp = Freeze | Thaw | Remount | Shutdown | Umount | Mount | DropCaches | Fill | Unfill
LaneOp = Lane | Barrier | Join
CheckOp = ExpectMapped | ExpectDax | ExpectErrno | ExpectShort | ExpectSignal | Observe | Planted | CutPower
CountedOp = (
    Pwrite | Pread | CopyFileRange | Splice | Sendfile | Dedupe | ReadInto | WriteFrom | DirectStore | DirectLoad
)  # fmt: skip
"""Ops whose system calls say how many bytes, from the first on, they have done."""
Op = FileOp | CopyOp | MappingOp | SyncOp | SystemOp | LaneOp | CheckOp

__all__ = [
    "Access", "Advice", "Barrier", "CheckOp", "Clone", "CloneFile", "Close", "CopyFileRange", "CopyOp", "CountedOp",
    "Create", "CutPower", "Dedupe", "DirectLoad", "DirectStore", "DropCaches", "Entry", "ExchangeRange", "ExpectDax",
    "ExpectErrno", "ExpectMapped", "ExpectShort", "ExpectSignal", "Fallocate", "Fdatasync", "FileOp", "Fill", "Flush",
    "Freeze", "Fsync", "Fsyncdir", "Ftruncate", "Going", "How", "Join", "Lane", "LaneOp", "Link", "LinkFd", "Load",
    "Madvise", "MappingOp", "Mkdir", "Mlock", "Mmap", "MmapOver", "Mode", "Mount", "Mprotect", "Mremap", "Mresize",
    "Msync", "MsyncFlag", "Munmap", "NameOp", "Observe", "Op", "Open", "Opening", "Plant", "Planted", "Pread", "Pwrite",
    "ReadInto", "Remount", "Rename", "Replacing", "Rmdir", "Sendfile", "SetDax", "Sharing", "Shutdown", "Signal",
    "Splice", "Store", "Swapext", "Switch", "SymbolicLink", "Sync", "SyncFileRange", "SyncOp", "Syncfs", "SystemOp",
    "Thaw", "Tmpfile", "Umount", "Unfill", "Unlink", "Wait", "Worker", "WriteFrom",
]  # fmt: skip
