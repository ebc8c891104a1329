"""Records what the kernel flushes out of the CPU caches, in any thread, by kprobes on the functions that do it.

x86 (arch/x86/lib/usercopy_64.c): arch_wb_cache_pmem() writes lines back, for fsync, msync and for what the file system
zeroes; __memcpy_flushcache() stores past the caches, for block I/O to pmem (journal, metadata); copy_user_flushcache(),
in older kernels __copy_user_flushcache(), does so for write(2) to a DAX file. A virtio-pmem device is flushed as a
whole by virtio_pmem_flush() (drivers/nvdimm/nd_virtio.c), which returns when the host has answered.

A function has done its work when it returns, so a range counts from then on: a journal thread that is still storing
when an op ends is not believed to have stored.
"""

import contextlib
import re
from collections.abc import Iterator

from harness.agent.watch.pmemrange import PmemRange, whole_lines
from harness.errors import SetupError
from harness.linux import kcore, probes, syscalls, tracefs
from harness.linux.probes import Probe, Profile
from harness.linux.tracefs import Instance
from harness.model.units import LINE, PAGE
from harness.model.wire.traced import RANGE_LIMIT, Range, merged

INSTANCE = f"{tracefs.PREFIX}_flushes"
BUFFER_KB = 1024
"""KiB of the buffer of each CPU: about 10000 flushes."""
PENDING_LIMIT = 1024
"""Flushes that have begun and not ended, by all threads."""

WRITE_BACK, STORE, COPY, HOST = "daxcheck_wb", "daxcheck_store", "daxcheck_copy", "daxcheck_host"
_RETURN = "_done"
_FUNCTIONS = (
    (WRITE_BACK, ("arch_wb_cache_pmem",), "addr=%di:x64 size=%si:u64"),
    (STORE, ("__memcpy_flushcache",), "addr=%di:x64 size=%dx:u64"),
    (COPY, ("copy_user_flushcache", "__copy_user_flushcache"), "addr=%di:x64 size=%dx:u32"),
    (HOST, ("virtio_pmem_flush",), ""),
)
"""Event, the names its function has had, its arguments by register. The size of a copy was once an unsigned int; no
write(2) is longer than 2 GiB (MAX_RW_COUNT)."""
NEEDED = (WRITE_BACK, STORE, COPY)
"""The events without which a flush would go unseen."""
_EVENT = re.compile(
    r"^.{16}-(\d+) +\[\d+\] +\S+ +[\d.]+: (daxcheck_\w+): \([^)]*\)"
    r"(?: addr=0x([0-9a-f]+) size=(\d+))?(?: left=(-?\d+))?$"
)

Flush = tuple[str, int, int]
"""A flush that has begun: its event, the address, the bytes."""


def _probes() -> list[Probe]:
    found = []
    for name, functions, fetch in _FUNCTIONS:
        for function in functions:
            found.append(Probe(name, function, fetch))
            result = "left=$retval:s64" if name in (COPY, HOST) else ""  # the others are void, and refused one
            found.append(Probe(f"{name}{_RETURN}", function, result, at_return=True))
    return found


class Account:
    """Makes ranges out of trace lines; keeps the flushes that have begun and not ended, by thread. `base` is the start
    of the direct map."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._begun: dict[str, list[Flush]] = {}

    def take(self, text: str, medium: PmemRange) -> tuple[list[Range], str]:
        """Return the ranges of the medium whose flush ended in these lines, and in words what is missing among them."""
        found: list[Range] = []
        lost = ""
        for line in text.splitlines():
            event = _EVENT.match(line)
            if event is None:
                if tracefs.overrun(line):
                    lost = lost or f"the trace buffer overran ({line[:60]})"
                elif line:
                    lost = lost or f"a line of the flush trace is not understood: {line[:100]}"
                continue
            thread, name, address, size, left = event.groups()
            if not name.endswith(_RETURN):
                missed = self._begin(thread, (name, int(address or "0", 16), int(size or 0)))
                lost = lost or missed
                continue
            flush, missed = self._end(thread, name.removesuffix(_RETURN))
            lost = lost or missed
            if flush is not None and (span := self._span(flush, int(left or 0), medium)):
                found += medium.heard(span) if flush[0] in (WRITE_BACK, HOST) else [span]
        if sum(map(len, self._begun.values())) > PENDING_LIMIT:
            lost = lost or f"more than {PENDING_LIMIT} flushes do not end"
        return found, lost

    def _begin(self, thread: str, flush: Flush) -> str:
        """Note the flush; return in words what was missed: no flush contains one of its own kind."""
        begun = self._begun.setdefault(thread, [])
        missed = any(other[0] == flush[0] for other in begun)
        begun.append(flush)
        return f"the end of a flush by thread {thread} was missed" if missed else ""

    def _end(self, thread: str, name: str) -> tuple[Flush | None, str]:
        """Return the flush of that kind that the thread began last, and in words what was missed.

        A copy can fault on its source, and the fault can flush. The first event of a thread may be the end of a flush
        that began before the trace was on: that one counts for nothing.
        """
        known = thread in self._begun
        begun = self._begun.setdefault(thread, [])
        depth = next((depth for depth in reversed(range(len(begun))) if begun[depth][0] == name), None)
        if depth is None:
            return None, f"the beginning of a flush by thread {thread} was missed" if known else ""
        flush, skipped = begun[depth], depth < len(begun) - 1
        del begun[depth:]
        return flush, f"the end of a flush by thread {thread} was missed" if skipped else ""

    def _span(self, flush: Flush, left: int, medium: PmemRange) -> Range | None:
        name, address, size = flush
        if name == HOST:
            return (0, medium.size) if medium.by_host and left == 0 else None
        if medium.by_host:
            return None
        start = address - self._base
        return medium.clipped(*reach(name, start, start + size - (left if name == COPY else 0)))


def reach(name: str, start: int, end: int) -> Range:
    """Return the bytes that reach the medium when [start, end) is flushed.

    Non-temporal stores move their own bytes only; bytes at an end that is not aligned are stored by other means, and
    written back by the line (the comments in copy_user_flushcache() and __memcpy_flushcache()).
    """
    if start >= end:
        return start, start
    if name == WRITE_BACK:
        return whole_lines(start, end)
    exact = name == COPY and start % 4 == 0 and end - start == 4
    grain = 8 if name == COPY else 4
    low = start if start % 8 == 0 or exact else start // LINE * LINE
    high = end if end % grain == 0 or exact else -(-end // LINE) * LINE
    return low, high


class FlushTrace:
    """Owns the probes and their instance. Raises OSError or SetupError where the kernel cannot tell of its flushes."""

    def __init__(self, buffer_kb: int = BUFFER_KB) -> None:
        self._instance = Instance(INSTANCE, buffer_kb)
        self._probes: list[Probe] = []
        self._hits = self._missed = 0
        try:
            check_populate()
            self._base = kcore.direct_map()
            self._account = Account(self._base)
            self._probes = probes.define(_probes())
            names = {probe.name for probe in self._probes}
            lacking = [functions[0] for name, functions, _ in _FUNCTIONS if name in NEEDED and not _both(name, names)]
            if lacking:
                raise SetupError(f"no kprobe on {', '.join(lacking)}: the kernel's flushes cannot be traced")
            for name in sorted(names):
                self._instance.write(f"events/{probes.GROUP}/{name}/enable", "1")
        except (OSError, SetupError):
            self.close()
            raise

    @property
    def functions(self) -> list[str]:
        """The kernel functions that are watched."""
        return sorted({probe.function for probe in self._probes})

    def covers(self, medium: PmemRange) -> bool:
        """Say whether all that makes stores to this medium durable is watched."""
        return not medium.by_host or any(probe.name == HOST for probe in self._probes)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Record flushes within."""
        self._account = Account(self._base)
        self._missed = self._profile().missed
        with self._instance.on():
            yield

    def read(self, medium: PmemRange) -> tuple[list[Range], str]:
        """Return the ranges of the medium whose flush ended since the last read, merged; in words what was missed."""
        text, cut = self._instance.read()
        found, lost = self._account.take(text, medium)
        ranges = merged(found)
        if cut:
            lost = lost or "more was flushed than can be read at once"
        if len(ranges) > RANGE_LIMIT:
            return ranges[:RANGE_LIMIT], lost or f"more than {RANGE_LIMIT} ranges were flushed in one op"
        return ranges, lost

    def why_not_watched(self) -> str:
        """Return in words why the run since on() was not watched; empty when it was. Call it once. Raises OSError."""
        before, now = Profile(self._hits, self._missed), self._profile()
        self._hits = now.hits
        return why_not_recorded(before, now)

    def _profile(self) -> Profile:
        return probes.profile(probe.name for probe in self._probes)

    def close(self) -> None:
        """Remove instance and probes."""
        self._instance.close()
        with contextlib.suppress(OSError):
            probes.remove(probe.name for probe in self._probes)

    def __enter__(self) -> "FlushTrace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def why_not_recorded(before: Profile, now: Profile) -> str:
    """Return in words why a run's trace is worthless, where the trace itself does not tell; empty when it is not.

    `before` are the hits when the run before it ended, and the misses when it began.
    """
    if now.missed > before.missed:
        return f"{now.missed - before.missed} flushes went by unrecorded (kprobe_profile)"
    # A mount and files that are made flush metadata, whatever else does. Probes that are off are still defined.
    if now.hits == before.hits:
        return "no probe was passed: set kernel.ftrace_enabled, and kprobes/enabled of debugfs, to 1"
    return ""


def check_populate() -> None:
    """Raise SetupError unless faults can be taken before a store, apart from it (OpObserver.prepare; Linux 5.14)."""
    flags = syscalls.MAP_PRIVATE | syscalls.MAP_ANONYMOUS
    address = syscalls.mmap(0, PAGE, syscalls.PROT_READ | syscalls.PROT_WRITE, flags, -1, 0)
    try:
        syscalls.madvise(address, PAGE, syscalls.MADV_POPULATE_WRITE)
    except OSError as error:
        raise SetupError("no MADV_POPULATE_WRITE: flushes of faults cannot be told from those of stores") from error
    finally:
        syscalls.munmap(address, PAGE)


def _both(name: str, names: set[str]) -> bool:
    return {name, f"{name}{_RETURN}"} <= names
