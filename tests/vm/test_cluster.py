"""A cluster on this machine with real guests: a scheduler, a worker of two guests, and clients."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.deadline import Deadline, poll
from harness.errors import EXIT_CLEAN
from harness.kernel.kernel import Kernel

pytestmark = pytest.mark.nightly
Daxcheck = Any
START = 120.0
"""Seconds for a scheduler and a worker to be there, on a machine that does much else."""


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port),
            "--dashboard-address", "127.0.0.1:0"]  # fmt: skip
    with (tmp_path / "scheduler").open("wb") as said:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def worker(scheduler: str, daxcheck: Daxcheck) -> Any:
    """A worker of two guests; it has said that it takes cells."""
    started = daxcheck.start("worker", scheduler, "-n", "2")
    poll(lambda: "2 guests at a time" in started.output() or None, Deadline(START), f"no worker: {started.output()}")
    return started


def test_verdicts_of_real_guests(
    scheduler: str, worker: Any, kernel_6_1: Kernel, daxcheck: Daxcheck, tmp_path: Path
) -> None:
    """Controls keep and lose what they must, and the journal has each cell once; a worker that ends leaves no guest."""
    code, said = daxcheck.run("run", "--kernel", kernel_6_1.digest, "--fs", "xfs", "-k", "controls and store",
                              "--cluster", scheduler, "--results", tmp_path / "out")  # fmt: skip
    assert code == EXIT_CLEAN, said
    assert "4 passed" in said, said
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert len(lines) == 4
    worker.process.send_signal(signal.SIGTERM)
    worker.wait()
    assert "nothing is left running" in worker.output()
    worker.await_silence()


def test_interrupted_client(
    scheduler: str, worker: Any, kernel_6_1: Kernel, daxcheck: Daxcheck, tmp_path: Path
) -> None:
    """Ctrl-C at the client ends it with one line, and the worker takes the cells of the next one."""
    common = ("--kernel", kernel_6_1.digest, "--fs", "xfs", "--cluster", scheduler)
    client = daxcheck.start("run", "-m", "quick", *common, "--results", tmp_path / "cut")
    journal = tmp_path / "cut" / "results.jsonl"
    poll(lambda: (journal.exists() and journal.stat().st_size) or None, Deadline(START), "no cell was judged")
    client.process.send_signal(signal.SIGINT)
    assert client.wait() == 130, client.output()
    assert client.output().splitlines()[-1].endswith("interrupted; nothing is left running")
    code, said = daxcheck.run("run", "-k", "controls and store_msync_pte", *common)
    assert code == EXIT_CLEAN, said
