"""What is read of a kernel's modules costs what their size allows."""

import os
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.kernel import modinfo, modules
from harness.kernel.kernel import Kernel
from harness.kernel.modinfo import BadModule


def test_zstd_is_read_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to a huge one is refused once the limit is passed; the rest is never kept."""
    monkeypatch.setattr(modinfo, "LARGEST", 4 << 20)
    kept: list[bytes] = []
    read = os.read

    def counted(fd: int, size: int) -> bytes:
        kept.append(read(fd, size))
        return kept[-1]

    monkeypatch.setattr(os, "read", counted)
    path = tmp_path / "bomb.ko.zst"
    zeroes = tmp_path / "zeroes"
    with zeroes.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["zstd", "-q", str(zeroes), "-o", str(path)], check=True)
    with pytest.raises(BadModule, match="larger than 4 MiB unpacked"):
        modinfo.read(path)
    assert sum(map(len, kept)) <= (4 << 20) + (1 << 20)


def elf(sections: int, names: bytes) -> bytes:
    """An ELF file of that many sections, all of which name the start of a table of names."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    head[40:48] = (64).to_bytes(8, "little")
    head[58:64] = b"".join(n.to_bytes(2, "little") for n in (64, sections, 0))
    table = modinfo._SECTION.pack(0, 0, 0, 0, 64 + 64 * sections, len(names), 0, 0, 0, 0)
    return bytes(head) + table * sections + names


def test_names_of_sections_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory that is taken to look through 60,000 sections does not grow with their number."""
    module = elf(60_000, b"x" * (4 << 20) + b"\0")
    tracemalloc.start()
    try:
        with pytest.raises(BadModule, match="there is none"):
            modinfo.fields(module, "x.ko")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60_000 * 600 + 2 * len(module)


def test_a_table_beyond_all_files_is_a_bad_module() -> None:
    """An offset that no file has is told as one."""
    module = bytearray(elf(1, b"\0"))
    module[40:48] = b"\xff" * 8
    with pytest.raises(BadModule, match=r"no readable .modinfo"):
        modinfo.fields(bytes(module), "x.ko")


def test_a_chain_of_modules_has_an_end(tmp_path: Path, make_module: Callable[..., bytes]) -> None:
    """A thousand modules that depend on each other in a row are refused, not recursed into."""
    folder = tmp_path / "kernel/fs"
    folder.mkdir(parents=True)
    (tmp_path / "modules.builtin").touch()
    for number in range(1000):
        (folder / f"m{number}.ko").write_bytes(make_module(f"depends=m{number + 1}"))
    with pytest.raises(UsageError, match="chain of more than 100"):
        modules.closure(Kernel("6.12", tmp_path, tmp_path, "", ""), ("m0",))


def test_each_module_is_unpacked_once_for_all_softdeps(
    tmp_path: Path, make_module: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module with a thousand softdeps does not have every algorithm unpacked a thousand times."""
    softdeps = f"softdep=pre: {' '.join(f'x{number}' for number in range(1000))}"
    for name, info in (("fs/a.ko", softdeps), ("crypto/b.ko", "alias=y")):
        path = tmp_path / "kernel" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(make_module(info))
    (tmp_path / "modules.builtin").touch()
    unpacked: list[Path] = []
    read = modinfo.read

    def counted(path: Path) -> bytes:
        unpacked.append(path)
        return read(path)

    monkeypatch.setattr(modinfo, "read", counted)
    modules.closure(Kernel("6.12", tmp_path, tmp_path, "", ""), ("a",))
    assert len(unpacked) == 2
