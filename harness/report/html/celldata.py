"""The words of cells, for the script of a page: it shows them when a cell of the matrix is opened.

Thousands of cells share a hundred Programs and sentences, so each text stands once, and a cell names it by number.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from harness.findings.finding import Finding
from harness.model.cell import short
from harness.model.judge.result import CellResult
from harness.model.program.program import describe
from harness.plain import plain, plain_lines
from harness.report.images import counted
from harness.report.setting import medium
from harness.report.text import sign
from harness.report.title import command
from harness.report.words import Words, culprits, why

_WORDS = 900
"""Characters of one sentence."""
_PROGRAM = 6_000
_OPS = 150
"""Ops of a Program that are listed."""
FIELDS = ("scenario", "kernel", "medium", "sign", "outcome", "seconds", "engine", "why", "blame", "notes", "program",
          "command", "findings")  # fmt: skip
"""The fields of a cell, in their order."""
_ALL = 3 << 20
"""Characters of all texts."""
_LEFT_OUT = "(left out: the page would be too large)"


class Texts:
    """Texts, each once, by number; what comes when there are too many is left out."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._size = 0

    def number(self, text: str) -> int:
        """The number of a text."""
        if text not in self._numbers:
            text = text if self._size + len(text) <= _ALL else _LEFT_OUT
            self._size += len(text)
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def all(self) -> list[str]:
        """The texts in the order of their numbers."""
        return list(self._numbers)


def data(results: Sequence[CellResult], findings: Sequence[Finding]) -> dict[str, Any]:
    """{"fields", "texts", "cells"}: a cell is a list with the number of a text for each field; "findings" has ids."""
    texts = Texts()
    ids: dict[int, list[str]] = {}
    for finding in findings:
        for result in finding.results:
            ids.setdefault(id(result), []).append(finding.id)
    cells = [[*map(texts.number, _told(result)), ids.get(id(result), [])] for result in results]
    return {"fields": FIELDS, "texts": texts.all, "cells": cells}


def _told(result: CellResult) -> tuple[str, ...]:
    words = Words.of(result)
    blame = "\n".join(words.with_stack(one) for one in culprits(result.violations)[:3])
    notes = [f"Without a fence: {words.sentence(result.warnings)}"] if result.warnings else []
    notes += [f"Stored past the end, and moved: {words.sentence(result.remarks)}"] if result.remarks else []
    notes += [f"Power cut: {cut}"] if (cut := counted(result)) else []
    notes += [f"Known: {', '.join(result.known)}"] if result.known else []
    told = (
        short(result.scenario), result.kernel, medium(result), sign(result), result.outcome.value,
        f"{result.seconds:.1f} s", str(result.engine), why(result), blame, "\n".join(notes),
    )  # fmt: skip
    return (*(plain_lines(one[:_WORDS]) for one in told), _listed(words, result), plain(command(result))[:_WORDS])


def _listed(words: Words, result: CellResult) -> str:
    """The Program with the indices by which all that is said of it names its ops; as it is where it cannot be read."""
    if words.program is None:
        return plain_lines(result.program[:_PROGRAM])
    lines = (f"{index:4}  {describe(op)}" for index, op in enumerate(words.program.ops))
    return "\n".join(islice(lines, _OPS))
