"""Laws of choices: what is offered is legal, what is legal is offered, and with a reach a sound kernel does it."""

import random
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import EnumType
from itertools import product

import pytest

from harness.model.program import ops
from harness.model.program.choices import WORDS, Choice, Numbers, Reach, choices, fresh
from harness.model.program.ops import Op
from harness.model.program.validity import Position
from harness.model.units import PAGE

NUMBERS = (0, 1, 512, 513, PAGE, 2 * PAGE)
FILE = (ops.Create("f", "data"), ops.Mmap("m", "f", 0, 2 * PAGE))
IDLE = (*FILE, ops.Munmap("m"), ops.Close("f"))
TWO = (*FILE, ops.Create("g", "other"), ops.Mmap("n", "g", PAGE, 513))
POSITIONS: Mapping[str, tuple[Op, ...]] = {
    "start": (),
    "file": FILE,
    "two": TWO,
    "closed": (*TWO, ops.Close("f"), ops.Munmap("n")),
    "none": (*IDLE, ops.Unlink("data")),
    "frozen": (*FILE, ops.Freeze()),
    "unmounted": (*IDLE, ops.Umount()),
    "cut": (*FILE, ops.CutPower()),
    "lane": (*FILE, ops.Lane("lane1"), ops.Barrier(), ops.Open("g", "data")),
    "lanes": (*FILE, ops.Lane("lane1"), ops.Store("m", 0, 1), ops.Lane("lane2", times=2)),
    "errno": (*TWO, ops.ExpectErrno("EINVAL")),
    "append": (*TWO, ops.Open("a", "data", ops.Opening.APPEND)),
    "dirs": (*FILE, ops.Mkdir("a"), ops.Mkdir("a/b"), ops.Create("g", "a/data"), ops.Mkdir("c")),
    "links": (*FILE, ops.SymbolicLink("s", "data"), ops.Tmpfile("t"), ops.Tmpfile("u"), ops.LinkFd("u", "x")),
    "signal": (*FILE, ops.ExpectSignal(ops.Signal.SIGBUS)),
    "short": (*FILE, ops.ExpectShort(512)),
}


def alphabet(name: str, here: Position) -> tuple[object, ...]:
    """What the field of that name may be in the small world: names that are there, and a new one."""
    scope = here.scope
    match name:
        case "fd" | "source" | "other":
            return (*scope.fds, fresh("f", scope.fds))
        case "map" | "new":
            return (*scope.maps, fresh("m", scope.maps))
        case "path" | "to" | "target":
            new = fresh("data", {path.rpartition("/")[2] for path in (*scope.paths, *scope.dirs, *scope.symlinks)})
            return (*scope.paths, *scope.dirs, *scope.symlinks, new, *(f"{one}/{new}" for one in scope.dirs), "")
        case "name":
            return (*here.sections.lanes, fresh("lane", here.sections.lanes))
        case _:
            return WORDS.get(name, NUMBERS)


def everything(kind: type[Op], here: Position) -> Iterator[Op]:
    """Every op of the kind in the small world."""
    make: typing.Callable[..., Op] = kind
    values = [
        tuple(one.type.__members__.values()) if isinstance(one.type, EnumType) else alphabet(one.name, here)
        for one in fields(kind)
    ]
    return (make(*chosen) for chosen in product(*values))


@pytest.mark.parametrize("name", POSITIONS)
def test_choices_are_what_is_legal(name: str) -> None:
    """By brute force: of all ops of the small world those that the rules accept are offered, each once."""
    here = Position(POSITIONS[name])
    for kind in typing.get_args(Op):
        offered = [op for choice in choices(here, kind) for op in choice.ops(NUMBERS)]
        assert len(offered) == len(set(offered))
        assert set(offered) == {op for op in everything(kind, here) if here.allows(op)}, kind


def test_a_trial_changes_nothing() -> None:
    """To ask whether an op may stand there leaves the place as it was, in lanes too."""
    here = Position(POSITIONS["lane"])
    assert here.allows(ops.Barrier()) and here.allows(ops.Lane("lane2")) and here.allows(ops.Close("g"))
    assert not here.allows(ops.Close("f")) and not here.allows(ops.Lane("lane1"))
    assert here.sections.lanes == ("lane1",) and here.scope.fds["g"]
    here.add(ops.Lane("lane2"))
    assert not here.allows(ops.Join())  # which barriers do not meet


def drawn(choice: Choice, dice: random.Random) -> Op | None:
    chosen: dict[str, int] = {}
    for name in choice.open:
        numbers = choice.numbers(name, chosen)
        if not numbers:
            return None
        chosen[name] = numbers.near(dice.randint(numbers.low, numbers.high))
        assert chosen[name] in numbers
    return choice.op(chosen)


def test_drawn_numbers_are_legal() -> None:
    """Numbers from anywhere within the bounds, not of a small world alone, make legal ops."""
    dice = random.Random(1)
    here = Position(TWO)
    found = 0
    for kind in typing.get_args(Op):
        for choice in choices(here, kind):
            for _ in range(20 if kind is not ops.Mmap else 0):  # align is a power of two, which near() knows nothing of
                op = drawn(choice, dice)
                assert op is None or here.allows(op), op
                found += op is not None
    assert found > 2000


REACH = Reach({"f": PAGE + 100, "g": 0, "m": 2 * PAGE, "n": 0}, 4 * PAGE)
"""f is a page and a bit long, g is empty."""
PLACES = (0, 1, 100, PAGE, PAGE + 100, 2 * PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE)


def within(kind: type[Op]) -> list[typing.Any]:
    return [op for choice in choices(Position(TWO), kind, REACH) for op in choice.ops(PLACES)]


def test_a_reach_keeps_accesses_in_the_file() -> None:
    """Memory is touched up to the last page of the file (mmap(2)); nothing is read past its end."""
    assert {op.map for op in within(ops.Store)} == {"m"}
    assert max(op.offset + op.length for op in within(ops.Store)) == 2 * PAGE
    assert {(op.fd, op.offset + op.length <= PAGE + 100) for op in within(ops.Pread)} == {("f", True)}
    assert {op.fd for op in within(ops.ReadInto)} == {"f"} and within(ops.WriteFrom)
    assert all(op.source == "f" and op.source_offset + op.length <= PAGE + 100 for op in within(ops.CopyFileRange))


def test_a_reach_lets_files_grow() -> None:
    """write(2) and allocation may end past the end of the file, up to the largest size."""
    assert max(op.offset + op.length for op in within(ops.Pwrite)) == 4 * PAGE
    ends = {mode: max((op.offset + op.length for op in within(ops.Fallocate) if op.mode is mode), default=0)
            for mode in ops.Mode}  # fmt: skip
    assert ends[ops.Mode.ALLOCATE] == 4 * PAGE and ends[ops.Mode.PUNCH_HOLE] == PAGE + 100
    assert max(op.size for op in within(ops.Ftruncate)) == 4 * PAGE


def test_a_reach_keeps_shifts_to_whole_blocks() -> None:
    """fallocate(2): a collapse ends before the end of the file, an insert begins there; both of whole blocks."""
    shifts = [op for op in within(ops.Fallocate) if op.mode in (ops.Mode.COLLAPSE_RANGE, ops.Mode.INSERT_RANGE)]
    assert {(op.mode, op.fd, op.offset, op.length) for op in shifts} == {
        (ops.Mode.COLLAPSE_RANGE, "f", 0, PAGE), (ops.Mode.INSERT_RANGE, "f", 0, PAGE),
        (ops.Mode.INSERT_RANGE, "f", 0, 2 * PAGE), (ops.Mode.INSERT_RANGE, "f", PAGE, PAGE),
        (ops.Mode.INSERT_RANGE, "f", PAGE, 2 * PAGE),
    }  # fmt: skip


def test_a_reach_clones_whole_blocks() -> None:
    """ioctl_ficlonerange(2): whole blocks, or all of a file onto a shorter one."""
    assert {(op.fd, op.source) for op in within(ops.CloneFile)} == {("g", "f")}
    assert within(ops.Clone) and all(op.length == PAGE and op.offset % PAGE == 0 for op in within(ops.Clone))


def test_numbers() -> None:
    """The nearest number is one of them."""
    numbers = Numbers(100, 1000, 512)
    assert [number for number in range(2000) if number in numbers] == [100, 612]
    assert [numbers.near(at) for at in (0, 100, 611, 612, 5000)] == [100, 100, 100, 612, 612]
    assert PAGE in Numbers(PAGE, 1 << 30, powers=True) and 3 * PAGE not in Numbers(PAGE, 1 << 30, powers=True)
    assert not Numbers(1, 0)
