"""Reads the signatures that a block device carries: file systems, partition tables, members of RAIDs and volumes.

wipefs(8) of util-linux tells, which is Essential in Debian; unlike blkid it names all there is, not the likeliest. Its
silence counts as "nothing" only when it ended well: anything else is a refusal. Nor does its silence mean that there is
nothing to lose: it does not know a GPT of 4 KiB sectors without an MBR, a file system that begins elsewhere than at
byte 0, one whose first blocks are gone, or a format that has no magic. So `data` reads the bytes themselves.
"""

import errno
import json
import mmap
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import SetupError, UsageError
from harness.fs.label import ARMED_PREFIX, LABEL, UUID_PREFIX

DATA = "data"
"""The type, as --erase-signature names it, of data of no kind that wipefs knows."""
HEAD, TAIL = 384 << 20, 1 << 20
"""Bytes at both ends of a device that must be zero if it is to count as blank: all that a run writes, and where the
superblocks of RAIDs and the copies of partition tables lie."""

ARMED = "armed"
"""The word of --erase-signature for a run that waits for its verdict."""

SECONDS = 60.0
"""Seconds for wipefs, which reads some MB at both ends of a device."""
_LIMIT = 1 << 16
_COLUMNS = "OFFSET,LENGTH,USAGE,TYPE,UUID,LABEL"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PIECE = 4 << 20
_MEMBERS = frozenset(
    {"zfs_member", "bcache", "drbd", "drbdproxy_datalog", "stratis", "mpath_member", "LVM1_member", "LVM2_member",
     "ceph_bluestore", "DM_snapshot_cow", "DM_verity_hash", "DM_integrity", "vdo"}
)  # fmt: skip
"""Types that libblkid does not file under "raid" although other devices, or a pool, are made of them, or that are
spelled out here so that this does not depend on its filing."""
_POSSIBLE = frozenset({"btrfs", "bcachefs", "jbd", "xfs_external_log"})
"""File systems that may lie on several devices, and the journals of others: nothing here tells whether they do."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature: libblkid's word for its type and usage, and the byte of the device where its magic lies."""

    type: str
    usage: str
    offset: int
    label: str = ""
    uuid: str = ""

    @property
    def ours(self) -> bool:
        """True if daxcheck made it: a file system with both marks."""
        return self.usage == "filesystem" and self.label == LABEL and self.uuid.startswith(UUID_PREFIX)

    @property
    def armed(self) -> bool:
        """True if `daxcheck arm` made it: it may hold what is left of a real power cut."""
        return self.ours and self.uuid.startswith(ARMED_PREFIX)

    @property
    def member(self) -> bool:
        """True if the device is part of something larger, which would be damaged though it is not in use now."""
        return self.usage == "raid" or self.type in _MEMBERS

    @property
    def possible_member(self) -> bool:
        """True if the device may be part of something larger."""
        return self.type in _POSSIBLE

    def __str__(self) -> str:
        if self.type == DATA:
            return f"data of no known kind (from byte {self.offset:#x} on)"
        names = [f"label {self.label}"] * bool(self.label) + [f"UUID {self.uuid}"] * bool(self.uuid)
        return f"{self.type} ({', '.join(names)})" if names else self.type


def read(path: Path | str, fds: Sequence[int] = ()) -> tuple[Signature, ...]:
    """Return the signatures of the device, by offset; `fds` are open files that `path` refers to, as /proc/self/fd/N.

    Raises SetupError where there is no wipefs, UsageError where the device cannot be read or wipefs is not understood.
    """
    # The system's own first: PATH may name a directory of another user (sudo -E), and an answer decides what is erased.
    tool = shutil.which("wipefs", path=_PATH) or shutil.which("wipefs")
    if tool is None:
        raise SetupError("wipefs is missing, which looks for signatures: install the package util-linux")
    argv = [tool, "--no-act", "--json", "--output", _COLUMNS, str(path)]
    environment = {"PATH": _PATH, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, env=environment, pass_fds=fds
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{path}: its signatures cannot be read: {error}") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[:200]
        remedy = ": run as root" if os.geteuid() else ""
        raise UsageError(f"{path}: its signatures cannot be read: {said or f'exit code {done.returncode}'}{remedy}")
    return parse(done.stdout, path)


def data(path: Path | str) -> tuple[Signature, ...]:
    """Return one signature of type DATA, at the first byte found that is not zero (in HEAD, TAIL); none if all is zero.

    It is for a device that carries no other signature, and takes about a second where memory is slow.

    Raises UsageError where the device cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.lseek(fd, 0, os.SEEK_END)
            # One range after the other, and on a small device they overlap.
            found = _first(fd, 0, min(HEAD, size))
            found = _first(fd, max(0, size - TAIL), size) if found is None else found
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
    except OSError as error:
        raise UsageError(f"{path}: what it holds cannot be read: {error.strerror}") from error
    return () if found is None else (Signature(DATA, DATA, found),)


def _first(fd: int, start: int, end: int) -> int | None:
    """The place of the first byte of [start, end) that is not zero. Raises OSError."""
    with mmap.mmap(-1, _PIECE) as buffer:
        while start < end:
            with memoryview(buffer) as whole, whole[: end - start] as piece:
                count = os.preadv(fd, [piece], start)
                if not count:
                    raise OSError(errno.EIO, f"it ends at byte {start}")
                if len(places := np.flatnonzero(np.frombuffer(piece[:count], np.uint8))):
                    return start + int(places[0])
            start += count
    return None


def parse(output: bytes, path: Path | str) -> tuple[Signature, ...]:
    """Read what `wipefs --json` prints; nothing at all is its answer for a blank device in older versions.

    Raises UsageError for anything that is not understood.
    """
    if not output.strip():
        return ()
    try:
        if len(output) > _LIMIT:
            raise ValueError("too long")
        found = [_signature(entry) for entry in json.loads(output)["signatures"]]
    except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path}: wipefs says what daxcheck does not understand: {error}") from error
    return tuple(sorted(found, key=lambda signature: signature.offset))


def _signature(entry: dict[str, object]) -> Signature:
    kind = entry["type"]
    if not isinstance(kind, str) or not kind:
        raise ValueError(f"a signature of type {kind!r}")
    words = [str(entry[name] or "") for name in ("usage", "label", "uuid")]
    return Signature(kind, words[0], int(str(entry["offset"]), 0), words[1], words[2])
