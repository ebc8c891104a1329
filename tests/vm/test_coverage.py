"""Blocks that ran: of a small guest without a kernel to the byte, of a kernel by the functions that were entered."""

import dataclasses
from pathlib import Path
from typing import Any, Protocol

import pytest

from harness.coverage.areas import AREAS, FUNCTIONS
from harness.coverage.blockmap import BlockMap
from harness.errors import InfraError
from harness.fs import filesystem
from harness.kernel.kernel import Kernel
from harness.media.log import PersistLog
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import PAGE, PMD
from harness.model.wire.block import CodeRange, source_name
from harness.targets import provision
from harness.targets.blockrecorder import BlockRecorder
from harness.targets.guest import GuestTarget
from harness.targets.plugintracker import PluginTracker
from harness.targets.runner import may_stay
from harness.targets.target import Execution, Job
from harness.vm.machine import Qemu

MARK = ".byte 0x0f, 0x1f, 0x84, 0x00, 0x58, 0x41, 0x44, 0x5d"
IMAGE = CodeRange(0x100000, "image", 0x10000)
"""Where QEMU puts the small guest."""
NOTED = "; ".join(f"lea {n}0f(%rip), %rax; mov %rax, {0x100000 + 8 * n}(%r15)" for n in range(1, 5))
BODY = f"""
    {NOTED}; jmp 10f
10: nop; xor %edi, %edi; {MARK}; jmp 20f
30: nop; jmp 40f
20: movb $1, (%r15); clwb (%r15); sfence; jmp 40f
40: mov $1, %edi; {MARK}
"""


class Rig(Protocol):
    """What conftest's rig can do."""

    path: Path

    def run(self, body: str, **options: Any) -> PersistLog: ...


def labels(rig: Rig) -> dict[int, int]:
    """The addresses of the labels, as the guest has noted them."""
    noted = (rig.path / "nvdimm").read_bytes()[0x100000 : 0x100000 + 64]
    return {at: int.from_bytes(noted[8 * at : 8 * at + 8], "little") for at in range(1, 5)}


def test_blocks_between_the_marks_are_told(rig: Rig) -> None:
    """Block 1 ran before the Program began and 3 never did; 2 and 4 did. The log is the same as without coverage."""
    with BlockMap([IMAGE]) as covered, rig.run(BODY, coverage=covered.file) as log, rig.run(BODY) as plain:
        at = labels(rig)
        ran = covered.addresses()
        assert [number for number, address in at.items() if address in ran] == [2, 4]
        assert covered.begun == 1
        assert list(log) == list(plain) and log.counters == plain.counters


def test_only_chosen_code_counts(rig: Rig) -> None:
    """Where the ranges leave a block out, or hold nothing that runs, nothing is told."""
    with rig.run(BODY):
        at = labels(rig)
    with BlockMap([CodeRange(at[4], "four", 1)]) as one, rig.run(BODY, coverage=one.file):
        assert one.addresses() == [at[4]]
    with BlockMap([CodeRange(0x200000, "elsewhere", 64)]) as none, rig.run(BODY, coverage=none.file):
        assert (none.addresses(), none.begun) == ([], 1)


def test_both_cpus_count(rig: Rig) -> None:
    """What another CPU runs is told, and a full map says so."""
    body = f"xor %edi, %edi; {MARK}; tell 1; await 2; mov $1, %edi; {MARK}"
    other = "lea 7f(%rip), %rax; mov %rax, 0x100008(%r15); await 1; jmp 7f; 7: nop; tell 2"
    with BlockMap([IMAGE]) as covered, rig.run(body, other=other, coverage=covered.file):
        assert labels(rig)[1] in covered.addresses()
    with BlockMap([IMAGE], 4) as small:
        rig.run(body, other=other, coverage=small.file).close()
        with pytest.raises(InfraError, match="choose fewer functions"):
            small.addresses()


@pytest.mark.parametrize("spoil", [0, 8, 16, 24])
def test_a_map_that_is_none_is_refused(rig: Rig, spoil: int) -> None:
    """QEMU does not start: no CPU ever ran. Its exit code is that of the small guest."""
    with BlockMap([IMAGE]) as covered:
        covered.file.array[spoil : spoil + 4] = 255
        with rig.run(BODY, coverage=covered.file) as log:
            assert log.counters.vcpus == 0


def program(*, hole: bool, pages: int = 4) -> Program:
    dax = Recorder()
    file = dax.create("data", size=PMD)
    file.pwrite(0, pages * PAGE)
    file.fsync()
    if hole:
        file.punch_hole(PAGE, PAGE)
    dax.cut_power()
    return dax.program()


def entered(execution: Execution) -> set[str]:
    assert execution.cut is not None and execution.blocks is not None
    return {source_name(block.function) for block in execution.blocks}


def executed(target: GuestTarget, *jobs: Job) -> list[tuple[int, set[str]]]:
    """What each job entered, and how many Programs its guest had run before; the guest stays where it may."""
    told = []
    with target:
        for job in jobs:
            with target.execute(job) as execution:
                told.append((execution.before, entered(execution)))
    return told


def job(*, hole: bool) -> Job:
    """A job that may be done by a guest that has done others."""
    found = (Job(program(hole=hole, pages=pages), filesystem.find("ext4")) for pages in range(2, 20))
    return next(one for one in found if may_stay(one))


HOLE = {"ext4_punch_hole", "dax_layout_busy_page_range", "truncate_inode_pages_range", "ext4_ext_remove_space"}


@pytest.fixture(scope="session")
def covering(kernel_6_1: Kernel, qemu: Qemu) -> GuestTarget:
    return provision.target(kernel_6_1, qemu, print, coverage=True)


def test_a_program_enters_what_it_calls(covering: GuestTarget) -> None:
    """A punched hole enters the functions for it, a Program without does not, whether its guest has run the other or is
    a fresh one, beside which that one stays; and what all do they all enter."""
    plain, holed = job(hole=False), job(hole=True)
    fresh = dataclasses.replace(holed, fresh=True)
    told = executed(covering, plain, holed, plain, fresh, holed, plain)
    assert [before for before, _ in told] == [0, 1, 2, 0, 3, 4]
    for number, (_, functions) in enumerate(told):
        assert functions & HOLE == (HOLE if number in (1, 3, 4) else set()), number
        assert functions >= {"ext4_sync_file", "vfs_fallocate", "dax_iomap_rw"}
        assert functions <= FUNCTIONS and not functions & AREAS["xfs"]


def test_blocks_lie_in_their_functions(covering: GuestTarget) -> None:
    """Each begins within the bytes of a function that the kernel has."""
    with covering.execute(Job(program(hole=True), filesystem.find("ext4"))) as execution:
        assert execution.code is not None
        assert "ext4_punch_hole" in execution.code.present
        sizes = {one.name: one.size for one in execution.code.ranges}
        assert all(0 <= block.offset < sizes[block.function] for block in execution.blocks or ())


def test_wrong_addresses_enter_nothing(covering: GuestTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: with functions looked for where they are not, none of the hole's is entered."""
    ask = GuestTarget._functions

    def elsewhere(self: GuestTarget, *words: Any) -> tuple[CodeRange, ...]:
        return tuple(dataclasses.replace(one, start=one.start ^ 1 << 40) for one in ask(self, *words))

    monkeypatch.setattr(GuestTarget, "_functions", elsewhere)
    tracker = covering.tracker
    assert isinstance(tracker, PluginTracker)
    fresh = PluginTracker(tracker.plugin, covering.plan.hardware, BlockRecorder(FUNCTIONS))
    target = GuestTarget(covering.kernel, covering.plan, fresh, print)
    with target.execute(Job(program(hole=True), filesystem.find("ext4"))) as execution:
        assert entered(execution) == set()


def test_without_coverage_nothing_is_told(target_6_1: GuestTarget) -> None:
    """A target that was not asked to record says so: None is not the same as no block."""
    with target_6_1.execute(Job(program(hole=True), filesystem.find("ext4"))) as execution:
        assert (execution.blocks, execution.code) == (None, None)
