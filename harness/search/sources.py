"""The sources of a search's Programs, round by round: random ones, or all of a small scope."""

from collections.abc import Sequence
from typing import Protocol

from harness.model.cell import Cell, Config
from harness.model.generator import enumeration
from harness.model.generator.generator import campaign_dice, draw, mutated
from harness.model.generator.rules import DrawRules, extras
from harness.model.program.program import Program
from harness.search.progress import SearchProgress

ROUND = 32
"""Programs of a round."""
MUTATED = 0.5
"""The share of random Programs that are made from the corpus, once there is one."""


class Source(Protocol):
    """Gives the Programs of a round, which depend on the rounds before alone."""

    @property
    def name(self) -> str:
        """The name of the search in its directory, with which no other search goes on."""

    def cells(self, config: Config, progress: SearchProgress) -> list[Cell]:
        """Return the cells of the next round; none when there are no more."""


class RandomPrograms:
    """Random Programs of a seed, half of them made from the `corpus`; without end."""

    def __init__(self, seed: int, corpus: Sequence[Program] = ()) -> None:
        self.name = f"fuzz --seed {seed}"
        self._seed = seed
        self._corpus = corpus

    def cells(self, config: Config, progress: SearchProgress) -> list[Cell]:
        rules = DrawRules(extras(config.fs), progress.avoid)
        first = progress.rounds * ROUND
        return [self._cell(config, rules, number) for number in range(first, first + ROUND)]

    def _cell(self, config: Config, rules: DrawRules, number: int) -> Cell:
        dice = campaign_dice(self._seed, number)
        if self._corpus and dice.random() < MUTATED:
            program = mutated(dice, rules, dice.choice(self._corpus), dice.choice(self._corpus))
        else:
            program = draw(dice, rules)
        return Cell(f"s{self._seed}n{number:06}.prog", program, config, number)


class SmallScope:
    """All Programs with up to `length` disturbing ops, each once (model.generator.enumeration), or shard `index` of
    so many of them. `count` says how many there are."""

    def __init__(self, length: int, index: int = 1, of: int = 1) -> None:
        self.name = f"enumerate --length {length}" + (f" --shard {index}/{of}" if of > 1 else "")
        all_ = enumerate(enumeration.programs(length))
        self._programs = [one for one in all_ if enumeration.shard(one[0], index, of)]
        self.count = len(self._programs)

    def cells(self, config: Config, progress: SearchProgress) -> list[Cell]:
        chosen = self._programs[progress.rounds * ROUND :][:ROUND]
        return [Cell(f"e{number:06}.prog", program, config, number) for number, program in chosen]
