"""The scenarios as the questions of the exam, in the order in which a fault is asked them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.cells.matrix import Wanted
from harness.exam.fault import PlantedFault
from harness.exam.sat import FULL, QUICK
from harness.fs import filesystem
from harness.model.cell import short
from harness.pytestplugin.recording import Recorded, record_all


def all_of(scenarios: Path) -> tuple[Recorded, ...]:
    """Record all scenarios. What needs two NVDIMMs is left out: such guests are of another snapshot, of which nobody
    asks where its functions lie. Raises UsageError."""
    return tuple(one for found in record_all(scenarios).values() if (one := _with_one_nvdimm(found)))


def _with_one_nvdimm(question: Recorded) -> Recorded | None:
    """The question on the formats and layouts that need one NVDIMM; None if it is about others only."""
    wanted = question.wanted
    formats, layouts = (tuple(words for words in some if filesystem.nvdimms(words) == 1)
                        for some in (wanted.formats, wanted.layouts))  # fmt: skip
    if (wanted.formats and not formats) or (wanted.layouts and not layouts):
        return None
    return replace(question, wanted=Wanted(formats, layouts))


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
