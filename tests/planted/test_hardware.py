"""Hardware that ignores flushes: data that msync promised is lost, and only there."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.cells.cell import cell_on, judge_cell
from harness.fs import filesystem
from harness.memfile import MemFile
from harness.model.judge.result import Outcome
from harness.model.judge.violation import Kind
from harness.model.program.ops import Plant
from harness.model.program.program import Program
from harness.model.program.recorder import Recorder
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire import stamps
from harness.report.words import why
from harness.targets.engines.cut import LoggedCut
from harness.targets.guest import GuestTarget
from harness.targets.target import Job

Place = Callable[[MemFile, int, int, int], int]
WHOLE = 1 << 40


def program(start: int, end: int, stores: int) -> Program:
    """`stores` times store and msync, on a device that ignores flushes of its bytes [start, end)."""
    dax = Recorder()
    if end:
        dax.plant(Plant.IGNORE_FLUSH, start, end)
    mapping = dax.create("data", size=PMD).mmap()
    for _ in range(stores):
        mapping.store()
        mapping.msync()
    dax.cut_power()
    return dax.program()


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_a_device_that_ignores_every_flush(target_6_1: GuestTarget, fs: str) -> None:
    """When no flush counts, the stored file is zero after the cut, and msync is blamed."""
    result = judge_cell(target_6_1, cell_on(target_6_1, "deaf", program(0, WHOLE, 1), filesystem.find(fs))).result
    assert result.outcome is Outcome.FAIL, why(result)
    lost = [violation for violation in result.violations if violation.image == "pessimistic"]
    assert {violation.kind for violation in lost} == {Kind.ZERO}
    assert sum(violation.bytes for violation in lost) == PMD
    assert all(violation.verb == "msync" for violation in lost)
    assert result.unpersisted_lines >= PMD // LINE


@pytest.mark.parametrize(("first", "last"), [(3 * PAGE, 5 * PAGE), (7 * PAGE + LINE, 7 * PAGE + 2 * LINE)])
def test_a_device_that_ignores_some_flushes(
    target_6_1: GuestTarget, place: Place, first: int, last: int
) -> None:
    """When the flushes of some lines of the second store do not count, exactly those lines hold zeroes, as nothing
    of them ever reached the media; every other byte is judged right."""
    system = filesystem.find("ext4")
    with target_6_1.execute(Job(program(0, 0, 2), system)) as execution:
        assert isinstance(execution.cut, LoggedCut)
        start = place(execution.cut._live, 2, 1, first)
    cell = cell_on(target_6_1, "hard of hearing", program(start, start + last - first, 2), system)
    result = judge_cell(target_6_1, cell).result
    assert result.outcome is Outcome.FAIL, why(result)
    (lost,) = [violation for violation in result.violations if violation.image == "pessimistic"]
    assert (lost.kind, lost.ranges) == (Kind.ZERO, ((first, last),))
    assert result.unpersisted_lines == (last - first) // LINE


def test_the_older_store_is_stale(target_6_1: GuestTarget) -> None:
    """When the cut comes before the second msync the first store is what the media hold: a control must lose it."""
    dax = Recorder()
    dax.expect_loss()
    mapping = dax.create("data", size=PMD).mmap()
    mapping.store()
    mapping.msync()
    mapping.store()
    dax.cut_power()
    result = judge_cell(target_6_1, cell_on(target_6_1, "unsynced", dax.program(), filesystem.find("ext4"))).result
    assert result.outcome is Outcome.PASS, why(result)
    (lost,) = [violation for violation in result.violations if violation.image == "pessimistic"]
    assert (lost.kind, lost.bytes) == (Kind.STALE, PMD)


def test_the_media_hold_what_was_flushed(target_6_1: GuestTarget, place: Place) -> None:
    """The pessimistic image holds exactly the bytes that were synced, and the live memory those that were stored."""
    dax = Recorder()
    mapping = dax.create("data", size=PMD).mmap()
    mapping.store()
    mapping.msync()
    mapping.store(PAGE, 3 * PAGE)
    dax.cut_power()
    with target_6_1.execute(Job(dax.program(), filesystem.find("ext4"))) as execution:
        cut = execution.cut
        assert isinstance(cut, LoggedCut)
        start = place(cut._live, 2, 1, PAGE)
        media, live = (bytes(file.array[start : start + 3 * PAGE]) for file in (cut._media, cut._live))
        assert media == stamps.pattern(1, 1, 0, PAGE, 4 * PAGE)
        assert live == stamps.pattern(2, 1, 0, PAGE, 4 * PAGE)
        assert cut.unpersisted_lines == 3 * PAGE // LINE
        assert np.array_equal(cut._dirty, np.arange(start // LINE, (start + 3 * PAGE) // LINE))
