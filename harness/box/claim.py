"""Holds the device under test: no other program can mount or claim it while it is written, or change it between the
check and the write.

There are two descriptors, both of the same open file's device and never of its name again. `fd` is read-only and stays:
it is the source of mounts (/proc/self/fd/N) and holds an exclusive flock(2), by which udevd and other tools keep off
(https://systemd.io/BLOCK_DEVICE_LOCKING). The writing one is opened from it with O_EXCL, only during a write: a mount
claims the device itself and would be refused by it (bd_may_claim, block/bdev.c).
"""

import contextlib
import errno
import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from harness.box import discover, permit, signature
from harness.box.discover import SYSFS, PmemDevice
from harness.box.permit import Permit, Survey
from harness.box.signature import ARMED, Signature
from harness.deadline import Deadline, DeadlineExpired, poll
from harness.errors import InfraError, UsageError
from harness.model.units import PAGE

BLKROGET, BLKGETSIZE64, BLKZEROOUT = 0x125E, 0x80081272, 0x127F  # linux/fs.h
REFERENCES = SYSFS / "module/nd_pmem/refcnt"
"""The count of opens of nd_pmem's block devices: each holds its module (blkdev_get_by_dev(), since 6.9 bdev_open(),
block/bdev.c). A kernel that has the driver built in has no such file, and does not count."""
OPENS = 2  # of daxcheck's own, while it looks again
LOCK_WAIT = 5.0
"""Seconds for udevd, which holds its lock only while it looks at the device."""
PIECE = 1 << 20
"""Bytes of one read or write."""
_UNABLE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL})


class Claim:
    """A context manager that holds the device of a Permit, whose first `owned` bytes may be written.

    Entering checks everything again, under an exclusive claim. Raises UsageError, with nothing written, when the device
    is not what the permit was given for any more, when somebody holds it, or when it is smaller than `owned`.
    """

    def __init__(self, allowed: Permit, owned: int, survey: Survey = discover.devices) -> None:
        self.path = allowed.path
        self.owned = owned
        self._permit = allowed
        self._survey = survey
        self._fd = -1
        self._written = False

    def __enter__(self) -> Self:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self._fd = os.open(self.path, flags)
        except OSError as error:
            raise self._refused(f"has changed since it was checked: {error.strerror}") from error
        try:
            self._identify(self._fd)
            self._lock()
            with self.writing():
                self._check_again()
            self._written = False
        except (UsageError, InfraError):
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the device up."""
        os.close(self._fd)
        self._fd = -1

    def fileno(self) -> int:
        """The descriptor that stays; close-on-exec."""
        return self._fd

    @property
    def source(self) -> str:
        """The path of the device for mount(2), in this process or one that inherits the descriptor."""
        return f"/proc/self/fd/{self._fd}"

    @contextlib.contextmanager
    def writing(self) -> Iterator["Writer"]:
        """Claim the device exclusively, so that it can be written; what was written is durable at the end.

        It must be unmounted, and in between nobody else may have put anything on it. Raises UsageError, InfraError.
        """
        fd = self._open()
        try:
            self._identify(fd)
            self._check_signatures(self._contents())
            self._written = True
            yield (writer := Writer(self.path, fd, self.owned))
            writer.sync()
        finally:
            os.close(fd)

    def vouch(self) -> str:
        """The UUID of daxcheck's own file system: nothing else lies on the owned bytes.

        Between writing and mounting nobody claims the device. Raises InfraError when somebody has made use of that.
        """
        try:
            found = [one for one in signature.read(self.source, (self._fd,)) if one.offset < self.owned]
        except UsageError as error:
            raise InfraError(str(error)) from error
        if not found or not all(one.ours for one in found):
            what = ", ".join(map(str, found)) or "nothing"
            raise InfraError(f"{self.path}: carries {what} instead of what daxcheck has put there")
        return found[0].uuid

    def _open(self) -> int:
        try:
            return os.open(self.source, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise self._refused(f"cannot be opened for writing: {error.strerror}") from error
            raise self._refused(f"is claimed: {self._holders()}") from error

    def _holders(self) -> str:
        device = self._find()
        found = (*device.mounts, *device.swaps, *device.holders, *device.partitions, *device.users) if device else ()
        return ", ".join(found) or "by a mount or a program that cannot be seen from here (lsblk, lsof)"

    def _identify(self, fd: int) -> None:
        """Check that the descriptor is of the block device of the permit, with the same size, and can be written."""
        checked = self._permit.device
        status = os.fstat(fd)
        if not stat.S_ISBLK(status.st_mode) or status.st_rdev != checked.device:
            raise self._refused("is not the device any more that was checked")
        try:
            size, frozen = (_asked(fd, request) for request in (BLKGETSIZE64, BLKROGET))
        except OSError as error:
            raise self._refused(f"has changed since it was checked: {error.strerror}") from error
        if size != checked.size:
            raise self._refused(f"had {checked.size} bytes when it was checked, and has {size} now")
        if size < self.owned:
            raise self._refused(f"has {size} bytes, and daxcheck needs {self.owned}: give it a larger namespace")
        if frozen:
            raise self._refused("is read-only")

    def _lock(self) -> None:
        def attempt() -> bool | None:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            return True

        try:
            poll(attempt, Deadline(LOCK_WAIT), f"{self.path} stays locked")
        except DeadlineExpired as error:
            raise self._refused("is locked by another program, such as another daxcheck (lslocks)") from error

    def _check_again(self) -> None:
        """Check all rules of the permit but those of signatures, now that nobody else can claim the device."""
        with contextlib.suppress(DeadlineExpired):
            poll(self._unused, Deadline(permit.SETTLE), f"{self.path} stays in use")
        if reason := self._hidden():
            raise self._refused(reason)
        now, before = (_bare(device) for device in (self._find(), self._permit.device))
        if now != before:
            reason = permit.why_not_erased(now, frozenset()) if now else "it is gone"
            raise self._refused(f"has changed since it was checked: {reason or 'see daxcheck doctor'}")

    def _unused(self) -> bool | None:
        device = self._find()
        return None if self._hidden() or (device and (device.users or device.unseen)) else True

    def _hidden(self) -> str:
        """Return why the device must be open to somebody whom no file shows, such as a driver that tells nothing; empty
        where the kernel does not count, or another pmem device is in use, which counts too."""
        try:
            count = int(REFERENCES.read_text())
        except (OSError, ValueError):
            return ""
        if count <= OPENS or any(_used(device) for device in self._survey()):
            return ""
        return f"is open where it cannot be seen: nd_pmem counts {count} opens, {OPENS} of them daxcheck's: boot anew"

    def _contents(self) -> tuple[Signature, ...]:
        """Return the signatures on the device. Raw data counts until daxcheck has written there: then it is its own."""
        found = signature.read(self.source, (self._fd,))
        return found if found or self._written else signature.data(self.source)

    def _check_signatures(self, now: Sequence[Signature]) -> None:
        armed = self._permit.device.armed if any(found.armed for found in now) else ""
        device = replace(self._permit.device, signatures=tuple(now), armed=armed)
        if reason := permit.why_not_erased(device, self._wanted(now)):
            raise self._refused(reason)
        before = self._permit.device.signatures
        if strange := [found for found in now if not found.ours and found not in before]:
            raise self._refused(f"carries something since it was checked: {', '.join(map(str, strange))}")

    def _wanted(self, now: Sequence[Signature]) -> frozenset[str]:
        """Return the types that the user named and that are still there: daxcheck has overwritten the others."""
        return self._permit.types & {*(found.type for found in now), *(ARMED for found in now if found.armed)}

    def _find(self) -> PmemDevice | None:
        number = self._permit.device.device
        return next((device for device in self._survey() if device.device == number), None)

    def _refused(self, reason: str) -> UsageError:
        return UsageError(f"--target {self.path}: {reason}")


def _asked(fd: int, request: int) -> int:
    """Return the answer to an ioctl of a block device, an int or u64."""
    return int.from_bytes(fcntl.ioctl(fd, request, bytes(8)), "little")


def _used(device: PmemDevice) -> bool:
    return bool(device.mounts or device.swaps or device.holders or device.users)


def _bare(device: PmemDevice | None) -> PmemDevice | None:
    """Return the device without the facts that udevd changes in its own time, or that the descriptor tells instead."""
    return device and replace(device, links=(), signatures=(), unread="", armed="")


class Writer:
    """Reads and writes whole pages of the first `owned` bytes of a claimed device, past the page cache.

    Every method raises InfraError: for ranges that are not whole pages or not owned, and when the device fails.
    """

    def __init__(self, path: str, fd: int, owned: int) -> None:
        self._path = path
        self._fd = fd
        self._owned = owned
        self._buffer = mmap.mmap(-1, PIECE)  # O_DIRECT wants aligned memory

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` at byte `offset`."""
        view = memoryview(data).cast("B")
        self._check(offset, offset + len(view))
        for done in range(0, len(view), PIECE):
            length = min(PIECE, len(view) - done)
            self._buffer[:length] = view[done : done + length]
            with memoryview(self._buffer) as buffer, buffer[:length] as piece:
                self._transfer("writing", os.pwritev, piece, offset + done)

    def zero(self, start: int, end: int) -> None:
        """Make bytes [start, end) zero, by BLKZEROOUT where the kernel takes that."""
        self._check(start, end)
        if start == end:
            return
        try:
            fcntl.ioctl(self._fd, BLKZEROOUT, struct.pack("=QQ", start, end - start))
            return
        except OSError as error:
            if error.errno not in _UNABLE:
                raise InfraError(f"{self._path}: zeroing [{start}, {end}): {error.strerror}") from error
        blank = bytes(PIECE)
        for at in range(start, end, PIECE):
            self.write(at, memoryview(blank)[: min(PIECE, end - at)])

    def read(self, start: int, end: int) -> bytes:
        """Read bytes [start, end)."""
        self._check(start, end)
        whole = bytearray()
        for at in range(start, end, PIECE):
            length = min(PIECE, end - at)
            with memoryview(self._buffer) as buffer, buffer[:length] as piece:
                self._transfer("reading", os.preadv, piece, at)
                whole += piece
        return bytes(whole)

    def sync(self) -> None:
        """Have what was written on the medium (fsync(2) of a block device)."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise InfraError(f"{self._path}: syncing: {error.strerror}") from error

    def _transfer(
        self, what: str, call: Callable[[int, Sequence[memoryview], int], int], piece: memoryview, at: int
    ) -> None:
        done = 0
        while done < len(piece):
            try:
                count = call(self._fd, [piece[done:]], at + done)
            except OSError as error:
                raise InfraError(f"{self._path}: {what} at byte {at + done}: {error.strerror}") from error
            if count == 0:
                raise InfraError(f"{self._path}: {what} at byte {at + done}: the device ends there")
            done += count

    def _check(self, start: int, end: int) -> None:
        if start % PAGE or end % PAGE or not 0 <= start <= end <= self._owned:
            raise InfraError(f"{self._path}: [{start}, {end}) is no range of whole pages of the first {self._owned}")
