"""Reads a .prog file, and says early what a run of it could not judge."""

import os
import stat
from pathlib import Path

from harness.errors import UsageError
from harness.model.contract.worth import why_not_judged
from harness.model.program import program as programs
from harness.model.program.program import TEXT_LIMIT, Program

SUFFIX = ".prog"
LIMIT = 4 * TEXT_LIMIT
"""Bytes that are read: a character of UTF-8 takes four at most."""


def judgeable(path: Path) -> Program:
    """The Program in a file, whose run can end in a verdict. Raises UsageError, which names the file and the reason."""
    program = read(path)
    if reason := why_not_judged(program):
        raise UsageError(f"{path}: {reason}")
    return program


def read(path: Path) -> Program:
    """The Program in a file. Raises UsageError, which names the file, the line, what stands there, and the remedy."""
    try:
        return programs.parse(contents(path, LIMIT).decode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: name a readable .prog file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def contents(path: Path, limit: int) -> bytes:
    """The contents of a regular file of at most `limit` bytes. Raises OSError, UsageError."""
    # A FIFO that nobody writes would be waited for.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError("is no regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UsageError(f"more than {limit >> 20} MiB is too long")
    return data
