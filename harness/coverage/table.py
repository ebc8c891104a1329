"""Counts what was reached, by area and function. Pure."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from harness.coverage.store import CAMPAIGN, SUITE, Reached
from harness.model.wire.block import CodeBlock, source_name


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """A function that the kernel has: its bytes, and how many of its blocks the suite, the campaign, both of them, and
    either has reached. How many it has in all is not known without taking its code apart."""

    name: str
    size: int
    suite: int
    campaign: int
    both: int
    either: int


@dataclass(frozen=True, slots=True)
class AreaTable:
    """An area: the functions of it that the kernel has, those that it has not, and those that were not asked for when
    the coverage was recorded, since they came to the list later."""

    name: str
    rows: tuple[FunctionRow, ...]
    absent: tuple[str, ...]
    unasked: tuple[str, ...] = ()

    @property
    def entered(self) -> tuple[FunctionRow, ...]:
        """The functions of which at least one block ran."""
        return tuple(row for row in self.rows if row.either)

    @property
    def never(self) -> tuple[FunctionRow, ...]:
        """The functions that the kernel has and nothing has entered."""
        return tuple(row for row in self.rows if not row.either)


def tables(reached: Reached, areas: Mapping[str, Set[str]]) -> tuple[AreaTable, ...]:
    """Count what was reached in each of these areas, whose functions are named as in the source."""
    by = {source: _by_function(blocks) for source, blocks in reached.blocks.items()}
    found = []
    for name, functions in areas.items():
        rows = [_row(one, reached.present[one], by) for one in sorted(functions & reached.present.keys())]
        missing = functions - reached.present.keys()
        found.append(AreaTable(name, tuple(rows), tuple(sorted(missing & reached.asked)),
                               tuple(sorted(missing - reached.asked))))  # fmt: skip
    return tuple(found)


def _by_function(blocks: Set[CodeBlock]) -> dict[str, set[CodeBlock]]:
    found: dict[str, set[CodeBlock]] = {}
    for block in blocks:
        found.setdefault(source_name(block.function), set()).add(block)
    return found


def _row(name: str, size: int, by: Mapping[str, Mapping[str, Set[CodeBlock]]]) -> FunctionRow:
    suite, campaign = (by[source].get(name, set()) for source in (SUITE, CAMPAIGN))
    return FunctionRow(name, size, len(suite), len(campaign), len(suite & campaign), len(suite | campaign))
