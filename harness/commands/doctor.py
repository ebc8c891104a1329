"""`daxcheck doctor`: tell what this machine has, what it lacks, and what to do about it."""

import argparse
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import cachedir, ending, trimming
from harness.box import armed, discover, undolog
from harness.commands import inventory
from harness.errors import EXIT_CLEAN, EXIT_USAGE, DaxcheckError
from harness.kernel import buildtools, cache
from harness.vm import plugin, pool
from harness.vm.machine import find_qemu

_TOOLS = (
    ("mkfs.ext4", "formats ext4 in the guest", "e2fsprogs"),
    ("mkfs.xfs", "formats xfs in the guest", "xfsprogs"),
    ("e2fsck", "checks ext4 after every recovery", "e2fsprogs"),
    ("xfs_repair", "checks xfs after every recovery", "xfsprogs"),
    ("setpriv", "ends QEMU with the harness", "util-linux"),
    ("prlimit", "bounds what a guest can make QEMU write", "util-linux"),
    ("apt-get", "fetches distribution kernels", "apt"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at, in one line or more, with a remedy if something is missing.

    A hint says what may be done about a thing that few need: for tests on real persistent memory, to build kernels.
    """

    name: str
    found: str
    remedy: str = ""
    hint: str = ""


def main(_: argparse.Namespace) -> int:
    """Print every fact; 2 when a needed thing is missing."""
    return tell(list(_facts()))


def tell(facts: Sequence[Fact]) -> int:
    """Print facts; the exit code."""
    for fact in facts:
        first, *rest = fact.found.splitlines()
        ending.say(f"{'MISSING' if fact.remedy else 'note' if fact.hint else 'ok':8}{fact.name:12}{first}")
        for line in rest:
            ending.say(f"{'':20}{line}")
        if fact.remedy or fact.hint:
            ending.say(f"{'':20}{'remedy' if fact.remedy else 'to do'}: {fact.remedy or fact.hint}")
    return EXIT_USAGE if any(fact.remedy for fact in facts) else EXIT_CLEAN


def _facts() -> Iterator[Fact]:
    yield Fact("python", f"{platform.python_version()} at {sys.executable}")
    yield _attempt("qemu", lambda: "{0.version} at {0.path}".format(find_qemu()))
    yield _attempt("plugin", lambda: f"loads: {plugin.build(find_qemu().path)}")
    for name, purpose, package in _TOOLS:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        yield Fact(name, path or purpose, "" if path else f"scripts/setup installs it (package {package})")
    kernels = ", ".join(kernel.release for kernel in cache.cached())
    yield Fact("kernels", kernels or "none cached", "" if kernels else "daxcheck kernel fetch default")
    yield _builds()
    yield _cache()
    yield Fact("parallel", f"{pool.capacity()} guests fit (-n auto)")
    kvm = "exists" if Path("/dev/kvm").exists() else "absent"
    yield Fact("kvm", f"/dev/kvm {kvm}; not used: cache lines are only seen under TCG")
    yield from hardware()


def _builds() -> Fact:
    """Say whether a kernel can be built here; only `kernel build` and `bisect-step --build` need that."""
    if lacking := buildtools.missing():
        names = ", ".join(tool.name for tool in lacking)
        return Fact("build", f"kernel build lacks {names}", hint=buildtools.remedy(lacking))
    return Fact("build", "kernel build finds all its tools")


def _cache() -> Fact:
    """Say how full the cache is, and what it had to make again; if that was nothing, it is large enough."""
    try:
        held, bound = sum(trimming.sizes().values()) / trimming.GIB, trimming.limit() / trimming.GIB
        return Fact("cache", f"{held:.1f} of at most {bound:g} GiB at {cachedir.root()}, kernels not counted",
                       hint=trimming.complaint())  # fmt: skip
    except DaxcheckError as error:
        return Fact("cache", "unusable", str(error))


def hardware() -> Iterator[Fact]:
    """Yield facts on the needs of tests on this machine's own persistent memory; without any, guests still run."""
    try:
        devices, idle = discover.devices(), discover.idle()
    except DaxcheckError as error:
        yield Fact("pmem", "cannot be looked for", hint=str(error))
        devices, idle = (), ()
    for device in map(armed.known, devices):
        yield Fact("pmem", "\n".join(inventory.describe(device)), hint=inventory.advice(device))
    for item in idle:
        what, command = inventory.idle(item)
        yield Fact("pmem", what, hint=command)
    if not devices and not idle:
        yield Fact("pmem", inventory.NONE, hint=inventory.MAKE_ONE)
    what, hint = inventory.tracing()
    yield Fact("tracing", what, hint=hint)
    records, complaints = undolog.records()
    for record in records:
        if not record.owner.alive:
            yield Fact("journal", f"{record.path}: its run was killed", hint="daxcheck cleanup")
    for complaint in complaints:
        yield Fact("journal", complaint, hint="daxcheck cleanup tells more")


def _attempt(name: str, look: Callable[[], str]) -> Fact:
    try:
        return Fact(name, look())
    except DaxcheckError as error:
        return Fact(name, "unusable", str(error))
