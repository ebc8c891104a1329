"""Tells how long mappings become that grow where they are: the addresses behind them have to be kept free for that."""

from collections.abc import Iterable

from harness.model.program import ops
from harness.model.program.ops import Op


def rooms(program: Iterable[Op]) -> dict[str, int]:
    """Mapping -> the most bytes that a Mresize gives it; nothing of a mapping that none resizes."""
    found: dict[str, int] = {}
    for op in program:
        if isinstance(op, ops.Mresize):
            found[op.map] = max(op.size, found.get(op.map, 0))
    return found
