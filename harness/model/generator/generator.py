"""Draws random legal Programs, and makes others from one that was worth keeping. The seed decides all.

Every Program begins with a durable file and its mapping; then come some ops, with a sync at their end, and others that
no sync makes durable, and the power cut.
"""

import random
from collections.abc import Sequence

from harness.model.generator.draft import ProgramDraft, units
from harness.model.generator.families import ANY, LAST, Family, make_file, sync
from harness.model.generator.rules import DrawRules, is_avoided
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.program import Program

MOST = 40
"""Ops of a Program that was made from others."""
TRIES = 60
"""Families that are asked for an op before a draft goes on without one: they may all have nothing to add."""


def draw(dice: random.Random, rules: DrawRules) -> Program:
    """Draw one Program."""
    draft = ProgramDraft(dice, rules)
    for _ in range(dice.choice((1, 1, 2))):
        make_file(draft)
    _add(draft, ANY, dice.choice((1, 1, 2, 3, 4, 6)))
    _add(draft, {sync: 1}, 1)
    if dice.random() < 0.5:
        _add(draft, LAST, dice.choice((1, 2, 3)))
    return _ended(draft)


def mutated(dice: random.Random, rules: DrawRules, one: Program, other: Program) -> Program:
    """A Program like `one`: some of its ops are left out, said twice, or followed by new ones; or it goes on with the
    end of the `other`."""
    draft = ProgramDraft(dice, rules)
    how = dice.choice(("leave out", "twice", "insert", "insert", "join"))
    old, new = units(one.ops[:-1]), units(other.ops[:-1])
    place = dice.randrange(len(old))
    if how == "join":
        old = [*old[: place + 1], *new[dice.randrange(len(new)) :]]
    for index, unit in enumerate(old[:MOST]):
        if how == "leave out" and index == place:
            continue
        _take(draft, unit)
        if index == place and how == "twice":
            _take(draft, unit)
        if index == place and how == "insert" and draft.is_plain:
            _add(draft, ANY, dice.choice((1, 2)))
    for end in (ops.Join(), ops.Thaw(), ops.Mount()):
        if draft.fits(end):
            draft.add(end)
    if not draft.state.fds:
        make_file(draft)
    _add(draft, {sync: 1}, 1)
    return _ended(draft)


def _ended(draft: ProgramDraft) -> Program:
    """End the Program with the power cut, and before it make a file if all others are empty or gone."""
    if not draft.has_contents:
        make_file(draft)
    draft.add(ops.CutPower())
    return Program(tuple(draft.ops))


def _take(draft: ProgramDraft, unit: Sequence[Op]) -> None:
    if not (any(is_avoided(op, draft.rules) for op in unit) and draft.dice.random() < 0.5):
        draft.take(unit)


def _add(draft: ProgramDraft, families: dict[Family, int], count: int) -> None:
    wanted = len(draft.ops) + count
    names, weights = list(families), list(families.values())
    for _ in range(TRIES):
        if len(draft.ops) >= wanted:
            return
        if draft.state.fds:
            draft.dice.choices(names, weights)[0](draft)


def campaign_dice(seed: int, number: int) -> random.Random:
    """The dice of Program `number` of a campaign: they are the same in every process, on every machine."""
    return random.Random(f"daxcheck {seed} {number}")
