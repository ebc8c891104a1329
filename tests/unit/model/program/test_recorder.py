"""Scenarios record; nothing runs."""

import typing

from harness.model.program import ops
from harness.model.program.ops import (
    Access,
    Advice,
    Entry,
    Going,
    How,
    Mode,
    MsyncFlag,
    Plant,
    Signal,
    Switch,
    Wait,
    Worker,
)
from harness.model.program.program import Expect, format, parse
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


def test_a_created_file_is_durable() -> None:
    """create() makes the name, the size and the blocks durable before anything else happens."""
    dax = Recorder()
    dax.create("data", size=PMD)
    assert dax.program().ops == (
        ops.Create("f1", "data"), ops.Fallocate("f1", Mode.ALLOCATE, 0, PMD), ops.Fsync("f1"), ops.Fsyncdir(),
    )  # fmt: skip


def test_an_empty_file_is_not_allocated() -> None:
    """Without a size there is nothing to allocate."""
    dax = Recorder()
    dax.create("data")
    assert not [op for op in dax.program().ops if isinstance(op, ops.Fallocate)]


def test_ranges_left_out_reach_the_end() -> None:
    """A mapping covers the rest of the file, and a store, load, flush or msync the rest of the mapping."""
    dax = Recorder()
    mapping = dax.create("data", size=4 * PMD).mmap(offset=PMD)
    mapping.store()
    mapping.store(PAGE)
    mapping.load(PAGE, PAGE)
    mapping.flush(PMD)
    mapping.msync()
    assert dax.program().ops[4:] == (
        ops.Mmap("m1", "f1", PMD, 3 * PMD), ops.Store("m1", 0, 3 * PMD), ops.Store("m1", PAGE, 3 * PMD - PAGE),
        ops.Load("m1", PAGE, PAGE), ops.Flush("m1", PMD, 2 * PMD), ops.Msync("m1", 0, 3 * PMD),
    )  # fmt: skip


def test_names_are_unique() -> None:
    """Each descriptor and mapping gets a name of its own, also of the same file."""
    dax = Recorder()
    first = dax.create("data", size=PMD)
    second = dax.open("data", size=PMD)
    names = [first.fd, second.fd, *(file.mmap().name for file in (first, second, first))]
    assert len(set(names)) == 5


def test_everything_recorded_round_trips() -> None:
    """A Program with every method of the recorder in it is valid, and its text gives it back."""
    dax = Recorder()
    dax.expect_loss()
    dax.plant(Plant.IGNORE_FLUSH, 0, PMD)
    file, other = dax.create("data", size=2 * PMD), dax.create_unsynced("other", size=2 * PMD)
    record_mapping(file.mmap(align=PAGE), other)
    record_file(file, other)
    with dax.lane(times=3):
        dax.open("data").fsync()
        dax.barrier()
    with dax.lane(Worker.PROCESS, times=3):
        dax.barrier()
    dax.join()
    file.close()
    other.close()
    record_system(dax)
    dax.cut_power()
    program = dax.program()
    assert parse(format(program)) == program
    assert program.expect is Expect.LOSS
    assert {type(op) for op in program.ops} == set(typing.get_args(ops.Op))


def record_mapping(mapping: Mapping, other: File) -> None:
    mapping.store()
    mapping.load()
    mapping.flush()
    mapping.msync(flag=MsyncFlag.ASYNC)
    mapping.direct_store(0, PAGE)
    mapping.direct_load(0, PAGE)
    mapping.read_into(0, PAGE, other, how=How.DIRECT)
    mapping.madvise(0, PAGE, Advice.DONTNEED)
    mapping.mlock(0, PAGE)
    mapping.mprotect(0, PAGE, Access.READ)
    mapping.expect_mapped(Entry.PTE, 0, PAGE)
    mapping.dax.expect_signal(Signal.SIGSEGV)
    mapping.store(0, 8)
    other.write_from(0, PAGE, mapping)
    mapping.mremap(PMD).munmap()
    mapping.resize(16 * PAGE).map_over(PAGE, other).munmap()
    mapping.munmap()


def record_file(file: File, other: File) -> None:
    file.punch_hole(0, PAGE)
    file.zero_range(0, PAGE, keep_size=True)
    file.collapse_range(0, PAGE)
    file.insert_range(0, PAGE)
    file.unshare_range(0, PAGE)
    file.pwrite(5, 6, How.SYNC)
    file.pread(5, 6)
    file.ftruncate(PMD)
    file.clone_from(other)
    file.clone_range(0, PAGE, other)
    file.dedupe(0, PAGE, other)
    file.copy_range(0, PAGE, other)
    file.exchange_range(0, PAGE, other)
    file.pipe_from(ops.Splice, 0, PAGE, other, 0)
    file.pipe_from(ops.Sendfile, 0, PAGE, other, 0)
    file.dax.expect_errno("EINVAL", "EOPNOTSUPP")
    file.swapext(other)
    file.dax.expect_short(PAGE)
    file.copy_range(0, 2 * PAGE, other)
    file.fsync()
    file.fdatasync()
    file.sync_file_range(0, PAGE, Wait.WRITE_AND_WAIT)
    file.set_dax(Switch.OFF)
    file.expect_dax()


def record_system(dax: Recorder) -> None:
    dax.rename("data", "new")
    dax.link("new", "data")
    dax.unlink("new")
    dax.mkdir("dir")
    dax.fsyncdir("dir")
    dax.rmdir("dir")
    dax.symlink("soft", "data")
    dax.unlink("soft")
    file = dax.tmpfile(size=PAGE)
    file.link_to("third")
    file.close()
    dax.fsyncdir()
    dax.syncfs()
    dax.sync()
    dax.freeze()
    dax.thaw()
    dax.remount("ro")
    dax.shutdown(Going.LOGFLUSH)
    dax.umount()
    dax.mount()
    dax.drop_caches()
    dax.fill(PAGE)
    dax.unfill()
    dax.observe()
