"""Keeps directories between runs, under XDG_CACHE_HOME/daxcheck: each appears whole or not at all.

An entry lies at ROOT/AREA/KEY. It is made in a temporary directory beside it and renamed into place with a manifest
of its files, so that a killed process, a full disk or a second harness never shows a half-made entry. After that it
never changes. The next maker finds what killed processes leave by its lock, which dies with them, and removes it.

No file is synced to disk: after a power failure the manifest tells a damaged entry, and every entry can be made anew.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness import manifest, paths, place
from harness.deadline import Deadline, poll
from harness.errors import SetupError
from harness.manifest import MANIFEST, DamagedEntry, Manifest
from harness.remembered import Learned, remembered
from harness.sparse import digest

TEMPORARY = ".tmp-"
LOCK = ".lock-"
REMEMBERED = "remembered"
"""The directory of the cache with what was found out about files that have not changed since."""
LOCK_WAIT = 1800.0
"""Seconds to wait for another process that makes the same entry: a kernel over a slow line takes many minutes."""

Make = Callable[[Path], None]
"""Fills the empty directory that it is given."""

_FULL = {errno.ENOSPC: "no space left", errno.EDQUOT: "quota exceeded"}


def root() -> Path:
    """The cache directory, made if missing. Raises SetupError when it cannot be made, or others could write there: its
    files are loaded into QEMU, booted, and believed."""
    path = _place()
    try:
        path = Path(os.path.realpath(path))  # Path.resolve has a RuntimeError of its own for a loop of links
        if shared := place.shared(path):
            raise SetupError(f"the cache at {path} is not {_whose()[0]} alone: {shared}: {_whose()[1]}")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refusal(path, error) from error
    return path


def _place() -> Path:
    """Return the path of the cache, whether it exists or not."""
    base = paths.base("XDG_CACHE_HOME", ".cache")
    if base is None:
        raise SetupError("no home directory for the cache: set HOME, or XDG_CACHE_HOME to a directory")
    return base / "daxcheck"


def trouble(error: OSError) -> SetupError | None:
    """Return the error to tell instead of `error`, if that came from a file of the cache; None if from another file."""
    places = (_place(), Path(os.path.realpath(_place())))
    for name in (error.filename, error.filename2):
        if isinstance(name, str | bytes | os.PathLike):
            path = Path(os.fsdecode(name))
            if any(path.is_relative_to(one) for one in places):
                return _refusal(path, error)
    return None


def _refusal(path: Path, error: OSError) -> SetupError:
    """Return the error for the user, with the place, the fault and the remedy."""
    what = _FULL.get(error.errno or 0) or (error.strerror or str(error)).lower()
    remedy = "free some, or point XDG_CACHE_HOME" if error.errno in _FULL else "point XDG_CACHE_HOME"
    if error.errno == errno.ENOENT:
        remedy = "run again, if another daxcheck has removed it, or point XDG_CACHE_HOME"
    return SetupError(f"{what} for the cache at {path}: {remedy} at a directory you may write")


def _whose() -> tuple[str, str]:
    """Return the owner that the cache must have, and the remedy if it has another."""
    if os.geteuid():
        return "yours", "point XDG_CACHE_HOME at a directory of yours"
    return "root's", "point XDG_CACHE_HOME at a directory of root's, or take sudo without -E"


def directory(
    area: str, key: str, make: Make, *, hashed: bool = False, waiting: Callable[[], None] | None = None
) -> Path:
    """The entry `key` of `area`; when it is missing or damaged, `make` fills it first.

    Of several processes that want the same entry one makes it while the others call `waiting` and wait. `hashed`
    compares contents, not only names and sizes, unless that was done since this machine booted and no file has changed.
    Raises what `make` raises, and SetupError when the disk is full or the cache cannot be written.
    """
    path = root() / area / key
    with contextlib.suppress(DamagedEntry):
        if present(area, key, hashed=hashed):
            keep_young(path)
            return path
    with locked(area, key, waiting=waiting):
        try:
            if present(area, key, hashed=hashed):
                return path
        except DamagedEntry:
            remove(area, key)
        with staging(area) as room, _explained(path):
            make(room)
            _publish(room, Manifest.of(room, hashed=hashed), path)
    return path


def keep_young(path: Path) -> None:
    """The entry at `path` is in use now: others go before it. A run of hours asks for an entry only once."""
    with contextlib.suppress(OSError):
        os.utime(path)


def adopt(area: str, make: Make) -> Path:
    """The entry that holds what `make` wrote, under the digest of its contents as key.

    The same contents made twice are one entry. Raises as `directory` does.
    """
    with staging(area) as room:
        path = root() / area
        with _explained(path):
            make(room)
            listed = Manifest.of(room, hashed=True)
            key = listed.digest
            path /= key
            with locked(area, key):
                try:
                    if not present(area, key, hashed=True):
                        _publish(room, listed, path)
                except DamagedEntry:
                    remove(area, key)
                    _publish(room, listed, path)
    return path


def present(area: str, key: str, *, hashed: bool = False) -> bool:
    """Say whether the entry exists. Raises DamagedEntry, naming the file, when it is not what was published."""
    path = root() / area / key
    if not path.exists():
        return False
    if hashed:
        remember(("whole", str(path)), lambda: Learned("", manifest.check(path, hashed=True)))
    else:
        manifest.check(path, hashed=False)
    return True


def digest_of(path: Path) -> str:
    """The digest of a file (see sparse), which is read only if it has changed since this machine booted."""
    return remember(("digest", str(path)), lambda: Learned(digest(path), [path]))


def remember(question: Sequence[str], work: Callable[[], Learned]) -> str:
    """Return what `work` finds, worked out only if a file that it depends on has changed (see remembered)."""
    return remembered(root() / REMEMBERED, question, work)


def keys(area: str) -> list[str]:
    """The keys of all entries of an area, sorted; temporary ones are no entries."""
    path = root() / area
    return sorted(p.name for p in path.iterdir() if not p.name.startswith(".")) if path.is_dir() else []


def remove(area: str, key: str) -> None:
    """Remove an entry; it vanishes at once for others, and files of it that they hold open stay readable."""
    with staging(area) as room, contextlib.suppress(FileNotFoundError):
        (root() / area / key).rename(room / "removed")


@contextlib.contextmanager
def locked(
    area: str, name: str, deadline: Deadline | None = None, waiting: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold the lock `name` of an area against other processes; it goes away with this one, however that ends.

    If another process has it, `waiting` is called once. Raises DeadlineExpired when that keeps it for too long.
    """
    path = root() / area / f"{LOCK}{name}"
    with _explained(path):
        path.parent.mkdir(mode=0o700, exist_ok=True)
    complaint = f"another daxcheck keeps {path} locked: end it, or wait for it"
    fd = _try_lock(path)
    if fd is None:
        if waiting is not None:
            waiting()
        fd = poll(lambda: _try_lock(path), deadline or Deadline(LOCK_WAIT), complaint)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)


def _try_lock(path: Path) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if _flock(fd) and _same(fd, path):
        return fd
    os.close(fd)  # held by another, or its last holder has unlinked the file that we locked
    return None


@contextlib.contextmanager
def staging(area: str) -> Iterator[Path]:
    """Yield an empty directory beside the entries of an area, gone at the end; first sweep those of dead processes."""
    path = root() / area
    with _explained(path):
        path.mkdir(mode=0o700, exist_ok=True)
    sweep(area)
    room, fd = _claim(path)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(fd)


def _claim(area: Path) -> tuple[Path, int]:
    while True:
        room = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=area))
        # A sweeper may see the directory before we lock it; then it is gone by the time we have the lock.
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _same(fd, room):
                return room, fd
            os.close(fd)


def sweep(area: str) -> int:
    """Remove the temporary directories of processes that are no more; returns how many there were."""
    swept = 0
    for path in sorted((root() / area).glob(f"{TEMPORARY}*")):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue  # its owner was quicker
        try:
            if _flock(fd):
                shutil.rmtree(path, ignore_errors=True)
                swept += 1
        finally:
            os.close(fd)
    return swept


def _flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _publish(room: Path, listed: Manifest, path: Path) -> None:
    (room / MANIFEST).write_bytes(listed.encode())
    room.rename(path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _refusal(path, error) from error
        if (told := trouble(error)) is None:
            raise
        raise told from error
