"""Laws of what must outlive a power cut: it is whole or refused, lies where the cut does not reach, and the hardware
below must not have lost data itself."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.box import armedrun, dimms
from harness.box.armedrun import ArmedPhase, ArmedRun
from harness.box.dimms import Dimm
from harness.box.discover import MemoryKind, NamespaceMode, PmemDevice
from harness.errors import UsageError
from harness.fs.label import UUID_PREFIX
from harness.link.kernellog import Complaint, Trouble
from harness.memfile import MemFile
from harness.model.program.program import parse
from harness.model.setting.hardware import PmemKind
from harness.model.wire.moment import Moment, Phase
from harness.model.wire.observation import OpResult, Segment, Stamp
from harness.model.wire.traced import Dropped, Traced
from harness.powercut import outlives

MIB = 1 << 20
PROGRAM = parse("daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\npread f 0 4K\ncut_power\n")
UUID = f"{UUID_PREFIX}8001-000000000001"
PMEM = PmemDevice(
    "pmem0", os.makedev(259, 0), 1 << 30, MemoryKind.NVDIMM, NamespaceMode.FSDAX, "region0", "namespace0.0", 2 * MIB,
    1 << 32, 0, "memory_controller", True, True, False, 0,
)  # fmt: skip
TOLD = ArmedRun(
    ArmedPhase.ARMED, "test_x.py::test_y[a]", PROGRAM, "ext4", 7, "6.12.95", "boot-1", PmemKind.NVDIMM, "pmem0",
    1 << 30, UUID, ("xfs",), 1, "memory_controller", {"8089-a2-1748-01": 3},
    (OpResult(0), OpResult(1), OpResult(2), OpResult(3, segments=(Segment(0, 4096, Stamp(1, 1)),)), OpResult(4)),
    Traced(dropped=(Dropped(2, "dax_delete_mapping_entry", 12, 0, 4096, ("a", "b")),), inodes={1: 12}),
    (Complaint(Trouble.WARNING, "WARNING: CPU: 0"), Complaint(Trouble.BUG, "BUG: x", Moment(Phase.OP, 3)),
     Complaint(Trouble.BUG, "BUG: y", Moment(Phase.VIEWS))),
)  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """All that a verdict needs comes back equal; the directory is made; a write replaces the one before."""
    folder = tmp_path / "state"
    armedrun.write(folder, replace(TOLD, phase=ArmedPhase.ARMING))
    armedrun.write(folder, TOLD)
    assert armedrun.read(folder) == TOLD
    assert [path.name for path in folder.iterdir()] == ["dossier.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has links of several users")
def test_a_state_is_not_led_elsewhere(tmp_path: Path) -> None:
    """Neither by a directory that is another user's link, nor by a link in the place of what is being written."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "etc")
    os.chown(tmp_path / "state", 65534, 65534, follow_symlinks=False)
    with MemFile("medium", MIB) as medium:
        with pytest.raises(UsageError, match="state is a symbolic link of user 65534"):
            armedrun.write(tmp_path / "state", TOLD)
        with pytest.raises(UsageError, match="state is a symbolic link of user 65534"):
            armedrun.keep(tmp_path / "state", medium)
        (tmp_path / "etc/precious").write_text("precious")
        for name in ("dossier.json", "medium.img", "dossier.json.new", "medium.img.new"):
            (tmp_path / "plain").mkdir(exist_ok=True)
            (tmp_path / "plain" / name).symlink_to(tmp_path / "etc/precious")
        armedrun.write(tmp_path / "plain", TOLD)
        armedrun.keep(tmp_path / "plain", medium)
    assert (tmp_path / "etc/precious").read_text() == "precious" and len(list((tmp_path / "etc").iterdir())) == 1
    assert armedrun.read(tmp_path / "plain") == TOLD


def test_what_a_dead_writer_left_is_no_dossier(tmp_path: Path) -> None:
    """A process that is killed at any byte of its writing leaves the dossier before, and the next write works."""
    armedrun.write(tmp_path, TOLD)
    whole = (tmp_path / "dossier.json").read_bytes()
    for end in (0, 1, len(whole) // 2, len(whole)):
        (tmp_path / "dossier.json.new").write_bytes(whole.replace(b"armed", b"judged")[:end])
        assert armedrun.read(tmp_path) == TOLD
    armedrun.write(tmp_path, replace(TOLD, phase=ArmedPhase.DISARMED))
    assert armedrun.read(tmp_path).phase is ArmedPhase.DISARMED


def test_a_torn_dossier_is_refused(tmp_path: Path) -> None:
    """A disk that lies about fsync may leave any prefix, or zeroes: none of them is judged."""
    armedrun.write(tmp_path, TOLD)
    path = tmp_path / "dossier.json"
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        for torn in (whole[:end], whole[:end] + bytes(len(whole) - end)):
            path.write_bytes(torn)
            with pytest.raises(UsageError, match="no dossier that this daxcheck wrote"):
                armedrun.read(tmp_path)


def damaged(**changes: object) -> bytes:
    return json.dumps(TOLD.to_json() | changes).encode()


FOREIGN = {
    "empty": b"",
    "list": b"[]",
    "no text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "long": b" " * (armedrun.LIMIT + 1),
    "later version": damaged(schema=3),
    "earlier version": damaged(schema=1),
    "no version": json.dumps({k: v for k, v in TOLD.to_json().items() if k != "schema"}).encode(),
    "more": damaged(more=1),
    "phase": damaged(phase="done"),
    "phase of another kind": damaged(phase=["armed"]),
    "program": damaged(program="rm -rf /"),
    "huge program": damaged(program="daxcheck program 1\n" + "#" * (1 << 21)),
    "result of no op": damaged(results=[{**json.loads(damaged())["results"][0], "index": 99}]),
    "results of no cut": damaged(results=json.loads(damaged())["results"][:-1]),
    "no results": damaged(results=[]),
    "results out of order": damaged(results=json.loads(damaged())["results"][::-1]),
    "size": damaged(size=-1),
    "huge size": damaged(size=10**5000 if sys.get_int_max_str_digits() == 0 else 1 << 70),
    "device": damaged(device="floppy"),
    "counts": damaged(dirty=[1]),
    "negative count": damaged(dirty={"a": -1}),
    "complaint": damaged(complaints=[["joy", "x"]]),
    "drop": damaged(dropped=[{"index": 1}]),
    "nul": damaged(kernel="6.1\0"),
    "uuid": damaged(uuid=7),
    "types": damaged(types="xfs"),
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_or_hostile_dossier_is_refused(tmp_path: Path, text: bytes) -> None:
    """Whatever stands there, it is one line and exit code 2."""
    (tmp_path / "dossier.json").write_bytes(text)
    with pytest.raises(UsageError, match="no dossier that this daxcheck wrote") as caught:
        armedrun.read(tmp_path)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [
    lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda path: path.symlink_to("/dev/zero"),
    lambda path: None,
], ids=["directory", "fifo", "link", "nothing"])  # fmt: skip
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """None of them is waited for, or read without end."""
    make(tmp_path / "dossier.json")
    with pytest.raises(UsageError, match=r"dossier\.json"):
        armedrun.read(tmp_path)


def test_the_medium_is_kept_as_it_was(tmp_path: Path) -> None:
    """The copy has the same bytes and is sparse; a part of one is refused, since recovery has changed the original."""
    assert armedrun.kept(tmp_path, 64 * MIB) is None
    with MemFile("medium", 64 * MIB) as medium:
        medium.array[5 * MIB : 5 * MIB + 100] = 7
        armedrun.keep(tmp_path, medium)
        found = armedrun.kept(tmp_path, 64 * MIB)
        assert found is not None
        with found:
            assert bytes(found.array[4 * MIB : 6 * MIB]) == bytes(medium.array[4 * MIB : 6 * MIB])
    path = tmp_path / "medium.img"
    assert path.stat().st_blocks * 512 < MIB
    os.truncate(path, MIB)
    with pytest.raises(UsageError, match="cannot be read back"):
        armedrun.kept(tmp_path, 64 * MIB)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., str]:
    """Says why a directory is no refuge on a machine with this line of mountinfo and these disks (NAME: (NUMBER,
    {FILE: TEXT}), a name with a slash being a partition's)."""

    def ask(line: str, disks: dict[str, tuple[str, dict[str, str]]], devices: tuple[PmemDevice, ...] = (PMEM,)) -> str:
        root = tmp_path / "machine"
        shutil.rmtree(root, ignore_errors=True)
        proc, sysfs = root / "proc", root / "sys"
        (proc / "self/fdinfo").mkdir(parents=True)
        for fd in range(100):
            (proc / f"self/fdinfo/{fd}").write_text("pos:\t0\nflags:\t0\nmnt_id:\t7\n")
        (proc / "self/mountinfo").write_text(f"70 1 0:3 / /x rw - tmpfs x rw\n7 1 {line}\n")
        for name, (number, texts) in disks.items():
            disk = sysfs / "block" / name
            (sysfs / "dev/block").mkdir(parents=True, exist_ok=True)
            for file, text in {"dev": number, **texts}.items():
                (disk / file).parent.mkdir(parents=True, exist_ok=True)
                (disk / file).write_text(text)
            (sysfs / "dev/block" / number).symlink_to(disk)
        return outlives.why_not_outlived(tmp_path, "pmem0", devices, proc, sysfs)

    return ask


def test_what_outlives_a_power_cut(machine: Callable[..., str]) -> None:
    """Disks do, and pmem that is not under test; memory and the device under test do not, however they are stacked."""
    pmem1, memmap = (replace(PMEM, name="pmem1", kind=kind) for kind in (MemoryKind.NVDIMM, MemoryKind.MEMMAP))
    disk = "8:1 / / rw - ext4 /dev/sda1 rw"
    assert machine(disk, {"sda": ("8:0", {}), "sda/sda1": ("8:1", {"partition": "1"})}) == ""
    assert machine("259:1 / / rw - xfs /dev/pmem1 rw", {"pmem1": ("259:1", {})}, (PMEM, pmem1)) == ""
    assert machine("0:44 / / rw - nfs4 server:/x rw", {}) == ""
    dm = {"dm-0": ("253:0", {"slaves/sda/dev": "8:0"}), "sda": ("8:0", {})}
    assert machine("253:0 / / rw - ext4 /dev/mapper/a rw", dm) == ""
    for line, disks, devices, said in (
        ("259:0 / / rw - ext4 /dev/pmem0 rw", {"pmem0": ("259:0", {})}, (PMEM,), "device under test"),
        ("259:3 / / rw - ext4 /dev/pmem0p1 rw",
         {"pmem0": ("259:0", {}), "pmem0/pmem0p1": ("259:3", {"partition": "1"})}, (PMEM,), "device under test"),
        ("253:0 / / rw - ext4 /dev/mapper/a rw",
         {"dm-0": ("253:0", {"slaves/pmem0/dev": "259:0"}), "pmem0": ("259:0", {})}, (PMEM,), "device under test"),
        ("259:1 / / rw - xfs /dev/pmem1 rw", {"pmem1": ("259:1", {})}, (PMEM, memmap), "ordinary memory"),
        ("252:0 / / rw - ext4 /dev/zram0 rw", {"zram0": ("252:0", {})}, (PMEM,), "zram0, which is memory"),
        ("1:0 / / rw - ext4 /dev/ram0 rw", {"ram0": ("1:0", {})}, (PMEM,), "ram0, which is memory"),
        ("0:9 / / rw - ramfs none rw", {}, (PMEM,), "ramfs, which is memory"),
        ("0:8 / / rw - overlay overlay rw,lowerdir=/,upperdir=/no/such/layer,workdir=/w", {}, (PMEM,), "upper layer"),
        ("0:8 / / rw - overlay overlay rw,lowerdir=/", {}, (PMEM,), "upper layer"),
    ):  # fmt: skip
        assert said in machine(line, disks, devices), line


def test_what_the_hardware_lost_is_no_verdict(tmp_path: Path) -> None:
    """A DIMM that failed to save, or counts one more failed flush than before the cut, explains any loss."""
    devices = tmp_path / "bus/nd/devices"
    for path, text in {
        "region0/mapping0": "nmem3,0,1073741824,0\n", "nmem3/nfit/flags": "smart_notify\n",
        "nmem3/nfit/dirty_shutdown": "3\n", "nmem3/nfit/id": "8089-a2-1748-01\n", "nmem9/nfit/flags": "flush_fail\n",
    }.items():  # fmt: skip
        (devices / path).parent.mkdir(parents=True, exist_ok=True)
        (devices / path).write_text(text)
    found = dimms.below("region0", tmp_path)
    assert found == (Dimm("8089-a2-1748-01", frozenset({"smart_notify"}), 3),)
    assert dimms.counts(found) == {"8089-a2-1748-01": 3}
    assert dimms.failure(dimms.counts(found), found) == dimms.failure({}, found) == ""
    assert "counts 4 failed shutdowns, and 3" in dimms.failure({"8089-a2-1748-01": 3}, (replace(found[0], dirty=4),))
    for flag in ("save_fail", "restore_fail", "flush_fail"):
        assert flag in dimms.failure({}, (replace(found[0], flags=frozenset({flag})),))
    assert dimms.below("region1", tmp_path) == ()
