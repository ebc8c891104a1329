"""Laws of harness.vm.initrd.cpio, checked by a reader written from the format's description."""

import stat
from typing import NamedTuple

import pytest

from harness.vm.initrd.cpio import ArchivedDirectory, ArchivedFile, DeviceNode, Entry, Symlink, encode


class Member(NamedTuple):
    ino: int
    mode: int
    nlink: int
    mtime: int
    rdev: tuple[int, int]
    data: bytes


def read(archive: bytes) -> dict[str, Member]:
    """Members in archive order; asserts what the kernel's unpacker relies on."""
    members: dict[str, Member] = {}
    at = 0
    while True:
        assert at % 4 == 0
        assert archive[at : at + 6] == b"070701"
        ino, mode, uid, gid, nlink, mtime, size, _, _, major, minor, length, check = (
            int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)
        )
        assert (uid, gid, check) == (0, 0, 0)
        name = archive[at + 110 : at + 110 + length]
        assert name.endswith(b"\0")
        start = at + 110 + length
        start += -start % 4
        if name == b"TRAILER!!!\0":
            assert not archive[start:].strip(b"\0")
            assert len(archive) % 512 == 0
            return members
        members[name[:-1].decode()] = Member(ino, mode, nlink, mtime, (major, minor), archive[start : start + size])
        at = start + size
        at += -at % 4


TREE: dict[str, Entry] = {
    "/init": ArchivedFile(b"#!/bin/sh\n", 0o755),
    "/lib/deep/file": ArchivedFile(b"abc"),
    "/dev/console": DeviceNode(5, 1),
    "/sbin": Symlink("bin"),
    "/tmp": ArchivedDirectory(0o1777),
}


def test_every_entry_is_read_back() -> None:
    """Files, links, devices and directories keep contents, type and mode; missing parents are added before them."""
    members = read(b"".join(encode(TREE)))
    assert list(members) == sorted([*(path[1:] for path in TREE), "dev", "lib", "lib/deep"])
    assert members["init"].mode == stat.S_IFREG | 0o755
    assert members["init"].data == b"#!/bin/sh\n"
    assert members["lib/deep/file"].data == b"abc"
    assert members["sbin"].mode == stat.S_IFLNK | 0o777
    assert members["sbin"].data == b"bin"
    assert members["dev/console"].mode == stat.S_IFCHR | 0o600
    assert members["dev/console"].rdev == (5, 1)
    assert members["tmp"].mode == stat.S_IFDIR | 0o1777
    assert len({member.ino for member in members.values()}) == len(members)


def test_reproducible() -> None:
    """The bytes depend on the entries alone: not on their order, and no time is in them."""
    archive = b"".join(encode(TREE))
    assert archive == b"".join(encode(dict(reversed(list(TREE.items())))))
    assert {member.mtime for member in read(archive).values()} == {0}


@pytest.mark.parametrize("length", range(9))
def test_any_length_keeps_alignment(length: int) -> None:
    """Names and data of any length leave the next header aligned."""
    tree: dict[str, Entry] = {"/" + "n" * (length + 1): ArchivedFile(b"d" * length), "/z": ArchivedFile(b"end")}
    assert read(b"".join(encode(tree)))["z"].data == b"end"


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a//b", "/", "/a/", "/nul\0"])
def test_only_plain_absolute_paths(path: str) -> None:
    """A path that the guest would place elsewhere is refused."""
    with pytest.raises(ValueError, match="no plain absolute path"):
        list(encode({path: ArchivedDirectory()}))


def test_a_file_has_nothing_below_it() -> None:
    """An entry below something that is no directory is refused."""
    with pytest.raises(ValueError, match="/sbin is no directory"):
        list(encode({"/sbin": Symlink("bin"), "/sbin/init": ArchivedFile(b"")}))
