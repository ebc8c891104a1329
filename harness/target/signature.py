"""What a block device carries: file systems, partition tables, members of RAIDs and volumes.

wipefs(8) of util-linux tells, which is Essential in Debian; unlike blkid it names all there is, not the likeliest. Its
silence counts as "nothing" only when it ended well: anything else is a refusal.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SetupError, UsageError

LABEL = "daxcheck"
"""The label of every file system that daxcheck makes on a device (mkfs -L)."""
UUID_PREFIX = "64617863-6865-636b-"
"""How the UUID of every such file system begins: "daxcheck" in ASCII."""

SECONDS = 60.0
"""For wipefs, which reads some MB at both ends of a device."""
_LIMIT = 1 << 16
_COLUMNS = "OFFSET,LENGTH,USAGE,TYPE,UUID,LABEL"
_MEMBERS = frozenset({"zfs_member", "bcache", "drbd", "stratis", "mpath_member", "LVM1_member", "LVM2_member"})
"""Types that libblkid does not file under "raid" although other devices, or a pool, are made of them, or that are
spelled out here so that this does not depend on its filing."""


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
        """Whether daxcheck made it: a file system with both marks."""
        return self.usage == "filesystem" and self.label == LABEL and self.uuid.startswith(UUID_PREFIX)

    @property
    def member(self) -> bool:
        """Whether the device is part of something larger, which would be damaged though it is not in use now."""
        return self.usage == "raid" or self.type in _MEMBERS

    def __str__(self) -> str:
        names = [f"label {self.label}"] * bool(self.label) + [f"UUID {self.uuid}"] * bool(self.uuid)
        return f"{self.type} ({', '.join(names)})" if names else self.type


def read(path: Path | str, fds: Sequence[int] = ()) -> tuple[Signature, ...]:
    """All signatures of the device, by their offset; `fds` are open files that `path` refers to, as /proc/self/fd/N.

    Raises SetupError where there is no wipefs, UsageError where the device cannot be read or wipefs is not understood.
    """
    tool = shutil.which("wipefs") or shutil.which("wipefs", path="/usr/sbin:/sbin")
    if tool is None:
        raise SetupError("wipefs is missing, which looks for signatures: install the package util-linux")
    argv = [tool, "--no-act", "--json", "--output", _COLUMNS, str(path)]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
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
