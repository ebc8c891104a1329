"""The Agreement of a client and a worker: what both must have alike, so that a cell has one verdict wherever it runs.

It is also the name of a Dask resource, one for each guest that fits: a cell asks for that of its client. So the
scheduler gives it to no other worker, also not to one that joins later.
"""

import hashlib
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache

from harness import __version__, shipped
from harness.plain import clipped

GUESTS = "guests"
"""The word for a worker whose cells run in guests; one that offers a device has the words of that instead."""
KVM = "daxcheck-kvm"
"""The resource of a worker that can open /dev/kvm."""
TOLD = "daxcheck"
"""The key of a worker's agreement in what the scheduler tells of it."""
OFFERED = "daxcheck_device"
"""The key of the device that a worker offers, likewise."""
HEAR = "daxcheck_hear"
"""The call by which a client tells a worker what it would have to agree with."""
_BESIDE = "scenarios/"
"""Below the package only where daxcheck was installed from a wheel; a worker reads no scenario: it is sent Programs."""
_LONGEST = 80
"""Characters of a value that are told: it comes from another machine."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Versions, as texts; `sources` is a digest of daxcheck's own files, those of QEMU's plugin among them; `runs` says
    where cells run: in guests, or on which device under which kernel."""

    daxcheck: str
    sources: str
    python: str
    qemu: str
    machine: str
    runs: str = GUESTS

    @classmethod
    def here(cls, qemu: str, runs: str = GUESTS) -> "Agreement":
        """The one of this process, with this version of QEMU."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return cls(__version__, sources(), python, qemu, platform.machine(), clipped(runs, _LONGEST))

    @classmethod
    def from_json(cls, value: object) -> "Agreement":
        """The one that `to_json` gave this object for; what is no such object has unknown versions."""
        told = value if isinstance(value, Mapping) else {}
        return cls(*(clipped(str(told.get(one.name, "unknown")), _LONGEST) for one in fields(cls)))

    def to_json(self) -> dict[str, str]:
        """The object of its fields."""
        return asdict(self)

    @property
    def resource(self) -> str:
        """The name of the Dask resource of a worker that agrees; it has one for each guest that fits."""
        text = "\n".join(self.to_json().values())
        return f"daxcheck-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def differences(self, other: "Agreement") -> str:
        """The values in which another differs, as "QEMU 9.2.1 there, 10.0.2 here"; empty if it agrees."""
        told = []
        for name, mine in self.to_json().items():
            theirs = other.to_json()[name]
            if mine != theirs:
                told.append(f"{_NAMES[name]} {theirs} there, {mine} here")
        return "; ".join(told)


_NAMES = {
    "daxcheck": "daxcheck", "sources": "daxcheck's sources", "python": "Python", "qemu": "QEMU", "machine": "machine",
    "runs": "cells run on",
}  # fmt: skip


def kernel_resource(digest: str) -> str:
    """The name of the Dask resource of a worker that has this kernel in its cache."""
    return f"daxcheck-kernel-{digest}"


@cache
def sources() -> str:
    """A digest of daxcheck's Python files and the sources of its plugin, wherever they are installed."""
    found = hashlib.sha256()
    for top, pattern in ((shipped.PACKAGE, "*.py"), (shipped.place("qemu/plugin"), "*.[ch]")):
        named = {str(path.relative_to(top)): path for path in top.rglob(pattern)}
        for name in sorted(named):
            if not name.startswith(_BESIDE):
                data = named[name].read_bytes()
                found.update(f"{name}\n{len(data)}\n".encode() + data)
    return found.hexdigest()[:16]
