"""Checks options that a user adds to those of mkfs and mount, and gives each set of options one spelling.

    -m rmapbt=1 -m crc=1    becomes {("-m", "crc"): "1", ("-m", "rmapbt"): "1"}, spelt -m crc=1,rmapbt=1

They come from a file that somebody else may have written. So only these get through: flags that say how a file system
is laid out, and words without a path, a device's name, or anything that a shell could take for its own.
"""

import re
from collections.abc import Mapping

from harness.errors import UsageError

Options = Mapping[tuple[str, str], str | None]
"""(flag, key) of mkfs -> value; "" for a key that has none, None for one that is not given."""

LIMIT = 200
"""Characters of the options of one mkfs, or of one mount."""
_ITEM = re.compile(r"(\^?[A-Za-z0-9][A-Za-z0-9_]*)(?:=(-?[A-Za-z0-9_.]+))?")
FLAGS = {
    "ext4": ("-E", "-O", "-I", "-i", "-N", "-m", "-J", "-G", "-g", "-C"),
    "xfs": ("-m", "-d", "-i", "-l", "-n", "-r"),
}
"""The flags of each mkfs that may be given, each with a value (mke2fs(8), mkfs.xfs(8))."""
PLACING = frozenset({("ext4", "-E"), ("ext4", "-C"), ("ext4", "-G"), ("ext4", "-g"), ("xfs", "-d"), ("xfs", "-r")})
"""The flags by which files may come to lie on no PMD."""
_NEEDED = "daxcheck sets it itself"
_ELSEWHERE = "the file system lies on the device under test, and on nothing else"
NO_MKFS = {
    **dict.fromkeys(("logdev", "rtdev", "name", "file", "device", "location", "offset", "journal_dev"), _ELSEWHERE),
    **dict.fromkeys(("uuid", "metauuid", "lazy_itable_init", "lazy_journal_init"), _NEEDED),
    "^has_journal": "the format ext4:nojournal is that",
    "^extent": "the format ext4:noextents is that",
}
"""The keys of mkfs that are refused, each with the reason."""
NO_MOUNT = {
    "dax": f"{_NEEDED} (format NAME:inode is dax=inode)",
    **dict.fromkeys(("logdev", "rtdev", "journal_dev", "journal_path", "sb", "loop", "offset"), _ELSEWHERE),
    **dict.fromkeys(("nobarrier", "barrier"), "without barriers no sync promises anything (ext4(5))"),
    **dict.fromkeys(("norecovery", "noload"), "a crash image must be recovered before it is judged"),
    **dict.fromkeys(
        ("ro", "rw", "sync", "async", "dirsync", "noatime", "relatime", "strictatime", "nodiratime", "lazytime",
         "nosuid", "nodev", "noexec", "remount", "bind", "rbind", "move", "silent", "defaults", "auto", "noauto"),
        "it is an option of mount(8) for every file system, and only those of this one are passed on",
    ),
}  # fmt: skip
"""The options of mount that are refused, each with the reason."""


def mkfs(name: str, text: str) -> dict[tuple[str, str], str]:
    """The options of the mkfs of file system `name`, sorted. Raises UsageError for what may not be given."""
    words = _bounded("mkfs", text).split()
    found: dict[tuple[str, str], str] = {}
    for flag, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if flag not in FLAGS[name]:
            raise UsageError(f"mkfs {flag[:40]}: may not be given; flags of {name}: {', '.join(FLAGS[name])}")
        for item in value.split(","):
            key, told = _item(f"mkfs {flag}", item)
            if reason := NO_MKFS.get(key):
                raise UsageError(f"mkfs {flag} {key}: {reason}: leave it out")
            if (flag, key) in found:
                raise UsageError(f"mkfs {flag} {key}: stands there twice: leave one out")
            found[flag, key] = told
    return dict(sorted(found.items()))


def mount(text: str) -> tuple[str, ...]:
    """The options of a mount, sorted. Raises UsageError for what may not be given."""
    found: dict[str, str] = {}
    for item in _bounded("mount", text).split(","):
        key, value = _item("mount -o", item)
        if reason := NO_MOUNT.get(key):
            raise UsageError(f"mount -o {key}: {reason}: leave it out")
        if key in found:
            raise UsageError(f"mount -o {key}: stands there twice: leave one out")
        found[key] = f"{key}={value}" if value else key
    return tuple(found[key] for key in sorted(found))


def rendered(options: Options) -> list[str]:
    """The options of mkfs as arguments, those of one flag joined by commas."""
    flags: dict[str, list[str]] = {}
    for (flag, key), value in options.items():
        if value is not None:
            flags.setdefault(flag, []).append(f"{key}={value}" if value else key)
    return [argument for flag, items in flags.items() for argument in (flag, ",".join(items))]


def _bounded(what: str, text: str) -> str:
    if not text.strip() or len(text) > LIMIT:
        raise UsageError(f"{what}: wants options of 1 to {LIMIT} characters")
    return text


def _item(what: str, item: str) -> tuple[str, str]:
    """Return the key and the value, which is empty if there is none."""
    parts = _ITEM.fullmatch(item)
    if parts is None:
        raise UsageError(f"{what} {item[:40]!r}: write KEY or KEY=VALUE of letters, digits, _ and . , joined by commas")
    return parts[1], parts[2] or ""
