"""The cached kernels: immutable entries under the digest of their contents.

Two harnesses may add, use and remove at once. An entry that was tampered with or lost a file is never used.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from harness import cachedir
from harness.errors import SetupError, UsageError
from harness.kernel import local, tree
from harness.kernel.kernel import Kernel, matches, version_key
from harness.manifest import DamagedEntry

AREA = "kernels"
NAMES = "kernel-names"
"""Area of the entries that say which kernel a `debian:` spec stood for when it was last fetched."""
SHORTEST_DIGEST = 8


def store(fill: Callable[[Path], tuple[str, str]]) -> Kernel:
    """Keep the kernel that `fill` writes into a directory; it returns the kernel's release and exact source."""
    made: list[Kernel] = []

    def make(room: Path) -> None:
        release, source = fill(room)
        (room / tree.ABOUT).write_text(json.dumps({"release": release, "source": source, "kept": tree.KEPT}))
        made.append(_load(room))

    path = cachedir.adopt(AREA, make)
    # Not read from the entry: another process may have removed it by now.
    (kernel,) = made
    return _at(path, kernel.release, kernel.source, kernel.modules is not None, kernel.config is not None)


def add(path: Path, modules: Path | None = None) -> Kernel:
    """Keep a copy of a kernel on this machine: an image with its modules, or a build tree. Raises UsageError.

    It is a copy, so that a rebuild of the tree cannot change a run half-way.
    """
    path = path.expanduser()
    return store(lambda room: (local.collect(path, modules, room), str(path.absolute())))


def cached() -> tuple[Kernel, ...]:
    """Return all kernels of the cache, oldest release first; among those of one release the one added last is the last.

    Damage is looked for only when a kernel is used.
    """
    found = []
    for key in cachedir.keys(AREA):
        path = cachedir.root() / AREA / key
        with contextlib.suppress(DamagedEntry, FileNotFoundError):
            found.append((_load(path), (path / tree.ABOUT).stat().st_mtime_ns))
    found.sort(key=lambda entry: (version_key(entry[0].release), entry[1]))
    return tuple(kernel for kernel, _ in found)


def damaged() -> tuple[str, ...]:
    """One line for each entry that is not whole, with the command that removes it."""
    lines = []
    for key in cachedir.keys(AREA):
        try:
            cachedir.present(AREA, key, hashed=True)
        except DamagedEntry as error:
            lines.append(f"{error}: daxcheck kernel rm {key[:12]}")
    return tuple(lines)


def find(prefix: str) -> Kernel:
    """The newest cached kernel whose release starts with `prefix` (whole numbers), or whose digest does.

    Raises UsageError listing what is cached, and SetupError with the remedy when the one found is damaged.
    """
    kernel = newest(prefix)
    problem = damage(kernel)
    if problem:
        verb = "fetch" if kernel.source.startswith("debian:") else "add"
        again = f"daxcheck kernel rm {kernel.digest[:12]} && daxcheck kernel {verb} {kernel.source}"
        raise SetupError(f"cached kernel {kernel.release} is damaged ({problem}): {again}")
    return kernel


def newest(prefix: str) -> Kernel:
    """Do as `find` does, without looking whether the entry is damaged."""
    found = [kernel for kernel in cached() if _answers(kernel, prefix)]
    if found:
        return found[-1]
    have = "; ".join([", ".join(kernel.release for kernel in cached()) or "none", *damaged()])
    remedy = "daxcheck kernel fetch debian:SUITE or daxcheck kernel add PATH brings one"
    raise UsageError(f"no cached kernel {prefix!r}; cached: {have}: {remedy}")


def damage(kernel: Kernel) -> str:
    """Return what is wrong with a cached kernel's files; empty when they are what was stored."""
    try:
        return "" if cachedir.present(AREA, kernel.digest, hashed=True) else "it was removed"
    except DamagedEntry as error:
        return str(error)


def current(kernel: Kernel) -> bool:
    """Say whether all is there that would be kept of the kernel today: an older daxcheck may have kept less."""
    try:
        kept = json.loads((cachedir.root() / AREA / kernel.digest / tree.ABOUT).read_bytes()).get("kept")
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
    return bool(kept == list(tree.KEPT))


def remove(release: str) -> tuple[str, ...]:
    """Remove every cached kernel whose release or digest starts with `release`, whole or damaged; returns their names.

    Raises UsageError when there is none.
    """
    gone = [(kernel.digest, kernel.release) for kernel in cached() if _answers(kernel, release)]
    if len(release) >= SHORTEST_DIGEST:
        known = {key for key, _ in gone}
        gone += [(key, key[:12]) for key in cachedir.keys(AREA) if key.startswith(release) and key not in known]
    if not gone:
        newest(release)
    for key, _ in gone:
        cachedir.remove(AREA, key)
    return tuple(name for _, name in gone)


def remember(spec: str, kernel: Kernel) -> None:
    """Note that `spec` stands for this kernel until it is fetched again."""
    cachedir.remove(NAMES, _slug(spec))
    cachedir.directory(NAMES, _slug(spec), lambda room: _write(room / "digest", kernel.digest))


def recall(spec: str) -> Kernel | None:
    """The kernel that `spec` stood for, if it is still cached."""
    try:
        digest = (cachedir.root() / NAMES / _slug(spec) / "digest").read_text()
    except OSError:
        return None
    return next((kernel for kernel in cached() if kernel.digest == digest), None)


def _answers(kernel: Kernel, prefix: str) -> bool:
    by_digest = len(prefix) >= SHORTEST_DIGEST and kernel.digest.startswith(prefix)
    return matches(prefix, kernel.release) or by_digest


def _slug(spec: str) -> str:
    return spec.replace("/", "_")


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _load(path: Path) -> Kernel:
    """Describe the entry, or the one in the making, that lies at `path`."""
    try:
        about = json.loads((path / tree.ABOUT).read_bytes())
        release, source = str(about["release"]), str(about["source"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedEntry(f"{path / tree.ABOUT}: unreadable ({error})") from error
    return _at(path, release, source, (path / tree.MODULES).is_dir(), (path / tree.CONFIG).is_file())


def _at(path: Path, release: str, source: str, modules: bool, config: bool) -> Kernel:
    return Kernel(
        release, path / tree.IMAGE, path / tree.MODULES if modules else None, source, path.name,
        path / tree.CONFIG if config else None,
    )  # fmt: skip
