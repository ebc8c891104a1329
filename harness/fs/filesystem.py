"""Describes the file systems under test: the arguments of mkfs and mount, and the layout of the device below.

A label is NAME or NAME:WORD+WORD..., such as xfs, xfs:reflink, ext4:nojournal+linear. Without words a file system is
made so that a fresh file can be mapped by PMD entries. Options of the user's own are words too, and the last ones:
xfs:reflink+mkfs(-m crc=1,rmapbt=1)+mount(wsync).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.errors import UsageError
from harness.fs import options as own_options
from harness.fs.options import PLACING, Options, rendered
from harness.linux.layout import LAYOUTS, LOG, REALTIME, SECOND


class NoFormat(UsageError):
    """A file system has no such word, or not together with another of its label."""


@dataclass(frozen=True, slots=True)
class Word:
    """The changes that a word of a label makes. A label has at most one word of each `group`."""

    group: str
    mkfs: Options
    mount: str = ""
    dax: str = ""
    layout: str = ""
    journal: bool = True
    pmds: bool = True


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system as mkfs and mount are told of it. `mkfs` names the device as its last argument; what must be done
    before it is `first`.

    `layout` is a key of linux.layout.LAYOUTS. Without a `journal` a file system must be repaired after a power failure
    before it is mounted (mke2fs(8)). `pmds` says whether a fresh file can be mapped by PMD entries.
    """

    name: str
    words: tuple[str, ...] = ()
    mkfs: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    mount: str = "dax"
    layout: str = ""
    journal: bool = True
    pmds: bool = True

    @property
    def label(self) -> str:
        """The name in options and results; `find` takes it."""
        return f"{self.name}:{'+'.join(self.words)}" if self.words else self.name

    @property
    def nvdimms(self) -> int:
        """The number of NVDIMMs that its layout needs."""
        return LAYOUTS[self.layout].legs

    @property
    def devices(self) -> int:
        """The number of block devices that it lies on: two with a log, or the contents of its files, on another one."""
        return 2 if LAYOUTS[self.layout].beside else 1

    @property
    def format(self) -> str:
        """The label without the user's own options of mkfs and mount."""
        return replace(self, words=tuple(word for word in self.words if not _OWN.fullmatch(word))).label

    def own(self, tool: str) -> str:
        """Return the user's own options of `mkfs` or of `mount`; empty if there are none."""
        found = (_OWN.fullmatch(word) for word in self.words)
        return next((one[2] for one in found if one and one[1] == tool), "")

    @property
    def has_own(self) -> bool:
        """True if options of mkfs or mount are the user's own, which this mkfs or the kernel may not take."""
        return bool(self.own(MKFS) or self.own(MOUNT))

    def plus(self, words: str) -> "FileSystem":
        """Return the same file system with more words, WORD+WORD; those it has count once. Raises NoFormat."""
        return _make(self.name, (*self.words, *words.split("+")))


MKFS, MOUNT = "mkfs", "mount"
_OWN = re.compile(rf"({MKFS}|{MOUNT})\(([^()]*)\)")
"""A word that holds the user's own options."""
_SEPARATE = re.compile(r",(?![^()]*\))")
"""A comma between two labels, and none within the options of one."""
UNKNOWN = "unknown option"
"""The words of mkfs.xfs about an option that only a newer one has."""
_LAYOUTS = {word: Word("layout", {}, layout=word) for word, layout in LAYOUTS.items() if word and not layout.beside}
_TOOLS = {"ext4": ("mkfs.ext4", "-q", "-F", "-b", "4096"), "xfs": ("mkfs.xfs", "-q", "-f")}
_JOURNAL = ("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "journal_dev", SECOND)
NAMES = tuple(_TOOLS)
"""The file systems that there are."""
_BASE: dict[str, Options] = {
    # A stripe of one PMD makes the allocator align extents to PMDs; without it a 4 MiB file may start anywhere.
    # Lazy initialisation would go on writing from a kernel thread after the mount.
    "ext4": {
        ("-E", "stride"): "512", ("-E", "stripe_width"): "512",
        ("-E", "lazy_itable_init"): "0", ("-E", "lazy_journal_init"): "0",
    },
    # A stripe unit of one PMD aligns extents to PMDs. Two groups, so that each has room for the smallest log.
    # mkfs.xfs changed its mind on reflink and rmapbt over the years, so both are said.
    "xfs": {
        ("-m", "reflink"): "0", ("-m", "rmapbt"): "0",
        ("-d", "su"): "2m", ("-d", "sw"): "1", ("-d", "agcount"): "2",
    },
}  # fmt: skip
_REALTIME: Options = {("-r", "rtdev"): SECOND, ("-d", "rtinherit"): "1"}
_WORDS: dict[str, dict[str, Word]] = {
    "ext4": {
        "writeback": Word("journal", {}, mount="data=writeback"),
        "nojournal": Word("journal", {("-O", "^has_journal"): ""}, journal=False),
        # Block maps instead of extents: no fallocate but for holes, no unwritten blocks, no run aligned to a PMD.
        "noextents": Word("extents", {("-O", "^extent"): "", ("-O", "^64bit"): ""}, pmds=False),
        # An fsync writes what it needs alone to the journal, and recovery replays that (fs/ext4/fast_commit.c).
        "fast_commit": Word("commit", {("-O", "fast_commit"): ""}),
        # Blocks are allocated 16 at a time.
        "bigalloc": Word("extents", {("-O", "bigalloc"): "", ("-C", "65536"): ""}),
        "quota": Word("quota", {("-O", "quota"): ""}, mount="usrquota,grpquota"),
        "project": Word("quota", {("-O", "quota"): "", ("-O", "project"): ""}, mount="prjquota"),
        # Mounted with dax a kernel must refuse it, with dax=inode a file that is inline must not be DAX: its bytes lie
        # in its inode (fs/ext4/super.c, ext4_load_super; fs/ext4/inode.c, ext4_should_enable_dax).
        "inline_data": Word("inline", {("-O", "inline_data"): ""}, pmds=False),
        "inode": Word("dax", {}, dax="dax=inode"),
        LOG: Word("layout", {("-J", "device"): SECOND}, mount=f"journal_path={SECOND}", layout=LOG),
        **_LAYOUTS,
    },
    "xfs": {
        "reflink": Word("reflink", {("-m", "reflink"): "1"}),
        # What is copied on write is allocated a PMD at a time.
        "cowextsize": Word("reflink", {("-m", "reflink"): "1", ("-d", "cowextsize"): "512"}),
        "rmapbt": Word("rmapbt", {("-m", "rmapbt"): "1"}),
        "exchange": Word("exchange", {("-i", "exchange"): "1"}),  # xfsprogs 6.10, Linux 6.10
        "metadir": Word("metadir", {("-m", "metadir"): "1"}),  # xfsprogs 6.13, Linux 6.13
        "quota": Word("quota", {}, mount="uquota,gquota,pquota"),
        # The hint is in blocks and inherited from the root directory. Without a stripe it aligns extents in the file
        # but not on the medium (xfs_bmap_btalloc), so that a PMD entry is a matter of luck.
        "extsize": Word(
            "extsize", {("-d", "su"): None, ("-d", "sw"): None, ("-d", "extszinherit"): "512"}, pmds=False
        ),
        "inode": Word("dax", {}, dax="dax=inode"),
        LOG: Word("layout", {("-l", "logdev"): SECOND}, mount=f"logdev={SECOND}", layout=LOG),
        # Every file has its contents on the second device. Only extents of a PMD each are sure to lie on PMDs there.
        REALTIME: Word("layout", _REALTIME, mount=f"rtdev={SECOND}", layout=REALTIME, pmds=False),
        "realtime2m": Word("layout", {**_REALTIME, ("-r", "extsize"): "2m"}, mount=f"rtdev={SECOND}", layout=REALTIME),
        **_LAYOUTS,
    },
}
"""The words of each file system, in the order in which a label has them."""


def find(label: str) -> FileSystem:
    """The file system of that label. Raises UsageError that names what is known."""
    name, colon, words = label.partition(":")
    if name not in _WORDS:
        raise UsageError(f"--fs {label}: unknown file system; known: {', '.join(_WORDS)}")
    return _make(name, tuple(words.split("+")) if colon else ())


def labels(text: str) -> list[str]:
    """The labels in a list such as ext4,xfs:mkfs(-m crc=1,rmapbt=1), each once."""
    return list(dict.fromkeys(_SEPARATE.split(text)))


def with_own(label: str, mkfs: str, mount: str) -> FileSystem:
    """The file system of that label, with options of the user's own; an empty text is none. Raises UsageError."""
    own = [f"{tool}({text})" for tool, text in ((MKFS, mkfs), (MOUNT, mount)) if text]
    system = find(label)
    return _make(system.name, (*system.words, *own)) if own else system


def names() -> tuple[str, ...]:
    """Return the names of all file systems that can be tested, each without words."""
    return tuple(_WORDS)


def nvdimms(words: str) -> int:
    """Return the number of NVDIMMs that WORD+WORD need, on a file system that has these words."""
    tables = (table for table in _WORDS.values() if all(word in table for word in words.split("+")))
    return max((LAYOUTS[table[word].layout].legs for table in tables for word in words.split("+")), default=1)


def check_words(words: str, *, layouts: bool) -> None:
    """Raise UsageError if a part of WORD+WORD is no file system's word, or no layout when `layouts`."""
    known = dict.fromkeys(word for table in ((_LAYOUTS,) if layouts else _WORDS.values()) for word in table)
    for word in words.split("+"):
        if word not in known:
            raise UsageError(f"no {'layout' if layouts else 'format'} {word!r}; known: {', '.join(known)}")


def _make(name: str, wanted: Sequence[str]) -> FileSystem:
    table = _WORDS[name]
    own = [found for word in wanted if (found := _OWN.fullmatch(word))]
    for word in wanted:
        if word not in table and not _OWN.fullmatch(word):
            raise NoFormat(f"{name} has no format {word or repr(word)}; known: {', '.join(table)}")
    words = tuple(word for word in table if word in wanted)
    chosen = [table[word] for word in words]
    groups: dict[str, str] = {}
    for word in words:
        first = groups.setdefault(table[word].group, word)
        if first != word:
            raise NoFormat(f"{name} cannot be {first} and {word} at once")
    if "nojournal" in words and LOG in words:
        raise NoFormat(f"{name} cannot be nojournal and {LOG} at once")
    given = _given(own)
    options = dict(_BASE[name])
    for change in chosen:
        options |= change.mkfs
    extra = own_options.mkfs(name, given[MKFS]) if MKFS in given else {}
    layout = "".join(word.layout for word in chosen)
    mount = ["".join(word.dax for word in chosen) or "dax", *(word.mount for word in chosen if word.mount)]
    more = own_options.mount(given[MOUNT]) if MOUNT in given else ()
    _agree(words, chosen, extra, more)
    argv = (*_TOOLS[name], *rendered(options | extra), LAYOUTS[layout].device)
    words = (*words, *([f"{MKFS}({' '.join(rendered(extra))})"] if extra else []),
             *([f"{MOUNT}({','.join(more)})"] if more else []))  # fmt: skip
    journal, pmds = all(word.journal for word in chosen), all(word.pmds for word in chosen) and LAYOUTS[layout].pmds
    pmds = pmds and not any((name, flag) in PLACING for flag, _ in extra)
    before = _JOURNAL if name == "ext4" and LOG in words else ()
    return FileSystem(name, words, argv, before, ",".join((*mount, *more)), layout, journal, pmds)


def _given(own: Sequence[re.Match[str]]) -> dict[str, str]:
    """Return the user's own options by tool. Raises NoFormat where one tool has two sets of them."""
    given: dict[str, str] = {}
    for tool, text in dict.fromkeys((found[1], found[2]) for found in own):
        if tool in given:
            raise NoFormat(f"{tool}({text}): a label has one {tool}(...): join the two")
        given[tool] = text
    return given


def _agree(words: Sequence[str], chosen: Sequence[Word], mkfs: Options, mount: Sequence[str]) -> None:
    """Raise NoFormat where an option of the user's own changes what a word of the label says."""
    keys = {one.partition("=")[0] for one in mount}
    for word, change in zip(words, chosen, strict=True):
        if both := [f"mkfs {flag} {key}" for flag, key in mkfs if (flag, key) in change.mkfs]:
            raise NoFormat(f"{both[0]}: the format {word} sets it: leave one out")
        if change.mount and change.mount.partition("=")[0] in keys:
            raise NoFormat(f"mount -o {change.mount.partition('=')[0]}: the format {word} sets it: leave one out")
