"""Cells on a cluster of real processes: each is judged once, whatever becomes of workers, scheduler and client."""

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cells.cell import Judged
from harness.deadline import Deadline, poll
from harness.errors import InfraError, UsageError
from harness.model.judge.result import Outcome
from harness.search.workers import Answer
from tests.unit.cluster import staff
from tests.unit.cluster.staff import Site

pytest.importorskip("distributed")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with staff.site(tmp_path) as one:
        yield one


@contextlib.contextmanager
def meanwhile(deed: Callable[[], None]) -> Iterator[None]:
    """Do something while the client is waiting."""
    thread = threading.Thread(target=deed)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def outcome(answer: Answer) -> Outcome:
    assert isinstance(answer, Judged), answer
    return answer.result.outcome


def test_cells_are_judged_once_each_by_workers_that_got_the_kernel(site: Site) -> None:
    """Two workers without the kernel get it; every cell has one answer, and runs once."""
    digest, said = staff.kernel(), list[str]()
    site.scheduler()
    site.worker("one", guests=2)
    site.worker("two")
    names = [f"sleep 0.2 {number}" for number in range(12)]
    with site.client(digest, said) as force:
        poll(lambda: (force._recruit() and force.count == 3) or None, Deadline(staff.SOON), "no three slots")
        answers = dict(force.each(staff.tasks(digest, *names)))
    assert sorted(answers) == list(range(12))
    assert {outcome(answer) for answer in answers.values()} == {Outcome.PASS}
    assert Counter(name for name, _, _ in site.starts()) == Counter(names)
    assert len({parent for _, _, parent in site.starts()}) == 2
    assert any("sending kernel" in line for line in said)


@pytest.mark.nightly
def test_a_worker_that_differs_is_refused_by_both(site: Site) -> None:
    """With another QEMU it gets no cell; both sides say in a line why. Alone it ends the client with a usage error."""
    digest, said = staff.kernel(), list[str]()
    site.scheduler()
    site.worker("other", qemu="9.9.8")
    site.await_output("other", "guests at a time")
    with pytest.raises(UsageError, match=r"QEMU 9.9.8 there, 9.9.9 here"), site.client(digest, said, join=3.0):
        pass
    site.await_output("other", "refuses the cells of a client: QEMU 9.9.9 there, 9.9.8 here")
    site.worker("good")
    with site.client(digest, said) as force:
        (answer,) = force.answers(staff.tasks(digest, "x"))
    assert outcome(answer) is Outcome.PASS and site.starts()[0][2] == site.processes["good"].pid


def test_nobody_there_is_infrastructure(site: Site) -> None:
    """No scheduler, or no worker: one line that names it, and exit code 3."""
    with pytest.raises(InfraError, match="no scheduler answers") as no, site.client("", [], join=0.5):
        pass
    assert no.value.exit_code == 3
    site.scheduler()
    site.await_output("scheduler", "Scheduler at")
    with pytest.raises(InfraError, match="no worker has joined: start `daxcheck worker"), site.client("", [], join=8.0):
        pass


@pytest.mark.nightly
def test_a_killed_worker_costs_no_cell(site: Site) -> None:
    """Killed in mid-cell, it leaves no process behind; its cell is judged elsewhere, all others once."""
    digest = staff.kernel()
    site.scheduler()
    names = ["sleep 4 a", *(f"sleep 0.1 {number}" for number in range(6))]
    site.worker("one")
    with site.client(digest, []) as force:

        def kill() -> None:
            os.kill(site.await_start("sleep 4 a")[2], signal.SIGKILL)
            site.worker("two")

        with meanwhile(kill):
            answers = dict(force.each(staff.tasks(digest, *names)))
    assert sorted(answers) == list(range(len(names)))
    assert {outcome(answer) for answer in answers.values()} == {Outcome.PASS}
    assert Counter(name for name, _, _ in site.starts()) == Counter(names) + Counter(["sleep 4 a"])
    first = site.starts("sleep 4 a")[0][1]
    poll(lambda: first not in site.left() or None, Deadline(staff.SOON), "the cell of the killed worker is left")
