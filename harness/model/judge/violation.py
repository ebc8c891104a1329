"""A Violation: an observation that the contract does not allow, and how to say it in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.model.units import PAGE, size_text
from harness.model.wire.moment import Moment, Phase


class Kind(StrEnum):
    """What is wrong: an older store where a newer was promised; zeroes; part of a cache line; promised bytes that were
    never flushed (see coverage); bytes, or files, that belong elsewhere or nowhere; views that differ; a size or a
    missing file; a name that should be gone, or one of two that should be there; holes or blocks that do not suit the
    contents; a failed recovery; a complaint of the checker of the file system, or of the kernel; an errno or a signal,
    or the lack of one; what the kernel says of the device."""

    STALE = "stale"
    ZERO = "zero"
    TORN = "torn"
    UNFLUSHED = "unflushed"
    FOREIGN = "foreign"
    INCOHERENT = "incoherent"
    SIZE = "size"
    NAME = "name"
    ALLOCATION = "allocation"
    RECOVERY = "recovery"
    FSCK = "fsck"
    KERNEL = "kernel"
    ERRNO = "errno"
    SIGNAL = "signal"
    DEVICE = "device"


LOSSES = frozenset({Kind.STALE, Kind.ZERO, Kind.TORN, Kind.UNFLUSHED, Kind.SIZE, Kind.NAME})
"""What a cut that nothing protects from is expected to do. The other kinds are wrong even then."""


_OF_ALL = frozenset({Kind.RECOVERY, Kind.FSCK, Kind.KERNEL, Kind.DEVICE})
"""What is wrong with the system as a whole."""
LIVE = "live"
"""The name, in place of an image's, of what was read, or said by the kernel, while the power was on."""
GONE = "gone"
"""Expected of a name that must not be there."""
ZERO_PAST_END = "zero past the end"
"""Expected of what a mapping shows behind the end of its file."""
NO_FILE = "no file of the program"
"""Expected of a name that no op made."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An observation outside the oracle: `bytes` wrong bytes in `ranges` of `path`, in `image`.

    `op` is the op whose promise is broken ("op 9: msync m [0..4M)"), or empty when none was given. `culprit` says what
    forgot the bytes, with a call stack in brackets at its end, or is empty when nothing is known (see culprit.name).
    `moment` says what was done when the kernel complained; its op is then `op`.
    """

    kind: Kind
    path: str
    op: str
    image: str
    ranges: tuple[tuple[int, int], ...]
    bytes: int
    expected: str
    found: str
    culprit: str = ""
    moment: Moment | None = None

    @property
    def lost(self) -> bool:
        """Whether a cut took something: what reads wrong with the power on is wrong, but not lost."""
        return self.kind in LOSSES and self.image != LIVE


_TOLD = 3  # losses that a sentence tells; it counts the others


def sentence(violations: Sequence[Violation]) -> str:
    """The violations in words, each once however many images show it; empty without any.

    What is wrong with the system as a whole comes first, then the largest.
    """
    seen: dict[tuple[str, ...], str] = {}
    for violation in sorted(violations, key=lambda one: (one.kind not in _OF_ALL, -one.bytes)):
        key = (violation.kind, violation.path, violation.op, violation.expected, violation.found)
        seen.setdefault(key, _told(violation))
    told = list(dict.fromkeys(seen.values()))
    rest = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
    return "; ".join(told[:_TOLD] + rest)


def culprits(violations: Sequence[Violation]) -> list[str]:
    """Who forgot what was lost, each once, the one of the largest loss first."""
    ordered = sorted(violations, key=lambda one: -one.bytes)
    return list(dict.fromkeys(one.culprit for one in ordered if one.culprit))


def without_stack(culprit: str) -> str:
    """A culprit in short, without its call stack."""
    return culprit.partition(" (")[0]


def _told(violation: Violation) -> str:
    op = violation.op.partition(": ")[2]
    if violation.kind in (Kind.ERRNO, Kind.SIGNAL):
        return f"{op}: {violation.found}, not {violation.expected}"
    if violation.kind is Kind.KERNEL:
        return violation.found + _during(violation)
    return _promise(op.partition(" ")[0]) + _broken(violation)


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


def _during(violation: Violation) -> str:
    """At what the kernel complained, if that is known."""
    if violation.moment is None:
        return ""
    after = "" if violation.image == LIVE else " after recovery"
    match violation.moment.phase:
        case Phase.OP if violation.op.endswith(": join"):
            return f", while the lanes ran that end in {violation.op}"
        case Phase.OP:
            return f", during {violation.op}"
        case Phase.VIEWS if violation.op:
            return f", during daxcheck's own views in {violation.op}"
        case Phase.VIEWS:
            return f", during daxcheck's own views{after or ' after the cut'}"
        case phase:
            return f", during {phase}{after if phase is not Phase.RECOVERY else ''}"


def _broken(violation: Violation) -> str:
    match violation.kind:
        case Kind.SIZE:
            return f"{violation.path} is {violation.found}, not {violation.expected}"
        case Kind.NAME if violation.expected == GONE:
            return f"{violation.path} is still there"
        case Kind.NAME:
            return f"{violation.path} has lost its name: {violation.expected} is not there"
        case Kind.FOREIGN if violation.expected == NO_FILE:
            return f"{violation.path} is there, which no op made"
        case Kind.DEVICE:
            return f"{violation.found}, and the device is {violation.expected}"
        case Kind.RECOVERY | Kind.FSCK | Kind.KERNEL | Kind.ERRNO | Kind.SIGNAL:
            return f"{violation.path}: {violation.found}" if violation.path else violation.found
        case Kind.STALE if violation.expected == "zero":
            what = "hold old data where zeroes belong"
        case Kind.STALE:
            what = "hold the older store"
        case Kind.ZERO:
            what = "are zero"
        case Kind.TORN:
            what = "are parts of torn cache lines"
        case Kind.UNFLUSHED:
            what = "were not flushed"
        case Kind.FOREIGN:
            what = "hold foreign data"
        case Kind.INCOHERENT if violation.expected == ZERO_PAST_END:
            what = f"past the end show {violation.found}"
        case Kind.INCOHERENT:
            what = "read differently by another view"
        case Kind.ALLOCATION:
            what = violation.found
    return f"{_where(violation)} {what}"


def _where(violation: Violation) -> str:
    """511 of 512 pages of data[0..2M)."""
    start = min((low for low, _ in violation.ranges), default=0)
    end = max((high for _, high in violation.ranges), default=0)
    paged = all(low % PAGE == high % PAGE == 0 for low, high in violation.ranges)
    wrong, whole, unit = violation.bytes, end - start, "bytes"
    if paged:
        wrong, whole, unit = wrong // PAGE, whole // PAGE, "pages"
    return f"{wrong} of {whole} {unit} of {violation.path}[{size_text(start)}..{size_text(end)})"
