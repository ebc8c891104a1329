"""Measures how fast the agent writes and verifies stamps, as ratios to libc doing the like with the same buffers.

Writing is held against memset() of the same buffer. Verifying a buffer that is wholly right reads it once, since what
it must hold can be computed; memcmp() of two equal buffers of that size reads both. So a verification has two ratios:
of the time that the same question takes, and of the bytes read in a second. `hot`: the buffer is mapped; `faulted`:
each page takes a fault first. A large memset() is done by rep stos, which need not read a line before it overwrites it;
with GLIBC_TUNABLES=glibc.cpu.x86_rep_stosb_threshold=1000000000000 it uses ordinary stores, as ours must be.
"""

import argparse
import contextlib
import ctypes
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.agent import memory
from harness.agent.memory import Memory
from harness.agent.x86.cpu import Cpu
from harness.deadline import now
from harness.linux import syscalls
from harness.memfile import MemFile
from harness.model.wire import stamps
from harness.model.wire.observation import Segment, Stamp, Zero

MIB = 1 << 20
SIZES = (2 * MIB, 64 * MIB, 256 * MIB)
AT_LEAST = 64 * MIB
"""Bytes of one measurement: smaller buffers are gone over several times."""
SEQ, FILE = 5, 1

_libc = ctypes.CDLL(None)
_libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
_libc.memset.restype = ctypes.c_void_p
_libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


@dataclass(frozen=True, slots=True)
class Buffers:
    """Two mappings of the same length."""

    left: int
    right: int
    size: int

    def drop(self) -> None:
        """Forget the page tables of both; their contents stay."""
        for address in (self.left, self.right):
            syscalls.madvise(address, self.size, syscalls.MADV_DONTNEED)


@dataclass(frozen=True, slots=True)
class Contest:
    """Our work against libc's; `share` is the ratio of the bytes that ours touches to those that libc's touches."""

    name: str
    ours: Callable[[], object]
    libc: Callable[[], object]
    share: float = 1.0


def main() -> None:
    words, _, notes = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(prog="scripts/bench-memory", description=words, epilog=notes)
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="rounds per line (9)")
    parser.add_argument("--scalar", action="store_true", help="without AVX2, as on a CPU that has none")
    parser.add_argument("--dir", metavar="DIR", help="buffers are files made there, on DAX say (memory)")
    options = parser.parse_args()
    cpu = Cpu(vectors=not options.scalar)
    print(f"vectors: {'AVX2' if cpu.vectors else 'none'}; {options.rounds} rounds; median (min to max); GB/s of both")
    print(f"{'':38} {'time':>5} {'':16} {'bytes':>5}   ours / libc")
    for size in SIZES:
        with buffers(size, options.dir) as pair:
            for faulted in (False, True):
                for contest in contests(cpu, pair):
                    measure(contest, pair, faulted, options.rounds)


@contextlib.contextmanager
def buffers(size: int, directory: str | None) -> Iterator[Buffers]:
    """Two mapped files of `size` bytes: of memory, or made in `directory` and gone at the end."""
    with contextlib.ExitStack() as stack:
        addresses = []
        for name in ("left", "right"):
            if directory is None:
                fd = stack.enter_context(MemFile(name, size)).fd
            else:
                fd = stack.enter_context(tempfile.TemporaryFile(dir=directory)).fileno()
                os.posix_fallocate(fd, 0, size)
            prot = syscalls.PROT_READ | syscalls.PROT_WRITE
            addresses.append(syscalls.mmap(0, size, prot, syscalls.MAP_SHARED, fd, 0))
            stack.callback(syscalls.munmap, addresses[-1], size)
        yield Buffers(addresses[0], addresses[1], size)


def contests(cpu: Cpu, pair: Buffers) -> Iterator[Contest]:
    """The contests, each yielded once the buffers hold what it is about."""
    size = pair.size

    def store() -> None:
        memory.store(cpu, pair.left, 0, size, SEQ, FILE)

    def verify(source: Stamp | Zero) -> Callable[[], object]:
        def decode() -> None:
            found, _ = stamps.decode(Memory(cpu, pair.left, 0), 0, size)
            assert found == (Segment(0, size, source),), "the buffer does not hold what was stored"

        return decode

    def memset() -> object:
        return _libc.memset(pair.left, 0xA5, size)

    def memcmp() -> None:
        assert _libc.memcmp(pair.left, pair.right, size) == 0, "the buffers differ"

    yield Contest("store / memset", store, memset)
    for address in (pair.left, pair.right):
        memory.store(cpu, address, 0, size, SEQ, FILE)
    yield Contest("verify stamps / memcmp", verify(Stamp(SEQ, FILE, 0)), memcmp, 0.5)
    yield Contest("equal() / memcmp", lambda: syscalls.equal(pair.left, pair.right, size), memcmp)
    for address in (pair.left, pair.right):
        ctypes.memset(address, 0, size)
    yield Contest("verify zeroes / memcmp", verify(Zero()), memcmp, 0.5)


def measure(contest: Contest, pair: Buffers, faulted: bool, rounds: int) -> None:
    """Take both in turn, each first every other round, and print the median of the ratios; the first is not counted."""
    sides: tuple[Callable[[], object], ...] = (contest.ours, contest.libc)
    times: list[tuple[float, float]] = []
    for turn in range(rounds + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        taken = {index: seconds(sides[index], pair, faulted) for index in order}
        times.append((taken[0], taken[1]))
    ratios = [libc / ours for ours, libc in times[1:]]
    ratio = statistics.median(ratios)
    ours, libc = (pair.size / statistics.median(side) / 1e9 for side in zip(*times[1:], strict=True))
    name = f"{pair.size // MIB:3} MiB {'faulted' if faulted else 'hot':7} {contest.name}"
    spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"{name:38} {ratio:5.2f} {spread:16} {ratio * contest.share:5.2f}   {ours:6.2f} / {libc:.2f}", flush=True)


def seconds(work: Callable[[], object], pair: Buffers, faulted: bool) -> float:
    """Seconds of one go, the mean of as many as make AT_LEAST bytes."""
    goes = max(1, AT_LEAST // pair.size)
    taken = 0.0
    for _ in range(goes):
        if faulted:
            pair.drop()
        start = now()
        work()
        taken += now() - start
    return taken / goes


if __name__ == "__main__":
    main()
