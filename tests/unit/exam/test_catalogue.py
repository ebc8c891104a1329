"""Laws of the catalogue of faults, and of the table that is made of it."""

import re
from collections import Counter

import pytest

from harness.errors import UsageError
from harness.exam import catalogue, scoretable
from harness.exam.catalogue import FAULTS
from harness.exam.fault import Area
from harness.exam.sat import Sat
from harness.fs import filesystem
from harness.model.cell import short
from harness.pytestplugin.arguments import SCENARIOS

FAMILIES = {path.stem.removeprefix("test_") for path in SCENARIOS.glob("test_*.py")}


def test_a_fault_is_one_of_its_kind() -> None:
    """Each has an id of its own, does something else, and is planted otherwise than all others."""
    for name, values in (("id", [one.id for one in FAULTS]), ("patches", [one.patches for one in FAULTS])):
        assert [value for value, count in Counter(values).items() if count > 1] == [], name
    assert all(re.fullmatch(r"[a-z0-9-]+", fault.id) for fault in FAULTS)


def test_a_fault_can_be_asked() -> None:
    """Its formats and families exist, and every area has faults."""
    assert {fault.area for fault in FAULTS} == set(Area)
    for fault in FAULTS:
        assert fault.systems and fault.families and set(fault.families) <= FAMILIES, fault.id
        assert [filesystem.find(label).label for label in fault.systems] == list(fault.systems)


def test_there_are_enough() -> None:
    """At least 40 faults, 15 of them undo a fix; these name its commit by twelve digits, and no commit twice."""
    commits = [fault.undoes.commit for fault in FAULTS if fault.undoes]
    assert len(FAULTS) >= 40 and len(commits) >= 15 and len(set(commits)) == len(commits)
    assert all(re.fullmatch(r"[0-9a-f]{12}", commit) for commit in commits)


def test_a_fault_that_does_not_exist() -> None:
    """The option is named, and what tells the names."""
    assert [fault.id for fault in catalogue.find("no-commit,flush-nothing")] == ["no-commit", "flush-nothing"]
    with pytest.raises(UsageError, match=r"--only x: .*--list"):
        catalogue.find("no-commit,x")


def test_the_score() -> None:
    """What was killed is counted, survivors are named, and what was not examined has no verdict."""
    killed, survivor, left = FAULTS[:3]
    others = {"reread": "no", "shutdown": "yes"}
    sats = {
        killed.id: Sat(killed.id, "k", "sync_calls::fsync", "ext4", "quick", 3.4, 2, others=others),
        survivor.id: Sat(survivor.id, "k", cells=9, errors=1),
    }
    rows = scoretable.table([killed, survivor, left], sats)[2:]
    assert "`sync_calls::fsync` | ext4 | quick | 3 |" in rows[0] and "| no | yes |" in rows[0]
    assert "**survives** (1 without a verdict)" in rows[1] and "not examined" in rows[2]
    assert len({row.count("|") for row in rows}) == 1
    told = " ".join(scoretable.score([killed, survivor, left], sats))
    assert "1 of 2 faults killed, 1 of them by the quick set" in told and "shutdown sees 1 of 1" in told
    assert f"Survivors: `{survivor.id}`" in told and short(left.id) not in told


def test_the_document() -> None:
    """The part that is generated is written anew, and all above it stays; each fault and fix is told."""
    text = "# The score\n\nwords\n\n## The last exam\n\nold\n"
    once = scoretable.document(text, FAULTS, {})
    assert once.startswith("# The score\n\nwords\n\n## The last exam\n") and "\nold\n" not in once
    assert scoretable.document(once, FAULTS, {}) == once
    assert all(f"- `{fault.id}` (" in once for fault in FAULTS)
    assert all(fault.undoes.subject in once for fault in FAULTS if fault.undoes)
