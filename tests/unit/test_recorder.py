"""Scenarios record; nothing runs."""

from harness.model import ops
from harness.model.ops import Entry, Mode, Plant
from harness.model.program import Expect, format, parse
from harness.model.recorder import Recorder
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
    file = dax.create("data", size=2 * PMD)
    mapping = file.mmap(align=PAGE)
    mapping.store()
    mapping.load()
    mapping.flush()
    mapping.msync()
    mapping.expect_mapped(Entry.PTE, 0, PAGE)
    mapping.munmap()
    file.punch_hole(0, PAGE)
    file.pwrite(5, 6)
    file.pread(5, 6)
    file.ftruncate(PMD)
    file.fsync()
    file.fdatasync()
    file.close()
    dax.sync()
    dax.cut_power()
    program = dax.program()
    assert parse(format(program)) == program
    assert program.expect is Expect.LOSS
