"""Takes a command line apart, as getopt(3) does: options first, then words."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.importing.numbers import sized
from harness.importing.sheet import Unsayable


@dataclass(frozen=True, slots=True)
class Command:
    """A verb with its options, `flags` without a value and `values` with one, and the words behind them."""

    verb: str
    flags: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()
    """All words behind the verb, as they stand there."""

    @staticmethod
    def of(line: Sequence[str], valued: str, many: bool = False) -> "Command":
        """The command of some words; an option of `valued` has a value. With `many` options may stand behind words.
        Raises Unsayable."""
        flags, words = list[str](), list[str]()
        values: dict[str, tuple[str, ...]] = {}
        rest = list(line[1:])
        while rest:
            word = rest.pop(0)
            if not word.startswith("-") or len(word) == 1 or (words and not many):
                words.append(word)
                continue
            for at, letter in enumerate(word[1:], start=2):
                if letter not in valued:
                    flags.append(letter)
                    continue
                if not word[at:] and not rest:
                    raise Unsayable(f"{line[0][:40]} -{letter} lacks its value")
                values[letter] = (*values.get(letter, ()), word[at:] or rest.pop(0))
                break
        return Command(line[0], tuple(flags), values, tuple(words), tuple(line[1:]))

    def number(self, option: str, default: int = 0) -> int:
        """The number that stands behind an option. Raises Unsayable."""
        return sized(self.values[option][-1]) if option in self.values else default
