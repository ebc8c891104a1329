"""The names of scenarios and the marks that they carry, read alike by a run, by `daxcheck arm` and by tests."""

import pytest

from harness.cells.matrix import Slot, Wanted

MARKS = (
    "quick: a small set that covers every family",
    "formats(word, ...): run on these formats of the file systems instead",
    "layout(word, ...): run on these layouts of the device instead",
)
SLOT = "slot"
"""The parameter of a test that says where in the matrix it is."""


def register(config: pytest.Config) -> None:
    """Declare the marks, for a session that runs with --strict-markers."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def slot(item: pytest.Item) -> Slot | None:
    """The slot of a scenario function; None for a test that is no cell."""
    found = item.callspec.params.get(SLOT) if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    return found if isinstance(found, Slot) else None


def scenario(item: pytest.Item) -> str:
    """The name of a scenario in every report: its file, its function and its parameters but the slot.

    For a recorded Program it is the name of the file.
    """
    if not isinstance(item, pytest.Function):
        return item.path.name
    parameters = item.callspec.id if hasattr(item, "callspec") else ""
    if place := slot(item):
        parameters = f"-{parameters}-".replace(f"-{place}-", "-", 1)[1:-1]
    return f"{item.path.name}::{item.originalname}" + (f"[{parameters}]" if parameters else "")


def wanted(item: pytest.Item) -> Wanted:
    """Return the demands of a scenario's marks; the nearest of each counts, as for every mark. Raises UsageError."""
    return Wanted(*(mark.args if (mark := item.get_closest_marker(name)) else () for name in ("formats", "layout")))
