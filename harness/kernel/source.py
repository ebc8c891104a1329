"""Turns what a user writes after --kernel into a kernel in the cache."""

import os
from collections.abc import Mapping
from pathlib import Path

from harness.errors import DaxcheckError, InfraError, UsageError
from harness.kernel import cache, debian
from harness.kernel.apt import Progress
from harness.kernel.kernel import Kernel

FETCHED = (
    "--kernel takes debian:SUITE[/VERSION], the path of a vmlinuz or of a build tree, or a cached kernel's release"
)


def resolve(spec: str, progress: Progress, modules: Path | None = None) -> Kernel:
    """The kernel that `spec` names, whatever its form, whole and in the cache.

    A `debian:` spec that was fetched before stands for the same kernel until `fetch` renews it, so that a series of
    runs compares like with like and needs no network. A damaged entry is fetched again where it came from a package.
    `progress` is told each step that takes time. Raises UsageError, SetupError or InfraError, each with the remedy.
    """
    if spec.startswith(debian.PREFIX):
        return _whole(cache.recall(spec), spec, progress) or fetch(spec, progress)
    if _is_path(spec):
        progress(f"copying the kernel {spec} into the cache")
        return cache.add(Path(spec), modules)
    kernel = cache.newest(spec)
    if kernel.source.startswith(debian.PREFIX):
        return _whole(kernel, kernel.source, progress) or fetch(kernel.source, progress)
    return cache.find(spec)


def fetch(spec: str, progress: Progress) -> Kernel:
    """Fetch the kernel that `debian:SUITE[/VERSION]` names today, newest first, into the cache.

    Raises UsageError for a suite or version that does not exist, SetupError and InfraError from apt.
    """
    if not spec.startswith(debian.PREFIX):
        raise UsageError(f"{spec!r} cannot be fetched: write debian:SUITE[/VERSION], or add a path with kernel add")
    try:
        kernel = cache.store(lambda room: debian.fetch(spec, room, progress, _have))
    except debian.Unchanged as unchanged:
        kernel = cache.recall(unchanged.source) or fetch(unchanged.source, progress)
    for name in (spec, kernel.source):
        cache.remember(name, kernel)
    progress(f"kernel {kernel.release} is in the cache")
    return kernel


def defaults(os_release: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return what to test when the user names nothing: for each kernel the specs to try, best first.

    On Debian they are the distribution's own, its newest backport, and the newest of the next suite; elsewhere it is
    the kernel that runs. `os_release` holds the fields of /etc/os-release.
    """
    if os_release.get("ID") != "debian":
        return ((f"/boot/vmlinuz-{os.uname().release}",),)
    own, following = _NEIGHBOURS.get(os_release.get("VERSION_CODENAME", ""), ("sid", ""))
    if not following:
        return (("debian:testing",), ("debian:sid",))
    return (
        (f"debian:{own}",),
        (f"debian:{own}-backports",),
        (f"debian:{following}-backports", f"debian:{following}", "debian:sid"),
    )


_NEIGHBOURS = {
    "bookworm": ("bookworm", "trixie"),
    "trixie": ("trixie", "forky"),
    "forky": ("forky", "duke"),
}
"""Debian's releases by code name, and the one after each."""


def resolve_defaults(
    os_release: Mapping[str, str], progress: Progress, *, cached_first: bool = False
) -> tuple[Kernel, ...]:
    """Return the kernels of `defaults` that can be had, each once; the others are told to `progress` and left out.

    With `cached_first` a choice that was fetched before is taken before a better one that was not, so that no run asks
    a mirror for a suite which does not exist yet. Raises InfraError when none can be had.
    """
    found: dict[str, Kernel] = {}
    reasons: list[str] = []
    for choices in defaults(os_release):
        for spec in sorted(choices, key=lambda spec: cached_first and cache.recall(spec) is None):
            try:
                kernel = resolve(spec, progress)
            except DaxcheckError as error:
                reasons.append(f"{spec} is left out: {error}")
                progress(reasons[-1])
                continue
            found.setdefault(kernel.release, kernel)
            break
    if not found:
        raise InfraError(f"no kernel can be had: {'; '.join(reasons)}")
    return tuple(found.values())


def _have(source: str) -> bool:
    kernel = cache.recall(source)
    return kernel is not None and cache.current(kernel) and not cache.damage(kernel)


def _whole(kernel: Kernel | None, spec: str, progress: Progress) -> Kernel | None:
    if kernel is None:
        return None
    problem = cache.damage(kernel)
    if not problem:
        return kernel
    progress(f"cached kernel {kernel.release} is damaged ({problem}): fetching {spec} again")
    cache.remove(kernel.digest)
    return None


def _is_path(spec: str) -> bool:
    if not spec:
        raise UsageError(f"no kernel named: {FETCHED}")
    return "/" in spec or spec in (".", "..") or spec.startswith("~") or Path(spec).is_file()


