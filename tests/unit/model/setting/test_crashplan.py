"""Laws of the plan of crash points: its words."""

import pytest

from harness.errors import UsageError
from harness.model.setting import crashplan
from harness.model.setting.crashplan import FENCES, OPS, USUAL, CrashPlan

PLANS = (USUAL, CrashPlan(OPS), CrashPlan(FENCES), CrashPlan("300"), CrashPlan("end", 5), CrashPlan(FENCES, 4))


@pytest.mark.parametrize("plan", PLANS, ids=map(str, PLANS))
def test_a_plan_is_known_by_its_text_and_by_its_options(plan: CrashPlan) -> None:
    """Both lead back to it, and no two plans share a text or an ending of file names."""
    assert crashplan.parse(str(plan)) == plan
    options = dict(zip(plan.option[::2], plan.option[1::2], strict=True))
    evictions = options.get("--evictions")
    assert crashplan.find(options.get("--crash", "end"), int(evictions) if evictions else None) == plan
    assert len({str(one) for one in PLANS}) == len({one.suffix for one in PLANS}) == len(PLANS)


@pytest.mark.parametrize("text", ["", "all", "0", "-1", "fences/0", "fences/", "/3", "9999999", "fences 4", "٣"])
def test_other_text_is_no_plan(text: str) -> None:
    """A results file may be anyone's."""
    with pytest.raises(ValueError):
        crashplan.parse(text)


@pytest.mark.parametrize(
    ("crash", "evictions"), [("all", None), ("fences/4", None), ("", None), ("0", None), ("end", 0), ("end", -3)]
)
def test_options_that_make_no_plan_are_refused(crash: str, evictions: int | None) -> None:
    """The message names the option and what it wants."""
    with pytest.raises(UsageError, match=r"--(crash|evictions).*wants"):
        crashplan.find(crash, evictions)
