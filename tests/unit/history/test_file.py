"""The file of the history: what cannot be read or written is told in one line, and what was written is never torn."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.findings.keptcell import Site
from harness.history import file, schema
from harness.history.query import opened
from harness.history.schema import HistoryError
from harness.model.setting.crashplan import CrashPlan
from harness.report.journal import Journal
from tests.unit.findings.cells import cell as failing
from tests.unit.history.kept import add, cell, scenarios

ROOT = Path(__file__).resolve().parents[3]
NOW = len(schema.STEPS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history with one cell."""
    found = tmp_path / "new" / "history.sqlite"
    assert add(found, "first", [cell(scenario="a::a")]) == 1
    return found


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is below XDG_STATE_HOME; a relative path there counts as none."""
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert file.default() == Path("/state/daxcheck/history.sqlite")
    monkeypatch.setenv("HOME", "/home/x")
    for invalid in ("", "state"):
        monkeypatch.setenv("XDG_STATE_HOME", invalid)
        assert file.default() == Path("/home/x/.local/state/daxcheck/history.sqlite")


def test_no_file_is_an_empty_history(tmp_path: Path) -> None:
    """To read makes no file, and so no directory."""
    assert scenarios(tmp_path / "none" / "history.sqlite") == []
    assert list(tmp_path.iterdir()) == []


def test_reading_writes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with file.reading(path) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM result")
    assert path.read_bytes() == before


def test_what_is_not_finished_is_not_there(path: Path) -> None:
    """An error in the middle of a piece of work leaves the file as it was."""
    with pytest.raises(KeyError), file.writing(path) as connection:
        connection.execute("DELETE FROM result")
        raise KeyError
    assert scenarios(path) == ["a::a"]


def test_one_writes_at_a_time(path: Path) -> None:
    """Another writer waits from the beginning: one that had read before it waited could not write any more."""
    with file.writing(path), pytest.raises(HistoryError, match="another process keeps it locked"):
        file.writing(path, wait=0).__enter__()
    with file.writing(path), file.reading(path, wait=0) as connection:
        assert connection.execute("SELECT count(*) FROM result").fetchone() == (1,)


OLDER = (("CREATE TABLE result (name TEXT)",), ("ALTER TABLE result ADD COLUMN size INTEGER",))


def test_an_older_file_is_brought_to_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows stay, each step is done once, and a reader that may not write reads it all the same."""
    path = tmp_path / "h"
    monkeypatch.setattr(schema, "STEPS", OLDER[:1])
    with file.writing(path) as connection:
        connection.execute("INSERT INTO result VALUES ('a')")
    monkeypatch.setattr(schema, "STEPS", OLDER)
    before = path.read_bytes()
    with file.reading(path) as connection:
        assert connection.execute("SELECT * FROM result").fetchall() == [("a", None)]
    assert path.read_bytes() == before
    for _ in range(2):
        with file.writing(path) as connection:
            assert connection.execute("SELECT * FROM result").fetchall() == [("a", None)]
            assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    with file.reading(path) as connection:
        assert connection.execute("SELECT * FROM result").fetchall() == [("a", None)]


def test_cells_from_before_there_were_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are of the usual plan; the same cell cut at every fence is another one, also of an unknown kernel."""
    path = tmp_path / "h"
    steps = schema.STEPS
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", steps[:1])
        with file.writing(path) as connection:
            connection.execute("INSERT INTO run VALUES (1, 'r', '', '/results')")
            values = "(7, 'a::a', '6.12', 'ext4', 'nvdimm', 'plugin', '1', 'ab', '', '')"
            connection.execute(f"INSERT INTO cell VALUES {values}")
            connection.execute("INSERT INTO result VALUES (1, x'00', 1, 7, 'PASS', 2.0, '2026', '[]')")
    with opened(path) as history:
        (old,) = history.scenarios("a::a")["a::a"].cells
    assert old.site == Site("a::a", "ext4")
    fences = replace(old, site=replace(old.site, plan=CrashPlan("fences")), started="2027")
    assert add(path, "s", [fences]) == 1
    with opened(path) as history:
        assert history.scenarios("a::a")["a::a"].cells == (old, replace(fences, run="s"))
        assert len(history.durations()) == 2


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")


def _others(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cookies (value TEXT)")


def _torn(path: Path) -> None:
    with path.open("r+b") as opened:
        opened.truncate(path.stat().st_size // 2 + 100)


def _garbled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _other_rows(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE result SET outcome = 'FINE'")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "from the future": (_newer, f"a newer daxcheck wrote it (schema {NOW + 1}, this one knows {NOW})"),
    "another program's": (_others, "a database of another program"),
    "no database": (lambda path: path.write_bytes(b"results\n" * 1000), "damaged (file is not a database)"),
    "torn": (_torn, "damaged ("), "garbled": (_garbled, "damaged ("),
    "a fifo": (_fifo, "no regular file|No such device"), "a directory": (_folder, "no regular file|Is a directory"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT.keys())
@pytest.mark.parametrize("use", [scenarios, lambda path: add(path, "second", [cell()])], ids=["read", "write"])
def test_what_is_no_history_is_refused(
    path: Path, spoil: Callable[[Path], object], said: str, use: Callable[[Path], object]
) -> None:
    """It is one line with the name of the file, for a reader and a writer; the file stays as it is."""
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(UsageError, match=r"history\.sqlite") as error:
        use(path)
    told = str(error.value)
    assert "\n" not in told and any(one in told for one in said.split("|")), told
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_rows_of_others_are_damage(path: Path) -> None:
    _other_rows(path)
    with pytest.raises(HistoryError, match=r"history\.sqlite: damaged \(no row of daxcheck: 'FINE'"):
        scenarios(path)


def test_no_link_is_followed(path: Path) -> None:
    """Whoever may write in the directory cannot have another file written to."""
    victim = path.with_name("victim")
    path.rename(victim)
    path.symlink_to(victim)
    before = victim.read_bytes()
    with pytest.raises(UsageError, match="symbolic link"):
        add(path, "second", [cell()])
    assert victim.read_bytes() == before


def test_no_device_is_written() -> None:
    """SQLite would write its pages to a block device as to any file. This one holds nothing that could be lost."""
    with pytest.raises(UsageError, match="/dev/full: is no regular file"):
        add(Path("/dev/full"), "first", [cell()])


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
"""Root may write whatever the mode says."""
READS = "import sys; from harness.cli import main; sys.exit(main(sys.argv[1:]))"


def test_a_read_only_file() -> None:
    """Who may write neither it nor its directory can read it, and is told in one line why nothing is added."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        add(path, "first", [cell()])
        journal = Journal(Path(folder) / "results")
        journal.add(failing(), "")
        journal.close()
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        read = _as_nobody("history", "--history", str(path))
        write = _as_nobody("history", "import", f"{folder}/results", "--history", str(path))
        Path(folder).chmod(0o755)
    assert (read.returncode, read.stderr) == (0, "") and read.stdout.startswith("1 cell in 1 run, 0 findings")
    assert (write.returncode, write.stdout) == (2, "")
    (line,) = write.stderr.splitlines()
    assert f"{path}: Permission denied" in line and "--history FILE" in line


def _as_nobody(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [*NOBODY, sys.executable, "-P", "-c", READS, *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


MID_WRITE = """
import signal, sys
from pathlib import Path
from harness.history import file, rows
from tests.unit.history.kept import cell
with file.writing(Path(sys.argv[1])) as connection:
    connection.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the end
    for number in range(300):
        rows.add(connection, "killed", "", [one := cell(scenario=f"b::{number}", number=number)], rows.marks([one]))
    print("writing", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("use", [scenarios, lambda path: add(path, "next", [cell(scenario="a::a")])],
                         ids=["read", "write"])  # fmt: skip
def test_killed_in_mid_write(path: Path, use: Callable[[Path], object]) -> None:
    """What a killed process has half written is put back by the next one that reads or writes, and nothing is torn."""
    before = path.stat().st_size
    with subprocess.Popen([sys.executable, "-c", MID_WRITE, str(path)], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    journal = path.with_name(f"{path.name}-journal")
    assert path.stat().st_size > before and journal.stat().st_size > 0, "it was not in mid-write"
    use(path)
    assert not journal.exists()
    assert scenarios(path) == ["a::a"]
    with file.reading(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)


def test_no_test_adds_to_the_history_of_the_user() -> None:
    """Whatever a test runs takes the environment of the tests, in which the history is another file."""
    assert Path(tempfile.gettempdir()) in file.default().parents
    assert file.default().parents[1].name.startswith("daxcheck-state-")
