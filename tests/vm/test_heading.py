"""One .prog file is a whole report: with a real kernel, and no option but that."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import progfile
from harness.targets.guest import GuestTarget

Daxcheck = Any
FILE = """\
daxcheck program 1
kernel >= 6.0
format xfs:reflink
mkfs -m rmapbt=1
mount -o wsync
device eadr
seed 5
create f data
fallocate f allocate 0 0x400000
fsync f
fsyncdir
mmap m f 0 4M
store m 0 2M
msync m 0 2M
cut_power
"""
OWN = "format xfs:reflink\nmkfs -m rmapbt=1\nmount -o wsync\ndevice eadr\nseed 5\n"
REFUSED = """\
daxcheck program 1
format {}
create f data
pwrite f 0 4K
fsync f
fsyncdir
cut_power
"""


@pytest.mark.nightly
def test_a_file_with_a_heading_needs_no_options(target_6_1: GuestTarget, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """It runs on what it says; what the run writes has that heading too; what typed words override is told."""
    path, out = tmp_path / "x.prog", tmp_path / "out"
    path.write_text(FILE)
    kernel = ("--kernel", target_6_1.kernel.digest)
    code, said = daxcheck.run("run", path, *kernel, "--results", out)
    assert code == 0, said
    (line,) = (json.loads(line) for line in (out / "results.jsonl").read_text().splitlines())
    told = (line["outcome"], line["fs"], line["device"], line["seed"])
    assert told == ("PASS", "xfs:reflink+mkfs(-m rmapbt=1)+mount(wsync)", "eadr", 5)
    (written,) = out.glob("*.prog")
    assert written.read_text() == line["program"].replace("\n", f"\n{OWN}", 1)
    assert progfile.read(written).program == progfile.read(path).program
    code, said = daxcheck.run("run", written, *kernel, "--results", out, "--resume")
    assert code == 0 and "1 deselected" in said, said
    code, said = daxcheck.run("run", path, *kernel, "--fs", "ext4", "--device", "nvdimm")
    assert code == 0 and 'x.prog: --fs ext4 overrides "format xfs:reflink"' in said, said


@pytest.mark.parametrize(("heading", "reason"), [
    pytest.param("xfs\nmkfs -m crc=7", "mkfs.xfs ended with", marks=pytest.mark.nightly),
    pytest.param("ext4\nmount -o data=journal", "cannot be mounted with DAX", marks=pytest.mark.nightly),
    ("ext4\nkernel >= 99", "the file is for kernel >= 99, and this is 6.1."),
])  # fmt: skip
def test_what_cannot_be_there_is_a_skip(
    target_6_1: GuestTarget, daxcheck: Daxcheck, tmp_path: Path, heading: str, reason: str
) -> None:
    """In the words of mkfs, of the kernel, or in ours; never a PASS."""
    path, out = tmp_path / "x.prog", tmp_path / "out"
    path.write_text(REFUSED.format(heading))
    daxcheck.run("run", path, "--kernel", target_6_1.kernel.digest, "--results", out)
    (line,) = (json.loads(line) for line in (out / "results.jsonl").read_text().splitlines())
    assert line["outcome"] == "SKIP" and reason in line["error"], line["error"]
