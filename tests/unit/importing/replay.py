"""A brute-force model of a file as fsx replays its logs: a cell for every byte. It knows nothing of the importer."""

from collections.abc import Iterator
from dataclasses import dataclass, field

Cell = tuple[int, int] | None
"""The store that wrote a byte, counted from 1, and how far the byte has moved since; None for a zero."""


@dataclass
class ReplayedFile:
    """The file after the lines so far."""

    cells: list[Cell] = field(default_factory=list)
    stores: int = 0

    def line(self, text: str) -> None:
        """Replay one line."""
        verb, *rest = text.split()
        numbers = [int(word, 16) for word in rest if word[0].isdigit()]
        if verb in ("skip", "fsync"):
            return
        start, length = numbers[:2]
        end, keep = start + length, "keep_size" in rest
        match verb:
            case "read" | "mapread" | "dedupe_range":
                pass
            case "truncate":
                self.resize(length)
            case "write" | "mapwrite":
                self.stores += 1
                self.resize(max(len(self.cells), end))
                self.cells[start:end] = [(self.stores, 0)] * length
            case "fallocate":
                self.resize(len(self.cells) if keep else max(len(self.cells), end))
            case "punch_hole" | "zero_range":
                self.resize(len(self.cells) if keep else max(len(self.cells), end))
                stop = min(end, len(self.cells))
                self.cells[start:stop] = [None] * max(0, stop - start)
            case "collapse_range":
                self.cells[start:] = list(moved(self.cells[end:], -length))
            case "insert_range":
                self.cells[start:] = [*([None] * length), *moved(self.cells[start:], length)]
            case "clone_range" | "copy_range":
                taken = list(moved(self.cells[start:end], numbers[2] - start))
                self.resize(max(len(self.cells), numbers[2] + length))
                self.cells[numbers[2] : numbers[2] + length] = taken
            case "exchange_range":
                other = numbers[2]
                here, there = self.cells[start:end], self.cells[other : other + length]
                self.cells[start:end] = list(moved(there, start - other))
                self.cells[other : other + length] = list(moved(here, other - start))
            case _:
                raise AssertionError(text)

    def resize(self, size: int) -> None:
        """Cut, or extend by zeroes."""
        del self.cells[size:]
        self.cells.extend([None] * (size - len(self.cells)))

    def rewritten(self) -> None:
        """Write each piece of data anew, as the beginning of another Program does."""
        self.stores = 0
        before: Cell = None
        for at, cell in enumerate(self.cells):
            self.stores += cell is not None and before is None
            before = cell
            self.cells[at] = (self.stores, 0) if cell is not None else None

    def runs(self) -> Iterator[tuple[int, int, Cell]]:
        """The runs of equal cells."""
        low = 0
        for at in range(1, len(self.cells) + 1):
            if at == len(self.cells) or self.cells[at] != self.cells[low]:
                yield low, at, self.cells[low]
                low = at


def moved(cells: list[Cell], distance: int) -> Iterator[Cell]:
    """The cells, so many bytes further in the file."""
    return ((cell[0], cell[1] + distance) if cell is not None else None for cell in cells)
