"""The other devices, and the strict verdict: what survives on each, told by runs whose end is known beforehand."""

from collections.abc import Callable

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.kernel.kernel import Kernel
from harness.media.image import CrashPoint
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind
from harness.model.program.ops import Plant, Sharing
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.setting.hardware import PmemKind
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire import stamps
from harness.report.words import why
from harness.targets import provision
from harness.targets.engines.cut import LoggedCut
from harness.targets.guest import GuestTarget
from harness.targets.target import Job
from harness.vm.machine import Qemu

On = Callable[[PmemKind], GuestTarget]
WHOLE = 1 << 40


@pytest.fixture(scope="module")
def on(kernel_6_1: Kernel, qemu: Qemu) -> On:
    """The target of 6.1 with a device."""
    made: dict[PmemKind, GuestTarget] = {}

    def get(device: PmemKind) -> GuestTarget:
        if device not in made:
            made[device] = provision.target(kernel_6_1, qemu, print, device)
        return made[device]

    return get


def judged(target: GuestTarget, program: Program, fs: str = "ext4") -> CellResult:
    return judge_cell(target, cell_on(target, "device", program, filesystem.find(fs))).result


def stored(
    *, msync: bool, plant: Plant | None = None, sharing: Sharing = Sharing.SHARED, lose: bool = False
) -> Program:
    """One PMD stored to through a mapping."""
    dax = Recorder()
    if lose:
        dax.expect_loss()
    if plant is not None:
        dax.plant(plant, 0, WHOLE)
    mapping = dax.create("data", size=PMD).mmap(sharing=sharing)
    mapping.store()
    if msync:
        mapping.msync()
    dax.cut_power()
    return dax.program()


@pytest.mark.parametrize(
    ("device", "fs"),
    [
        (PmemKind.EADR, "ext4"),
        (PmemKind.VIRTIO_PMEM, "xfs"),
        pytest.param(PmemKind.EADR, "xfs", marks=pytest.mark.nightly),
        pytest.param(PmemKind.VIRTIO_PMEM, "ext4", marks=pytest.mark.nightly),
    ],
)
def test_what_was_synced_is_kept(on: On, kept: Program, device: PmemKind, fs: str) -> None:
    """A sound kernel keeps its promise on every device, and no fence is missed."""
    result = judged(on(device), kept, fs)
    assert (result.outcome, result.device, result.warnings) == (Outcome.PASS, device, ()), why(result)


LOSES = {
    "virtio-pmem: stores": (PmemKind.VIRTIO_PMEM, stored(msync=False, lose=True), Outcome.PASS),
    "virtio-pmem: ignored flushes": (
        PmemKind.VIRTIO_PMEM, stored(msync=True, plant=Plant.IGNORE_FLUSH, lose=True), Outcome.PASS),
    "virtio-pmem: write cache": (
        PmemKind.VIRTIO_PMEM, stored(msync=True, plant=Plant.WRITE_CACHE_OFF, lose=True), Outcome.SKIP),
    "eadr: stores": (PmemKind.EADR, stored(msync=False, lose=True), Outcome.SKIP),
    "nvdimm: write cache": (PmemKind.NVDIMM, stored(msync=True, plant=Plant.WRITE_CACHE_OFF, lose=True), Outcome.PASS),
    "nvdimm: write cache, promised": (PmemKind.NVDIMM, stored(msync=True, plant=Plant.WRITE_CACHE_OFF), Outcome.FAIL),
}  # fmt: skip


@pytest.mark.parametrize(("device", "program", "outcome"), LOSES.values(), ids=LOSES.keys())
def test_what_each_device_loses(on: On, device: PmemKind, program: Program, outcome: Outcome) -> None:
    """Controls lose what their device does not keep, and are left out where nothing can be lost."""
    result = judged(on(device), program)
    assert result.outcome is outcome, why(result)
    if outcome is not Outcome.SKIP:
        # A device that flushes nothing loses the file system's own blocks, too.
        assert result.violations and {violation.kind for violation in result.violations} <= {Kind.ZERO, Kind.SIZE}


@pytest.mark.parametrize("device", [PmemKind.NVDIMM, PmemKind.VIRTIO_PMEM])
def test_late_flushes_break_no_promise_of_an_op_that_returned(on: On, device: PmemKind) -> None:
    """When all that an op flushes becomes durable at its end, each completion in the log comes right before a marker,
    and a cut at the end finds all that was promised."""
    program = stored(msync=True, plant=Plant.LATE_FLUSH)
    with on(device).execute(Job(program, filesystem.find("ext4"))) as execution:
        assert isinstance(execution.cut, LoggedCut)
        log = execution.cut._log
        first, last = log.upto(0), log.upto(len(program.ops) - 1)
        assert first is not None and last is not None
        ends = {one.count for one in log.completions(first, last + 1)}
        assert ends and ends <= {mark.count for mark in log.marks}
    result = judged(on(device), program)
    assert (result.outcome, result.warnings) == (Outcome.PASS, ()), why(result)


def test_a_sync_mapping_is_refused_on_virtio_pmem(on: On) -> None:
    """Its stores are durable by a request to the host, which no flush instruction is: MAP_SYNC is not supported."""
    result = judged(on(PmemKind.VIRTIO_PMEM), stored(msync=False, sharing=Sharing.SYNC))
    assert result.outcome is Outcome.SKIP and "mmap m1" in result.error and "ENOTSUP" in result.error


def test_a_store_alone_survives_where_caches_do(on: On) -> None:
    """Through MAP_SYNC on eADR each store is durable by itself, and the oracle asks for it."""
    result = judged(on(PmemKind.EADR), stored(msync=False, sharing=Sharing.SYNC))
    assert (result.outcome, result.unpersisted_lines) == (Outcome.PASS, 0), why(result)


def test_the_media_of_virtio_pmem_are_those_of_the_last_flush(on: On) -> None:
    """Before msync nothing of a store is on the media, after it all; what is stored since is dirty, line by line."""
    dax = Recorder()
    mapping = dax.create("data", size=PMD).mmap()
    mapping.store()
    mapping.msync()
    mapping.store(PAGE, 3 * PAGE)
    dax.cut_power()
    program = dax.program()
    first, second = [stamps.pattern(seq, 1, 0, PAGE, 4 * PAGE) for seq in (1, 2)]
    stores = [index for index, op in enumerate(program.ops) if type(op).__name__ == "Store"]
    with on(PmemKind.VIRTIO_PMEM).execute(Job(program, filesystem.find("ext4"))) as execution:
        cut = execution.cut
        assert isinstance(cut, LoggedCut) and cut.dated
        start = bytes(cut._live.array).index(second)
        assert bytes(cut._media.array[start : start + len(first)]) == first
        assert cut.unpersisted_lines == 3 * PAGE // LINE
        with cut.at(CrashPoint(stores[0])).media as before, cut.at(CrashPoint(stores[0] + 1)).media as after:
            assert not before.array[start : start + len(first)].any()
            assert bytes(after.array[start : start + len(first)]) == first
        assert cut.strict(len(program.ops) - 1) is None
        assert {(one.address, one.fenced) for one in cut._log.completions()} == {(0, True)}


def test_a_promise_without_a_fence_is_a_warning(on: On) -> None:
    """When fences do no more than locked instructions, everything is kept, and the strict verdict says by what."""
    result = judged(on(PmemKind.NVDIMM), stored(msync=True, plant=Plant.NO_FENCE))
    assert (result.outcome, result.violations) == (Outcome.PASS, ()), why(result)
    assert result.warnings and {warning.image for warning in result.warnings} == {"strict"}
    assert all(warning.op is not None for warning in result.warnings)
    assert judged(on(PmemKind.NVDIMM), stored(msync=True)).warnings == ()
