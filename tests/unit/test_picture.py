"""Laws of the picture in docs/code.md: it shows every room, and the imports that the code has all lead down in it."""

import ast
import re
from pathlib import Path

from tests import test_architecture as law

ROOT = Path(__file__).resolve().parents[2]


def picture(text: str) -> dict[str, int]:
    """The line on which each room stands in the picture of docs/code.md, the first block of code there."""
    block = re.search(r"(?:^ {4}.*\n|^\n)+", text[text.index("\n    ") + 1 :], flags=re.MULTILINE)
    places: dict[str, int] = {}
    for number, line in enumerate(block[0].splitlines() if block else ()):
        for word in re.findall(r"\S+", line):
            name = word.replace("/", ".")
            if name in law.MAY_IMPORT:
                places.setdefault(name, number)
    return places


def climbs(places: dict[str, int], arrows: set[tuple[str, str]]) -> list[str]:
    """The imports that do not lead down in a picture."""
    drawn = (arrow for arrow in arrows if set(arrow) <= places.keys())
    return sorted(f"{above} imports {below}" for above, below in drawn if places[above] >= places[below])


def arrows(root: Path) -> set[tuple[str, str]]:
    """(room, other room that it imports), for all of harness/."""
    found = set()
    for path in (root / "harness").rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        for _, target in law.imported(ast.parse(path.read_text()), parts[:-1]):
            top, *rest = target.split(".")
            if top == "harness" and rest and (above := law.room(parts[1:])) != (below := law.room(rest)):
                found.add((above, below))
    return found


def test_the_picture_is_the_house() -> None:
    """In docs/code.md every import leads down, each room of the law stands in the picture, each folder in its table."""
    text = (ROOT / "docs" / "code.md").read_text()
    places = picture(text)
    assert climbs(places, arrows(ROOT)) == []
    folders = {str(path.parent.relative_to(ROOT / "harness")) for path in (ROOT / "harness").rglob("__init__.py")}
    assert {name for name in law.MAY_IMPORT if name.replace(".", "/") in folders} - places.keys() == set()
    inner = {"model/contract/rules", "model/program/ops"}
    assert [name for name in folders - {".", "model"} - inner if f"| `harness/{name}` |" not in text] == []


def test_a_wrong_picture_is_found() -> None:
    """A room that is drawn above one that imports it is told."""
    places = picture("x\n\n    one  cells\n    two  vm   report\n\n    cells\n\nend\n    cli\n")
    assert places == {"cells": 0, "vm": 1, "report": 1}
    assert climbs(places, {("cells", "vm"), ("vm", "report"), ("vm", "cells"), ("cli", "vm")}) == [
        "vm imports cells", "vm imports report",
    ]  # fmt: skip
