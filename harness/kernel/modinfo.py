"""Reads what a kernel module says of itself (.modinfo) from the ELF file, packed or not.

modules.dep is not used: kernel packages ship none, and depmod is not there for every user.
"""

import lzma
import os
import select
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

from harness.deadline import Deadline
from harness.errors import InfraError, SetupError

SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")
LARGEST = 256 << 20
"""Bytes of the largest module accepted; one with debug information has some 20 MB."""
UNPACK = 60.0
"""Seconds that zstd may take for one module."""

_ELF64_LITTLE = b"\x7fELF\x02\x01"
_SECTION = struct.Struct("<IIQQQQIIQQ")


class BadModule(InfraError):
    """A kernel module that cannot be read; the text names the file."""


def read(path: Path) -> bytes:
    """The bytes of a module, unpacked. Raises BadModule, or SetupError when zstd is needed and missing."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadModule(f"{path}: larger than {LARGEST >> 20} MiB, no kernel module")
        packed = path.read_bytes()
        if path.suffix == ".xz":
            xz = lzma.LZMADecompressor(memlimit=LARGEST)
            data, whole = xz.decompress(packed, LARGEST), xz.eof
        elif path.suffix == ".gz":
            gz = zlib.decompressobj(zlib.MAX_WBITS | 16)
            data, whole = gz.decompress(packed, LARGEST), gz.eof
        elif path.suffix == ".zst":
            data, whole = _zstd(path), True
        else:
            data, whole = packed, True
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise BadModule(f"{path}: cannot be read ({error}): fetch the kernel again") from error
    if not whole:
        raise BadModule(f"{path}: truncated, or larger than {LARGEST >> 20} MiB: fetch the kernel again")
    if not data.startswith(_ELF64_LITTLE):
        raise BadModule(f"{path}: is no 64-bit ELF file: fetch the kernel again")
    return data


def _zstd(path: Path) -> bytes:
    program = shutil.which("zstd")
    if program is None:
        raise SetupError(f"{path.name} is packed with zstd, which is not installed: sudo apt-get install zstd")
    argv, pipe = [program, "-dcq", "-M512MB", "--", str(path)], subprocess.PIPE
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            data = _bounded(process.stdout.fileno(), path)
            status = process.wait(UNPACK)
        finally:
            process.kill()
    if status:
        raise BadModule(f"{path}: zstd cannot unpack it (exit code {status}): fetch the kernel again")
    return data


def _bounded(fd: int, path: Path) -> bytes:
    """Read a pipe to its end. Raises BadModule when that is more than LARGEST bytes, DeadlineExpired."""
    deadline, data = Deadline(UNPACK), bytearray()
    while True:
        deadline.check(f"{path}: zstd does not end")
        if not select.select([fd], [], [], min(1.0, deadline.remaining()))[0]:
            continue
        chunk = os.read(fd, 1 << 20)
        if not chunk:
            return bytes(data)
        if len(data) + len(chunk) > LARGEST:
            raise BadModule(f"{path}: larger than {LARGEST >> 20} MiB unpacked: fetch the kernel again")
        data += chunk


def fields(module: bytes, name: str) -> dict[str, tuple[str, ...]]:
    """The `key=value` strings of .modinfo, in order per key. Raises BadModule; `name` is for its text."""
    try:
        return parse(_section(module, b".modinfo"))
    except (struct.error, ValueError, OverflowError) as error:
        raise BadModule(f"{name}: no readable .modinfo section ({error}): fetch the kernel again") from error


def parse(strings: bytes) -> dict[str, tuple[str, ...]]:
    """NUL-separated `key=value` strings, as .modinfo and modules.builtin.modinfo hold them."""
    found: dict[str, list[str]] = {}
    for text in strings.split(b"\0"):
        key, equals, value = text.decode("utf-8", "replace").partition("=")
        if equals:
            found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


def _section(elf: bytes, name: bytes) -> bytes:
    """One section by name; the layout is that of elf(5), Elf64_Ehdr and Elf64_Shdr."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    entry, count, names = struct.unpack_from("<HHH", elf, 58)
    if entry != _SECTION.size:
        raise ValueError(f"section headers of {entry} bytes")
    headers = [_SECTION.unpack_from(elf, table + i * entry) for i in range(count)]
    if names >= count:
        raise ValueError("no section names")
    strings = elf[headers[names][4] : headers[names][4] + headers[names][5]]
    for header in headers:
        if strings.startswith(name + b"\0", header[0]):
            return elf[header[4] : header[4] + header[5]]
    raise ValueError("there is none")


def signed(module: bytes) -> bool:
    """Say whether a signature is appended (include/linux/module_signature.h); changing the file would break it."""
    return module.endswith(b"~Module signature appended~\n")
