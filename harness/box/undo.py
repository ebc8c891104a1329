"""Undoes the changes of a run that outlive its process: the run does it itself, or `daxcheck cleanup` after a crash.

Mounts are none of them: they live in a private mount namespace, which dies with its last process.
"""

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

from harness.box import signature
from harness.box.discover import PROC, SYSFS

WRITEBACK = "vm/dirty_writeback_centisecs"
"""The sysctl for how often flusher threads look for old dirty data; never, when it is 0 (wb_check_old_data_flush)."""
SYSCTLS = frozenset(
    {"kernel/hung_task_timeout_secs", "kernel/hung_task_panic", "kernel/hung_task_warnings", WRITEBACK}
)
"""The files that a run may set under /proc/sys: nothing else is ever written back, whatever a journal says."""
_DISK = re.compile(r"pmem[0-9]+(\.[0-9]+)?")
_NUMBER = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Erased:
    """A device whose contents were given up. Nothing brings them back; it is kept so that it can be told."""

    name: ClassVar[str] = "erased"
    disk: str

    def undo(self) -> str:
        return f"/dev/{self.disk} was erased, as it was told to be: nothing brings back what it held"


@dataclass(frozen=True, slots=True)
class WriteCache:
    """The dax/write_cache of a disk was changed (does the kernel flush?); `old` is what it was.

    `sequence` is the number of that disk, which no other has in this boot (sysfs-block, diskseq, since 5.15; else
    empty): one that is bound anew, perhaps under the name of another, has a write_cache that nobody changed.
    """

    name: ClassVar[str] = "write_cache"
    disk: str
    old: str
    sequence: str = ""

    @classmethod
    def of(cls, disk: str) -> Self:
        """As it is now. Raises OSError."""
        return cls(disk, _write_cache(disk).read_text().strip(), _sequence(disk))

    def undo(self) -> str:
        """Raises OSError, ValueError."""
        path = _write_cache(self.disk)
        if self.old not in ("0", "1"):
            raise ValueError(f"write_cache was never {self.old!r}")
        if not path.exists() or _sequence(self.disk) != self.sequence:
            return f"/dev/{self.disk} is gone, and its write_cache with it"
        path.write_text(self.old)
        return f"/dev/{self.disk}: write_cache is {self.old} again"


@dataclass(frozen=True, slots=True)
class Frozen:
    """The file system `fs` of that UUID, on a disk, is frozen for a while; its superblock then outlives its mounts."""

    name: ClassVar[str] = "frozen"
    disk: str
    fs: str
    uuid: str

    def undo(self) -> str:
        """Nothing is done to a file system that is not daxcheck's own. Raises OSError, ValueError, DaxcheckError."""
        # Only here, since few runs freeze.
        from harness.linux import thaw

        path = _path(self.disk)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return f"{path} is gone, and what was frozen with it"
        try:
            source = f"/proc/self/fd/{fd}"
            if not _claimed(source):
                return f"{path} holds nothing frozen"
            found = [(one.type, one.uuid) for one in signature.read(source, (fd,)) if one.ours]
            if (self.fs, self.uuid) not in found:
                return f"{path} holds another file system by now: left alone"
            return f"{path}: {self.fs} is {'thawed' if thaw.thaw(source, self.fs) else 'not frozen'}"
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A file of /proc/sys that is in SYSCTLS was written; `old` is the number that it held."""

    name: ClassVar[str] = "sysctl"
    key: str
    old: str

    @classmethod
    def of(cls, key: str) -> Self:
        """As it is now. Raises OSError."""
        return cls(key, _sysctl(key).read_text().strip())

    def set(self, value: str) -> None:
        """Raises OSError, ValueError."""
        _sysctl(self.key).write_text(value)

    def undo(self) -> str:
        """Raises OSError, ValueError."""
        if not _NUMBER.fullmatch(self.old):
            raise ValueError(f"{self.key} was never {self.old!r}")
        _sysctl(self.key).write_text(self.old)
        return f"{self.key} is {self.old} again"


@dataclass(frozen=True, slots=True)
class Tracing:
    """Instances and probes in tracefs, all named after daxcheck."""

    name: ClassVar[str] = "tracing"

    def undo(self) -> str:
        """Raises OSError, InfraError."""
        # Only here, since few runs trace; it knows the names.
        from harness.linux import probes

        probes.remove_all()
        return "daxcheck's trace instances and probes are removed"


Undoable = Erased | WriteCache | Frozen | Sysctl | Tracing
_DEEDS: tuple[type[Undoable], ...] = (Erased, WriteCache, Frozen, Sysctl, Tracing)


def to_json(deed: Undoable) -> dict[str, str]:
    return {"deed": deed.name, **asdict(deed)}


def from_json(entry: Mapping[str, object]) -> Undoable:
    """Raises ValueError for what is no deed."""
    for kind in _DEEDS:
        if kind.name == entry.get("deed"):
            fields = {name: value for name, value in entry.items() if name != "deed" and isinstance(value, str)}
            if fields.keys() == set(kind.__slots__) and len(entry) == len(fields) + 1:
                return kind(**fields)
    raise ValueError(f"no deed: {str(dict(entry))[:200]}")


def _path(disk: str) -> str:
    if not _DISK.fullmatch(disk):
        raise ValueError(f"{disk!r} is no pmem device")
    return f"/dev/{disk}"


def _write_cache(disk: str) -> Path:
    return SYSFS / "block" / Path(_path(disk)).name / "dax/write_cache"


def _sequence(disk: str) -> str:
    path = SYSFS / "block" / disk / "diskseq"
    return path.read_text().strip() if path.exists() else ""


def _claimed(path: str) -> bool:
    """Say whether a mount, or any other user, has the device for itself. Raises OSError."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return True
    return False


def _sysctl(key: str) -> Path:
    if key not in SYSCTLS:
        raise ValueError(f"{key!r} is nothing that daxcheck sets")
    return PROC / "sys" / key
