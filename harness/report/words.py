"""The words for what a result says: the one place that makes sentences of violations, culprits, ops and values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from harness.model.judge.result import CellResult
from harness.model.judge.values import (
    Answers,
    BlockBytes,
    Condition,
    Content,
    Either,
    Names,
    Portion,
    Said,
    Shows,
    Sizes,
    Stored,
    Value,
)
from harness.model.judge.violation import LIVE, Culprit, Kind, Violation
from harness.model.program.ops import Fallocate
from harness.model.program.program import Expect, Program, ProgramError, describe, parse, verb
from harness.model.units import PAGE, size_text
from harness.model.wire.moment import Phase

_OF_ALL = frozenset({Kind.RECOVERY, Kind.FSCK, Kind.KERNEL, Kind.DEVICE})
"""The kinds of violation that are of the system as a whole."""
_CONDITIONS = {
    Condition.ZERO: "zero",
    Condition.ANYTHING: "anything",
    Condition.NO_STORE: "no store",
    Condition.MIXED: "older stores mixed",
    Condition.MANY: "one of many sources",
    Condition.NOT_FLUSHED: "not flushed",
    Condition.ZERO_PAST_END: "zero past the end",
    Condition.MISSING: "missing",
    Condition.GONE: "gone",
    Condition.NO_FILE: "no file of the program",
    Condition.DIRECTORY: "a directory",
    Condition.FILE: "a file",
    Condition.HOLE_ZERO: "zeroes in a hole",
    Condition.HOLE_DATA: "hold data where SEEK_HOLE finds a hole",
    Condition.HOLE_FROM_END: "a hole from the end on",
    Condition.DATA_PAST_END: "are past the end, but data to SEEK_DATA",
    Condition.UNWRITTEN_ZERO: "zeroes where nothing was written",
    Condition.UNWRITTEN_DATA: "hold data where FIEMAP finds no written extent",
    Condition.BLOCKS_GIVEN: "blocks by fallocate",
    Condition.BLOCKS_LOST: "have lost the blocks they were given",
    Condition.EXCHANGED: "changed in their entirety, or not at all",
    Condition.EXCHANGED_IN_PART: "were changed in part",
    Condition.WORKS: "mounts and reads",
    Condition.SILENCE: "silence",
    Condition.SUCCESS: "success",
}
_TOLD = 3  # losses that a sentence tells; it counts the others
_NO_PROMISE_OF_DATA = (Kind.ERRNO, Kind.SIGNAL)


@dataclass(frozen=True, slots=True)
class Words:
    """Words the findings of a run of `program`; None if that is not known: then ops are told by their index alone."""

    program: Program | None

    @classmethod
    def of(cls, result: CellResult) -> "Words":
        """The words for a result, whose Program may be missing or spoilt in a results file that a user has edited."""
        return cls(_parsed(result.program))

    @property
    def control(self) -> bool:
        """True if the Program is a control, which must lose data."""
        return self.program is not None and self.program.expect is Expect.LOSS

    def sentence(self, violations: Sequence[Violation]) -> str:
        """The violations in words, each once however many images show it; empty without any.

        Violations of the system as a whole come first, then the largest.
        """
        seen: dict[tuple[object, ...], str] = {}
        for violation in sorted(violations, key=lambda one: (one.kind not in _OF_ALL, -one.bytes)):
            inside = violation.inside
            key = (violation.kind, violation.path, violation.op, violation.expected, violation.found, inside)
            seen.setdefault(key, self._told(violation) + (f", {self.cut(violation)}" if inside is not None else ""))
        told = list(dict.fromkeys(seen.values()))
        rest = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
        return "; ".join(told[:_TOLD] + rest)

    def op(self, index: int | None) -> str:
        """op 9: msync m [0..4M); empty for no op."""
        return "" if index is None else f"op {index}: {self._line(index)}".removesuffix(": ")

    def cut(self, violation: Violation) -> str:
        """Say where in an op the power was cut: cut inside op 9 punch_hole, at the fence in ext4_punch_hole+0x5e.

        With a choice of evictions it was after that fence: other lines were on their way. Empty for any other cut.
        """
        if violation.inside is None:
            return ""
        op = self.program.ops[violation.inside] if self.program and violation.inside < len(self.program.ops) else None
        name = "" if op is None else f" {op.mode if isinstance(op, Fallocate) else verb(op)}"
        when = "after" if "," in violation.image else "at"
        fence = f", {when} the fence in {violation.fence}" if violation.fence else ""
        return f"cut inside op {violation.inside}{name}{fence}"

    def promise(self, violation: Violation) -> str:
        """Name the broken promise: the op, or a read of daxcheck's own that was to succeed; empty if it is unknown."""
        if violation.kind in _NO_PROMISE_OF_DATA and violation.moment is not None:
            at = violation.image if violation.op is None else f"op {violation.op}"
            return f"{at}: reading {violation.path}"
        return self.op(violation.op)

    def culprit(self, culprit: Culprit) -> str:
        """dirty entry [0..2M) dropped unflushed in op 8: fallocate f punch_hole [0..4K) by ext4_punch_hole."""
        what = "dirty entry" if culprit.entries == 1 else "dirty entries"
        place = f"[{size_text(culprit.start)}..{size_text(culprit.end)})"
        return f"{what} {place} dropped unflushed in {self.op(culprit.op)} by {' <- '.join(culprit.caller)}"

    def with_stack(self, culprit: Culprit) -> str:
        """The culprit with its whole call stack, in brackets at its end."""
        return f"{self.culprit(culprit)} ({' <- '.join([culprit.function, *culprit.stack])})"

    def _told(self, violation: Violation) -> str:
        if violation.kind in _NO_PROMISE_OF_DATA:
            reading = f"reading {violation.path}" if violation.moment else ""
            op = reading or self._line(violation.op) or violation.verb
            return f"{op}: {value(violation.found)}, not {value(violation.expected)}"
        if violation.kind is Kind.KERNEL:
            return value(violation.found) + self._during(violation)
        return _promise(violation.verb) + _broken(violation)

    def _line(self, index: int | None) -> str:
        """msync m [0..4M); empty if the op is not known."""
        if self.program is None or index is None or index >= len(self.program.ops):
            return ""
        return describe(self.program.ops[index])

    def _during(self, violation: Violation) -> str:
        """Say when the kernel complained, if that is known."""
        if violation.moment is None:
            return ""
        after = "" if violation.image == LIVE else " after recovery"
        match violation.moment.phase:
            case Phase.OP if violation.verb == "join":
                return f", while the lanes ran that end in {self.op(violation.op)}"
            case Phase.OP:
                return f", during {self.op(violation.op)}"
            case Phase.VIEWS if violation.op is not None:
                return f", during daxcheck's own views in {self.op(violation.op)}"
            case Phase.VIEWS:
                return f", during daxcheck's own views{after or ' after the cut'}"
            case phase:
                return f", during {phase}{after if phase is not Phase.RECOVERY else ''}"


@lru_cache(maxsize=256)
def _parsed(text: str) -> Program | None:
    """The Program of a text; None if there is none. A report words each cell several times, and Programs recur."""
    try:
        return parse(text)
    except ProgramError:
        return None


def why(result: CellResult) -> str:
    """Say what went wrong in a cell, in one line; empty if nothing did."""
    return result.error or Words.of(result).sentence(result.violations)


def culprits(violations: Iterable[Violation]) -> list[Culprit]:
    """Return the culprits, which forgot what was lost, each once, the one of the largest loss first."""
    ordered = sorted(violations, key=lambda one: -one.bytes)
    return list(dict.fromkeys(one.culprit for one in ordered if one.culprit is not None))


def value(value: Value) -> str:
    """store 3 (op 9) of other moved by -4K; zero or store 1 (op 5); 2M long; 4K of 64K; EIO."""
    match value:
        case Condition():
            return _CONDITIONS[value]
        case Stored():
            return _store(value)
        case Either(contents):
            return _either(contents)
        case Shows(view, contents):
            return f"{view}: {_either(contents)}"
        case Sizes(spans):
            return " or ".join(dict.fromkeys(map(_span, spans))) + " long"
        case Names(names) | Answers(names):
            return " or ".join(names)
        case BlockBytes(bytes):
            return f"{bytes} bytes of blocks"
        case Portion(done, length):
            return f"{size_text(done)} of {size_text(length)}"
        case Said(text):
            return text


def _store(stored: Stored) -> str:
    text = f"store {stored.seq} (op {stored.op})" + (f" of {stored.of}" if stored.of else "")
    if stored.shift:
        text += f" moved by {'-' if stored.shift < 0 else '+'}{size_text(abs(stored.shift))}"
    return text


def _either(contents: Sequence[Content]) -> str:
    return " or ".join(map(value, contents))


def _span(span: tuple[int, int]) -> str:
    low, high = span
    return size_text(low) if low == high else f"{size_text(low)} to {size_text(high)}"


def _promise(verb: str) -> str:
    match verb:
        case "":
            return ""
        case "msync" | "fsync" | "fdatasync" | "fsyncdir" | "syncfs" | "freeze" | "umount":
            return f"{verb} returned 0, "
        case "sync":
            return "sync returned, "  # sync(2) is void
        case "pwrite" | "write_from":
            return f"{verb} with O_DSYNC returned, "
        case "store" | "direct_store" | "read_into":
            return "stored through MAP_SYNC, "  # with eADR
        case "flush":
            return "flushed through MAP_SYNC, "
        case "cut_power":
            return "not synced, "
        case _:
            return f"{verb}: "


def _broken(violation: Violation) -> str:
    found = value(violation.found)
    match violation.kind:
        case Kind.SIZE:
            return f"{violation.path} is {found}, not {value(violation.expected)}"
        case Kind.NAME if violation.expected is Condition.GONE:
            return f"{violation.path} is still there"
        case Kind.NAME if isinstance(violation.expected, Condition | Said):
            return f"{violation.path} is {found}, not {value(violation.expected)}"
        case Kind.NAME:
            return f"{violation.path} has lost its name: {value(violation.expected)} is not there"
        case Kind.FOREIGN if violation.expected is Condition.NO_FILE:
            return f"{violation.path} is there, which no op made"
        case Kind.DEVICE:
            return f"{found}, and the device is {value(violation.expected)}"
        case Kind.RECOVERY | Kind.FSCK | Kind.KERNEL | Kind.ERRNO | Kind.SIGNAL:
            return f"{violation.path}: {found}" if violation.path else found
        case _:
            return f"{_where(violation)} {_state(violation)}"


def _state(violation: Violation) -> str:
    """Say what is wrong with the bytes."""
    match violation.kind:
        case Kind.STALE if violation.expected is Condition.ZERO:
            return "hold old data where zeroes belong"
        case Kind.STALE:
            return "hold the older store"
        case Kind.ZERO:
            return "are zero"
        case Kind.TORN if violation.found is not Condition.EXCHANGED_IN_PART:
            return "are parts of torn cache lines"
        case Kind.UNFLUSHED:
            return "were not flushed"
        case Kind.FOREIGN:
            return "hold foreign data"
        case Kind.INCOHERENT if violation.expected is Condition.ZERO_PAST_END:
            return f"past the end show {value(violation.found)}"
        case Kind.INCOHERENT:
            return "read differently by another view"
        case _ if isinstance(violation.found, BlockBytes):
            return f"are {violation.found.bytes} bytes of extents to FIEMAP"
        case _:
            return value(violation.found)


def _where(violation: Violation) -> str:
    """511 of 512 pages of data[0..2M)."""
    start = min((low for low, _ in violation.ranges), default=0)
    end = max((high for _, high in violation.ranges), default=0)
    paged = all(low % PAGE == high % PAGE == 0 for low, high in violation.ranges)
    wrong, whole, unit = violation.bytes, end - start, "bytes"
    if paged:
        wrong, whole, unit = wrong // PAGE, whole // PAGE, "pages"
    return f"{wrong} of {whole} {unit} of {violation.path}[{size_text(start)}..{size_text(end)})"
