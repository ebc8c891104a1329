"""Contents are compared without their past first; what that says is what a comparison with it says."""

import random
from collections.abc import Iterator

from harness.model.contract import oracle
from harness.model.contract.allowed import ANYTHING, Allowed
from harness.model.contract.extents import Extents
from harness.model.contract.filestate import FileState
from harness.model.generator.draft import foreseen
from harness.model.generator.generator import campaign_dice, draw
from harness.model.generator.rules import SHARING, DrawRules
from harness.model.judge.compare import Expected, compare, compare_file
from harness.model.wire.observation import Opaque, Raw, Segment, Source, Stamp, Zero
from harness.model.wire.stamps import pattern

COUNT = 150
FOREIGN = Stamp(200, 1), Stamp(1, 1), Stamp(2, 1, 4096), Zero(), Opaque(b"\x5a" * 16)


def expected(contents: Extents[Allowed]) -> Iterator[Expected]:
    """What the media may hold."""
    for low, high, byte in contents.runs(0, 1 << 20):
        if ANYTHING not in byte.durable:
            yield Expected(low, high, byte.durable, byte.ever, byte.promised_by)


def segments(file: FileState, dice: random.Random, wrong: float) -> tuple[Segment, ...]:
    """What a view may show: here and there something else, or bytes that two stores have mixed in a word."""
    found: list[Segment] = []
    for low, high, byte in file.contents.runs(0, 1 << 20):
        allowed: list[Source] = [one for one in sorted(byte.durable, key=str) if isinstance(one, Zero | Stamp)]
        edge = min(high, low + dice.choice((3, 8, 13)))
        source = dice.choice(allowed or [Zero()])
        if dice.random() < wrong:
            other = dice.choice(FOREIGN) if dice.random() < 0.7 else Raw(pattern(1, 1, 0, low, edge))
            found += Segment(low, edge, other), Segment(edge, high, source)
        else:
            found.append(Segment(low, high, source))
    return tuple(one for one in found if one.start < one.end)


def test_the_past_changes_no_verdict() -> None:
    """Of random Programs, of every state, with views that are right and with views that are not."""
    right = mistaken = 0
    for number in range(COUNT):
        program = draw(campaign_dice(5, number), DrawRules(SHARING))
        dice = random.Random(number)
        for state in oracle.run(program, foreseen(program)):
            for file in state.files.values():
                shown = segments(file, dice, dice.choice((0, 0.1)))
                found = compare_file(file, expected, shown)
                assert found == compare(expected(file.contents), shown)
                assert not found[1] or found[1][0].expected.past is not None
                right += not found[1]
                mistaken += bool(found[1])
    assert min(right, mistaken) > COUNT


def test_what_is_held_is_what_is_remembered() -> None:
    """The contents with their past say the same of what may be read, and what the media may hold."""
    for number in range(COUNT):
        program = draw(campaign_dice(6, number), DrawRules(SHARING))
        for state in oracle.run(program, foreseen(program)):
            for file in state.files.values():
                assert file.contents.to(Allowed.forgetting) == file.held
