"""The scenarios as the questions of the exam, in the order in which a fault is asked them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.exam.fault import PlantedFault
from harness.exam.sat import FULL, QUICK
from harness.linux.layout import LAYOUTS
from harness.model.cell import short
from harness.pytestplugin.recording import Recorded, record_all


def all_of(scenarios: Path) -> tuple[Recorded, ...]:
    """Record all scenarios. Those that need two NVDIMMs are left out: their guests are of another snapshot, of which
    nobody asks where its functions lie. Raises UsageError."""
    found = record_all(scenarios).values()
    return tuple(one for one in found if all(LAYOUTS[word].legs == 1 for word in one.wanted.layouts if word in LAYOUTS))


def part(question: Recorded) -> str:
    """The set that a scenario is of."""
    return QUICK if question.quick else FULL


def family(question: Recorded) -> str:
    """The family that a scenario is of: punch_hole."""
    return short(question.scenario).partition("::")[0]


def ordered(questions: Iterable[Recorded], fault: PlantedFault, *, near: bool, full: bool) -> Sequence[Recorded]:
    """The scenarios to ask: the quick set, then the families of the fault, then, if `full`, all others.

    If `near` the families of the fault come first within the quick set too: that finds a killer sooner than the suite
    does, so its seconds say nothing.
    """

    def rank(question: Recorded) -> tuple[bool, bool]:
        close = family(question) in fault.families
        return not question.quick, not close and (near or not question.quick)

    asked = [one for one in questions if full or one.quick or family(one) in fault.families]
    return sorted(asked, key=rank)
