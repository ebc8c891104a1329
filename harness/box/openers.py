"""Finds programs that have block devices open: by a descriptor, a mapping, or a registered file of an io_uring.

It looks at all threads, by their own numbers: one may have a descriptor table of its own (unshare(2), CLONE_FILES), and
if the main thread of a process has ended, the others can be found in no other way. /proc/TID exists for every thread
although readdir shows leaders alone, and unlike /proc/PID/task/TID it has map_files (fs/proc/base.c, tid_base_stuff).

A descriptor that was sent and not yet received is in nobody's table. The kernel tells how many a socket holds, not of
which files (unix_show_fdinfo() of net/unix/af_unix.c, since 5.6), so any such socket counts as not looked at.
"""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from harness.box import use
from harness.box.use import Unseen, Use
from harness.linux import syscalls

GONE = frozenset({errno.ENOENT, errno.ESRCH})
"""The errnos of /proc for a process, thread, descriptor or mapping that has ended since it was listed."""
_RING = "anon_inode:[io_uring]"
_SENT = re.compile(r"^scm_fds:\s*(\d+)", re.MULTILINE)
_REGISTERED = re.compile(r"^UserFiles:\s*(\d+)\n((?: *\d+: .*\n)*)", re.MULTILINE)
_FILE = re.compile(r"^ *\d+: (.*)$", re.MULTILINE)


def survey(proc: Path, real: bool) -> Iterator[Use | Unseen]:
    """Yield the uses by all processes but this one. `real` says that `proc` is the running kernel's and tells more.

    Skips a process, thread or file that ends meanwhile. Anything that cannot be read for another reason is an Unseen.
    """
    known: dict[str, int] = {}
    for process in processes(proc):
        if process.name == str(os.getpid()):
            continue
        threads = list(_threads(process))
        yield from (thread for thread in threads if isinstance(thread, Unseen))
        tasks = [thread for thread in threads if isinstance(thread, Path)]
        for task in _tables(tasks, real):
            yield from _opened(process, task)
        yield from _mapped(process, tasks, known)


def processes(proc: Path) -> list[Path]:
    """The directories of all processes."""
    return sorted((path for path in proc.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def tasks(process: Path) -> list[Path]:
    """The directories of all threads of a process, its leader first, as far as they can be listed."""
    return [thread for thread in _threads(process) if isinstance(thread, Path)]


def _threads(process: Path) -> Iterator[Path | Unseen]:
    yield process
    try:
        names = sorted(entry.name for entry in (process / "task").iterdir())
    except OSError as error:
        yield from _failed(error, f"the threads of {use.comm(process)}")
        return
    yield from (process.parent / name for name in names if name != process.name)


def _tables(tasks: list[Path], real: bool) -> Iterator[Path]:
    """Yield one thread for each descriptor table: threads share theirs, as a rule."""
    seen: list[int] = []
    for task in tasks:
        number = int(task.name)
        if real and any(syscalls.same_files(number, other) for other in seen):
            continue
        seen.append(number)
        yield task


def _opened(process: Path, task: Path) -> Iterator[Use | Unseen]:
    try:
        entries = list((task / "fd").iterdir())
    except OSError as error:
        yield from _failed(error, f"the open files of {use.comm(process)}")
        return
    for entry in entries:
        try:
            if number := syscalls.block_device(str(entry)):
                yield Use(number, "", use.comm(process))
            elif (link := str(entry.readlink())) == _RING:
                yield from _ring(process, task, _info(task, entry))
            elif link.startswith("socket:"):
                yield from _socket(process, _info(task, entry))
        except OSError as error:
            yield from _failed(error, f"descriptor {entry.name} of {use.comm(process)}")


def _info(task: Path, entry: Path) -> str:
    return (task / "fdinfo" / entry.name).read_text(errors="surrogateescape")


def _socket(process: Path, info: str) -> Iterator[Unseen]:
    if (sent := _SENT.search(info)) and int(sent[1]):
        yield Unseen(f"{sent[1]} descriptors that were sent to {use.comm(process)} and not received: end it")


def _ring(process: Path, task: Path, info: str) -> Iterator[Use | Unseen]:
    """Yield an io_uring's registered files, by name: older kernels tell the last part alone (io_uring/fdinfo.c)."""
    found = _REGISTERED.search(info)
    names = _FILE.findall(found[2]) if found else []
    if found is None or (int(found[1]) and not names):
        # The kernel leaves them out while the ring is busy.
        yield Unseen(f"the registered files of an io_uring of {use.comm(process)}: end it")
    for name in names:
        number = use.number(f"{task}/root{name}") if name.startswith("/") else 0
        yield Use(number, f"/dev/{name.rpartition('/')[2]}", f"io_uring of {use.comm(process)}")


def _mapped(process: Path, tasks: list[Path], known: dict[str, int]) -> Iterator[Use | Unseen]:
    """Yield the uses by mappings, which the threads share; a leader that has ended before the others has none left.

    A mapping outlives its descriptor (mmap(2)). `known` keeps what was found out about a file, by its device, inode and
    path: most are mapped by many processes.
    """
    for task in tasks:
        try:
            lines = (task / "maps").read_text(errors="surrogateescape").splitlines()
        except OSError as error:
            yield from _failed(error, f"the mappings of {use.comm(process)}")
            continue
        for line in lines:
            yield from _mapping(process, task, line, known)
        if lines:
            return


def _mapping(process: Path, task: Path, line: str, known: dict[str, int]) -> Iterator[Use | Unseen]:
    words = line.split(maxsplit=3)
    if len(words) < 4 or " /" not in (file := words[3]):
        return
    if file not in known:
        name = "-".join(f"{int(address, 16):x}" for address in words[0].split("-"))
        try:
            known[file] = syscalls.block_device(f"{task}/map_files/{name}")
        except OSError as error:
            yield from _failed(error, f"a mapping of {use.comm(process)}")
            return
    if known[file]:
        yield Use(known[file], "", use.comm(process))


def _failed(error: OSError, what: str) -> Iterator[Unseen]:
    if error.errno not in GONE:
        yield Unseen(f"{what} ({error.strerror})")
