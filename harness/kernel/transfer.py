"""Carries a kernel of the cache to another machine: its files by name. The digest of the entry tells whether what
arrives is what was sent for."""

from collections.abc import Mapping
from pathlib import Path

from harness import cachedir
from harness.errors import InfraError
from harness.kernel import cache
from harness.kernel.kernel import Kernel
from harness.manifest import MANIFEST, Manifest
from harness.paths import inside

LARGEST = 1 << 30
"""Bytes of all files of a kernel: those of Debian, of which the cache keeps a part, have 20 to 40 MB."""
MOST = 20_000
"""Files."""


def pack(kernel: Kernel) -> dict[str, bytes]:
    """The files of a cached kernel. Raises InfraError for one that is too large to be sent, OSError."""
    top = cachedir.root() / cache.AREA / kernel.digest
    paths = [path for path in sorted(top.rglob("*")) if path.is_file() and path.name != MANIFEST]
    if len(paths) > MOST or sum(path.stat().st_size for path in paths) > LARGEST:
        raise InfraError(f"kernel {kernel.release}: more than {MOST} files or {LARGEST} bytes: add it on each worker")
    return {str(path.relative_to(top)): path.read_bytes() for path in paths}


def unpack(files: Mapping[str, bytes], digest: str) -> None:
    """Keep the kernel of this digest, whose files these are said to be. Raises InfraError if they are not."""
    if len(files) > MOST or sum(map(len, files.values())) > LARGEST:
        raise InfraError(f"kernel {digest[:12]}: more than {MOST} files or {LARGEST} bytes")

    def make(room: Path) -> None:
        for name, data in files.items():
            if not inside(name) or name == MANIFEST:
                raise InfraError(f"kernel {digest[:12]}: {name[:200]!r} is no name of a file of it")
            path = room / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if (found := Manifest.of(room, hashed=True).digest) != digest:
            raise InfraError(f"kernel {digest[:12]}: what was received is another one ({found[:12]})")

    cachedir.adopt(cache.AREA, make)
