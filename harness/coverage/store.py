"""Keeps on disk which blocks of a kernel have run: a file beside results.jsonl for each kernel, which only grows.

Workers of one run, and a suite and a campaign, append to the same file: whole lines, each with what its writer had not
written before. So a file holds each block once for each source and writer at most, and to merge is to read.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness import place
from harness.coverage.code import Code
from harness.errors import UsageError
from harness.model.wire.block import SIZE_LIMIT, CodeBlock, is_symbol

SUITE, CAMPAIGN = "suite", "campaign"
SOURCES = (SUITE, CAMPAIGN)
"""The runs that reach blocks: of Programs that were given, and of a search for new ones."""
LIMIT = 64 << 20
"""Bytes of a file that is read; all blocks of the functions of harness.coverage.areas take some 100 KB."""
PARTS = 16
"""Parts and copies of one function that a compiler may make."""
_NAME = re.compile(r"coverage\.(.+)\.([0-9a-f]{8,})\.jsonl", re.ASCII)


@dataclass(slots=True)
class Reached:
    """The contents of a file: the functions that were asked for, those that the kernel has with their bytes, and the
    blocks that each source has reached. `damaged` lines were left out."""

    kernel: str
    asked: set[str] = field(default_factory=set)
    present: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, set[CodeBlock]] = field(default_factory=lambda: {source: set() for source in SOURCES})
    damaged: int = 0


class CoverageFile:
    """The file of one kernel in a results directory; `digest` tells builds of one release apart, which share no block.

    Every method raises UsageError when the directory cannot be written, or the file cannot be read.
    """

    def __init__(self, directory: Path, release: str, digest: str) -> None:
        self.path = directory / f"coverage.{release}.{digest[:8]}.jsonl"
        self._release = release
        self._written: Reached | None = None

    def describe(self, code: Code) -> None:
        """Note the functions that are recorded, and those of them that the kernel has."""
        written = self._known()
        if code.asked <= written.asked and code.present.items() <= written.present.items():
            return
        self._append({"asked": sorted(code.asked), "present": code.present})
        written.asked |= code.asked
        written.present.update(code.present)

    def add(self, source: str, blocks: Iterable[CodeBlock]) -> frozenset[CodeBlock]:
        """Add blocks that a run of this source has reached; returns those that no run of it is known to have reached.

        Known is what the file held when this object first looked, and what it added itself.
        """
        known = self._known().blocks[source]
        fresh = frozenset(blocks) - known
        if fresh:
            offsets: dict[str, list[int]] = {}
            for block in sorted(fresh):
                offsets.setdefault(block.function, []).append(block.offset)
            self._append({"source": source, "blocks": offsets})
            known |= fresh
        return fresh

    def read(self) -> Reached:
        """Read all that was added until now, by whichever process; empty if there is no file."""
        return _read(self.path, self._release)

    def _known(self) -> Reached:
        if self._written is None:
            self._written = self.read()
        return self._written

    def _append(self, line: object) -> None:
        try:
            with place.opened(self.path.parent) as folder:
                fd = place.create(folder, self.path.name, os.O_RDWR | os.O_APPEND)
                try:
                    _append_line(fd, json.dumps(line, separators=(",", ":")).encode())
                finally:
                    os.close(fd)
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}; free some space or name another directory") from error


def files(directory: Path) -> list[CoverageFile]:
    """Find the files of a results directory, sorted by kernel. Raises UsageError when there are none."""
    found = [match for name in _names(directory) if (match := _NAME.fullmatch(name))]
    if not found:
        raise UsageError(f"{directory}: no coverage there; `daxcheck run --coverage --results {directory}` records it")
    return [CoverageFile(directory, match[1], match[2]) for match in sorted(found, key=lambda one: one[0])]


def _names(directory: Path) -> list[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except OSError as error:
        raise UsageError(f"{directory}: {error.strerror}; name a directory of `daxcheck run --results`") from error


def _append_line(fd: int, text: bytes) -> None:
    """Append a line in one piece, so that writers do not mix theirs: O_APPEND moves to the end and writes under one
    lock of the file (write(2)). A writer that was killed may have left a part of a line, which then ends here."""
    end = os.fstat(fd).st_size
    torn = end and os.pread(fd, 1, end - 1) != b"\n"
    data = b"\n" * bool(torn) + text + b"\n"
    written = os.write(fd, data)
    if written != len(data):
        os.write(fd, data[written:])  # says why the rest did not fit


def _read(path: Path, release: str) -> Reached:
    reached = Reached(release)
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except FileNotFoundError:
        return reached
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another directory") from error
    if len(data) > LIMIT:
        raise UsageError(f"{path}: larger than {LIMIT >> 20} MiB, so no file of coverage: remove it")
    for line in data.split(b"\n"):
        if line:
            try:
                _take(reached, json.loads(line))
            except (ValueError, RecursionError):
                reached.damaged += 1
    return reached


def _take(reached: Reached, line: object) -> None:
    """Add what a line says; nothing of one that is damaged. Raises ValueError."""
    match line:
        case {"asked": list(asked), "present": dict(present)} if (
            all(map(is_symbol, (*asked, *present))) and _are_bytes(present.values())
        ):
            reached.asked.update(asked)
            reached.present.update(present)
        case {"source": str(source), "blocks": dict(told)} if (
            source in SOURCES and all(map(is_symbol, told)) and all(_are_offsets(one) for one in told.values())
        ):
            for name, offsets in told.items():
                reached.blocks[source].update(CodeBlock(name, offset) for offset in offsets)
        case _:
            raise ValueError("a line is no line of coverage")


def _are_offsets(told: object) -> bool:
    return isinstance(told, list) and _are_bytes(told)


def _are_bytes(numbers: Iterable[object]) -> bool:
    return all(type(one) is int and 0 <= one <= SIZE_LIMIT * PARTS for one in numbers)


