"""`daxcheck doctor`: what this machine has, what it lacks, and what to do about it."""

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EXIT_CLEAN, EXIT_USAGE, DaxcheckError
from harness.kernel import cache
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
class Finding:
    """One thing looked at; a remedy stands where something is missing."""

    name: str
    found: str
    remedy: str = ""


def main() -> int:
    """Print every finding; 2 when a needed thing is missing."""
    findings = list(_findings())
    for finding in findings:
        print(f"{'MISSING' if finding.remedy else 'ok':8}{finding.name:12}{finding.found}")
        if finding.remedy:
            print(f"{'':20}remedy: {finding.remedy}")
    return EXIT_USAGE if any(finding.remedy for finding in findings) else EXIT_CLEAN


def _findings() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} at {sys.executable}")
    yield _attempt("qemu", lambda: "{0.version} at {0.path}".format(find_qemu()))
    yield _attempt("plugin", lambda: f"loads: {plugin.build(find_qemu().path)}")
    for name, purpose, package in _TOOLS:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        yield Finding(name, path or purpose, "" if path else f"scripts/setup installs it (package {package})")
    kernels = ", ".join(kernel.release for kernel in cache.cached())
    yield Finding("kernels", kernels or "none cached", "" if kernels else "daxcheck kernel fetch default")
    yield Finding("parallel", f"{pool.capacity()} guests fit (-n auto)")
    kvm = "exists" if Path("/dev/kvm").exists() else "absent"
    yield Finding("kvm", f"/dev/kvm {kvm}; not used: cache lines are only seen under TCG")


def _attempt(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, look())
    except DaxcheckError as error:
        return Finding(name, "unusable", str(error))
