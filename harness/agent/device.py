"""Makes, mounts at ROOT and unmounts the file system under test, on the guest's pmem in one of its layouts.

Written for daxcheck's own guest, whose NVDIMMs may be overwritten; never run on a machine with data.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.deadline import now
from harness.errors import InfraError
from harness.linux import features, ioctls, mapper, pmem, syscalls
from harness.linux.layout import LAYOUTS, Layout, Piece, build
from harness.linux.pmem import Pmem, unbind
from harness.model.wire.frame import Message

__all__ = ["ROOT", "attach", "detach", "mount", "root", "unbind"]

ROOT = "/mnt"
SAID = 500
"""Bytes told of what a failed mkfs or the kernel said: its first complaint, before any usage text."""
BY_INODE = "dax=inode"
"""The mount option with which a file is mapped by DAX only if it has FS_XFLAG_DAX."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds by the name of a step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = now()
        try:
            yield
        finally:
            self.seconds[name] = round(now() - start, 4)


def attach(
    fs: str, options: str, format: list[list[str]] | None, layout: str = "", write_cache: bool = True,
    bound: Message | None = None,
) -> Message:  # fmt: skip
    """Bring the NVDIMMs up in fsdax mode and a layout of LAYOUTS, format them by commands if asked, mount at ROOT.

    If detach() has left them bound, `bound` is what the attach before it answered, and the layout is the same.
    A root directory that is made for BY_INODE has FS_XFLAG_DAX, which all files inherit. Returns what the channel's
    attach answers. Raises OSError, InfraError, DeadlineExpired.
    """
    watch = Stopwatch()
    wanted = LAYOUTS[layout]
    try:
        with watch.step("bind"):
            facts = bound or _facts(*_bind(wanted, write_cache, format is not None))
        if format is not None:
            with watch.step("format"):
                for argv in format:
                    _execute(argv)
        with watch.step("mount"):
            mount(wanted.device, fs, options, format is not None)
        return {**facts, "seconds": watch.seconds}
    except (OSError, InfraError):
        detach()
        raise


def _bind(layout: Layout, write_cache: bool, new: bool) -> tuple[list[Pmem], list[Piece]]:
    """Return the pmem devices, and the pieces of them that the file system lies on; `new`: nothing was laid out before.

    Raises OSError when a new layout is refused. A layout that was made before and cannot be brought up again says
    nothing about a file system: that is an InfraError.
    """
    try:
        if new and layout.start:
            pmem.start_at(layout.start)
        legs = pmem.bind(layout.legs, layout.align)
        legs = legs if write_cache else [pmem.without_write_cache(leg) for leg in legs]
        return legs, build(layout, legs)
    except OSError as error:
        if new:
            raise
        raise InfraError(f"the pmem device does not come up: {error}") from error


def root() -> str:
    """Return the directory where the file system under test is mounted. Raises InfraError when nothing is attached."""
    if not os.path.ismount(ROOT):
        raise InfraError(f"nothing is mounted at {ROOT}: attach first")
    return ROOT


def detach(keep: bool = False) -> Message:
    """Unmount and unbind; fine when there is nothing to undo.

    To `keep` the NVDIMMs bound saves the making of their page structs, but is done only if no block of any device is in
    the page cache: the host is about to put another image there. The answer's "bound" tells.
    """
    watch = Stopwatch()
    with watch.step("umount"):
        if os.path.ismount(ROOT):
            syscalls.umount(ROOT)
    bound = keep and not cached_blocks()
    with watch.step("unbind"):
        if not bound:
            mapper.remove()
            unbind()
    return {"bound": bound, "seconds": watch.seconds}


def cached_blocks() -> int:
    """The bytes of block devices in the page cache: "Buffers" of proc_meminfo(5), which nr_blockdev_pages() counts over
    all devices. The last user of a device drops its pages (blkdev_flush_mapping(), kill_bdev())."""
    with open("/proc/meminfo") as file:
        (line,) = (line for line in file if line.startswith("Buffers:"))
    return int(line.split()[1]) * 1024


def mount(source: str, fs: str, options: str, new: bool, root: str = ROOT) -> None:
    """Mount at `root`; with BY_INODE the root directory of a `new` file system gets FS_XFLAG_DAX.

    Raises OSError that names the missing option or repeats what the kernel said.
    """
    os.makedirs(root, exist_ok=True)
    try:
        syscalls.mount(source, root, fs, options)
    except OSError as error:
        number = error.errno or errno.EIO
        if not features.has_file_system(fs):
            option = features.FILE_SYSTEMS.get(fs, f"file system {fs}")
            raise OSError(number, f"{fs}: {os.strerror(number)}: the kernel lacks {option}") from error
        said = [line for line in syscalls.kernel_log().splitlines() if fs in line.lower()]
        words = "".join(said[-1:]).partition("] ")[2]  # <level>[seconds] words
        raise OSError(number, f"{error.strerror}: {words[:SAID]}") from error
    if new and BY_INODE in options.split(","):
        _set_dax(root)


def _set_dax(path: str) -> None:
    """Set FS_XFLAG_DAX of a file or directory (ioctl_xfs_fsgetxattr(2))."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ioctls.set_dax(fd, True)
    finally:
        os.close(fd)


def _facts(legs: list[Pmem], pieces: list[Piece]) -> Message:
    # A dm device writes its cache back when any of those below it does (dm_table_supports_dax_write_cache), but shows
    # it nowhere; NVDIMMs of one machine are alike.
    return {
        "device": legs[0].name,
        "pieces": [list(piece) for piece in pieces],
        "write_cache": min(leg.write_cache for leg in legs),
        "persistence_domain": legs[0].persistence_domain,
    }


def _execute(argv: list[str]) -> None:
    """Run a tool. Raises InfraError with the beginning of what it said when it fails."""
    read_end, write_end = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write_end, 1), (os.POSIX_SPAWN_DUP2, write_end, 2)]
    try:
        pid = os.posix_spawnp(argv[0], argv, dict(os.environ), file_actions=actions)
    finally:
        os.close(write_end)
    said = b""
    with open(read_end, "rb", buffering=0) as pipe:
        while chunk := pipe.read(4096):
            said = (said + chunk)[:SAID]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise InfraError(f"{argv[0]} ended with {status}: {' '.join(said.decode(errors='replace').split())}")
