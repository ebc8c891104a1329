"""Programs run on any file system: each op does its thing, and what comes back passes the host's checks."""

import errno
import os
import signal
import socket
import typing
from pathlib import Path

import pytest

from harness.agent import evict, interpreter, observe, run
from harness.agent.memory import Scratch
from harness.agent.watch.observer import Traces
from harness.agent.x86.cpu import Cpu
from harness.linux import syscalls
from harness.linux.mounts import Place
from harness.model.program import ops, program
from harness.model.units import PAGE
from harness.model.wire import wire
from harness.model.wire.frame import Message
from harness.model.wire.observation import DIRECTORY, FileView, OpResult, Segment, Stamp, Zero

cpu = Cpu()
EVERY_OP = """daxcheck program 1
plant ignore_flush 0 4K
create f data
fallocate f allocate 0 64K
mmap m f 0 64K align=4K
store m 0 64K
msync m 0 64K
flush m 0 64K
load m 0 64K
expect_mapped m pte 0 64K
pwrite f 4K 100
pread f 0 8K
open g data
close g
fsync f
fdatasync f
fsyncdir
sync_file_range f 0 64K wait=write_and_wait
syncfs
sync
madvise m 0 64K populate_write
mprotect m 0 4K read
expect_signal SIGSEGV
store m 0 100
mprotect m 0 4K write
mremap m 32K n
mresize n 48K
mresize n 24K
mmap_over n 16K o f 8K sharing=private
munmap o
observe
create c copy
copy_file_range c 0 8K f 4K
splice c 0 8K f 4K
sendfile c 0 8K f 4K
read_into n 0 4K f 0
write_from c 8K 4K m 4K how=dsync
direct_store n 4K 8K
direct_load n 4K 8K
expect_dax f off
link data other
rename other third
unlink third
mkdir dir
rename dir moved
fsyncdir path=moved
rmdir moved
symlink soft data
unlink soft
tmpfile t
pwrite t 0 4K
link_fd t third
close t
lane a
store m 4K 4K
barrier
lane b worker=process
store m 8K 4K
barrier
join
fsyncdir
mlock m 0 4K
munmap m
ftruncate f 8K
expect_short 4K
pread f 4K 8K
"""
REFUSED = """expect_errno EOPNOTSUPP|EINVAL|EXDEV|ENOTTY
clone_file c f
clone c 0 4K f 0
dedupe c 0 4K f 0
exchange_range c 0 4K f 0
swapext c f
set_dax f on
fill 4K
unfill
drop_caches
remount ro
freeze
thaw
shutdown nologflush
munmap n
close f
close c
umount
mount
cut_power
"""
"""What an ordinary file system refuses, and what is refused on one that is not ours."""


LANED = range(52, 58)
"""Ops of EVERY_OP that run in lanes."""
REFUSALS = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM}


def execute(root: Path, text: str) -> tuple[list[OpResult], Message, list[Message]]:
    """Run a program of ops below the header in `root`; results as the host reads them, the answer, the events."""
    events: list[Message] = []
    wanted = program.parse(text if text.startswith("daxcheck") else "daxcheck program 1\n" + text)
    answer = run.run(cpu, Traces(), Place(str(root)), wanted, 7, events.append)
    return list(wire.op_results_from_wire(answer["results"])), answer, events


def look(root: Path, path: str) -> FileView:
    return wire.file_view_from_wire(observe.observe(cpu, str(root), path))


@pytest.fixture(autouse=True)
def ramdisk(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a block device, a file that takes O_DIRECT."""
    path = tmp_path_factory.mktemp("disk") / "disk"
    path.write_bytes(bytes(1 << 20))
    monkeypatch.setattr(interpreter, "RAMDISK", str(path))


def test_every_op_runs(tmp_path: Path) -> None:
    """There is no op that the interpreter does not know; each yields one result, in order."""
    parsed = program.parse(EVERY_OP + REFUSED)
    assert {type(op) for op in parsed.ops} == set(typing.get_args(ops.Op))
    results, answer, events = execute(tmp_path, EVERY_OP + REFUSED)
    assert answer["signal"] is None
    assert [result.index for result in results] == list(range(len(parsed.ops)))
    meant = len(program.parse(EVERY_OP).ops)
    assert [parsed.ops[result.index] for result in results[:meant] if result.errno] == []
    for result in results[meant:]:
        if not isinstance(parsed.ops[result.index], ops.CheckOp | ops.Munmap | ops.Close):
            assert result.errno in REFUSALS or isinstance(parsed.ops[result.index], ops.SetDax)
    assert [result.signal for result in results if result.signal] == [11]
    alone = [index for index, op in enumerate(parsed.ops) if index not in LANED]
    assert [event["index"] for event in events if event["event"] == "op"] == alone
    assert events[-1] == {"event": "cut", **{name: answer[name] for name in ("results", "dropped", "inodes", "lost")}}


def test_contents_are_stamps(tmp_path: Path) -> None:
    """Loads, preads and the files afterwards show each store under the number it has in the Program."""
    results, _, _ = execute(tmp_path, EVERY_OP)
    assert results[7].segments == (Segment(0, 64 * 1024, Stamp(1, 1)),)
    seen = results[10].segments
    assert [segment.source for segment in seen[:2]] == [Stamp(1, 1), Stamp(2, 1)]
    assert (seen[1].start, seen[1].end, seen[-1].end) == (PAGE, PAGE + 96, 2 * PAGE)
    view = look(tmp_path, "data")
    assert (view.size, view.differences) == (2 * PAGE, ())
    assert view.segments == (Segment(0, PAGE, Stamp(1, 1)), Segment(PAGE, 2 * PAGE, Stamp(6, 1)))
    assert results[37].segments[0].source == Stamp(4, 1)


def test_observe_shows_every_name(tmp_path: Path) -> None:
    """An Observe in the middle has a view of each name the Program will ever use, and of strangers."""
    (tmp_path / "stranger").write_bytes(b"x")
    results, _, _ = execute(tmp_path, "create f data\npwrite f 0 4K\nobserve\nrename data later\ncut_power\n")
    now, later, stranger = results[2].files
    assert (now.path, now.segments) == ("data", (Segment(0, PAGE, Stamp(1, 1)),))
    assert (later.path, later.size) == ("later", None)
    assert (stranger.path, stranger.size, stranger.truncated) == ("stranger", 1, True)


def test_expected_signal_ends_only_a_copy(tmp_path: Path) -> None:
    """An op after expect_signal tells its signal and the run goes on; one that does not die has its effect."""
    text = "create f data\nftruncate f 4K\nmmap m f 0 8K\nexpect_signal SIGBUS\nstore m 4K 4K\nexpect_signal SIGBUS\n"
    results, answer, _ = execute(tmp_path, text + "store m 0 4K\nload m 0 4K\ncut_power\n")
    assert answer["signal"] is None
    assert [result.signal for result in results] == [0, 0, 0, 0, 7, 0, 0, 0, 0]
    assert results[7].segments == (Segment(0, PAGE, Stamp(2, 1)),)


def test_a_renamed_file_keeps_its_number(tmp_path: Path) -> None:
    """Stamps name the file that a descriptor refers to, whatever its name was when it was opened."""
    text = "create a one\ncreate b two\nrename one three\nrename two one\nlink one four\n"
    execute(tmp_path, text + "open c four\npwrite c 0 4K\nopen d three\npwrite d 0 4K\ncut_power\n")
    assert look(tmp_path, "one").segments == (Segment(0, PAGE, Stamp(1, 2)),)
    assert look(tmp_path, "three").segments == (Segment(0, PAGE, Stamp(2, 1)),)


def test_second_file_has_its_own_number(tmp_path: Path) -> None:
    """Stamps name the file by the order of creation, also through a second descriptor."""
    execute(tmp_path, "create a one\ncreate b two\npwrite b 0 4K\nopen c two\npwrite c 4K 4K\ncut_power\n")
    expected = (Segment(0, PAGE, Stamp(1, 2)), Segment(PAGE, 2 * PAGE, Stamp(2, 2)))
    assert look(tmp_path, "two").segments == expected
    assert (look(tmp_path, "one").size, look(tmp_path, "one").segments) == (0, ())


def test_bus_error_is_a_result(tmp_path: Path) -> None:
    """A SIGBUS ends the run at its op; what came before is kept, and there is no cut."""
    text = "create f data\nftruncate f 4K\nmmap m f 0 8K\nstore m 0 4K\nload m 4K 4K\ncut_power\n"
    results, answer, events = execute(tmp_path, text)
    assert answer["signal"] == {"signal": 7, "index": 4}
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert "cut" not in [event["event"] for event in events]


def test_failed_ops_tell_errno(tmp_path: Path) -> None:
    """A refused op is a result; ops on what it was to define fail with EBADF and the run goes on."""
    (tmp_path / "data").write_bytes(b"")
    results, _, _ = execute(tmp_path, "create f data\nmmap m f 0 4K\nstore m 0 4K\nfsync f\ncut_power\n")
    assert [result.errno for result in results] == [errno.EEXIST, *[errno.EBADF] * 3, 0]


def test_short_read_shows_what_is_there(tmp_path: Path) -> None:
    """A pread across the end of the file yields the bytes before it, one beyond it nothing."""
    results, _, _ = execute(tmp_path, "create f data\npwrite f 0 100\npread f 0 8K\npread f 4K 8K\ncut_power\n")
    assert results[2].segments[-1].end == 100
    assert results[3].segments == ()


def test_unmet_expectation_says_why(tmp_path: Path) -> None:
    """A page that nothing touched is not mapped, and the result says so."""
    results, _, _ = execute(tmp_path, "create f data\nftruncate f 8K\nmmap m f 0 8K\nexpect_mapped m pte 0 8K\n")
    assert "of the mapping" in results[3].unmet


def test_flags_of_open_and_rename(tmp_path: Path) -> None:
    """An append goes behind the end with the stamps of that place; O_TRUNC cuts; two files exchange their names."""
    text = """create f data
pwrite f 0 8K
open a data flag=append
pwrite a 0 4K
create g other
rename data other flag=exchange
expect_errno EEXIST
rename data other flag=noreplace
rename data third flag=noreplace
pwrite g 0 100
open t third flag=truncate
cut_power
"""
    results, _, _ = execute(tmp_path, text)
    assert {result.index: result.errno for result in results if result.errno} == {7: errno.EEXIST}
    first, second = look(tmp_path, "other").segments
    assert first == Segment(0, 2 * PAGE, Stamp(1, 1)) and second == Segment(2 * PAGE, 3 * PAGE, Stamp(2, 1))
    assert look(tmp_path, "third").size == 0 and look(tmp_path, "data").size is None


def test_missing_file_has_no_size(tmp_path: Path) -> None:
    """A file that is not there is an observation, not an error."""
    assert look(tmp_path, "nothing") == FileView("nothing", None)


def test_hole_reads_as_zero(tmp_path: Path) -> None:
    """A sparse file with an odd size is zero to its end in all three views."""
    with (tmp_path / "data").open("wb") as file:
        file.truncate(3 * PAGE + 5)
    view = look(tmp_path, "data")
    assert (view.size, view.segments, view.differences) == (3 * PAGE + 5, (Segment(0, 3 * PAGE + 5, Zero()),), ())


def test_reading_no_file_is_told(tmp_path: Path) -> None:
    """What cannot be read as a file comes back as an error in words, within a valid view."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock"))
        view = look(tmp_path, "sock")
    assert view.truncated
    assert view.error


def test_directories_are_seen(tmp_path: Path) -> None:
    """A directory is a name, what is in it is found, and what no op put there is told; what is below a file is not."""
    execute(tmp_path, "mkdir dir\ncreate f dir/data\nrename dir moved\nfsyncdir path=moved\ncut_power\n")
    (tmp_path / "moved" / "other").write_bytes(b"x")
    names = ["dir", "dir/data", "moved", "moved/data", "moved/data/x"]
    found = [wire.file_view_from_wire(one) for one in observe.observe_all(cpu, str(tmp_path), names)]
    assert found[0] == FileView("dir", None) and found[1].size is None and found[4].size is None
    assert found[2] == FileView("moved", 0, kind=DIRECTORY) and (found[3].size, found[3].kind) == (0, "")
    assert [(one.path, one.size) for one in found[5:]] == [("moved/other", 1)]


def test_all_is_evicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files first, then the directories that they are in."""
    monkeypatch.setattr(Place, "drop_caches", lambda self: None)
    monkeypatch.setattr(Place, "thaw", lambda self: None)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "data").write_bytes(b"x")
    evict.evict(Place(str(tmp_path)), ("a", "a/b", "a/b/data", "gone", "gone/x"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["read", "direct"])
def test_views_that_differ_are_told_by_line(tmp_path: Path, name: str) -> None:
    """Bytes that differ from the mapping come back as differences of whole lines, contiguous ones joined."""
    size = 5 * PAGE + 100
    (tmp_path / "data").write_bytes(bytes(size))
    with Scratch(size) as scratch:
        cpu.edge(scratch.address + PAGE + 70, 1, 1)
        cpu.edge(scratch.address + PAGE + 128, 1, 1)
        cpu.edge(scratch.address + size - 1, 1, 1)
        fd = os.open(tmp_path / "data", os.O_RDONLY)
        found = observe._compare(cpu, name, fd, scratch.address, size)
        os.close(fd)
    line = (PAGE + 64, PAGE + 192)
    tail = (5 * PAGE + 64, size)
    assert [(d.view, d.start, d.end, d.source) for d in found] == [(name, *line, Zero()), (name, *tail, Zero())]


def test_what_ended_a_reading_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal, an errno, or a read that ended early, by the name that the host knows it by; an agent's own failure is
    no answer of the kernel's."""
    (tmp_path / "data").write_bytes(bytes(PAGE))

    def dying(*_: object) -> FileView:
        os.kill(os.getpid(), signal.SIGBUS)
        raise AssertionError

    def failing(*_: object) -> FileView:
        raise OSError(errno.EIO, "pread: Input/output error")

    def wrong(*_: object) -> FileView:
        raise ValueError("a mistake")

    for fault, answer in ((dying, "SIGBUS"), (failing, "EIO"), (wrong, "")):
        with monkeypatch.context() as patch:
            patch.setattr(observe, "view", fault)
            found = look(tmp_path, "data")
        assert found.truncated and found.error and found.answer == answer
    monkeypatch.setattr(syscalls, "pread_into", lambda *_: 0)
    assert look(tmp_path, "data").answer == "end of file"
