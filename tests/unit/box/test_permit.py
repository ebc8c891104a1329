"""Laws of harness.box.permit: what may be erased, and each reason why not.

The rules take facts as data; names are real files, and /dev nodes of this machine, none of which is persistent memory.
"""

import os
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.box import armed, armedrun, permit
from harness.box.armedrun import ArmedPhase, ArmedRun
from harness.box.discover import MemoryKind, NamespaceMode, PmemDevice
from harness.box.permit import Permit
from harness.box.signature import Signature
from harness.errors import UsageError
from harness.fs.label import ARMED_PREFIX, LABEL, UUID_PREFIX
from harness.model.program.program import parse
from harness.model.setting.hardware import PmemKind
from harness.model.units import PMD
from harness.model.wire.observation import OpResult

GIB = 1 << 30
NUMBER = os.makedev(259, 0)
PMEM = PmemDevice(
    "pmem0", NUMBER, GIB, MemoryKind.NVDIMM, NamespaceMode.FSDAX, "region0", "namespace0.0", PMD, 4 * GIB, 0,
    "memory_controller", True, True, False, 0,
)  # fmt: skip
EXT4 = Signature("ext4", "filesystem", 0x438, "home", "5bcc3f83-a84c-4dd0-b529-f184b72eb8ab")
XFS = Signature("xfs", "filesystem", 0, "", "0bcc3f83-a84c-4dd0-b529-f184b72eb8ab")
WAITS = Signature("xfs", "filesystem", 0, LABEL, f"{ARMED_PREFIX}001-000000000001")
OURS = Signature("ext4", "filesystem", 0x438, LABEL, f"{UUID_PREFIX}8001-000000000001")
TABLE = Signature("gpt", "partition-table", 512)
DATA = Signature("data", "data", 4096)
LVM = Signature("LVM2_member", "raid", 536)

PROGRAM = parse("daxcheck program 1\ncreate f data\ncut_power\n")
TOLD = ArmedRun(
    ArmedPhase.ARMED, "test_x.py::test_y", PROGRAM, "xfs", 7, "6.12.95", "boot-1", PmemKind.NVDIMM, "pmem0", GIB,
    results=(OpResult(0), OpResult(1)),
)  # fmt: skip

USES = {
    "mounted": ({"mounts": ("/srv", "/x in the mount namespace of process 7")}, "mounted at /srv, /x in"),
    "swap": ({"swaps": ("swap on /dev/pmem0",)}, "swapoff"),
    "dm": ({"holders": ("dm-0",)}, "held by dm-0"),
    "md": ({"holders": ("md127",)}, "held by md127"),
    "partition held": ({"partitions": ("pmem0p1",), "holders": ("dm-1",)}, "held by dm-1"),
    "partitions": ({"partitions": ("pmem0p1", "pmem0p2")}, "has partitions (pmem0p1, pmem0p2)"),
    "loop": ({"users": ("backing file of loop device loop3",)}, "backing file of loop device loop3"),
    "open": ({"users": ("qemu-system-x86 (process 77)",)}, "qemu-system-x86 (process 77)"),
    "unseen": ({"unseen": ("only root sees it",)}, "may be in use where this cannot be seen: only root sees it"),
    "unseen, many": ({"unseen": ("a", "b", "c", "d", "e")}, "seen: a; b; c, and 2 more"),
    "read-only": ({"read_only": True}, "read-only"),
    "volatile": ({"kind": MemoryKind.VOLATILE, "mode": NamespaceMode.RAW}, "volatile"),
    "raw": ({"mode": NamespaceMode.RAW, "dax": False}, "ndctl create-namespace -f -e namespace0.0 -m fsdax -a 2M"),
    "sector": ({"mode": NamespaceMode.SECTOR, "dax": False}, "is in sector mode"),
    "no dax": ({"dax": False}, "has no DAX"),
    "bad blocks": ({"bad_blocks": 3}, "ndctl clear-errors namespace0.0"),
    "unread": ({"unread": "/dev/pmem0: its signatures cannot be read: no"}, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "said"), USES.values(), ids=USES.keys())
def test_what_is_in_use_or_unfit_is_refused(facts: dict[str, object], said: str) -> None:
    """Each alone is reason enough, also when all signatures are named."""
    device = replace(PMEM, **facts)  # type: ignore[arg-type]
    assert said in permit.why_not_erased(device, frozenset())
    assert permit.why_not_erased(replace(device, signatures=(EXT4,)), frozenset({"ext4"}))


@pytest.mark.parametrize("kind", [MemoryKind.NVDIMM, MemoryKind.MEMMAP, MemoryKind.VIRTIO])
def test_an_idle_blank_device_may_be_erased(kind: MemoryKind) -> None:
    """Nothing else is asked for."""
    assert permit.why_not_erased(replace(PMEM, kind=kind), frozenset()) == ""


SIGNED: tuple[tuple[tuple[Signature, ...], str, str], ...] = (
    ((EXT4,), "", "carries ext4 (label home, UUID 5bcc3f83-a84c-4dd0-b529-f184b72eb8ab): if that may be lost, "
                  "say --erase-signature ext4"),
    ((EXT4,), "ext4", ""),
    ((EXT4,), "xfs", "carries ext4 (label home, UUID 5bcc3f83-a84c-4dd0-b529-f184b72eb8ab), not xfs"),
    ((EXT4,), "ext4,xfs", "not xfs"),
    ((EXT4,), "EXT4", "not EXT4"),
    ((EXT4, TABLE), "ext4", "carries gpt: if that may be lost, say --erase-signature ext4,gpt"),
    ((EXT4, TABLE), "gpt,ext4", ""),
    ((EXT4, XFS), "", "say --erase-signature ext4,xfs"),
    ((), "ext4", "carries no signature, not ext4"),
    ((), "", ""),
    ((OURS,), "", ""),
    ((OURS,), "ext4", ""),
    ((OURS,), "xfs", "not xfs"),
    ((OURS, TABLE), "", "carries gpt: if that may be lost, say --erase-signature gpt"),
    ((replace(OURS, label="home"),), "", "carries ext4"),
    ((replace(OURS, uuid=EXT4.uuid),), "", "carries ext4"),
    ((LVM,), "LVM2_member", "is part of something larger: LVM2_member"),
    ((Signature("linux_raid_member", "raid", 4096),), "linux_raid_member", "part of something larger"),
    ((Signature("zfs_member", "filesystem", 4096),), "zfs_member", "part of something larger"),
    ((Signature("bcache", "other", 4096),), "bcache", "part of something larger"),
    ((Signature("ceph_bluestore", "other", 0),), "ceph_bluestore", "part of something larger"),
    ((Signature("btrfs", "filesystem", 65600),), "btrfs", "may be part of something larger: btrfs: make sure"),
    ((Signature("bcachefs", "filesystem", 4120),), "bcachefs", "may be part of something larger"),
    ((Signature("jbd", "other", 1080),), "jbd", "may be part of something larger"),
    ((Signature("xfs_external_log", "other", 0),), "xfs_external_log", "may be part of something larger"),
    ((DATA,), "", "carries data of no known kind (from byte 0x1000 on): if that may be lost, "
                  "say --erase-signature data"),
    ((DATA,), "data", ""),
    ((DATA,), "ext4", "not ext4"),
    ((WAITS,), "", ""),
    ((WAITS,), "armed", ""),
    ((OURS,), "armed", "not armed"),
    ((), "data", "carries no signature, not data"),
)  # fmt: skip


@pytest.mark.parametrize(("signatures", "types", "said"), SIGNED)
def test_every_signature_must_be_named(signatures: tuple[Signature, ...], types: str, said: str) -> None:
    """Exactly those that are there must be named, but what daxcheck itself left; members of others never go."""
    wanted = frozenset(types.split(",")) if types else frozenset()
    reason = permit.why_not_erased(replace(PMEM, signatures=signatures), wanted)
    assert said in reason and bool(said) == bool(reason)


def check(target: str, erase: str | None = None) -> Permit:
    return permit.check(target, target if erase is None else erase, "", lambda: (PMEM,))


@pytest.mark.parametrize(
    ("target", "erase", "said"),
    [
        ("/dev/pmem0", "", "repeat its name, --erase /dev/pmem0"),
        ("/dev/pmem0", "/dev/pmem1", "must be the same name"),
        ("/dev/pmem0", "/dev//pmem0", "must be the same name"),
        ("/dev/pmem0", "/dev/pmem0 ", "must be the same name"),
        ("pmem0", "pmem0", "name of the device itself"),
        ("", "", "repeat its name"),
        ("/dev/", "/dev/", "name of the device itself"),
        ("/dev/..", "/dev/..", "name of the device itself"),
        ("/dev/../dev/pmem0", "/dev/../dev/pmem0", "name of the device itself"),
        ("/dev/disk/by-id/x", "/dev/disk/by-id/x", "name of the device itself"),
        ("/dev/pmem0\n", "/dev/pmem0\n", "name of the device itself"),
        ("/dev/pm\0em0", "/dev/pm\0em0", "name of the device itself"),
        ("/proc/self/fd/0", "/proc/self/fd/0", "name of the device itself"),
    ],
)
def test_the_name_is_said_twice_and_is_the_devices_own(target: str, erase: str, said: str) -> None:
    """One device, one name, in the same words."""
    with pytest.raises(UsageError, match=re.escape(said)):
        check(target, erase)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/dev/no-such-pmem", "No such file or directory"), ("/dev/null", "a character device"),
        ("/dev/stdin", "a symbolic link to"), ("/dev/fd", "a symbolic link to"), ("/dev/pts", "a directory"),
    ],
)  # fmt: skip
def test_what_is_no_block_device(name: str, said: str) -> None:
    """Real files of /dev, each refused by what it is."""
    with pytest.raises(UsageError, match=said):
        check(name)


def test_every_block_device_of_this_machine_that_is_no_pmem() -> None:
    """Disks, loop devices and all else that is here is refused, by its kind."""
    for path in Path("/dev").iterdir():
        status = path.lstat()
        if stat.S_ISBLK(status.st_mode) and not path.name.startswith("pmem") and status.st_rdev != NUMBER:
            with pytest.raises(UsageError, match=r"not persistent memory|is a partition of"):
                check(str(path))


def of(
    path: str = "/dev/pmem0", number: int = NUMBER, types: str = "", sysfs: Path = Path("/sys"), **facts: object
) -> Permit:
    device = replace(PMEM, **facts)  # type: ignore[arg-type]
    return permit.of(path, number, types, lambda: (device,), sysfs)


def test_the_right_device() -> None:
    """What is named, idle and blank is permitted, with the facts that it had."""
    assert of() == Permit(PMEM, frozenset())


def test_a_device_that_only_looks_blank() -> None:
    """Where no signature is, the bytes are asked, once all else is well; where one is, it is what must be named."""
    with pytest.raises(UsageError, match="say --erase-signature data"):
        permit.of("/dev/pmem0", NUMBER, "", lambda: (PMEM,), data=lambda path: (DATA,))
    found = permit.of("/dev/pmem0", NUMBER, "data", lambda: (PMEM,), data=lambda path: (DATA,))
    assert found.device.signatures == (DATA,)

    def unasked(path: str) -> tuple[Signature, ...]:
        raise AssertionError

    permit.of("/dev/pmem0", NUMBER, "", lambda: (replace(PMEM, signatures=(OURS,)),), data=unasked)
    permit.of("/dev/pmem0", NUMBER, "ext4", lambda: (replace(PMEM, signatures=(EXT4,)),), data=unasked)
    with pytest.raises(UsageError, match="is mounted"):
        permit.of("/dev/pmem0", NUMBER, "", lambda: (replace(PMEM, mounts=("/srv",)),), data=unasked)


STATES: tuple[tuple[ArmedPhase | None, bool], ...] = (
    (ArmedPhase.ARMED, True), (None, True), (ArmedPhase.ARMING, False), (ArmedPhase.DISARMED, False),
    (ArmedPhase.JUDGED, False),
)  # fmt: skip


@pytest.mark.parametrize(("phase", "refused"), STATES)
def test_an_armed_run_is_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: ArmedPhase | None, refused: bool
) -> None:
    """Until it is judged, its device is refused, with where its state is; so it is when nobody knows that."""
    monkeypatch.setattr(armed, "NOTES", tmp_path / "notes")
    state = tmp_path / "state"
    if phase is not None:
        armedrun.write(state, replace(TOLD, phase=phase, uuid=WAITS.uuid if phase is not ArmedPhase.ARMING else ""))
        assert armed.note(WAITS.uuid, state) == ""
    if not refused:
        assert of(signatures=(WAITS,)).device.armed == ""
        return
    said = f"is not judged yet: daxcheck judge {state};" if phase else "nothing here says where its state is"
    with pytest.raises(UsageError, match=f"--target /dev/pmem0: holds .*{said}.*say --erase-signature armed"):
        of(signatures=(WAITS,))
    with pytest.raises(UsageError, match="holds "):
        of(signatures=(WAITS, EXT4), types="ext4")
    assert of(types="armed", signatures=(WAITS,)).types == {"armed"}
    assert of(types="xfs,armed", signatures=(WAITS,)).types == {"xfs", "armed"}
    with pytest.raises(UsageError, match="say --erase-signature armed,ext4"):
        of(types="armed", signatures=(WAITS, EXT4))


def test_an_armed_run_whose_state_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note that cannot be read, or a state that is not there now, as on a disk that is not mounted, is no leave."""
    monkeypatch.setattr(armed, "NOTES", tmp_path / "notes")
    armed.note(WAITS.uuid, tmp_path / "gone")
    with pytest.raises(UsageError, match=f"whose state in {tmp_path}/gone cannot be read"):
        of(signatures=(WAITS,))
    (tmp_path / f"notes/{WAITS.uuid}.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        of(signatures=(WAITS,))


def test_another_node_of_the_same_device() -> None:
    """A node that somebody made under another name is refused: the kernel's name is the one to say."""
    with pytest.raises(UsageError, match="another name of /dev/pmem0"):
        of("/dev/pmem1")


KINDS = {
    "loop0": "a loop device", "dm-0": "a device-mapper device", "md127": "an MD RAID", "sda": "a disk",
    "nvme0n1": "an NVMe disk", "zram0": "a zram device", "vda": "a virtual disk", "ram0": "a RAM disk",
    "other": "a block device",
}  # fmt: skip


@pytest.mark.parametrize(("name", "said"), KINDS.items())
def test_a_pmem_name_on_another_device(tmp_path: Path, name: str, said: str) -> None:
    """A node called pmem0 that is something else is what the kernel says it is."""
    (tmp_path / "devices" / name).mkdir(parents=True)
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block/7:1").symlink_to(f"../../devices/{name}")
    with pytest.raises(UsageError, match=f"is {said}, not persistent memory"):
        of(number=os.makedev(7, 1), sysfs=tmp_path)


def test_a_partition(tmp_path: Path) -> None:
    """A part of a pmem device is refused, with the whole one named."""
    part = tmp_path / "devices/pmem0/pmem0p1"
    part.mkdir(parents=True)
    (part / "partition").write_text("1")
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block/259:1").symlink_to("../../devices/pmem0/pmem0p1")
    with pytest.raises(UsageError, match="is a partition of /dev/pmem0"):
        of("/dev/pmem0p1", os.makedev(259, 1), sysfs=tmp_path)


def test_who_only_looks_is_waited_for() -> None:
    """udevd opens a device after every change; that ends by itself."""
    users = [("udevd (process 7)",), ("udevd (process 7)",), ()]
    found = permit.of("/dev/pmem0", NUMBER, "", lambda: (replace(PMEM, users=users.pop(0)),))
    assert found.device.users == () and users == []


def test_who_stays_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has it open for longer is named."""
    monkeypatch.setattr(permit, "SETTLE", 0.05)
    with pytest.raises(UsageError, match="qemu"):
        of(users=("qemu (process 7)",))


def test_what_is_not_seen_for_a_moment_is_looked_at_again() -> None:
    """A descriptor that was just sent is received soon."""
    unseen = [("1 descriptors that were sent",), ()]
    found = permit.of("/dev/pmem0", NUMBER, "", lambda: (replace(PMEM, unseen=unseen.pop(0)),))
    assert found.device.unseen == () and unseen == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another")
def test_only_root_is_permitted() -> None:
    """A user whom the group of the node lets open it does not see who else has it open."""
    code = "import sys; from harness.box import permit; permit.check('/dev/loop0', '/dev/loop0')"
    if not Path("/dev/loop0").exists():
        pytest.skip("no block device")
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=6", "--clear-groups", sys.executable, "-c", code], capture_output=True,
        text=True, cwd=Path(__file__).resolve().parents[3], timeout=60,
    )  # fmt: skip
    assert "UsageError: --target /dev/loop0: only root sees who else uses it: run as root" in done.stderr


def test_a_device_with_other_marks() -> None:
    """Signatures are named by type, several with commas; a refusal names target and remedy in one line."""
    with pytest.raises(UsageError) as caught:
        of(signatures=(EXT4, TABLE))
    assert str(caught.value).startswith("--target /dev/pmem0: carries ext4") and "\n" not in str(caught.value)
    assert of(types="gpt,ext4", signatures=(EXT4, TABLE)).types == {"gpt", "ext4"}
