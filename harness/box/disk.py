"""The block device under test as a medium: images are put on it, and it is read past every cache but the CPU's."""

import contextlib
import mmap
import os
from types import TracebackType
from typing import Self

import numpy as np

from harness.box.claim import Claim, Writer
from harness.deadline import Deadline, poll
from harness.errors import InfraError, UsageError
from harness.media.flushes import Bytes
from harness.memfile import MemFile
from harness.model.units import PAGE

PIECE = 4 << 20
"""Bytes read at once."""
SETTLE = 30.0
"""Seconds for the mount of a dead agent to go."""


class Disk:
    """The first `claim.owned` bytes of a claimed device, which hold the file system. Methods raise InfraError.

    While it is mounted it reads as memory does: a direct read of pmem is a copy by the CPU (drivers/nvdimm/pmem.c,
    pmem_do_read), which sees what is in the caches.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.size = claim.owned
        self._buffer = mmap.mmap(-1, PIECE)  # O_DIRECT wants aligned memory
        self._present: MemFile | None = None
        """The bytes that are known to be on the unmounted device, which need not be written again; None if unknown."""
        try:
            self._fd = os.open(claim.source, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError as error:
            raise InfraError(f"{claim.path}: cannot be read directly: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.forget()
        os.close(self._fd)

    def put(self, image: MemFile) -> None:
        """Have the unmounted device hold the image, and nothing else."""
        present, self._present = self._present, None
        with contextlib.ExitStack() as stack:
            writer = self._writer(stack)
            if present is None:
                writer.zero(0, self.size)
                present = MemFile("blank", self.size)
            with present:
                for start, end in _differing(present, image):
                    writer.write(start, image.array[start:end].data)
        self._present = image.copy("present")

    def _writer(self, stack: contextlib.ExitStack) -> Writer:
        """Claim the device for writing; wait for a killed agent's mount, which goes a little after its last process."""
        deadline = Deadline(SETTLE)

        def attempt() -> Writer | None:
            try:
                return stack.enter_context(self._claim.writing())
            except UsageError:
                if deadline.expired:
                    raise
                return None

        return poll(attempt, Deadline(2 * SETTLE), f"{self._claim.path} stays in use")

    def dump(self, name: str) -> MemFile:
        """Return a sparse copy of the device as it reads now; owned by the caller."""
        copy = MemFile(name, self.size)
        for start in range(0, self.size, PIECE):
            data = self.bytes(start, min(start + PIECE, self.size))
            pages = data.reshape(-1, PAGE)
            for page in np.flatnonzero(pages.any(axis=1)):
                low = start + int(page) * PAGE
                copy.array[low : low + PAGE] = pages[page]
        return copy

    def bytes(self, start: int, end: int) -> Bytes:
        """Return a copy of bytes [start, end) as they read now."""
        low, high = start // PAGE * PAGE, -(-end // PAGE) * PAGE
        if high - low > PIECE:
            raise InfraError(f"{self._claim.path}: {high - low} bytes are more than can be read at once")
        with memoryview(self._buffer) as buffer:
            done = 0
            while done < high - low:
                try:
                    count = os.preadv(self._fd, [buffer[done : high - low]], low + done)
                except OSError as error:
                    raise InfraError(f"{self._claim.path}: reading at byte {low + done}: {error.strerror}") from error
                if count == 0:
                    raise InfraError(f"{self._claim.path}: it ends at byte {low + done}")
                done += count
        return np.frombuffer(self._buffer, np.uint8)[start - low : end - low].copy()

    def seen(self, present: MemFile) -> None:
        """Remember a copy of what the unmounted device was seen to hold."""
        self.forget()
        self._present = present.copy("present")

    def forget(self) -> None:
        """Forget the contents of the device: they are not known any more."""
        if self._present is not None:
            self._present.close()
            self._present = None


def _differing(before: MemFile, after: MemFile) -> list[tuple[int, int]]:
    """Runs of whole pages in which two files differ."""
    found: list[tuple[int, int]] = []
    for start, end in sorted({*before.extents(), *after.extents()}):
        for low in range(start // PAGE * PAGE, end, PIECE):
            high = min(low + PIECE, -(-end // PAGE) * PAGE)
            differs = (before.array[low:high] != after.array[low:high]).reshape(-1, PAGE).any(axis=1)
            for page in np.flatnonzero(differs):
                place = low + int(page) * PAGE
                if found and found[-1][1] == place:
                    found[-1] = found[-1][0], place + PAGE
                elif not found or place >= found[-1][1]:
                    found.append((place, place + PAGE))
    return found
