"""Steers a campaign around what it has found: the ops that lead to a known finding are drawn rarely from then on.

On 7.3 any fallocate of a mapped file loses what is dirty in it. A campaign that went on drawing them would find that
again in every second Program, and what else goes wrong in these would be told under its name.
"""

from collections.abc import Iterable

from harness.model.generator.rules import key
from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.program.traits import Promise, traits

_MEANS = frozenset({
    "create", "mmap shared", "store", "cut_power", "ftruncate", "pwrite", "fallocate allocate", "lane", "join",
})  # fmt: skip
"""The keys of ops that nearly every Program needs: without them nothing would be drawn that could fail."""


def triggers(shrunk: Program) -> frozenset[str]:
    """The keys of the ops that a finding needs, by its smallest Program: those that are neither means nor a sync.

    Empty if it needs no other, such as a store and an msync: then nothing can be avoided.
    """
    return frozenset(_needed(shrunk.ops)) - _MEANS


def _needed(found: Iterable[ops.Op]) -> Iterable[str]:
    return (key(op) for op in found if traits(op).promises is Promise.NOTHING)
