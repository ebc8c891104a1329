"""Races on an overloaded worker: they wait for it, or go to another; all other cells run there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cells.cell import Judged
from harness.deadline import now
from harness.errors import InfraError
from harness.model.judge.result import Outcome
from tests.unit.cluster import staff
from tests.unit.cluster.staff import Site
from tests.unit.cluster.test_client import meanwhile, outcome

pytest.importorskip("distributed")
from harness.cluster import load
from harness.cluster.ledger import TURNS, Ledger
from harness.cluster.load import MachineLoad
from harness.cluster.slot import Loss


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with staff.site(tmp_path) as one:
        yield one


def test_a_race_goes_to_a_worker_that_is_not_overloaded(site: Site) -> None:
    """The first worker runs 9 threads where 4 may: it judges all but the races, which the second one does."""
    digest, said = staff.kernel(), list[str]()
    site.running("one").write_text("9")
    site.scheduler()
    one = site.worker("one")
    names = ["race 1", "x", "y", "race 2", "z"]

    def join() -> None:
        site.await_start("z")
        site.worker("two")

    with site.client(digest, said) as force, meanwhile(join):
        answers = dict(force.each(staff.tasks(digest, *names)))
    assert [outcome(answers[number]) for number in range(5)] == [Outcome.PASS] * 5
    by = {name: parent for name, _, parent in site.starts()}
    assert len(site.starts()) == 5 and {by["x"], by["y"], by["z"]} == {one.pid}
    assert {by["race 1"], by["race 2"]} == {site.processes["two"].pid}
    (line,) = [line for line in said if "overloaded" in line]
    assert "9.0 threads run, 4 may" in line and "races" in line


@pytest.mark.nightly
def test_a_race_waits_for_its_worker(site: Site) -> None:
    """Alone, an overloaded worker judges the race once it has calmed down."""
    digest = staff.kernel()
    site.running("one").write_text("9")
    site.scheduler()
    site.worker("one")
    calmed: list[float] = []

    def calm() -> None:
        site.await_start("sleep 2 x")
        site.running("one").write_text("4")
        calmed.append(now())

    with site.client(digest, []) as force, meanwhile(calm):
        answers = dict(force.each(staff.tasks(digest, "race", "sleep 2 x")))
    assert [outcome(answers[number]) for number in range(2)] == [Outcome.PASS] * 2 and calmed
    assert [name for name, _, _ in site.starts()] == ["sleep 2 x", "race"]


@pytest.mark.nightly
def test_a_race_that_is_never_begun_is_no_verdict(site: Site) -> None:
    """On a worker that stays overloaded it is given up after some turns, with that reason; it has not run."""
    digest = staff.kernel()
    site.running("one").write_text("9")
    site.scheduler()
    site.worker("one")
    with site.client(digest, []) as force:
        answers = dict(force.each(staff.tasks(digest, "race", "x")))
    assert isinstance(answers[1], Judged)
    assert isinstance(answers[0], InfraError) and f"sent {TURNS} times" in str(answers[0])
    assert "overloaded" in str(answers[0]) and [name for name, _, _ in site.starts()] == ["x"]


def test_what_waits_for_a_calm_worker_lets_others_go_first() -> None:
    """And it rather goes elsewhere."""
    ledger = Ledger(3, 100.0)
    key, entry = ledger.take()
    assert ledger.lose(key, Loss("overloaded", deaths=0, later=True, place="a")) is None
    assert [ledger.take()[1].number for _ in range(3)] == [1, 2, 0] and entry.avoid == {"a"}


@pytest.mark.parametrize(("running", "overloaded"), [((4, 4, 4, 4, 4), False), ((0, 9, 9, 9, 9), True),
                                                     ((9, 0, 9, 0, 0), False)])  # fmt: skip
def test_the_load_is_a_mean(running: tuple[int, ...], overloaded: bool) -> None:
    """A machine with as many threads as processors is not overloaded, nor one that is so for a moment."""
    looks = iter(running)
    why = MachineLoad(4, lambda: next(looks), nap=0.0).why_overloaded()
    assert bool(why) == overloaded, why


def test_guests_of_its_own_do_not_overload_a_worker() -> None:
    """Each needs its two virtual processors and the process that judges; all processors may be used anyway."""
    many = os.cpu_count() or 1
    assert MachineLoad.here(many).room == 3 * many
    assert MachineLoad.here(0).room == many


def test_races_are_known_by_their_lanes() -> None:
    """A cell without lanes may run anywhere, and one that is skipped runs nowhere."""
    race, other = staff.tasks("0" * 8, "race", "x")
    assert load.races(race) and not load.races(other)


def test_this_machine_runs_something() -> None:
    """proc(5) counts the thread that asks, which is not told."""
    assert load.running() >= 0
