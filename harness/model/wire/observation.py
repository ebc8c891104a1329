"""Describes what was read: the contents of a file as runs of sources. Plain data that crosses the channel.

A source says who wrote the bytes, found by decoding the stamps themselves and not by comparing with an
expectation, so that an observation is evidence on its own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Zero:
    """Bytes that read as zero: a hole, an unwritten extent, or zeroes on the media."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Bytes of store `seq` of file `file` that were stored at offset - shift (see wire.stamps.word)."""

    seq: int
    file: int
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that decode to nothing, kept whole (at most RAW_LIMIT of them)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Opaque:
    """A longer range that decodes to nothing; `sample` holds its first bytes."""

    sample: bytes


RAW_LIMIT = 256
"""Bytes of a Raw run; the longest run of words mixed by unaligned edges that is still judged by byte."""
SAMPLE = 16
"""Bytes kept of an Opaque run."""
SEGMENT_LIMIT = 1 << 15
"""Segments per file; contents in more pieces are cut off there and `truncated` is set."""

Source = Zero | Stamp | Raw | Opaque


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes [start, end) of a file come from `source`."""

    start: int
    end: int
    source: Source


@dataclass(frozen=True, slots=True)
class Difference:
    """View `view` shows `source` in [start, end) where the fresh mmap shows something else.

    Views are "read", "direct" (O_DIRECT), and "eof": bytes of the mapping's last page past the end that are not zero.
    """

    view: str
    start: int
    end: int
    source: Source


@dataclass(frozen=True, slots=True)
class Extent:
    """FIEMAP says that bytes [start, end) lie in blocks; `flags` are names of FIEMAP_EXTENT_ bits in lower case."""

    start: int
    end: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Allocation:
    """The blocks of a file: `bytes` by st_blocks, `data` by SEEK_DATA and SEEK_HOLE, `extents` by FIEMAP.

    `data` and `extents` ascend without overlap; extents may lie past the end of the file, data does not.
    """

    bytes: int
    data: tuple[tuple[int, int], ...] = ()
    extents: tuple[Extent, ...] = ()


DIRECTORY, SYMLINK = "directory", "symlink"
"""The kinds of FileViews of directories and symbolic links."""
END = "end of file"
"""The answer of a read that returned 0 before the end of the file."""


@dataclass(frozen=True, slots=True)
class FileView:
    """One file as read back: `size` in bytes (None: no such file), a fresh mmap's contents, where others differ.

    `error` says what ended the reading early; then `truncated` is set too. `answer` is what the kernel gave for it: a
    signal (SIGBUS), an errno (EIO), END for a read that ended before the file; empty when it was none of these.
    `allocation` is None when it was not asked for, or could not be told. `kind` is DIRECTORY or SYMLINK
    where the name stands for one, whose size is 0; empty for a file, and where nothing is there. `target` is what a
    symbolic link holds.
    """

    path: str
    size: int | None
    segments: tuple[Segment, ...] = ()
    differences: tuple[Difference, ...] = ()
    truncated: bool = False
    error: str = ""
    allocation: Allocation | None = None
    answer: str = ""
    kind: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class OpResult:
    """The result of op `index`: errno (0 = success), the segments that a load or pread saw, a precondition that did not
    hold, the signal that ended an access which was expected to end in one (0 = none), the files that Observe saw, and
    `done`: the number of bytes, from its first on, that the system calls of a CountedOp said they had done, also before
    one failed (None: not told, as for all other ops).

    Segments count from the start of the file, also those of a load. Of a lane's op that ran several times it is the
    last run that counts, except that a failure or an unmet precondition of any run stands.
    """

    index: int
    errno: int = 0
    segments: tuple[Segment, ...] = ()
    unmet: str = ""
    signal: int = 0
    files: tuple[FileView, ...] = ()
    done: int | None = None
