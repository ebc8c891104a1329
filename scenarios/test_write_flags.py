"""The flags of pwritev2(2) and preadv2(2): behind the end, without waiting, or all at once."""

import pytest

from harness.model.program.ops import Entry, How, Mode
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


@pytest.mark.quick
def test_append_goes_behind_the_end(dax: Recorder) -> None:
    """RWF_APPEND writes behind the end of the file, wherever its offset is; fsync makes what it wrote durable."""
    file = dax.create("data")
    file.pwrite(0, 5000)
    file.pwrite(0, 3 * PAGE, How.APPEND)
    file.pwrite(100 * PAGE, 1000, How.APPEND)
    file.fsync()
    file.pread(0, 5 * PAGE)
    dax.cut_power()


def test_append_beside_mapping(dax: Recorder, file: File, mapping: Mapping) -> None:
    """What RWF_APPEND adds shows through a mapping that reaches behind the old end; stores to it are durable."""
    longer = file.mmap(length=5 * PMD)
    file.pwrite(0, PMD, How.APPEND)
    longer.load(4 * PMD, PMD)
    longer.store(4 * PMD + PAGE, PAGE)
    mapping.store(0, PMD)
    file.fsync()
    dax.cut_power()


def test_append_after_keep_size(dax: Recorder) -> None:
    """RWF_APPEND goes behind the size, not behind the blocks that were allocated past it."""
    file = dax.create("data", size=2 * PAGE)
    file.fallocate(Mode.KEEP_SIZE, 2 * PAGE, 16 * PAGE)
    file.pwrite(0, PAGE, How.APPEND)
    file.fdatasync()
    dax.cut_power()


def test_nowait_over_dirty_pmd(dax: Recorder, file: File, mapping: Mapping) -> None:
    """RWF_NOWAIT writes over a part of a dirty PMD, or answers EAGAIN and writes nothing; fsync makes all durable."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.pwrite(16 * PAGE, 4 * PAGE, How.NOWAIT)
    file.fsync()
    file.pread(0, PMD, How.NOWAIT)
    mapping.load(0, PMD)
    dax.cut_power()


def test_nowait_where_blocks_are_missing(dax: Recorder, sparse: File) -> None:
    """RWF_NOWAIT into a hole and past the end writes, in whole or in part, or answers EAGAIN and leaves both alone."""
    sparse.pwrite(PMD + 1000, 3 * PAGE, How.NOWAIT)
    sparse.pwrite(4 * PMD - PAGE, 2 * PAGE, How.NOWAIT)
    sparse.fsync()
    sparse.pread(0, PMD + 8 * PAGE, How.NOWAIT)
    dax.cut_power()


@pytest.mark.quick
def test_atomic_write_is_refused(dax: Recorder, file: File, mapping: Mapping) -> None:
    """RWF_ATOMIC, which no DAX file has, is refused and writes nothing; what was dirty there stays so."""
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    dax.expect_errno("EOPNOTSUPP", "EINVAL")
    file.pwrite(16 * PAGE, PAGE, How.ATOMIC)
    file.fsync()
    dax.cut_power()
