"""Python that is carried out in a guest while the file system is mounted, by way of the agent's `execute`.

That starts a shell, which our guests do not have. So a script stands in its place that carries out Python instead.
"""

from harness.errors import InfraError
from harness.exam.faultytarget import run_in
from harness.fs.filesystem import FileSystem
from harness.model.wire import commanded
from harness.trial.sessions import ended, execute
from harness.vm.guest import Guest
from harness.vm.initrd import initramfs, interpreter

SECONDS = 120.0
"""Seconds that one piece of Python may take."""
_PIECE = 32 << 10
"""Bytes of a file in one message."""
_SHELL = """
import os
os.makedirs('/bin', exist_ok=True)
with open('/bin/sh', 'w') as file:
    file.write('#!{python} -IS\\nimport sys\\nexec(sys.argv[2])\\n')
os.chmod('/bin/sh', 0o755)
"""
SHUTDOWN = """
import fcntl, os, struct
fd = os.open('/mnt', os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 2))
"""
"""FS_IOC_SHUTDOWN with FS_SHUTDOWN_FLAGS_NOLOGFLUSH, as xfstests' `godown` without -f (fs/xfs/libxfs/xfs_fs.h)."""


def prepare(guest: Guest) -> None:
    """Have a guest, in which nothing is mounted, carry out Python from now on. Raises AgentError, InfraError."""
    python = interpreter.survey(initramfs.AGENT, initramfs.ROOT).program
    run_in(guest, _SHELL.format(python=python))
    guest.call("detach", keep=False)


def carry_out(guest: Guest, source: str) -> bytes:
    """Carry out Python as root; returns what it wrote. Raises InfraError when it fails."""
    found = execute(guest, source, SECONDS)
    if found.status != 0:
        raise InfraError(f"in the guest: {ended(found, SECONDS)}")
    return found.out


def put(guest: Guest, name: str, data: bytes) -> None:
    """Put a file into /tmp/copied of the guest."""
    for start in range(0, max(len(data), 1), _PIECE):
        piece = commanded.encoded(data[start : start + _PIECE])
        guest.call("put", name=name, data=piece, new=start == 0)


def device_of(system: FileSystem) -> str:
    """The block device that the file system lies on."""
    return system.mkfs[-1] if system.mkfs else "/dev/pmem0"
