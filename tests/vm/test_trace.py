"""What the agent's probes tell of a real kernel: whatever is flushed, and nothing else; who drops dirty entries."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.fs import filesystem
from harness.link.session import AgentSession
from harness.model.program import program
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire import traced, wire
from harness.model.wire.frame import Message
from harness.model.wire.observation import OpResult
from harness.model.wire.traced import Flushed, Range, Traced
from harness.targets.guest import GuestTarget
from harness.vm import snapshot
from harness.vm.guest import Guest

WRITTEN = """daxcheck program 1
create f data
fallocate f allocate 0 4M
mmap m f 0 4M
store m 0 4M
msync m 0 4M
"""
SYNCED = 4
"""Index of that msync."""
ARMED = "daxcheck.trace"


@dataclass(frozen=True, slots=True)
class Told:
    """What a run told, and the bytes of the medium that the one file lay on at the end."""

    results: tuple[OpResult, ...]
    traced: Traced

    def flushed(self, index: int) -> set[int]:
        """The lines of the file, by number, that were flushed in op `index`."""
        found: set[int] = set()
        for event in self.traced.flushed:
            if event.index == index:
                for span in event.ranges:
                    found |= set(self._lines(span))
        return found

    def _lines(self, span: Range) -> Iterator[int]:
        blocks = self.traced.placed[-1].blocks
        for block in blocks:
            low, high = max(span[0], block.medium), min(span[1], block.medium + block.length)
            if low < high:
                start = block.start + low - block.medium
                yield from range(start // LINE, -(-(start + high - low) // LINE))


@pytest.fixture
def target(request: pytest.FixtureRequest) -> GuestTarget:
    found: GuestTarget = request.getfixturevalue(f"target_{request.param.replace('.', '_')}")
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr)


@contextlib.contextmanager
def attached(target: GuestTarget, label: str = "ext4", append: str = ARMED) -> Iterator[Guest]:
    """A guest with a fresh file system; at the end it is detached, and the kernel has not complained."""
    system = filesystem.find(label)
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(target.golden(system))
        medium = stack.enter_context(base.copy("medium"))
        plan = dataclasses.replace(target.plan_for(system), append=append)
        guest = stack.enter_context(snapshot.start(plan, medium, say))
        session = AgentSession(guest, system)
        session.attach()
        yield guest
        session.detach()
        assert guest.complaints() == []


def run(guest: Guest, text: str, flushes: bool = True) -> Told:
    """Run what follows WRITTEN, and take what is told of it as the host does."""
    flushed: list[Flushed] = []

    def on_event(message: Message) -> None:
        if message["event"] == "flushed":
            flushed.append(traced.flushed_from_wire({name: message[name] for name in ("index", "ranges")}))
        if message["event"] in ("begin", "cut", "flushed"):
            guest.send({"do": "go"})

    wanted = program.parse(f"{WRITTEN}{text}cut_power\n")
    answer = guest.call("run", on_event=on_event, program=program.format(wanted), seed=1, flushes=flushes)
    results = wire.op_results_from_wire(answer["results"])
    assert [(result.index, result.errno) for result in results if result.errno or result.unmet] == []
    found = traced.from_wire(answer)
    assert set(found.inodes) == {1}
    return Told(results, dataclasses.replace(found, flushed=tuple(flushed)))


def lines(start: int, end: int) -> set[int]:
    return set(range(start // LINE, -(-end // LINE)))


CELLS = pytest.mark.parametrize(
    ("target", "label"),
    [
        ("6.1", "ext4"),
        ("6.12", "xfs"),
        pytest.param("6.1", "xfs", marks=pytest.mark.nightly),
        pytest.param("6.12", "ext4", marks=pytest.mark.nightly),
        pytest.param("6.12", "ext4:linear", marks=pytest.mark.nightly),
        pytest.param("6.12", "ext4:4k", marks=pytest.mark.nightly),
    ],
    indirect=["target"],
)


@CELLS
def test_what_is_flushed_is_told(target: GuestTarget, label: str) -> None:
    """A store alone flushes nothing of the file; msync flushes what is dirty, write(2) what it writes, and clwb its
    lines. Zeroes that a fault flushes on a new block count for the op before the store that took it. Where the file
    lies is told after each promise and at the cut."""
    text = "store m 2M 2M\nmsync m 2M 2M\npwrite f 1M 8K\nmmap s f 0 4M sharing=sync\nstore s 64K 4K\nflush s 65K 1K\n"
    with attached(target, label) as guest:
        told = run(guest, text)
    assert told.traced.lost == ""
    assert told.flushed(SYNCED - 2) == lines(0, 2 * PMD)
    assert told.flushed(SYNCED - 1) == set()
    assert told.flushed(SYNCED) == lines(0, 2 * PMD)
    assert told.flushed(SYNCED + 1) == set()
    assert told.flushed(SYNCED + 2) == lines(PMD, 2 * PMD)
    assert told.flushed(SYNCED + 3) == lines(PMD // 2, PMD // 2 + 2 * PAGE)
    assert told.flushed(SYNCED + 5) == set()
    assert told.flushed(SYNCED + 6) == lines(65 << 10, 66 << 10)
    assert [placed.index for placed in told.traced.placed] == [SYNCED, SYNCED + 2, SYNCED + 6, SYNCED + 7]
    assert all(placed.blocks[-1].start + placed.blocks[-1].length == 2 * PMD for placed in told.traced.placed)


@pytest.mark.parametrize("target", ["6.1", pytest.param("6.12", marks=pytest.mark.nightly)], indirect=True)
def test_lanes_are_told_at_their_join(target: GuestTarget) -> None:
    """What threads and processes flush at the same time is told when they have ended."""
    text = "lane a times=20\nstore m 0 4K\nmsync m 0 4K\nlane b worker=process\nstore m 2M 4K\nmsync m 2M 4K\njoin\n"
    with attached(target) as guest:
        told = run(guest, text)
    assert told.flushed(SYNCED + 7) == lines(0, 2 * PMD)
    assert {event.index for event in told.traced.flushed} <= {*range(SYNCED + 1), SYNCED + 7, SYNCED + 8}


def test_who_drops_a_dirty_entry(target_6_12: GuestTarget) -> None:
    """6.12 on ext4: a hole in a dirty PMD drops all of it, and the stack says who, whichever engine watches the run."""
    text = "expect_mapped m pmd 0 2M\nstore m 0 2M\nfallocate f punch_hole 64K 4K\nmsync m 0 2M\n"
    with attached(target_6_12, append="") as guest:
        told = run(guest, text, flushes=False)
    assert not told.traced.flushed
    assert not told.traced.placed
    (drop,) = told.traced.dropped
    assert (drop.index, drop.function) == (SYNCED + 3, "dax_delete_mapping_entry")
    assert (drop.start, drop.end, drop.inode) == (0, PMD, told.traced.inodes[1])
    assert "ext4_punch_hole" in drop.stack
    assert "vfs_fallocate" in drop.stack
    assert drop.stack[0] == "truncate_inode_pages_range"


@pytest.mark.parametrize("target", ["6.1", pytest.param("6.12", marks=pytest.mark.nightly)], indirect=True)
def test_ptes_are_dropped_as_ranges(target: GuestTarget) -> None:
    """A thousand PTEs that a truncation takes are one drop, with its callers."""
    text = "munmap m\nmmap p f 0 4M align=4K\nftruncate f 4K\nfallocate f allocate 0 4M\nstore p 4K 4092K\n"
    with attached(target, append="") as guest:
        told = run(guest, f"{text}ftruncate f 8K\n", flushes=False)
    drop = told.traced.dropped[-1]
    assert (drop.index, drop.start, drop.end) == (SYNCED + 6, 2 * PAGE, 2 * PMD)
    assert "do_sys_ftruncate" in drop.stack


@pytest.mark.nightly
def test_an_overrun_is_told(target_6_1: GuestTarget) -> None:
    """A buffer that cannot hold what one op flushes makes the trace worthless, and it says so."""
    text = "munmap m\nmmap p f 0 4M align=4K\nfallocate f punch_hole 0 4M\nstore p 0 4M\nmsync p 0 4M\n"
    with attached(target_6_1, append=f"{ARMED}=4") as guest:
        told = run(guest, text)
    assert "overran" in told.traced.lost


@pytest.mark.parametrize("target", ["6.1", "6.12"], indirect=True)
def test_nothing_of_ours_is_left(target: GuestTarget) -> None:
    """Disarmed, a kernel has no instance and no probe of ours, and runs go on; asked for flushes, it is armed anew."""
    with attached(target) as guest:
        features = guest.hello()["features"]
        assert features["untraced"] == ""
        assert {"arch_wb_cache_pmem", "__memcpy_flushcache"} < set(features["flush_trace"])
        assert "dax_delete_mapping_entry" in features["drop_trace"]
        for _ in range(2):
            assert guest.call("disarm") == {"instances": [], "probes": []}
        assert guest.hello()["features"]["flush_trace"] == []
        assert run(guest, "", flushes=False).traced.dropped == ()
        guest.call("evict", paths=["data"])
        assert run(guest, "").flushed(SYNCED) == lines(0, 2 * PMD)
        guest.call("evict", paths=["data"])
        assert guest.call("disarm") == {"instances": [], "probes": []}
