"""Tells two faults by the store that a violation is about, since one fault breaks promises of many kinds.

Bytes stored past the end show when the file grows:

    create f data; pwrite f 0 5000; mmap m f 0 8K; store m 5000 1000; pwrite f 8K 4K    [5000..6000) is the store

A sync of the whole file system leaves out what was stored through a MAP_SYNC mapping:

    create f data; ftruncate f 4K; mmap m f 0 4K sharing=sync; store m 0 4K; syncfs; cut_power    the page is zero
"""

from functools import lru_cache

from harness.model.contract import oracle
from harness.model.judge.values import Condition, Stored
from harness.model.judge.violation import Violation
from harness.model.program import ops
from harness.model.program.naming import named_files
from harness.model.program.ops import Op, Sharing
from harness.model.program.program import Program
from harness.model.program.traits import Promise, touched, traits


def shows_past_end(violation: Violation, program: Program) -> bool:
    """Say whether all its bytes are to be zero, and are those that a store made past the end of the file.

    mmap(2): "modifications to that region are not written out to the file"; what an extension adds reads as zero
    (POSIX, ftruncate() and write()).
    """
    found = violation.found
    if violation.expected is not Condition.ZERO or not isinstance(found, Stored) or found.of or found.shift:
        return False
    end = _end(program, found.op)
    return end is not None and bool(violation.ranges) and all(start >= end for start, _ in violation.ranges)


def left_out_of_sync(violation: Violation, program: Program) -> bool:
    """Say whether a sync of the whole file system promised its bytes, which a store through a MAP_SYNC mapping made."""
    wanted, by = violation.expected, violation.op
    if not isinstance(wanted, Stored) or by is None or not 0 <= wanted.op < by < len(program.ops):
        return False
    memory = touched(program.ops[wanted.op])
    return traits(program.ops[by]).promises is Promise.ALL and memory is not None and (
        _sharing(program.ops[: wanted.op], memory[0]) is Sharing.SYNC
    )  # fmt: skip


@lru_cache(maxsize=64)
def _end(program: Program, index: int) -> int | None:
    """Return the largest size in bytes that the file may have had when op `index` stored to it; None if it is not
    known."""
    if not 0 < index < len(program.ops):
        return None
    before = oracle.run(program)[index - 1].files
    sizes = [before[file].longest for file in named_files(program).by_op[index] if file in before]
    return max(sizes, default=None)


def _sharing(before: tuple[Op, ...], name: str) -> Sharing | None:
    """Return the sharing of the mapping that has this name after these ops; None if there is none."""
    for op in reversed(before):
        if isinstance(op, ops.Mmap) and op.map == name:
            return op.sharing
        if isinstance(op, ops.Mremap) and op.new == name:
            name = op.map
    return None
