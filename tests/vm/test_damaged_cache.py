"""A damaged cache entry is made anew or named in one line: it never becomes a verdict, right or wrong."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import sparse, trimming
from harness.media import golden
from harness.targets.guest import GuestTarget

Daxcheck = Any
MakeCache = Callable[..., Path]
Damage = Callable[[int, int], None]


def cut_short(fd: int, size: int) -> None:
    os.ftruncate(fd, size // 2)


def empty(fd: int, size: int) -> None:
    os.ftruncate(fd, 0)


def flip(fd: int, size: int, step: int = 1 << 16) -> None:
    """Turn bits over in every 64 KiB that hold data."""
    for start, end in list(sparse.data_extents(fd, size)):
        for place in range(start + 37, end, step):
            os.pwrite(fd, bytes([os.pread(fd, 1, place)[0] ^ 0x5A]), place)


def flip_one_bit(fd: int, size: int) -> None:
    """Turn one bit over in the middle of the data."""
    extents = list(sparse.data_extents(fd, size))
    place = sum(extents[len(extents) // 2]) // 2
    os.pwrite(fd, bytes([os.pread(fd, 1, place)[0] ^ 0x10]), place)


def damage(home: Path, pattern: str, how: Damage) -> list[Path]:
    """Damage copies of the files of the cache that match, and put them in their place: the originals are shared."""
    paths = [path for path in (home / "daxcheck").glob(pattern) if path.is_file()]
    assert paths, pattern
    for path in paths:
        copy = path.with_name("damaged")
        subprocess.run(["cp", "--sparse=always", str(path), str(copy)], check=True)
        with copy.open("r+b") as file:
            how(file.fileno(), os.fstat(file.fileno()).st_size)
        copy.rename(path)
    return paths


RECOVERED: dict[str, dict[str, Damage]] = {
    "cut short": {"snapshots/*/state": cut_short, "golden/*/image": cut_short},
    "flipped": {
        "snapshots/*/ram": flip_one_bit, "golden/*/image": flip, "initramfs/*/initramfs.cpio": flip,
        "plugin/*/persist.so": flip,
    },
    "manifests emptied": {"[gips]*/*/MANIFEST.json": empty},
}  # fmt: skip


@pytest.mark.parametrize(
    "damages",
    [pytest.param(each, id=name, marks=() if name == "flipped" else pytest.mark.nightly)
     for name, each in RECOVERED.items()],
)  # fmt: skip
def test_it_is_made_anew(
    target_6_1: GuestTarget, daxcheck: Daxcheck, private_cache: MakeCache, kept_file: Path, damages: dict[str, Damage]
) -> None:
    """A damaged snapshot, image, initramfs or plugin is made anew without a question: the run passes, and of each kind
    that was damaged something is sound."""
    home = private_cache(target_6_1)
    damaged = {path: sparse.digest(path) for pattern, how in damages.items() for path in damage(home, pattern, how)}
    options = ["--kernel", target_6_1.kernel.digest, "--fs", "ext4"]
    code, said = daxcheck.run("run", kept_file, *options, env={"XDG_CACHE_HOME": str(home)})
    assert code == 0, said
    assert "ok" in said and "Traceback" not in said
    anew = {path for path, digest in damaged.items() if path.exists() and sparse.digest(path) != digest}
    assert {path.parents[1].name for path in anew} == {path.parents[1].name for path in damaged}
    assert not list(home.rglob(".tmp-*"))


@pytest.mark.parametrize("how", [cut_short, flip])
def test_a_damaged_kernel_is_named(
    target_6_1: GuestTarget, daxcheck: Daxcheck, private_cache: MakeCache, kept_file: Path, tmp_path: Path, how: Damage
) -> None:
    """A damaged kernel that was added from a file is exit code 2 and a line that says how to add it again."""
    home = private_cache(target_6_1, ())
    environment = {"XDG_CACHE_HOME": str(home)}
    path = tmp_path / "vmlinuz"
    shutil.copyfile(target_6_1.kernel.image, path)
    code, said = daxcheck.run("kernel", "add", path, env=environment)
    assert code == 0, said
    damage(home, "kernels/*/vmlinuz", how)
    code, said = daxcheck.run("run", kept_file, "--kernel", target_6_1.kernel.release, env=environment)
    assert code == 2, said
    (line,) = [line for line in said.splitlines() if "damaged" in line]
    assert "daxcheck kernel rm" in line and f"daxcheck kernel add {path}" in line


@pytest.mark.nightly
def test_what_is_made_again_for_want_of_room_is_told(
    target_6_1: GuestTarget, daxcheck: Daxcheck, private_cache: MakeCache, kept_file: Path
) -> None:
    """An image that had gone for others is made again with a word on it, at once and at the end; doctor tells it."""
    home = private_cache(target_6_1)
    area = home / "daxcheck" / golden.AREA
    (area / trimming.TRIMMED).mkdir()
    for key in [path.name for path in area.iterdir() if not path.name.startswith(".")]:
        shutil.rmtree(area / key)
        (area / trimming.TRIMMED / key).touch()
    environment = {"XDG_CACHE_HOME": str(home), trimming.VARIABLE: ""}
    options = ["--kernel", target_6_1.kernel.digest, "--fs", "ext4", "-n", "1"]
    code, said = daxcheck.run("run", kept_file, *options, env=environment)
    assert code == 0, said
    assert said.count(f"made again: {golden.AREA}/") == 1
    complaint = "the cache of 8 GiB was too small: made again were 1 of golden"
    assert said.splitlines()[-2].startswith(complaint), said
    code, said = daxcheck.run("doctor", env=environment)
    assert f"to do: {complaint}" in said
    code, said = daxcheck.run("run", kept_file, *options, env=environment)
    assert code == 0 and "made again" not in said
