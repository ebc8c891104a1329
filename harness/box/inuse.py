"""Finds the users of block devices: mounts, swap, open files, and drivers that open a device without claiming it.

It also tells the places that it could not look at: they never mean "found nothing", and no device may be erased then.

docs/real-pmem.md lists the uses that remain unseen. Claim finds some of them by its exclusive open, which fails if a
mount, swap or a stacked device has claimed the device (bd_may_claim, block/bdev.c). But a plain open claims nothing,
such as that of a virtual machine for its disk, or those of the drivers in `backings`.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from harness.box import backings, openers, use
from harness.box.openers import GONE, processes, tasks
from harness.box.use import Unseen, Use

REAL = Path("/proc")
INITIAL = {"pid": 0xEFFFFFFC, "user": 0xEFFFFFFD}
"""The inodes of the initial namespaces, which no other has (include/linux/proc_ns.h, PROC_PID_INIT_INO since 3.8)."""
_SYS_PTRACE, _SYS_ADMIN = 1 << 19, 1 << 21
_NEEDED = {"CAP_SYS_PTRACE": _SYS_PTRACE, "CAP_SYS_ADMIN": _SYS_ADMIN}
"""Without the first, /proc hides other users' processes where it is mounted with hidepid, and their files elsewhere
(fs/proc/base.c, has_pid_permissions, proc_fd_access_allowed); map_files want the second (proc_map_files_get_link)."""
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Uses:
    """The uses that could be seen, and the places that could not be looked at."""

    mounts: tuple[Use, ...] = ()
    swaps: tuple[Use, ...] = ()
    opens: tuple[Use, ...] = ()
    unseen: tuple[str, ...] = ()


def survey(proc: Path, sysfs: Path) -> Uses:
    """Look at every process; skip anything that vanishes meanwhile."""
    blind = why_not_all_seen(proc)
    mounts, swaps = list(_mounts(proc)), list(_swaps(proc))
    opens = [*openers.survey(proc, proc == REAL), *backings.survey(sysfs)]
    found = [one.what for one in chain(mounts, swaps, opens) if isinstance(one, Unseen)]
    # Whoever may not look at all fails at each process: that is told once.
    unseen = [blind] if blind else found
    return Uses(_uses(mounts), _uses(swaps), _uses(opens), tuple(dict.fromkeys(unseen)))


def of(uses: Iterable[Use], devices: Iterable[int], paths: Iterable[str]) -> tuple[str, ...]:
    """Return the purposes of those `uses` that are of any of the devices, by number or path; each once, in order."""
    numbers, names = frozenset(devices), frozenset(paths)
    return tuple(dict.fromkeys(use.what for use in uses if use.device in numbers or use.path in names))


def why_not_all_seen(proc: Path) -> str:
    """Return why this process cannot see all processes and their files, and the remedy; empty if it can."""
    try:
        status = dict(line.split(":", 1) for line in (proc / "self/status").read_text().splitlines())
        user, able = int(status["Uid"].split()[1]), int(status["CapEff"], 16)
        spaces = {kind: (proc / f"self/ns/{kind}").readlink().name for kind in (*INITIAL, "mnt")}
    except (OSError, ValueError, KeyError, IndexError) as error:
        return f"this process cannot be told from {proc}/self ({error}): mount proc there"
    if user:
        return "only root sees who has it open: run as root (sudo)"
    for kind, inode in INITIAL.items():
        if spaces[kind] != f"{kind}:[{inode}]":
            return f"this is a {kind} namespace of its own, so that not all processes are seen: leave the container"
    if lacking := [name for name, bit in _NEEDED.items() if not able & bit]:
        return f"this process lacks {', '.join(lacking)}, so that not all processes are seen: leave the container"
    try:
        first = (proc / "1/ns/mnt").readlink().name
    except OSError as error:
        return f"the mount namespace of process 1 cannot be told ({error.strerror}): leave the container"
    if spaces["mnt"] != first:
        return "this is a mount namespace of its own, whose /proc, /sys and /dev may be others: nsenter -t 1 -m"
    return ""


def _uses(found: Iterable[Use | Unseen]) -> tuple[Use, ...]:
    return tuple(one for one in found if isinstance(one, Use))


def _mounts(proc: Path) -> Iterator[Use | Unseen]:
    """Yield the mounts of every mount namespace that a thread lives in (proc(5), /proc/PID/mountinfo)."""
    seen: set[str] = set()
    for process in [proc / "self", *processes(proc)]:
        for task in tasks(process) if process.name != "self" else [process]:
            namespace = _namespace(task)
            if namespace in seen:
                continue
            try:
                lines = (task / "mountinfo").read_text(errors="surrogateescape").splitlines()
            except OSError as error:
                # A zombie is in no namespace any more: the file cannot be opened (mounts_open_common).
                if error.errno not in GONE | {errno.EINVAL}:
                    yield Unseen(f"the mounts of {use.comm(process)} ({error.strerror})")
                continue
            seen.add(namespace)
            where = "" if process.name == "self" else f" in the mount namespace of process {process.name}"
            yield from _mountpoints(lines, where)


def _mountpoints(lines: Iterable[str], where: str) -> Iterator[Use]:
    for line in lines:
        fields, _, rest = line.partition(" - ")
        words, sources = fields.split(), rest.split()
        if len(words) < 5 or len(sources) < 2:
            continue
        major, minor = (int(number) for number in words[2].split(":"))
        # A btrfs mount shows an anonymous device, and its source by name only.
        yield Use(os.makedev(major, minor), plain(sources[1]), f"{plain(words[4])}{where}")


def _namespace(task: Path) -> str:
    try:
        return str((task / "ns/mnt").readlink())
    except OSError:
        return f"unknown {task.name}"


def _swaps(proc: Path) -> Iterator[Use | Unseen]:
    """Yield the swaps. A kernel without swap has no such file."""
    try:
        lines = (proc / "swaps").read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        if error.errno not in GONE:
            yield Unseen(f"{proc}/swaps ({error.strerror})")
        return
    for line in lines[1:]:
        path = plain(line.split()[0]) if line.strip() else ""
        yield Use(use.number(path), path, f"swap on {path}")


def plain(text: str) -> str:
    """Undo the \\ooo that mangle_path() of the kernel writes for blanks."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
