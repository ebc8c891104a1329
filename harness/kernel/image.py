"""Tells a bootable x86-64 kernel image from the other files that people pass as one.

The header is that of Documentation/arch/x86/boot.rst in the kernel's source ("The Real-Mode Kernel Header").
"""

import struct
from pathlib import Path

from harness.errors import UsageError
from harness.paths import inside

SETUP_SECTS, SYSSIZE, MAGIC, VERSION, XLOADFLAGS = 0x1F1, 0x1F4, 0x202, 0x20E, 0x236
HEADER = 0x250
"""Bytes from the start that cover every field read here."""
SECTOR = 512
PARAGRAPH = 16
XLF_KERNEL_64 = 1
LONGEST_VERSION = 512

_REMEDY = "pass a vmlinuz/bzImage (in a build tree: arch/x86/boot/bzImage)"
_STRANGERS = (
    (0, b"\x7fELF", "is an ELF file such as vmlinux, which QEMU cannot boot with an initramfs"),
    (0x38, b"ARM\x64", "is an arm64 kernel, not an x86-64 one"),
    (0x38, b"RSC\x05", "is a RISC-V kernel, not an x86-64 one"),
    (0, b"\x1f\x8b", "is a gzip file, not an x86-64 kernel image"),
    (0, b"\xfd7zXZ", "is an xz file, not an x86-64 kernel image"),
    (0, b"\x28\xb5\x2f\xfd", "is a zstd file, not an x86-64 kernel image"),
    (0, b"!<arch>", "is an archive such as a .deb, not a kernel image"),
    (4, b"zimg", "is an EFI zboot image of another architecture, not an x86-64 kernel"),
)  # fmt: skip


def release(path: Path) -> str:
    """The release that `uname -r` will show, read from the image. Raises UsageError with a one-line remedy."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UsageError(f"{path}: is no regular file: {_REMEDY}")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            header = file.read(HEADER)
            _check(path, header, size)
            file.seek(struct.unpack_from("<H", header, VERSION)[0] + SECTOR)
            text = file.read(LONGEST_VERSION)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file: {_REMEDY}") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a directory: {_REMEDY}") from None
    except PermissionError:
        remedy = f"make it readable (sudo chmod a+r {path}) or pass a copy that you own"
        raise UsageError(f"{path}: permission denied, as for many installed kernels: {remedy}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: {_REMEDY}") from error
    words = text.split(b"\0", 1)[0].decode("ascii", "replace").split()
    if not words or not words[0].isprintable() or not inside(words[0]) or "/" in words[0]:
        raise UsageError(f"{path}: the header names no kernel release, the file is damaged: copy or fetch it again")
    return words[0]


def _check(path: Path, header: bytes, size: int) -> None:
    """Raise UsageError unless it is a whole x86-64 image.

    Sources of the rules: boot.rst, fields boot_flag, header, setup_sects, syssize, kernel_version, xloadflags.
    """
    for offset, magic, what in _STRANGERS:
        if header[offset : offset + len(magic)] == magic:
            raise UsageError(f"{path}: {what}: {_REMEDY}")
    if header[MAGIC : MAGIC + 4] != b"HdrS" or header[0x1FE:0x200] != b"\x55\xaa":
        what = "is empty" if not header else "is no kernel image (no HdrS magic at 0x202)"
        raise UsageError(f"{path}: {what}: {_REMEDY}")
    wanted = HEADER
    if len(header) >= HEADER:
        (paragraphs,) = struct.unpack_from("<I", header, SYSSIZE)
        wanted = ((header[SETUP_SECTS] or 4) + 1) * SECTOR + paragraphs * PARAGRAPH
    if size < wanted:
        raise UsageError(f"{path}: truncated, {size} of {wanted} bytes: copy or fetch it again")
    if not struct.unpack_from("<H", header, XLOADFLAGS)[0] & XLF_KERNEL_64:
        raise UsageError(f"{path}: is a 32-bit x86 kernel: daxcheck runs x86-64 kernels only")
