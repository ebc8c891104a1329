"""Laws of what a reproducer judges: what was stored through a shared mapping and promised, and nothing that was not."""

import pytest

from harness.model.contract import oracle
from harness.repro import foreseen
from harness.repro.naming import names
from harness.repro.promised import traceable
from tests.unit.repro.built import program

BEGIN = "create f data\nfallocate f allocate 0 1M\nmmap m f 0 1M\n"
CASES = {
    "a store and a sync": ("store m 0 8K\nfsync f\n", [(4, (0, 2))]),
    "a store without a sync": ("store m 0 8K\n", []),
    "a sync of a part": ("store m 0 8K\nmsync m 0 4K\n", [(4, (0, 1))]),
    "a part of a page": ("store m 100 8\nfsync f\n", [(4, (0, 1))]),
    "what was judged before": ("store m 0 8K\nmsync m 0 4K\nfsync f\n", [(4, (0, 1)), (5, (1, 2))]),
    "a page that is stored again": ("store m 0 4K\nfsync f\nstore m 0 8\nfsync f\n", [(4, (0, 1)), (6, (0, 1))]),
    "an async sync": ("store m 0 4K\nmsync m 0 4K flag=async\n", []),
    "a hole": ("store m 0 8K\nfallocate f punch_hole 0 4K\nfsync f\n", [(5, (1, 2))]),
    "a part of a page that is zeroed": ("store m 0 4K\nfallocate f punch_hole 0 8\nfsync f\n", [(5, (0, 1))]),
    "a write over the store": ("store m 0 4K\npwrite f 0 4K\nfsync f\n", []),
    "a truncate": ("store m 0 8K\nftruncate f 4K\nfsync f\n", [(5, (0, 1))]),
    "pages that a collapse moves": ("store m 8K 4K\nfallocate f collapse_range 0 4K\nfsync f\n", [(5, (1, 2))]),
    "pages that an insert moves": ("store m 8K 4K\nfallocate f insert_range 0 4K\nfsync f\n", [(5, (3, 4))]),
    "a refused collapse": (
        "store m 8K 4K\nexpect_errno EINVAL\nfallocate f collapse_range 0 4K\nfsync f\n", [(6, (2, 3))]
    ),
    "a private mapping": ("mmap p f 0 4K sharing=private\nstore p 0 4K\nfsync f\n", []),
    "what the program flushes": ("store m 0 4K\nflush m 0 4K\nfsync f\n", []),
    "what the program flushes in part": ("store m 0 4K\nflush m 0 64\nfsync f\n", [(5, (0, 1))]),
    "a copy by the kernel into the mapping": (
        "create g other\npwrite g 0 4K\nread_into m 0 4K g 0\nfsync f\n", [(6, (0, 1))]
    ),
    "a clone of the store": (
        "create g other\nstore m 0 4K\nfsync f\nclone g 0 4K f 0\nfsync g\n", [(5, (0, 1))]
    ),
    "a file without a name": ("store m 0 4K\nunlink data\nfsync f\n", []),
    "a store that ends in a signal": ("mprotect m 0 4K read\nexpect_signal SIGSEGV\nstore m 0 8\nfsync f\n", []),
    "a race": ("lane a\nstore m 0 4K\nlane b\nstore m 8K 4K\njoin\nfsync f\n", [(8, (0, 1)), (8, (2, 3))]),
    "a sync in its lane": ("lane a\nstore m 0 4K\nmsync m 0 4K\nlane b\nload m 0 8\njoin\n", [(8, (0, 1))]),
    "a sync in a lane, beside an unsynced store": (
        "lane a\nstore m 0 8\nmsync m 0 4K\nlane b\nstore m 8 8\njoin\n", []
    ),
    "a race that may have undone the store": (
        "lane a\nstore m 0 4K\nlane b\nfallocate f punch_hole 0 4K\njoin\nfsync f\n", []
    ),
    "a race of a store and a write": ("lane a\nstore m 0 4K\nlane b\npwrite f 0 4K\njoin\nfsync f\n", []),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_judged(lines: str, expected: list[tuple[int, tuple[int, int]]]) -> None:
    """The op that promises, and the pages."""
    one = program(f"{BEGIN}{lines}cut_power\n")
    found = traceable(one, names(one), oracle.run(one, foreseen.results(one)))
    assert [(promise.index, pages) for promise in found.promises for pages in promise.pages] == expected


def test_a_control_is_judged_as_though_it_were_synced() -> None:
    """A Program that expects a loss promises at its cut what it never synced, and nothing before."""
    one = program(f"expect loss\n{BEGIN}store m 0 4K\nfsync f\nstore m 0 8K\ncut_power\n")
    found = traceable(one, names(one), oracle.run(one, foreseen.results(one)))
    assert [(promise.index, promise.pages) for promise in found.promises] == [(6, ((0, 2),))]
