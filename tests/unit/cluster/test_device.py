"""A device on a cluster: only its worker's command line names it for erasing, and its cells run nowhere else."""

import argparse
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from harness.cells import setup
from harness.deadline import Deadline, poll
from harness.errors import InfraError, UsageError
from harness.model.cell import Config
from harness.model.setting.environment import KernelBuild
from harness.model.setting.hardware import PmemKind
from harness.search.workers import Task
from harness.vm.machine import Qemu
from tests.unit.cluster import staff
from tests.unit.cluster.staff import Site
from tests.unit.cluster.test_session import SCENARIOS, judged, run

pytest.importorskip("distributed")
from distributed import Security

from harness.cluster import device, messages, worker
from harness.cluster.device import DeviceOffer, GivenDevice
from harness.cluster.slot import CellOrder
from harness.cluster.terms import Terms

PMEM = "/dev/pmem0"
MAIN = "import sys; from harness.cli import main; sys.exit(main())"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with staff.site(tmp_path) as one:
        (tmp_path / "test_y.py").write_text(SCENARIOS)
        staff.kernel()
        yield one


def daxcheck(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(staff.ROOT)}
    return subprocess.run([sys.executable, "-c", MAIN, *words], capture_output=True, text=True, env=environment)


def test_cells_run_where_the_device_is_and_guests_elsewhere(site: Site) -> None:
    """A run on the device and one in guests: each goes to its own worker, and says so in the journal."""
    site.scheduler()
    guests, box = site.worker("guests", guests=2), site.device_worker("box", PMEM)
    site.await_output("box", f"{PMEM} (nvdimm, kernel abab")
    done = run(site, "--target", PMEM)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cells run on guests there, /dev/pmem0" in done.stdout + done.stderr
    assert {parent for _, _, parent in site.starts()} == {box.pid}
    assert {(one.kernel, one.device) for one in judged(site)} == {(staff.BOX, PmemKind.NVDIMM)}
    done = run(site, "--results", str(site.place / "others"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(site.starts()) == 14 and {parent for _, _, parent in site.starts()[7:]} == {guests.pid}


@pytest.mark.nightly
def test_a_device_worker_that_is_killed_costs_no_cell(site: Site) -> None:
    """Its cells wait for one that offers the same device; none goes to a worker of guests."""
    site.settings["DAXCHECK_TEST_SLOW"] = "1"
    site.scheduler()
    guests, box = site.worker("guests"), site.device_worker("box", PMEM)
    argv, environment = staff_command(site)
    client = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    poll(lambda: len(site.starts()) >= 2 or None, Deadline(staff.SOON), "nothing starts")
    box.kill()
    site.device_worker("again", PMEM)
    said, _ = client.communicate(timeout=300)
    assert client.returncode == 1, said
    found = judged(site)
    assert len(found) == len({one.id for one in found}) == 7
    assert guests.pid not in {parent for _, _, parent in site.starts()}


def staff_command(site: Site) -> tuple[list[str], dict[str, str]]:
    from tests.unit.cluster.test_session import command

    return command(site, "--target", PMEM)


@pytest.mark.nightly
def test_a_device_that_nobody_offers_is_told_in_one_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that would offer it; exit code 2."""
    site.scheduler()
    site.device_worker("box", PMEM)
    site.await_output("box", PMEM)
    done = run(site, "--target", "/dev/pmem7")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "offers it, but /dev/pmem0: start daxcheck worker" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", PMEM], f"repeat its name, --erase {PMEM}"), (["--target", PMEM, "--erase", "/dev/pmem1"], "same"),
        (["--erase", PMEM], "same name"), (["--target", PMEM, "--erase", PMEM, "-n", "2"], "-n is for guests"),
        (["--target", "/dev/null", "--erase", "/dev/null"], "a character device"),
    ],
)  # fmt: skip
def test_a_worker_refuses_before_it_joins(words: list[str], said: str) -> None:
    """One line, exit code 2, although no scheduler is there."""
    done = daxcheck("worker", "tcp://127.0.0.1:1", *words)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_client_names_nothing_for_erasing(tmp_path: Path) -> None:
    """Neither a name nor a signature; refused before it asks anybody."""
    for words in (["--target", PMEM, "--erase", PMEM], ["--erase", PMEM], ["--erase-signature", "ext4"]):
        done = daxcheck("run", "--cluster", "tcp://127.0.0.1:1", *words, "--no-history")
        assert done.returncode == 2 and "are said where the device is" in done.stdout + done.stderr, done


def test_the_terms_of_a_client_name_no_device() -> None:
    """No field of an order but the cell's name could hold a path; and the worker makes its runner of its own words."""
    assert {one.name for one in fields(Terms)} == {
        "kernels", "fs", "device", "engine", "accel", "crash", "evictions", "coverage",
    }  # fmt: skip


def test_a_runner_is_made_of_the_workers_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the terms say."""
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(setup, "runner", lambda options, say: seen.append(options))
    hostile = replace(staff.terms(), fs="xfs", device="/dev/sda --erase /dev/sda", kernels=("/dev/sda",))
    GivenDevice(PMEM, PMEM, "ext4").runner_of(hostile, "/dev/sda")
    (options,) = seen
    assert (options.target, options.erase, options.erase_signature) == (PMEM, PMEM, "ext4")
    assert "/dev/sda" not in str(vars(options)) and options.fs == "xfs"


def test_a_cell_of_another_configuration_is_refused() -> None:
    """A client that sends one to a device all the same gets no verdict, and no runner is made."""

    def never(*_: Any) -> Any:
        raise AssertionError("a runner was made")

    settings = worker.WorkerSetup("tcp://127.0.0.1:1", "", Security(), 1, Qemu(Path("none"), device.NO_QEMU), never,
                                  offer=staff.offer(PMEM))  # fmt: skip
    slots = worker.CellSlots(settings)
    right = Config(staff.offer(PMEM).kernel, "ext4")
    for config in (replace(right, kernel=KernelBuild(staff.BOX, "cd" * 32)), replace(right, device=PmemKind.EADR)):
        order = CellOrder(Task(replace(staff.cell("x", ""), config=config)), staff.terms())
        answer = messages.answer_of(slots.carry_out(messages.wrap(order)))
        assert isinstance(answer, InfraError) and "and not for /dev/pmem0" in str(answer)
    slots.close()
    assert staff.offer(PMEM).why_not(replace(staff.cell("x", ""), config=right)) == ""


@pytest.mark.parametrize(
    "value",
    [None, 7, {}, {"path": "/dev/pmem0"}, {"path": "pmem0", "kind": "nvdimm", "release": "x", "digest": "y"},
     {"path": "/dev/pmem0", "kind": "disk", "release": "x", "digest": "y"}],
)  # fmt: skip
def test_what_is_no_offer_is_none(value: object) -> None:
    """It comes from another machine."""
    assert DeviceOffer.from_json(value) is None


def test_an_offer_is_read_as_it_was_told() -> None:
    """And its texts are bounded."""
    one = staff.offer(PMEM)
    assert DeviceOffer.from_json(one.to_json()) == one
    long = dataclasses.asdict(one) | one.to_json() | {"release": "6" * 1000}
    read = DeviceOffer.from_json(long)
    assert read is not None and len(read.kernel.release) == 80


def test_offers_that_differ_are_not_mixed() -> None:
    """One path on two kernels would be two configurations."""
    one, other = staff.offer(PMEM), replace(staff.offer(PMEM), kernel=KernelBuild("7.3", "ef" * 32))
    assert device.chosen(PMEM, "tcp://s:1", [one, one]) == one
    with pytest.raises(UsageError, match=r"differ in it: .*6.12.0-box.*7.3"):
        device.chosen(PMEM, "tcp://s:1", [one, other])
