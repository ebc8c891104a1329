"""Copies from DAX file to DAX file through a pipe: splice(2) in two steps, sendfile(2) in one call."""

import pytest

from harness.model.program.ops import Entry, Sendfile, Splice
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

KINDS = (Splice, Sendfile)
Kind = type[Splice | Sendfile]


@pytest.mark.quick
@pytest.mark.parametrize("kind", KINDS)
def test_dirty_pmd_through_pipe(dax: Recorder, file: File, mapping: Mapping, kind: Kind) -> None:
    """What was stored last arrives, and fsync of the target makes it durable; the source stays dirty."""
    other = dax.create("other", size=2 * PMD)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    other.pipe_from(kind, 16 * PAGE, 40 * PAGE, file, 8 * PAGE)
    other.fsync()
    file.fsync()
    other.pread(0, 64 * PAGE)
    dax.cut_power()


@pytest.mark.parametrize("kind", KINDS)
def test_pipe_into_dirty_pmd(dax: Recorder, file: File, mapping: Mapping, kind: Kind) -> None:
    """A copy over a part of a dirty PMD shows through its mapping; fsync makes the copy and the rest durable."""
    other = dax.create("other", size=PMD)
    other.pwrite(0, PMD)
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.pipe_from(kind, 32 * PAGE, 20 * PAGE, other, 512)
    file.fsync()
    mapping.load(0, PMD)
    dax.cut_power()


@pytest.mark.parametrize("kind", KINDS)
def test_pipe_past_the_end(dax: Recorder, file: File, mapping: Mapping, kind: Kind) -> None:
    """A copy ends with its source, and makes the target longer; holes of the source arrive as zeroes."""
    source = dax.create("source")
    source.ftruncate(20 * PAGE + 1000)
    source.pwrite(18 * PAGE, PAGE)
    target = dax.create("target")
    target.pwrite(0, 3000)
    target.pipe_from(kind, 2 * PAGE, 40 * PAGE, source, PAGE)
    target.fsync()
    target.pread(0, 32 * PAGE)
    dax.cut_power()
