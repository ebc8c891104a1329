"""Laws of harness.box.undo, undolog and cleanup, and of `daxcheck cleanup`: runs here are real processes."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from harness.box import cleanup, undo, undolog
from harness.box.undo import Erased, Frozen, Sysctl, Tracing, Undoable, WriteCache
from harness.box.undolog import MARK, Owner, RunJournal, UndoLog
from harness.cli import main
from harness.deadline import Deadline, poll
from harness.errors import InfraError, SetupError

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one disk and one sysctl, and places for journals, all of the test's own."""
    for name, text in (("sys/block/pmem0/dax/write_cache", "1\n"), ("proc/sys/kernel/hung_task_timeout_secs", "120\n")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(undo, "SYSFS", tmp_path / "sys")
    monkeypatch.setattr(undo, "PROC", tmp_path / "proc")
    monkeypatch.setattr(undolog, "RUN", tmp_path / "run")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "sys"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


CODE = """
import os, subprocess, sys
from pathlib import Path
from harness.box import undo, undolog
with undolog.UndoLog(Path(sys.argv[1])) as book:
    book.record(undo.Erased("pmem0"))
    gone = book.record(undo.Sysctl("kernel/hung_task_timeout_secs", "7"))
    book.record(undo.WriteCache("pmem0", "1"))
    book.undone(gone)
    book.record(undo.Sysctl("kernel/hung_task_timeout_secs", "120"))
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, flush=True); signal.pause()"
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **book.environment},
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    child.stdout.readline()
    print(child.pid, flush=True)
    sys.stdin.read()
"""

Run = tuple["subprocess.Popen[str]", int]
"""A run that is at work, and its child, which ignores SIGTERM in a session of its own."""


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[[], Run]]:
    """Starts such runs."""
    started: list[Run] = []

    def begin() -> Run:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(folder)], cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stdout is not None
        started.append((process, int(process.stdout.readline())))
        return started[-1]

    yield begin
    for process, child in started:
        process.kill()
        process.communicate()
        if undolog.started(child) is not None:
            os.kill(child, signal.SIGKILL)


def killed(run: Run) -> int:
    """Kill it as the OOM killer would; its child."""
    process, child = run
    process.kill()
    process.communicate()
    return child


def only(folder: Path) -> RunJournal:
    records, complaints = undolog.records(folder)
    assert complaints == ()
    (record,) = records
    return record


def cleaned(record: RunJournal) -> tuple[bool, list[str]]:
    said: list[str] = []
    return cleanup.repair(record, said.append), said


def test_a_run_that_ends_leaves_nothing(folder: Path) -> None:
    """The journal lives as long as something is not undone; a device that was erased is no reason to keep it."""
    with UndoLog(folder) as book:
        book.record(Erased("pmem0"))
        number = book.record(Tracing())
        assert oct(folder.stat().st_mode)[-3:] == "700" and oct(book.path.stat().st_mode)[-3:] == "600"
        assert only(folder).left == ((number, Tracing()), (1, Erased("pmem0")))
        book.undone(number)
    assert list(folder.iterdir()) == []


def test_a_deed_is_on_record_before_it_is_done(sysfs: Path, folder: Path) -> None:
    """Whoever sees the deed finds it in the journal; at the end both are gone."""
    path = sysfs / "block/pmem0/dax/write_cache"
    with UndoLog(folder) as book:
        with book.during(WriteCache.of("pmem0")):
            assert only(folder).left == ((1, WriteCache("pmem0", "1")),)
            path.write_text("0")
        assert path.read_text() == "1" and only(folder).left == ()


def test_what_fails_to_be_undone_stays(sysfs: Path, folder: Path) -> None:
    """The journal outlives the run then, for cleanup."""
    with UndoLog(folder) as book, pytest.raises(InfraError, match="cleanup"), book.during(
        WriteCache("pmem0", "strange")
    ):
        pass
    assert only(folder).left == ((1, WriteCache("pmem0", "strange")),)


def test_a_killed_run_is_put_right(sysfs: Path, folder: Path, start: Callable[[], Run]) -> None:
    """Its processes end first, however they hide; then deeds are undone, newest first; each step is said."""
    child = killed(start())
    (sysfs / "block/pmem0/dax/write_cache").write_text("0")
    assert undolog.started(child) is not None
    done, said = cleaned(only(folder))
    assert done and undolog.started(child) is None
    assert [line.partition(": ")[2] for line in said] == [
        f"process {child} killed", "kernel/hung_task_timeout_secs is 120 again", "/dev/pmem0: write_cache is 1 again",
        "/dev/pmem0 was erased, as it was told to be: nothing brings back what it held", "its journal is removed",
    ]  # fmt: skip
    assert (sysfs / "block/pmem0/dax/write_cache").read_text() == "1"
    assert undolog.records(folder) == ((), ())


def test_a_live_run_is_let_be(sysfs: Path, folder: Path, start: Callable[[], Run]) -> None:
    """Neither its processes nor its deeds are touched."""
    process, child = start()
    (sysfs / "block/pmem0/dax/write_cache").write_text("0")
    done, said = cleaned(only(folder))
    assert done and said == [f"run of process {process.pid}: still runs: left alone"]
    assert undolog.started(child) is not None and (sysfs / "block/pmem0/dax/write_cache").read_text() == "0"
    assert len(only(folder).left) == 3


def test_only_its_own_processes_die(folder: Path, start: Callable[[], Run]) -> None:
    """One dead run's cleanup does not harm another's child, nor a process that merely has the variable."""
    bystander = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: "0" * 32})
    living = start()
    child = killed(start())
    try:
        for record in undolog.records(folder)[0]:
            cleanup.repair(record, lambda text: None)
        assert bystander.poll() is None and undolog.started(living[1]) is not None
        assert undolog.started(child) is None
    finally:
        bystander.kill()
        bystander.wait()


def dead(folder: Path, *left: Undoable, **facts: object) -> RunJournal:
    """The journal of a process that is no more."""
    owner = replace(Owner.myself(), start=1, **facts)  # type: ignore[arg-type]
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{owner.pid}-1-x.jsonl"
    lines = [{"number": at, **undo.to_json(deed)} for at, deed in enumerate(left, 1)]
    path.write_text("".join(json.dumps(line) + "\n" for line in ({**asdict(owner), "mark": "f" * 32}, *lines)))
    return only(folder)


def test_a_reused_process_number_is_no_sign_of_life(folder: Path) -> None:
    """Our own number with another start time is a process that is gone."""
    record = dead(folder, Erased("pmem0"))
    assert not record.owner.alive and Owner.myself().alive
    assert cleaned(record)[0]


def test_a_zombie_is_dead(folder: Path) -> None:
    """A process that only waits to be reaped runs no more."""
    process = subprocess.Popen(["true"])
    poll(lambda: undolog.started(process.pid) is None or None, Deadline(20), "true does not end")
    process.wait()


def test_an_earlier_boot_undid_all(sysfs: Path, folder: Path) -> None:
    """After a reboot the deeds are undone; what the files hold now is somebody else's."""
    (sysfs / "block/pmem0/dax/write_cache").write_text("0")
    done, said = cleaned(dead(folder, WriteCache("pmem0", "1"), boot="another"))
    assert done and "booted since" in said[0] and (sysfs / "block/pmem0/dax/write_cache").read_text() == "0"
    assert undolog.records(folder) == ((), ())


def test_another_pid_namespace_is_not_ours(folder: Path) -> None:
    """Process numbers of a container mean nothing here."""
    done, said = cleaned(dead(folder, WriteCache("pmem0", "1"), namespace="pid:[1]"))
    assert not done and "PID namespace" in said[0] and len(only(folder).left) == 1


def test_a_failed_step_is_kept_and_the_others_done(sysfs: Path, folder: Path) -> None:
    """What cannot be undone is told and stays on record; what was undone is not undone twice."""
    record = dead(folder, WriteCache("pmem0", "1"), Sysctl("kernel/hung_task_timeout_secs", "none"))
    done, said = cleaned(record)
    assert not done and "FAILED" in said[0] and "write_cache is 1 again" in said[1]
    assert only(folder).left == ((2, Sysctl("kernel/hung_task_timeout_secs", "none")),)


def test_a_device_that_is_gone(sysfs: Path, folder: Path) -> None:
    """Its settings went with it."""
    done, said = cleaned(dead(folder, WriteCache("pmem7", "1")))
    assert done and "/dev/pmem7 is gone" in said[0]


def test_a_name_that_another_device_has_by_now(sysfs: Path, folder: Path) -> None:
    """Bound anew in the same boot it is another disk, whose settings nobody changed, whatever its name."""
    (sysfs / "block/pmem0/diskseq").write_text("7\n")
    deed = WriteCache.of("pmem0")
    (sysfs / "block/pmem0/diskseq").write_text("8\n")
    (sysfs / "block/pmem0/dax/write_cache").write_text("0")
    done, said = cleaned(dead(folder, deed))
    assert done and "is gone" in said[0] and (sysfs / "block/pmem0/dax/write_cache").read_text() == "0"


def test_what_was_frozen_is_gone(folder: Path) -> None:
    """A disk that is not there any more holds nothing."""
    done, said = cleaned(dead(folder, Frozen("pmem987654", "ext4", "x")))
    assert done and "/dev/pmem987654 is gone" in said[0]


@pytest.fixture
def little_room() -> Iterator[Callable[[Path, int], None]]:
    """Lets a file grow by no more than that, so that a write to it comes to an end early, as on a full disk."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda path, more: resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_tears_no_journal(folder: Path, little_room: Callable[[Path, int], None]) -> None:
    """Of a deed for which there is no room nothing stays: it is not done, and all others can still be read."""
    with UndoLog(folder) as book:
        book.record(WriteCache("pmem0", "1"))
        little_room(book.path, 10)
        with pytest.raises(SetupError, match="make room"):
            book.record(Sysctl("kernel/hung_task_timeout_secs", "120"))
        little_room(book.path, 1000)
        number = book.record(Tracing())
        assert [deed for _, deed in only(folder).left] == [Tracing(), WriteCache("pmem0", "1")]
        book.undone(number)


def test_a_journal_that_is_too_long_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not read in part: what is left out would count as never done, or as never undone."""
    record = dead(folder, WriteCache("pmem0", "1"))
    monkeypatch.setattr(undolog, "LIMIT", record.path.stat().st_size - 1)
    records, (complaint,) = undolog.records(folder)
    assert records == () and "is longer than" in complaint


def test_half_a_line_is_no_deed(folder: Path) -> None:
    """A run killed while it wrote had not done what it was about to write; later lines still come whole."""
    record = dead(folder, Erased("pmem0"), WriteCache("pmem0", "1"))
    with record.path.open("a") as file:
        file.write('{"number":3,"deed":"sys')
    assert [number for number, _ in only(folder).left] == [2, 1]
    undolog.note_undone(record, 2)
    assert only(folder).left == ((1, Erased("pmem0")),)


@pytest.mark.parametrize(
    "entry",
    [
        {"deed": "erase", "disk": "pmem0"}, {"deed": "erased"}, {"deed": "erased", "disk": 3}, {"disk": "pmem0"},
        {"deed": "erased", "disk": "pmem0", "more": "x"}, {"deed": ["erased"], "disk": "pmem0"}, {},
    ],
)  # fmt: skip
def test_what_is_no_deed(entry: dict[str, object]) -> None:
    """A journal says what daxcheck can undo, or it is no journal."""
    with pytest.raises(ValueError):
        undo.from_json(entry)


@pytest.mark.parametrize(
    "deed",
    [
        Erased("pmem0"), WriteCache("pmem1.2", "0", "7"), Sysctl("kernel/x", "-1"), Tracing(),
        Frozen("pmem0", "xfs", "x"),
    ],
)  # fmt: skip
def test_deeds_survive_the_file(deed: Undoable) -> None:
    """Read back as they were."""
    assert undo.from_json(json.loads(json.dumps(undo.to_json(deed)))) == deed


@pytest.mark.parametrize(
    "deed",
    [
        Frozen("../sda", "ext4", "x"), WriteCache("../../etc", "1"), WriteCache("sda", "1"), WriteCache("pmem0", "rm"),
        Sysctl("kernel/core_pattern", "1"), Sysctl("../../etc/passwd", "1"),
        Sysctl("kernel/hung_task_timeout_secs", "120\nx"),
    ],
)  # fmt: skip
def test_nothing_else_is_ever_written(deed: Undoable) -> None:
    """A forged journal reaches no other file and no other value."""
    with pytest.raises(ValueError):
        deed.undo()


def test_journals_of_others_are_not_believed(folder: Path, tmp_path: Path) -> None:
    """One that others may write, a symbolic link, a fifo, and what is no journal are each told, and nothing is done."""
    record = dead(folder, WriteCache("pmem0", "1"))
    record.path.chmod(0o666)
    (folder / "link.jsonl").symlink_to(tmp_path / "x")
    (tmp_path / "x").write_text(record.path.read_text())
    os.mkfifo(folder / "fifo.jsonl")
    (folder / "empty.jsonl").touch(mode=0o600)
    (folder / "text.jsonl").write_text("hello\n")
    (folder / "list.jsonl").write_text("[]\n")
    records, complaints = undolog.records(folder)
    assert records == () and len(complaints) == 6


def test_a_place_that_others_may_write_is_refused(folder: Path) -> None:
    """Else they could have cleanup, run by root, undo what never was done."""
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(SetupError, match="others may write there"), UndoLog(folder):
        pass


def test_without_run_the_cache_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may not write to /run still has a journal, and cleanup finds it there."""
    monkeypatch.setattr(undolog, "RUN", tmp_path / "absent/run")
    with UndoLog() as book:
        assert book.path.parent == tmp_path / "cache/daxcheck/deeds"
        assert [record.path for record in undolog.records()[0]] == [book.path]


def test_the_command_with_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """It says so."""
    assert main(["cleanup"]) == 0
    assert capsys.readouterr().out == "nothing to do: no run has left anything\n"


def test_the_command_tells_its_steps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 when all is undone, 3 when something stays; a second time there is nothing to do."""
    dead(folder, WriteCache("pmem0", "1"))
    assert main(["cleanup"]) == 0
    assert "write_cache is 1 again" in capsys.readouterr().out
    assert main(["cleanup"]) == 0
    dead(folder, WriteCache("pmem0", "x"))
    assert main(["cleanup"]) == 3
    assert "FAILED" in capsys.readouterr().out


def test_an_interrupted_run_undoes_its_deeds(sysfs: Path, folder: Path) -> None:
    """An exception within a deed undoes it as any end does."""
    path = sysfs / "block/pmem0/dax/write_cache"
    with pytest.raises(KeyboardInterrupt), UndoLog(folder) as book, book.during(WriteCache.of("pmem0")):
        path.write_text("0")
        raise KeyboardInterrupt
    assert path.read_text() == "1" and list(folder.iterdir()) == []
