"""The contract of ops that promise durability, and of those on the file system as a whole."""

from dataclasses import replace
from typing import assert_never

from harness.model.contract.filestate import FileState, page_ceil
from harness.model.contract.rules import names
from harness.model.contract.state import State, Step
from harness.model.program.ops import (
    Fdatasync,
    Freeze,
    Fsync,
    Fsyncdir,
    Going,
    Msync,
    MsyncFlag,
    Sharing,
    Shutdown,
    Sync,
    SyncFileRange,
    Syncfs,
    Umount,
)


def apply(
    state: State,
    step: Step,
    op: Msync | Fsync | Fdatasync | Fsyncdir | SyncFileRange | Syncfs | Sync | Freeze | Umount | Shutdown,
) -> State:
    """The state after the op. It promises nothing of a name that stands for no file or mapping."""
    index = step.index
    match op:
        case Msync():
            return _msynced(state, step, op)
        case Fsync(fd) | Fdatasync(fd):
            id = state.fds.get(fd)
            if id is None:
                return state
            # fsync(2): all modified data, and metadata. fdatasync(2): metadata needed to retrieve the data, such as
            # st_size; whether zeroes have blocks is not needed for that.
            file = state.files[id].promised(index)
            return _kept_current(state, file.blocks_promised(index) if isinstance(op, Fsync) else file)
        case Fsyncdir(path):
            # fsync(2): a file's own fsync need not make its directory entry durable; fsync of the directory does.
            return names.promised_in(state, path, index)
        case SyncFileRange():
            # sync_file_range(2), Warning: "there are no guarantees that the data will be available after a crash".
            return state
        case Umount() if state.shut:
            return replace(state, shut=False)  # there is nothing left that it could write
        case Syncfs() | Sync() | Freeze() | Umount():
            return everything(state, index)
        case Shutdown():
            return _shut_down(state, step, op.going)
        case _:
            assert_never(op)


def everything(state: State, index: int, blocks: bool = True) -> State:
    """Make all data and metadata durable, names included; `blocks`: also which of the zeroes have blocks.

    sync(2): on Linux it waits until all is written (VERSIONS), and syncfs(2) likewise for one file system. fsfreeze(8):
    "all dirty data, metadata, and log information are written to the underlying device". umount(8): the file system is
    detached, after which nothing is left that could be written.
    """

    def promised(file: FileState) -> FileState:
        return file.promised(index).blocks_promised(index) if blocks else file.promised(index)

    return names.promised(state.with_files(promised), index)


def _shut_down(state: State, step: Step, going: Going) -> State:
    """ioctl_xfs_goingdown(2). DEFAULT: "Flush all dirty data and metadata to disk, flush pending transactions to disk,
    and shut down the filesystem". LOGFLUSH: "Flush all pending metadata transactions to the log before shutting down,
    leaving all dirty data unwritten". NOLOGFLUSH: "Shut down immediately, without writing pending transactions or dirty
    data to disk". EXT4_IOC_SHUTDOWN takes the same flags (fs/ext4/ext4.h: "flush log but not data", and so on).

    All else is as after a cut, and found by the mount that follows. An unlinked file that nobody has open is gone.
    """
    match going:
        case Going.DEFAULT:
            state = everything(state, step.index)
        case Going.LOGFLUSH:
            # Without a journal there is no log to flush.
            state = names.promised(state, step.index) if step.journal else state
        case Going.NOLOGFLUSH:
            pass
    return replace(state.with_files(FileState.crashed), kept={}, exchanges=(), shut=True)


def _msynced(state: State, step: Step, op: Msync) -> State:
    """msync(2) MS_SYNC "waits for it to complete"; MS_INVALIDATE adds nothing to that, MS_ASYNC only schedules.

    POSIX msync(): "those whole pages containing any part of the address space" given. Private copies are no part of
    the file, so that nothing is promised of them, or of the file below them.
    """
    mapping = state.maps.get(op.map)
    if mapping is None or mapping.sharing is Sharing.PRIVATE or op.flag is MsyncFlag.ASYNC:
        return state
    start = mapping.offset + op.offset
    end = page_ceil(start + op.length)
    return _kept_current(state, state.files[mapping.file].promised_range(start, end, step.index))


def _kept_current(state: State, file: FileState) -> State:
    """Replace a file; only what the media may hold of it changed."""
    return state.with_files(lambda old: file if old.id == file.id else old)
