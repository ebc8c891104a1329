"""Fetches kernels from Debian: finds the packages that make one up, and takes from them the files that are kept.

Up to 6.17 one linux-image package holds boot/vmlinuz-RELEASE and lib/modules/RELEASE. Later ones only depend on the
linux-binary, linux-modules and linux-base of the same release, which put theirs under usr/lib/modules/RELEASE.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness import cachedir
from harness.errors import InfraError, SetupError, UsageError
from harness.kernel import tree
from harness.kernel.apt import Apt, Package, Progress
from harness.kernel.kernel import matches, version_key
from harness.paths import inside

PREFIX = "debian:"
FLAVOUR = "-amd64"
META = "linux-image-amd64"
AREA = "apt"
UNPACK = 300.0
"""Seconds that dpkg-deb has to end after its last byte."""
_SUITE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True, slots=True)
class Offer:
    """A kernel that a suite holds: its `uname -r` and the version of its linux-image package."""

    release: str
    package: Package

    def answers(self, wanted: str) -> bool:
        """Say whether `wanted` names it: its package, or a whole-number prefix of its release or package version."""
        exact = wanted in (self.release, self.package.name)
        special = re.search(r"-(cloud|rt)-amd64$", self.release) is not None
        return exact or (not special and (matches(wanted, self.release) or matches(wanted, self.package.version)))

    def parts(self, package: Package) -> tuple[str, ...]:
        """Return the packages of this kernel that `package` depends on: those named after the same release."""
        end = f"-{self.release}"
        return tuple(name for name in package.depends if name.startswith("linux-") and name.endswith(end))


def parse(spec: str) -> tuple[str, str]:
    """Parse `debian:SUITE[/VERSION]` into (SUITE, VERSION or ""). Raises UsageError."""
    suite, _, wanted = spec.removeprefix(PREFIX).partition("/")
    if not spec.startswith(PREFIX) or not _SUITE.fullmatch(suite):
        raise UsageError(f"{spec!r} names no Debian suite: write debian:SUITE[/VERSION], such as debian:trixie")
    return suite, wanted


class Unchanged(Exception):
    """The kernel that a spec names today is one that the caller has; `source` is its exact spec."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source


def fetch(
    spec: str, room: Path, progress: Progress, have: Callable[[str], bool] = lambda source: False
) -> tuple[str, str]:
    """Fill `room` with the kernel that `spec` names; returns its release and exact spec, debian:SUITE/PACKAGE-VERSION.

    Raises Unchanged, before anything is downloaded, when the caller says that it has that exact spec; UsageError for
    a suite or version that does not exist (listing what does), SetupError, InfraError.
    """
    suite, wanted = parse(spec)
    if shutil.which("dpkg-deb") is None:
        raise SetupError(f"{spec} needs dpkg-deb, which this machine lacks: name a kernel by its path")
    with cachedir.locked(AREA, suite):
        apt = Apt.prepare(suite, cachedir.root() / AREA / suite)
        apt.update(progress)
        offer = pick(spec, wanted, offers(apt), recommended(apt))
        source = f"{PREFIX}{suite}/{offer.package.version}"
        if have(source):
            raise Unchanged(source)
        parts = members(apt, offer)
        debs = room / "debs"
        debs.mkdir()
        files = [apt.download(part, debs, progress) for part in parts]
    for file in files:
        progress(f"unpacking {file.name}")
        unpack(file, offer.release, room)
    shutil.rmtree(debs)
    for name in (tree.IMAGE, f"{tree.MODULES}/{tree.LISTS[0]}", f"{tree.MODULES}/kernel"):
        if not (room / name).exists():
            names = ", ".join(part.name for part in parts)
            raise InfraError(f"{spec}: no {name} of {offer.release} in {names}: this layout of packages is not known")
    return offer.release, source


def offers(apt: Apt) -> tuple[Offer, ...]:
    """Return all kernels for x86-64 that a suite holds whole, newest first.

    A backports suite keeps old linux-image packages for a long while after the linux-modules that belong to them.
    """
    pattern = re.compile(r"linux-image-(\d\S*" + FLAVOUR + ")")
    names = set(apt.names("linux-"))
    found = {name: match[1] for name in names if (match := pattern.fullmatch(name))}
    listed = [Offer(found[package.name], package) for package in apt.show(tuple(sorted(found)))]
    whole = [offer for offer in listed if names.issuperset(offer.parts(offer.package))]
    return tuple(sorted(whole, key=lambda o: (version_key(o.package.version), version_key(o.release)), reverse=True))


def recommended(apt: Apt) -> tuple[str, ...]:
    """The package names that the suite's own choice of kernel, META, depends on."""
    metas = sorted(apt.show((META,)) if META in apt.names(META) else (), key=lambda meta: version_key(meta.version))
    return metas[-1].depends if metas else ()


def pick(spec: str, wanted: str, listed: tuple[Offer, ...], preferred: tuple[str, ...] = ()) -> Offer:
    """The newest offer that `wanted` names; when it is empty the suite's own choice. Raises UsageError.

    A suite may hold a newer series besides its own: Debian 12 has 6.12 kernels in its security archive.
    """
    found = [offer for offer in listed if offer.answers(wanted)]
    own = [offer for offer in found if not wanted and offer.package.name in preferred]
    if found:
        return (own or found)[0]
    exist = ", ".join(dict.fromkeys(f"{o.release} ({o.package.version})" for o in listed if o.answers(""))) or "none"
    raise UsageError(f"{spec}: no such kernel in the suite; there are: {exist}")


def members(apt: Apt, offer: Offer) -> tuple[Package, ...]:
    """The packages of one kernel: its image and, through dependencies, those named after the same release."""
    found = {offer.package.name: offer.package}
    todo = [offer.package]
    while todo:
        for name in offer.parts(todo.pop()):
            same = [package for package in apt.show((name,)) if package.version == offer.package.version]
            if name not in found and same:
                found[name] = same[0]
                todo.append(same[0])
    return tuple(found.values())


def place(name: str, release: str) -> str | None:
    """Return the place of a package's file in an entry, or None when it is not kept. Raises InfraError for a name that
    leads out of the package."""
    name = name.removeprefix("./")
    if not inside(name):
        raise InfraError(f"a file of the package is called {name[:200]!r}, which leads out of it: do not use it")
    if name in (f"boot/vmlinuz-{release}", f"usr/lib/modules/{release}/vmlinuz"):
        return tree.IMAGE
    if name in (f"boot/config-{release}", f"usr/lib/modules/{release}/config"):
        return tree.CONFIG
    for base in (f"lib/modules/{release}/", f"usr/lib/modules/{release}/"):
        if name.startswith(base) and tree.kept(name.removeprefix(base)):
            return f"{tree.MODULES}/{name.removeprefix(base)}"
    return None


def unpack(deb: Path, release: str, room: Path) -> None:
    """Extract the files that are kept of one package. Raises InfraError when it is damaged."""
    import tarfile  # not above: it takes longer to import than all of harness.kernel, and most runs fetch nothing

    with tempfile.TemporaryFile(dir=room) as err:
        process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, stderr=err)
        try:
            assert process.stdout is not None
            _extract(process.stdout, release, room)
            status = process.wait(UNPACK)
        except tarfile.TarError as error:
            raise InfraError(f"{deb.name}: damaged ({error}): run again to download it anew") from error
        finally:
            process.kill()
            process.wait()
        if status:
            err.seek(0)
            words = err.read().decode(errors="replace").strip().replace("\n", "; ")
            raise InfraError(f"{deb.name}: dpkg-deb failed ({words}): run again to download it anew")


def _extract(stream: IO[bytes], release: str, room: Path) -> None:
    import tarfile

    with stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            target = place(member.name, release) if member.isreg() else None
            data = archive.extractfile(member) if target else None
            if target and data:
                (room / target).parent.mkdir(parents=True, exist_ok=True)
                with (room / target).open("wb") as file:
                    shutil.copyfileobj(data, file, 1 << 20)
        while stream.read(1 << 20):  # padding, which dpkg-deb must be able to write before it exits with success
            pass
