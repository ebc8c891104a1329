"""daxcheck as it is used on a box with pmem, the box being a guest that has this machine's files.

What a run does stays on its device, also when it is killed. One box serves all tests: each leaves /dev/pmem0 to the
next with nothing on it or with a file system of daxcheck's own, and does all else on /dev/pmem1.
"""

import json
import re
import sys
from collections.abc import Iterator
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
    (device,) = (device for device in discover.devices() if device.name == "pmem1")
    words = {kind: getattr(device, kind) for kind in ("partitions", "holders", "mounts", "swaps", "users")}
    words["signatures"] = [found.type for found in device.signatures]
    print(use, {kind: list(found) for kind, found in words.items() if found})

size = int(open("/sys/block/pmem1/size").read()) * 512
sh("wipefs -q -a /dev/pmem1")
tell("none")
sh("mkswap /dev/pmem1 && swapon /dev/pmem1")
tell("swap")
sh("swapoff /dev/pmem1 && mkfs.ext4 -q -F -b 4096 /dev/pmem1")
tell("signature")
sh("mkdir -p /mnt/here && mount -o dax /dev/pmem1 /mnt/here")
tell("mount")
sh("umount /mnt/here")
mapper.join([("/dev/pmem1", size)])
tell("dm")
mapper.remove()
with open("/dev/pmem1") as file, subprocess.Popen(["sleep", "600"], stdin=file) as process:
    tell("open")
    process.kill()
build(Layout(partition=PMD), [Pmem("pmem1", 0, size, 1, "")])
tell("partition")
sh("partx -d /dev/pmem1")
"""
PROGRAM = """\
daxcheck program 1
create f data
pwrite f 0 4K
fsync f
close f
umount
mount
create g other
pwrite g 0 4K
fsync g
cut_power
"""
FREEZE = """\
import os, signal, subprocess
from harness.box.undo import Frozen
from harness.box.undolog import UndoLog
from harness.fs.label import LABEL, UUID_PREFIX
from harness.linux import mounts
from harness.linux.mounts import Place

uuid = f"{UUID_PREFIX}8001-000000000001"
subprocess.run(["mkfs.ext4", "-q", "-F", "-L", LABEL, "-U", uuid, "/dev/pmem0"], check=True)
if os.fork() == 0:
    UndoLog().__enter__().record(Frozen("pmem0", "ext4", uuid))
    place = Place(mounts.own_root(), "/dev/pmem0", "ext4")
    place.mount()
    place.freeze()
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
"""
"""A run that is killed while its file system is frozen."""
FREE = "import os; os.open('/dev/pmem0', os.O_RDONLY | os.O_EXCL)"
STORES = """\
import mmap
with open("/mnt/box/file", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
    for page, letter in enumerate(b"synced", 1):
        memory[page * 4096] = letter
        if page % 2:
            memory.flush(page * 4096, 4096)
"""


@pytest.fixture(scope="module")
def box(kernel_6_12: Kernel, qemu: Qemu) -> Iterator[Replica]:
    with Replica(kernel_6_12, qemu, append=LEGACY) as replica:
        yield replica


def python(box: Replica, source: str) -> str:
    """What Python source says that runs in the box, in the interpreter of these tests."""
    return box.check(f"{sys.executable} - <<'END'\n{source}END")


def test_doctor(box: Replica) -> None:
    """Doctor names each pmem device with its facts; nothing that is done in a box is done to this machine."""
    _, told = box.run("daxcheck doctor")
    for name, facts in (("pmem0", ("fsdax", "766 MiB")), ("pmem1", ("memmap", "128 MiB"))):
        (line,) = re.findall(rf"^.*/dev/{name}: .*$", told, re.MULTILINE)
        assert [fact for fact in facts if fact not in line] == [], told
    box.check(f"rm {ROOT}/README.md && touch {ROOT}/in-the-box && test -e {ROOT}/in-the-box")
    assert (ROOT / "README.md").exists()
    assert not (ROOT / "in-the-box").exists()
    assert box.check("modprobe brd && ls /dev/ram0").strip() == "/dev/ram0"


def test_uses(box: Replica) -> None:
    """Discovery sees each way in which a real kernel says that a device is in use."""
    told = dict(line.split(" ", 1) for line in python(box, USES).splitlines())
    assert told.keys() == {"none", "swap", "signature", "mount", "dm", "open", "partition"}
    assert told["none"] == "{}"
    for use, kind in (("swap", "swaps"), ("signature", "'ext4'"), ("mount", "/mnt/here"), ("dm", "dm-0"),
                      ("open", "users"), ("partition", "pmem1p1")):  # fmt: skip
        assert kind in told[use], told


@pytest.mark.parametrize("systems", ["ext4", pytest.param("ext4,xfs", marks=pytest.mark.nightly)])
def test_run(box: Replica, systems: str) -> None:
    """On a box, 6.12 loses the neighbours of a page punched on ext4, by name, and keeps them on xfs; what the run has
    set up is gone after it, and so is the signature's need to be named, since it is daxcheck's own."""
    words = "daxcheck run scenarios/test_punch_hole.py -k page_inside_dirty_pmd --target /dev/pmem0 --erase /dev/pmem0"
    code, told = box.run(f"{words} --no-known --fs {systems} --results /tmp/results-{systems}", RUN)
    assert code == 1, told
    lines = box.check(f"cat /tmp/results-{systems}/results.jsonl").splitlines()
    found = {cell["fs"]: cell for cell in map(json.loads, lines)}
    known = {"ext4": ("FAIL", "local", "trace"), "xfs": ("PASS", "local", "trace")}
    outcomes = {fs: (cell["outcome"], cell["target"], cell["engine"]) for fs, cell in found.items()}
    assert outcomes == {fs: known[fs] for fs in systems.split(",")}, told
    lost = max(found["ext4"]["violations"], key=lambda one: one["bytes"])
    assert (lost["path"], lost["bytes"]) == ("data", 511 * PAGE)
    culprit = lost["culprit"]
    assert culprit["function"] == "dax_delete_mapping_entry" and "ext4_punch_hole" in culprit["stack"]
    left = "cat /sys/kernel/tracing/kprobe_events; ls /sys/kernel/tracing/instances; grep pmem0 /proc/mounts"
    assert box.run(left)[1].strip() == ""
    assert "nothing to do" in box.check("daxcheck cleanup")


@pytest.mark.parametrize(
    ("names", "engines"),
    [(("a",), "coverage"), pytest.param(("a", "b"), "trace,coverage", marks=pytest.mark.nightly)],
)
def test_what_is_mounted_at_mnt_is_not_touched(box: Replica, names: tuple[str, ...], engines: str) -> None:
    """Not by a Program that unmounts its file system, and then removes its files: they have names that others use.

    All cells pass, what was unmounted came back; also where two engines have the device in turn.
    """
    box.check("mkfs.ext4 -q -F -b 4096 /dev/pmem1 && mount /dev/pmem1 /mnt && echo mine | tee /mnt/data >/mnt/other")
    for name in names:
        box.check(f"cat >/run/{name}.prog <<'END'\n{PROGRAM}END")
    files = " ".join(f"/run/{name}.prog" for name in names)
    words = f"--target /dev/pmem0 --erase /dev/pmem0 --fs ext4 --engine {engines}"
    code, said = box.run(f"daxcheck run {files} {words}", RUN)
    assert code == 0, said
    assert box.check("cat /mnt/data /mnt/other; ls /mnt") == "mine\nmine\ndata\nlost+found\nother\n"
    box.check("umount /mnt")


@pytest.mark.nightly
def test_what_a_killed_run_has_frozen_is_given_back(box: Replica) -> None:
    """Frozen, it outlives its last mount and holds the device, which nothing shows; cleanup finds and thaws it."""
    box.check(f"{sys.executable} - <<'END'\n{FREEZE}END")
    code, said = box.run(f"{sys.executable} -c \"{FREE}\"")
    assert code and "busy" in said
    assert "/dev/pmem0: ext4 is thawed" in box.check("daxcheck cleanup")
    box.check(f"for i in $(seq 50); do {sys.executable} -c \"{FREE}\" && exit; sleep 0.1; done; false")


@pytest.mark.nightly
def test_power_cut(kernel_6_12: Kernel, qemu: Qemu) -> None:
    """Of what was stored to a mapped file, what msync covered is there after the cut, and nothing else."""
    with Replica(kernel_6_12, qemu, tracked=True) as here:
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
        words = "daxcheck run --target /dev/pmem0 --erase /dev/pmem0 --fs xfs:reflink --no-known /tmp/own.prog"
        code, told = here.run(f"{words} --results /tmp/results", RUN)
        assert code == 1, told
        (cell,) = map(json.loads, here.check("cat /tmp/results/results.jsonl").splitlines())
        complaints = [one for one in cell["violations"] if one["kind"] == "kernel" and one["image"] == "live"]
        assert {"phase": "views", "op": 6} in [one["moment"] for one in complaints], cell["violations"]
        assert all(one["moment"] and one["moment"]["phase"] != "op" for one in complaints)
        assert "daxcheck at" not in here.check("dmesg")
