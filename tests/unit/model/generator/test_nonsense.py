"""Millions of bytes of nonsense for the parser of .prog files and, where one is legal, for the shrinker.

What is wholly random ends at the header. So most texts are Programs of the generator, in which words, characters and
lines are others, gone or elsewhere. scripts/nightly sets DAXCHECK_FUZZ=nightly, which tries 30 million bytes.
"""

import os
import random
from collections.abc import Sequence

from harness.model.generator.generator import campaign_dice, draw
from harness.model.generator.rules import SHARING, DrawRules
from harness.model.generator.shrink import cost, shrink
from harness.model.program.program import HEADER, VERBS, Program, ProgramError, format, parse
from harness.plain import plain

BYTES = 30_000_000 if os.environ.get("DAXCHECK_FUZZ") == "nightly" else 200_000
SHRUNK = 8
"""Of so many texts that are Programs one is shrunk."""
STEPS = 40
"""Candidates of one shrink."""
STRANGE = ("0", "-1", "1", "8", "4K", "2M", "16E", "0x10", "1e9", "f1", "m1", "data1", "..", "a/b", "sharing=sync",
           "times=0", "=", "", "#", "\0", "é", "\ud800", "\x1b[2J", "9" * 30, "x" * 300, *VERBS)  # fmt: skip


def spoilt(dice: random.Random, lines: list[str]) -> str:
    """The lines, of which up to four were changed in some manner."""
    for _ in range(dice.randrange(5)):
        at = dice.randrange(len(lines))
        words = lines[at].split(" ")
        match dice.randrange(7):
            case 0:
                words[dice.randrange(len(words))] = dice.choice(STRANGE)
            case 1:
                words.insert(dice.randrange(len(words) + 1), dice.choice(STRANGE))
            case 2:
                words.pop(dice.randrange(len(words)))
            case 3:
                place = dice.randrange(len(lines[at]) + 1)
                words = [lines[at][:place] + chr(dice.randrange(256)) + lines[at][place + dice.randrange(2) :]]
            case 4:
                lines.insert(dice.randrange(len(lines)), lines[at])
            case 5:
                lines[at], other = lines[dice.randrange(len(lines))], lines[at]
                lines[dice.randrange(len(lines))] = other
                continue
            case 6:
                words = dice.choice(lines).split(" ")
        lines[at] = " ".join(words)
    return "\n".join(lines)


def nonsense(dice: random.Random, programs: Sequence[Program]) -> str:
    """A text that might be a Program."""
    match dice.randrange(10):
        case 0:
            return dice.randbytes(dice.randrange(2000)).decode("latin-1")
        case 1:
            lines = [" ".join(dice.choices(STRANGE, k=dice.randrange(6))) for _ in range(dice.randrange(40))]
            return "\n".join([HEADER, *lines])
        case _:
            return spoilt(dice, format(dice.choice(programs)).splitlines())


def test_no_traceback() -> None:
    """A text is a Program, and so is what is left of it once it is shrunk, or a ProgramError that can be shown."""
    dice = random.Random(1)
    programs = [draw(campaign_dice(1, number), DrawRules(SHARING)) for number in range(300)]
    tried = refused = shrunk = 0
    while tried < BYTES:
        text = nonsense(dice, programs)
        tried += len(text.encode(errors="surrogatepass"))
        try:
            program = parse(text)
        except ProgramError as error:
            assert plain(str(error))
            refused += 1
            continue
        assert parse(format(program)) == program
        if dice.randrange(SHRUNK):
            continue
        shrunk += 1
        small = shrink(program, lambda found: dice.choice([None, *range(len(found))]), STEPS)
        assert parse(format(small)) == small
        assert cost(small) <= cost(program)
    assert refused > BYTES // 4000
    assert shrunk > BYTES // 40_000
