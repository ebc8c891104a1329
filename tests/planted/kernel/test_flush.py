"""A kernel that forgets to flush what it promised: exactly that is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.kernel.kernel import Kernel
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition
from harness.model.judge.violation import Kind, Violation
from harness.model.program.ops import Msync, Store
from harness.model.program.program import Program
from harness.model.setting.hardware import PmemKind
from harness.model.units import PAGE, PMD
from harness.pytestplugin import recording
from harness.report.words import why
from harness.targets import provision
from harness.targets.guest import GuestTarget
from harness.vm.machine import Qemu

Judged = Callable[..., CellResult]
Scenes = Callable[..., Program]
RETURN, RETURN_0 = "c3", "31c0 c3"
XFS = pytest.param("xfs", marks=pytest.mark.nightly)
ROOM, MORE_ROOM = "hibernation_snapshot", "hibernation_restore"
"""Functions that no guest calls, whose text has room for a detour."""
DETOUR = f"e8 @{ROOM}"
"""Put over the 5 bytes at the start of each traceable function that do nothing: it goes on after the detour."""
ONE_PAGE = {
    # Of a range below PMD, its start in the unused i_acl of the device's inode, made odd, as "not cached" is; else -1:
    # mov 24(%rdx), %rax; sub 16(%rdx), %rax; cmp $PMD, %rax; mov 16(%rdx), %rax; jb +4; or $-1, %rax; or $1, %rax;
    # mov %rax, 16(%rsi); ret
    ROOM: "488b4218 482b4210 483d00002000 488b4210 7204 4883c8ff 4883c801 48894610 c3",
    "dax_writeback_mapping_range": DETOUR,
    # mov 16(%rdi), %rax; cmp $-1, %rax; je ret; and $(PMD - PAGE), %eax; cmp $PMD, %rdx; jne ret; add %rax, %rsi;
    # mov $PAGE, %edx; ret
    MORE_ROOM: "488b4710 4883f8ff 7416 2500f01f00 4881fa00002000 7508 4801c6 ba00100000 c3",
    "dax_flush": f"e8 @{MORE_ROOM}",
}
"""Of a PMD entry a sync of a smaller range flushes the first page of the range only, and cleans all of it."""
SCENARIOS = Path(__file__).resolve().parents[3] / "scenarios"


def lost(result: CellResult) -> list[Violation]:
    """What the pessimistic image shows, once nothing else was found wrong."""
    assert result.outcome is Outcome.FAIL, why(result)
    assert {violation.image for violation in result.violations} <= {"pessimistic", "evicted", "random:1"}
    return [violation for violation in result.violations if violation.image == "pessimistic"]


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_nothing_planted(target_6_1: GuestTarget, scenes: Scenes, fs: str) -> None:
    """All Programs that the tests of this directory spoil, as one, pass on the kernel as it is."""
    result = judge_cell(target_6_1, cell_on(target_6_1, "sound", scenes(), filesystem.find(fs))).result
    assert result.outcome is Outcome.PASS, why(result)


@pytest.mark.parametrize(
    ("function", "code", "fs"),
    [
        pytest.param("dax_writeback_mapping_range", RETURN_0, "ext4", marks=pytest.mark.nightly),
        ("dax_writeback_mapping_range", RETURN_0, "xfs"),
        ("dax_flush", RETURN, "ext4"),
        pytest.param("dax_flush", RETURN, "xfs", marks=pytest.mark.nightly),
        pytest.param("arch_wb_cache_pmem", RETURN, "ext4", marks=pytest.mark.nightly),
    ],
)
def test_a_sync_that_flushes_nothing(judged: Judged, scenes: Scenes, function: str, code: str, fs: str) -> None:
    """A sync without its flush leaves the older store on the media, and the msync is named."""
    (loss,) = lost(judged(scenes("mapped"), {function: code}, fs))
    assert (loss.kind, loss.ranges) == (Kind.STALE, ((0, 64 * PAGE),))
    assert loss.verb == "msync"


def test_a_sync_that_flushes_one_page_of_a_pmd(judged: Judged, scenes: Scenes) -> None:
    """A flush of the first page of an entry only loses the others."""
    one_page = {ROOM: "ba00100000 c3", "dax_flush": DETOUR}  # mov $0x1000, %edx
    (loss,) = lost(judged(scenes("mapped"), one_page))
    assert (loss.kind, loss.ranges) == (Kind.STALE, ((PAGE, 64 * PAGE),))


def test_a_sync_of_one_page_that_cleans_all_of_a_pmd(judged: Judged) -> None:
    """The rest of the entry is lost at the next fsync. A store in between would make all of it dirty anew."""
    program = recording.record("sync_calls::msync_of_one_page_in_pmd", SCENARIOS).program
    (loss,) = lost(judged(program, ONE_PAGE))
    assert (loss.kind, loss.ranges) == (Kind.STALE, ((0, 100 * PAGE), (101 * PAGE, PMD)))
    assert loss.verb == "fsync"
    (at,) = [index for index, op in enumerate(program.ops) if isinstance(op, Msync)]
    hiding = Program((*program.ops[: at + 1], Store("m1", 100 * PAGE, 2 * PAGE), *program.ops[at + 1 :]))
    assert judged(hiding, ONE_PAGE).outcome is Outcome.PASS


@pytest.mark.parametrize("fs", ["ext4", XFS])
def test_a_sync_that_does_not_write_protect(judged: Judged, scenes: Scenes, fs: str) -> None:
    """Without write protection the next store is not noticed: that one is lost, the one before is not."""
    (loss,) = lost(judged(scenes("mapped", "again"), {"pfn_mkclean_range": RETURN_0}, fs))
    assert (loss.kind, loss.path, loss.ranges) == (Kind.STALE, "again", ((3 * PAGE, 4 * PAGE),))


def test_a_sync_that_does_not_write_protect_small_mappings(judged: Judged, scenes: Scenes) -> None:
    """A mapping smaller than a PMD that stays writable: only what is stored through it after the sync is lost."""
    # mov 8(%rcx), %rax; sub (%rcx), %rax; cmp $PMD, %rax; jb +1; ret; pop %rax; xor %eax, %eax; ret
    small = {ROOM: "488b4108 482b01 483d00002000 7201 c3 58 31c0 c3", "pfn_mkclean_range": DETOUR}
    (loss,) = lost(judged(scenes("again", "two"), small))
    assert (loss.kind, loss.path, loss.ranges) == (Kind.STALE, "two", ((3 * PAGE, 4 * PAGE),))


@pytest.mark.parametrize("fs", ["ext4", XFS])
def test_a_write_whose_edges_stay_in_the_cache(judged: Judged, scenes: Scenes, fs: str) -> None:
    """Non-temporal stores write whole words only: of a write without a flush of its edges exactly those are lost."""
    edges = lost(judged(scenes("unaligned"), {"clean_cache_range": RETURN}, fs))
    ranges = sorted(piece for loss in edges for piece in loss.ranges)
    assert ranges == [(PAGE + 3, PAGE + 8), (PAGE + 96, PAGE + 103), (3 * PAGE + 61, 3 * PAGE + 65)]
    assert {loss.kind for loss in edges} == {Kind.STALE} and all(loss.verb == "fsync" for loss in edges)


def test_a_write_that_stays_in_the_cache(judged: Judged, scenes: Scenes) -> None:
    """A write that copies as to any memory is lost as a whole."""
    losses = lost(judged(scenes("unaligned"), {"__copy_user_flushcache": "e9 @_copy_from_user"}))
    assert {loss.kind for loss in losses} == {Kind.ZERO}
    assert sum(loss.bytes for loss in losses) == 16 * PAGE


def test_a_map_sync_fault_that_does_not_sync(judged: Judged, scenes: Scenes) -> None:
    """A MAP_SYNC fault that does not commit its blocks: what was flushed by the user lies nowhere in the file."""
    (loss,) = lost(judged(scenes("user"), {"vfs_fsync_range": RETURN_0}))
    assert (loss.kind, loss.path, loss.ranges) == (Kind.ZERO, "user", ((0, 16 * PAGE),))
    assert loss.verb == "flush"


def test_a_journal_without_a_barrier(judged: Judged, scenes: Scenes) -> None:
    """Without the fence of the flush request what was written is persistent by the next locked instruction: that is no
    loss, and a warning that the strict verdict gives."""
    result = judged(scenes("grown"), {"nvdimm_flush": RETURN_0})
    assert result.outcome is Outcome.PASS, why(result)
    assert {(warning.kind, warning.path) for warning in result.warnings} == {(Kind.SIZE, "grown")}


@pytest.mark.nightly
def test_a_flush_request_that_reaches_no_host(judged: Judged, scenes: Scenes, kernel_6_1: Kernel, qemu: Qemu) -> None:
    """On virtio-pmem nothing is durable before the host has answered a flush: without one all is lost."""
    target = provision.target(kernel_6_1, qemu, print, PmemKind.VIRTIO_PMEM)
    losses = lost(judged(scenes("mapped", "grown"), {"virtio_pmem_flush": RETURN_0}, target=target))
    assert {(loss.kind, loss.path, loss.found) for loss in losses} == {
        (Kind.SIZE, "mapped", Condition.MISSING), (Kind.SIZE, "grown", Condition.MISSING),
    }  # fmt: skip
