"""Guests of a kernel with one fault, as the targets of a session."""

import contextlib

from harness.cells.guests import GuestPool
from harness.exam.fault import PlantedFault
from harness.exam.faultytarget import Surveys, with_faults
from harness.kernel.kernel import Kernel
from harness.model.cell import Config
from harness.model.setting.engine import Engine
from harness.targets.guest import GuestTarget
from harness.targets.target import Say
from harness.vm.machine import Qemu


class FaultyPool(GuestPool):
    """Holds the target of each configuration, with the fault in it. One at a time keeps its guests."""

    def __init__(self, kernel: Kernel, qemu: Qemu, fault: PlantedFault, surveys: Surveys, say: Say) -> None:
        super().__init__((kernel,), qemu, say, (fault.device,), (Engine.PLUGIN,))
        self._fault = fault
        self._surveys = surveys
        self._faulty: dict[Config, GuestTarget] = {}
        self._stack = contextlib.ExitStack()

    def target(self, config: Config) -> GuestTarget:
        """The target of this configuration. Raises SetupError, UsageError."""
        for other, target in self._faulty.items():
            if other != config:
                target.rest()
        if config not in self._faulty:
            sound = super().target(config)
            fault = self._fault
            faulty = with_faults(sound, self._surveys, fault.patches, recovery=fault.recovery)
            self._faulty[config] = self._stack.enter_context(faulty)
        return self._faulty[config]

    def close(self) -> None:
        """End the guests that stayed."""
        self._stack.close()
        super().close()
