"""Laws of the files that go into a guest: all of each, once, and refused in a line where that cannot be."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.model.wire.commanded import decoded
from harness.trial import kit
from harness.trial.kit import CopiedFile, Kit


class Receiver:
    """A guest that keeps what it is given; in all else it is none."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.calls = 0

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert do == "put"
        before = b"" if arguments["new"] else self.files[arguments["name"]]
        self.files[arguments["name"]] = before + decoded(arguments["data"], kit.PIECE)
        self.calls += 1
        return {}


def test_a_guest_gets_each_file_whole_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces; another guest gets them too."""
    monkeypatch.setattr(kit, "PIECE", 4)
    given = Kit([CopiedFile("a", b"0123456789"), CopiedFile("empty", b"")])
    guests: list[Any] = [Receiver(), Receiver()]
    for guest in (*guests, guests[1]):
        given.give(guest)
    assert all(guest.files == {"a": b"0123456789", "empty": b""} and guest.calls == 4 for guest in guests)


def twins(folder: Path) -> list[Path]:
    paths = [folder / "one" / "same", folder / "two" / "same"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"")
    return paths


def large(folder: Path) -> list[Path]:
    with (folder / "large").open("xb") as file:
        file.truncate(kit.COPIED_LIMIT + 1)
    return [folder / "large"]


def fifo(folder: Path) -> list[Path]:
    os.mkfifo(folder / "fifo")
    return [folder / "fifo"]


@pytest.mark.parametrize(
    ("make", "why"),
    [(twins, "two files are called same"), (large, "more than 64 MiB"), (fifo, "no regular file"),
     (lambda folder: [folder], "no regular file"), (lambda folder: [folder / "absent"], "no regular file")],
)  # fmt: skip
def test_what_cannot_be_copied_is_named(tmp_path: Path, make: Callable[[Path], list[Path]], why: str) -> None:
    """In one line with the path, and without waiting for anybody."""
    with pytest.raises(UsageError, match=why) as refused:
        kit.load(make(tmp_path))
    assert str(refused.value).startswith(f"--copy {tmp_path}")


def test_what_can_be_copied(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0a")
    assert kit.load([tmp_path / "a"]) == (CopiedFile("a", b"\0a"),)
