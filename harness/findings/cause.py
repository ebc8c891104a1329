"""Names the cause of a violation: what all violations of one fault share, in any Program, on any build of a kernel.

A dirty entry that was dropped without writeback is one fault, whatever the cut then showed of it: stale pages, zeroes
or torn cache lines, promised by msync or by fsync.

    msync returned 0, 511 pages hold the older store    dropped in ext4_punch_hole   one cause
    fsync returned 0, one page is zero                  dropped in ext4_punch_hole   the same one
    msync returned 0, 511 pages hold the older store    dropped in ext4_zero_range   another one
    msync returned 0, one page holds the older store    nobody is known, after a truncate: a third one

So are two faults that show in many ways (findings.stores): bytes that were stored past the end of a file show when it
grows; a sync of the whole file system leaves out what was stored through a MAP_SYNC mapping.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from harness.findings import complaint
from harness.findings.stores import left_out_of_sync, shows_past_end
from harness.model.judge.result import CellResult
from harness.model.judge.values import Answers, Condition, Either, Said, Shows, Stored, Value
from harness.model.judge.violation import COVERAGE, LIVE, Culprit, Kind, Violation
from harness.model.program import ops
from harness.model.program.naming import named_files
from harness.model.program.ops import Op
from harness.model.program.program import Program, ProgramError, parse, verb
from harness.model.program.traits import Unmaps, traits

RACE = "race"
"""The family of what goes wrong where the ops of lanes run at the same time."""

PAST_END = "bytes stored past the end show"
"""A file has grown over such bytes, whatever made it grow, and whichever sync came after."""
LEFT_OUT = "a sync of the file system leaves out stores through MAP_SYNC"
"""Neither sync, nor syncfs or a freeze, has written them, whatever is there instead."""

_DROPPED, _BY = "dropped; ", " <- "


@dataclass(frozen=True, slots=True)
class DroppedEntry:
    """`chain` took dirty entries out of the page tree though nobody had flushed them.

    It begins with the function that did so; its callers in the file system follow, the nearest first:
    ("dax_delete_mapping_entry", "ext4_punch_hole", "ext4_fallocate"). Which system call led there is no part of it.
    """

    chain: tuple[str, ...]

    @property
    def signature(self) -> str:
        """The text dropped; dax_delete_mapping_entry <- ext4_punch_hole <- ext4_fallocate."""
        return f"{_DROPPED}{_BY.join(self.chain)}"


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """A promise of `verb` was broken, by nobody known: what is wrong, where it was seen, and the `family` of the op
    that had changed the file last (see family)."""

    kind: Kind
    verb: str
    family: str
    where: str
    what: str

    @property
    def signature(self) -> str:
        """The text stale; msync; after clone; cut; store not store."""
        after = f"after {self.family}" if self.family else ""
        return "; ".join(filter(None, (self.kind, self.verb, after, self.where, self.what)))


Cause = DroppedEntry | BrokenPromise


def dropped_by(signature: str) -> tuple[str, ...]:
    """The chain of functions of a DroppedEntry that has this signature; empty for any other signature."""
    chain = signature.removeprefix(_DROPPED)
    return tuple(chain.split(_BY)) if chain != signature else ()


def id_of(signature: str) -> str:
    """The short name of a cause: eight hexadecimal digits, the same wherever its signature is."""
    return hashlib.sha256(signature.encode(errors="surrogatepass")).hexdigest()[:8]


def causes(result: CellResult) -> dict[Cause, tuple[Violation, ...]]:
    """The causes in a cell, each with its violations; in their order.

    A complaint of the kernel that only follows from another one is of the cause of that.
    """
    program = _program(result)
    found: dict[Cause, tuple[Violation, ...]] = {}
    heads = {id(violation): head for violation, head in complaint.consequences(result.violations)}
    for violation in result.violations:
        one = cause(heads.get(id(violation), violation), program)
        found[one] = (*found.get(one, ()), violation)
    return found


def cause(violation: Violation, program: Program | None) -> Cause:
    """The cause of one violation in a run of `program`; without that its family is not known."""
    if violation.culprit is not None:
        return DroppedEntry(chain(violation.culprit))
    if violation.kind is Kind.KERNEL and isinstance(violation.found, Said):
        # The place in the source is the cause, whatever op led there.
        return BrokenPromise(Kind.KERNEL, "", "", "", complaint.place(violation.found.text))
    if program is not None and shows_past_end(violation, program):
        return BrokenPromise(Kind.STALE, "", "", "", PAST_END)
    if program is not None and left_out_of_sync(violation, program):
        return BrokenPromise(Kind.STALE, "", "", "", LEFT_OUT)
    what = f"{_class(violation.found)} not {_class(violation.expected)}"
    phase = violation.moment.phase if violation.moment else ""
    place = "; ".join(filter(None, (phase, _where(violation, program))))
    return BrokenPromise(violation.kind, violation.verb, family(violation, program), place, what)


def _where(violation: Violation, program: Program | None) -> str:
    """Return "live", "flush coverage", "cut", or "cut inside punch_hole" for what no cut after an op shows.

    The instruction at which the power was cut is no part of it. A loss inside an op shows from one completion to
    another, and hundreds may lie between: which of them is the first that was looked at depends on --crash, and on
    which locked instruction happened to come first.
    """
    if violation.image in (LIVE, COVERAGE):
        return violation.image
    if violation.inside is None:
        return "cut"
    op = program.ops[violation.inside] if program and violation.inside < len(program.ops) else None
    return f"cut inside {'an op' if op is None else RACE if isinstance(op, ops.Join) else _name(op)}"


def chain(culprit: Culprit) -> tuple[str, ...]:
    """The functions that name a drop: see DroppedEntry; without any of a file system, the outermost caller.

    Suffixes that a compiler gave are left out.
    """
    own = [culprit.stack[index] for index in culprit.in_file_system]
    names = (culprit.function, *(own or culprit.stack[-1:]))
    return tuple(dict.fromkeys(complaint.CLONE.sub("", name) for name in names))


def family(violation: Violation, program: Program | None) -> str:
    """The kind of op that disturbed the file last before the broken promise: "punch_hole", "clone", "race"; or empty.

    What a kernel says has a function of its own, and needs no family; nor does what a cut inside an op alone shows,
    whose place names that op.
    """
    if program is None or violation.op is None or violation.kind is Kind.KERNEL or violation.inside is not None:
        return ""
    last = min(violation.op, len(program.ops) - 1)
    before = program.ops[: last + 1]
    if any(isinstance(op, ops.Lane) for op in before):
        return RACE
    files = named_files(program)
    first = next((index for index, op in enumerate(before) if traits(op).stamps), len(before))
    mine = (index for index in range(last, first - 1, -1) if files.concerns(index, violation.path, last))
    return next((_name(before[index]) for index in mine if _disturbs(before[index])), "")


def _disturbs(op: Op) -> bool:
    """Say whether the op may change where the bytes of a file are, or unmap them, other than by storing there."""
    facts = traits(op)
    return facts.unmaps is Unmaps.FILE or facts.moves or facts.shares or facts.frees or facts.copies


def _name(op: Op) -> str:
    return str(op.mode) if isinstance(op, ops.Fallocate) else verb(op)


def _program(result: CellResult) -> Program | None:
    """The Program of a result; None where a user has spoilt it in the results file."""
    try:
        return parse(result.program)
    except ProgramError:
        return None


def _class(value: Value) -> str:
    """Return what a value has in common with those that the same fault makes on another run."""
    match value:
        case Condition():
            return value.value
        case Stored(of="", shift=0):
            return "store"
        case Stored(of=""):
            return "moved store"
        case Stored():
            return "store of another file"
        case Either(contents):
            return _classes(contents)
        case Shows(view, contents):
            return f"{view}: {_classes(contents)}"
        case Said(words):
            return complaint.plain_words(words)
        case Answers(names):
            return " or ".join(names)
        case _:
            return type(value).__name__.lower()


def _classes(contents: Sequence[Value]) -> str:
    return " or ".join(sorted({_class(one) for one in contents}))

