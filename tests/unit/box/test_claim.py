"""Laws of harness.box.claim: held against loop devices of this machine's own kernel, where root may have them.

They stand in for persistent memory: exclusive opens, sizes, locks and signatures are those of any block device. Nodes
are made in a directory of the test's, so that a name can be made to mean another device.
"""

import contextlib
import fcntl
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.box import armed, claim, permit, signature
from harness.box.claim import Claim
from harness.box.discover import MemoryKind, NamespaceMode, PmemDevice
from harness.box.permit import Permit
from harness.errors import InfraError, UsageError
from harness.fs.label import ARMED_PREFIX, LABEL, UUID_PREFIX
from harness.model.units import PAGE, PMD

MIB = 1 << 20
SIZE = 48 * MIB
OWNED = 40 * MIB
OURS = f"{UUID_PREFIX}8001-000000000001"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def run(*argv: str | Path, fds: tuple[int, ...] = ()) -> "subprocess.CompletedProcess[str]":
    words = [str(word) for word in argv]
    return subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, pass_fds=fds, timeout=60)


@dataclass(slots=True)
class Disk:
    """A loop device over `file`, the node that stands for it, and what discovery would say of it."""

    file: Path
    node: Path
    device: PmemDevice

    def permit(self, types: str = "") -> Permit:
        return permit.of(self.device.path, self.device.device, types, self.survey)

    def survey(self) -> tuple[PmemDevice, ...]:
        return (replace(self.device, signatures=signature.read(self.node)),)

    def claim(self, types: str = "", owned: int = OWNED) -> Claim:
        return Claim(self.permit(types), owned, self.survey)

    def format(self, label: str = "home", identity: str = "5bcc3f83-a84c-4dd0-b529-f184b72eb8ab") -> None:
        done = run("mkfs.ext4", "-q", "-F", "-L", label, "-U", identity, self.node)
        assert done.returncode == 0, done.stderr


Attach = Callable[..., Disk]


@pytest.fixture
def attach(tmp_path: Path) -> Iterator[Attach]:
    """Makes such disks; a skip where this user, or this kernel, has no loop devices."""
    with contextlib.ExitStack() as stack:

        def make(name: str = "pmem0", size: int = SIZE, *options: str) -> Disk:
            file = tmp_path / f"{name}.img"
            file.touch()
            with file.open("r+b") as opened:
                opened.truncate(size)
            done = run("losetup", "--find", "--show", *options, file)
            if done.returncode:
                pytest.skip(f"no loop device: {done.stderr.strip() or 'not root'}")
            loop = Path(done.stdout.strip())
            stack.callback(run, "losetup", "--detach", loop)
            number = loop.stat().st_rdev
            os.mknod(tmp_path / name, 0o600 | stat.S_IFBLK, number)
            device = PmemDevice(
                f"..{tmp_path}/{name}", number, size, MemoryKind.NVDIMM, NamespaceMode.FSDAX, "region0",
                "namespace0.0", PMD, 0, 0, "memory_controller", True, True, False, 0,
            )  # fmt: skip
            return Disk(file, tmp_path / name, device)

        yield make


@pytest.fixture
def disk(attach: Attach) -> Disk:
    return attach()


def test_what_is_written_is_on_the_device(disk: Disk) -> None:
    """Whole pages anywhere within what is owned, durable when writing ends; all else is as it was."""
    data = os.urandom(3 * MIB + PAGE)
    with disk.claim() as held:
        with held.writing() as writer:
            writer.write(PAGE, data)
            assert writer.read(0, 4 * MIB) == bytes(PAGE) + data + bytes(MIB - 2 * PAGE)
            writer.zero(2 * MIB, 3 * MIB)
            assert writer.read(2 * MIB, 3 * MIB) == bytes(MIB)
            writer.write(OWNED - PAGE, b"x" * PAGE)
        found = disk.file.read_bytes()
    assert found[PAGE : 2 * MIB] == data[: 2 * MIB - PAGE] and found[3 * MIB : 4 * MIB] == data[3 * MIB - PAGE :].ljust(
        MIB, b"\0"
    )
    assert found[OWNED - PAGE : OWNED] == b"x" * PAGE and not any(found[OWNED:])


def test_a_mount_takes_it_between_two_writes(disk: Disk, tmp_path: Path) -> None:
    """The descriptor that stays is a source of mounts and is no obstacle to them; while it is written, it is one."""
    disk.format(LABEL, OURS)
    (tmp_path / "mnt").mkdir()

    def mount(held: Claim) -> "subprocess.CompletedProcess[str]":
        return run("unshare", "-m", "mount", "-t", "ext4", held.source, tmp_path / "mnt", fds=(held.fileno(),))

    with disk.claim() as held:
        assert mount(held).returncode == 0
        with held.writing():
            assert "busy" in mount(held).stderr or "already mounted" in mount(held).stderr
            assert run("mkfs.ext4", "-q", "-F", disk.node).returncode != 0
        assert mount(held).returncode == 0


@contextlib.contextmanager
def mounted_elsewhere(disk: Disk, place: Path) -> Iterator[None]:
    """Mounted in a mount namespace that only another process sees."""
    place.mkdir()
    script = 'mount -t ext4 "$1" "$2" && echo ready && read end'
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script, "sh", str(disk.node), str(place)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.communicate(b"\n")


@contextlib.contextmanager
def opened(disk: Disk, flags: int) -> Iterator[None]:
    fd = os.open(disk.node, flags)
    try:
        yield
    finally:
        os.close(fd)


def refused(disk: Disk, held: Claim, said: str) -> None:
    """Entering is refused with `said`, and not one byte of the device is another."""
    before = disk.file.read_bytes()
    with pytest.raises(UsageError, match=said), held:
        raise AssertionError("the claim was granted")
    assert disk.file.read_bytes() == before


def test_a_mount_that_nobody_sees(disk: Disk, tmp_path: Path) -> None:
    """The exclusive open finds what no list tells."""
    disk.format()
    held = disk.claim("ext4")
    with mounted_elsewhere(disk, tmp_path / "mnt"):
        refused(disk, held, "is claimed: by a mount or a program that cannot be seen")


def test_a_program_that_has_claimed_it(disk: Disk) -> None:
    """Stacked devices, swap and careful tools all claim: the same exclusion."""
    held = disk.claim()
    with opened(disk, os.O_RDONLY | os.O_EXCL):
        refused(disk, held, "is claimed")


def test_two_of_ours(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second claim is refused as long as the first lives, also while that has it mounted and does not write."""
    monkeypatch.setattr(claim, "LOCK_WAIT", 0.05)
    with disk.claim():
        refused(disk, disk.claim(), "is locked by another program")
    with disk.claim():
        pass


def test_a_lock_of_another(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """flock(2) on the node is how tools say that a device is theirs."""
    monkeypatch.setattr(claim, "LOCK_WAIT", 0.05)
    held = disk.claim()
    with disk.node.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused(disk, held, "is locked by another program")


def symlink(node: Path, other: Disk) -> None:
    node.symlink_to(other.node)


def another(node: Path, other: Disk) -> None:
    os.mknod(node, 0o600 | stat.S_IFBLK, other.device.device)


def regular(node: Path, other: Disk) -> None:
    node.write_bytes(bytes(SIZE))


def absent(node: Path, other: Disk) -> None:
    pass


@pytest.mark.parametrize("swap", [symlink, another, regular, absent])
def test_a_name_that_means_another_by_now(attach: Attach, swap: Callable[[Path, Disk], None]) -> None:
    """Between check and use the name was given to something else: neither is written."""
    disk, other = attach("pmem0"), attach("pmem1")
    held = disk.claim()
    disk.node.unlink()
    swap(disk.node, other)
    refused(other, held, "has changed since it was checked|not the device any more")
    assert not any(disk.file.read_bytes())


def test_a_file_system_since_the_check(disk: Disk) -> None:
    """Between check and use somebody made a file system: it is not lost."""
    held = disk.claim()
    disk.format()
    refused(disk, held, "carries ext4")


def test_another_file_system_since_the_check(disk: Disk) -> None:
    """The same type is not the same file system: what was named is what was seen."""
    disk.format()
    held = disk.claim("ext4")
    disk.format("other", "0bcc3f83-a84c-4dd0-b529-f184b72eb8ab")
    refused(disk, held, "carries something since it was checked: ext4 .label other")


def test_raw_data_since_the_check(disk: Disk) -> None:
    """Between check and use somebody wrote what wipefs does not know: it is not lost, though the last byte is it."""
    held = disk.claim()
    with disk.node.open("r+b") as file:
        file.seek(SIZE - 1)
        file.write(b"x")
    refused(disk, held, "carries data of no known kind")


def test_raw_data_before_the_first_write(disk: Disk) -> None:
    """It counts as long as nothing of daxcheck's lies there, and no longer."""
    with disk.claim() as held:
        with disk.node.open("r+b") as file:
            file.write(b"x")
        with pytest.raises(UsageError, match="data of no known kind"), held.writing():
            raise AssertionError
        with disk.node.open("r+b") as file:
            file.write(b"\0")
        with held.writing() as writer:
            writer.write(PAGE, b"y" * PAGE)
        with held.writing() as writer:
            writer.write(PAGE, b"z" * PAGE)


def test_a_named_file_system_is_given_up(disk: Disk) -> None:
    """What was named may go, and what daxcheck made instead of it may go any time; a stranger in between may not."""
    disk.format()
    with disk.claim("ext4") as held:
        with held.writing() as writer:
            writer.zero(0, PMD)
        disk.format(LABEL, OURS)
        with held.writing() as writer:
            writer.write(20 * MIB, b"y" * PAGE)
            assert writer.read(20 * MIB, 20 * MIB + PAGE) == b"y" * PAGE
        disk.format("other", "0bcc3f83-a84c-4dd0-b529-f184b72eb8ab")
        with pytest.raises(UsageError, match="label other"), held.writing():
            raise AssertionError


def test_an_armed_run_that_may_be_lost(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is named, it goes, and what is written instead is no such run, or another."""
    monkeypatch.setattr(armed, "NOTES", tmp_path / "notes")
    waits = f"{ARMED_PREFIX}001-000000000001"
    disk.format(LABEL, waits)
    with pytest.raises(UsageError, match="say --erase-signature armed"):
        disk.claim()
    with disk.claim("armed") as held:
        for identity in (OURS, f"{ARMED_PREFIX}001-000000000002"):
            with held.writing() as writer:
                writer.zero(0, PMD)
            disk.format(LABEL, identity)
        with held.writing():
            pass
        assert held.vouch() == f"{ARMED_PREFIX}001-000000000002"


def test_what_somebody_puts_there_before_the_mount_is_seen(disk: Disk) -> None:
    """Between writing and mounting nobody claims the device: no file of a stranger's file system is touched."""
    with disk.claim() as held:
        with pytest.raises(InfraError, match="carries nothing instead"):
            held.vouch()
        disk.format(LABEL, OURS)
        assert held.vouch() == OURS
        disk.format("home")
        with pytest.raises(InfraError, match=r"carries ext4 \(label home"):
            held.vouch()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"mounts": ("/srv",)}, "is mounted at /srv"), ({"holders": ("dm-0",)}, "is held by dm-0"),
        ({"partitions": ("pmem0p1",)}, "has partitions"), ({"mode": NamespaceMode.RAW, "dax": False}, "is in raw mode"),
        ({"users": ("qemu (process 7)",)}, "qemu"), ({"write_cache": False}, "has changed"),
    ],
)  # fmt: skip
def test_facts_that_changed_since(
    disk: Disk, facts: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rules are asked again once nobody else can claim it."""
    monkeypatch.setattr(permit, "SETTLE", 0.05)
    allowed = disk.permit()
    disk.device = replace(disk.device, **facts)  # type: ignore[arg-type]
    refused(disk, Claim(allowed, OWNED, disk.survey), said)


def test_an_open_that_nobody_sees(disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The driver counts more opens than are daxcheck's, and no device is in use: somebody has one open unseen."""
    monkeypatch.setattr(permit, "SETTLE", 0.05)
    monkeypatch.setattr(claim, "REFERENCES", tmp_path / "refcnt")
    for count, said in (("2\n", ""), ("3\n", "open where it cannot be seen: nd_pmem counts 3 opens, 2 of them")):
        (tmp_path / "refcnt").write_text(count)
        if said:
            refused(disk, disk.claim(), said)
        else:
            with disk.claim():
                pass
    other = replace(disk.device, device=disk.device.device + 1, mounts=("/srv",))
    with Claim(disk.permit(), OWNED, lambda: (*disk.survey(), other)):
        pass


def test_a_device_that_is_gone(disk: Disk) -> None:
    """Discovery does not know it any more."""
    refused(disk, Claim(disk.permit(), OWNED, lambda: ()), "it is gone")


def test_another_size(disk: Disk) -> None:
    """A device that grew or shrank is another."""
    held = disk.claim()
    with disk.file.open("r+b") as file:
        file.truncate(SIZE - MIB)
    assert run("losetup", "--set-capacity", f"/dev/{_loop(disk)}").returncode == 0
    refused(disk, held, f"had {SIZE} bytes when it was checked, and has {SIZE - MIB} now")


def _loop(disk: Disk) -> str:
    number = disk.device.device
    return Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name


def test_one_that_is_too_small(disk: Disk) -> None:
    """What a run needs must be there."""
    refused(disk, disk.claim(owned=SIZE + PAGE), f"has {SIZE} bytes, and daxcheck needs {SIZE + PAGE}")


def test_a_read_only_device(attach: Attach) -> None:
    """The kernel's own flag counts, whatever sysfs told before."""
    disk = attach("pmem0", SIZE, "--read-only")
    refused(disk, disk.claim(), "cannot be opened for writing|is read-only")
