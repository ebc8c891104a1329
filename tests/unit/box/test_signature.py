"""Laws of harness.box.signature, with the real wipefs on files that hold what real tools and formats put there."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.box import signature
from harness.box.signature import Signature
from harness.box.target import OWNED
from harness.errors import UsageError
from harness.fs.label import LABEL, UUID_PREFIX

OURS = f"{UUID_PREFIX}8001-000000000001"
MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.touch()
    with path.open("r+b") as file:
        file.truncate(32 * MIB)
    return path


def make(*argv: str | Path) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    subprocess.run([str(word) for word in argv], check=True, capture_output=True, env=environment)


def put(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def types(path: Path) -> list[str]:
    return [found.type for found in signature.read(path)]


def test_a_blank_device_has_none(disk: Path) -> None:
    """No signature is no fault."""
    assert signature.read(disk) == ()


def test_a_file_system_with_its_names(disk: Path) -> None:
    """Type, usage, place, label and UUID."""
    make("mkfs.ext4", "-q", "-F", "-L", "home", "-U", "5bcc3f83-a84c-4dd0-b529-f184b72eb8ab", disk)
    (found,) = signature.read(disk)
    assert found == Signature("ext4", "filesystem", 0x438, "home", "5bcc3f83-a84c-4dd0-b529-f184b72eb8ab")
    assert str(found) == "ext4 (label home, UUID 5bcc3f83-a84c-4dd0-b529-f184b72eb8ab)"
    assert not found.ours and not found.member


@pytest.mark.parametrize(
    ("label", "identity", "ours"),
    [(LABEL, OURS, True), ("home", OURS, False), (LABEL, "5bcc3f83-a84c-4dd0-b529-f184b72eb8ab", False)],
)
def test_ours_has_both_marks(disk: Path, label: str, identity: str, ours: bool) -> None:
    """A file system is daxcheck's when its label and its UUID say so, not when one of them does."""
    make("mkfs.ext4", "-q", "-F", "-L", label, "-U", identity, disk)
    (found,) = signature.read(disk)
    assert found.ours is ours


def test_xfs_of_ours(tmp_path: Path) -> None:
    """The marks fit into an xfs, too."""
    path = tmp_path / "xfs"
    path.touch()
    with path.open("r+b") as file:
        file.truncate(320 * MIB)
    make("mkfs.xfs", "-q", "-f", "-L", LABEL, "-m", f"uuid={OURS}", path)
    (found,) = signature.read(path)
    assert found.ours and found.type == "xfs"


def test_swap(disk: Path) -> None:
    """A swap area that is not in use."""
    make("mkswap", "-q", disk)
    assert types(disk) == ["swap"]


def test_all_of_several(disk: Path) -> None:
    """Where two formats left their marks, both are told: what blkid would call ambiguous."""
    make("mkfs.ext4", "-q", "-F", disk)
    put(disk, 0, b"hsqs")
    assert types(disk) == ["squashfs3", "ext4"]


def test_partition_tables(disk: Path) -> None:
    """A DOS table counts, also beside a file system."""
    make("mkfs.ext4", "-q", "-F", disk)
    entry = bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")
    put(disk, 446, entry + bytes(48) + b"\x55\xaa")
    assert set(types(disk)) == {"ext4", "dos"}


def lvm(disk: Path) -> None:
    """A label of lvm2 in sector 1 (lib/label/label.h): LABELONE, its sector, a CRC, where the rest is, LVM2 001."""
    body = (32).to_bytes(4, "little") + b"LVM2 001" + b"a" * 32 + (32 * MIB).to_bytes(8, "little") + bytes(448)
    crc = 0xF597A6CF
    for byte in body[:492]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    put(disk, 512, b"LABELONE" + (1).to_bytes(8, "little") + crc.to_bytes(4, "little") + body[:492])


def raid(disk: Path) -> None:
    """An MD superblock 1.0 (struct mdp_superblock_1 of drivers/md/md_p.h), 8 KiB before the end of the device."""
    sector = 32 * MIB // 512 - 16
    block = bytearray(256)
    block[:8] = (0xA92B4EFC).to_bytes(4, "little") + (1).to_bytes(4, "little")
    block[144:152] = sector.to_bytes(8, "little")
    total = sum(int.from_bytes(block[at : at + 4], "little") for at in range(0, 256, 4))
    block[216:220] = ((total & 0xFFFFFFFF) + (total >> 32)).to_bytes(4, "little")
    put(disk, sector * 512, bytes(block))


def gpt(disk: Path) -> None:
    """The header of a GPT of 4 KiB sectors (UEFI 2.10, 5.3.2), in its second sector; there is no MBR."""
    put(disk, 4096, b"EFI PART" + bytes((0, 0, 1, 0, 92)))


def partition(disk: Path) -> None:
    """An ext4 in a partition whose table is gone."""
    make("mkfs.ext4", "-q", "-F", "-E", "offset=1048576", disk, "16m")


def ext4(disk: Path) -> None:
    """An ext4 whose first block is gone."""
    make("mkfs.ext4", "-q", "-F", "-b", "4096", disk)
    put(disk, 0, bytes(4096))


def xfs(disk: Path) -> None:
    """An xfs whose first block is gone: libblkid asks for no other superblock."""
    with disk.open("r+b") as file:
        file.truncate(320 * MIB)
    make("mkfs.xfs", "-q", "-f", disk)
    put(disk, 0, bytes(4096))


def raw(disk: Path) -> None:
    put(disk, 20 * MIB + 5, b"x")


def end(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.truncate(600 * MIB)
    put(disk, 599 * MIB, b"x")


@pytest.mark.parametrize(("write", "first"), [
    (gpt, 4096), (partition, MIB + 1024), (ext4, 4096), (xfs, 4096), (raw, 20 * MIB + 5), (end, 599 * MIB),
])  # fmt: skip
def test_what_wipefs_does_not_know_is_data(disk: Path, write: Callable[[Path], None], first: int) -> None:
    """wipefs is silent, and yet there is something to lose."""
    assert signature.read(disk) == () and signature.data(disk) == ()
    write(disk)
    assert signature.read(disk) == ()
    (found,) = signature.data(disk)
    assert found.type == "data" and not found.ours and first <= found.offset <= first + 4096
    assert f"data of no known kind (from byte {found.offset:#x} on)" == str(found)


def test_only_both_ends_are_looked_at(disk: Path) -> None:
    """What is read is bounded, whatever the size of the device; what a run writes is all of it."""
    size = signature.HEAD + 8 * MIB
    with disk.open("r+b") as file:
        file.truncate(size)
    put(disk, signature.HEAD, b"x" * 7 * MIB)
    assert signature.data(disk) == () and OWNED <= signature.HEAD
    put(disk, size - signature.TAIL, b"x")
    assert signature.data(disk) == (Signature("data", "data", size - signature.TAIL),)
    put(disk, signature.HEAD - 1, b"x")
    assert signature.data(disk) == (Signature("data", "data", signature.HEAD - 1),)


def test_what_cannot_be_looked_at_is_not_blank(tmp_path: Path) -> None:
    """No device, no answer; nor is a directory blank."""
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            signature.data(path)


def btrfs(disk: Path) -> None:
    """The magic of a btrfs superblock (struct btrfs_super_block), with its checksum (crc32c) and its sizes."""
    block = bytearray(4096)
    block[32:36] = b"\1\2\3\4"
    block[48:56] = (65536).to_bytes(8, "little")
    block[64:72] = b"_BHRfS_M"
    block[128:136] = (1).to_bytes(8, "little")
    block[144:152] = (4096).to_bytes(4, "little") * 2
    crc = 0xFFFFFFFF
    for byte in block[32:]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    block[:4] = (crc ^ 0xFFFFFFFF).to_bytes(4, "little")
    put(disk, 65536, bytes(block))


def jbd(disk: Path) -> None:
    make("mke2fs", "-q", "-F", "-O", "journal_dev", disk)


@pytest.mark.parametrize("write", [btrfs, jbd])
def test_what_may_be_one_of_several(disk: Path, write: Callable[[Path], None]) -> None:
    """As libblkid calls them: a file system on several devices, the journal of another."""
    write(disk)
    (found,) = signature.read(disk)
    assert found.type == write.__name__ and found.possible_member and not found.member


@pytest.mark.parametrize(("write", "kind"), [(lvm, "LVM2_member"), (raid, "linux_raid_member")])
def test_members_are_told_apart(disk: Path, write: object, kind: str) -> None:
    """A part of LVM or MD, at either end of the device, is no file system of its own."""
    assert callable(write)
    write(disk)
    (found,) = signature.read(disk)
    assert found.type == kind and found.member


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """No device, no answer."""
    with pytest.raises(UsageError, match="cannot be read"):
        signature.read(tmp_path / "absent")


def test_the_tool_is_the_systems(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name that comes first in PATH and finds nothing is not asked."""
    make("mkswap", "-q", disk)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/wipefs").write_text("#!/bin/sh\n")
    (tmp_path / "bin/wipefs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    assert types(disk) == ["swap"]


def test_through_a_descriptor(disk: Path) -> None:
    """The child sees the device that is open here, whatever its name means by then."""
    make("mkswap", "-q", disk)
    with disk.open("rb") as file:
        disk.rename(disk.with_name("moved"))
        disk.write_bytes(bytes(32 * MIB))
        (found,) = signature.read(f"/proc/self/fd/{file.fileno()}", (file.fileno(),))
    assert found.type == "swap" and types(disk) == []


@pytest.mark.parametrize(
    "output",
    [b"[]", b"{}", b'{"signatures": 3}', b'{"signatures": [{}]}', b'{"signatures": [{"type": null}]}', b"sda ext4",
     b'{"signatures": [{"type": "ext4", "usage": null, "label": null, "uuid": null, "offset": "x"}]}', b"[" * 70000],
)  # fmt: skip
def test_strange_answers_are_refused(output: bytes) -> None:
    """What is not understood is never taken for a blank device."""
    with pytest.raises(UsageError, match="does not understand"):
        signature.parse(output, "/dev/pmem0")


def test_no_answer_is_blank() -> None:
    """wipefs may print nothing at all where nothing is."""
    assert signature.parse(b"\n", "/dev/pmem0") == ()
