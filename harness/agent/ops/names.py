"""The ops on names: of files, directories and symbolic links."""

import os
from dataclasses import replace
from typing import assert_never

from harness.agent.handles import Handles, OpenFile
from harness.linux import syscalls
from harness.model.program import ops
from harness.model.program.ops import NameOp, Opening, Replacing
from harness.model.program.paths import renamed

OPENING = {Opening.PLAIN: 0, Opening.APPEND: os.O_APPEND, Opening.TRUNCATE: os.O_TRUNC}
REPLACING = {Replacing.NOREPLACE: syscalls.RENAME_NOREPLACE, Replacing.EXCHANGE: syscalls.RENAME_EXCHANGE}
_NEW_FILE, _NEW_DIRECTORY = 0o644, 0o755


def do(handles: Handles, index: int, op: NameOp) -> None:
    """Do the op. Raises OSError."""
    match op:
        case ops.Create(fd, path):
            handles.files[fd] = _open(handles, path, os.O_CREAT | os.O_EXCL, handles.ids[index])
            handles.names[path] = handles.ids[index]
        case ops.Open():
            _reopen(handles, index, op)
        case ops.Close(fd):
            os.close(handles.file(fd).fd)
            del handles.files[fd]
        case ops.Rename():
            _rename(handles, op)
        case ops.Link(path, to):
            os.link(handles.path(path), handles.path(to))
            handles.names[to] = handles.names.get(path, 0)
        case ops.Unlink(path):
            os.unlink(handles.path(path))
            handles.names.pop(path, None)
        case ops.Mkdir(path):
            os.mkdir(handles.path(path), _NEW_DIRECTORY)
        case ops.SymbolicLink(path, target):
            os.symlink(target, handles.path(path))
        case ops.Tmpfile(fd):
            handles.files[fd] = _open(handles, "", os.O_TMPFILE, handles.ids[index])
        case ops.LinkFd(fd, to):
            file = handles.file(fd)
            # Only where it is given a descriptor, which an absolute path does not use, os.link calls linkat(2).
            os.link(f"/proc/self/fd/{file.fd}", handles.path(to), dst_dir_fd=file.fd, follow_symlinks=True)
            handles.names[to] = file.id
        case ops.Rmdir(path):
            os.rmdir(handles.path(path))
        case _:
            assert_never(op)


def _open(handles: Handles, path: str, flags: int, id: int) -> OpenFile:
    return OpenFile(os.open(handles.path(path), os.O_RDWR | os.O_CLOEXEC | flags, _NEW_FILE), id)


def _reopen(handles: Handles, index: int, op: ops.Open) -> None:
    file = _open(handles, op.path, OPENING[op.flag], handles.names.get(op.path, 0))
    handles.files[op.fd] = replace(file, appends=op.flag is Opening.APPEND)
    if op.flag is Opening.TRUNCATE:
        handles.unmaps(index, file)


def _rename(handles: Handles, op: ops.Rename) -> None:
    old, new = handles.path(op.path), handles.path(op.to)
    if op.flag in REPLACING:
        syscalls.renameat2(old, new, REPLACING[op.flag])
    else:
        os.rename(old, new)
    handles.names = renamed(handles.names, op)
