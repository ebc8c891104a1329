"""Describes the file systems under test: the arguments of mkfs and mount, and the layout of the device below.

A label is NAME or NAME:WORD+WORD..., such as xfs, xfs:reflink, ext4:nojournal+linear. Without words a file system is
made so that a fresh file can be mapped by PMD entries.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UsageError
from harness.linux.layout import LAYOUTS

Options = Mapping[tuple[str, str], str | None]
"""(flag, key) of mkfs -> value; "" for a key that has none, None for one that is not given."""


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
    """A file system as mkfs and mount are told of it. `mkfs` names the device as its last argument.

    `layout` is a key of linux.layout.LAYOUTS. Without a `journal` a file system must be repaired after a power failure
    before it is mounted (mke2fs(8)). `pmds` says whether a fresh file can be mapped by PMD entries.
    """

    name: str
    words: tuple[str, ...] = ()
    mkfs: tuple[str, ...] = ()
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

    def plus(self, words: str) -> "FileSystem":
        """Return the same file system with more words, WORD+WORD; those it has count once. Raises NoFormat."""
        return _make(self.name, (*self.words, *words.split("+")))


UNKNOWN = "unknown option"
"""The words of mkfs.xfs about an option that only a newer one has."""
_LAYOUTS = {word: Word("layout", {}, layout=word) for word in LAYOUTS if word}
_TOOLS = {"ext4": ("mkfs.ext4", "-q", "-F", "-b", "4096"), "xfs": ("mkfs.xfs", "-q", "-f")}
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
_WORDS: dict[str, dict[str, Word]] = {
    "ext4": {
        "writeback": Word("journal", {}, mount="data=writeback"),
        "nojournal": Word("journal", {("-O", "^has_journal"): ""}, journal=False),
        # Block maps instead of extents: no fallocate but for holes, no unwritten blocks, no run aligned to a PMD.
        "noextents": Word("extents", {("-O", "^extent"): "", ("-O", "^64bit"): ""}, pmds=False),
        "inode": Word("dax", {}, dax="dax=inode"),
        **_LAYOUTS,
    },
    "xfs": {
        "reflink": Word("reflink", {("-m", "reflink"): "1"}),
        "rmapbt": Word("rmapbt", {("-m", "rmapbt"): "1"}),
        "exchange": Word("exchange", {("-i", "exchange"): "1"}),  # xfsprogs 6.10, Linux 6.10
        # The hint is in blocks and inherited from the root directory. Without a stripe it aligns extents in the file
        # but not on the medium (xfs_bmap_btalloc), so that a PMD entry is a matter of luck.
        "extsize": Word(
            "extsize", {("-d", "su"): None, ("-d", "sw"): None, ("-d", "extszinherit"): "512"}, pmds=False
        ),
        "inode": Word("dax", {}, dax="dax=inode"),
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


def names() -> tuple[str, ...]:
    """Return the names of all file systems that can be tested, each without words."""
    return tuple(_WORDS)


def check_words(words: str, *, layouts: bool) -> None:
    """Raise UsageError if a part of WORD+WORD is no file system's word, or no layout when `layouts`."""
    known = dict.fromkeys(word for table in ((_LAYOUTS,) if layouts else _WORDS.values()) for word in table)
    for word in words.split("+"):
        if word not in known:
            raise UsageError(f"no {'layout' if layouts else 'format'} {word!r}; known: {', '.join(known)}")


def _make(name: str, wanted: tuple[str, ...]) -> FileSystem:
    table = _WORDS[name]
    for word in wanted:
        if word not in table:
            raise NoFormat(f"{name} has no format {word or repr(word)}; known: {', '.join(table)}")
    words = tuple(word for word in table if word in wanted)
    chosen = [table[word] for word in words]
    groups: dict[str, str] = {}
    for word in words:
        first = groups.setdefault(table[word].group, word)
        if first != word:
            raise NoFormat(f"{name} cannot be {first} and {word} at once")
    options = dict(_BASE[name])
    for change in chosen:
        options |= change.mkfs
    layout = "".join(word.layout for word in chosen)
    mount = ["".join(word.dax for word in chosen) or "dax", *(word.mount for word in chosen if word.mount)]
    argv = (*_TOOLS[name], *_rendered(options), LAYOUTS[layout].device)
    journal, pmds = all(word.journal for word in chosen), all(word.pmds for word in chosen) and LAYOUTS[layout].pmds
    return FileSystem(name, words, argv, ",".join(mount), layout, journal, pmds)


def _rendered(options: Options) -> list[str]:
    """Return the options as arguments, those of one flag joined by commas."""
    flags: dict[str, list[str]] = {}
    for (flag, key), value in options.items():
        if value is not None:
            flags.setdefault(flag, []).append(f"{key}={value}" if value else key)
    return [argument for flag, items in flags.items() for argument in (flag, ",".join(items))]
