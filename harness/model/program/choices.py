"""The legal next ops of a Program, by construction: each choice of names, with the numbers that may go with it.

After `create f data`, `ftruncate f 8K` and `mmap m f 0 8K` there is one choice of kind Store, `store m OFFSET LENGTH`:
OFFSET is in 0..8191 and, once that is 4096, LENGTH is in 1..4096. Of kind Pwrite there are four, one for each `how`.

Two questions are answered. Without a `Reach`: which ops make a Program that can be run (model.program.validity)? With
one: which of those does a sound kernel do, in whole, on files of that size? A store past the end of the file makes a
legal Program, and the cell ends in a SIGBUS that is the Program's own mistake.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import EnumType
from itertools import count, product

from harness.model.program import ops
from harness.model.program.ops import How, Mode, Op
from harness.model.program.scope import Scope
from harness.model.program.sections import TIMES_LIMIT
from harness.model.program.traits import Traits, traits
from harness.model.program.validity import DEVICE_LIMIT, SIZE_LIMIT, Position
from harness.model.units import PAGE
from harness.model.wire.stamps import SHIFT_UNIT

WORDS = {"options": ("ro", "rw"), "errnos": ("EINVAL",)}
"""The words that are offered for free text."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """`low`, `low + unit` and so on, none above `high`; of them only the powers of two if `powers`."""

    low: int
    high: int
    unit: int = 1
    powers: bool = False

    def __contains__(self, number: int) -> bool:
        fits = self.low <= number <= self.high and (number - self.low) % self.unit == 0
        return fits and not (self.powers and number & (number - 1))

    def __bool__(self) -> bool:
        return self.low <= self.high

    def near(self, number: int) -> int:
        """The largest that is not above `number`, or the least; of numbers that are there and no powers of two."""
        return max(self.low, min(number, self.high) - (min(number, self.high) - self.low) % self.unit)


@dataclass(frozen=True, slots=True)
class Reach:
    """The usable part of files and mappings: `bytes` of each descriptor up to the end of its file, and of each mapping
    up to the last page of its file; a file may grow to `largest`."""

    bytes: Mapping[str, int]
    largest: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Ops of one kind that differ by their numbers alone. `named` are the values of all other fields."""

    kind: type[Op]
    named: Mapping[str, object]
    expected: Op | None = None
    """The op before, if it says what is to become of this one."""
    scope: Scope = field(default_factory=Scope)
    reach: Reach | None = None

    @property
    def open(self) -> tuple[str, ...]:
        """The fields that take a number, in the order in which they are to be chosen."""
        return tuple(one.name for one in fields(self.kind) if one.name not in self.named)

    def op(self, numbers: Mapping[str, int]) -> Op:
        """The op with these numbers."""
        return self.kind(**{**self.named, **numbers})  # type: ignore[arg-type]

    def ops(self, numbers: Iterable[int]) -> Iterator[Op]:
        """Every op of the choice whose numbers are all among these."""
        alphabet = tuple(numbers)

        def more(chosen: dict[str, int]) -> Iterator[Op]:
            if len(chosen) == len(self.open):
                yield self.op(chosen)
                return
            name = self.open[len(chosen)]
            bounds = self.numbers(name, chosen)
            for number in alphabet:
                if number in bounds:
                    yield from more({**chosen, name: number})

        return more({})

    def numbers(self, name: str, chosen: Mapping[str, int]) -> Numbers:
        """Return the numbers that the field may be, when the fields before it are as `chosen`."""
        match name:
            case "offset":
                unit = PAGE if self._facts.page_aligned or self._whole_blocks else 1
                return Numbers(0, self._limit() - self._least, unit)
            case "length":
                return self._lengths(chosen["offset"])
            case "source_offset" | "other_offset":
                unit, low = self._grid(chosen["offset"])
                return Numbers(low, self._other_limit() - chosen["length"], unit)
            case "file_offset":
                end = SIZE_LIMIT - self.scope.map(str(self.named["map"])) + chosen["offset"]
                return Numbers(0, end if self.reach is None else min(end, self.reach.largest), PAGE)
            case "size" if self.kind is ops.Mresize:
                return Numbers(1, SIZE_LIMIT if self.reach is None else self.reach.largest)
            case "align":
                return Numbers(PAGE, SIZE_LIMIT, powers=True)
            case "times":
                return Numbers(1, TIMES_LIMIT)
            case "start":
                return Numbers(0, DEVICE_LIMIT - 1)
            case "end":
                return Numbers(chosen["start"] + 1, DEVICE_LIMIT)
            case "count":
                return Numbers(0, SIZE_LIMIT - 1)
            case _:
                return Numbers(0, SIZE_LIMIT if self.reach is None else self.reach.largest)

    @property
    def _facts(self) -> Traits:
        return traits(self.op(dict.fromkeys(self.open, 0)))

    @property
    def _whole_blocks(self) -> bool:
        facts = self._facts
        return self.reach is not None and facts.whole_blocks

    @property
    def _least(self) -> int:
        """The least length."""
        if isinstance(self.expected, ops.ExpectShort):
            return self.expected.count + 1
        return PAGE if self._whole_blocks else 1

    def _lengths(self, offset: int) -> Numbers:
        high = self._limit() - offset
        if self.named.get("mode") is Mode.INSERT_RANGE and self.reach is not None:
            high = self.reach.largest - self._used("fd")
        if self.named.get("fd") in self.scope.appending and self.kind is ops.Pwrite and self.reach is not None:
            high = self.reach.largest - self._used("fd")
        if self.named.get("how") is How.APPEND and self.reach is not None:
            high = min(high, self.reach.largest - self._used("fd"))
        if {"source_offset", "other_offset"} & {*self.open}:
            high = min(high, self._other_limit() - self._grid(offset)[1])
        if isinstance(self.expected, ops.ExpectSignal):
            high = min(high, PAGE - offset % PAGE)
        return Numbers(self._least, high, PAGE if self._whole_blocks else 1)

    def _grid(self, offset: int) -> tuple[int, int]:
        """The distance of the places that a range may be copied from to `offset`, and the first of them: some shifts of
        stamps are taken for chance."""
        if isinstance(self.expected, ops.ExpectErrno | ops.ExpectSignal):
            return 1, 0  # nothing will be copied
        unit = PAGE if self._whole_blocks else SHIFT_UNIT
        return unit, offset % unit

    def _limit(self) -> int:
        """Return the offset where the range at `offset` must end at the latest."""
        facts = self._facts
        if facts.needs_mapped and facts.accesses != "source_offset":
            return self._used("map")
        if self.reach is None:
            return SIZE_LIMIT
        # A write that would have to wait may be left undone, and then the file is no longer.
        if facts.past_end and self.named.get("how") is not How.NOWAIT:
            return self.reach.largest
        # fallocate(2), EINVAL: a collapse that reaches the end of the file, an insert that does not begin before it.
        match self.named.get("mode"):
            case Mode.COLLAPSE_RANGE:
                return self._used("fd") - 1
            case Mode.INSERT_RANGE:
                return self._used("fd") - 1 + self._least
            case _:
                return self._used("fd")

    def _other_limit(self) -> int:
        """Return the offset where the range at `source_offset` or `other_offset` must end at the latest."""
        if self._facts.accesses == "source_offset":
            return self._used("map")
        names = [name for name in ("source", "other", "fd") if name in self.named]
        return self._used(names[0])

    def _used(self, name: str) -> int:
        """Return the bytes that there are of the descriptor or mapping in that field."""
        value = str(self.named[name])
        whole = self.scope.map(value) if name == "map" else SIZE_LIMIT
        return whole if self.reach is None else min(whole, self.reach.bytes.get(value, 0))


def is_taken(position: Position, op: Op, reach: Reach) -> bool:
    """Say whether the op may stand there next and a sound kernel does it in whole: whether it is of one of the choices,
    but for the name of what it defines."""
    if not position.allows(op):
        return False
    named = {one.name: getattr(op, one.name) for one in fields(op) if one.type is not int}
    choice = Choice(type(op), named, position.expected, position.scope, reach)
    chosen: dict[str, int] = {}
    for name in choice.open:
        chosen[name] = getattr(op, name)
        if chosen[name] not in choice.numbers(name, chosen):
            return False
    return _is_taken(choice)


def choices(position: Position, kind: type[Op], reach: Reach | None = None) -> Iterator[Choice]:
    """Yield all choices of ops of that kind that may stand there next; with `reach`, only those that a sound kernel
    does in whole.

    A descriptor, mapping, file or lane to be defined gets one new name, which stands for all others. Options of a
    remount and errnos are few (WORDS).
    """
    scope = position.scope
    values = {one.name: tuple(_values(one.name, one.type, kind, position)) for one in fields(kind)}
    named = {name: of for name, of in values.items() if of != (None,)}
    for chosen in product(*named.values()):
        choice = Choice(kind, dict(zip(named, chosen, strict=True)), position.expected, scope, reach)
        if (probe := _first(choice)) is not None and position.allows(probe) and _is_taken(choice):
            yield choice


def _values(name: str, type_: object, kind: type[Op], position: Position) -> Iterable[object]:
    """Return the values that a field may have; None alone for a number."""
    scope = position.scope
    if isinstance(type_, EnumType):
        return tuple(type_)
    if type_ is int:
        return (None,)
    match name:
        case "fd" if kind in (ops.Create, ops.Open, ops.Tmpfile):
            return (fresh("f", scope.fds),)
        case "fd" | "source" | "other":
            return tuple(fd for fd, is_open in scope.fds.items() if is_open)
        case "map" if kind is ops.Mmap:
            return (fresh("m", scope.maps),)
        case "map":
            return tuple(map for map, length in scope.maps.items() if length)
        case "new":
            return (fresh("m", scope.maps),)
        case "path" | "to" | "target":
            return _paths(scope)
        case "name":
            return (fresh("lane", position.sections.lanes),)
        case _:
            return WORDS[name]


def _paths(scope: Scope) -> tuple[str, ...]:
    """Return every name that is there, a new one in each directory, and none, which stands for the root."""
    there = (*sorted(scope.paths), *sorted(scope.dirs), *sorted(scope.symlinks))
    new = fresh("data", {name.rpartition("/")[2] for name in there})
    return (*there, new, *(f"{one}/{new}" for one in sorted(scope.dirs)), "")


def fresh(stem: str, taken: Iterable[str]) -> str:
    """The first of stem1, stem2 and so on that is not taken."""
    used = frozenset(taken)
    return next(name for number in count(1) if (name := f"{stem}{number}") not in used)


def _first(choice: Choice) -> Op | None:
    """An op of the choice; None if there is none."""
    chosen: dict[str, int] = {}
    for name in choice.open:
        numbers = choice.numbers(name, chosen)
        if not numbers:
            return None
        chosen[name] = numbers.low
    return choice.op(chosen)


def _is_taken(choice: Choice) -> bool:
    """Say whether a sound kernel does ops of the choice, as far as that depends on none of their numbers.

    ioctl_ficlone(2): a last block that is not whole may be shared only if it becomes the last one.
    """
    if choice.reach is None or choice.kind is not ops.CloneFile:
        return True
    source, to = (choice.reach.bytes.get(str(choice.named[name]), 0) for name in ("source", "fd"))
    return choice.named["source"] != choice.named["fd"] and source > 0 and (source % PAGE == 0 or source >= to)
