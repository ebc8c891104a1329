"""A harness that is killed or interrupted leaves nothing behind, whatever it was doing, and the next run works."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import trimming
from harness.targets.guest import GuestTarget

Daxcheck = Any
MakeCache = Callable[..., Path]
TRACKED, RECOVERING = ("-plugin",), ("-incoming", "rom=off")
INTERRUPTED = 130


def traces() -> set[str]:
    """Mounts, loop devices and files in the usual places that a run could have left."""
    found = set(Path("/proc/self/mounts").read_text().splitlines())
    found |= {path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")}
    for place in ("/dev/shm", "/tmp", "/run"):
        found |= {str(path) for path in Path(place).iterdir() if "daxcheck" in path.name or "qemu" in path.name}
    return found


def cached(home: Path) -> set[str]:
    """Every file of a cache, but the lock files, which a dead holder may leave, the marks of spare areas, and what was
    worked out and is remembered: whole, or not at all."""
    found = (path for path in home.rglob("*") if path.name != trimming.MARKER)
    return {str(path) for path in found if not path.name.startswith(".lock-") and "remembered" not in path.parts}


@pytest.fixture
def arguments(target_6_1: GuestTarget, kept_file: Path) -> list[str]:
    """A run of the small Program that must pass, three times over."""
    return ["run", str(kept_file), "--kernel", target_6_1.kernel.digest, "--fs", "ext4", "--repeat", "3"]


@pytest.mark.parametrize(
    ("moment", "workers"),
    [
        pytest.param(TRACKED, "2", id="ops-2"),
        pytest.param(RECOVERING, "0", id="recovery-0"),
        pytest.param(TRACKED, "0", id="ops-0", marks=pytest.mark.nightly),
        pytest.param(RECOVERING, "2", id="recovery-2", marks=pytest.mark.nightly),
    ],
)
def test_kill_9_leaves_nothing(
    target_6_1: GuestTarget, arguments: list[str], daxcheck: Daxcheck, private_cache: MakeCache,
    moment: tuple[str, ...], workers: str,
) -> None:  # fmt: skip
    """kill -9 of the harness takes its QEMU processes along and leaves no mount, loop device or file."""
    home = private_cache(target_6_1)
    before, files = traces(), cached(home)
    run = daxcheck.start(*arguments, "-n", workers, env={"XDG_CACHE_HOME": str(home)})
    run.await_guest(*moment)
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    run.await_silence()
    assert traces() - before == set()
    assert cached(home) == files
    assert list(run.scratch.iterdir()) == []


@pytest.mark.nightly
def test_after_kill_9_in_a_boot_the_next_run_works(
    target_6_1: GuestTarget, arguments: list[str], daxcheck: Daxcheck, private_cache: MakeCache
) -> None:
    """What a harness killed while it took a snapshot left in the cache is swept by the next one, which passes."""
    home = private_cache(target_6_1, ("kernels", "initramfs", "plugin"))
    run = daxcheck.start(*arguments, env={"XDG_CACHE_HOME": str(home)})
    run.await_guest("share=on")
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    run.await_silence()
    code, said = daxcheck.run(*arguments[:-2], env={"XDG_CACHE_HOME": str(home)})
    assert code == 0, said
    assert [path for path in cached(home) if "/.tmp-" in path] == []


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_says_one_line(
    target_6_1: GuestTarget, arguments: list[str], daxcheck: Daxcheck, private_cache: MakeCache, workers: str
) -> None:
    """Ctrl-C, which a terminal sends to the whole process group, ends everything with exit code 130 and one line."""
    home = private_cache(target_6_1)
    before, files = traces(), cached(home)
    run = daxcheck.start(*arguments, "-n", workers, env={"XDG_CACHE_HOME": str(home)})
    run.await_guest(*TRACKED)
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.wait() == INTERRUPTED, run.output()
    run.await_silence()
    said = run.output()
    assert said.splitlines()[-1] == "daxcheck: interrupted; nothing is left running"
    assert "Traceback" not in said and "Task" not in said
    assert traces() - before == set()
    assert cached(home) == files
    assert list(run.scratch.iterdir()) == []


@pytest.mark.nightly
def test_ctrl_c_in_a_boot_leaves_no_half_snapshot(
    target_6_1: GuestTarget, arguments: list[str], daxcheck: Daxcheck, private_cache: MakeCache
) -> None:
    """Ctrl-C while a snapshot is being taken removes what there was of it."""
    home = private_cache(target_6_1, ("kernels", "initramfs", "plugin"))
    run = daxcheck.start(*arguments, env={"XDG_CACHE_HOME": str(home)})
    run.await_guest("share=on")
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.wait() == INTERRUPTED, run.output()
    run.await_silence()
    assert run.output().splitlines()[-1] == "daxcheck: interrupted; nothing is left running"
    assert list((home / "daxcheck" / "snapshots").iterdir()) == []
    assert list(run.scratch.iterdir()) == []


@pytest.mark.parametrize("workers", [pytest.param("0", marks=pytest.mark.nightly), "2"])
def test_sigterm_says_one_line(
    target_6_1: GuestTarget, arguments: list[str], daxcheck: Daxcheck, private_cache: MakeCache, workers: str
) -> None:
    """SIGTERM, which a service manager sends to the one process that it started, ends all as Ctrl-C does."""
    home = private_cache(target_6_1)
    before, files = traces(), cached(home)
    run = daxcheck.start(*arguments, "-n", workers, env={"XDG_CACHE_HOME": str(home)})
    run.await_guest(*TRACKED)
    os.kill(run.process.pid, signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM, run.output()
    run.await_silence()
    said = run.output()
    assert said.splitlines()[-1] == "daxcheck: ended by SIGTERM; nothing is left running"
    assert "Traceback" not in said and "Warning" not in said
    assert traces() - before == set()
    assert cached(home) == files
    assert list(run.scratch.iterdir()) == []
