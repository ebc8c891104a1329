"""Acts on the mounted file system as a whole: unmounts it and mounts it again, freezes it, fills it."""

import errno
import os
from dataclasses import dataclass

from harness.linux import ioctls, syscalls
from harness.model.units import PAGE

FILLER = ".filler"
"""The file that Fill leaves in the root directory. It is no Program's: their names cannot begin with a dot."""
DROP_CACHES = "/proc/sys/vm/drop_caches"
_PIECES = (256 << 20, 32 << 20, 4 << 20, 512 << 10, 64 << 10, PAGE)
_HIDDEN = "/run/daxcheck"
"""A directory that only daxcheck has files in: nobody's checkout, virtual environment or disk lies there."""
_FLAGS = {"ro": syscalls.MS_RDONLY, "rw": 0}
"""Options that mount(2) takes as flags; every other goes to the file system."""


@dataclass(frozen=True, slots=True)
class Place:
    """The mount point of the file system under test, and the arguments that mount(2) was given.

    Without a source it is a directory of a file system that is not ours: methods that would act on that as a whole
    refuse with EINVAL. Methods raise OSError.
    """

    root: str
    source: str = ""
    fs: str = ""
    options: str = ""

    @property
    def mounted(self) -> bool:
        return os.path.ismount(self.root) if self.source else True

    def mount(self) -> None:
        """Mount as the first time."""
        self._check()
        syscalls.mount(self.source, self.root, self.fs, self.options)

    def umount(self) -> None:
        """Unmount; EBUSY while anything is open or mapped."""
        self._check()
        syscalls.umount(self.root)

    def remount(self, options: str) -> None:
        """mount(2) with MS_REMOUNT and these options, of which ro and rw become flags."""
        self._check()
        words = options.split(",")
        flags = syscalls.MS_REMOUNT
        for word in words:
            flags |= _FLAGS.get(word, 0)
        rest = ",".join(word for word in words if word not in _FLAGS)
        syscalls.mount(self.source, self.root, self.fs, rest, flags)

    def freeze(self) -> None:
        """FIFREEZE."""
        self._check()
        with OpenDirectory(self.root) as fd:
            ioctls.freeze(fd)

    def thaw(self) -> None:
        """FITHAW; EINVAL when it is not frozen."""
        self._check()
        with OpenDirectory(self.root) as fd:
            ioctls.thaw(fd)

    def shut_down(self, flag: int) -> None:
        """EXT4_IOC_SHUTDOWN, or XFS_IOC_GOINGDOWN."""
        self._check()
        with OpenDirectory(self.root) as fd:
            ioctls.shut_down(fd, flag)

    def read_only(self) -> bool:
        """Say whether nothing can be written to it now."""
        return bool(os.statvfs(self.root).f_flag & os.ST_RDONLY)

    def drop_caches(self) -> None:
        """Write 3 to drop_caches: the clean page cache, and dentries and inodes that nobody uses, go."""
        self._check()
        with open(DROP_CACHES, "w") as file:
            file.write("3")

    def fill(self, spare: int) -> None:
        """Allocate all blocks to the filler, large pieces first, small ones for the rest, then let go of `spare` bytes.

        statfs(2) would not tell how much there is: file systems keep reserves, and root may use some of them. Nothing
        is synced, so that what is not durable yet stays so. Raises OSError other than ENOSPC.
        """
        self._check()
        fd = os.open(os.path.join(self.root, FILLER), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = os.fstat(fd).st_size
            for piece in _PIECES:
                end = _grow(fd, end, piece)
            if spare:
                os.ftruncate(fd, max(0, end - spare))
        finally:
            os.close(fd)

    def unfill(self) -> None:
        """Remove the filler."""
        self._check()
        os.unlink(os.path.join(self.root, FILLER))

    def _check(self) -> None:
        if not self.source:
            raise OSError(errno.EINVAL, f"{self.root} is no mount of ours")


def _grow(fd: int, end: int, piece: int) -> int:
    """Allocate pieces from `end` on until there is no space; return the new end."""
    while True:
        try:
            syscalls.fallocate(fd, 0, end, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            # ext4 keeps what it could allocate of the piece, and moves the end of the file.
            return max(end, os.fstat(fd).st_size)
        end += piece


class OpenDirectory:
    """A directory that is open in the context."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def own_root() -> str:
    """Make a directory to mount at, in a mount namespace that is this process's own from now on (see private_mounts).

    It lies in an empty file system that cannot be written to: whatever is done there while nothing is mounted reaches
    no file of the machine. Raises OSError.
    """
    syscalls.private_mounts()
    os.makedirs(_HIDDEN, 0o700, exist_ok=True)
    syscalls.mount("daxcheck", _HIDDEN, "tmpfs")
    root = os.path.join(_HIDDEN, "mnt")
    os.mkdir(root)
    syscalls.mount("daxcheck", _HIDDEN, "tmpfs", "", syscalls.MS_REMOUNT | syscalls.MS_RDONLY)
    return root


def found(root: str, options: str) -> Place:
    """Return the Place of the file system mounted at `root` now; that of a plain directory when none is."""
    with open("/proc/self/mounts") as file:
        for line in reversed(file.read().splitlines()):  # the last one lies on top
            source, target, fs, *_ = line.split()
            if target == root:
                return Place(root, source, fs, options)
    return Place(root)
