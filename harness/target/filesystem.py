"""The file systems under test and how they are made: options that let a fresh file be mapped by PMD entries."""

from dataclasses import dataclass

from harness.errors import UsageError

DEVICE = "/dev/pmem0"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What mkfs and mount are told. `mkfs` names the device as its last argument."""

    name: str
    mkfs: tuple[str, ...]
    mount: str = "dax"


_KNOWN = {
    system.name: system
    for system in (
        # A stripe of one PMD makes the allocator align extents to PMDs; without it a 4 MiB file may start anywhere.
        # Lazy initialisation would go on writing from a kernel thread after the mount.
        FileSystem("ext4", (
            "mkfs.ext4", "-q", "-F", "-b", "4096",
            "-E", "stride=512,stripe_width=512,lazy_itable_init=0,lazy_journal_init=0", DEVICE,
        )),
        # A stripe unit of one PMD aligns extents to PMDs. Two groups, so that each has room for the smallest log.
        FileSystem("xfs", ("mkfs.xfs", "-q", "-f", "-m", "reflink=0", "-d", "su=2m,sw=1,agcount=2", DEVICE)),
    )
}  # fmt: skip


def find(name: str) -> FileSystem:
    """The file system of that name. Raises UsageError."""
    if name not in _KNOWN:
        raise UsageError(f"--fs {name}: unknown file system; known: {', '.join(_KNOWN)}")
    return _KNOWN[name]


def names() -> tuple[str, ...]:
    """All that can be tested."""
    return tuple(_KNOWN)
