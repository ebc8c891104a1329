"""Describes what the contract allows of one byte: what it reads as, and what the media may hold."""

from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Allowed:
    """One byte, by three sets: `current` is what a read may return now (one content, unless ops raced), `durable` is
    what the media may hold after a cut, `past` is all that was ever current here. `promised_by` is the index of the op
    that last made `durable` certain.

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
    past: Values = ZEROES
    promised_by: int | None = None
    settled: bool = True

    def changed(self, current: Values, heals: bool = False) -> "Allowed":
        """The byte now reads one of `current`; nobody knows when the media will. Poison stays unless the op `heals`."""
        if ANYTHING in self.current and not heals:
            current |= {ANYTHING}
        return _unsettled(current, self.durable | current, self.past | current, self.promised_by)

    def maybe(self, values: Values) -> "Allowed":
        """The byte may have changed to one of `values`."""
        return _unsettled(self.current | values, self.durable | values, self.past | values, self.promised_by)

    def promised(self, index: int) -> "Allowed":
        """Op `index` returned success: the media hold what is current."""
        return Allowed(self.current, self.current, self.past, index)

    def may_hold(self, values: Values) -> "Allowed":
        """It reads as before, but the media may hold one of `values` here."""
        if values <= self.durable:
            return self
        return _unsettled(self.current, self.durable | values, self.past, self.promised_by)

    def moved(self, distance: int) -> "Allowed":
        """The same byte, `distance` bytes further in the file."""
        durable, past = moved(self.durable, distance), moved(self.past, distance)
        return Allowed(moved(self.current, distance), durable, past, self.promised_by, self.settled)

    def joined(self, before: "Allowed") -> "Allowed":
        """This byte while the media may still hold what `before` allowed, or a hole in between."""
        durable = self.durable | before.durable | ZEROES
        return _unsettled(self.current, durable, self.past | before.past, self.promised_by)

    def placed(self, source: "Allowed") -> "Allowed":
        """The blocks of `source` take this byte's place: the media may hold what they did, or what these do."""
        durable = self.durable | source.durable | source.current
        return _unsettled(source.current, durable, self.past | source.past | source.current, self.promised_by)

    def either(self, other: "Allowed") -> "Allowed":
        """This byte or the other: nobody knows whether an op took place."""
        durable, past = self.durable | other.durable, self.past | other.past
        return _unsettled(self.current | other.current, durable, past, self.promised_by)

    def told(self, source: Source | None) -> "Allowed":
        """A read has shown which of the contents it is."""
        if len(self.current) == 1 or source not in self.current or ANYTHING in self.current:
            return self
        current: Values = frozenset({source})
        return replace(self, current=current, durable=current if self.settled else self.durable)


def _unsettled(current: Values, durable: Values, past: Values, promised_by: int | None) -> Allowed:
    """A byte whose content the media may hold or not, unless they can hold one only."""
    if ANYTHING in durable or _too_many(durable):
        durable = current | {ANYTHING}
    if ANYTHING in past or _too_many(past):
        past = current | {ANYTHING}
    return Allowed(current, durable, past, promised_by, len(durable) == 1)


def _too_many(values: Values) -> bool:
    if len(values) <= MOVES_LIMIT:
        return False
    places = {(source.file, source.shift) for source in values if isinstance(source, Stamp)}
    return len(places) > MOVES_LIMIT or len(values) > CONTENTS_LIMIT


def moved(values: Values, distance: int) -> Values:
    """The values of bytes that were moved by `distance`; stamps can only be told after some (stamps.SHIFT_UNIT)."""
    if not distance:
        return values
    return frozenset(_moved(source, distance) if isinstance(source, Stamp) else source for source in values)


def _moved(stamp: Stamp, distance: int) -> Known:
    shift = stamp.shift + distance
    return ANYTHING if shift % SHIFT_UNIT or abs(shift) > SHIFT_LIMIT else Stamp(stamp.seq, stamp.file, shift)
