"""Thaws a file system that a killed process has left frozen.

A frozen superblock outlives its last mount (freeze_super() of fs/super.c holds it active), and so does its claim of the
device: no mount can be seen, and nobody can have the device again. A new mount of the device finds that superblock.
"""

import errno

from harness.linux import mounts, syscalls
from harness.linux.channel import AgentChannel
from harness.linux.child import Child
from harness.linux.mounts import Place


def thaw(source: str, fs: str) -> bool:
    """Mount `source` at a hidden place, thaw it, unmount it; return whether it was frozen. Raises InfraError."""
    with Child(lambda channel: _thaw(channel, source, fs)) as child:
        return bool(child.receive()["frozen"])


def _thaw(channel: AgentChannel, source: str, fs: str) -> None:
    place = Place(mounts.own_root(), source, fs)
    place.mount()
    try:
        place.thaw()
        frozen = True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        frozen = False
    syscalls.umount(place.root)
    channel.send({"frozen": frozen})
