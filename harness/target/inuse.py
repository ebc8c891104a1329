"""Who uses block devices: mounts, swap, open files, and drivers of the kernel that open a device without claiming it.

Best effort, for messages and early refusals: it sees the processes of this PID namespace, and as a user only some of
them. The proof is an O_EXCL open, since mounts, swap and all stacked devices claim theirs (bd_may_claim, block/bdev.c).
But a plain open claims nothing: not that of a virtual machine for its disk, nor those of the drivers in _BACKINGS.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.agent import syscalls

_OCTAL = re.compile(r"\\([0-7]{3})")
_BACKINGS = (
    ("block/loop*/loop/backing_file", "backing file of loop device {}", -3),
    ("kernel/config/nvmet/subsystems/*/namespaces/*/device_path", "NVMe target {}", -4),
    ("kernel/config/target/core/*/*/udev_path", "SCSI target {}", -2),
)
"""Where the kernel tells which path a driver has opened, what that is called, and which part of the path names it."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a block device: its number (st_rdev), or, where that is not told, its path; and what for."""

    device: int
    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Uses:
    """All uses that could be seen."""

    mounts: tuple[Use, ...] = ()
    swaps: tuple[Use, ...] = ()
    opens: tuple[Use, ...] = ()


def survey(proc: Path, sysfs: Path) -> Uses:
    """Look at every process. Files that vanish or may not be read are passed over."""
    return Uses(tuple(_mounts(proc)), tuple(_swaps(proc)), (*_openers(proc), *_backings(sysfs)))


def of(uses: Iterable[Use], devices: Iterable[int], paths: Iterable[str]) -> tuple[str, ...]:
    """What those of `uses` are for that are of any of the devices, by number or path; each once, in order."""
    numbers, names = frozenset(devices), frozenset(paths)
    return tuple(dict.fromkeys(use.what for use in uses if use.device in numbers or use.path in names))


def _mounts(proc: Path) -> Iterator[Use]:
    """Of every mount namespace that a process lives in (proc(5), /proc/PID/mountinfo)."""
    seen: set[str] = set()
    ours = _namespace(proc / "self")
    for process in [proc / "self", *_processes(proc)]:
        namespace = _namespace(process)
        if namespace in seen or not (lines := _read(process / "mountinfo").splitlines()):
            continue
        seen.add(namespace)
        for line in lines:
            fields, _, rest = line.partition(" - ")
            words, sources = fields.split(), rest.split()
            if len(words) < 5 or len(sources) < 2:
                continue
            major, minor = (int(number) for number in words[2].split(":"))
            where = "" if namespace == ours else f" in the mount namespace of process {process.name}"
            # A btrfs mount shows an anonymous device, and its source by name only.
            yield Use(os.makedev(major, minor), plain(sources[1]), f"{plain(words[4])}{where}")


def _namespace(process: Path) -> str:
    try:
        return str((process / "ns/mnt").readlink())
    except OSError:
        return f"unknown {process.name}"


def _swaps(proc: Path) -> Iterator[Use]:
    for line in _read(proc / "swaps").splitlines()[1:]:
        path = plain(line.split()[0]) if line.strip() else ""
        yield Use(_number(path), path, f"swap on {path}")


def _openers(proc: Path) -> Iterator[Use]:
    """Of open files, by whatever name they were opened, and of mappings, which outlive their descriptor (mmap(2))."""
    known: dict[str, int] = {}
    for process in _processes(proc):
        if process.name == str(os.getpid()):
            continue
        for number in (*_opened(process), *_mapped(process, known)):
            yield Use(number, "", f"{_read(process / 'comm').strip()} (process {process.name})")


def _opened(process: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            if number := _number(str(entry)):
                yield number


def _mapped(process: Path, known: dict[str, int]) -> Iterator[int]:
    """`known` keeps what was found out of a file, by its device, inode and path: most are mapped by many processes."""
    for line in _read(process / "maps").splitlines():
        words = line.split(maxsplit=3)
        if len(words) < 4 or " /" not in (file := words[3]):
            continue
        if file not in known:
            name = "-".join(f"{int(address, 16):x}" for address in words[0].split("-"))
            known[file] = _number(f"{process}/map_files/{name}")
        if known[file]:
            yield known[file]


def _backings(sysfs: Path) -> Iterator[Use]:
    for pattern, what, part in _BACKINGS:
        for file in sysfs.glob(pattern):
            path = _read(file).strip()
            yield Use(_number(path), path, what.format(file.parts[part]))


def _processes(proc: Path) -> list[Path]:
    return sorted((path for path in proc.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def _number(path: str) -> int:
    """The number of the block device at `path`; 0 when it is none, or cannot be looked at."""
    try:
        return syscalls.block_device(path)
    except OSError:
        return 0


def plain(text: str) -> str:
    """Undo the \\ooo that mangle_path() of the kernel writes for blanks."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
