"""Ends a command: by its own exit code, by a signal that unwinds it, or by an error that nobody foresaw.

Python ends with 1 after an exception that nobody caught, and here 1 means that a promise was broken. So everything is
caught in the end: an error that was not foreseen becomes one line and exit code 3.
"""

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from harness import cachedir
from harness.errors import DaxcheckError, InfraError
from harness.plain import plain

TRACE = "DAXCHECK_TRACE"
"""Environment variable that has the whole trace of an unforeseen error printed."""
TOLD = 300
"""Characters that are told of an unforeseen error's own text."""
SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""The signals that end a command from outside: when a service is stopped, when a terminal is closed."""


class Ended(KeyboardInterrupt):
    """A signal ended the command. It unwinds as Ctrl-C does, also through pytest, which knows that."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code that a shell tells: 143 for SIGTERM."""
        return 128 + self.number

    def __str__(self) -> str:
        return f"ended by {signal.Signals(self.number).name}; nothing is left running"


class Unwritable(InfraError):
    """Standard output cannot be written, so that nobody would see a verdict."""


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise Ended, once: the unwinding is not interrupted again. nohup(1) still holds."""

    def end(number: int, frame: object) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise Ended(number)

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in handlers.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def open_streams() -> None:
    """Have descriptors 0, 1 and 2 open, on /dev/null where the caller closed them (`>&-`).

    Otherwise the next file that is opened takes the number, and gets what QEMU or mkfs print.
    """
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, "w" if fd else "r", closefd=False))  # noqa: SIM115


def say(text: str) -> None:
    """Print a line at once. Raises Unwritable, which is never taken for trouble of the cache or a file."""
    try:
        print(plain(text), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Unwritable(f"standard output cannot be written: {error.strerror}") from error


def flush() -> None:
    """Have all that was printed written. Raises Unwritable, BrokenPipeError."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Unwritable(f"standard output cannot be written: {error.strerror}") from error


def last_words(text: str, trace: str = "") -> None:
    """Say why we end, after all that was said before, also where both streams end in one file, or cannot be written."""
    for stream, words in ((sys.stdout, ""), (sys.stderr, f"{trace}daxcheck: {plain(text)}\n" if text else "")):
        try:
            stream.write(words)
            stream.flush()
        except OSError:
            _silence(stream)


def _silence(stream: TextIO) -> None:
    """Discard the text that the stream still holds: Python would try again at its end, fail, and exit with 120."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, stream.fileno())
        os.close(null)


def foreseen(error: BaseException) -> DaxcheckError | None:
    """Return the error to tell in a line with its remedy, if that is known: ours, or one of the cache; else None."""
    match error:
        case DaxcheckError():
            return error
        case OSError(filename=None, errno=errno.ENOSPC | errno.EIO | errno.EBADF) if not _writable():
            return Unwritable(f"standard output cannot be written: {error.strerror}")
        case FileNotFoundError() if not _somewhere():
            return InfraError("the working directory was removed: change to one that exists")
        case OSError():
            return cachedir.trouble(error)
        case _:
            return None


def _writable() -> bool:
    """Say whether standard output takes anything; text that it refused before may be lost already."""
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except OSError:
        return False
    return True


def _somewhere() -> bool:
    """Say whether there is a working directory."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def unforeseen(error: BaseException) -> str:
    """One line of an error that nobody foresaw: what it is, where it was raised, how to see its trace."""
    words = " ".join(str(error).split())[:TOLD]
    name = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"{name}{_place(error)}; a fault of daxcheck: {TRACE}=1 shows its trace"


def trace(error: BaseException) -> str:
    """Return the whole trace where the environment asks for it, else an empty text."""
    return "".join(traceback.format_exception(error)) if os.environ.get(TRACE) else ""


def _place(error: BaseException) -> str:
    """The last line of ours that the error passed."""
    root = Path(__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(root)] or frames
    if not ours:
        return ""
    path = Path(ours[-1].filename)
    name = path.relative_to(root.parent) if path.is_relative_to(root) else path.name
    return f" ({name}:{ours[-1].lineno})"
