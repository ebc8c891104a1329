"""Guests without a kernel, whose processors do what those of a guest do that has stopped, or of one that hangs."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from harness.errors import GuestHang, SilentGuest
from harness.memfile import MemFile
from harness.vm.guest import Guest
from harness.vm.machine import MIB, Hardware, Plan, Ram, find_qemu

HALT = "1: hlt; jmp 1b"
SPIN = "1: jmp 1b"
SHORT = 5.0
"""Seconds of silence after which these tests let a guest count as dead."""
PATIENCE = 4 * SHORT


class Assembler(Protocol):
    """Makes an image of machine code."""

    def assemble(self, body: str, other: str = "") -> Path: ...


@contextlib.contextmanager
def started(rig: Assembler, body: str, other: str = "") -> Iterator[Guest]:
    """A guest that runs `body` on its first processor and `other`, if that is given, on a second."""
    image = rig.assemble(body, other)
    with MemFile("nvdimm", 16 * MIB) as nvdimm, MemFile("ram", 64 * MIB) as ram:
        hardware = Hardware(memory=ram.size, cpus=2 if other else 1, nvdimm=nvdimm.size)
        plan = Plan(find_qemu(), hardware, image, image, ram=Ram(ram.path), inherit=(ram.fd,))
        with Guest(plan, nvdimm) as guest:
            yield guest


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.vm.guest.SILENT", SHORT)


def test_processors_that_wait_for_ever_are_silent(rig: Assembler) -> None:
    """Both are halted, as in a guest whose timer interrupt got lost: it is told, and what QEMU says of it is kept."""
    with started(rig, HALT, HALT) as guest:
        with pytest.raises(SilentGuest, match=r"no sign of life for 5 s .*\(vCPU 0 halted, vCPU 1 halted\)"):
            guest.hello(10 * PATIENCE)
        assert "(qemu) info lapic 1\n" in guest.said()


def test_a_process_that_is_stopped_is_silent(rig: Assembler) -> None:
    """QEMU that gets SIGSTOP cannot say what its processors are at, and is not asked for long."""
    with started(rig, SPIN) as guest:
        os.kill(guest.machine.pid, signal.SIGSTOP)
        with pytest.raises(SilentGuest, match="QEMU did not answer info status"):
            guest.hello(10 * PATIENCE)


@pytest.mark.parametrize("other", [pytest.param("", marks=pytest.mark.nightly), HALT])
def test_a_processor_that_spins_is_not_silent(rig: Assembler, other: str) -> None:
    """It may be the kernel under test that spins, so such a guest has the whole of its deadline, whatever a second
    processor does."""
    with started(rig, SPIN, other) as guest, pytest.raises(GuestHang) as caught:
        guest.hello(PATIENCE)
    assert not isinstance(caught.value, SilentGuest)
