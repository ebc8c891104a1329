"""The ops after which a cut is worth looking at: data may be durable then that was not before."""

from harness.model.program import ops
from harness.model.program.program import Program

_PROMISES = (
    ops.Msync, ops.Fsync, ops.Fdatasync, ops.Fsyncdir, ops.Syncfs, ops.Sync, ops.Freeze, ops.Umount, ops.Flush,
    ops.Join, ops.Pwrite, ops.WriteFrom,
)  # fmt: skip
"""Ops after which data may be durable that was not before; a join stands for the syncs in its lanes."""


def marked(program: Program) -> tuple[int, ...]:
    """The indices of the promising ops that leave a mark in the persist log: ops of lanes leave none."""
    found, racing = [], False
    for index, op in enumerate(program.ops):
        racing = not isinstance(op, ops.Join) and (racing or isinstance(op, ops.Lane))
        if not racing and isinstance(op, _PROMISES):
            found.append(index)
    return tuple(found)
