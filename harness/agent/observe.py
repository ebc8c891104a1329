"""Reads files back: through a fresh mapping, read() and O_DIRECT, which must all show the same bytes.

To look changes little: nothing is written, no access time moves, and the mapping is read-only. But its read faults
put clean entries, huge ones where they fit, into the page tree of a DAX file that had none there; what is already
there, dirty or not, stays as it is.
"""

import errno
import os
import signal
import stat
from collections.abc import Iterable, Iterator

from harness.agent.memory import Memory, Scratch
from harness.agent.x86.cpu import Cpu
from harness.errors import InfraError
from harness.linux import ioctls, syscalls
from harness.linux.channel import AgentChannel
from harness.linux.child import Child, ChildDied, Livelock
from harness.linux.mounts import FILLER
from harness.model.program.validity import SIZE_LIMIT
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire import stamps, wire
from harness.model.wire.checked import OFFSET_LIMIT
from harness.model.wire.observation import DIRECTORY, END, SYMLINK, Allocation, Difference, Extent, FileView

DIFFERENCE_LIMIT = 256
"""Differences told of one view of one file."""
EXTENT_LIMIT = 4096
"""Extents, and ranges of data, told of one file; the allocation of a file that has more is not told."""
STRANGER_LIMIT = 16
"""Files that are told of although they are none of the Program's."""
_OURS = ("lost+found", FILLER)
_CHUNK = 256 * 1024
"""Bytes read at once: few fresh pages to fault in, and they stay in the caches."""
_BLOCK = 64 * 1024
"""Bytes compared at once while looking for the page that differs."""


def observe_all(cpu: Cpu, root: str, names: Iterable[str]) -> list[dict[str, object]]:
    """Return the wire forms of the views of all `names`, then of the other files in the root and in those directories,
    whose contents are not read. Raises OSError when a directory cannot be read."""
    known = tuple(names)
    views = [observe(cpu, root, path) for path in known]
    for name in strangers(root, known)[:STRANGER_LIMIT]:
        stranger = wire.to_wire(_unread(root, name, "no file of the program"))
        assert isinstance(stranger, dict)
        views.append(dict(stranger))
    return views


def strangers(root: str, known: tuple[str, ...]) -> list[str]:
    """The names in the root and in the directories among `known` that are neither known nor ours. Raises OSError."""
    found = set(os.listdir(root)) - {*_OURS}
    for name in known:
        if sort(root, name)[0] == DIRECTORY:
            found |= {f"{name}/{one}" for one in os.listdir(os.path.join(root, name))}
    return sorted(found - {*known})


def there(root: str, name: str) -> bool:
    """Say whether the name stands for something, by directories alone: a path through a symbolic link names nothing."""
    parts = name.split("/")
    above = (os.path.join(root, *parts[:count]) for count in range(1, len(parts)))
    try:
        return all(stat.S_ISDIR(os.lstat(one).st_mode) for one in above) and bool(os.lstat(os.path.join(root, name)))
    except FileNotFoundError:
        return False


def sort(root: str, name: str) -> tuple[str, str]:
    """The kind of a FileView of the name, and what it holds if it is a symbolic link. Raises OSError."""
    if not there(root, name):
        return "", ""
    path = os.path.join(root, name)
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return SYMLINK, os.readlink(path).encode("ascii", "backslashreplace").decode()[: wire.PATH_LIMIT]
    return DIRECTORY if stat.S_ISDIR(mode) else "", ""


def observe(cpu: Cpu, root: str, path: str) -> dict[str, object]:
    """The wire form of one file's view; what ends the reading (SIGBUS, EIO) is its `error`."""

    def work(channel: AgentChannel) -> None:
        try:
            found = view(cpu, root, path)
        except OSError as error:
            answer = errno.errorcode.get(error.errno, str(error.errno)) if error.errno else END
            found = _unread(root, path, f"reading: {error.strerror or error}", answer)
        channel.send({"file": wire.to_wire(found)})

    with Child(work) as child:
        try:
            file = child.receive()["file"]
        except ChildDied as error:
            answer = signal.Signals(error.signal).name if error.signal else ""
            file = wire.to_wire(_unread(root, path, f"reading through mmap: {error}", answer))
        except Livelock as error:
            raise Livelock(f"reading {path}: {error}") from None
        except InfraError as error:
            file = wire.to_wire(_unread(root, path, str(error)))
    if not isinstance(file, dict):
        raise InfraError(f"the child that read {path} sent no view of it")
    return file


def view(cpu: Cpu, root: str, path: str) -> FileView:
    """One file as all three views show it. Raises OSError; a SIGBUS ends the process."""
    full = os.path.join(root, path)
    kind, target = sort(root, path)
    if kind:
        return FileView(path, 0, kind=kind, target=target)
    if not there(root, path):
        return FileView(path, None)
    fd = os.open(full, os.O_RDONLY | os.O_NOATIME | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        where = allocation(fd, size)
        if size == 0:
            return FileView(path, 0, allocation=where)
        if size > SIZE_LIMIT:
            return _unread(root, path, f"its size is over {SIZE_LIMIT}, which no program reaches")
        address = syscalls.mmap_aligned(size, syscalls.PROT_READ, syscalls.MAP_SHARED, fd, 0, PMD)
        mapped = Memory(cpu, address, 0)
        segments, truncated = stamps.decode(mapped, 0, size)
        differences = list(_past_end(mapped, size))
        differences += _compare(cpu, "read", fd, address, size)
        direct = os.open(full, os.O_RDONLY | os.O_DIRECT | os.O_NOATIME | os.O_CLOEXEC)
        try:
            differences += _compare(cpu, "direct", direct, address, size)
        finally:
            os.close(direct)
        return FileView(path, size, segments, tuple(differences), truncated, allocation=where)
    finally:
        os.close(fd)


def allocation(fd: int, size: int) -> Allocation | None:
    """Return where the open file has blocks; None where the file system cannot tell, or tells of too many pieces."""
    try:
        found = ioctls.fiemap(fd, EXTENT_LIMIT)
        data = ranges_of_data(fd, size)
    except OSError:
        return None
    if found is None or data is None:
        return None
    # A corrupt file may claim anything.
    extents = [Extent(e.start, min(e.end, OFFSET_LIMIT), flags(e.flags)) for e in found if _sane(e)]
    return Allocation(min(os.fstat(fd).st_blocks * 512, OFFSET_LIMIT), tuple(data), tuple(extents))


def _sane(extent: ioctls.MappedExtent) -> bool:
    return extent.start < min(extent.end, OFFSET_LIMIT)


def flags(bits: int) -> tuple[str, ...]:
    """The names of FIEMAP_EXTENT_ bits."""
    return tuple(name for name, bit in wire.EXTENT_FLAGS.items() if bits & bit)


def ranges_of_data(fd: int, size: int) -> list[tuple[int, int]] | None:
    """Ranges of data by lseek(2); None when there are more than EXTENT_LIMIT. Raises OSError."""
    found: list[tuple[int, int]] = []
    end = 0
    while end < size and len(found) <= EXTENT_LIMIT:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return found
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        if not start < end:
            raise OSError(errno.EIO, f"data at {start} ends at {end}")
        found.append((start, end))
    return found if len(found) <= EXTENT_LIMIT else None


def _unread(root: str, path: str, text: str, answer: str = "") -> FileView:
    try:
        size = min(os.lstat(os.path.join(root, path)).st_size, OFFSET_LIMIT)
    except OSError:
        size = None
    return FileView(path, size, truncated=True, error=text[:400], answer=answer)


def _past_end(mapped: Memory, size: int) -> Iterator[Difference]:
    """Yield the bytes of the last page beyond the end of the file unless all are zero, as mmap(2) demands."""
    end = -(-size // PAGE) * PAGE
    if any(mapped.read(size, end)):
        for segment in stamps.decode(mapped, size, end)[0]:
            yield Difference("eof", segment.start, segment.end, segment.source)


def _compare(cpu: Cpu, name: str, fd: int, address: int, size: int) -> list[Difference]:
    """Return where reading `fd` shows something else than the mapping at `address`. Raises OSError."""
    found: list[Difference] = []
    with Scratch(min(_CHUNK, size)) as scratch:
        for start in range(0, size, scratch.length):
            end = min(start + scratch.length, size)
            _read(name, fd, scratch.address, start, end)
            seen = Memory(cpu, scratch.address, start)
            for low, high in _differing(scratch.address - start, address, start, end):
                for segment in stamps.decode(seen, low, high)[0]:
                    found.append(Difference(name, segment.start, segment.end, segment.source))
                if len(found) >= DIFFERENCE_LIMIT:
                    return found[:DIFFERENCE_LIMIT]
    return found


def _read(name: str, fd: int, address: int, start: int, end: int) -> None:
    done = start
    while done < end:
        # O_DIRECT wants whole blocks even where the file ends inside one.
        wanted = -(-(end - done) // PAGE) * PAGE
        got = syscalls.pread_into(fd, address + done - start, wanted, done)
        if got == 0:
            raise OSError(0, f"{name} view ended at {done}, {end - done} bytes early")  # END
        done += got


def _differing(left: int, right: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Runs of lines in [start, end) that differ between the memories whose offset 0 is at `left` and `right`."""
    run: tuple[int, int] | None = None
    for line in _unequal(left, right, start, end, (_BLOCK, PAGE, LINE)):
        if run is not None and run[1] == line[0]:
            run = run[0], line[1]
            continue
        if run is not None:
            yield run
        run = line
    if run is not None:
        yield run


def _unequal(left: int, right: int, start: int, end: int, units: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    if syscalls.equal(left + start, right + start, end - start):
        return
    if not units:
        yield start, end
        return
    for low in range(start, end, units[0]):
        yield from _unequal(left, right, low, min(low + units[0], end), units[1:])
