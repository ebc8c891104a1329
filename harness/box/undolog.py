"""The journal of a run's deeds: each is on record, and synced, before it is done, and gone once it is undone.

One file per run, in /run/daxcheck, or, for a user who may not write there, in the cache. It names the process by its
number and start time, and the boot and the PID namespace in which these mean anything.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import cachedir
from harness.box import undo
from harness.box.discover import PROC
from harness.box.undo import Undoable
from harness.deadline import Deadline, DeadlineExpired, poll
from harness.errors import DaxcheckError, InfraError, SetupError, UsageError

RUN = Path("/run/daxcheck")
MARK = "DAXCHECK_RUN"
"""The environment variable by which the processes of a run are known."""
ENDING = 2.0
"""Seconds for a run that has just been killed to be gone."""
LIMIT = 1 << 26
"""Bytes of the longest journal that is read: of some 800,000 cells that each change a setting."""
_BOOT = "sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Owner:
    """A process as no other ever is: `start` is that of proc(5), in ticks since `boot`."""

    pid: int
    start: int
    boot: str
    namespace: str

    @classmethod
    def myself(cls) -> Self:
        boot = (PROC / _BOOT).read_text().strip()
        return cls(os.getpid(), started(os.getpid()) or 0, boot, str((PROC / "self/ns/pid").readlink()))

    @property
    def alive(self) -> bool:
        """True if it runs, seen from its own boot and PID namespace."""
        return started(self.pid) == self.start


@dataclass(frozen=True, slots=True)
class RunJournal:
    """A journal as it was read: whose, the mark of its processes, and the deeds that are not undone, newest first."""

    path: Path
    owner: Owner
    mark: str
    left: tuple[tuple[int, Undoable], ...]


class UndoLog:
    """A context manager that keeps the journal of this run. At its end the file goes, unless a deed is left in it."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._left: dict[int, Undoable] = {}
        self._count = 0
        self._fd = -1
        self._mark = uuid.uuid4().hex
        self.path = Path()

    def __enter__(self) -> Self:
        """Raises SetupError when there is no place for the journal."""
        owner = Owner.myself()
        folder = _private(self._folder) if self._folder else _default()
        self.path = folder / f"{owner.pid}-{owner.start}-{self._mark[:8]}.jsonl"
        unborn = self.path.with_suffix(".new")
        with _explained(self.path):
            self._fd = os.open(unborn, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            _append(self._fd, {**asdict(owner), "mark": self._mark})
            unborn.rename(self.path)  # no journal is ever seen that does not say whose it is
            _sync(folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.close(self._fd)
        if all(isinstance(deed, undo.Erased) for deed in self._left.values()):
            self.path.unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that every process of the run must have in its environment, so that cleanup finds it."""
        return {MARK: self._mark}

    def record(self, deed: Undoable) -> int:
        """Put the deed on record; it may be done when this returns. The number is for `undone`. Raises SetupError."""
        self._count += 1
        with _explained(self.path):
            _append(self._fd, {"number": self._count, **undo.to_json(deed)})
        self._left[self._count] = deed
        return self._count

    def undone(self, number: int) -> None:
        """Put on record that the deed has been undone. Raises SetupError."""
        with _explained(self.path):
            _append(self._fd, {"undone": number})
        del self._left[number]

    @contextlib.contextmanager
    def during(self, deed: Undoable) -> Iterator[None]:
        """Record a deed that is done within, and undo it at the end in any case; if that fails it stays on record.

        Raises InfraError when undoing fails, SetupError.
        """
        number = self.record(deed)
        try:
            yield
        finally:
            try:
                deed.undo()
            except (OSError, ValueError, DaxcheckError) as error:
                raise InfraError(f"{deed} is not undone ({error}): run daxcheck cleanup") from error
            self.undone(number)


@contextlib.contextmanager
def exclusive_run(folder: Path | None = None) -> Iterator[None]:
    """Keep other runs, and cleanup, from working on this machine within: all share its tracing and its settings.

    Raises UsageError when one is, SetupError. The lock ends with this process, however it ends.
    """
    place = _private(folder) if folder else _default()
    with _explained(place):
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        poll(lambda: _locked(fd), Deadline(ENDING), f"{place} stays locked")
    except DeadlineExpired as error:
        os.close(fd)
        raise UsageError("another daxcheck is at work on a device of this machine: end it, or wait for it") from error
    try:
        yield
    finally:
        os.close(fd)


def leftovers(folder: Path | None = None) -> tuple[RunJournal, ...]:
    """The journals of this boot that tell of deeds to be undone. With `turn` held, their runs are dead."""
    boot = Owner.myself().boot
    return tuple(
        record for record in records(folder)[0]
        if record.owner.boot == boot and not all(isinstance(deed, undo.Erased) for _, deed in record.left)
    )  # fmt: skip


def records(folder: Path | None = None) -> tuple[tuple[RunJournal, ...], tuple[str, ...]]:
    """Return all journals, and a complaint about each file that is no journal of this user."""
    folders = [folder] if folder else [RUN, cachedir.root() / "deeds"]
    found, complaints = [], []
    for path in sorted(path for place in folders if place.is_dir() for path in place.glob("*.jsonl")):
        try:
            found.append(_read(path))
        except FileNotFoundError:
            continue  # its run has just ended
        except (OSError, ArithmeticError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            complaints.append(f"{path}: no journal of yours ({error}): look at it, and remove it if it is of no use")
    return tuple(found), tuple(complaints)


def started(pid: int) -> int | None:
    """Return the start of a live process, in ticks (proc(5), field 22 of stat); None for a dead one, reaped or not."""
    try:
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def note_undone(record: RunJournal, number: int) -> None:
    """Put on record that a deed of a dead run has been undone. Raises OSError."""
    fd = os.open(record.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(fd, _text(fd).rfind(b"\n") + 1)
        _append(fd, {"undone": number})
    finally:
        os.close(fd)


def _read(path: Path) -> RunJournal:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise ValueError("others may have written it")
        text = _text(fd)
    finally:
        os.close(fd)
    # A last line without its end is of a deed that was not begun.
    lines = [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
    if not lines:
        raise ValueError("it is empty")
    head = lines[0]
    owner = Owner(int(head["pid"]), int(head["start"]), str(head["boot"]), str(head["namespace"]))
    left: dict[int, Undoable] = {}
    for line in lines[1:]:
        if "undone" in line:
            left.pop(line["undone"], None)
        else:
            number = int(line.pop("number"))
            left[number] = undo.from_json(line)
    return RunJournal(path, owner, str(head["mark"]), tuple(sorted(left.items(), reverse=True)))


def _text(fd: int) -> bytes:
    """Read all of a journal. Raises ValueError for one that is too long: the rest would count as never done."""
    text = os.pread(fd, LIMIT + 1, 0)
    if len(text) > LIMIT:
        raise ValueError(f"it is longer than {LIMIT} bytes")
    return text


def _locked(fd: int) -> bool | None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return True


def _default() -> Path:
    try:
        return _private(RUN)
    except SetupError:
        return _private(cachedir.root() / "deeds")


def _private(folder: Path) -> Path:
    """The folder, made if missing, into which nobody else can put a journal. Raises SetupError."""
    with _explained(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise SetupError(f"{folder}: others may write there: remove it")
    return folder


def _append(fd: int, entry: dict[str, object]) -> None:
    """Write a line, whole or not at all: what comes after half a one could not be read. Raises OSError."""
    line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
    before = os.fstat(fd).st_size
    if os.write(fd, line) != len(line):
        os.ftruncate(fd, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the journal of deeds cannot be kept: {error.strerror}"
        raise SetupError(f"{path}: {what}: make room, or make it writable for you") from error
