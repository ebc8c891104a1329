"""Laws of a cell's id: it names what a verdict depends on, all of it and nothing else."""

import dataclasses
import pickle

import pytest

from harness.model.cell import Cell, Config, family_and_name
from harness.model.program.program import parse
from harness.model.setting.crashplan import CrashPlan
from harness.model.setting.engine import Engine
from harness.model.setting.environment import KernelBuild
from harness.model.setting.hardware import PmemKind

TEXT = "daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\ncut_power\n"
CONFIG = Config(KernelBuild("6.1.0", "aa"), "ext4")
CELL = Cell("test_x.py::test_y", parse(TEXT), CONFIG, 1)
OTHERS = {
    "program": dataclasses.replace(CELL, program=parse(TEXT.replace("4K", "8K"))),
    "kernel": dataclasses.replace(CELL, config=dataclasses.replace(CONFIG, kernel=KernelBuild("6.1.0", "bb"))),
    "file system": dataclasses.replace(CELL, config=dataclasses.replace(CONFIG, fs="ext4:nojournal")),
    "device": dataclasses.replace(CELL, config=dataclasses.replace(CONFIG, device=PmemKind.EADR)),
    "engine": dataclasses.replace(CELL, config=dataclasses.replace(CONFIG, engine=Engine.TRACE)),
    "seed": dataclasses.replace(CELL, seed=2),
    "plan": dataclasses.replace(CELL, plan=CrashPlan("fences")),
    "evictions": dataclasses.replace(CELL, plan=CrashPlan("end", 3)),
}
SAME = {
    "scenario": dataclasses.replace(CELL, scenario="x.prog"),
    "release": dataclasses.replace(CELL, config=dataclasses.replace(CONFIG, kernel=KernelBuild("6.1.0-aa", "aa"))),
    "spelling": dataclasses.replace(CELL, program=parse(TEXT.replace("4K", "4096"))),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_what_a_verdict_depends_on_is_part_of_the_id(other: Cell) -> None:
    """Two cells that differ in one such thing have two ids."""
    assert other.id != CELL.id


@pytest.mark.parametrize("same", SAME.values(), ids=SAME.keys())
def test_what_it_does_not_depend_on_is_not(same: Cell) -> None:
    """Names, and the spelling of the same Program, leave the id as it is."""
    assert same.id == CELL.id


def test_an_id_is_the_same_on_every_machine() -> None:
    """It stands in results.jsonl, so that a change of its making would orphan all earlier verdicts."""
    assert CELL.id == "1e1f6708a8fad1c12aa962d2f5f4aec76f16d48670053c3f0b641c5583718934"


def test_a_cell_of_an_unknown_kernel_has_no_id() -> None:
    """Of a kernel that is known by its release alone nobody can say that it is the same."""
    assert dataclasses.replace(CELL, config=dataclasses.replace(CONFIG, kernel=KernelBuild("6.1.0", ""))).id == ""


def test_a_cell_reaches_another_process() -> None:
    """Nothing in it is of one process: it can be pickled, compared and used as a key."""
    other = pickle.loads(pickle.dumps(CELL))
    assert other == CELL and {other: 1}[CELL] == 1 and other.id == CELL.id


def test_a_configuration_is_named() -> None:
    """By kernel and file system, and by a device and an engine that are not the usual ones."""
    assert str(CONFIG) == "6.1.0-ext4"
    assert str(dataclasses.replace(CONFIG, device=PmemKind.EADR, engine=Engine.TRACE)) == "6.1.0-ext4-eadr-trace"


def test_the_family_of_a_scenario() -> None:
    """Its file without what all files share; of a .prog file there is one family."""
    assert family_and_name("scenarios/test_punch_hole.py::test_x[a::b]") == ("punch_hole", "x[a::b]")
    assert family_and_name("x y.prog") == ("programs", "x y.prog")
