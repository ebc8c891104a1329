"""MAP_FIXED over a part of another mapping, by a toy machine that leaves the old one there (conftest.py)."""

from collections.abc import Callable
from typing import Any

from harness.model.judge.result import CellResult, Outcome
from harness.report.words import why

Toy = Callable[..., Any]
Judged = Callable[..., CellResult]

TEXT = """\
create f data
pwrite f 0 16K
create g other
pwrite g 0 16K
fsync f
fsync g
fsyncdir
mmap m f 0 16K align=4K
mmap_over m 8K n g 4K
store n 0 4K
msync n 0 4K
cut_power"""
OVER = 8
"""The index of the op."""


def test_a_sound_machine_passes(toy: Toy, judged: Judged) -> None:
    """The store is in the file that is mapped there last."""
    result = judged(toy(), TEXT)
    assert result.outcome is Outcome.PASS, why(result)


def test_an_old_mapping_that_stays(toy: Toy, judged: Judged) -> None:
    """What is stored through the new mapping shows in the old file, and lacks in the new one."""
    result = judged(toy(ignores=frozenset({OVER})), TEXT)
    assert result.outcome is Outcome.FAIL
    assert {one.path for one in result.violations} == {"data", "other"}


def test_a_store_through_the_new_mapping_is_not_flushed(toy: Toy, judged: Judged) -> None:
    """msync promises what its mapping shows, of the file behind it."""
    result = judged(toy(forgets={10: ((4096, 8192),)}), TEXT)
    assert {(one.path, one.op) for one in result.violations} == {("other", 10)}
