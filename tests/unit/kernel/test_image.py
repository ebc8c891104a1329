"""Laws of harness.kernel.image: a release for a kernel, one line with the remedy for anything else."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.kernel import image


def test_release_of_an_image(tmp_path: Path, make_image: Callable[..., bytes]) -> None:
    """The release is the first word of the header's version text."""
    path = tmp_path / "bzImage"
    path.write_bytes(make_image("7.3.4+deb13-amd64"))
    assert image.release(path) == "7.3.4+deb13-amd64"


def test_a_signature_may_follow(tmp_path: Path, make_image: Callable[..., bytes]) -> None:
    """Secure Boot signatures are appended; a longer file is no damage."""
    path = tmp_path / "bzImage"
    path.write_bytes(make_image("6.1.0") + bytes(4096))
    assert image.release(path) == "6.1.0"


STRANGERS = [
    (b"\x7fELF" + bytes(2000), "is an ELF file such as vmlinux"),
    (b"", "is empty"),
    (b"some words\n" * 100, "is no kernel image"),
    (b"MZ" + bytes(0x36) + b"ARM\x64" + bytes(2000), "is an arm64 kernel"),
    (b"MZ\0\0zimg" + bytes(2000), "EFI zboot image"),
    (b"\x1f\x8b" + bytes(2000), "is a gzip file"),
    (b"!<arch>\ndebian-binary", "is an archive such as a .deb"),
]


@pytest.mark.parametrize(("data", "says"), STRANGERS)
def test_other_files(tmp_path: Path, data: bytes, says: str) -> None:
    """Each other kind of file is called what it is, with what to pass instead, in one line."""
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=says) as caught:
        image.release(path)
    assert str(path) in str(caught.value)
    assert "bzImage" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0x206, 0x240, 1024, 2559, 5 * 512 + 65535])
def test_truncated(tmp_path: Path, make_image: Callable[..., bytes], keep: int) -> None:
    """A copy that was cut off anywhere after the magic is told as truncated, with both sizes."""
    path = tmp_path / "vmlinuz"
    path.write_bytes(make_image()[:keep])
    with pytest.raises(UsageError, match=rf"truncated, {keep} of \d+ bytes: copy or fetch it again"):
        image.release(path)


def test_32_bit(tmp_path: Path, make_image: Callable[..., bytes]) -> None:
    """An i386 image lacks XLF_KERNEL_64."""
    data = bytearray(make_image())
    struct.pack_into("<H", data, 0x236, 0)
    (tmp_path / "bzImage").write_bytes(data)
    with pytest.raises(UsageError, match="is a 32-bit x86 kernel"):
        image.release(tmp_path / "bzImage")


def test_version_beyond_the_file(tmp_path: Path, make_image: Callable[..., bytes]) -> None:
    """A header that points at nothing is damage, not a release."""
    data = bytearray(make_image())
    struct.pack_into("<H", data, 0x20E, 0x5000)
    (tmp_path / "bzImage").write_bytes(data)
    with pytest.raises(UsageError, match="names no kernel release"):
        image.release(tmp_path / "bzImage")


def test_missing_directory_and_special(tmp_path: Path) -> None:
    """What cannot be opened as a file is told without blocking on it."""
    with pytest.raises(UsageError, match="no such file"):
        image.release(tmp_path / "none")
    with pytest.raises(UsageError, match="is a directory"):
        image.release(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="is no regular file"):
        image.release(tmp_path / "fifo")


def test_unreadable(tmp_path: Path, make_image: Callable[..., bytes]) -> None:
    """A 0600 kernel of another user gets the command that makes it readable."""
    path = tmp_path / "vmlinuz"
    path.write_bytes(make_image())
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root reads everything
            os.seteuid(65534)
        with pytest.raises(UsageError, match=r"permission denied.*sudo chmod a\+r"):
            image.release(path)
    finally:
        os.seteuid(user)
