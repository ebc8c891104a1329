"""The formats that can be imported. A row here is all that `daxcheck import` and its help know of one."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.importing.ace import VERBS, AceReader
from harness.importing.fsx import WORDS, FsxReader
from harness.importing.reader import Reader
from harness.importing.xfs_commands import COMMANDS
from harness.importing.xfs_io import XfsIoReader


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A format: what a text of it is, the words that its lines may begin with, and its reader."""

    about: str
    words: tuple[str, ...]
    reader: Callable[[], Reader]


FORMATS = {
    "ace": SourceFormat("a workload of CrashMonkey's ACE, in J-lang", tuple(VERBS), AceReader),
    "fsx": SourceFormat("an operation log, as fsx records and replays it", WORDS, FsxReader),
    "xfs_io": SourceFormat("commands of xfs_io, one to a line, or calls of it with -c", tuple(COMMANDS), XfsIoReader),
}
