"""The rules of the contract, one law each. That they compose is for test_oracle_bruteforce."""

import errno

from harness.model.contract.allowed import Allowed
from harness.model.contract.filestate import FileState, Span
from harness.model.contract.oracle import at_cut, run
from harness.model.contract.state import NameState, State
from harness.model.judge.reads import expected_read
from harness.model.program.ops import (
    Create,
    CutPower,
    Fallocate,
    Fdatasync,
    Flush,
    Freeze,
    Fsync,
    Fsyncdir,
    Ftruncate,
    Load,
    Mmap,
    Mode,
    Msync,
    Munmap,
    Op,
    Pread,
    Pwrite,
    Sharing,
    Store,
    Sync,
    Syncfs,
)
from harness.model.program.program import VERBS, Expect, Program, parse
from harness.model.units import PAGE, PMD
from harness.model.wire.observation import OpResult, Stamp, Zero

ZERO = Zero()
CREATE = Create("f", "data")
MMAP = Mmap("m", "f", 0, 2 * PMD)
FILE = (CREATE, Fallocate("f", Mode.ALLOCATE, 0, 2 * PMD), Fsync("f"), Fsyncdir(), MMAP)
EVERY_OP = parse("""daxcheck program 1
plant ignore_flush 0 2M
create f data
open g data
pwrite f 0 8
pread g 0 8
close g
fallocate f allocate 0 2M
ftruncate f 4M
set_dax f on
create h other
clone_file h f
clone h 0 4K f 0
dedupe h 0 4K f 0
copy_file_range h 8K 4K f 0
splice h 8K 4K f 0
sendfile h 8K 4K f 0
exchange_range h 0 4K f 0
swapext h f
mmap m f 0 4M
read_into m 0 4K h 0
write_from h 0 4K m 0
direct_store m 0 4K
direct_load m 0 4K
mlock m 0 4K
mprotect m 0 4K read
madvise m 0 4K dontneed
store m 0 8
load m 0 8
flush m 0 8
expect_mapped m pmd 0 8
expect_dax f on
msync m 0 8
sync_file_range f 0 4K
fdatasync f
fsync f
fsyncdir
syncfs
sync
freeze
thaw
remount ro
fill 4K
unfill
observe
lane a
store m 0 8
barrier
lane b times=1
barrier
pread f 0 8
join
mresize m 2M
mmap_over m 1M o f 4K
munmap o
mremap m 4K n
munmap m
munmap n
mkdir dir
rmdir dir
symlink soft data
unlink soft
tmpfile t
link_fd t third
close t
rename data old
link old data
unlink old
expect_errno EINVAL
fallocate f collapse_range 0 100
expect_short 100
pwrite f 0 4K
mmap x f 0 4K
expect_signal SIGBUS
store x 0 8
munmap x
fsyncdir
shutdown nologflush
close f
close h
umount
drop_caches
mount
cut_power
""").ops


def after(*ops: Op, errnos: dict[int, int] | None = None) -> State:
    return run(Program(ops), failed(errnos or {}))[-1]


def failed(errnos: dict[int, int]) -> list[OpResult]:
    return [OpResult(index, number) for index, number in errnos.items()]


def data(state: State) -> FileState:
    file = state.file("data")
    assert file is not None
    return file


def byte(state: State, offset: int) -> Allowed:
    return data(state).contents.at(offset)


def durable(state: State, offset: int) -> set[object]:
    return set(byte(state, offset).durable)


def test_every_op_has_a_rule() -> None:
    """No op can be added that the oracle does not know: each is interpreted, whether it worked or failed."""
    assert {type(op) for op in EVERY_OP} == set(VERBS.values())
    assert len(run(Program(EVERY_OP))) == len(EVERY_OP)
    for index in range(len(EVERY_OP)):
        for result in (OpResult(index, errno.EIO), OpResult(index, errno.EINVAL), OpResult(index, signal=7)):
            assert len(run(Program(EVERY_OP), [result])) == len(EVERY_OP)
    assert run(Program(())) == ()


def test_every_mode_has_a_rule() -> None:
    """No fallocate mode leaves the oracle without an answer."""
    for mode in Mode:
        after(*FILE, Fallocate("f", mode, PAGE, PAGE))


def test_a_failed_op_changes_and_promises_nothing() -> None:
    """An op that returned an errno leaves the state as it was, and so do ops on a name it was to define."""
    ops = (*FILE, Store("m", 0, PAGE), Msync("m", 0, PAGE))
    assert after(*ops, errnos={6: errno.EIO}) == after(*ops[:-1])
    assert after(*ops, errnos={4: errno.ENOMEM}) == after(*FILE[:-1])
    assert after(*ops, errnos={0: errno.EEXIST}).files == {}


def test_a_store_may_or_may_not_be_durable() -> None:
    """A shared store shows at once and is promised by nothing until a sync covers it."""
    state = after(*FILE, Store("m", PAGE, 8))
    assert byte(state, PAGE).current == {Stamp(1, 1)}
    assert durable(state, PAGE) == {ZERO, Stamp(1, 1)}
    assert durable(state, PAGE + 8) == {ZERO}


def test_msync_promises_whole_pages_of_its_range() -> None:
    """msync makes the pages it touches durable and says nothing of others."""
    state = after(*FILE, Store("m", 0, 3 * PAGE), Msync("m", PAGE, 1))
    assert durable(state, PAGE - 1) == {ZERO, Stamp(1, 1)}
    assert durable(state, PAGE) == durable(state, 2 * PAGE - 1) == {Stamp(1, 1)}
    assert byte(state, PAGE).promised_by == 6
    assert durable(state, 2 * PAGE) == {ZERO, Stamp(1, 1)}


def test_msync_promises_the_size_it_needs() -> None:
    """After msync the file is long enough to read the range back; how much longer stays open."""
    grown = (CREATE, Ftruncate("f", PAGE), Fsync("f"), Fallocate("f", Mode.ALLOCATE, 0, 4 * PAGE), MMAP)
    assert data(after(*grown)).sizes == {Span(PAGE, PAGE), Span(PAGE, 4 * PAGE)}
    synced = data(after(*grown, Store("m", PAGE, PAGE), Msync("m", PAGE, PAGE)))
    assert synced.sizes == {Span(2 * PAGE, 4 * PAGE)}
    assert synced.size_by == 6


def test_a_name_is_durable_by_its_directory() -> None:
    """Neither fsync nor msync of a file promises its name: fsync of the directory or sync does."""
    assert after(CREATE, Fsync("f")).name("data") == NameState(1, frozenset({None, 1}))
    for sync in (Fsyncdir(), Sync(), Syncfs(), Freeze()):
        assert after(CREATE, sync).name("data") == NameState(1, frozenset({1}), 1)
    assert after(CREATE, Fsyncdir(), Sync()).name("data").promised_by == 1


def test_fsync_and_fdatasync_promise_everything() -> None:
    """Either makes all contents and the size certain, also what was stored through a mapping that is gone."""
    for sync in (Fsync("f"), Fdatasync("f"), Sync()):
        state = after(*FILE, Store("m", 0, PAGE), Munmap("m"), Ftruncate("f", PMD), sync)
        assert durable(state, 0) == {Stamp(1, 1)}
        assert durable(state, PMD) == {ZERO}
        assert data(state).sizes == {Span(PMD, PMD)}


def test_a_hole_in_a_dirty_entry_takes_no_promise_from_the_rest() -> None:
    """Stored, punched, msynced: the hole is zero and all that surrounds it is the store."""
    state = after(*FILE, Store("m", 0, PMD), Fallocate("f", Mode.PUNCH_HOLE, 16 * PAGE, PAGE), Msync("m", 0, PMD))
    assert durable(state, 16 * PAGE) == {ZERO}
    assert {frozenset(durable(state, page * PAGE)) for page in range(512) if page != 16} == {frozenset({Stamp(1, 1)})}


def test_truncated_data_may_resurface_until_synced() -> None:
    """Cut off and grown again, a place reads zero, and may still hold the old data on the media."""
    ops = (*FILE, Store("m", 0, PMD), Fsync("f"), Ftruncate("f", 100), Ftruncate("f", PMD))
    state = after(*ops)
    assert byte(state, 100).current == {ZERO}
    assert durable(state, 100) == {ZERO, Stamp(1, 1)}
    assert durable(state, 99) == {Stamp(1, 1)}
    assert data(state).sizes == {Span(100, 100), Span(PMD, PMD), Span(2 * PMD, 2 * PMD)}
    assert durable(after(*ops, Fsync("f")), 100) == {ZERO}


def test_stores_past_the_end_are_no_contents() -> None:
    """What is stored past the end of the file in its last page does not show when the file grows."""
    state = after(CREATE, Ftruncate("f", 100), MMAP, Store("m", 0, 200), Ftruncate("f", PAGE))
    assert byte(state, 99).current == {Stamp(1, 1)}
    assert byte(state, 100) == Allowed()


def test_collapsed_data_moves_with_its_stamp() -> None:
    """After a collapse a byte is what followed it, or until synced what it was, or a hole."""
    ops = (*FILE, Store("m", 0, PAGE), Store("m", PAGE, PAGE), Fsync("f"), Fallocate("f", Mode.COLLAPSE_RANGE, 0, PAGE))
    assert byte(after(*ops), 0).current == {Stamp(2, 1, -PAGE)}
    assert durable(after(*ops), 0) == {Stamp(1, 1), Stamp(2, 1, -PAGE), ZERO}
    assert durable(after(*ops, Fsync("f")), 0) == {Stamp(2, 1, -PAGE)}
    assert data(after(*ops)).now == {Span(2 * PMD - PAGE, 2 * PMD - PAGE)}


def test_inserted_space_is_a_hole() -> None:
    """After an insert the range is zero and what was there follows it."""
    state = after(*FILE, Store("m", 0, 2 * PAGE), Fallocate("f", Mode.INSERT_RANGE, PAGE, PMD), Fsync("f"))
    assert durable(state, PAGE) == {ZERO}
    assert durable(state, PAGE + PMD) == {Stamp(1, 1, PMD)}
    assert durable(state, 0) == {Stamp(1, 1)}


SYNC_FILE = (*FILE[:-1], Mmap("y", "f", 0, 2 * PMD, Sharing.SYNC), MMAP)


def test_flush_is_enough_with_map_sync() -> None:
    """Through MAP_SYNC store, clwb and fence make the whole lines durable, with the size; nothing else does."""
    state = after(*SYNC_FILE, Store("y", 0, PAGE), Flush("y", 100, 1))
    assert durable(state, 63) == durable(state, 128) == {ZERO, Stamp(1, 1)}
    assert durable(state, 64) == durable(state, 127) == {Stamp(1, 1)}
    assert durable(after(*SYNC_FILE, Store("m", 0, PAGE), Flush("m", 0, PAGE)), 0) == {ZERO, Stamp(1, 1)}


def test_flush_needs_a_page_mapped_writably() -> None:
    """A page never stored to through the MAP_SYNC mapping, or whose blocks changed since, is not covered."""
    assert durable(after(*SYNC_FILE, Store("m", 0, PAGE), Flush("y", 0, PAGE)), 0) == {ZERO, Stamp(1, 1)}
    punched = (*SYNC_FILE, Store("y", 0, PAGE), Flush("y", 0, PAGE), Fallocate("f", Mode.PUNCH_HOLE, 0, PAGE))
    assert durable(after(*punched, Flush("y", 0, PAGE)), 0) == {ZERO, Stamp(1, 1)}
    assert durable(after(*SYNC_FILE, Store("y", 0, 8), Store("m", 8, 8), Flush("y", 8, 8)), 8) == {Stamp(2, 1)}


def read(state: State, op: Load | Pread) -> list[tuple[int, int, set[object]]]:
    return [(run.start, run.end, set(run.sources)) for run in expected_read(state, op).expected]


def test_private_stores_stay_private() -> None:
    """A private store changes no file, shows in its own mapping, and survives holes punched under it."""
    ops = (*FILE, Mmap("p", "f", 0, PMD, Sharing.PRIVATE), Store("p", 8, 8), Msync("p", 0, PAGE))
    assert byte(after(*ops), 8) == byte(after(*FILE), 8)
    for tail in ((), (Fallocate("f", Mode.PUNCH_HOLE, 0, PAGE),), (Pwrite("f", 0, PAGE), Fsync("f"))):
        state = after(*ops, *tail)
        assert read(state, Load("p", 0, 16)) == [(0, 8, {ZERO}), (8, 16, {Stamp(1, 1)})]
    state = after(*ops, Pwrite("f", PAGE, 8))
    assert read(state, Load("p", PAGE, 8)) == [(PAGE, PAGE + 8, {ZERO, Stamp(2, 1)})]
    assert read(state, Pread("f", PAGE, 8)) == [(PAGE, PAGE + 8, {Stamp(2, 1)})]


def test_reads_end_with_the_file() -> None:
    """Nothing is expected of bytes past the end, nor of names that do not exist."""
    state = after(CREATE, Ftruncate("f", 100), Mmap("m", "f", 0, PAGE))
    assert read(state, Pread("f", 50, 100)) == [(50, 100, {ZERO})]
    assert read(state, Pread("f", 100, 8)) == read(state, Load("m", 200, 8)) == []
    assert read(state, Load("other", 0, 8)) == read(state, Pread("other", 0, 8)) == []


def test_mappings_count_from_their_offset() -> None:
    """Offsets in a mapping are offsets in the file less the mapping's own."""
    state = after(*FILE, Mmap("n", "f", PMD, PMD), Store("n", PAGE, 8), Msync("n", PAGE, 8))
    assert durable(state, PMD + PAGE) == {Stamp(1, 1)}
    assert read(state, Load("n", PAGE, 8)) == [(PMD + PAGE, PMD + PAGE + 8, {Stamp(1, 1)})]


def test_a_control_is_judged_as_though_synced() -> None:
    """A Program that expects a loss is held to what a sync at the cut would have promised, by name of the cut."""
    ops = (CREATE, MMAP, Pwrite("f", 0, PAGE), CutPower())
    state = at_cut(Program(ops, Expect.LOSS), run(Program(ops)))
    assert durable(state, 0) == {Stamp(1, 1)}
    assert byte(state, 0).promised_by == 3
    assert state.name("data").durable == {1}
    assert at_cut(Program(ops), run(Program(ops))) == run(Program(ops))[-1]


def test_a_log_that_is_not_there_promises_nothing() -> None:
    """A shutdown that flushes the log makes names durable, but not on a file system without a journal."""
    program = parse("daxcheck program 1\ncreate f data\npwrite f 0 4K\nshutdown logflush\n")
    with_log, without = (run(program, journal=journal)[-1].name("data") for journal in (True, False))
    assert (with_log.durable, without.durable) == (frozenset({1}), frozenset({None, 1}))
