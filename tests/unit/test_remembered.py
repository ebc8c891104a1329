"""Laws of harness.remembered: what was worked out is believed as long as nothing that it came from has changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cachedir, remembered
from harness.manifest import DamagedEntry
from harness.remembered import Learned

Tick = Callable[[], None]


class Reader:
    """Works out what a file holds, and counts how often it had to."""

    def __init__(self, room: Path, *files: Path) -> None:
        self.room = room
        self.files = files
        self.times = 0

    def ask(self, question: str = "what is in it?") -> str:
        return remembered.remembered(self.room, (question,), self._work)

    def _work(self) -> Learned:
        self.times += 1
        return Learned(self.files[0].read_text() if self.files[0].is_file() else "none", self.files)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for files and memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def reader(home: Path, tick: Tick) -> Reader:
    """One that has read `file` in `dir`, and remembers it."""
    (home / "dir").mkdir()
    (home / "dir/file").write_text("one")
    tick()
    reader = Reader(home / "room", home / "dir/file", home / "dir")
    assert reader.ask() == "one"
    tick()
    return reader


def test_unchanged_files_are_not_read_again(reader: Reader) -> None:
    """The same question is worked out once, another one by itself."""
    assert (reader.ask(), reader.ask(), reader.times) == ("one", "one", 1)
    assert reader.ask("another question") == "one"
    assert reader.times == 2


def rewrite(file: Path) -> None:
    """Write as many bytes in place, and set the time of the last change back."""
    stat = file.stat()
    file.write_text("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten": rewrite,
    "appended to": lambda file: file.write_text("one and two"),
    "replaced": lambda file: (file.with_name("new").write_text("two"), file.with_name("new").rename(file)),
    "cut": lambda file: os.truncate(file, 2),
    "removed": lambda file: file.unlink(),
    "given a neighbour": lambda file: file.with_name("neighbour").write_text(""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_noticed(reader: Reader, change: Callable[[Path], object]) -> None:
    """Also one that keeps size and mtime, and one that only a directory shows."""
    change(reader.files[0])
    reader.ask()
    assert reader.times == 2


def test_a_young_file_is_not_believed(tmp_path: Path) -> None:
    """A file may change twice within a tick of the clock: one that has just changed is read again."""
    (tmp_path / "file").write_text("one")
    reader = Reader(tmp_path / "room", tmp_path / "file")
    assert (reader.ask(), reader.ask(), reader.times) == ("one", "one", 2)


def test_a_change_during_the_work_is_noticed(home: Path, tick: Tick) -> None:
    """What was read before a change is not remembered as what the changed file holds."""
    file = home / "file"
    file.write_text("one")
    tick()

    def work() -> Learned:
        said = file.read_text()
        tick()
        rewrite(file)
        return Learned(said, [file])

    assert remembered.remembered(home / "room", ("?",), work) == "one"
    assert remembered.remembered(home / "room", ("?",), lambda: Learned(file.read_text(), [file])) == "two"


def test_another_boot_knows_nothing(reader: Reader, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power failure may take contents and leave sizes and times; what was remembered before is removed."""
    (home / "boot_id").write_text("another\n")
    monkeypatch.setattr(remembered, "BOOT_ID", home / "boot_id")
    assert (reader.ask(), reader.ask(), reader.times) == ("one", "one", 2)
    assert [path.name for path in reader.room.iterdir()] == ["another"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"answer": 1, "files": {}}', '{"answer": "x", "files": [1]}'])
def test_a_damaged_record_is_none(reader: Reader, text: str) -> None:
    """It is worked out anew and kept."""
    (record,) = reader.room.glob("*/*.json")
    record.write_text(text)
    assert (reader.ask(), reader.ask(), reader.times) == ("one", "one", 2)


def test_without_a_place_it_is_worked_out(home: Path, tick: Tick) -> None:
    """Where nothing can be written nothing is remembered, and the answer is the same."""
    (home / "file").write_text("one")
    (home / "room").write_text("no directory")
    tick()
    reader = Reader(home / "room", home / "file")
    assert (reader.ask(), reader.ask(), reader.times) == ("one", "one", 2)


def test_a_failure_is_not_remembered(reader: Reader) -> None:
    """What fails is asked again."""

    def fail() -> Learned:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        remembered.remembered(reader.room, ("fails",), fail)
    assert reader.ask("fails") == "one"


def test_an_entry_is_hashed_once_and_damage_is_noticed(home: Path, tick: Tick, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of the cache is hashed once a boot, and again when a file of it has changed."""

    def make(room: Path) -> None:
        (room / "file").write_text("one")

    entry = cachedir.directory("area", "key", make, hashed=True)
    tick()
    assert cachedir.present("area", "key", hashed=True)
    tick()
    with monkeypatch.context() as patched:
        patched.setattr("harness.manifest.digest", lambda path: pytest.fail(f"{path} was read again"))
        assert cachedir.present("area", "key", hashed=True)
    rewrite(entry / "file")
    with pytest.raises(DamagedEntry, match="contents have changed"):
        cachedir.present("area", "key", hashed=True)
