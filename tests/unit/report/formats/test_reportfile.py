"""Files of reports are replaced whole, or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.findings.known import KnownIssues
from harness.report.formats import reportfile
from harness.report.formats.options import ReportOptions
from harness.report.formats.reportfile import ReportFile
from harness.report.results import Run

EMPTY = Run.of((), KnownIssues())


def test_words() -> None:
    """FORMAT=FILE; a = belongs to the name of the file."""
    assert reportfile.parse_all(["markdown=a=b", "markdown=/tmp/c"]) == (
        ReportFile("markdown", Path("a=b")), ReportFile("markdown", Path("/tmp/c")),
    )  # fmt: skip
    assert reportfile.parse_all([]) == ()


UNMEANT = {
    "no file": ("junit", "--report 'junit': write FORMAT=FILE; formats are "),
    "empty": ("markdown=", "write FORMAT=FILE"),
    "format": ("tape=x", "no report format 'tape'"),
    "directory": ("markdown=/nowhere/x", "/nowhere/x: no directory /nowhere"),
    "twice": ("markdown=x markdown=./x", "markdown goes to that file too"),
}


@pytest.mark.parametrize(("words", "said"), UNMEANT.values(), ids=UNMEANT.keys())
def test_words_that_mean_nothing(words: str, said: str) -> None:
    """The error quotes them and says what to write."""
    with pytest.raises(UsageError) as caught:
        reportfile.parse_all(words.split())
    assert said in str(caught.value)


def test_a_reader_of_the_old_report_keeps_it(tmp_path: Path) -> None:
    """Whoever has the old file open reads it to its end, and nothing else is left beside the new one."""
    path = tmp_path / "x.md"
    path.write_text("old")
    with path.open() as old:
        ReportFile("markdown", path).write(EMPTY, ReportOptions())
        assert old.read() == "old" and path.read_text().startswith("#")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """It is refused at once, not when the run is over."""
    script = ("import sys; from pathlib import Path; from harness.report.formats.reportfile import ReportFile\n"
              "try: ReportFile('markdown', Path('/proc/1/x')).refuse()\n"
              "except Exception as error: print(error)")  # fmt: skip
    root = str(Path(__file__).resolve().parents[4])
    done = subprocess.run(["setpriv", "--reuid=12399", "--clear-groups", sys.executable, "-c", script],
                          capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root})  # fmt: skip
    assert "/proc/1/x: /proc/1 cannot be written; name a file elsewhere" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["x" * 300, "loop/x", "file/x"])
def test_a_file_that_there_cannot_be(tmp_path: Path, name: str) -> None:
    """The error names the file and what there is to do."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="name another file"):
        ReportFile("markdown", tmp_path / name).refuse()
