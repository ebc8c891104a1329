"""The manifest of a cache entry: its files with their sizes and digests, by which damage is told."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.errors import InfraError
from harness.sparse import digest

MANIFEST = "MANIFEST.json"
"""The file of an entry that lists all its other files."""


class DamagedEntry(InfraError):
    """A cache entry is not what was published; the text names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a manifest: bytes, and the SHA-256 in hex where it was asked for."""

    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of an entry by their path in it."""

    files: dict[str, _File]

    @classmethod
    def of(cls, room: Path, *, hashed: bool) -> "Manifest":
        """The manifest of what lies in the directory `room` now; with digests if `hashed`."""
        files = sorted(path for path in room.rglob("*") if not path.is_dir() and path.name != MANIFEST)
        return cls({str(path.relative_to(room)): _File(path.stat().st_size, digest(path) if hashed else None)
                    for path in files})  # fmt: skip

    def encode(self) -> bytes:
        """The text of the file MANIFEST: the same files make the same text."""
        plain = {name: [file.size, file.sha256] for name, file in self.files.items()}
        return json.dumps(plain, sort_keys=True, indent=0).encode()

    @property
    def digest(self) -> str:
        """SHA-256 in hex of all that it lists."""
        return hashlib.sha256(self.encode()).hexdigest()


def check(path: Path, *, hashed: bool) -> list[Path]:
    """Return the files of the entry at `path`. Raises DamagedEntry when one is not what was published; contents are
    compared only if `hashed`."""
    found = _load(path).files
    for name, expected in found.items():
        _compare(path / name, expected, hashed)
    return [path / MANIFEST, *(path / name for name in found)]


def _load(path: Path) -> Manifest:
    try:
        plain = json.loads((path / MANIFEST).read_bytes())
        if outside := next((name for name in plain if not paths.inside(name)), None):
            raise ValueError(f"{outside[:200]!r} leads out of the entry")
        return Manifest({str(name): _File(int(size), sha256) for name, (size, sha256) in plain.items()})
    except (OSError, ArithmeticError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedEntry(f"{path / MANIFEST}: unreadable ({error})") from error


def _compare(path: Path, expected: _File, hashed: bool) -> None:
    try:
        size = path.stat().st_size
        if size != expected.size:
            raise DamagedEntry(f"{path}: {size} bytes instead of {expected.size}")
        if hashed and expected.sha256 is not None and digest(path) != expected.sha256:
            raise DamagedEntry(f"{path}: its contents have changed")
    except OSError as error:
        raise DamagedEntry(f"{path}: {error.strerror}") from error
