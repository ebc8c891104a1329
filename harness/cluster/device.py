"""The pmem device that a worker offers: its own command line named it, twice, and what it tells is all a client gets.

A client asks for a device by its path. It sends no word that could name one for erasing: its Terms have none, and the
worker makes its runner of its own command line alone.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.cells import setup
from harness.cells.box import why_not_here
from harness.cells.matrix import Matrix
from harness.cells.runner import CellRunner
from harness.cluster.terms import Terms
from harness.errors import InfraError, UsageError
from harness.fs.filesystem import FileSystem
from harness.model.cell import Cell, Config
from harness.model.setting.engine import Engine
from harness.model.setting.environment import Environment, KernelBuild
from harness.model.setting.hardware import PmemKind
from harness.plain import clipped
from harness.targets.target import Target

NO_QEMU = "none"
"""The version of QEMU where cells run on a device."""
_LONGEST = 80
"""Characters of a value that another machine tells."""


@dataclass(frozen=True, slots=True)
class DeviceOffer:
    """The device of a worker as a client must know it: its path there, its kind, and the kernel that runs there."""

    path: str
    kind: PmemKind
    kernel: KernelBuild

    def __str__(self) -> str:
        return f"{self.path} ({self.kind}, kernel {self.kernel.digest[:16]} {self.kernel.release})"

    @classmethod
    def from_json(cls, value: object) -> "DeviceOffer | None":
        """The one that `to_json` gave this object for; None for what is no such object."""
        if not isinstance(value, Mapping):
            return None
        path, kind, release, digest = (clipped(str(value.get(name, "")), _LONGEST) for name in _NAMES)
        if kind not in list(PmemKind) or not path.startswith("/") or not digest:
            return None
        return cls(path, PmemKind(kind), KernelBuild(release, digest))

    def to_json(self) -> dict[str, str]:
        """The object of its fields."""
        return dict(zip(_NAMES, (self.path, self.kind, self.kernel.release, self.kernel.digest), strict=True))

    def why_not(self, cell: Cell) -> str:
        """Return why a cell is not for this device; empty if it is."""
        if (cell.config.kernel.digest, cell.config.device) == (self.kernel.digest, self.kind):
            return ""
        return f"the cell is for {clipped(str(cell.config), _LONGEST)}, and not for {self}"


_NAMES = ("path", "kind", "release", "digest")


@dataclass(frozen=True, slots=True)
class GivenDevice:
    """The words of a worker's command line that name a device, as for `daxcheck run`: --target, --erase and
    --erase-signature."""

    target: str
    erase: str
    signature: str

    def offer(self) -> DeviceOffer:
        """The offer of this device. Raises UsageError where it may not be erased, or is not named twice."""
        words = argparse.Namespace(fs="ext4", engine="", crash="end", evictions=None)
        runner = setup.runner(self._options(words), lambda _: None)
        try:
            (slot,) = runner.slots()
            return DeviceOffer(self.target, slot.config.device, slot.config.kernel)
        finally:
            runner.close()

    def runner_of(self, terms: Terms, qemu: str) -> CellRunner:
        """The runner of these terms on the device; `qemu` is for guests. Raises UsageError, SetupError."""
        words = argparse.Namespace(fs=terms.fs, engine=terms.engine, crash=terms.crash, evictions=terms.evictions)
        return setup.runner(self._options(words), lambda _: None)

    def _options(self, words: argparse.Namespace) -> argparse.Namespace:
        given = {"target": self.target, "erase": self.erase, "erase_signature": self.signature}
        none = {"kernel": "", "modules": None, "coverage": False, "numprocesses": None}
        return argparse.Namespace(**vars(words), **given, **none)


class OfferedPool:
    """The configurations of a device that workers offer; nothing runs here."""

    def __init__(self, offer: DeviceOffer, engines: Sequence[Engine]) -> None:
        self._offer = offer
        self._engines = tuple(engines)

    def matrix(self, systems: tuple[FileSystem, ...]) -> Matrix:
        """Every file system on that kernel and device, by every engine."""
        return Matrix((self._offer.kernel,), systems, (self._offer.kind,), self._engines, why_not_here)

    def check(self, systems: Sequence[FileSystem]) -> None:
        """Check nothing: that kernel has booted already, and shows what it lacks when it mounts."""

    def environment(self, config: Config) -> Environment:
        """Return the environment of the device's machine."""
        return Environment("local", config.kernel)

    def target(self, config: Config) -> Target:
        """Raises InfraError: the device is on another machine."""
        raise InfraError(f"{self._offer.path}: is on a worker: this machine runs nothing on it")

    def make_format(self, config: Config) -> None:
        """Raises InfraError likewise."""
        self.target(config)

    def close(self) -> None:
        """Hold nothing, so give nothing up."""


def client_runner(options: argparse.Namespace, offer: DeviceOffer) -> CellRunner:
    """The runner of a client whose cells are for a device of the workers. Raises UsageError."""
    systems, engines = setup.on_device(options)
    return CellRunner(OfferedPool(offer, engines), systems)


def check_words(options: argparse.Namespace) -> None:
    """Raises UsageError for a client that names a device for erasing: only who starts its worker may."""
    if options.erase or options.erase_signature:
        raise UsageError("--erase and --erase-signature are said where the device is: daxcheck worker SCHEDULER "
                         "--target DEVICE --erase DEVICE; leave them out here")  # fmt: skip


def chosen(path: str, scheduler: str, offers: Sequence[DeviceOffer]) -> DeviceOffer:
    """The offer of the device that a client has asked for. Raises UsageError for none, or several that differ."""
    found = list(dict.fromkeys(offer for offer in offers if offer.path == path))
    if len(found) > 1:
        told = "; ".join(map(str, found[:3]))
        raise UsageError(f"--target {path}: workers of {scheduler} differ in it: {told}: end all but one kind")
    if not found:
        others = ", ".join(sorted({offer.path for offer in offers})[:3])
        raise UsageError(f"--target {path}: no worker of {scheduler} offers it{f', but {others}' if others else ''}: "
                         f"start daxcheck worker {scheduler} --target {path} --erase {path} where it is")  # fmt: skip
    return found[0]
