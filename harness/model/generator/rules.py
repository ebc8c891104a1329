"""Defines which Programs to draw: the ops that a file system has, those to avoid, and whether lanes race."""

from dataclasses import dataclass

from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.program import verb

SHARING: tuple[type[Op], ...] = (ops.CloneFile, ops.Clone, ops.Dedupe)
"""The ops that only a file system with shared blocks does (xfs with reflink=1)."""


@dataclass(frozen=True, slots=True)
class DrawRules:
    """A kind of Programs to draw.

    `extras` are ops that not every file system does. `avoid` has keys of ops (see key) that are drawn rarely: a finding
    that they lead to is known, and would hide all others. `lanes`: some Programs race.
    """

    extras: tuple[type[Op], ...] = ()
    avoid: frozenset[str] = frozenset()
    lanes: bool = True


def extras(label: str) -> tuple[type[Op], ...]:
    """The ops that the file system of this label does and others do not."""
    return SHARING if "reflink" in label else ()


def key(op: Op) -> str:
    """The kind of an op, and the mode of a fallocate, the sharing of a mmap: "fallocate punch_hole", "mmap shared".

    A finding is avoided by the kind of the op that it was brought about by.
    """
    match op:
        case ops.Fallocate(_, mode):
            return f"{verb(op)} {mode}"
        case ops.Mmap():
            return f"{verb(op)} {op.sharing}"
        case _:
            return verb(op)


def is_avoided(op: Op, rules: DrawRules) -> bool:
    """Say whether the rules avoid the op: by its key, or its verb alone."""
    return bool({key(op), verb(op)} & rules.avoid)
