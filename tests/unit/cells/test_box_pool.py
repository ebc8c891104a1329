"""Laws of harness.cells.box: one engine at a time holds the device, and none holds it at the end."""

from typing import Any, Self

import pytest

from harness.cells import box
from harness.errors import UsageError
from harness.model.cell import Config
from harness.model.setting.engine import Engine
from harness.model.setting.environment import KernelBuild

CONFIGS = {engine: Config(KernelBuild("6.1", "aa"), "ext4", engine=engine) for engine in Engine}
TRACE, COVERAGE = CONFIGS[Engine.TRACE], CONFIGS[Engine.COVERAGE]


class Device:
    """A device that one target may hold; `claims` says who took it and gave it back."""

    def __init__(self) -> None:
        self.claims: list[str] = []
        self.holder = ""
        self.refuses = False


class Target:
    """A target of the device."""

    def __init__(self, device: Any, engine: Engine, _: object) -> None:
        self._device = device
        self._engine = engine

    def __enter__(self) -> Self:
        if self._device.refuses:
            raise UsageError("in use")
        assert self._device.holder == ""
        self._device.holder = self._engine
        self._device.claims.append(f"+{self._engine}")
        return self

    def __exit__(self, *_: object) -> None:
        self._device.holder = ""
        self._device.claims.append(f"-{self._engine}")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(box, "LocalTarget", Target)
    return Device()


def test_engines_take_turns(device: Any) -> None:
    """Who has the device keeps it until another engine is asked for; close() gives it back, once."""
    pool = box.BoxPool(device, (Engine.TRACE, Engine.COVERAGE), print)
    for config in (TRACE, TRACE, COVERAGE, TRACE):
        pool.target(config)
    pool.close()
    pool.close()
    assert device.claims == ["+trace", "-trace", "+coverage", "-coverage", "+trace", "-trace"]


def test_a_claim_that_failed_is_made_again(device: Any) -> None:
    """It is not taken for one that was made."""
    pool = box.BoxPool(device, (Engine.TRACE,), print)
    device.refuses = True
    with pytest.raises(UsageError, match="in use"):
        pool.target(TRACE)
    device.refuses = False
    pool.target(TRACE)
    pool.close()
    assert device.claims == ["+trace", "-trace"]
