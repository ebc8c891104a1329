"""All Programs of a small scope: prepare a file, make it dirty, disturb it by 1 to N ops, sync, cut.

    create, allocate 4M, mmap, fsync, fsyncdir     PREPARE: what lies below the mapping, and which entries map it
    store m1 0 2M                                  DIRTY
    fallocate f1 punch_hole 1M 4K                  DISTURB, up to N of these
    msync m1 0 4M, cut_power                       SYNC

The values are few and named, as in bounded black-box testing of file systems (Mohan et al., OSDI 2018): a page in the
middle of what is dirty, all of it, its neighbour, and the edge between them. Of two ops on different PMDs that can be
exchanged one order is left out, and so is every Program that no kernel can do in whole.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise, product

from harness.model.generator.draft import ProgramDraft
from harness.model.generator.rules import DrawRules
from harness.model.program import ops
from harness.model.program.ops import Advice, How, Mode, Op
from harness.model.program.program import Program
from harness.model.program.traits import Promise, traits
from harness.model.units import PAGE, PMD

FILE = 2 * PMD
PLACES = {
    "middle page": (PMD // 2, PAGE), "all dirty": (0, PMD), "neighbour": (PMD, PAGE), "edge": (PMD - PAGE, 2 * PAGE),
}  # fmt: skip
"""The ranges that ops disturb, in bytes: offset and length."""
_DURABLE = (ops.Fsync("f1"), ops.Fsyncdir())
PREPARE: dict[str, tuple[Op, ...]] = {
    "allocated, PMD": (ops.Fallocate("f1", Mode.ALLOCATE, 0, FILE), ops.Mmap("m1", "f1", 0, FILE)),
    "allocated, PTE": (ops.Fallocate("f1", Mode.ALLOCATE, 0, FILE), ops.Mmap("m1", "f1", 0, FILE, align=PAGE)),
    "sparse": (ops.Ftruncate("f1", FILE), ops.Mmap("m1", "f1", 0, FILE)),
}
DIRTY: dict[str, Op] = {"a PMD": ops.Store("m1", 0, PMD), "a page": ops.Store("m1", PMD // 2, PAGE)}
SYNC: dict[str, Op] = {"msync": ops.Msync("m1", 0, FILE), "fsync": ops.Fsync("f1")}
_MODES = (Mode.PUNCH_HOLE, Mode.ZERO_RANGE, Mode.COLLAPSE_RANGE, Mode.INSERT_RANGE)
_SIZES = (PAGE, PMD // 2 + 1000, PMD, FILE + PAGE)


def disturbers() -> tuple[Op, ...]:
    """The ops that disturb, over the few values."""
    found: list[Op] = []
    for name, (offset, length) in PLACES.items():
        found += [ops.Fallocate("f1", mode, offset, length) for mode in _MODES]
        if name == "middle page":
            found += [ops.Pwrite("f1", offset, length), ops.Pwrite("f1", offset, length, How.DIRECT)]
            found += [ops.Store("m1", offset, length), ops.Load("m1", offset, length), ops.Msync("m1", offset, length)]
            found += [ops.Madvise("m1", offset, length, Advice.DONTNEED)]
    found += [ops.Ftruncate("f1", size) for size in _SIZES]
    found += [ops.Mremap("m1", PMD, "m2"), ops.Mmap("m2", "f1", 0, FILE, align=PAGE), ops.DropCaches(), ops.Syncfs()]
    return tuple(found)


def programs(length: int) -> Iterator[Program]:
    """Yield every Program of up to `length` disturbing ops, each once, in the same order every time."""
    seen: set[tuple[Op, ...]] = set()
    starts = list(product(PREPARE.values(), DIRTY.values(), SYNC.values()))
    for count in range(1, length + 1):
        for middle in product(disturbers(), repeat=count):
            if not _is_in_order(middle):
                continue
            for prepared, dirty, sync in starts:
                found = _made((ops.Create("f1", "data1"), *prepared, *_DURABLE, dirty, *middle, sync, ops.CutPower()))
                if found is not None and found.ops not in seen:
                    seen.add(found.ops)
                    yield found


def shard(number: int, index: int, of: int) -> bool:
    """Say whether Program `number` is of shard `index` of so many, both from 1."""
    return number % of == index - 1


def _made(wanted: tuple[Op, ...]) -> Program | None:
    """Return the Program of exactly these ops; None if one does not fit."""
    draft = ProgramDraft(random.Random(0), DrawRules())
    for op in wanted:
        if not draft.fits(op):
            return None
        draft.add(op)
    return Program(wanted)


def _is_in_order(middle: Sequence[Op]) -> bool:
    """Say whether no two neighbours can be exchanged that stand in the second order."""
    numbers = {op: number for number, op in enumerate(disturbers())}
    pairs = pairwise(middle)
    return not any(_can_be_exchanged(one, two) and numbers[one] > numbers[two] for one, two in pairs)


def _can_be_exchanged(one: Op, two: Op) -> bool:
    """Say whether the ops touch different PMDs of the file and neither moves anything, syncs all or changes a size."""
    spans = [_span(one), _span(two)]
    return None not in spans and (spans[0][1] <= spans[1][0] or spans[1][1] <= spans[0][0])  # type: ignore[index]


def _span(op: Op) -> tuple[int, int] | None:
    """Return the bytes of the file that an op touches; None if that is not all that it touches."""
    facts = traits(op)
    offset, length = getattr(op, "offset", None), getattr(op, "length", None)
    whole = facts.moves or facts.promises not in (Promise.NOTHING, Promise.RANGE) or isinstance(op, ops.Mmap)
    # Pages of one PMD share an entry: what splits it, or drops it, touches all of them.
    if whole or offset is None or length is None:
        return None
    return offset // PMD * PMD, -(-(offset + length) // PMD) * PMD
