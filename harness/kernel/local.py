"""Copies kernels that lie on this machine: an image with its modules beside it, or a build tree."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.kernel import image, modinfo, tree
from harness.paths import inside

BUILT = Path("arch/x86/boot/bzImage")
"""The image in a build tree."""


def collect(path: Path, modules: Path | None, room: Path) -> str:
    """Copy the kernel at `path` and what is kept of its modules into `room`; returns its release.

    `path` is an image or a build tree; `modules` overrides the search for modules. Raises UsageError.
    """
    built = _build_tree(path)
    source = built / BUILT if built else path
    release = image.release(source)
    shutil.copyfile(source, room / tree.IMAGE)
    target = room / tree.MODULES
    if modules is not None:
        _copy(_named(modules, release), target)
    elif built:
        _copy_built(built, target)
    else:
        found = next((place for place in beside(source, release) if holds_modules(place)), None)
        if found:
            _copy(found, target)
    _check_release(target, release, source)
    for config in (source.with_name(f"config-{release}"), *([built / ".config"] if built else [])):
        if config.is_file():
            shutil.copyfile(config, room / tree.CONFIG)
    return release


def _build_tree(path: Path) -> Path | None:
    """The build tree that `path` is or lies in, if any. Raises UsageError for another directory."""
    if path.is_dir():
        if (path / BUILT).is_file():
            return path
        if (path / "Kbuild").exists() and (path / "arch/x86").is_dir():
            raise UsageError(f"{path}: a kernel source tree without {BUILT}: run make there first")
        raise UsageError(f"{path}: a directory that is no kernel build tree: name the vmlinuz, or a tree with {BUILT}")
    real = path.resolve()
    top = real.parents[3] if len(real.parents) > 3 else real.parent
    return top if top / BUILT == real else None


def beside(source: Path, release: str) -> Iterator[Path]:
    """Yield where an image's modules may lie: beside it, in the root file system it is part of, or installed here."""
    near = source.absolute().parent
    yield near
    yield near / "modules"
    for base in (near, near.parent, Path("/")):
        yield base / "lib/modules" / release
        yield base / "usr/lib/modules" / release


def holds_modules(path: Path) -> bool:
    """Say whether `path` is laid out as /lib/modules/RELEASE is."""
    return (path / "kernel").is_dir() and (path / "modules.builtin").is_file()


def _named(path: Path, release: str) -> Path:
    for place in (path, path / release, path / "lib/modules" / release, path / "usr/lib/modules" / release):
        if holds_modules(place):
            return place
    raise UsageError(f"{path}: no kernel/ and modules.builtin of {release} there: name its lib/modules/{release}")


def _copy(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        name = str(path.relative_to(source))
        if tree.kept(name) and path.is_file():
            _copy_file(path, target / name)


def _copy_built(top: Path, target: Path) -> None:
    """Copy the modules of a build tree by modules.order.

    It lists kernel/fs/ext4/ext4.ko up to 6.1 and fs/ext4/ext4.o since (scripts/Makefile.modfinal).
    """
    for name in tree.LISTS:
        if (top / name).is_file():
            _copy_file(top / name, target / name)
    order = top / "modules.order"
    for line in order.read_text(errors="replace").split() if order.is_file() else ():
        if not inside(line):
            raise UsageError(f"{order}: {line[:200]!r} leads out of the modules directory: run make modules in {top}")
        module = Path(line.removeprefix("kernel/")).with_suffix(".ko")
        if not tree.kept(f"kernel/{module}"):
            continue
        if not (top / module).is_file():
            raise UsageError(f"{top / module}: listed in modules.order but not built: run make modules in {top}")
        _copy_file(top / module, target / "kernel" / module)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except PermissionError:
        raise UsageError(f"{source}: permission denied: make it readable or pass a copy that you own") from None


def _check_release(target: Path, release: str, source: Path) -> None:
    """Raise UsageError for modules of another release, early: the kernel refuses those whose vermagic differs from its
    own (kernel/module/version.c)."""
    sample = next(iter(sorted(target.glob("kernel/**/*.ko*"))), None)
    if sample is None:
        return
    words = modinfo.fields(modinfo.read(sample), str(sample)).get("vermagic", ("",))[0].split()
    if words and words[0] != release:
        remedy = "name the right ones with --modules, or build both anew"
        raise UsageError(f"{source} is {release}, but the modules found for it are of {words[0]}: {remedy}")
