"""What counts against a kernel whose host gave it no time: all but what such a host brings about."""

import os

import pytest

from harness.link.kernellog import Console, Trouble
from harness.memfile import MemFile
from harness.vm.guest import Guest

STALL = "[   61.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [python3:87]"
HUNG = "[  242.9] INFO: task python3:87 blocked for more than 120 seconds."
WARNING = "[   12.3] WARNING: CPU: 1 PID: 87 at fs/dax.c:380 dax_insert_entry+0x2a4/0x2f0"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((HUNG,), {Trouble.HUNG_TASK}),
        ((STALL,), set()),
        ((STALL, HUNG), set()),
        ((HUNG, STALL), set()),
        ((STALL, WARNING, HUNG), {Trouble.WARNING}),
        ((HUNG, WARNING), {Trouble.HUNG_TASK, Trouble.WARNING}),
    ],
)
def test_a_stall_excuses_a_hung_task(lines: tuple[str, ...], told: set[Trouble]) -> None:
    """A hung task is the kernel's doing unless a stall shows, before or after it, that the host starved the guest; a
    stall never is; any other complaint stands whatever the host did."""
    with MemFile("console", 0) as file:
        guest = Guest.__new__(Guest)  # what a machine's end leaves: its console
        guest.console = Console(file)
        os.write(file.fd, "\n".join(lines).encode())
        assert {complaint.trouble for complaint in guest.complaints()} == told
