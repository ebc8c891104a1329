"""What breaks in a cluster of real processes: a cell that kills, a worker that hangs or is cut off, a new scheduler."""

import contextlib
import os
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cells.cell import Judged
from harness.deadline import Deadline, poll
from harness.errors import InfraError
from harness.model.judge.result import Outcome
from harness.search.workers import Answer
from tests.unit.cluster import staff
from tests.unit.cluster.staff import Site
from tests.unit.cluster.test_client import meanwhile

pytest.importorskip("distributed")
pytestmark = pytest.mark.nightly
TTL = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with staff.site(tmp_path, **TTL) as one:
        yield one


def all_pass(answers: dict[int, Answer], count: int) -> bool:
    outcomes = [one.result.outcome for one in answers.values() if isinstance(one, Judged)]
    return sorted(answers) == list(range(count)) and outcomes == [Outcome.PASS] * count


def test_a_cell_that_kills_or_hangs_is_given_up_after_three(site: Site) -> None:
    """Poison, and one that stops its process, are errors with their reason; others are judged, and nothing stays."""
    digest = staff.kernel()
    site.scheduler()
    worker = site.worker("one", guests=2)
    with site.client(digest, [], cell=15.0) as force:
        answers = dict(force.each(staff.tasks(digest, "poison", "hang", "x", "y")))
    poison, hang = answers.pop(0), answers.pop(1)
    assert isinstance(poison, InfraError) and "3 workers were lost" in str(poison) and "(signal 9)" in str(poison)
    assert isinstance(hang, InfraError) and "did not end within 15 s" in str(hang)
    assert sorted(answers) == [2, 3] and all(isinstance(one, Judged) for one in answers.values())
    assert Counter(name for name, _, _ in site.starts()) == {"poison": 3, "hang": 3, "x": 1, "y": 1}
    worker.terminate()
    assert worker.wait(60) == 0
    stopped = {pid for name, pid, _ in site.starts("hang")}
    assert not stopped & set(site.left())


def test_a_cell_that_kills_workers_is_given_up_after_three(site: Site) -> None:
    """Its third dead worker is its last; the scheduler is set up as docs/cluster.md says."""
    site.settings["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "2"
    digest = staff.kernel()
    site.scheduler()
    for number in range(4):
        site.worker(f"w{number}")
    with site.client(digest, []) as force:
        poll(lambda: (force._recruit() and force.count == 4) or None, Deadline(staff.SOON), "no four slots")
        answers = dict(force.each(staff.tasks(digest, "worker", "x")))
    assert isinstance(answers[0], InfraError) and "3 workers were lost" in str(answers[0])
    assert isinstance(answers[1], Judged) and len(site.starts("worker")) == 3


def test_a_stopped_worker_is_given_up(site: Site) -> None:
    """SIGSTOP in mid-cell: another worker judges the cell, and what the first says when it goes on is dropped."""
    digest = staff.kernel()
    site.scheduler()
    one = site.worker("one")
    names = ["sleep 1.5 a", *(f"sleep 0.1 {number}" for number in range(3))]

    def stop() -> None:
        site.await_start("sleep 1.5 a")
        os.kill(one.pid, signal.SIGSTOP)
        site.worker("two")

    with site.client(digest, []) as force, meanwhile(stop):
        answers = dict(force.each(staff.tasks(digest, *names)))
        os.kill(one.pid, signal.SIGCONT)
        assert force.answers(staff.tasks(digest, "x"))
    assert all_pass(answers, len(names))


def test_a_scheduler_that_restarts_loses_nothing(site: Site) -> None:
    """Killed -9 and started again: worker and client join it, and every cell has its answer."""
    digest, said = staff.kernel(), list[str]()
    site.scheduler()
    site.worker("one")
    names = [f"sleep 0.5 {number}" for number in range(8)]

    def restart() -> None:
        site.await_start("sleep 0.5 2")
        site.processes["scheduler"].kill()
        site.processes["scheduler"].wait()
        site.scheduler()

    with site.client(digest, said) as force, meanwhile(restart):
        answers = dict(force.each(staff.tasks(digest, *names)))
    assert all_pass(answers, len(names))
    assert "lost the scheduler" in site.output("one")


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_a_worker_without_network_is_given_up(site: Site) -> None:
    """Two workers in network namespaces; the link of one is cut in mid-cell, and the other judges its cell."""
    digest = staff.kernel()
    with network("one", "two") as net:
        site.host, site.prefix = net.host, net.prefix
        site.scheduler()
        site.worker("one", listen=net.address("one"))

        def cut() -> None:
            site.await_start("sleep 3 a")
            net.cut("one")
            site.worker("two", listen=net.address("two"))

        with site.client(digest, []) as force, meanwhile(cut):
            answers = dict(force.each(staff.tasks(digest, "sleep 3 a", "x", "y")))
        assert all_pass(answers, 3)
        parents = {parent for _, _, parent in site.starts("sleep 3 a")}
        assert len(parents) == 2
        site.close()


class Network:
    """Namespaces behind a bridge of this machine, 10.213.77.0/24: the scheduler and the client have .1."""

    host = "10.213.77.1"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.mark = uuid.uuid4().hex[:5]
        self.names = names

    def address(self, name: str) -> str:
        return f"10.213.77.{self.names.index(name) + 2}"

    def space(self, name: str) -> str:
        return f"dc{self.mark}{name}"

    def prefix(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.space(name)) if name in self.names else ()

    def cut(self, name: str) -> None:
        ip("link", "set", f"{self.space(name)}v", "down")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def network(*names: str) -> Iterator[Network]:
    net = Network(names)
    bridge = f"dc{net.mark}b"
    with contextlib.ExitStack() as stack:
        try:
            ip("link", "add", bridge, "type", "bridge")
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no network can be made here")
        stack.callback(ip, "link", "del", bridge)
        ip("addr", "add", f"{net.host}/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for name in names:
            space = net.space(name)
            ip("netns", "add", space)
            stack.callback(ip, "netns", "del", space)
            ip("link", "add", f"{space}v", "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", f"{space}v", "master", bridge, "up")
            ip("-n", space, "addr", "add", f"{net.address(name)}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")
        yield net
