"""Brings the fixture `dax` and the options --kernel, --fs, ...; only here, so that the unit tests need no kernel.

Beside it stand the files that most scenarios begin with. A scenario loads after its sync, not before: Linux 6.1
marks an entry dirty that a read faults in (fs/dax.c, dax_insert_entry), so a load would hide what it had forgotten.
tests/unit/scenarios/test_hidden_losses.py holds them all to it.
"""

from dataclasses import replace

import pytest

from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD

pytest_plugins = ["harness.pytestplugin.hooks"]


@pytest.fixture
def file(dax: Recorder) -> File:
    """A file of 4 PMDs, allocated and never written to; its name, size and blocks are durable."""
    return dax.create("data", size=4 * PMD)


@pytest.fixture
def mapping(file: File) -> Mapping:
    """Map all of `file` by PMD entries, store to it, and make that durable."""
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    return mapping


@pytest.fixture
def small(file: File) -> Mapping:
    """Map all of `file` by PTEs, so that the kernel keeps an entry per page too, store to it, and make that durable."""
    small = file.mmap(align=PAGE)
    small.store()
    small.msync()
    return small


@pytest.fixture
def sparse(dax: Recorder) -> File:
    """A file of 4 PMDs without a block; its name and size are durable."""
    file = dax.create("data")
    file.ftruncate(4 * PMD)
    file.fsync()
    return replace(file, size=4 * PMD)
