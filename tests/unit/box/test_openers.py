"""Laws of harness.box.openers, on real processes of this machine, and on a tree for what those cannot show."""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.box import openers, use
from harness.box.use import Unseen, Use
from harness.deadline import Deadline, poll
from tests import holders

PROC = Path("/proc")
Hold = Callable[[str, str], int]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """A loop device over a file of the test's."""
    file = tmp_path / "file"
    file.write_bytes(bytes(1 << 20))
    done = subprocess.run(["/usr/sbin/losetup", "--find", "--show", file], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip() or 'not root'}")
    yield (path := done.stdout.strip())
    subprocess.run(["/usr/sbin/losetup", "--detach", path], check=True)


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts a holder; its number."""
    started: list[subprocess.Popen[bytes]] = []

    def start(how: str, path: str) -> int:
        try:
            started.append(holders.start(how, path))
        except RuntimeError as error:
            pytest.skip(str(error))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def found(pid: int) -> set[Use | Unseen]:
    """What is said of one process."""
    return {one for one in openers.survey(PROC, real=True) if f"(process {pid})" in one.what}


@pytest.mark.parametrize("how", ["own_table", "no_leader", "no_leader_mapped"])
def test_what_any_thread_has_open_is_seen(hold: Hold, disk: str, how: str) -> None:
    """In a table of the thread's own, and after the leader has ended, which leaves /proc/PID/fd and maps empty."""
    pid = hold(how, disk)
    (seen,) = (one for one in found(pid) if not isinstance(one, Use) or one.device == use.number(disk))
    assert isinstance(seen, Use)


@pytest.mark.parametrize("how", ["sent", "sent_unaccepted"])
def test_what_is_in_flight_is_told_as_not_seen(hold: Hold, disk: str, how: str) -> None:
    """The kernel tells how many descriptors wait in a socket, not of which files: nobody knows."""
    pid = hold(how, disk)
    (unseen,) = (one for one in found(pid) if isinstance(one, Unseen))
    assert unseen.what.startswith("1 descriptors that were sent to python")


def test_what_is_registered_with_an_io_uring_is_seen(hold: Hold, disk: str, tmp_path: Path) -> None:
    """By the name that the kernel tells of it, where it tells the whole path also under another name."""
    pid = hold("registered", disk)
    assert disk in {one.path for one in found(pid) if isinstance(one, Use)}
    node = tmp_path / "mine"
    os.mknod(node, stat.S_IFBLK | 0o600, use.number(disk))
    if f" {node}\n" not in info(pid := hold("registered", str(node))):
        pytest.skip("this kernel tells the last part of a name alone")
    assert use.number(disk) in {one.device for one in found(pid) if isinstance(one, Use)}


def info(pid: int) -> str:
    return "".join(path.read_text() for path in Path(f"/proc/{pid}/fdinfo").iterdir())


def test_a_busy_ring_is_not_an_empty_one(tmp_path: Path) -> None:
    """Its files are left out while it is locked: then they are not known."""
    (tmp_path / "7/fdinfo").mkdir(parents=True)
    for text, count in (
        ("UserFiles:\t2\nUserBufs:\t0\n", 1), ("SqMask:\t0x3\n", 1), ("UserFiles:\t0\nUserBufs:\t0\n", 0),
        ("UserFiles:\t1\n    0: <none>\nUserBufs:\t0\n", 0),
    ):  # fmt: skip
        said = list(openers._ring(tmp_path / "7", tmp_path / "7", text))
        assert len([one for one in said if isinstance(one, Unseen)]) == count, text


def test_who_has_ended_is_passed_over(tmp_path: Path) -> None:
    """A process, a descriptor and a mapping that go while one looks are no obstacle."""
    (tmp_path / "7").mkdir()
    for name in ("8/task/8", "8/fd", "8/map_files"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "8/fd/3").symlink_to(tmp_path / "closed")
    (tmp_path / "8/maps").write_text("7f00-7f01 r--s 00000000 00:06 94    /dev/x\n")
    assert list(openers.survey(tmp_path, real=False)) == []


@pytest.mark.parametrize("name", ["task", "fd", "maps"])
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    """For any other reason than that it is gone: here, that it is no directory or a directory."""
    for kind in {"task", "fd"} - {name}:
        (tmp_path / "8" / kind).mkdir(parents=True)
    if name == "maps":
        (tmp_path / "8/maps").mkdir()
    else:
        (tmp_path / "8" / name).write_text("")
    (unseen,) = openers.survey(tmp_path, real=False)
    assert isinstance(unseen, Unseen) and "process 8" in unseen.what and "irectory" in unseen.what


def test_a_dead_process_that_nobody_has_reaped_is_no_obstacle() -> None:
    """It has no files any more."""
    process = subprocess.Popen(["true"])
    state = Path(f"/proc/{process.pid}/stat")
    poll(lambda: " Z " in state.read_text() or None, Deadline(60), "it does not end")
    assert found(process.pid) == set()
    process.wait()
