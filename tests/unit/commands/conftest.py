"""What the tests of commands share."""

from pathlib import Path

import pytest

from tests.unit.commands.user import User


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return User(tmp_path)
