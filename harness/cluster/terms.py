"""The Terms of a session: what its cells run on, as plain data that a worker makes a runner of.

They hold no path and name no device of a machine: those are the worker's own business, by its command line.
"""

import argparse
from dataclasses import dataclass

from harness.cells import setup
from harness.cells.runner import CellRunner
from harness.vm.machine import Accel


@dataclass(frozen=True, slots=True)
class Terms:
    """The words of a run's options that a runner is made of, and the digests of its kernels."""

    kernels: tuple[str, ...]
    fs: str
    device: str
    engine: str
    accel: str
    crash: str
    evictions: int | None
    coverage: bool

    @classmethod
    def of(cls, options: argparse.Namespace, runner: CellRunner) -> "Terms":
        """The terms of a session whose runner has found its kernels and engines. With --target the kernel is that of
        the worker, which needs no digest of it."""
        engines = options.engine or ",".join(dict.fromkeys(slot.config.engine for slot in runner.slots()))
        digests = () if options.target else tuple(kernel.digest for kernel in runner.kernels)
        accel = str(Accel.TCG) if options.target else options.accel
        return cls(digests, options.fs, options.device, engines, accel, options.crash, options.evictions,
                   bool(getattr(options, "coverage", False)))  # fmt: skip

    @property
    def needs_kvm(self) -> bool:
        """True if its guests are to run under KVM."""
        return self.accel == Accel.KVM


def runner_of(terms: Terms, qemu: str) -> CellRunner:
    """The runner of these terms on this machine, whose QEMU this is. Raises UsageError, SetupError."""
    options = argparse.Namespace(
        fs=terms.fs, device=terms.device, engine=terms.engine, accel=terms.accel, crash=terms.crash,
        evictions=terms.evictions, coverage=terms.coverage, qemu=qemu,
    )  # fmt: skip
    return setup.runner_on(options, terms.kernels, lambda _: None)
