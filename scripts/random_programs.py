"""Writes random legal Programs, a .prog file each; no sync makes their last stores, shifts and truncates durable.

Every Program begins with a durable file and its mapping; then come 4 to 12 ops, with a sync somewhere among them, and
the power cut. Places and lengths lie at or near the edges of lines, pages, PMD entries and the file. The next op is one
that model.program.choices allows, so that every op can be run and a sound kernel does it.
"""

import argparse
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.model.contract import oracle
from harness.model.contract.reach import reach
from harness.model.contract.state import NOTHING, Step
from harness.model.program import ops
from harness.model.program.choices import Choice, Numbers, choices
from harness.model.program.ops import How, Mode, Op, Sharing
from harness.model.program.program import Program, format
from harness.model.program.traits import traits
from harness.model.program.validity import Position
from harness.model.units import LINE, PAGE, PMD

SIZES = (5000, PAGE, 9192, 4 * PAGE, 16 * PAGE, PMD, PMD + 5000, 2 * PMD, 4 * PMD)
LENGTHS = (8, LINE, 1000, PAGE, PAGE, 5000, 4 * PAGE, PMD, PMD, 2 * PMD)
LARGEST = 6 * PMD
"""No op makes a file longer than this."""
WORD = 8
"""Bytes that a stamp is told by: places and lengths are multiples of it."""
EXTRAS: Mapping[str, tuple[type[Op], ...]] = {"clone": (ops.CloneFile, ops.Clone, ops.Dedupe)}
"""The ops that only some file systems know, by the word for them in --fs-has."""
KEPT = "data1"
"""The name that no op takes away, so that there is something to judge."""
Wanted = Callable[[Mapping[str, object]], bool]


def anything(_: Mapping[str, object]) -> bool:
    return True


class Draft:
    """A Program being made. Each family below is a function that adds an op, or none if there is none to add."""

    def __init__(self, dice: random.Random, extras: tuple[type[Op], ...]) -> None:
        self.dice = dice
        self.extras = extras
        self.ops: list[Op] = []
        self.state = NOTHING
        self._position = Position()
        self._stamps = self._files = 0

    def add(self, op: Op) -> None:
        """Go on with the op; ProgramError if it is not legal."""
        self._position.add(op)
        self._stamps += traits(op).stamps
        self._files += isinstance(op, ops.Create)
        step = Step(len(self.ops), self._stamps, self._files)
        self.state = oracle.apply(self.state, step, op)
        self.ops.append(op)

    def draw(self, kind: type[Op], wanted: Wanted = anything, **numbers: int) -> bool:
        """Add an op of that kind, with the names and modes that are wanted and some numbers given; False if there is
        none."""
        found = choices(self._position, kind, reach(self.state, LARGEST))
        fitting = [choice for choice in found if wanted(choice.named)]
        op = self._drawn(self.dice.choice(fitting), numbers) if fitting else None
        if op is not None:
            self.add(op)
        return op is not None

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
        edges = (0, PAGE, 2 * PAGE, PMD - PAGE, PMD, PMD + 16 * PAGE, 2 * PMD, top // 2, top)
        base = self.dice.choice([edge for edge in edges if edge <= top])
        near = base + self.dice.choice((0, 0, 0, PAGE, -PAGE, LINE, -LINE, 1000, -1000))
        return max(0, min(near, top))

    def size(self, fd: object) -> int:
        """Return the least size in bytes that the file may have now."""
        return self.state.files[self.state.fds[str(fd)]].shortest

    def file(self) -> str:
        """Draw a descriptor."""
        return self.dice.choice(sorted(self.state.fds))


def make_file(draft: Draft) -> None:
    """Add a durable file, allocated or written or sparse, and its mapping."""
    dice, size = draft.dice, draft.dice.choice(SIZES)
    draft.draw(ops.Create)
    fd = sorted(draft.state.fds)[-1]
    match dice.choice(("allocate", "write", "sparse")):
        case "allocate":
            draft.add(ops.Fallocate(fd, Mode.ALLOCATE, 0, size))
        case "write":
            draft.add(ops.Pwrite(fd, 0, size))
        case "sparse":
            draft.add(ops.Ftruncate(fd, size))
    make_mapping(draft, fd)
    if dice.random() < 0.7:
        store(draft)
    draft.add(ops.Fsync(fd))
    draft.add(ops.Fsyncdir())


def make_mapping(draft: Draft, fd: str) -> None:
    """Map mostly all of the file, sometimes a PMD more than it has, so that stores can reach its later growth."""
    start = draft.dice.choice((0, 0, 0, PAGE, PMD))
    length = max(draft.size(fd) + PAGE - 1 - start, PAGE) // PAGE * PAGE + draft.dice.choice((0, 0, PMD))
    sharing = draft.dice.choices((Sharing.SHARED, Sharing.SYNC), (5, 1))[0]
    draft.draw(ops.Mmap, lambda named: (named["fd"], named["sharing"]) == (fd, sharing), offset=start, length=length)


def store(draft: Draft) -> None:
    """Store through a mapping, also behind the end of the file in its last page."""
    if not draft.draw(ops.Store):
        make_mapping(draft, draft.file())


def write(draft: Draft) -> None:
    """Write by descriptor, sometimes past the end."""
    fd, how = draft.file(), draft.dice.choices((How.PLAIN, How.DSYNC), (6, 1))[0]
    place = draft.place(min(draft.size(fd) + draft.dice.choice((0, PAGE, PMD)), LARGEST - WORD)) // WORD * WORD
    draft.draw(ops.Pwrite, lambda named: (named["fd"], named["how"]) == (fd, how), offset=place)


def remap(draft: Draft) -> None:
    """Add a mapping, or remove one."""
    fd = draft.file()
    if draft.dice.random() < 0.5:
        draft.draw(ops.Munmap)
    elif sum(one.file == draft.state.fds[fd] for one in draft.state.maps.values()) < 3:
        make_mapping(draft, fd)


def sync(draft: Draft) -> None:
    """Ask for a promise: of a range, a file, the names."""
    kinds = (ops.Msync, ops.Msync, ops.Flush, ops.Fsync, ops.Fsync, ops.Fdatasync, ops.Fsyncdir, ops.Syncfs)
    draft.draw(draft.dice.choice(kinds), lambda named: named.get("flag", ops.MsyncFlag.SYNC) is ops.MsyncFlag.SYNC)


def look(draft: Draft) -> None:
    """Read in the middle of the Program."""
    kind = draft.dice.choice((ops.Load, ops.Pread, ops.Observe))
    draft.draw(kind, lambda named: named.get("how", How.PLAIN) is How.PLAIN)


def reshape(draft: Draft) -> None:
    """Change a file's size or blocks, or move contents within it."""
    modes = (
        Mode.PUNCH_HOLE, Mode.ZERO_RANGE, Mode.INSERT_RANGE, Mode.INSERT_RANGE, Mode.COLLAPSE_RANGE,
        Mode.COLLAPSE_RANGE, Mode.ALLOCATE,
    )  # fmt: skip
    fd, kind = draft.file(), draft.dice.choice((*modes, "cut", "grow"))
    match kind:
        case "cut":
            draft.add(ops.Ftruncate(fd, draft.place(draft.size(fd)) // WORD * WORD))
        case "grow":
            more = draft.dice.choice((8, 1000, PAGE, PMD))
            draft.add(ops.Ftruncate(fd, min(draft.size(fd) + more, LARGEST)))
        case _:
            draft.draw(ops.Fallocate, lambda named: (named["fd"], named["mode"]) == (fd, kind))


def exchange(draft: Draft) -> None:
    """Copy contents or blocks from one file to another, where there are two."""
    draft.draw(
        draft.dice.choice((ops.CopyFileRange, *draft.extras * 2)), lambda named: named["fd"] != named["source"]
    )


def rename(draft: Draft) -> None:
    """Rename, link or unlink a file."""
    names = draft.state.names
    kind = draft.dice.choice((ops.Rename, ops.Link, ops.Unlink))
    new = None if kind is ops.Unlink else "to"
    draft.draw(kind, lambda named: (kind is ops.Link or named["path"] != KEPT) and named.get(str(new)) not in names)


Family = Callable[[Draft], None]
ANY: dict[Family, int] = {store: 5, write: 3, remap: 1, sync: 3, look: 1, reshape: 5, exchange: 3, rename: 1}
LAST: dict[Family, int] = {store: 5, write: 3, remap: 1, look: 1, reshape: 6, exchange: 4, rename: 1}
"""The families and their weights: in ANY for the ops up to the last sync, in LAST for the ops after it."""


def draw(dice: random.Random, extras: tuple[type[Op], ...]) -> Program:
    """Draw one Program."""
    draft = Draft(dice, extras)
    for _ in range(dice.choice((1, 2))):
        make_file(draft)
    for families, count in ((ANY, dice.randint(1, 6)), ({sync: 1}, 1), (LAST, dice.randint(2, 5))):
        wanted = len(draft.ops) + count
        while len(draft.ops) < wanted:
            dice.choices(list(families), list(families.values()))[0](draft)
    draft.add(ops.CutPower())
    return Program(tuple(draft.ops))


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/random-programs", description=__doc__)
    parser.add_argument("count", type=int, metavar="COUNT", help="how many Programs")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the same Programs for the same number (1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the .prog files go")
    parser.add_argument("--fs-has", action="append", default=[], choices=EXTRAS, help="ops the file system knows")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    extras = tuple(op for name in options.fs_has for op in EXTRAS[name])
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(1, options.count + 1):
        (options.out / f"r{options.seed}_{number:04}.prog").write_text(format(draw(dice, extras)))


if __name__ == "__main__":
    main()
