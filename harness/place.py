"""Writes directories and files, also as root in a directory of another user, without being led elsewhere by links.

A user who may write in a directory may put a symbolic or a hard link there, and so have root write to a file that the
user may not write. So as root no link of another user is followed, and none at all where a file is written.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError

LINKS = 40
"""Symbolic links on the way of one path (path_resolution(7))."""
_WALK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of the directory `path`, which is made if missing. Raises as `directory` does."""
    fd = directory(path)
    try:
        yield fd
    finally:
        os.close(fd)


def directory(path: Path) -> int:
    """Open a directory, made with its parents if missing; the caller closes it.

    Raises UsageError where, for root, a symbolic link of another user lies on the way, OSError.
    """
    at, rest, links = os.open("/", _WALK), list(reversed(path.absolute().parts[1:])), 0
    try:
        while rest:
            name = rest.pop()
            following = _step(at, name)
            status = os.fstat(following)
            if not stat.S_ISLNK(status.st_mode):
                os.close(at)
                at = following
                continue
            target = os.readlink("", dir_fd=following)
            os.close(following)
            if os.geteuid() == 0 and status.st_uid != 0:
                raise UsageError(f"{path}: {name} is a symbolic link of user {status.st_uid}: name another directory")
            if (links := links + 1) > LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            if target.startswith("/"):
                os.close(at)
                at = os.open("/", _WALK)
            rest += reversed(Path(target).parts[target.startswith("/") :])
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _step(at: int, name: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        return os.open(name, _WALK, dir_fd=at)
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=at)
    return os.open(name, _WALK, dir_fd=at)


def create(folder: int, name: str, flags: int = os.O_WRONLY) -> int:
    """Open the file `name` of the open directory for writing, made if missing, as it is; the caller closes it.

    Raises UsageError when it is a link, no regular file, or, for root, one of a user who does not own the directory.
    """
    try:
        fd = os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UsageError(f"{_named(folder, name)}: is a symbolic link: remove it, or name another directory") from error
    status = os.fstat(fd)
    owners = {0, os.fstat(folder).st_uid}
    what = ""
    if not stat.S_ISREG(status.st_mode):
        what = "is no regular file"
    elif os.geteuid() == 0 and (status.st_uid not in owners or status.st_nlink > 1):
        what = f"is a file of user {status.st_uid} with {status.st_nlink} names, and may be another's"
    if what:
        os.close(fd)
        raise UsageError(f"{_named(folder, name)}: {what}: remove it, or name another directory")
    return fd


def write(folder: int, name: str, data: bytes) -> None:
    """Have the file `name` of the open directory hold `data`. Raises as `create` does, OSError."""
    fd = create(folder, name)
    try:
        os.ftruncate(fd, 0)
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(data)
    finally:
        os.close(fd)


def replace(folder: int, name: str, data: bytes) -> None:
    """Have the file `name` of the open directory hold `data`: a reader finds the old contents, or the new ones whole.

    A file that is there is replaced, whatever it is: the caller looks first. Raises OSError, and then nothing changed.
    """
    made = f".daxcheck-{secrets.token_hex(8)}"
    fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    with os.fdopen(fd, "wb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.rename(made, name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(made, dir_fd=folder)


def shared(path: Path) -> str:
    """Return why other users could replace `path`, a directory that exists or is to be made; empty when nobody can.

    For root all directories above it count too, for another user only itself: those above it may be the group's.
    """
    me = os.geteuid()
    for one in (path, *path.parents) if me == 0 else (path,):
        try:
            status = one.stat()
        except FileNotFoundError:
            continue
        if status.st_uid not in (0, me) or (one == path and status.st_uid != me):
            return f"{one} belongs to user {status.st_uid}"
        others = status.st_mode & (stat.S_IWOTH | (stat.S_IWGRP if status.st_gid or me else 0))
        if others and (one == path or not status.st_mode & stat.S_ISVTX):
            return f"others may write in {one}"
    return ""


def _named(folder: int, name: str) -> Path:
    return Path(f"/proc/self/fd/{folder}").readlink() / name
