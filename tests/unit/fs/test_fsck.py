"""Laws of harness.fs.fsck, by the real tools on file systems that were really damaged."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import InfraError, SetupError
from harness.fs import filesystem, fsck
from harness.fs.filesystem import FileSystem
from harness.memfile import MemFile
from harness.model.units import PAGE

MIB = 1 << 20
SIZE = 320 * MIB
SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"
TWO = ((8 * MIB, SIZE // 2), (200 * MIB, SIZE // 2))
"""Two pieces with other things around them."""


def contents(medium: MemFile) -> list[tuple[int, int, bytes]]:
    return [(low, high, hashlib.sha256(medium.array[low:high].data).digest()) for low, high in medium.extents()]


@pytest.fixture(params=["ext4", "xfs", "ext4:nojournal", "xfs:reflink+rmapbt"])
def system(request: pytest.FixtureRequest) -> FileSystem:
    return filesystem.find(request.param)


@pytest.fixture
def medium(system: FileSystem, tmp_path: Path) -> Iterator[MemFile]:
    """A medium whose TWO pieces hold a fresh file system of one file."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(SIZE)
    tool = shutil.which(system.mkfs[0], path=SBIN)
    subprocess.run([tool or system.mkfs[0], *system.mkfs[1:-1], str(image)], check=True, capture_output=True)
    with MemFile("image", SIZE) as whole, MemFile("medium", 400 * MIB) as medium:
        whole.load(image)
        place = 0
        for start, length in TWO:
            for low, high in whole.extents():
                low, high = max(low, place), min(high, place + length)
                if low < high:
                    medium.array[start + low - place : start + high - place] = whole.array[low:high]
            place += length
        yield medium


def test_a_sound_file_system_is_clean(system: FileSystem, medium: MemFile) -> None:
    """Nothing is said of a fresh file system in pieces, and nothing of the medium is changed."""
    before = contents(medium)
    assert fsck.check(system, medium, TWO) == ""
    assert contents(medium) == before


def test_pieces_in_the_wrong_order_are_no_file_system(system: FileSystem, medium: MemFile) -> None:
    """The order of the pieces matters: the checker sees what the file system sees."""
    with pytest.raises(InfraError) if system.name == "ext4" else pytest.raises(AssertionError):
        assert fsck.check(system, medium, TWO[::-1]) == ""


def test_damage_is_told_in_one_line(system: FileSystem, medium: MemFile) -> None:
    """What the tool finds wrong is told shortly, by its name, without its progress reports."""
    # ext4: the block bitmap of group 0, in the first blocks behind the group descriptors; xfs: the free space header.
    start = TWO[0][0] + (512 if system.name == "xfs" else PAGE)
    medium.array[start + 24 : start + 64] ^= 0x55
    said = fsck.check(system, medium, TWO)
    assert said.startswith(("e2fsck: ", "xfs_repair: ")) and "\n" not in said and len(said) < fsck.SAID + 20
    assert not any(word in said for word in ("Pass 1", "Phase 1", "/proc/self/fd"))


def test_repair_mends_what_a_power_failure_leaves(tmp_path: Path) -> None:
    """Wrong counts and bitmaps are mended in place, in every piece, and then the checker is content."""
    system = filesystem.find("ext4:nojournal")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run([shutil.which("mkfs.ext4", path=SBIN) or "", *system.mkfs[1:-1], str(image)], check=True)
    debugfs = shutil.which("debugfs", path=SBIN) or ""
    subprocess.run([debugfs, "-w", "-R", f"write {__file__} data", str(image)], check=True, capture_output=True)
    subprocess.run([debugfs, "-w", "-R", "setb 20000 3", str(image)], check=True, capture_output=True)
    with MemFile("medium", SIZE) as medium:
        medium.load(image)
        assert "e2fsck: " in fsck.check(system, medium, ((0, SIZE),))
        fsck.repair(system, medium, ((0, SIZE),))
        assert fsck.check(system, medium, ((0, SIZE),)) == ""


def test_a_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the tool nothing can be judged: set-up, with the command that helps."""
    monkeypatch.setattr(fsck, "_SBIN", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent")
    with MemFile("medium", MIB) as medium, pytest.raises(SetupError, match=r"e2fsck is missing: .* e2fsprogs"):
        fsck.check(filesystem.find("ext4"), medium, ((0, MIB),))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo Pass 1; exit 8", "exit code 8"), ("echo Pass 1; echo Cannot allocate memory; exit 4", "exit code 4"),
        ("echo no such option; exit 4", "exit code 4"), ("echo Pass 1; kill -SEGV $$", "exit code -11"),
    ],
)
def test_a_checker_that_cannot_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    """Trouble of the tool itself is never told as a fault of the file system."""
    tool(tmp_path, monkeypatch, script)
    with MemFile("medium", MIB) as medium, pytest.raises(InfraError, match=said):
        fsck.check(filesystem.find("ext4"), medium, ((0, MIB),))


def test_a_flood_of_complaints_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that never stops complaining is stopped by its limit, and has complained."""
    tool(tmp_path, monkeypatch, "echo Pass 1; while :; do echo inode 1 is bad; done")
    with MemFile("medium", MIB) as medium:
        said = fsck.check(filesystem.find("ext4"), medium, ((0, MIB),))
    assert said.startswith("e2fsck: inode 1 is bad") and len(said) < fsck.SAID + 20


def test_a_checker_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker has its time, and then it is no verdict."""
    tool(tmp_path, monkeypatch, "while :; do :; done")
    monkeypatch.setattr(fsck, "SECONDS", 0.3)
    with MemFile("medium", MIB) as medium, pytest.raises(InfraError, match=r"did not end within 0\.3 s"):
        fsck.check(filesystem.find("ext4"), medium, ((0, MIB),))


def tool(path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a shell script in e2fsck's place."""
    program = path / "e2fsck"
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
