"""Reads a text in another language line by line; a line that no Program can say stops it, or is left out and told."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Self

from harness.errors import UsageError
from harness.importing.sheet import Part, Sheet, Unsayable
from harness.model.program import ops
from harness.model.program.validity import ProgramError
from harness.plain import clipped

TEXT_LIMIT = 4 << 20
"""Characters of a text."""
LINE_LIMIT = 4096
"""Characters of a line."""
TOLD = 20
"""Lines left out that are named; of the others the number is told."""
SHOWN = 60
"""Characters of a line that are shown."""
FOREIGN = "not in the language of Programs"
"""The reason for a line whose word no reader knows."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The Programs of a text, in order, and what else a user must know: what was left out, added, renamed."""

    parts: tuple[Part, ...]
    remarks: tuple[str, ...]


class Reader(ABC):
    """One language. What is to be undone with a line that cannot be said is an attribute: a dict, a list or a sheet."""

    def __init__(self) -> None:
        self.sheet = Sheet()
        self.done: list[Part] = []
        """The Programs that are finished."""
        self.remarks: dict[str, None] = {}

    def pieces(self, line: str) -> tuple[str, ...]:
        """The parts of a line that can be left out by themselves; without the first none is said. Raises Unsayable."""
        return (line,)

    @abstractmethod
    def say(self, line: str) -> None:
        """Add the ops of a piece of a line, which is not empty. Raises Unsayable, ProgramError."""

    @abstractmethod
    def end(self) -> None:
        """Add what the last Program needs before its power is cut. Raises UsageError."""

    def remark(self, text: str) -> None:
        """Have this told, once."""
        self.remarks[text] = None

    def finish(self) -> None:
        """Cut the power, and begin another Program."""
        self.sheet.add(ops.CutPower())
        self.done.append(self.sheet.part())
        self.sheet = Sheet()

    def copied(self) -> Self:
        """The same, to go on elsewhere."""
        other = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Sheet):
                setattr(other, name, value.copied())
            elif isinstance(value, dict | list):
                setattr(other, name, copy(value))
        return other


def read(make: Callable[[], Reader], text: str, name: str, skip_unknown: bool = False) -> Imported:
    """Return the Programs of a text that is called `name`. Raises UsageError, with the number of the line at fault."""
    if len(text) > TEXT_LIMIT:
        raise UsageError(f"{name}: more than {TEXT_LIMIT >> 20} MiB is too long: import a part of it")
    reading = _Reading(make(), name, skip_unknown)
    for number, line in enumerate(text.split("\n"), start=1):
        if words := line.strip():
            reading.line(number, words)
    return reading.end()


class _Reading:
    """The state of reading: the reader after the last piece that could be said."""

    def __init__(self, reader: Reader, name: str, skip_unknown: bool) -> None:
        self._reader = reader
        self._name = name
        self._skip_unknown = skip_unknown
        self._left_out: list[str] = []
        self._said = 0

    def line(self, number: int, line: str) -> None:
        """Say all of a line, a part of it, or nothing. Raises UsageError."""
        self._reader.sheet.line = number
        try:
            if len(line) > LINE_LIMIT:
                raise Unsayable(f"the line is longer than {LINE_LIMIT} characters")
            pieces = self._reader.pieces(line)
        except Unsayable as error:
            self._unsaid(number, line, error)
            return
        for piece in pieces:
            before = self._reader.copied()
            try:
                self._reader.say(piece)
                self._said += 1
            except (Unsayable, ProgramError) as error:
                self._unsaid(number, piece, error)
                self._reader = before
                if piece is pieces[0]:
                    return

    def end(self) -> Imported:
        """Return what was read. Raises UsageError."""
        if not self._said:
            raise UsageError(f"{self._name}: no line of it says anything: name the format that it is in")
        self._reader.sheet.line = 0
        try:
            self._reader.end()
            self._reader.finish()
        except (Unsayable, ProgramError) as error:
            raise UsageError(f"{self._name}: {error}") from None
        told = [f"{reason}; left out" for reason in self._left_out[:TOLD]]
        if more := len(self._left_out) - len(told):
            told.append(f"{self._name}: {more} more left out")
        remarks = (f"{self._name}: {one}" for one in self._reader.remarks)
        return Imported(tuple(self._reader.done), (*told, *remarks))

    def _unsaid(self, number: int, piece: str, error: UsageError) -> None:
        reason = f"{self._name}:{number}: '{clipped(piece, SHOWN)}': {error}"
        if not self._skip_unknown:
            raise UsageError(f"{reason}; --skip-unknown leaves it out") from None
        self._left_out.append(reason)
