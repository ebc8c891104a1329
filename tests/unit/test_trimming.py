"""Laws of harness.trimming: spare entries stay within their bound, and what that costs is told."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from harness import cachedir, trimming
from harness.errors import UsageError

REPO = Path(__file__).resolve().parents[2]
BLOCK = 64 * 1024
BOUND = 4 * BLOCK + BLOCK // 2
"""Room for four entries of one block, and what the file system needs for directories and manifests."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache whose GiB are small."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(trimming.VARIABLE, raising=False)
    monkeypatch.setattr(trimming, "GIB", BOUND // trimming.LIMIT + 1)
    return tmp_path / "daxcheck"


class User:
    """Asks for spare entries, each later than the one before, and notes what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._clock = 0

    def ask(self, key: str, area: str = "area", blocks: int = 1) -> Path:
        def make(room: Path) -> None:
            (room / "file").write_bytes(b"x" * blocks * BLOCK)

        path = trimming.directory(area, key, make, say=self.told.append)
        self._clock += 1
        os.utime(path, ns=(self._clock, self._clock))
        return path


@pytest.fixture
def user() -> User:
    return User()


def test_the_longest_unused_go_in_all_areas(user: User) -> None:
    """A new entry makes room for itself: those that nobody asked for the longest go, whatever area they are of."""
    for key, area in (("one", "first"), ("two", "second"), ("three", "first"), ("four", "second")):
        user.ask(key, area)
    user.ask("one", "first")
    user.ask("five", "second")
    assert (cachedir.keys("first"), cachedir.keys("second")) == (["one", "three"], ["five", "four"])
    assert sum(trimming.sizes().values()) <= trimming.limit()
    assert [path.name for path in trimming.sizes()] == ["five", "one", "four", "three"]


def test_what_is_not_spare_stays(user: User) -> None:
    """Kernels that somebody has fetched never go for snapshots, and do not count."""
    for key in ("one", "two", "three", "four", "five"):
        cachedir.directory("kernels", key, lambda room: _put(room, 4))
    user.ask("six")
    assert len(cachedir.keys("kernels")) == 5
    assert [path.name for path in trimming.sizes()] == ["six"]


def _put(room: Path, blocks: int) -> None:
    (room / "file").write_bytes(b"x" * blocks * BLOCK)


def test_the_newest_stays_even_alone_too_large(user: User) -> None:
    """An entry over the bound is of use for once; all others go."""
    user.ask("one")
    user.ask("two", blocks=8)
    assert cachedir.keys("area") == ["two"]


def test_holes_do_not_count(user: User) -> None:
    """Memory of a guest is a file with holes: its bytes on disk count, not its size."""

    def make(room: Path) -> None:
        with (room / "ram").open("wb") as file:
            file.truncate(1 << 30)

    for key in ("one", "two", "three"):
        trimming.directory("area", key, make)
    assert cachedir.keys("area") == ["one", "three", "two"]


def test_made_again_is_told_once_and_noted(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for an entry that had gone for others hears why; a first making, a find, a removal are none."""
    for key in ("one", "two", "three", "four", "five"):
        user.ask(key)
    assert user.told == [] and trimming.made_again() == {}
    before = trimming.mark()
    assert trimming.complaint(before) == ""
    user.ask("one")
    assert user.told == ["made again: area/one had gone from the cache, which holds 8 GiB"]
    user.ask("one")
    cachedir.remove("area", "one")
    user.ask("one")
    assert len(user.told) == 1
    assert trimming.made_again(before) == {"area": 1}
    assert trimming.complaint(before) == (
        f"the cache of 8 GiB was too small: made again were 1 of area, last on {date.today()}; "
        "DAXCHECK_CACHE_GIB=16 doubles it"
    )
    assert trimming.made_again(trimming.mark()) == {}
    monkeypatch.setenv(trimming.VARIABLE, "16")
    assert trimming.complaint() == ""  # who took the advice hears no more of it


def test_workers_notes_reach_the_session(user: User) -> None:
    """What another process makes again is noted for all: a worker's output is not for the user."""
    for key in ("one", "two", "three", "four", "five"):
        user.ask(key)
    before = trimming.mark()
    code = f"""
from harness import trimming
trimming.GIB = {trimming.GIB}
trimming.directory("area", "one", lambda room: (room / "file").write_bytes(b"x" * {BLOCK}))"""
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True, timeout=60)
    assert trimming.made_again(before) == {"area": 1}


def test_memory_of_what_went_is_bounded(user: User, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that is too small for years remembers no more than a bound of what went, and notes no more."""
    monkeypatch.setattr(trimming, "REMEMBERED", 3)
    for number in range(20):
        user.ask(f"{number:02}", blocks=2)
    assert len(list((cache / "area" / trimming.TRIMMED).iterdir())) == 3
    for number in range(20):
        user.ask(f"{number % 3:02}", blocks=2)  # there is room for two
    assert 0 < (cache / trimming.NOTES).stat().st_size <= 4 * len(f"area 00 {trimming.limit()}\n")


@pytest.mark.parametrize("text", ["0", "-1", "0.5", "many", "nan", "inf", "1e400"])
def test_a_bad_bound_is_bad_usage(text: str, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no number of GiB, or too few for one session, is refused by the variable's name."""
    monkeypatch.setenv(trimming.VARIABLE, text)
    with pytest.raises(UsageError, match=rf"^DAXCHECK_CACHE_GIB={text}: wants a number of GiB, 1 or more"):
        user.ask("one")


def test_the_bound_can_be_chosen(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """With twice the room nothing goes."""
    monkeypatch.setenv(trimming.VARIABLE, str(2 * trimming.LIMIT))
    for key in ("one", "two", "three", "four", "five"):
        user.ask(key)
    assert len(cachedir.keys("area")) == 5
