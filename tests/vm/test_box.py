"""daxcheck as it is used on a box with pmem, the box being a guest that has this machine's files."""

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.kernel.kernel import Kernel
from harness.model.units import PAGE
from harness.targets.replica import Replica
from harness.vm.machine import Qemu

ROOT = Path(__file__).resolve().parents[2]
RUN = 1800.0
"""Seconds for a run; on an idle machine it takes one or two minutes."""
LEGACY = "memmap=128M!512M"
"""Memory that the kernel calls persistent: /dev/pmem1, beside the NVDIMM's /dev/pmem0."""

USES = """\
import subprocess
from harness.box import discover
from harness.linux import mapper
from harness.linux.layout import Layout, build
from harness.linux.pmem import Pmem
from harness.model.units import PMD

def sh(command):
    subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)

def tell(use):
    (device,) = (device for device in discover.devices() if device.name == "pmem0")
    words = {kind: getattr(device, kind) for kind in ("partitions", "holders", "mounts", "swaps", "users")}
    words["signatures"] = [found.type for found in device.signatures]
    print(use, {kind: list(found) for kind, found in words.items() if found})

size = int(open("/sys/block/pmem0/size").read()) * 512
tell("none")
sh("mkswap /dev/pmem0 && swapon /dev/pmem0")
tell("swap")
sh("swapoff /dev/pmem0 && mkfs.ext4 -q -F /dev/pmem0")
tell("signature")
sh("mkdir -p /mnt/here && mount -o dax /dev/pmem0 /mnt/here")
tell("mount")
sh("umount /mnt/here")
mapper.join([("/dev/pmem0", size)])
tell("dm")
mapper.remove()
with open("/dev/pmem0") as file, subprocess.Popen(["sleep", "600"], stdin=file) as process:
    tell("open")
    process.kill()
build(Layout(partition=PMD), [Pmem("pmem0", 0, size, 1, "")])
tell("partition")
"""
STORES = """\
import mmap
with open("/mnt/box/file", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
    for page, letter in enumerate(b"synced", 1):
        memory[page * 4096] = letter
        if page % 2:
            memory.flush(page * 4096, 4096)
"""


@pytest.fixture
def box(kernel_6_12: Kernel, qemu: Qemu) -> Iterator[Callable[..., Replica]]:
    """Boots a box; the arguments are those of Replica."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Replica(kernel_6_12, qemu, **settings))


def python(box: Replica, source: str) -> str:
    """What Python source says that runs in the box, in the interpreter of these tests."""
    return box.check(f"{sys.executable} - <<'END'\n{source}END")


def test_doctor(box: Callable[..., Replica]) -> None:
    """Doctor names each pmem device with its facts; nothing that is done in a box is done to this machine."""
    here = box(append=LEGACY)
    _, told = here.run("daxcheck doctor")
    for name, facts in (("pmem0", ("fsdax", "766 MiB")), ("pmem1", ("memmap", "128 MiB"))):
        (line,) = re.findall(rf"^.*/dev/{name}: .*$", told, re.MULTILINE)
        assert [fact for fact in facts if fact not in line] == [], told
    here.check(f"rm {ROOT}/README.md && touch {ROOT}/in-the-box && test -e {ROOT}/in-the-box")
    assert (ROOT / "README.md").exists()
    assert not (ROOT / "in-the-box").exists()
    assert here.check("modprobe brd && ls /dev/ram0").strip() == "/dev/ram0"


def test_uses(box: Callable[..., Replica]) -> None:
    """Discovery sees each way in which a real kernel says that a device is in use."""
    told = dict(line.split(" ", 1) for line in python(box(), USES).splitlines())
    assert told.keys() == {"none", "swap", "signature", "mount", "dm", "open", "partition"}
    assert told["none"] == "{}"
    for use, kind in (("swap", "swaps"), ("signature", "'ext4'"), ("mount", "/mnt/here"), ("dm", "dm-0"),
                      ("open", "users"), ("partition", "pmem0p1")):  # fmt: skip
        assert kind in told[use], told


def test_power_cut(box: Callable[..., Replica]) -> None:
    """Of what was stored to a mapped file, what msync covered is there after the cut, and nothing else."""
    here = box(tracked=True)
    here.check("mkdir -p /mnt/box && mkfs.ext4 -q /dev/pmem0 && mount -o dax /dev/pmem0 /mnt/box")
    here.check("head -c 65536 /dev/zero | tr '\\0' . >/mnt/box/file && sync /mnt/box/file /mnt/box")
    python(here, STORES)
    first = "head -c 65536 /mnt/box/file | tr -d ."
    assert here.check(first) == "synced"
    here.cut_power()
    here.boot()
    here.check("mkdir -p /mnt/box && mount -o dax /dev/pmem0 /mnt/box")
    assert here.check(first) == "sne"


OWN_READING = r"""daxcheck program 1\ncreate a one\npwrite a 0 4K\ncreate b two\nclone_file b a\nfsync b\nfsyncdir
observe\ncut_power\n"""


@pytest.mark.nightly
def test_a_warning_is_told_of_what_was_done(kernel_6_1: Kernel, qemu: Qemu) -> None:
    """Of a kernel that warns of daxcheck's own views, as 6.1 does where files share a block, it is told so on a box
    too, and nothing was written into its log for that."""
    with Replica(kernel_6_1, qemu) as here:
        here.check(f"printf '{OWN_READING}' >/tmp/own.prog")
        words = "daxcheck run --target /dev/pmem0 --erase /dev/pmem0 --fs xfs:reflink /tmp/own.prog"
        code, told = here.run(f"{words} --results /tmp/results", RUN)
        assert code == 1, told
        (cell,) = map(json.loads, here.check("cat /tmp/results/results.jsonl").splitlines())
        complaints = [one for one in cell["violations"] if one["kind"] == "kernel" and one["image"] == "live"]
        assert {"phase": "views", "op": 6} in [one["moment"] for one in complaints], cell["violations"]
        assert all(one["moment"] and one["moment"]["phase"] != "op" for one in complaints)
        assert "daxcheck at" not in here.check("dmesg")


def test_run(box: Callable[..., Replica]) -> None:
    """On a box, 6.12 loses the neighbours of a page punched on ext4, by name, and keeps them on xfs; what the run has
    set up is gone after it, and so is the signature's need to be named, since it is daxcheck's own."""
    here = box()
    words = "daxcheck run --target /dev/pmem0 --erase /dev/pmem0 -k 'punch_hole and page_inside_dirty_pmd'"
    code, told = here.run(f"{words} --results /tmp/results", RUN)
    assert code == 1, told
    lines = here.check("cat /tmp/results/results.jsonl").splitlines()
    found = {cell["fs"]: cell for cell in map(json.loads, lines)}
    assert {fs: (cell["outcome"], cell["target"], cell["engine"]) for fs, cell in found.items()} == {
        "ext4": ("FAIL", "local", "trace"), "xfs": ("PASS", "local", "trace"),
    }, told  # fmt: skip
    lost = max(found["ext4"]["violations"], key=lambda one: one["bytes"])
    assert (lost["path"], lost["bytes"]) == ("data", 511 * PAGE)
    assert "punch_hole" in lost["culprit"] and "dax_delete_mapping_entry" in lost["culprit"]
    left = "cat /sys/kernel/tracing/kprobe_events; ls /sys/kernel/tracing/instances; grep pmem0 /proc/mounts"
    assert here.run(left)[1].strip() == ""
    assert "nothing to do" in here.check("daxcheck cleanup")
    code, told = here.run("daxcheck run --target /dev/pmem0 --erase /dev/pmem1 -k page_inside")
    assert code == 2 and "must be the same name" in told
