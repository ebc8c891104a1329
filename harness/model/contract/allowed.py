"""Describes what the contract allows of one byte: what it reads as, and what the media may hold."""

from dataclasses import dataclass, replace
from operator import attrgetter

from harness.model.wire.observation import Source, Stamp, Zero
from harness.model.wire.stamps import SHIFT_LIMIT, SHIFT_UNIT


@dataclass(frozen=True, slots=True)
class Anything:
    """Bytes that no document defines: those of a poisoned page, or behind the end of a file."""


MOVES_LIMIT = 32
CONTENTS_LIMIT = 1024
"""The most places, and the most contents, that are followed for one byte; beyond that it may hold anything, until a
sync. Each insert that is not synced adds a place to each byte behind it: without a limit 400 of them take a minute."""
Known = Zero | Stamp | Anything
"""The sources that a byte may come from."""
Values = frozenset[Known]
ZERO = Zero()
ANYTHING = Anything()
ZEROES: Values = frozenset({ZERO})
_PLAIN: Values = frozenset({ZERO, ANYTHING})
_PLACE = attrgetter("file", "shift")


@dataclass(frozen=True, slots=True)
class Allowed:
    """One byte, by three sets: `current` is what a read may return now (one content, unless ops raced), `durable` is
    what the media may hold after a cut, `past` is all that was ever current here. `promised_by` is the index of the op
    that last made `durable` certain. `ever` is `past`, or None where that is not followed (FileState.held).

        op                current    durable        past           promised_by
        0 create f        {zero}     {zero}         {zero}
        1 store  (A)      {A}        {zero, A}      {zero, A}
        2 msync           {A}        {A}            {zero, A}      2
        3 store  (B)      {B}        {A, B}         {zero, A, B}   2

    A cut after op 3 that shows zero breaks the promise of op 2; so the violation is STALE or ZERO by `past`, and not
    FOREIGN. After a race of the stores B and C, `current` is {B, C}. An msync then makes the byte `settled`: the media
    hold what is current, whichever it is. A read that returns C tells both: current {C}, durable {C}.
    """

    current: Values = ZEROES
    durable: Values = ZEROES
    ever: Values | None = ZEROES
    promised_by: int | None = None
    settled: bool = True
    loose: bool = False
    """A crash of the file system has left it as one of `current`: until it is written again, no sync promises it, and
    no read tells what the media hold."""

    @property
    def past(self) -> Values:
        """All that was ever current here; only for a byte of FileState.contents."""
        assert self.ever is not None
        return self.ever

    def forgetting(self) -> "Allowed":
        """The same byte, of which it is not followed what was there."""
        return Allowed(self.current, self.durable, None, self.promised_by, self.settled, self.loose)

    def changed(self, current: Values, heals: bool = False) -> "Allowed":
        """The byte now reads one of `current`; nobody knows when the media will. Poison stays unless the op `heals`."""
        if ANYTHING in self.current and not heals:
            current |= {ANYTHING}
        return _unsettled(current, self.durable | current, _also(self.ever, current), self.promised_by)

    def maybe(self, values: Values) -> "Allowed":
        """The byte may have changed to one of `values`."""
        return _unsettled(self.current | values, self.durable | values, _also(self.ever, values), self.promised_by)

    def promised(self, index: int) -> "Allowed":
        """Op `index` returned success: the media hold what is current."""
        return self if self.loose else Allowed(self.current, self.current, self.ever, index)

    def may_hold(self, values: Values) -> "Allowed":
        """It reads as before, but the media may hold one of `values` here."""
        if values <= self.durable:
            return self
        return _unsettled(self.current, self.durable | values, self.ever, self.promised_by)

    def moved(self, move: "Move") -> "Allowed":
        """The same byte, at its place after the move."""
        current, durable = move.values(self.current), move.values(self.durable)
        ever = None if self.ever is None else move.values(self.ever)
        if current is self.current and durable is self.durable and ever is self.ever:
            return self
        return Allowed(current, durable, ever, self.promised_by, self.settled, self.loose)

    def crashed(self) -> "Allowed":
        """The file system crashed, and was mounted again: it reads as what the media may hold."""
        certain = len(self.durable) == 1
        ever = _also(self.ever, self.durable)
        return Allowed(self.durable, self.durable, ever, self.promised_by, certain, not certain)

    def joined(self, before: "Allowed") -> "Allowed":
        """This byte while the media may still hold what `before` allowed, or a hole in between."""
        durable = self.durable | before.durable | ZEROES
        return _unsettled(self.current, durable, _also(self.ever, before.ever), self.promised_by)

    def placed(self, source: "Allowed") -> "Allowed":
        """The blocks of `source` take this byte's place: the media may hold what they did, or what these do."""
        durable = self.durable | source.durable | source.current
        ever = _also(_also(self.ever, source.ever), source.current)
        return _unsettled(source.current, durable, ever, self.promised_by)

    def either(self, other: "Allowed") -> "Allowed":
        """This byte or the other: nobody knows whether an op took place."""
        durable, ever = self.durable | other.durable, _also(self.ever, other.ever)
        return _unsettled(self.current | other.current, durable, ever, self.promised_by)

    def told(self, source: Source | None) -> "Allowed":
        """A read has shown which of the contents it is."""
        if self.loose or len(self.current) == 1 or source not in self.current or ANYTHING in self.current:
            return self
        current: Values = frozenset({source})
        return replace(self, current=current, durable=current if self.settled else self.durable)


def _also(ever: Values | None, values: Values | None) -> Values | None:
    return None if ever is None or values is None else ever | values


def _unsettled(current: Values, durable: Values, ever: Values | None, promised_by: int | None) -> Allowed:
    """A byte whose content the media may hold or not, unless they can hold one only."""
    if ANYTHING in durable or _too_many(durable):
        durable = current | {ANYTHING}
    if ever is not None and (ANYTHING in ever or _too_many(ever)):
        ever = current | {ANYTHING}
    return Allowed(current, durable, ever, promised_by, len(durable) == 1)


def _too_many(values: Values) -> bool:
    if len(values) <= MOVES_LIMIT:
        return False
    return len(values) > CONTENTS_LIMIT or len(set(map(_PLACE, values - _PLAIN))) > MOVES_LIMIT


class Move:
    """A move of bytes by `distance`. The bytes of a file have few stamps, and few sets of them, many times over: each
    is moved once, and the results are shared."""

    def __init__(self, distance: int) -> None:
        self.distance = distance
        self._known = _MovedSources(distance)
        self._sets: dict[Values, Values] = {ZEROES: ZEROES}

    def values(self, values: Values) -> Values:
        """The values of bytes that were moved."""
        if not self.distance:
            return values
        found = self._sets.get(values)
        if found is None:
            found = self._sets[values] = frozenset(map(self._known.__getitem__, values))
        return found


class _MovedSources(dict[Known, Known]):
    """The sources that were asked for, and what each is after the move; a stamp can only be told after some distances
    (stamps.SHIFT_UNIT)."""

    def __init__(self, distance: int) -> None:
        super().__init__()
        self._distance = distance

    def __missing__(self, source: Known) -> Known:
        moved = source
        if isinstance(source, Stamp):
            shift = source.shift + self._distance
            told = shift % SHIFT_UNIT == 0 and abs(shift) <= SHIFT_LIMIT
            moved = Stamp(source.seq, source.file, shift) if told else ANYTHING
        self[source] = moved
        return moved
