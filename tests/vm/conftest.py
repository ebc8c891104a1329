"""Programs for the tests with guests, and a session that lets a test meddle with a guest at a chosen moment."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.model.program import Program, format
from harness.model.recorder import Recorder
from harness.model.units import PMD
from harness.target.guest import Execution, GuestTarget, OnCut
from harness.target.session import Session
from harness.target.timing import Split
from harness.vm import initramfs, interpreter
from harness.vm.guest import ANSWER, Guest, OnEvent

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


@pytest.fixture(scope="session")
def scenario() -> Callable[[str, str], Program]:
    """The Program that a function of scenarios/ records: scenario("test_controls", "test_pwrite_fsync")."""

    def record(module: str, name: str) -> Program:
        spec = importlib.util.spec_from_file_location(f"scenarios_{module}", SCENARIOS / f"{module}.py")
        if spec is None or spec.loader is None:
            raise RuntimeError(f"no scenarios/{module}.py")
        loaded: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        recorder = Recorder()
        getattr(loaded, name)(recorder)
        return recorder.program()

    return record


@pytest.fixture(scope="session")
def kept() -> Program:
    """A small Program that every sound kernel passes."""
    dax = Recorder()
    mapping = dax.create("data", size=PMD).mmap()
    mapping.store()
    mapping.msync()
    dax.cut_power()
    return dax.program()


@pytest.fixture
def kept_file(kept: Program, tmp_path: Path) -> Path:
    """That Program in a file."""
    path = tmp_path / "kept.prog"
    path.write_text(format(kept))
    return path


class Eavesdropper:
    """A guest whose events of command `do` a test hears of too, and whose deadlines it may shorten."""

    def __init__(self, guest: Guest, do: str, heard: Callable[[Guest, dict[str, Any]], None], seconds: float) -> None:
        self._guest = guest
        self._do = do
        self._heard = heard
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guest, name)

    def call(self, do: str, seconds: float = ANSWER, on_event: OnEvent | None = None, **arguments: Any) -> Any:
        def told(message: dict[str, Any]) -> None:
            if on_event is not None:
                on_event(message)
            self._heard(self._guest, message)

        if do != self._do:
            return self._guest.call(do, seconds, on_event, **arguments)
        return self._guest.call(do, min(seconds, self._seconds), told, **arguments)


class MeddledTarget(GuestTarget):
    """A target that tells `heard` each event of a running Program after it has acted on it."""

    def __init__(self, target: GuestTarget, heard: Callable[[Guest, dict[str, Any]], None], seconds: float) -> None:
        super().__init__(target.kernel, target.plan, target._plugin, target._say)
        self._heard = heard
        self._seconds = seconds
        self.pids: list[int] = []

    def _run(
        self, guest: Guest, session: Session, program: Program, split: Split, execution: Execution, on_cut: OnCut
    ) -> None:
        self.pids.append(guest.machine.pid)
        session.guest = Eavesdropper(guest, "run", self._heard, self._seconds)  # type: ignore[assignment]
        super()._run(guest, session, program, split, execution, on_cut)


@pytest.fixture(scope="session")
def meddled() -> type[MeddledTarget]:
    return MeddledTarget


@pytest.fixture(scope="session")
def in_guest() -> Callable[..., None]:
    """Runs Python source as root in an attached guest, by way of attach, which runs any program as its mkfs."""

    def run(session: Session, source: str, seconds: float = ANSWER) -> None:
        argv = [str(interpreter.survey(initramfs.AGENT, initramfs.ROOT).program), "-ISc", source]
        session.guest.call("attach", seconds, fs=session.system.name, options=session.system.mount, format=argv)

    return run
