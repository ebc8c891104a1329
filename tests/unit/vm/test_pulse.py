"""The host's end of the pulse: what is a sign of life, and what QEMU tells of a guest without one."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.errors import QemuError
from harness.link.kernellog import Console
from harness.link.silence import SILENT, Look
from harness.memfile import MemFile
from harness.vm import vcpus
from harness.vm.pulse import Pulse

LOOKS = int(SILENT / 0.5)


@dataclass(frozen=True)
class Bed:
    """A guest that is looked at every half second, and sleeps."""

    pulse: Pulse
    guest: socket.socket
    console: MemFile

    def looked(self, times: int) -> float:
        """Seconds of silence after so many looks."""
        return [self.pulse.silent() for _ in range(times)][-1]


@pytest.fixture
def bed() -> Iterator[Bed]:
    ours, guest = socket.socketpair()
    with ours, guest, MemFile("console", 0) as console:
        ours.setblocking(False)
        yield Bed(Pulse(ours, Console(console), lambda: Look(0.5)), guest, console)


def test_no_byte_for_long_is_silence(bed: Bed) -> None:
    """Look by look the silence grows; one byte of the pulse ends it."""
    bed.guest.send(b".")
    assert bed.looked(1) == 0
    assert bed.looked(LOOKS - 1) == SILENT - 0.5
    bed.guest.send(b"....")
    assert bed.looked(1) == 0
    assert bed.looked(LOOKS) == SILENT


def test_a_guest_that_boots_speaks_by_its_console(bed: Bed) -> None:
    """Until the pulse begins, what is new on the console is a sign of life, and what stands there is none."""
    os.write(bed.console.fd, b"Linux version\n")
    assert bed.looked(1) == 0
    assert bed.looked(LOOKS) == SILENT
    os.write(bed.console.fd, b"smpboot: CPU0\n")
    assert bed.looked(1) == 0


def test_complaints_of_a_guest_with_a_pulse_are_no_sign_of_life(bed: Bed) -> None:
    """Once there was a pulse, a processor that tells of stalls of the other does not speak for both."""
    bed.guest.send(b".")
    assert bed.looked(1) == 0
    for _ in range(LOOKS):
        os.write(bed.console.fd, b"rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n")
        bed.pulse.silent()
    assert bed.looked(1) > SILENT


class Endless(socket.socket):
    """A guest that writes faster than its host reads."""

    reads = 0

    def recv(self, *_: int) -> bytes:
        self.reads += 1
        assert self.reads < 1000
        return b"." * 4096


def test_a_guest_that_writes_without_end_is_left_in_the_middle() -> None:
    """One look reads so much and no more: the host has its deadlines to see to."""
    with Endless() as guest, MemFile("console", 0) as console:
        assert Pulse(guest, Console(console), lambda: Look(0.5)).silent() == 0
        assert 0 < guest.reads <= 16


def test_a_wait_begins_at_zero(bed: Bed) -> None:
    """What was not listened to is not held against the guest."""
    assert bed.looked(LOOKS) == SILENT
    bed.pulse.begin()
    assert bed.looked(1) == 0.5


def test_a_qemu_that_ends_is_no_error(bed: Bed) -> None:
    """A closed pulse is silence, told by who looks whether QEMU still runs."""
    bed.guest.close()
    assert bed.looked(2) == 1.0


REGISTERS = """
CPU#0
RAX=0000000000000000 RBX=0000000000000000
RIP=ffffffff82ed1e9f RFL=00000212 [----A--] CPL=0 II=0 A20=1 SMM=0 HLT=1

CPU#1
RIP=ffffffff8231adcf RFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
"""


class Talker:
    """A monitor that answers until question number `ends`."""

    def __init__(self, ends: int) -> None:
        self.ends = ends
        self.asked = 0

    def tell(self, line: str, seconds: float) -> str:
        self.asked += 1
        if self.asked >= self.ends:
            raise QemuError(f"QEMU did not answer {line} within {seconds:.0f} s")
        return REGISTERS if "registers" in line else f"answer to {line}"


def test_qemu_tells_what_the_vcpus_are_at() -> None:
    """All answers are kept, and the state of each vCPU stands in the one line."""
    told, text = vcpus.ask(Talker(99))  # type: ignore[arg-type]
    assert told == "vCPU 0 halted, vCPU 1 running"
    assert all(f"(qemu) {question}\n" in text for question in vcpus.QUESTIONS)


def test_a_qemu_that_is_stopped_is_asked_once() -> None:
    """One that does not answer is not asked all the questions: that would take longer than the silence itself."""
    monitor = Talker(1)
    told, text = vcpus.ask(monitor)  # type: ignore[arg-type]
    assert monitor.asked == 1
    assert "did not answer" in told and "did not answer" in text
