"""Reads a .prog file, a Program with its heading, says early what a run could not judge, and makes the text of one."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.fs import filesystem
from harness.fs.filesystem import FileSystem
from harness.model.contract.worth import why_not_judged
from harness.model.judge.result import CellResult
from harness.model.program import program as programs
from harness.model.program.program import TEXT_LIMIT, Program
from harness.model.setting import crashplan, hardware
from harness.model.setting.heading import Heading, Scanned, headed, scan

SUFFIX = ".prog"
LIMIT = 4 * TEXT_LIMIT
"""Bytes that are read: a character of UTF-8 takes four at most."""


@dataclass(frozen=True, slots=True)
class ProgramText:
    """The contents of a .prog file: what is run, and on what."""

    program: Program
    heading: Heading

    @property
    def system(self) -> FileSystem | None:
        """The file system that the heading names, options of mkfs and mount among it; None if it names none."""
        heading = self.heading
        return filesystem.with_own(heading.format, heading.mkfs, heading.mount) if heading.format else None


def judgeable(path: Path) -> ProgramText:
    """The contents of a file whose run can end in a verdict. Raises UsageError, which names the file and the reason."""
    text = read(path)
    if reason := why_not_judged(text.program):
        raise UsageError(f"{path}: {reason}")
    return text


def read(path: Path) -> ProgramText:
    """The contents of a file. Raises UsageError, which names the file, the line, what stands there, and the remedy."""
    try:
        return parse(contents(path, LIMIT).decode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: name a readable .prog file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def parse(text: str) -> ProgramText:
    """The contents of a file with this text. Raises UsageError, which names the line, what stands there, the remedy."""
    scanned = scan(text)
    found = ProgramText(programs.parse(scanned.rest), scanned.heading)
    _check_system(scanned)
    return found


def _check_system(scanned: Scanned) -> None:
    """Raise UsageError, with the number of the line, where there is no such file system, or not with these options."""
    heading = scanned.heading
    own = {"format": ("", ""), "mkfs": (heading.mkfs, ""), "mount": ("", heading.mount)}
    for word, (mkfs, mount) in own.items():
        if number := scanned.numbers.get(word):
            try:
                filesystem.with_own(heading.format, mkfs, mount)
            except UsageError as error:
                told = str(error).removeprefix("--fs ").removeprefix(f"{word} ")
                raise UsageError(f"line {number}: {word} {told}") from error


def heading_of(result: CellResult) -> Heading:
    """The heading with which a file runs again as the result's cell, if --kernel names its kernel. What is as usual has
    no line, but for the file system: `daxcheck run` takes several. Raises UsageError for a label that is none."""
    system, plan = filesystem.find(result.fs), result.plan
    return Heading(
        format=system.format, mkfs=system.own(filesystem.MKFS), mount=system.own(filesystem.MOUNT),
        device=result.device if result.device in hardware.EMULATED[1:] else None,
        engine=result.engine if result.engine.option else None,
        crash=plan.crash if plan.crash != crashplan.END else "", evictions=plan.evictions or None,
        seed=result.seed if result.seed != 1 else None,
    )  # fmt: skip


def text_of(result: CellResult) -> str:
    """The text of a file that holds the result's Program and such a heading; without one where the label is none that
    this daxcheck knows."""
    try:
        return headed(heading_of(result), result.program)
    except UsageError:
        return result.program


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
