"""Ops on files by descriptor and by name."""

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """fallocate(2) modes, by the names of the FALLOC_FL_ bits they set."""

    ALLOCATE = "allocate"
    KEEP_SIZE = "keep_size"
    PUNCH_HOLE = "punch_hole"  # always with FALLOC_FL_KEEP_SIZE, as the man page demands
    ZERO_RANGE = "zero_range"
    ZERO_RANGE_KEEP_SIZE = "zero_range_keep_size"
    COLLAPSE_RANGE = "collapse_range"
    INSERT_RANGE = "insert_range"
    UNSHARE_RANGE = "unshare_range"
    WRITE_ZEROES = "write_zeroes"  # Linux 6.17


class How(StrEnum):
    """The forms of read(2) and write(2): O_DIRECT by its own descriptor, all others by the RWF_ flags of preadv2(2) and
    pwritev2(2)."""

    PLAIN = "plain"
    DIRECT = "direct"
    DSYNC = "dsync"
    SYNC = "sync"
    NOWAIT = "nowait"  # EAGAIN where it would have to wait
    APPEND = "append"  # writes alone: behind the end of the file, wherever `offset` is
    ATOMIC = "atomic"  # writes alone, with O_DIRECT, as the man page demands (Linux 6.11)


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


class Opening(StrEnum):
    """Flags of open(2) beside O_RDWR.

    APPEND is O_APPEND. A pwrite(2) through such a descriptor appends, whatever its offset: POSIX has it otherwise, and
    pwrite(2), BUGS, says that Linux "appends data to the end of the file, regardless of the value of offset".
    """

    PLAIN = "plain"
    APPEND = "append"
    TRUNCATE = "truncate"


class Replacing(StrEnum):
    """Flags of renameat2(2): what becomes of a file that the new name stands for."""

    REPLACE = "replace"
    NOREPLACE = "noreplace"
    EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True)
class Create:
    """open(2) with O_CREAT|O_EXCL|O_RDWR."""

    fd: str
    path: str


@dataclass(frozen=True, slots=True)
class Open:
    """open(2) of an existing file, O_RDWR."""

    fd: str
    path: str
    flag: Opening = Opening.PLAIN


@dataclass(frozen=True, slots=True)
class Close:
    """close(2)."""

    fd: str


@dataclass(frozen=True, slots=True)
class Rename:
    """rename(2) of a file, or of a directory with all that is in it.

    What `to` named before is replaced, or with a flag of renameat2(2) exchanged, or in the way.
    """

    path: str
    to: str
    flag: Replacing = Replacing.REPLACE


@dataclass(frozen=True, slots=True)
class Link:
    """link(2): `to` becomes another name of the file `path`."""

    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """unlink(2)."""

    path: str


@dataclass(frozen=True, slots=True)
class Mkdir:
    """mkdir(2)."""

    path: str


@dataclass(frozen=True, slots=True)
class Rmdir:
    """rmdir(2) of an empty directory."""

    path: str


@dataclass(frozen=True, slots=True)
class SymbolicLink:
    """symlink(2): `path` becomes a symbolic link that holds `target`, which need not be there."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Tmpfile:
    """open(2) with O_TMPFILE|O_RDWR in the root directory: a file without a name."""

    fd: str


@dataclass(frozen=True, slots=True)
class LinkFd:
    """linkat(2) of an open file that a Tmpfile made, by /proc/self/fd: its first name."""

    fd: str
    to: str


@dataclass(frozen=True, slots=True)
class Fallocate:
    """fallocate(2)."""

    fd: str
    mode: Mode
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Ftruncate:
    """ftruncate(2)."""

    fd: str
    size: int


@dataclass(frozen=True, slots=True)
class Pwrite:
    """pwrite(2) of one stamp."""

    fd: str
    offset: int
    length: int
    how: How = How.PLAIN


@dataclass(frozen=True, slots=True)
class Pread:
    """pread(2), judged against the current contents."""

    fd: str
    offset: int
    length: int
    how: How = How.PLAIN


@dataclass(frozen=True, slots=True)
class SetDax:
    """Set or clear FS_XFLAG_DAX by FS_IOC_FSSETXATTR; the file changes over when its inode is next loaded."""

    fd: str
    dax: Switch
