"""What is read of a guest, a file or a package costs what its size allows: every bound is there before the work."""

import itertools
import json
import os
import socket
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import progfile
from harness.agent import run
from harness.box import signature, undolog
from harness.errors import GuestDied, GuestHang, UsageError
from harness.link import caller, kernellog
from harness.link.caller import Caller
from harness.linux import child as child_module
from harness.linux.channel import AgentChannel
from harness.linux.child import Child, Livelock
from harness.media import log
from harness.model.contract import oracle
from harness.model.judge import allocation, verdict
from harness.model.judge.compare import Expected, compare
from harness.model.judge.judgement import WAYS, Wrong, gathered
from harness.model.judge.values import Condition, Stored
from harness.model.judge.violation import Kind
from harness.model.program import ops
from harness.model.program.program import HEADER, parse
from harness.model.program.recorder import Recorder
from harness.model.wire.frame import encode
from harness.model.wire.observation import Difference, FileView, Segment, Stamp, Zero
from harness.vm import diagnosis

Work = Callable[[Callable[[], object]], int]

STAMP, OLD = Stamp(2, 1), Stamp(1, 1)


def torn(lines: int) -> Callable[[], object]:
    """A comparison of that many cache lines, of each of which one half is of an older store."""
    halves = [Segment(at, at + 32, OLD if at % 64 else STAMP) for at in range(0, lines * 64, 32)]
    return lambda: compare([Expected(0, lines * 64, frozenset({STAMP}), frozenset({STAMP, OLD}), 1)], halves)


def test_torn_lines_cost_as_many_steps_each(work: Work) -> None:
    """Twice as many torn lines take twice the work, not four times."""
    assert work(torn(2000)) < 2.5 * work(torn(1000))


class Counted(Sequence[Segment]):
    """Segments that count how often one of them is taken out, or copied into a slice."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self.taken = 0

    def __len__(self) -> int:
        return len(self._segments)

    def __getitem__(self, index: Any) -> Any:
        found = self._segments[index]
        self.taken += len(found) if isinstance(index, slice) else 1
        return found


def test_each_run_is_compared_with_its_own_segments() -> None:
    """Of many segments those that a run, or a hole, does not touch are not even copied for it."""
    pages = [(at, at + 4096) for at in range(0, 4096 * 4096, 4096)]
    segments = Counted([Segment(low, high, STAMP) for low, high in pages])
    runs = [Expected(low, high, frozenset({STAMP}), frozenset({STAMP}), 1) for low, high in pages]
    assert compare(runs, segments) == (4096 * 4096, [])
    assert segments.taken < 8 * len(pages)
    segments.taken = 0
    assert len(list(allocation._clash(segments, pages[::2]))) == len(pages) / 2
    assert segments.taken < 8 * len(pages)


def test_differing_views_cost_as_many_steps_each(work: Work) -> None:
    """Twice as many differences in twice as many pieces take twice the work, not four times."""
    dax = Recorder()
    dax.create("data", size=4 << 20)
    program = dax.program()

    def differing(pieces: int) -> Callable[[], object]:
        pages = [(at, at + 64) for at in range(0, pieces * 64, 64)]
        segments = tuple(Segment(low, high, Stamp(1 + low // 64 % 2, 1)) for low, high in pages)
        differences = tuple(Difference("read", low, high, Zero()) for low, high in pages)
        view = FileView("data", pieces * 64, segments, differences)
        return lambda: verdict.judge(program, oracle.run(program)[-1], [view], "live", "current")

    assert work(differing(1000)) < 2.5 * work(differing(500))


def test_a_guest_cannot_invent_ways_without_end() -> None:
    """What is wrong in ten thousand ways is told in a few hundred, with all its bytes."""
    ways: list[Wrong] = [
        ((Kind.FOREIGN, (1, "fsync"), Condition.ZERO, Stored(n, 0)), (n * 8, n * 8 + 8)) for n in range(10_000)
    ]
    found = gathered("data", "live", ways)
    assert len(found) == WAYS + 1
    assert sum(one.bytes for one in found) == 80_000


def test_a_flood_of_markers_is_no_work_for_each_op(work: Work) -> None:
    """To find an op's marker takes no step in Python for each marker that a guest has left."""

    def found(markers: int) -> int:
        fd = os.memfd_create("log")
        try:
            with log.PersistLog.create(fd, markers) as opened:
                records = np.zeros(markers, log.RECORD)
                records["kind"], records["address"] = log.RecordKind.MARK, 7
                os.pwrite(fd, records.tobytes(), log.HEADER_SIZE)
                os.pwrite(fd, markers.to_bytes(8, "little"), log.HEADER.fields["count"][1] if log.HEADER.fields else 0)
                steps = work(lambda: opened.upto(7))
                assert (opened.upto(7), opened.upto(8)) == (markers - 1, None)
                return steps
        finally:
            os.close(fd)

    assert found(100_000) < 2 * found(10)


@pytest.mark.parametrize("text", ["rcu", "EXT4-fs", "JBD2: ", "XFS ", "INFO: task ", "clocksource: ", ": 0123 [#1"])
def test_a_line_without_end_is_searched_through(text: str) -> None:
    """A line of 1 MiB that begins what a pattern looks for again and again is no trouble, until trouble ends it.

    The time grows with the length; with its square, this test would take hours.
    """
    line = text * ((1 << 20) // len(text))
    assert not kernellog.complaints([line])
    assert [one.trouble for one in kernellog.complaints([line + " WARNING: CPU: 1 at fs/dax.c:380"])] == ["warning"]


def test_what_stands_far_apart_in_a_line_is_found() -> None:
    """A bound on the work is none on what is looked at: two halves of a sign belong together at any distance."""
    for first, second, trouble in (
        ("rcu: ", "self-detected stall", "stall"), ("INFO: task ", " blocked for more than 120 s", "hung task"),
        ("EXT4-fs (pmem0)", ": error", "file system"), ("XFS (pmem0)", "Shutting down", "file system"),
    ):  # fmt: skip
        assert [one.trouble for one in kernellog.complaints([first + "x" * 100_000 + second])] == [trouble]
        assert not kernellog.complaints([second + "x" * 100_000 + first])


def test_complaints_have_an_end() -> None:
    """A kernel that complains for ever fills no report, and a flood of one kind hides no other: here an oops behind
    the stalls of a host that gives its guest no time."""
    stalls = ["rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"] * 100_000
    found = kernellog.complaints([*stalls, "Oops: 0000 [#1] PREEMPT SMP NOPTI"])
    assert [one.trouble for one in found] == ["stall"] * kernellog.EACH + ["oops"]
    assert [one.trouble for one in kernellog.blamed(found)] == ["oops"]


def test_the_end_of_a_boot_is_found_in_a_line_without_end() -> None:
    """A console of 8 MiB without a line feed is searched for what a kernel lacks, and the sign is told short."""
    flood = "daxcheck" * (1 << 20)
    assert diagnosis.boot_failure(GuestDied("it died"), flood).args == ("it died",)
    error = diagnosis.boot_failure(GuestDied("it died"), f"{flood}VFS: Unable to mount root fs{flood}")
    assert "CONFIG_BLK_DEV_INITRD" in str(error) and len(str(error)) < 1000


def test_events_do_not_renew_a_call_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that sends an event now and then, and never an answer, ends the call all the same."""
    monkeypatch.setattr(caller, "CALL", 1.0)

    class Told(Caller):
        def running(self) -> bool:
            return True

        def last_line(self) -> str:
            return "-"

    ours, theirs = socket.socketpair()
    over = threading.Event()

    def chatter() -> None:
        while not over.wait(0.02):
            theirs.sendall(encode({"event": "op", "index": 0}))

    thread = threading.Thread(target=chatter, daemon=True)
    with ours, theirs:
        thread.start()
        try:
            with pytest.raises(GuestHang, match=r"events for 1 s during run, and gave no answer"):
                Told(ours).call("run", seconds=0.9)
        finally:
            over.set()
            thread.join()


def test_what_the_harness_does_at_an_event_is_not_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent whose host takes its time at an event, as `daxcheck arm` does at the cut, is not late for that."""
    monkeypatch.setattr(caller, "CALL", 0.5)

    class Told(Caller):
        def running(self) -> bool:
            return True

    slow: list[bool] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(encode({"event": "cut"}) + encode({"event": "op", "index": 0}) + encode({"done": {"x": 1}}))
        assert Told(ours).call("run", 0.4, lambda event: slow.append(threading.Event().wait(0.6))) == {"x": 1}
        assert len(slow) == 2


@pytest.mark.nightly
def test_an_op_that_never_returns_is_bounded_by_the_guests_clock() -> None:
    """A child that keeps a processor busy and says nothing is given up, and killed; one that only waits is not."""

    def spin(_: AgentChannel) -> None:
        while True:
            pass

    def wait(channel: AgentChannel) -> None:
        channel.receive()
        channel.send({"done": True})

    with pytest.raises(Livelock, match=r"busy for 0.2 s"), Child(spin) as child:
        child.receive(busy=0.2)
    with Child(wait) as child:
        threading.Timer(2.5, lambda: child.send({"do": "go"})).start()
        assert child.receive(busy=0.2) == {"done": True}


def test_a_livelock_of_a_childs_child_is_one() -> None:
    """An op that is done in a process of its own, since it may end in a signal, is bounded in the same way."""

    def spin(_: AgentChannel) -> None:
        while True:
            pass

    def nested(_: AgentChannel) -> None:
        with Child(spin) as inner:
            inner.receive(busy=0.2)

    with pytest.raises(Livelock, match=r"^it has kept a processor busy for 0.2 s"), Child(nested) as child:
        child.receive()


@pytest.mark.nightly
def test_a_guest_that_gets_no_time_keeps_no_processor_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose time goes on while no tick comes, as where the host lets a virtual processor wait, is waited for;
    and so is one that sleeps while others keep the processors busy."""

    def answer(channel: AgentChannel) -> None:
        channel.receive()
        channel.send({"done": True})

    for clock in ("processor_ticks", "processor_time"):
        with monkeypatch.context() as patch:
            times = {"processor_ticks": itertools.count(0, 100), "processor_time": itertools.count(0, 100)}
            times[clock] = itertools.repeat(5)  # type: ignore[assignment]
            patch.setattr(child_module, "processor_ticks", lambda t=times["processor_ticks"]: next(t))
            patch.setattr(child_module, "processor_time", lambda _, t=times["processor_time"]: next(t))
            with Child(answer) as child:
                threading.Timer(2.5, lambda child=child: child.send({"do": "go"})).start()
                assert child.receive() == {"done": True}


def test_lanes_that_wait_for_each_other_are_no_livelock() -> None:
    """Lanes spin at a barrier, perhaps for one that hangs in the kernel, which tells so after 60 s and more: that is
    the kernel's fault and not to be cut short. Any other op is bounded."""
    text = f"{HEADER}\ncreate f data\nftruncate f 4K\nmmap m f 0 4K\nlane a\nstore m 0 8\nlane b\nload m 0 8\njoin\n"
    program = parse(f"{text}msync m 0 4K\ncut_power\n")
    join = [index for index, op in enumerate(program.ops) if isinstance(op, ops.Join)]
    patience = [run._patience(program, index) for index in range(len(program.ops))]
    assert [index for index, seconds in enumerate(patience) if seconds > child_module.BUSY] == join


def test_two_messages_in_one_read_are_both_there() -> None:
    """A message that was read along with another one is not waited for."""

    def two(channel: AgentChannel) -> None:
        channel.send({"n": 1})
        channel.send({"n": 2})
        channel.receive()

    with Child(two) as child:
        threading.Event().wait(1.0)  # both lie in the pipe by now, so that one read takes them
        assert [child.receive()["n"], child.receive()["n"]] == [1, 2]


DEEP = b"[" * 100_000 + b"]" * 100_000
HUGE = b'{"pid":1e999,"start":0,"boot":"","namespace":"","mark":""}'


@pytest.mark.parametrize("text", [DEEP, HUGE], ids=["deep", "huge"])
def test_a_journal_of_nonsense_is_told(tmp_path: Path, text: bytes) -> None:
    """What no run of ours wrote is a complaint that names the file."""
    path = tmp_path / "1-1-x.jsonl"
    path.write_bytes(text + b"\n")
    path.chmod(0o600)
    records, complaints = undolog.records(tmp_path)
    assert not records and str(path) in complaints[0]


@pytest.mark.parametrize("text", [DEEP[:60_000], b'{"signatures":[{"type":"x","offset":1e999}]}'])
def test_an_answer_of_wipefs_that_is_nonsense_is_refused(text: bytes) -> None:
    """Neither depth nor size of a number is more than an answer that is not understood."""
    with pytest.raises(UsageError, match="does not understand"):
        signature.parse(text, "/dev/pmem0")


def test_json_is_what_it_was() -> None:
    """The two samples are what they claim: the one is too deep for json, the other a float without an integer."""
    with pytest.raises(RecursionError):
        json.loads(DEEP)
    with pytest.raises(OverflowError):
        int(json.loads(HUGE)["pid"])


def test_a_sparse_program_is_not_read_whole(tmp_path: Path) -> None:
    """A .prog of 1 GiB, which takes no room on the disk, is refused; no more of it is read than a Program may have."""
    path = tmp_path / "huge.prog"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match="more than 4 MiB is too long"):
            progfile.read(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * progfile.LIMIT
    finally:
        tracemalloc.stop()
