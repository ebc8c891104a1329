"""`daxcheck import`: make Programs of operation logs, scripts and workloads of other tools."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from harness import ending, place, progfile
from harness.errors import EXIT_CLEAN, UsageError
from harness.importing.formats import FORMATS
from harness.importing.reader import TEXT_LIMIT, read
from harness.importing.sheet import Part
from harness.model.contract.worth import why_not_judged
from harness.model.program.program import format as format_program
from harness.plain import plain

LIMIT = 4 * TEXT_LIMIT
"""Bytes that are read: a character of UTF-8 takes four at most."""
SUFFIX = ".prog"


def main(options: argparse.Namespace) -> int:
    """Write the Programs to --out, else to standard output; tell on standard error what else is to be known. Raises
    UsageError."""
    name = "standard input" if options.file == "-" else plain(options.file)
    imported = read(FORMATS[options.format].reader, _text(options.file, name), name, options.skip_unknown)
    if len(imported.parts) > 1 and options.out is None:
        raise UsageError(f"{name}: takes {len(imported.parts)} Programs: name a file with --out, which gets a number")
    for number, part in enumerate(imported.parts, start=1):
        if reason := why_not_judged(part.program):
            which = f"Program {number} of {len(imported.parts)}: " if len(imported.parts) > 1 else ""
            raise UsageError(f"{name}: {which}{reason}")
    texts = [text(part) for part in imported.parts]
    for remark in imported.remarks:
        _say(remark)
    if options.out is None:
        sys.stdout.write(texts[0])
        return EXIT_CLEAN
    for path, one in zip(paths(options.out, len(texts)), texts, strict=True):
        _write(path, one)
    return EXIT_CLEAN


def text(part: Part) -> str:
    """The text of a Program, where a comment tells the line that an op, and those below it, come from."""
    header, *lines = format_program(part.program).splitlines()
    told = [header]
    before = 0
    for line, number in zip(lines, part.lines, strict=True):
        told.append(f"{line}  # line {number}" if number not in (0, before) else line)
        before = number
    return "\n".join(told) + "\n"


def paths(out: Path, count: int) -> Iterator[Path]:
    """The files to write: `out` itself, or x-001.prog, x-002.prog and so on."""
    if count == 1:
        yield out
        return
    for number in range(1, count + 1):
        yield out.with_name(f"{out.stem}-{number:03}{out.suffix or SUFFIX}")


def _text(file: str, name: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(LIMIT + 1)
            if len(data) > LIMIT:
                raise UsageError(f"more than {LIMIT >> 20} MiB is too long")
        else:
            data = progfile.contents(Path(file), LIMIT)
        return data.decode()
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise UsageError(f"{name}: is no text in UTF-8 ({error.reason} at byte {error.start})") from error
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise UsageError(f"{name}: {reason}: name a readable file, or - for standard input") from error
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _write(path: Path, data: str) -> None:
    try:
        with place.opened(path.absolute().parent) as folder:
            place.write(folder, path.name, data.encode())
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}: name another file") from error


def _say(line: str) -> None:
    """Tell a line where it is no part of the Program."""
    ending.flush()
    print(plain(line), file=sys.stderr, flush=True)
