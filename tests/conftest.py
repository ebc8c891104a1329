"""What the tests with guests share: real kernels, one target per kernel and session, and `daxcheck` as a process.

Nothing here costs anything until a test asks for it. Helpers are fixtures, since test directories are no packages.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import cachedir
from harness.deadline import Deadline, poll
from harness.errors import DaxcheckError
from harness.fs import filesystem
from harness.kernel import source
from harness.kernel.kernel import Kernel
from harness.pytestplugin import naming
from harness.targets import provision
from harness.targets.guest import GuestTarget
from harness.targets.plugintracker import PluginTracker
from harness.vm import snapshot
from harness.vm.machine import Qemu, find_qemu

ROOT = Path(__file__).resolve().parents[1]
CONTROLS = ROOT / "scenarios" / "test_controls.py"
AT_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""A shell without job control starts background commands with SIGINT ignored, and so all that these start."""
COMMAND = (sys.executable, "-c", f"{AT_A_TERMINAL}; import sys; from harness.cli import main; sys.exit(main())")
GENEROUS = 600.0
"""Seconds before a command counts as hung."""
MARK = "DAXCHECK_TEST_MARK"
"""Environment variable by which all descendants of a command are found, whatever session or parent they have."""


def say(text: str) -> None:
    print(text, file=sys.stderr)


def pytest_configure(config: pytest.Config) -> None:
    """Tests load scenario files, whose marks come from a plugin that is not loaded here. What they run, and the
    controls that run beside them, adds nothing to the history of the user."""
    naming.register(config)
    if not hasattr(config, "workerinput"):
        state = tempfile.TemporaryDirectory(prefix="daxcheck-state-")
        config.add_cleanup(state.cleanup)
        os.environ["XDG_STATE_HOME"] = state.name


def in_turn(cells: Sequence[tuple[str, str]]) -> list[bool]:
    """Which cells of the controls, told by function and id, are run by day: each control on every file system, on the
    kernels by turns, so that each kernel has each file system too.

    Of two controls on three kernels, first-k1-ext4, first-k3-xfs, second-k3-ext4 and second-k2-xfs.
    """
    places = [(name, *where.rpartition("-")[::2]) for name, where in cells]
    names, kernels, systems = (list(dict.fromkeys(column)) for column in zip(*places, strict=True))
    return [
        (names.index(name) + kernels.index(kernel) + systems.index(system)) % len(kernels) == 0
        for name, kernel, system in places
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The controls that are not in turn are for the night, in which scripts/nightly runs all of them, many times."""
    controls = [item for item in items if item.path == CONTROLS and isinstance(item, pytest.Function)]
    if controls:
        cells = [(item.originalname, item.callspec.id) for item in controls]
        for item, day in zip(controls, in_turn(cells), strict=True):
            if not day:
                item.add_marker(pytest.mark.nightly)


@pytest.fixture(scope="session")
def qemu() -> Qemu:
    return find_qemu()


def resolved(spec: str, release: str) -> Kernel:
    """The kernel of a suite; a skip when the suite has moved on to another version."""
    try:
        kernel = source.resolve(spec, say)
    except DaxcheckError as error:
        raise RuntimeError(f"these tests need the kernel {spec}: {error}") from error
    if not kernel.release.startswith(release):
        pytest.skip(f"{spec} is {kernel.release} today; the facts are about {release}")
    return kernel


@pytest.fixture(scope="session")
def kernel_6_1() -> Kernel:
    """Debian 12's own kernel, which keeps every promise tested here."""
    return resolved("debian:bookworm", "6.1.")


@pytest.fixture(scope="session")
def kernel_6_12() -> Kernel:
    """Debian 12's backport, which loses data around holes on ext4."""
    return resolved("debian:bookworm-backports", "6.12.95")


@pytest.fixture(scope="session")
def kernel_7_3() -> Kernel:
    """Debian 13's backport, which drops all of a file's dirty entries at any fallocate."""
    return resolved("debian:trixie-backports", "7.3.4")


@pytest.fixture(scope="session")
def target_of(qemu: Qemu) -> Callable[[Kernel], GuestTarget]:
    """The session's one target of a kernel. Nobody holds it, so that each run has a guest of its own."""
    made: dict[str, GuestTarget] = {}

    def get(kernel: Kernel) -> GuestTarget:
        if kernel.digest not in made:
            made[kernel.digest] = provision.target(kernel, qemu, say)
        return made[kernel.digest]

    return get


@pytest.fixture(scope="session")
def target_6_1(kernel_6_1: Kernel, target_of: Callable[[Kernel], GuestTarget]) -> GuestTarget:
    return target_of(kernel_6_1)


@pytest.fixture(scope="session")
def target_6_12(kernel_6_12: Kernel, target_of: Callable[[Kernel], GuestTarget]) -> GuestTarget:
    return target_of(kernel_6_12)


@pytest.fixture(scope="session")
def target_7_3(kernel_7_3: Kernel, target_of: Callable[[Kernel], GuestTarget]) -> GuestTarget:
    return target_of(kernel_7_3)


@dataclass(slots=True)
class Started:
    """A `daxcheck` process in a session of its own, with its output in files and its descendants marked."""

    process: subprocess.Popen[bytes]
    out: Path
    scratch: Path
    mark: str

    def wait(self, seconds: float = GENEROUS) -> int:
        return self.process.wait(seconds)

    def output(self) -> str:
        return self.out.read_text(errors="replace")

    def descendants(self) -> dict[int, str]:
        """Command lines of the live processes that carry the mark, by pid."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{MARK}={self.mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def guests(self, *words: str) -> list[int]:
        """Pids of the QEMU processes whose command line holds all `words`."""
        lines = self.descendants().items()
        return [pid for pid, line in lines if " -nodefaults " in line and all(word in line for word in words)]

    def await_guest(self, *words: str, seconds: float = GENEROUS) -> int:
        """The pid of such a process, once there is one. Raises DeadlineExpired, RuntimeError when the command ends."""

        def look() -> int | None:
            if self.process.poll() is not None:
                raise RuntimeError(f"daxcheck ended too early:\n{self.output()}")
            return next(iter(self.guests(*words)), None)

        return poll(look, Deadline(seconds), f"no QEMU process with {words} appears")

    def await_silence(self, seconds: float = 60.0) -> None:
        """Wait until nothing of it runs any more. Raises DeadlineExpired."""
        poll(lambda: None if self.descendants() else True, Deadline(seconds), "processes are left")


@dataclass(slots=True)
class Daxcheck:
    """Starts `daxcheck` as a user does; kills what is left of it at the end of the test."""

    directory: Path
    started: list[Started] = field(default_factory=list)

    def start(
        self, *argv: str | Path, env: Mapping[str, str] | None = None, prefix: Sequence[str] = (),
        command: Sequence[str] = COMMAND,
    ) -> Started:  # fmt: skip
        """Start it with arguments `argv`; `prefix` goes before the command, such as setpriv and its options."""
        number = len(self.started)
        out, scratch, mark = self.directory / f"out{number}", self.directory / f"scratch{number}", uuid.uuid4().hex
        scratch.mkdir()
        scratch.chmod(0o777)
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), MARK: mark, **(env or {}),
        }  # fmt: skip
        for name in [name for name in environment if name.startswith(("PYTEST_", "COV_"))]:
            del environment[name]
        with out.open("wb") as file:
            process = subprocess.Popen(
                [*prefix, *command, *map(str, argv)], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env=environment, cwd=ROOT, start_new_session=True,
            )  # fmt: skip
        started = Started(process, out, scratch, mark)
        self.started.append(started)
        return started

    def run(
        self, *argv: str | Path, env: Mapping[str, str] | None = None, prefix: Sequence[str] = (),
        command: Sequence[str] = COMMAND,
    ) -> tuple[int, str]:  # fmt: skip
        """Run it to its end: exit code, and what it said on both streams."""
        started = self.start(*argv, env=env, prefix=prefix, command=command)
        return started.wait(), started.output()

    def close(self) -> None:
        for started in self.started:
            for pid in (started.process.pid, *started.descendants()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            started.process.wait()


@pytest.fixture
def daxcheck(tmp_path: Path) -> Iterator[Daxcheck]:
    """Starts `daxcheck` in processes of its own."""
    user = Daxcheck(tmp_path)
    try:
        yield user
    finally:
        user.close()


WHOLE = ("kernels", "initramfs", "plugin", "snapshots", "golden")
"""The areas of the cache that a run needs."""


@pytest.fixture
def private_cache() -> Iterator[Callable[..., Path]]:
    """Makes a cache of the test's own that holds all that a run on a target needs; its files are links: replace
    one to damage it, never write into it. Gives the XDG_CACHE_HOME of it."""
    with contextlib.ExitStack() as stack:

        def make(target: GuestTarget, areas: Sequence[str] = WHOLE) -> Path:
            # Beside the real one, so that hard links are possible.
            home = cachedir.root().parent / f"daxcheck-test-{uuid.uuid4().hex}"
            stack.callback(subprocess.run, ["rm", "-rf", str(home)], check=True)
            target.golden(filesystem.find("ext4")).close()
            assert isinstance(target.tracker, PluginTracker)
            entries = {
                "kernels": target.kernel.digest, "initramfs": target.plan.initramfs.parent.name,
                "plugin": target.tracker.plugin.parent.name, "snapshots": snapshot.key(target.plan), "golden": "",
            }  # fmt: skip
            for area in areas:
                place = home / "daxcheck" / area
                place.mkdir(parents=True, mode=0o700)
                # -a keeps holes and links; an area without a key is copied whole, without what others are making.
                names = [entries[area]] if entries[area] else cachedir.keys(area)
                for name in names:
                    subprocess.run(["cp", "-al", str(cachedir.root() / area / name), str(place / name)], check=True)
            return home

        yield make
