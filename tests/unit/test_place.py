"""Laws of harness.place: what is written stays where it was asked for, whatever others put in the way."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import place
from harness.errors import UsageError

OTHER = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of several users")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A directory of another user."""
    path = tmp_path / "theirs"
    path.mkdir()
    os.chown(path, OTHER, OTHER)
    return path


def link(path: Path, target: Path, owner: int = OTHER) -> None:
    path.symlink_to(target)
    os.chown(path, owner, owner, follow_symlinks=False)


def written(path: Path, data: bytes = b"new") -> None:
    with place.opened(path.parent) as folder:
        place.write(folder, path.name, data)


def test_what_is_missing_is_made(tmp_path: Path) -> None:
    """Directories with their parents, and a file, which holds what was written last and no more."""
    for data in (b"longer", b"new"):
        written(tmp_path / "a/b/file", data)
    assert (tmp_path / "a/b/file").read_bytes() == b"new"


def test_no_link_is_followed_by_a_write(tmp_path: Path, victim: Path) -> None:
    """Whoever made it: it is named, and what it points to keeps what it holds."""
    for target in (victim, tmp_path / "absent"):
        (tmp_path / "file").symlink_to(target)
        with pytest.raises(UsageError, match=f"{tmp_path}/file: is a symbolic link: remove it"):
            written(tmp_path / "file")
        (tmp_path / "file").unlink()
    assert victim.read_text() == "precious" and not (tmp_path / "absent").exists()


def test_only_a_file_is_written(tmp_path: Path) -> None:
    """A FIFO, whose reader would be waited for, is refused at once."""
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(UsageError, match="is no regular file"):
            written(tmp_path / "fifo")
    finally:
        os.close(fd)


def test_links_of_ones_own_lead_to_a_directory(tmp_path: Path) -> None:
    """Absolute, relative and through the parent, as the kernel follows them; a circle ends."""
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "one").symlink_to(tmp_path / "real")
    (tmp_path / "two").symlink_to("one/sub")
    written(tmp_path / "two/../file")
    assert (tmp_path / "real/file").read_bytes() == b"new"
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="Too many levels"):
        written(tmp_path / "circle/file")


def test_no_file_is_a_directory(tmp_path: Path, victim: Path) -> None:
    """The system's own error."""
    for path in (victim / "file", victim / "sub/file"):
        with pytest.raises(NotADirectoryError):
            written(path)


@root_only
@pytest.mark.parametrize("name", ["out/file", "out/sub/file"])
def test_a_directory_by_a_link_of_another_is_refused(tmp_path: Path, theirs: Path, name: str) -> None:
    """Root is not led by another user into a third place."""
    (tmp_path / "etc").mkdir()
    link(theirs / "out", tmp_path / "etc")
    with pytest.raises(UsageError, match=f"out is a symbolic link of user {OTHER}"):
        written(theirs / name)
    assert list((tmp_path / "etc").iterdir()) == []


@root_only
def test_a_hard_link_of_another_is_refused(theirs: Path, victim: Path) -> None:
    """It is a name of a file that may be anybody's."""
    os.link(victim, theirs / "file")
    with pytest.raises(UsageError, match="with 2 names"):
        written(theirs / "file")
    assert victim.read_text() == "precious"


@root_only
def test_a_file_of_a_third_user_is_refused(tmp_path: Path) -> None:
    """One whose owner does not own the directory, as in /tmp."""
    path = tmp_path / "file"
    path.write_text("theirs")
    os.chown(path, OTHER, OTHER)
    with pytest.raises(UsageError, match=f"is a file of user {OTHER}"):
        written(path)
    assert path.read_text() == "theirs"


@root_only
def test_plain_files_in_a_directory_of_another_are_written(theirs: Path) -> None:
    """`sudo daxcheck run --results out` in one's own home."""
    for _ in range(2):
        written(theirs / "out/file")
    assert (theirs / "out/file").read_bytes() == b"new"


def own(path: Path) -> None:
    path.chmod(0o700)


def writable(path: Path) -> None:
    path.chmod(0o777)


def sticky(path: Path) -> None:
    path.chmod(0o1777)


def foreign(path: Path) -> None:
    os.chown(path, OTHER, OTHER)


@root_only
@pytest.mark.parametrize(("kind", "itself", "below"), [
    (own, "", ""), (writable, "others may write", "others may write"), (sticky, "others may write", ""),
    (foreign, "belongs to user", "belongs to user"),
])  # fmt: skip
def test_who_else_could_replace_it(tmp_path: Path, kind: Callable[[Path], None], itself: str, below: str) -> None:
    """For root whoever owns or writes a directory on the way; in a sticky one nobody replaces what is root's."""
    (tmp_path / "outer/inner").mkdir(parents=True)
    kind(tmp_path / "outer")
    assert stat.S_ISDIR((tmp_path / "outer").stat().st_mode)
    for path, said in ((tmp_path / "outer", itself), (tmp_path / "outer/inner", below)):
        assert said in place.shared(path) and bool(said) == bool(place.shared(path))
