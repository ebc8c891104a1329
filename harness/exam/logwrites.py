"""dm-log-writes as a way to look: the guest mounts its file system through the target, whose log is replayed here.

The format of the log is that of drivers/md/dm-log-writes.c: a sector with the header; then for each entry a sector
that tells of it, and its data, of which a discard has none. The log of a run ends at the mark that is put when the
Program is done, as xfstests do by `dmsetup message 0 mark`.
"""

import struct

import numpy as np
import numpy.typing as npt

from harness.errors import InfraError
from harness.exam import inguest
from harness.fs.filesystem import FileSystem
from harness.kernel import modinfo, modules
from harness.kernel.kernel import Kernel
from harness.link.session import AgentSession, Attached
from harness.memfile import MemFile
from harness.model.wire.checked import shown
from harness.vm.guest import Guest

MODULE = "dm_log_writes"
MAGIC = 0x6A736677736872
MARK = b"daxcheck"
_HEADER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_DISCARD, _MARK = 4, 8
SECTOR = 512
_SETUP = """
import ctypes, fcntl, os, struct
os.chdir('/')
libc = ctypes.CDLL(None, use_errno=True)
def check(code, what):
    if code:
        raise OSError(ctypes.get_errno(), what)
def load(path, options):
    data = open(path, 'rb').read()
    check(libc.syscall(175, data, ctypes.c_ulong(len(data)), options), path)
def mapper(number, table=b'', targets=0):
    head = struct.pack('=3I I I I i I I I Q 128s 129s 7x', 4, 0, 0, 1024, 312, targets, 0, 0, 0, 0, 0, b'daxcheck', b'')
    argument = bytearray((head + table).ljust(1024, b'\\0'))
    fd = os.open('/dev/mapper/control', os.O_RDWR)
    fcntl.ioctl(fd, 0xc000fd00 | 312 << 16 | number, argument, True)
    os.close(fd)
"""
_MOUNT = """
libc.syscall(176, b'brd', 0)
load('/lib/modules/brd.ko', b'rd_nr=1 rd_size=196608')
load('/tmp/copied/dm-log-writes.ko', b'')
check(libc.umount(b'/mnt'), 'umount')
sectors = int(open('/sys/class/block/' + os.path.basename({device!r}) + '/size').read())
text = ({device!r} + ' /dev/ram0').encode() + b'\\0'
size = -(-(40 + len(text)) // 8) * 8
mapper(3)
mapper(9, (struct.pack('=QQiI16s', 0, sectors, 0, size, b'log-writes') + text).ljust(size, b'\\0'), 1)
mapper(6)
check(libc.mount(b'/dev/dm-0', b'/mnt', {fs!r}.encode(), 0, {options!r}.encode()), 'mount')
"""
_COLLECT = """
mapper(14, struct.pack('=Q', 0) + b'mark ' + {mark!r} + b'\\0')
check(libc.umount(b'/mnt'), 'umount')
mapper(4)
log, out = os.open('/dev/ram0', os.O_RDONLY), os.open('/dev/pmem0', os.O_WRONLY)
while data := os.read(log, 1 << 20):
    os.write(out, data)
os.fsync(out)
"""


class LogWrites:
    """The way by dm-log-writes, for guests of a kernel that has it as a module."""

    def __init__(self, kernel: Kernel, system: FileSystem) -> None:
        self._system = system
        found = [one for one in modules.closure(kernel, (MODULE,)) if one.name == MODULE] if kernel.modules else []
        if not found:
            raise InfraError(f"{kernel.release} has no module {MODULE}")
        self._module = modinfo.read(found[0].path)
        self._piece = 0, 0

    def mount(self, session: AgentSession, guest: Guest) -> Attached:
        """Mount the file system, and then once more through the target."""
        attached, system = session.attach(), self._system
        (self._piece,) = attached.pieces
        inguest.put(guest, "dm-log-writes.ko", self._module)
        names = {"device": inguest.device_of(system), "fs": system.name, "options": system.mount}
        inguest.carry_out(guest, _SETUP + _MOUNT.format(**names))
        return attached

    def media(self, session: AgentSession, guest: Guest, base: MemFile, live: MemFile) -> MemFile:
        """Replay what was logged up to now onto what was there before."""
        inguest.carry_out(guest, _SETUP + _COLLECT.format(mark=MARK))
        session.detach()
        start, size = self._piece
        media = base.copy("media")
        replay(live.array[start : start + size].tobytes(), media.array[start : start + size])
        return media


def replay(log: bytes, media: npt.NDArray[np.uint8]) -> int:
    """Write what the log holds up to MARK onto the media; returns the number of entries. Raises InfraError."""
    magic, _, count, sector = _HEADER.unpack_from(log)
    if magic != MAGIC or sector % SECTOR or not sector:
        raise InfraError(f"no log of dm-log-writes: it begins with {shown(log[:16].hex())}")
    at = sector
    for number in range(count):
        first, sectors, flags, length = _ENTRY.unpack_from(log, at)
        if flags & _MARK and log[at + _ENTRY.size :][:length].rstrip(b"\0") == MARK:
            return number
        data = log[at + sector :][: sectors * sector] if not flags & _DISCARD else b""
        place = first * sector
        if place + len(data) > media.size:
            raise InfraError(f"entry {number} of the log of dm-log-writes lies beyond the device")
        media[place : place + len(data)] = np.frombuffer(data, np.uint8)
        at += sector + len(data)
    raise InfraError(f"the log of dm-log-writes has no mark among {count} entries: it was too long")
