"""Runs the file system's own checker on a medium, and the repair that one without a journal needs before a mount.

The tools are this machine's, run on a sparse copy in an anonymous file. What they read comes from a guest, so their
time, memory and output are bounded.
"""

import os
import select
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from harness import hosttool
from harness.deadline import Deadline, DeadlineExpired
from harness.errors import InfraError, SetupError
from harness.fs.filesystem import FileSystem
from harness.linux.layout import LAYOUTS, LOG, REALTIME, Piece
from harness.memfile import MemFile

SECONDS = 120.0
"""Seconds that a checker may take; a check of a sparse image takes some 0.03 s."""
MEMORY = 4 << 30
"""Bytes of address space that a checker may use."""
OUTPUT = 1 << 20
"""Bytes that a checker may write; the harness needs no more of them."""
SAID = 600
"""Characters of a complaint that are kept."""

_SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"
_NOISE = ("Pass ", "Phase ", "- ", "e2fsck ", "No modify flag set", "****", "/proc/")
"""The starts of lines that tell of progress, not of a fault."""
_NO_MEMORY = ("Cannot allocate memory", "couldn't malloc", "couldn't allocate", "Memory allocation failed")


@dataclass(frozen=True, slots=True)
class _Tool:
    """A tool that looks without changing anything; `faulty` are its exit codes for a file system that is not sound.

    They count once it has said `begun`: before that they tell of trouble in the tool itself. `beside` has the option
    that names a second device, by what it is for.
    """

    package: str
    argv: tuple[str, ...]
    faulty: frozenset[int]
    begun: str
    beside: Mapping[str, str]


_CHECKERS = {
    # e2fsck(8): 4 is "errors left uncorrected", 8 an operational error, which a fault may bring about as well.
    "ext4": _Tool("e2fsprogs", ("e2fsck", "-fn"), frozenset({4, 12}), "Pass 1", {LOG: "-j"}),
    # xfs_repair(8): with -n, 1 if corruption was detected. It prefetches by threads, which only pay on real disks, and
    # lifts its own limit of address space, hence -m.
    "xfs": _Tool(
        "xfsprogs", ("xfs_repair", "-f", "-n", "-P", "-m", str(MEMORY >> 20)), frozenset({1}), "Phase 1",
        {LOG: "-l", REALTIME: "-r"},
    ),
}


def check(system: FileSystem, medium: MemFile, pieces: Sequence[Piece]) -> str:
    """Return the checker's complaints about a file system that was unmounted cleanly; empty when it is sound.

    Of two pieces with another device beside the file system's the first is that of the files (linux.layout.build).
    Raises SetupError when the tool is missing, InfraError when it cannot do its work.
    """
    checker = _CHECKERS[system.name]
    code, text = _checked(system, checker, medium, pieces)
    if code == 0:
        return ""
    name, words = checker.argv[0], _gist(text)
    loud = len(text) >= OUTPUT  # it was stopped in the middle of a flood of complaints
    if (code in checker.faulty or loud) and checker.begun in text and not any(sign in text for sign in _NO_MEMORY):
        return f"{name}: {words}"
    raise InfraError(f"{name} could not check the file system (exit code {code}): {words}")


def repair(system: FileSystem, medium: MemFile, pieces: Sequence[Piece]) -> None:
    """Bring a file system without a journal back in order after a power failure, as every boot does before it mounts.

    Its metadata is written in no order, so that nothing but this makes it consistent again (mke2fs(8), e2fsck(8)).
    Raises SetupError, InfraError.
    """
    checker = _CHECKERS[system.name]
    with _copy(medium, pieces) as part:
        code, text = _run(checker, (checker.argv[0], "-fy"), part)
        if code not in (0, 1, 2):
            raise InfraError(f"{checker.argv[0]} -fy could not repair a crash image (exit code {code}): {_gist(text)}")
        _put_back(part, medium, pieces)


def _checked(system: FileSystem, checker: _Tool, medium: MemFile, pieces: Sequence[Piece]) -> tuple[int, str]:
    """Run the checker on the file system's device, and on the one beside it if its layout has one."""
    beside = LAYOUTS[system.layout].beside
    if not beside:
        with _copy(medium, pieces) as part:
            return _run(checker, checker.argv, part)
    main, other = reversed(pieces) if beside == REALTIME else pieces
    with _copy(medium, [main]) as part, _copy(medium, [other]) as more:
        return _run(checker, (*checker.argv, checker.beside[beside], str(more.path)), part, more)


def _run(checker: _Tool, argv: Sequence[str], *parts: MemFile) -> tuple[int, str]:
    """Run a tool; return its exit code, negative for a signal, and its output. One that writes too much is stopped."""
    tool = shutil.which(argv[0]) or shutil.which(argv[0], path=_SBIN)
    if tool is None:
        raise SetupError(f"{argv[0]} is missing: sudo apt-get install {checker.package}")
    bounded = hosttool.bound(["prlimit", f"--as={MEMORY}", "--core=0", tool])
    try:
        process = subprocess.Popen(
            [*bounded, *argv[1:], str(parts[0].path)], pass_fds=[part.fd for part in parts], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"LC_ALL": "C", "PATH": _SBIN},
        )  # fmt: skip
    except OSError as error:
        raise SetupError(f"{bounded[0]} is missing: sudo apt-get install util-linux") from error
    with process:
        try:
            said = _read(process.stdout, Deadline(SECONDS))
            return process.wait(SECONDS), said
        except (subprocess.TimeoutExpired, DeadlineExpired) as error:
            raise InfraError(f"{argv[0]} did not end within {SECONDS:g} s") from error
        finally:
            process.kill()


def _read(pipe: IO[bytes] | None, deadline: Deadline) -> str:
    """Read from the pipe until it ends or has brought OUTPUT bytes, then close it. Raises DeadlineExpired."""
    if pipe is None:
        return ""
    said = b""
    while len(said) < OUTPUT:
        if not select.select([pipe], [], [], deadline.remaining())[0]:
            deadline.check("a checker does not end")
            continue
        chunk = os.read(pipe.fileno(), 1 << 16)
        if not chunk:
            break
        said += chunk
    pipe.close()
    return said.decode(errors="replace")


def _gist(text: str) -> str:
    """Say in one line what is wrong."""
    lines = [line.strip() for line in text.splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith(_NOISE))[:SAID] or "(it says nothing)"


def _copy(medium: MemFile, pieces: Sequence[Piece]) -> MemFile:
    """The file system's bytes in its own order, as sparse as they are; owned by the caller."""
    part = MemFile("fsck", sum(length for _, length in pieces))
    place, source, target = 0, medium.array, part.array
    for start, length in pieces:
        for low, high in _overlaps(medium.extents(), start, length):
            target[place + low - start : place + high - start] = source[low:high]
        place += length
    return part


def _put_back(part: MemFile, medium: MemFile, pieces: Sequence[Piece]) -> None:
    place, source, target = 0, part.array, medium.array
    for start, length in pieces:
        for low, high in _overlaps(part.extents(), place, length):
            target[start + low - place : start + high - place] = source[low:high]
        place += length


def _overlaps(extents: Sequence[tuple[int, int]], start: int, length: int) -> list[tuple[int, int]]:
    found = [(max(low, start), min(high, start + length)) for low, high in extents]
    return [(low, high) for low, high in found if low < high]
