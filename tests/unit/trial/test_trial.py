"""Laws of a trial whose guests fail: a recovery is tried twice, and what it finds is that of the try that worked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import GuestHang, InfraError
from harness.fs import filesystem
from harness.media.image import END, PESSIMISTIC, CrashImage
from harness.memfile import MemFile
from harness.model.setting.engine import Engine
from harness.model.wire.commanded import Commanded
from harness.targets.target import Recovery
from harness.targets.tracker import TraceTracker
from harness.trial.judging import Answer
from harness.trial.kit import Kit
from harness.trial.sessions import Orders
from harness.trial.trial import Trial
from harness.vm.machine import Hardware, Plan, Qemu

XFS = filesystem.find("xfs")
ORDERS = Orders("w", "v", 9.0, Kit([]))


class Flaky:
    """A recoverer whose first tries hang after the verifier has said that all is bad; then all is good."""

    def __init__(self, trial: Any, failures: int) -> None:
        self._trial = trial
        self._failures = failures

    def recover(self, crash: CrashImage, job: object, number: int, pieces: object) -> Recovery:
        session = self._trial._verifier(object(), XFS)
        session.mounted, session.found = True, Commanded(int(self._failures > 0), b"", b"")
        self._failures -= 1
        if self._failures >= 0:
            raise GuestHang("no answer")
        return Recovery(crash.name)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def trial(said: list[str]) -> Iterator[Any]:
    hardware = Hardware(nvdimm=4096)
    plan = Plan(Qemu(Path("qemu"), "10.0"), hardware, Path("kernel"), Path("initramfs"))
    kernel: Any = None
    with Trial(kernel, plan, TraceTracker(hardware, Engine.TRACE), XFS, ORDERS, said.append) as made:
        yield made


def test_a_recovery_is_tried_twice(trial: Any, said: list[str]) -> None:
    """The guest that hangs is nobody's verdict; the one that does not is."""
    with MemFile("media", 0) as media:
        crash = CrashImage(END, PESSIMISTIC, media)
        keep, trial._recoverer = trial._recoverer, Flaky(trial, 1)
        looked = trial.look(crash, b"")
        assert (looked.answer, said) == (Answer.GOOD, ["an image is recovered again: no answer"])
        trial._recoverer = Flaky(trial, 2)
        with pytest.raises(InfraError, match="no answer"):
            trial.look(crash, b"")
        trial._recoverer = keep
