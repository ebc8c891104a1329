"""What a run tells beside its results is told as the traces have it, and no further than they can be believed."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.agent import levels, run
from harness.agent.handles import Handles
from harness.agent.watch import observer
from harness.agent.watch.drops import Drop, DropTrace, History
from harness.agent.watch.flushes import FlushTrace, check_populate
from harness.agent.watch.pmemrange import Block, PmemRange
from harness.agent.x86.cpu import Cpu
from harness.errors import SetupError
from harness.linux import syscalls
from harness.linux.mounts import Place
from harness.model.program import ops
from harness.model.program.program import parse
from harness.model.units import PAGE
from harness.model.wire.frame import Message
from harness.model.wire.traced import DROP_LIMIT, EntryEvent, Range


class Drops(DropTrace):
    """A trace of drops that has these to tell, one read after the other."""

    def __init__(self, *reads: tuple[list[Drop], bool]) -> None:
        self._reads = list(reads)
        self._history = History()

    def read(self) -> tuple[list[Drop], bool]:
        return self._reads.pop(0) if self._reads else ([], False)


class Silence(FlushTrace):
    """A trace in which nothing is ever flushed."""

    def __init__(self) -> None:
        pass

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        yield

    def read(self, medium: PmemRange) -> tuple[list[Range], str]:
        return [], ""

    def why_not_watched(self) -> str:
        return ""


class Busy(Silence):
    """One in which the first line is flushed all the time."""

    def read(self, medium: PmemRange) -> tuple[list[Range], str]:
        return [(0, 64)], ""


class InOnePiece(PmemRange):
    """All of a file lies on it from the second page on."""

    def blocks(self, fd: int) -> list[Block]:
        return [(0, PAGE, 1 << 16)]


def nothing_open(root: Path) -> Handles:
    return Handles(Cpu(), Place(str(root)), levels.best(), {}, {}, "", {}, {}, {})


def drop(page: int) -> Drop:
    return Drop("dax_delete_mapping_entry", 12, page * 4096, (page + 1) * 4096, ("ext4_punch_hole",))


def messages_of(root: Path, drops: Drops, ops: int) -> list[Message]:
    """What is told when so many ops have one of the reads each."""
    messages: list[Message] = []
    watching = observer.OpObserver(observer.Traces(drops=drops), messages.append, messages.append)
    for index in range(ops):
        watching.look(index, (), nothing_open(root))
    return messages


def told(root: Path, *reads: tuple[list[Drop], bool]) -> list[tuple[int, int]]:
    """The op and the start of each drop that is told when every op has one of the reads."""
    messages = messages_of(root, Drops(*reads), len(reads))
    return [(one["index"], one["start"] // 4096) for message in messages for one in message.get("dropped", [])]


def missed(root: Path, *reads: tuple[list[Drop], bool]) -> list[int]:
    """The ops that are told to be the first of which something is missing."""
    return [one["missed"] for one in messages_of(root, Drops(*reads), len(reads)) if "missed" in one]


def test_drops_are_told_by_op(tmp_path: Path) -> None:
    """Each with the op in which it was read, DROP_LIMIT of them at most, the first ones."""
    assert told(tmp_path, ([drop(1)], False), ([], False), ([drop(2), drop(3)], False)) == [(0, 1), (2, 2), (2, 3)]
    many = [drop(page) for page in range(DROP_LIMIT - 1)]
    assert len(told(tmp_path, (many, False), ([drop(1), drop(2)], False), ([drop(3)], False))) == DROP_LIMIT


def test_nobody_is_blamed_after_a_gap(tmp_path: Path) -> None:
    """Who dropped an entry first has forgotten it: once drops were lost, one that is seen need not be the first."""
    assert told(tmp_path, ([drop(1)], False), ([drop(2)], True), ([drop(3)], False)) == [(0, 1)]


def test_gaps_are_told_once(tmp_path: Path) -> None:
    """From the first op on of which something may be missing, nobody can say that it wrote nothing back."""
    assert missed(tmp_path, ([drop(1)], False), ([], False)) == []
    assert missed(tmp_path, ([drop(1)], False), ([], True), ([], True)) == [1]
    many = [drop(page) for page in range(DROP_LIMIT)]
    assert missed(tmp_path, ([], False), ([], False), (many, False), ([], False)) == [2]


def test_touches_are_told_by_op(tmp_path: Path) -> None:
    """With the drops of their op, and that there were more of them than can be told, too."""
    drops = Drops()
    drops.touches.add(None, EntryEvent.DIRTIED, 12, (0, 512))
    (message,) = messages_of(tmp_path, drops, 2)
    assert [one["index"] for one in message["touched"]] == [0]
    drops.touches.full = True
    assert messages_of(tmp_path, drops, 2) == [{"missed": 0}]


def test_faults_can_be_taken_before_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel does not know that advice, the flush of a fault's zeroes would pass for one of the store."""
    check_populate()
    monkeypatch.setattr(syscalls, "MADV_POPULATE_WRITE", 99)
    with pytest.raises(SetupError, match="MADV_POPULATE_WRITE"):
        check_populate()


class ByLane(DropTrace):
    """A trace in which every op of a lane drops the page of its index."""

    def __init__(self) -> None:
        self._begun: list[int] = []
        self._history = History()

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        yield

    def begin(self, op: int) -> None:
        self._begun.append(op)

    def read(self) -> tuple[list[Drop], bool]:
        begun, self._begun = self._begun, []
        return [replace(drop(op), op=op) for op in sorted(begun)], False


LANES = """daxcheck program 1
create f data
pwrite f 0 8K
lane a
pread f 0 4K
barrier
lane b
barrier
fsync f
join
fsync f
cut_power
"""


def test_a_drop_in_a_lane_is_of_the_lanes_op(tmp_path: Path) -> None:
    """Not of the join, at which it is read: each lane says what it does before it does it."""
    traces = observer.Traces(drops=ByLane())
    answer = run.run(Cpu(), traces, Place(str(tmp_path)), parse(LANES), 1, lambda event: None)
    assert [(one["index"], one["start"] // PAGE) for one in answer["dropped"]] == [(n, n) for n in (3, 4, 6, 7)]


FLUSHES = """daxcheck program 1
create f data
pwrite f 0 8K
mmap m f 0 8K
mmap p f 0 8K sharing=private
mmap s f 0 8K sharing=sync
store p 0 100
flush p 0 100
flush s 0 100
flush m 100 8000
cut_power
"""


def test_only_what_the_program_flushed_itself_is_told(tmp_path: Path) -> None:
    """By the line, where the file lies. A private mapping shows copies, and one that was refused shows nothing."""
    events: list[Message] = []
    traces = observer.Traces(flushes=Silence(), medium=InOnePiece(0, 1 << 20, ()))
    answer = run.run(Cpu(), traces, Place(str(tmp_path)), parse(FLUSHES), 1, events.append)
    assert answer["lost"] == ""
    assert [event for event in events if event["event"] == "flushed"] == [
        {"event": "flushed", "index": 8, "ranges": [[PAGE + 64, PAGE + 127 * 64]]}
    ]


def test_a_flush_of_a_mapping_that_is_gone(tmp_path: Path) -> None:
    """A lane may have unmapped it again: then nobody knows what its flush has reached."""
    messages: list[Message] = []
    traces = observer.Traces(flushes=Silence(), medium=InOnePiece(0, 1 << 20, ()))
    done = ops.Lane("a"), ops.Flush("s", 0, 64), ops.Join()
    observer.OpObserver(traces, messages.append, messages.append).look(4, done, nothing_open(tmp_path))
    assert [message["lost"] for message in messages] == ["mapping s of a flush is gone"]


DEADLY = """daxcheck program 1
create f data
ftruncate f 4K
mmap m f 0 8K align=4K
store m 4K 8
cut_power
"""


def test_a_store_that_dies_is_told_though_faults_flushed_before_it(tmp_path: Path) -> None:
    """What faults flush before a store counts for the op before it; the signal that ends the store is the store's."""
    events: list[Message] = []
    traces = observer.Traces(flushes=Busy(), medium=InOnePiece(0, 1 << 20, ()))
    answer = run.run(Cpu(), traces, Place(str(tmp_path)), parse(DEADLY), 1, events.append)
    assert [event["index"] for event in events if event["event"] == "flushed"] == [0, 1, 2, 2]
    assert answer["signal"] == {"signal": 7, "index": 3}
