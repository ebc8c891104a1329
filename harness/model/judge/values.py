"""Defines the values that a violation expects and finds. They can be compared, written to results.jsonl and read back.

A Condition says all by its name; the other values carry what was counted or read. report/words.py has the words for
them, record.py their form in results.jsonl.
"""

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """The condition of bytes: what they come from, and whether they were flushed; of a file or name: whether it is
    there; of space: what holes and blocks hold; of two ranges: that they changed places; or of the system: that it
    works, is silent, or did what it was told."""

    ZERO = "zero"
    ANYTHING = "anything"
    NO_STORE = "no_store"
    MIXED = "mixed"
    MANY = "many"
    NOT_FLUSHED = "not_flushed"
    ZERO_PAST_END = "zero_past_end"
    MISSING = "missing"
    GONE = "gone"
    NO_FILE = "no_file"
    DIRECTORY = "directory"
    FILE = "file"
    HOLE_ZERO = "hole_zero"
    HOLE_DATA = "hole_data"
    HOLE_FROM_END = "hole_from_end"
    DATA_PAST_END = "data_past_end"
    UNWRITTEN_ZERO = "unwritten_zero"
    UNWRITTEN_DATA = "unwritten_data"
    BLOCKS_GIVEN = "blocks_given"
    BLOCKS_LOST = "blocks_lost"
    EXCHANGED = "exchanged"
    EXCHANGED_IN_PART = "exchanged_in_part"
    WORKS = "works"
    SILENCE = "silence"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes of store `seq`, which op `op` made: in the file meant, or in `of`; moved by `shift` bytes since."""

    seq: int
    op: int
    of: str = ""
    shift: int = 0


Content = Condition | Stored


@dataclass(frozen=True, slots=True)
class Either:
    """Bytes that may be any of these, two or more: zero first, then by store."""

    contents: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class Shows:
    """The contents that one view shows: mmap, read, direct (O_DIRECT), or eof (the last page, past the end)."""

    view: str
    contents: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """A file as long as one of `spans`: each from its least to its largest size in bytes, both included."""

    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Names:
    """At least one of these names is there."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockBytes:
    """So many bytes of blocks: at most, where expected by st_blocks; in all, where found by FIEMAP."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Answers:
    """Any of these errnos or signals."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Portion:
    """`done` of the `length` bytes of an op."""

    done: int
    length: int


@dataclass(frozen=True, slots=True)
class Said:
    """The words of somebody else: of the kernel, of fsck, of a failed mount, of what the hardware is."""

    text: str


Value = Condition | Stored | Either | Shows | Sizes | Names | BlockBytes | Answers | Portion | Said
