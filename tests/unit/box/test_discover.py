"""Laws of harness.box.discover and inuse, on trees that look like sysfs and /proc of Linux 6.1 to 7.3."""

import os
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.box import discover
from harness.box.discover import Idle, MemoryKind, NamespaceMode, PmemDevice
from harness.box.signature import Signature
from harness.errors import UsageError
from harness.model.units import PMD

ROOT = Path(__file__).resolve().parents[3]
GIB = 1 << 30
EXT4 = Signature("ext4", "filesystem", 0x438, "home", "5bcc3f83-a84c-4dd0-b529-f184b72eb8ab")


class Machine:
    """Makes such trees; attributes are files, as sysfs has them."""

    def __init__(self, top: Path) -> None:
        self.sysfs, self.proc = top / "sys", top / "proc"
        (self.sysfs / "bus/nd/devices").mkdir(parents=True)
        self.put(self.proc / "self", mountinfo="", status="Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff")
        for path, space in (
            ("self/ns/mnt", "mnt:[1]"), ("self/ns/pid", "pid:[4026531836]"), ("self/ns/user", "user:[4026531837]"),
            ("1/ns/mnt", "mnt:[1]"),
        ):  # fmt: skip
            (self.proc / path).parent.mkdir(parents=True, exist_ok=True)
            (self.proc / path).symlink_to(space)
        self.put(self.proc / "1/task/1")
        self.bus = self.sysfs / "devices/ACPI0012:00/ndbus0"
        self.put(self.bus, provider="ACPI.NFIT")

    def put(self, path: Path, **attributes: object) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        for name, value in attributes.items():
            file = path / name.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{value}\n")
        return path

    def region(self, index: int = 0, **attributes: object) -> Path:
        facts = {
            "devtype": "nd_pmem", "size": GIB, "available_size": 0, "numa_node": 1,
            "persistence_domain": "memory_controller", **attributes,
        }  # fmt: skip
        region = self.put(self.bus / f"region{index}", **facts)
        (region / "driver").symlink_to(self.sysfs)
        (self.sysfs / f"bus/nd/devices/region{index}").symlink_to(region)
        return region

    def namespace(self, region: Path, mode: str, holder: str = "", bound: bool = True, **attributes: object) -> Path:
        path = self.put(
            region / f"namespace{region.name.removeprefix('region')}.0", mode=mode, holder=holder, size=GIB,
            resource=hex(4 * GIB), **attributes,
        )  # fmt: skip
        owner = path
        if holder:
            owner = self.put(region / holder, namespace=path.name, align=PMD, resource=hex(4 * GIB + PMD))
        if bound:
            (owner / "driver").symlink_to(self.sysfs)
        return owner

    def disk(self, owner: Path, name: str = "pmem0", minor: int = 0, **attributes: object) -> Path:
        facts = {
            "dev": f"259:{minor}", "size": GIB // 512, "ro": 0, "queue__dax": 1, "dax__write_cache": 1,
            "badblocks": "", **attributes,
        }  # fmt: skip
        disk = self.put(owner / "block" / name, **facts)
        (disk / "badblocks").write_text(str(attributes.get("badblocks", "")))
        (disk / "holders").mkdir()
        return disk

    def fsdax(self) -> Path:
        """The usual: one NVDIMM in fsdax mode."""
        return self.disk(self.namespace(self.region(), "memory", "pfn0.0"))

    def partition(self, disk: Path) -> Path:
        part = self.put(disk / f"{disk.name}p1", partition=1, dev="259:1")
        self.put(part / "holders")
        return part

    def process(self, pid: int, mountinfo: str = "", namespace: str = "mnt:[1]", of: int = 0) -> Path:
        """A process, or a thread of another."""
        path = self.put(self.proc / str(pid), mountinfo=mountinfo, comm="qemu")
        (self.proc / f"{of or pid}/task/{pid}").mkdir(parents=True)
        (path / "ns").mkdir()
        (path / "ns/mnt").symlink_to(namespace)
        (path / "fd").mkdir()
        return path

    def devices(self, *signatures: Signature) -> tuple[PmemDevice, ...]:
        return discover.devices(self.sysfs, self.proc, lambda path: signatures)

    def device(self, *signatures: Signature) -> PmemDevice:
        (device,) = self.devices(*signatures)
        return device


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_nvdimm_in_fsdax_mode(machine: Machine) -> None:
    """Every fact stands where the kernel puts it."""
    machine.fsdax()
    assert machine.device(EXT4) == PmemDevice(
        "pmem0", os.makedev(259, 0), GIB, MemoryKind.NVDIMM, NamespaceMode.FSDAX, "region0", "namespace0.0", PMD,
        4 * GIB + PMD, 1, "memory_controller", True, True, False, 0, signatures=(EXT4,),
    )  # fmt: skip
    assert machine.device().why_not_pmds == "" and machine.device().remedy == ""


@pytest.mark.parametrize(
    ("kernel", "holder", "name", "mode"),
    [("raw", "", "pmem0", NamespaceMode.RAW), ("safe", "btt0.0", "pmem0s", NamespaceMode.SECTOR)],
)
def test_other_modes_are_named_and_told_how_to_change(
    machine: Machine, kernel: str, holder: str, name: str, mode: NamespaceMode
) -> None:
    """A block device that is not fsdax has no DAX, and one command gives it that."""
    machine.disk(machine.namespace(machine.region(), kernel, holder), name, queue__dax=0)
    device = machine.device()
    assert (device.path, device.mode, device.why_not_pmds) == (f"/dev/{name}", mode, "no DAX")
    assert device.remedy == "ndctl create-namespace -f -e namespace0.0 -m fsdax -a 2M"


@pytest.mark.parametrize(("provider", "kind"), [("e820", MemoryKind.MEMMAP), ("virtio-pmem", MemoryKind.VIRTIO)])
def test_memory_with_page_structs_of_its_own(machine: Machine, provider: str, kind: MemoryKind) -> None:
    """memmap= and virtio-pmem are fsdax without an info block: no align, data from the first byte."""
    machine.put(machine.bus, provider=provider)
    machine.disk(machine.namespace(machine.region(), "memory"))
    device = machine.device()
    assert (device.kind, device.mode, device.align, device.start) == (kind, NamespaceMode.FSDAX, None, 4 * GIB)
    assert device.why_not_pmds == "" and device.remedy == ""


def test_a_volatile_region_is_told(machine: Machine) -> None:
    """What the firmware calls volatile is no NVDIMM, and no command makes it one."""
    machine.disk(machine.namespace(machine.region(devtype="nd_volatile"), "raw"), queue__dax=0)
    assert (machine.device().kind, machine.device().remedy) == (MemoryKind.VOLATILE, "")


def test_what_only_root_may_read_is_unknown(machine: Machine) -> None:
    """Without the address nothing is claimed about PMD entries."""
    disk = machine.fsdax()
    (disk.parents[1] / "resource").unlink()
    assert machine.device().start is None and "root" in machine.device().why_not_pmds


def test_odd_data_has_no_pmds(machine: Machine) -> None:
    """Data that does not start on 2 MiB has no PMD entries, whatever align says, and the remedy is a new namespace."""
    disk = machine.fsdax()
    machine.put(disk.parents[1], resource=hex(4 * GIB + PMD + 4096))
    assert machine.device().why_not_pmds == "its data starts at 0x100201000, 4 KiB past a multiple of 2 MiB"
    assert machine.device().remedy == "ndctl create-namespace -f -e namespace0.0 -m fsdax -a 2M"
    assert "memmap=" in replace(machine.device(), kind=MemoryKind.MEMMAP).remedy
    assert "smaller" in replace(machine.device(), start=0, size=PMD - 4096).why_not_pmds


def test_what_the_firmware_does_not_say_is_empty(machine: Machine) -> None:
    """QEMU's firmware tells no persistence domain; virtio-pmem and old kernels may lack more."""
    disk = machine.fsdax()
    (machine.bus / "region0/persistence_domain").unlink()
    (disk / "dax/write_cache").unlink()
    assert (machine.device().persistence_domain, machine.device().write_cache) == ("", None)


def test_parts_and_holders(machine: Machine) -> None:
    """Partitions are listed, and who holds them counts as holding the disk."""
    disk = machine.fsdax()
    machine.put(machine.partition(disk) / "holders/dm-3")
    machine.put(disk / "holders/md0")
    assert (machine.device().partitions, machine.device().holders) == (("pmem0p1",), ("md0", "dm-3"))


def test_a_device_that_cannot_be_written(machine: Machine) -> None:
    """Read-only and bad blocks are told; what does not say whether it is read-only counts as that."""
    disk = machine.fsdax()
    (disk / "badblocks").write_text("8 1\n64 8\n")
    assert (machine.device().read_only, machine.device().bad_blocks) == (False, 2)
    machine.put(disk, ro=1)
    assert machine.device().read_only
    (disk / "ro").unlink()
    assert machine.device().read_only


MOUNT = "36 35 259:0 / /srv/old\\040data rw,noatime shared:1 - ext4 /dev/pmem0 rw\n"
OTHERS = "22 27 0:21 / /proc rw - proc proc rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n"


def test_mounts_of_every_namespace(machine: Machine) -> None:
    """A mount is found by device number or source, on the disk or a part of it, and where no other process sees it."""
    disk = machine.fsdax()
    machine.partition(disk)
    machine.put(machine.proc / "self", mountinfo=OTHERS + MOUNT)
    machine.process(7, MOUNT)  # the same namespace: told once
    machine.process(8, OTHERS + "40 35 259:1 / /inner rw - xfs /dev/x rw\n", "mnt:[8]")
    machine.process(9, "41 35 0:77 / /sub rw - btrfs /dev/pmem0 rw\n", "mnt:[9]")
    assert machine.device().mounts == (
        "/srv/old data", "/inner in the mount namespace of process 8", "/sub in the mount namespace of process 9",
    )  # fmt: skip


def test_mounts_of_a_thread_alone(machine: Machine) -> None:
    """A thread may have a mount namespace of its own (unshare(2)), or outlive its leader, which is in none then."""
    machine.fsdax()
    leader = machine.process(7)
    (leader / "ns/mnt").unlink()
    (leader / "mountinfo").unlink()
    machine.process(77, MOUNT, "mnt:[9]", of=7)
    assert machine.device().mounts == ("/srv/old data in the mount namespace of process 7",)
    assert machine.device().unseen == ()


def test_nothing_of_other_devices(machine: Machine) -> None:
    """What others mount is not this device's."""
    machine.fsdax()
    machine.put(machine.proc / "self", mountinfo=OTHERS)
    machine.proc.joinpath("swaps").write_text("Filename Type Size Used Priority\n/dev/vdb partition 8 0 -2\n")
    assert machine.device() == replace(machine.device(), mounts=(), swaps=(), users=())


def test_swap_by_its_path(machine: Machine) -> None:
    """/proc/swaps names paths."""
    machine.fsdax()
    machine.proc.joinpath("swaps").write_text("Filename Type Size Used Priority\n/dev/pmem0 partition 8 0 -2\n")
    assert machine.device().swaps == ("swap on /dev/pmem0",)


DRIVERS = {
    "block/loop3/loop/backing_file": ("/dev/pmem0", "backing file of loop device loop3"),
    "kernel/config/nvmet/subsystems/nqn/namespaces/2/device_path": ("/dev/pmem0", "NVMe target nqn"),
    "kernel/config/target/core/iblock_0/disk/udev_path": ("/dev/pmem0", "SCSI target disk"),
    "kernel/config/target/core/fileio_1/image/info": (
        "Status: ACTIVATED  Max Queue Depth: 128  SectorSize: 512  HwMaxSectors: 16384\n        TCM FILEIO ID: 1"
        "        File: /dev/pmem0  Size: 1073741824  Mode: O_DSYNC Async: 0", "SCSI target image"),
    "kernel/config/usb_gadget/g1/functions/mass_storage.0/lun.0/file": ("/dev/pmem0", "USB gadget g1"),
    "bus/gadget/devices/gadget.0/lun0/file": ("/dev/pmem0", "USB gadget gadget.0"),
    "class/udc/dummy_udc.0/device/gadget/lun0/file": ("/dev/pmem0", "USB gadget dummy_udc.0"),
    "kernel/config/cluster/web/heartbeat/77D95EF51C0149D2823674FCC162CF8B/dev": (
        "pmem0", "OCFS2 heartbeat of cluster web"),
    "class/rnbd-server/ctl/devices/pmem0/block_dev/dev": ("259:0", "RNBD server, as pmem0"),
    "bus/xen-backend/devices/vbd-3-51712/physical_device": ("103:0", "Xen backend vbd-3-51712"),
}  # fmt: skip
"""Where each tells what it has open: 259:0 is 103:0 in hexadecimal."""


@pytest.mark.parametrize(("file", "told"), DRIVERS.items(), ids=DRIVERS.keys())
def test_drivers_that_claim_nothing(machine: Machine, file: str, told: tuple[str, str]) -> None:
    """They have the device open without any holder showing."""
    machine.fsdax()
    place, _, name = file.rpartition("/")
    machine.put(machine.sysfs / place, **{name: told[0]})
    other = machine.sysfs / "kernel/config/target/core/pscsi_0/tape"
    machine.put(other, info="SCSI Device Bus Location: 0", udev_path="")
    assert (machine.device().users, machine.device().unseen) == ((told[1],), ())
    machine.put(machine.sysfs / place, **{name: told[0].replace("pmem0", "pmem1").replace(":0", ":1")})
    assert (machine.device().users, machine.device().unseen) == ((), ())


def test_drivers_that_cannot_be_asked(machine: Machine) -> None:
    """They are configured in configfs: where it is not mounted, or a file is strange, nobody knows what they have."""
    machine.fsdax()
    machine.put(machine.sysfs / "module/nvmet")
    machine.put(machine.sysfs / "bus/xen-backend/devices/vbd-1-1", physical_device="?")
    nvmet, xen = sorted(machine.device().unseen, reverse=True)
    assert nvmet == "what nvmet has open: mount -t configfs none /sys/kernel/config"
    assert xen.endswith("vbd-1-1/physical_device ('?' is not understood)")
    machine.put(machine.sysfs / "kernel/config/nvmet")
    assert len(machine.device().unseen) == 1


STANDING = {
    "user": ({"status": "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000"}, "only root sees .* run as root"),
    "capability": ({"status": "Uid:\t0\t0\t0\t0\nCapEff:\t000001fffff7ffff"}, "lacks CAP_SYS_PTRACE"),
    "strange": ({"status": "Name: x"}, "cannot be told"),
    "pid": ({"ns__pid": "pid:[4026532201]"}, "is a pid namespace of its own"),
    "user namespace": ({"ns__user": "user:[4026532200]"}, "is a user namespace of its own"),
    "mount": ({"ns__mnt": "mnt:[2]"}, "is a mount namespace of its own"),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "said"), STANDING.values(), ids=STANDING.keys())
def test_who_cannot_see_all_is_told_once(machine: Machine, facts: dict[str, str], said: str) -> None:
    """Another user, one in a container, or root without its capabilities: what they do not see is not idle."""
    machine.fsdax()
    for name, value in facts.items():
        path = machine.proc / "self" / name.replace("__", "/")
        path.unlink()
        path.symlink_to(value) if "__" in name else path.write_text(value)
    (machine.process(7) / "maps").mkdir()  # what also cannot be read
    (unseen,) = machine.device().unseen
    assert re.search(said, unseen)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes others")
@pytest.mark.parametrize(("argv", "said"), [
    (["setpriv", "--reuid=65534", "--clear-groups"], "only root"),
    (["unshare", "--pid", "--fork", "--mount-proc"], "pid namespace"),
    (["unshare", "--user", "--map-root-user"], "user namespace"),
    (["setpriv", "--bounding-set=-sys_ptrace"], "lacks CAP_SYS_PTRACE"),
], ids=["user", "pid", "user namespace", "capability"])  # fmt: skip
def test_the_kernel_tells_who_cannot_see_all(argv: list[str], said: str) -> None:
    """Real processes, of whose standing the kernel's own files tell."""
    code = "from harness.box import inuse; print(inuse.why_not_all_seen(inuse.REAL))"
    done = subprocess.run([*argv, sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    if done.returncode and "unshare" in argv:
        pytest.skip(done.stderr)
    assert said in done.stdout, done.stderr


def test_what_cannot_be_read_is_not_nothing(machine: Machine) -> None:
    """Bad blocks, holders, and mounts whose files are not there or answer errors."""
    disk = machine.fsdax()
    (disk / "badblocks").unlink()
    (disk / "holders").rmdir()
    process = machine.process(7, namespace="mnt:[9]")
    (process / "mountinfo").unlink()
    (process / "mountinfo").mkdir()
    blocks, holders, mounts = sorted(machine.device().unseen, key=lambda one: one.partition("the ")[2])
    assert blocks.startswith("the bad blocks of pmem0") and holders.startswith("the holders of pmem0")
    assert mounts.startswith("the mounts of qemu (process 7)")


def test_programs_that_use_it_by_any_name(machine: Machine, tmp_path: Path) -> None:
    """One has another device node of it open, the other has it mapped and its descriptor closed."""
    node = tmp_path / "node"
    try:
        os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(259, 0))
    except PermissionError:
        pytest.skip("no device node can be made here")
    machine.fsdax()
    (machine.process(7) / "fd/3").symlink_to(node)
    maps = machine.put(machine.process(8), maps="7f00-7f01 rw-s 00000000 00:05 9    /dev/a b\n") / "map_files"
    maps.mkdir()
    (maps / "7f00-7f01").symlink_to(node)
    machine.process(9).joinpath("fd/3").symlink_to("socket:[1]")
    assert machine.device().users == ("qemu (process 7)", "qemu (process 8)")


def test_unreadable_signatures_are_not_none(machine: Machine) -> None:
    """A device whose signatures cannot be read says so, instead of looking blank."""
    machine.fsdax()

    def fail(path: str) -> tuple[Signature, ...]:
        raise UsageError(f"{path}: no")

    (device,) = discover.devices(machine.sysfs, machine.proc, fail)
    assert (device.signatures, device.unread) == ((), "/dev/pmem0: no")


def test_several_devices_are_in_order(machine: Machine) -> None:
    """Each of its own region."""
    for index in (1, 0):
        owner = machine.namespace(machine.region(index), "memory", f"pfn{index}.0")
        machine.disk(owner, f"pmem{index}", index)
    found = [(device.name, device.region) for device in machine.devices()]
    assert found == [("pmem0", "region0"), ("pmem1", "region1")]
    assert discover.idle(machine.sysfs) == ()


def test_memory_without_a_block_device(machine: Machine) -> None:
    """What has no device is told with the command that makes one."""
    machine.region(0, available_size=GIB)
    machine.namespace(machine.region(1), "dax", "dax1.0")
    machine.namespace(machine.region(2), "raw", bound=False)
    (machine.region(3) / "driver").unlink()
    assert discover.idle(machine.sysfs) == (
        Idle("region0", "region without a namespace", "ndctl create-namespace -r region0 -m fsdax -a 2M"),
        Idle("namespace1.0", "devdax namespace, which has no file system",
             "ndctl create-namespace -f -e namespace1.0 -m fsdax -a 2M"),
        Idle("namespace2.0", "disabled namespace", "ndctl enable-namespace namespace2.0"),
        Idle("region3", "disabled region", "ndctl enable-region region3"),
    )  # fmt: skip
    assert machine.devices() == ()


def test_a_machine_without_any(machine: Machine) -> None:
    """No nd bus, no devices, no fault; and the same on the machine that runs the tests, whatever it has."""
    assert machine.devices() == () and discover.idle(machine.sysfs) == ()
    assert all(device.path == f"/dev/{device.name}" for device in discover.devices())
