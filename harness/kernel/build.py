"""Builds a kernel from a source tree: out of that tree, again only what has changed, with what daxcheck needs built in.

The directory of a build holds, beside what make puts there, the options that were asked for and the log of make. It is
a build tree as `--kernel` takes it.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import cachedir, place
from harness.errors import SetupError, UsageError
from harness.kernel import buildconfig, buildtools, config, local
from harness.kernel.apt import Progress
from harness.kernel.buildconfig import Recipe
from harness.kernel.making import Making

AREA = "builds"
"""The directory of the cache that holds the builds for which the user named no other."""
OPTIONS, LOG = "daxcheck.config", "daxcheck-build.log"
"""The files of a build: the options that were asked for, and all that make said."""
_IN_PLACE = (".config", "include/config", "arch/x86/include/generated")
"""Each of these shows that a tree was built in place; the kernel's makefile then refuses O= (outputmakefile)."""
_SHOWN = 6
"""Options that were lost and are named; the others are counted."""
_FULL = os.strerror(errno.ENOSPC)
LEAST_FREE = 16 << 20
"""Bytes that are free on a disk that is not full."""


class BuildError(UsageError):
    """The tree gives no kernel that daxcheck can use: it does not build, or has not all that is needed."""


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """An order for a kernel: the source tree, the directory of the build, and the options."""

    tree: Path
    out: Path
    recipe: Recipe
    jobs: int

    @classmethod
    def checked(cls, tree: Path, recipe: Recipe, out: Path | None = None, jobs: int | None = None) -> "BuildOrder":
        """The order, once it is known that the tree and the directory can be used. `out` is by default one of the
        cache, `jobs` the number of processors. Raises UsageError."""
        top = tree.expanduser().resolve()
        _check_tree(top)
        where = out.expanduser().absolute() if out else _default(top, recipe)
        _check_out(where, top)
        if jobs is not None and jobs < 1:
            raise UsageError(f"--jobs {jobs}: wants 1 or more")
        return cls(top, where, recipe, jobs or len(os.sched_getaffinity(0)))


def build(order: BuildOrder, say: Progress) -> Path:
    """Build what was ordered, or as much of it as has changed; the directory, which `--kernel` takes.

    Raises SetupError without the tools or room on the disk, BuildError, InfraError. Whatever happens, the source tree
    stays as it is, and no process is left.
    """
    buildtools.require()
    with _taken(order.out):
        with place.opened(order.out) as folder:
            place.write(folder, OPTIONS, order.recipe.text.encode())
            place.write(folder, LOG, b"")
        making = Making(order.tree, order.out / LOG, say)
        say(f"building {order.tree} ({order.recipe.name}) in {order.out}")
        _configure(order, making, say)
        _make(order, making, say, [f"-j{order.jobs}", local.BUILT.name])
    if not (order.out / local.BUILT).is_file():
        raise BuildError(f"{order.tree}: make ended well, but left no {local.BUILT}: is it a kernel for x86-64?")
    return order.out


def _configure(order: BuildOrder, making: Making, say: Progress) -> None:
    """Make the .config. Raises BuildError when it lacks what a guest needs; what else it lacks is told."""
    _make(order, making, say, [order.recipe.base], {"KCONFIG_ALLCONFIG": str(order.out / OPTIONS)})
    try:
        text = (order.out / ".config").read_text(errors="replace")
    except OSError as error:
        raise BuildError(f"{order.tree}: make {order.recipe.base} left no {error.filename}") from error
    options = config.parse(text)
    if off := config.absent(options):
        raise BuildError(f"{order.tree}: this source cannot have {off}: daxcheck needs it in every kernel")
    if lost := buildconfig.lost(text):
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        say(f"not built in, though qemu/kernel.config asks for it: {', '.join(lost[:_SHOWN])}{more}")


def _make(
    order: BuildOrder, making: Making, say: Progress, targets: list[str], env: dict[str, str] | None = None
) -> None:
    """Run make for these targets. Raises BuildError, after its last words, or SetupError on a full disk."""
    compiler = ["CC=ccache gcc"] if shutil.which("ccache") and not os.environ.get("LLVM") else []
    if making.run(f"O={order.out}", "ARCH=x86_64", *compiler, *targets, env=env):
        return
    for line in making.words:
        say(f"  {line}")
    # On a full disk the words are not always there.
    if any(_FULL in line for line in making.words) or shutil.disk_usage(order.out).free < LEAST_FREE:
        raise SetupError(f"no space left for the build at {order.out}: free some, or name another place with --out")
    said = order.out / LOG
    raise BuildError(f"{order.tree} does not build: make {targets[-1]} failed; all that it said is in {said}")


def _check_tree(tree: Path) -> None:
    if not tree.is_dir():
        raise UsageError(f"{tree}: no such directory: name the source tree of a kernel")
    with contextlib.suppress(OSError):
        if re.search(r"^PATCHLEVEL\s*=", (tree / "Makefile").read_text(errors="replace"), re.MULTILINE):
            _check_clean(tree)
            return
    raise UsageError(f"{tree}: no source tree of a kernel (no Makefile with a PATCHLEVEL): name the top of one")


def _check_clean(tree: Path) -> None:
    for name in _IN_PLACE:
        if (tree / name).exists():
            remedy = f"keep its .config elsewhere (--config takes it), then: make -C {tree} mrproper"
            raise UsageError(f"{tree}: was built in place ({name}), so its makefile builds nowhere else: {remedy}")


def _default(tree: Path, recipe: Recipe) -> Path:
    """The directory of the cache for this tree and these options: one that any later build of both finds again."""
    digest = hashlib.sha256(f"{tree}\0{recipe.name}".encode(errors="surrogateescape")).hexdigest()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{tree.name}-{recipe.name}")[-100:]
    return cachedir.root() / AREA / f"{name}-{digest[:8]}"


def _check_out(out: Path, tree: Path) -> None:
    """Raise UsageError for a directory that a build cannot or must not fill."""
    for path in (tree, out):
        if found := re.search(r"[\s:]", str(path)):
            raise UsageError(f"{path}: the kernel's makefile takes no {found[0]!r} in a path: give it another name")
    if out.resolve().is_relative_to(tree.resolve()):
        raise UsageError(f"--out {out}: lies in the source tree, which stays as it is: name a directory outside of it")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is no directory")
    if out.is_dir() and not (out / OPTIONS).exists() and any(out.iterdir()):
        raise UsageError(f"--out {out}: holds files, and no build of daxcheck: name an empty or a new directory")


@contextlib.contextmanager
def _taken(out: Path) -> Iterator[None]:
    """Hold the directory of a build for one daxcheck alone. Raises UsageError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        fd = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}: name another directory with --out") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{out}: another daxcheck builds there: wait for it, or take another --out") from None
        yield
    finally:
        os.close(fd)
