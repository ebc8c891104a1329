"""A Program being made: what may come next is known at each op, so that every op can be run and a sound kernel does it.

The next op is one that model.program.choices allows. Places and lengths lie at or near the edges of lines, pages, PMD
entries, files, and of what the ops before have touched.
"""

import errno
import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from harness.model.contract import oracle
from harness.model.contract.filestate import page_ceil
from harness.model.contract.reach import reach
from harness.model.contract.state import NOTHING, Step
from harness.model.generator.rules import DrawRules, is_avoided
from harness.model.program import ops
from harness.model.program.choices import Choice, Numbers, choices, is_taken
from harness.model.program.ops import Access, Op
from harness.model.program.program import Program
from harness.model.program.scope import ProgramError
from harness.model.program.traits import touched, traits
from harness.model.program.validity import Position
from harness.model.units import LINE, PAGE, PMD
from harness.model.wire.observation import OpResult

LENGTHS = (8, LINE, 1000, PAGE, PAGE, 5000, 4 * PAGE, PMD, PMD, 2 * PMD)
LARGEST = 6 * PMD
"""No op makes a file longer than this."""
WORD = 8
"""Bytes that a stamp is told by: places and lengths are multiples of it."""
MOSTLY = 0.9
"""The share of ops that are to be avoided (DrawRules.avoid) and are left out."""
Wanted = Callable[[Mapping[str, object]], bool]
"""Says whether an op with these names and modes is wanted."""


def anything(_: Mapping[str, object]) -> bool:
    return True


class ProgramDraft:
    """The ops so far, and the state after them.

    `state` is that before the first lane while lanes are drawn: they all start from it.
    """

    def __init__(self, dice: random.Random, rules: DrawRules) -> None:
        self.dice = dice
        self.rules = rules
        self.ops: list[Op] = []
        self.state = NOTHING
        self._position = Position()
        self._barred: list[ops.Mprotect] = []
        """Parts of mappings that may not be stored to by now."""
        self._stamps = self._files = 0

    @property
    def in_lane(self) -> bool:
        """Say whether the next op is one of a lane."""
        return self._position.sections.lane is not None

    @property
    def is_plain(self) -> bool:
        """Say whether any op may come next: no lane is open, no file system frozen or unmounted, nothing expected."""
        foreseen = isinstance(self._position.expected, ops.ExpectErrno | ops.ExpectShort | ops.ExpectSignal)
        return not self.in_lane and not foreseen and self._position.allows(ops.Freeze())

    @property
    def has_contents(self) -> bool:
        """Say whether some file surely has a name and is not empty: else there would be nothing to judge."""
        files = map(self.state.file, self.state.names)
        return any(file.shortest for file in files if file is not None)

    @property
    def descriptors(self) -> tuple[str, ...]:
        """The descriptors that were ever opened."""
        return tuple(self._position.scope.fds)

    @property
    def directories(self) -> tuple[str, ...]:
        """The directories that are there."""
        return tuple(sorted(self._position.scope.dirs))

    @property
    def names(self) -> tuple[str, ...]:
        """The mappings that are there."""
        return tuple(name for name, length in self._position.scope.maps.items() if length)

    def add(self, op: Op) -> None:
        """Go on with the op; ProgramError if it is not legal."""
        joins = isinstance(op, ops.Join)
        refused = isinstance(self._position.expected, ops.ExpectErrno | ops.ExpectSignal)
        self._position.add(op)
        self._stamps += traits(op).stamps
        self._files += isinstance(op, ops.Create | ops.Tmpfile)
        self.ops.append(op)
        self._bar(op)
        if joins:
            program = Program(tuple(self.ops))
            self.state = oracle.run(program, foreseen(program))[-1]
        elif not self.in_lane and not refused:
            self.state = oracle.apply(self.state, Step(len(self.ops) - 1, self._stamps, self._files), op)

    def fits(self, op: Op) -> bool:
        """Say whether the op may come next, and a sound kernel does it in whole."""
        if isinstance(op, ops.Mmap) or isinstance(self._position.expected, ops.ExpectErrno | ops.ExpectSignal):
            # A mapping may reach past the end of its file, and what is to be refused may name anything.
            return self._position.allows(op)
        return not self._fails(op) and is_taken(self._position, op, reach(self.state, LARGEST))

    def take(self, unit: Sequence[Op]) -> bool:
        """Go on with an op of another Program, or with an expectation and the op that it is about; False if a part of
        it does not fit."""
        fits = self.fits(unit[0]) if len(unit) == 1 else self._position.allows(*unit)
        for op in unit if fits else ():
            self.add(op)
        return fits

    def draw(self, kind: type[Op], wanted: Wanted = anything, **numbers: int) -> bool:
        """Add an op of that kind, with the names and modes that are wanted and some numbers given; False if there is
        none, or if it is to be avoided."""
        found = choices(self._position, kind, reach(self.state, LARGEST))
        fitting = [choice for choice in found if wanted(choice.named)]
        op = self._drawn(self.dice.choice(fitting), numbers) if fitting else None
        if op is None or self._fails(op) or self._left_out(op):
            return False
        self.add(op)
        return True

    def _bar(self, op: Op) -> None:
        """Note what mprotect forbids; what it allows again is allowed as a whole."""
        match op:
            case ops.Mprotect(access=Access.WRITE) | ops.Munmap():
                self._barred = [one for one in self._barred if one.map != op.map or not _covers(op, one)]
            case ops.Mprotect():
                self._barred.append(op)
            case ops.Mremap():
                old = [one for one in self._barred if one.map == op.map]
                self._barred += [replace(one, map=op.new, offset=0, length=LARGEST) for one in old]
            case _:
                pass

    def _fails(self, op: Op) -> bool:
        """Say whether the op ends in a signal or an errno for what went before, though it may stand here: a store where
        mprotect(2) forbids it, a copy of a file over the part that it is read from (copy_file_range(2), EINVAL)."""
        memory = touched(op) if traits(op).stores else None
        if memory is not None:
            name, start, length = memory
            # mprotect(2) forbids whole pages.
            barred = [(one.offset, page_ceil(one.offset + one.length)) for one in self._barred if one.map == name]
            if any(start < end and low < start + length for low, end in barred):
                return True
        files = self.state.fds
        match op:
            case ops.Ftruncate(fd, size) if self.in_lane and fd in files:
                # SIGBUS for whoever stores there next, in this lane or another one (mmap(2)).
                return size < self.state.files[files[fd]].longest
            case ops.CloneFile(fd, source):
                return files.get(fd) == files.get(source)
            case ops.Clone() | ops.Dedupe() | ops.CopyFileRange() | ops.Splice() | ops.Sendfile():
                near = abs(op.offset - op.source_offset) < op.length
                return near and files.get(op.fd) == files.get(op.source)
            case ops.Mresize(name, size) if size > self._position.scope.maps.get(name, 0):
                # Those may split a mapping in two, and mremap(2), EFAULT, makes one longer that is whole.
                split = (ops.Madvise, ops.Mlock, ops.Mprotect)
                return any(isinstance(one, split) and one.map == name for one in self.ops)
            case _:
                return False

    def _left_out(self, op: Op) -> bool:
        return is_avoided(op, self.rules) and self.dice.random() < MOSTLY

    def _drawn(self, choice: Choice, given: Mapping[str, int]) -> Op | None:
        chosen: dict[str, int] = {}
        for name in choice.open:
            bounds = choice.numbers(name, chosen)
            number = given[name] if name in given else self._number(name, bounds) if bounds else 0
            if number not in bounds:
                return None
            chosen[name] = number
        return choice.op(chosen)

    def _number(self, name: str, bounds: Numbers) -> int:
        if name == "align":
            return self.dice.choice((PAGE, PMD))
        wanted = self.dice.choice((*LENGTHS, bounds.high)) if name == "length" else self.place(bounds.high)
        return bounds.near(max(bounds.low, wanted // WORD * WORD))

    def place(self, top: int) -> int:
        """An offset in [0, top], near an edge."""
        edges = (0, PAGE, 2 * PAGE, PMD - PAGE, PMD, PMD + 16 * PAGE, 2 * PMD, top // 2, top, *self._touched())
        base = self.dice.choice([edge for edge in edges if edge <= top])
        near = base + self.dice.choice((0, 0, 0, PAGE, -PAGE, LINE, -LINE, 1000, -1000))
        return max(0, min(near, top))

    def _touched(self) -> list[int]:
        """Return where the ranges of the last ops begin and end: there are the edges of extents."""
        ranged = [(getattr(op, "offset", None), getattr(op, "length", None)) for op in self.ops[-4:]]
        return [edge for start, length in ranged if start is not None and length for edge in (start, start + length)]

    def size(self, fd: object) -> int:
        """Return the least size in bytes that the file may have now."""
        return self.state.files[self.state.fds[str(fd)]].shortest

    def file(self) -> str:
        """Draw a descriptor."""
        return self.dice.choice(sorted(self.state.fds))


def foreseen(program: Program) -> tuple[OpResult, ...]:
    """The results of the ops that are to be refused; all others succeed."""
    pairs = enumerate(itertools.pairwise(program.ops))
    return tuple(
        OpResult(index + 1, getattr(errno, one.errnos.split("|")[0]))
        for index, (one, _) in pairs
        if isinstance(one, ops.ExpectErrno)
    )


def _covers(op: ops.Mprotect | ops.Munmap, barred: ops.Mprotect) -> bool:
    if isinstance(op, ops.Munmap):
        return True
    return op.offset <= barred.offset and barred.offset + barred.length <= op.offset + op.length


def units(program: Iterable[Op]) -> list[tuple[Op, ...]]:
    """The ops, each with the expectation before it: what says that the next op is refused holds for no other one."""
    found: list[tuple[Op, ...]] = []
    for op in program:
        if found and isinstance(found[-1][-1], ops.ExpectErrno | ops.ExpectShort | ops.ExpectSignal):
            found[-1] += (op,)
        else:
            found.append((op,))
    return found


def rebuilt(old: Iterable[Op], rules: DrawRules) -> Program | None:
    """The Program of these ops without those that can no longer stand where they do; None if no cut is left.

    Example: without its `mmap`, the stores through that mapping go too.
    """
    draft = ProgramDraft(random.Random(0), rules)
    for unit in units(old):
        draft.take(unit)
    try:
        return Program(tuple(draft.ops)) if isinstance(draft.ops[-1], ops.CutPower) else None
    except (ProgramError, IndexError):
        return None
