"""Lanes run at the same time, meet at barriers, and always end: also when one of them dies."""

import contextlib
import fcntl
import functools
import time
from pathlib import Path

import pytest

from harness.agent import run
from harness.agent.handles import Handles
from harness.agent.lanes import group
from harness.agent.lanes.group import Jitter
from harness.agent.lanes.shared import LaneStatus, LaneWatch, Steady, Stopped
from harness.agent.perform import perform
from harness.agent.watch.observer import Traces
from harness.agent.x86.cpu import Cpu
from harness.deadline import pause
from harness.errors import InfraError
from harness.linux import waiting
from harness.linux.mounts import Place
from harness.linux.waiting import Hung
from harness.model.program import program
from harness.model.program.ops import Load, Op
from harness.model.program.sections import LANE_LIMIT
from harness.model.units import PAGE
from harness.model.wire import wire
from harness.model.wire.frame import Message
from harness.model.wire.observation import OpResult, Segment, Stamp

cpu = Cpu()
FILE = "daxcheck program 1\ncreate f data\nftruncate f 64K\nmmap m f 0 64K\n"
BOTH = pytest.mark.parametrize("worker", ["thread", "process"])


def execute(root: Path, text: str, seed: int = 1) -> tuple[list[OpResult], Message]:
    """Run ops below FILE; afterwards no process has anything of it mapped."""
    answer = run.run(cpu, Traces(), Place(str(root)), program.parse(FILE + text), seed, lambda event: None)
    assert users(root) == []
    return list(wire.op_results_from_wire(answer["results"])), answer


def users(root: Path) -> list[str]:
    """The processes that map a file below `root`."""
    found = []
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if str(root) in maps.read_text():
                found.append(maps.parent.name)
    return found


@BOTH
def test_all_lanes_have_run_when_the_join_has(tmp_path: Path, worker: str) -> None:
    """Each op of a lane has one result, before that of the join, and its stores are in the file."""
    text = f"lane a worker={worker} times=3\nstore m 0 4K\nload m 0 4K\nlane b worker={worker}\nstore m 4K 4K\njoin\n"
    results, answer = execute(tmp_path, text + "load m 0 8K\ncut_power\n")
    assert answer["signal"] is None
    assert [result.index for result in results] == list(range(11))
    assert [result for result in results if result.errno] == []
    assert results[5].segments == (Segment(0, PAGE, Stamp(1, 1)),)
    assert results[9].segments == (Segment(0, PAGE, Stamp(1, 1)), Segment(PAGE, 2 * PAGE, Stamp(2, 1)))


@BOTH
@pytest.mark.parametrize("other", ["thread", "process"])
def test_a_barrier_orders(tmp_path: Path, worker: str, other: str) -> None:
    """What a lane stores before a barrier every lane sees after it, whatever runs them, each time round."""
    lane = "store m {0} 8\nbarrier\nload m 0 16\nbarrier\nload m {0} 8\nstore m {0} 8\nbarrier\n"
    text = f"lane a worker={worker} times=50\n{lane.format(0)}lane b worker={other} times=50\n{lane.format(8)}join\n"
    results, _ = execute(tmp_path, text + "cut_power\n")
    for index in (6, 14):
        assert [segment.source for segment in results[index].segments] == [Stamp(1, 1), Stamp(3, 1)]


def test_a_process_copies_private_mappings(tmp_path: Path) -> None:
    """A store of a process lane to a private mapping is seen by no one else, that of a thread by all."""
    text = "mmap p f 0 4K sharing=private\nlane a worker=process\nstore p 0 8\nload p 0 8\nlane b\nstore p 8 8\njoin\n"
    results, _ = execute(tmp_path, text + "load p 0 16\ncut_power\n")
    assert results[6].segments == (Segment(0, 8, Stamp(1, 1)),)
    assert results[10].segments[1].source == Stamp(2, 1)
    assert results[10].segments[0].source != Stamp(1, 1)


def test_a_killed_lane_ends_anywhere(tmp_path: Path) -> None:
    """It has done a part of its ops, more or fewer by the seed; the others and what follows go on, and nobody hears of
    a signal."""
    stores = "".join(f"store m {4 * page}K 4K\n" for page in range(14))
    text = f"lane a worker=killed\n{stores}lane b times=50\nstore m 60K 8\njoin\nload m 0 64K\ncut_power\n"
    ends = set()
    for seed in range(1, 13):
        place = tmp_path / str(seed)
        place.mkdir()
        results, answer = execute(place, text, seed)
        assert answer["signal"] is None and [result.index for result in results] == list(range(23))
        sources = [segment.source for segment in results[21].segments if segment.start < 56 * 1024]
        stored = [source for source in sources if isinstance(source, Stamp)]
        assert stored == [Stamp(seq, 1) for seq in range(1, len(stored) + 1)]
        assert results[21].segments[-2].source == Stamp(15, 1)
        ends.add(len(stored))
    assert len(ends) > 1


def test_as_many_lanes_as_there_may_be(tmp_path: Path) -> None:
    """Threads and processes meet at their start and at barriers, though there are more of them than processors."""
    lanes = [f"lane a{n} times=3 worker={('thread', 'process')[n % 2]}\nstore m {8 * n} 8\nbarrier\n"
             for n in range(LANE_LIMIT)]  # fmt: skip
    results, answer = execute(tmp_path, "".join(lanes) + f"join\nload m 0 {8 * LANE_LIMIT}\ncut_power\n")
    assert answer["signal"] is None
    assert [segment.source for segment in results[-2].segments] == [Stamp(seq, 1) for seq in range(1, LANE_LIMIT + 1)]


@BOTH
def test_names_of_a_lane_are_gone_each_time(tmp_path: Path, worker: str) -> None:
    """What a lane opens and maps and does not end itself is ended before it starts again: nothing piles up."""
    text = f"lane a worker={worker} times=2000\nopen g data\nmmap q g 0 64K\nstore q 0 8\njoin\nclose f\ncut_power\n"
    results, _ = execute(tmp_path, text)
    assert [result for result in results if result.errno] == []


def test_a_failure_of_any_run_stands() -> None:
    """An op that failed once is told as failed, though it succeeded the other times."""
    first, last = OpResult(3, errno=5, unmet="why"), OpResult(3, segments=(Segment(0, 8, Stamp(1, 1)),))
    assert group.after(group.after(None, first), last) == OpResult(3, 5, last.segments, "why")
    assert group.after(None, last) == last


@pytest.mark.parametrize("waiting", ["thread", "process"])
def test_a_process_lane_that_dies_ends_the_group(tmp_path: Path, waiting: str) -> None:
    """SIGBUS in a process lane is told with its op; a lane that waits for it at a barrier does not wait on."""
    text = "mmap x f 0 128K\nlane a worker=process\nload m 0 8\nload x 64K 8\nbarrier\n"
    text += f"lane b worker={waiting}\nstore m 0 8\nbarrier\njoin\ncut_power\n"
    start = time.monotonic()
    results, answer = execute(tmp_path, text)
    assert answer["signal"] == {"signal": 7, "index": 6}
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert time.monotonic() - start < 20


def test_a_thread_lane_that_dies_is_told_from_the_others(tmp_path: Path) -> None:
    """SIGBUS in a thread ends the process; it is told with the op of that thread, and no process lane lives on."""
    text = "mmap x f 0 128K\nlane a times=10000\nstore m 0 8\nload m 0 8\nlane b\nload m 0 8\nload x 64K 8\n"
    text += "lane c worker=process times=10000\nstore m 8 8\nload m 8 8\njoin\ncut_power\n"
    _, answer = execute(tmp_path, text)
    assert answer["signal"] == {"signal": 7, "index": 9}


@BOTH
def test_ops_that_do_not_come_back_are_told(tmp_path: Path, worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel holds all lanes that are left: one waits for a lock that nobody gives back, one has ended. Where it
    holds them is told; lanes that wait for daxcheck's own are no fault of the kernel's."""
    try:
        Path("/proc/self/stack").read_text()
    except OSError as error:
        pytest.skip(f"only one who may read /proc/PID/stack can tell where lanes are: {error}")
    monkeypatch.setattr(group, "HELD", 0.5)
    monkeypatch.setattr(group, "LEAVE", 0.5)
    monkeypatch.setattr(group, "Steady", functools.partial(Steady, 0.3))
    monkeypatch.setattr(group, "LaneWatch", functools.partial(LaneWatch, beat=0.1, patience=1.0))
    lock = tmp_path / "lock"
    with lock.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)

        def hang(handles: Handles, index: int, op: Op) -> OpResult:
            if isinstance(op, Load):
                with lock.open() as other:
                    fcntl.flock(other, fcntl.LOCK_EX)
            return perform(handles, index, op)

        monkeypatch.setattr(group, "perform", hang)
        text = f"lane a worker={worker}\nstore m 0 8\nlane b worker={worker}\nload m 0 8\njoin\ncut_power\n"
        with pytest.raises(InfraError, match=r"lanes are at op 4, 6; lane 0: Z?; lane 1: S in .*_sys_flock"):
            execute(tmp_path, text)
        monkeypatch.setattr(waiting, "_CALLS", {"flock"})
        with pytest.raises(Hung, match=r"not back from the kernel for 0 s: op 6 of lane 1, S in .*_sys_flock"):
            execute(tmp_path, text)
    assert users(tmp_path) == []


def test_a_sleep_that_ends_is_not_steady() -> None:
    """Only what is the same at every look counts, and nothing never does."""
    steady = Steady(0.0)
    assert not Steady(60.0).look("op 6") and not steady.look("")
    assert steady.look("op 6") and not Steady().look("")
    slow = Steady(0.2)
    assert not slow.look("op 6")
    pause(0.3)
    assert slow.look("op 6") and not slow.look("op 8") and not slow.look("")


def test_jitter_is_the_seeds() -> None:
    """The pauses of a lane are the same for the same seed, others for another seed or lane, and bounded."""

    def pauses(seed: int, lane: int) -> list[int]:
        jitter = Jitter(seed, lane)
        return [jitter.turns() for _ in range(200)]

    assert pauses(5, 0) == pauses(5, 0)
    assert len({tuple(pauses(seed, lane)) for seed in range(10) for lane in range(4)}) == 40
    assert 0 <= min(pauses(5, 0)) < 8 and 1 << 12 < max(pauses(5, 0)) < 1 << 16


def test_a_barrier_that_nobody_reaches_is_left() -> None:
    """A lane waits as long as another moves, and no longer; then all of them are asked to end."""
    status = LaneStatus(2)
    status.clear()
    with pytest.raises(Stopped):
        status.meet(0, 2, patience=0.05)
    with pytest.raises(Stopped):
        status.start(1, 3)


def test_a_barrier_does_not_wait_for_a_lane_that_ended() -> None:
    """A lane that is over counts as being at every barrier."""
    status = LaneStatus(2)
    status.clear()
    status.leave(1)
    status.meet(0, 2, patience=0.05)
    assert not status.stopped
