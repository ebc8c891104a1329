"""Laws of what --results keeps of a trial: byte by byte, each time anew, and the image without its holes."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.media.image import END, PESSIMISTIC, CrashImage
from harness.memfile import MemFile
from harness.model.units import PAGE
from harness.model.wire.commanded import Commanded
from harness.targets.target import Recovery
from harness.trial.judging import Looked
from harness.trial.keeping import IMAGE, Keeping

LOOKED = Looked(Recovery("x", console="[1] XFS\x1b\n"), Commanded(1, b"\0out", b"err"), True, 9)


def kept(folder: Path, byte: int) -> dict[str, bytes]:
    with Keeping(folder, image=True) as keeping, MemFile("media", 64 * PAGE) as media:
        media.array[5] = byte
        keeping.bad(CrashImage(END, PESSIMISTIC, media), LOOKED)
        keeping.report(["one", "two"])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_kept(tmp_path: Path) -> None:
    """A second trial in the same directory takes the place of the first."""
    kept(tmp_path / "out", 7)
    found = kept(tmp_path / "out", 8)
    image = found.pop(IMAGE)
    assert found == {
        "bad.out": b"\0out", "bad.err": b"err", "bad.console": b"[1] XFS\\x1b\n", "report.txt": b"one\ntwo\n",
    }  # fmt: skip
    assert (len(image), image[5]) == (64 * PAGE, 8)
    assert (tmp_path / "out" / IMAGE).stat().st_blocks * 512 <= 2 * PAGE


def test_an_image_does_not_follow_a_link(tmp_path: Path) -> None:
    """What another file of that name links to stays as it is."""
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / IMAGE).symlink_to(tmp_path / "other")
    assert kept(tmp_path / "out", 7)[IMAGE][5] == 7
    assert (tmp_path / "other").read_bytes() == b"mine"


def test_nothing_is_kept_where_nobody_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Keeping(None, image=False) as keeping, MemFile("media", 0) as media:
        keeping.bad(CrashImage(END, PESSIMISTIC, media), LOOKED)
        keeping.report(["one"])
    assert [*tmp_path.iterdir()] == []


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A directory of that name in the place of a file, and a wish without a directory."""
    (tmp_path / "report.txt").mkdir()
    with Keeping(tmp_path, image=False) as keeping, pytest.raises(UsageError, match=r"--results .*: Is a directory"):
        keeping.report(["one"])
    with pytest.raises(UsageError, match="--keep-image"):
        Keeping(None, image=True)
