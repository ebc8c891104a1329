"""Remarks at the ops of a failing cell: which of them stored what is lost, dropped the entry, promised the data.

    store m1 0 2M                     LOST       the store that is lost
    fallocate f1 punch_hole 64K 4K    DROPPED    drops the dirty entry [0..2M)
    msync m1 0 8M                     PROMISED   promised what is lost
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from harness.findings.finding import Case
from harness.model.judge.values import Stored
from harness.model.judge.violation import Kind, Violation
from harness.model.units import size_text
from harness.plain import clipped
from harness.report.words import culprits, value


class Role(Enum):
    """The part that an op has in what went wrong."""

    LOST = auto()
    OLDER = auto()
    DROPPED = auto()
    PROMISED = auto()
    WRONG = auto()


@dataclass(frozen=True, slots=True)
class Remark:
    """The part of one op, in a role and in words."""

    role: Role
    words: str


def remarks(case: Case) -> Mapping[int, tuple[Remark, ...]]:
    """The remarks by the index of their op, each once. The stores are those of the largest loss."""
    found: dict[int, dict[Remark, None]] = {}

    def note(op: int | None, role: Role, words: str) -> None:
        if op is not None:
            found.setdefault(op, {})[Remark(role, words)] = None

    largest = case.largest
    if isinstance(largest.expected, Stored):
        note(largest.expected.op, Role.LOST, "the store that is lost")
    if isinstance(largest.found, Stored) and not largest.found.of:
        note(largest.found.op, Role.OLDER, "the store found instead")
    for one in culprits(case.violations):
        entries = "the dirty entry" if one.entries == 1 else "dirty entries"
        note(one.op, Role.DROPPED, f"drops {entries} [{size_text(one.start)}..{size_text(one.end)})")
    for violation in case.violations:
        note(violation.op, Role.PROMISED if violation.lost else Role.WRONG, _broken(violation))
    return {op: tuple(told) for op, told in found.items()}


def _broken(violation: Violation) -> str:
    match violation.kind:
        case Kind.KERNEL:
            return "the kernel complains"
        case Kind.ERRNO | Kind.SIGNAL:
            return clipped(value(violation.found), 60)
        case _ if violation.lost:
            return "promised what is lost"
        case _:
            return "what is wrong shows from here on"
