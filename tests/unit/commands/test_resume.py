"""--resume: a verdict stands for the cell whose Program, kernel and configuration it is of, and for no other.

The real command runs, on a kernel that is no more than a file, and with a QEMU that cannot boot anything.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import progfile
from harness.model.judge.result import CellResult, Outcome
from harness.model.program.program import Program, format, parse
from harness.model.program.recorder import Recorder
from harness.report.journal import Journal
from tests.unit.commands.user import KEPT, RELEASE, User

OTHER = KEPT.replace("4K", "8K")
SCENARIO = """\
def test_kept(dax):
    f = dax.create("data")
    f.pwrite(0, 4096)
    f.fsync()
    dax.cut_power()
"""


def recorded() -> Program:
    dax = Recorder()
    file = dax.create("data")
    file.pwrite(0, 4096)
    file.fsync()
    dax.cut_power()
    return dax.program()


@pytest.mark.parametrize(
    ("outcome", "code", "workers"),
    [
        (Outcome.PASS, 0, "1"),
        (Outcome.FAIL, 1, "0"),
        pytest.param(Outcome.PASS, 0, "0", marks=pytest.mark.nightly),
        pytest.param(Outcome.FAIL, 1, "1", marks=pytest.mark.nightly),
    ],
)
def test_nothing_left_boots_and_copies_nothing(user: User, outcome: Outcome, code: int, workers: str) -> None:
    """When all is judged, the verdicts are told again: no guest, no image, no file system is made for it."""
    (user.place / "x.prog").write_text(KEPT)
    (user.place / "test_y.py").write_text(SCENARIO)
    user.judged("x.prog", KEPT, outcome)
    user.judged("test_y.py::test_kept", format(recorded()))
    before = user.areas
    done = user.resume(user.place / "x.prog", user.place / "test_y.py", "-n", workers)
    assert done.returncode == code, done.stdout + done.stderr
    assert "y::kept" in done.stdout and "x.prog" in done.stdout
    assert user.areas == before and not user.booted


def taken(done: "subprocess.CompletedProcess[str]") -> bool:
    """Whether an earlier verdict stood for the one cell that was asked for."""
    return done.returncode == 0


CHANGES: dict[str, Callable[[User], None]] = {
    "nothing": lambda user: user.judged("x.prog", KEPT),
    "another file of that name": lambda user: user.judged("x.prog", OTHER),
    "another kernel of that release": lambda user: user.judged("x.prog", KEPT, kernel="0" * 64),
    "the same Program under another name": lambda user: user.judged("was_x.prog", KEPT),
    "an older daxcheck, which wrote no id": lambda user: _older(user, "id"),
    "an older daxcheck, which did not say of which kernel": lambda user: _older(user, "id", "kernel_digest"),
    "an error": lambda user: user.judged("x.prog", KEPT, Outcome.ERROR),
}  # fmt: skip


SLOW = {"another file of that name", "the same Program under another name", "an older daxcheck, which wrote no id"}
"""For the night: others differ from these in one field."""
TAKEN = {"nothing", "the same Program under another name", "an older daxcheck, which wrote no id"}


def _older(user: User, *missing: str) -> None:
    user.judged("x.prog", KEPT)
    path = user.results / "results.jsonl"
    line = json.loads(path.read_text())
    for name in missing:
        del line[name]
    path.write_text(json.dumps(line) + "\n")


@pytest.mark.parametrize(
    "change",
    [pytest.param(one, id=one[0], marks=pytest.mark.nightly if one[0] in SLOW else ()) for one in CHANGES.items()],
)
def test_a_verdict_is_taken_for_its_own_cell_only(user: User, change: tuple[str, Callable[[User], None]]) -> None:
    """The Program's text and the kernel's contents name a cell, not the names of a file and of a release. It is told
    by the name that it has now."""
    name, prepare = change
    prepare(user)
    (user.place / "x.prog").write_text(KEPT)
    done = user.resume(user.place / "x.prog")
    assert taken(done) == (name in TAKEN), done.stdout + done.stderr
    assert "was_x.prog" not in done.stdout and (name not in TAKEN or "x.prog " in done.stdout)
    assert "INTERNALERROR" not in done.stdout + done.stderr


def test_an_edited_scenario_runs_again(user: User) -> None:
    """The Program that its function records now is what counts."""
    user.judged("test_y.py::test_kept", format(recorded()))
    (user.place / "test_y.py").write_text(SCENARIO.replace("4096", "8192"))
    assert not taken(user.resume(user.place / "test_y.py"))
    (user.place / "test_y.py").write_text(SCENARIO)
    assert taken(user.resume(user.place / "test_y.py"))


def test_a_kernel_that_was_built_again_runs_again(user: User) -> None:
    """Its release is what it was; its contents count."""
    user.judged("test_y.py::test_kept", format(recorded()))
    (user.place / "test_y.py").write_text(SCENARIO)
    assert not taken(user.resume(user.place / "test_y.py", kernel=user.build(b"two")))
    assert taken(user.resume(user.place / "test_y.py"))


def test_each_verdict_stands_for_one_run(user: User) -> None:
    """Two files of the same Program are one cell under two names, and need two verdicts; each gets its own first."""
    for name in ("x.prog", "y.prog"):
        (user.place / name).write_text(KEPT)
    user.judged("y.prog", KEPT, Outcome.FAIL)
    files = [user.place / "x.prog", user.place / "y.prog"]
    assert user.resume(*files).returncode == 3
    user.judged("x.prog", KEPT)
    done = user.resume(*files)
    assert done.returncode == 1 and not user.resume(files[0]).returncode, done.stdout + done.stderr


@pytest.mark.nightly
def test_two_files_of_one_name_are_two_cells(user: User) -> None:
    """Both are judged, whichever was first."""
    for folder, text in (("a", KEPT), ("b", OTHER)):
        (user.place / folder).mkdir()
        (user.place / folder / "x.prog").write_text(text)
    user.judged("x.prog", KEPT)
    files = [user.place / "a/x.prog", user.place / "b/x.prog"]
    assert taken(user.resume(files[0])) and not taken(user.resume(*files))
    user.judged("x.prog", OTHER)
    assert taken(user.resume(*files))
    assert {progfile.read(path).program for path in user.results.glob("*.prog")} == {parse(KEPT), parse(OTHER)}


def test_a_verdict_that_nobody_asked_for_does_not_count(user: User) -> None:
    """A FAIL of a cell that -k or the files leave out is no result of this session."""
    (user.place / "x.prog").write_text(KEPT)
    user.judged("x.prog", KEPT)
    user.judged("y.prog", OTHER, Outcome.FAIL)
    user.judged("x.prog", KEPT, Outcome.FAIL, kernel="0" * 64)
    done = user.resume(user.place / "x.prog")
    assert done.returncode == 0, done.stdout + done.stderr


SOUND = CellResult("x.prog", "qemu", RELEASE, "ext4", Outcome.PASS, 1.0).to_json()
VIOLATION = {"kind": "stale", "path": "d", "op": "", "image": "", "ranges": [[0, 8]], "bytes": 8, "expected": "",
             "found": "", "culprit": ""}  # fmt: skip
DAMAGED: dict[str, object] = {
    "a list": [], "null": None, "a number": 7, "nothing in it": {}, "another schema": {**SOUND, "schema": 3},
    "no schema": {key: value for key, value in SOUND.items() if key != "schema"},
    "another field": {**SOUND, "mood": "good"}, "an unknown outcome": {**SOUND, "outcome": "MAYBE"},
    "a list of outcomes": {**SOUND, "outcome": ["PASS"]}, "an unknown device": {**SOUND, "device": "tape"},
    "seconds in words": {**SOUND, "seconds": "few"}, "no seconds": {**SOUND, "seconds": float("nan")},
    "bytes in part": {**SOUND, "judged_bytes": 1.5}, "scenario": {**SOUND, "scenario": 7},
    "program": {**SOUND, "program": None}, "timings": {**SOUND, "timings": {"cut": "long"}},
    "timings in a list": {**SOUND, "timings": []}, "violations": {**SOUND, "violations": {}},
    "an empty violation": {**SOUND, "violations": [{}]}, "violations of nothing": {**SOUND, "violations": [None]},
    "an unknown kind": {**SOUND, "outcome": "FAIL", "violations": [{**VIOLATION, "kind": "sad"}]},
    "ranges": {**SOUND, "outcome": "FAIL", "violations": [{**VIOLATION, "ranges": [[1, 2, 3]]}]},
    "a range": {**SOUND, "outcome": "FAIL", "violations": [{**VIOLATION, "ranges": [7]}]},
    "op": {**SOUND, "outcome": "FAIL", "violations": [{**VIOLATION, "op": None}]},
}  # fmt: skip
TEXTS = {
    "deep": b"[" * 100_000, "deep object": b'{"a":' * 100_000, "no JSON": b"{'a': 1}", "bytes": b"\xff\xfe\x00",
    "an empty line": b"", "digits": b"9" * 100_000, "a carriage return": b'{"schema":1,\r"a":1}',
}  # fmt: skip
LINES = {name: json.dumps(value).encode() for name, value in DAMAGED.items()} | TEXTS


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_a_damaged_line_is_told_and_left_out(tmp_path: Path, line: bytes) -> None:
    """Whatever stands on a line, the others count, and its number is told once."""
    Journal(tmp_path).close()
    sound = json.dumps(SOUND).encode()
    (tmp_path / "results.jsonl").write_bytes(b"\n".join([sound, line, sound, b""]))
    said: list[str] = []
    journal = Journal(tmp_path)
    found = journal.judged(said.append)
    journal.close()
    assert [result.to_json() for result in found] == [CellResult.from_json(SOUND).to_json()] * 2
    assert said and all("line 2 is damaged" in text or "line 3" in text for text in said)
    assert all(len(text) < 1000 and "\n" not in text for text in said)


def test_many_damaged_lines_are_counted(tmp_path: Path) -> None:
    """A journal of another kind does not flood the terminal."""
    Journal(tmp_path).close()
    (tmp_path / "results.jsonl").write_bytes(b"[]\n" * 1000)
    said: list[str] = []
    journal = Journal(tmp_path)
    assert journal.judged(said.append) == []
    journal.close()
    assert len(said) < 10 and "995 more" in said[-1]


def test_a_damaged_journal_ends_no_session(user: User) -> None:
    """The cell of a line that is damaged runs again, and what was sound before and after it counts."""
    (user.place / "x.prog").write_text(KEPT)
    user.judged("x.prog", KEPT)
    path = user.results / "results.jsonl"
    path.write_bytes(b"\n".join([*LINES.values(), b""]) + path.read_bytes())
    done = user.resume(user.place / "x.prog")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is damaged, its cell runs again" in done.stdout and "INTERNALERROR" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ("daxcheck program 1\ncreate f data\nfallocate f 0 8M\n", "1"),
        (KEPT[:-10], "0"),
        ("\0", "0"),
        pytest.param("daxcheck program 1\ncreate f data\nfallocate f 0 8M\n", "0", marks=pytest.mark.nightly),
        pytest.param(KEPT[:-10], "1", marks=pytest.mark.nightly),
        pytest.param("\0", "1", marks=pytest.mark.nightly),
    ],
)
def test_bad_files_alone_boot_nothing(user: User, text: str, workers: str) -> None:
    """All files are read before anything is formatted or booted; one line for each, exit code 2."""
    files = [user.place / "bad.prog", user.place / "worse.prog"]
    for path in files:
        path.write_text(text)
    before = user.areas
    done = user.resume(*files, "-n", workers)
    assert done.returncode == 2, done.stdout + done.stderr
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR ")]
    assert [str(path) in line for path, line in zip(files, sorted(errors), strict=True)] == [True, True]
    assert user.areas == before and not user.booted


def test_a_bad_file_does_not_hide_the_others(user: User) -> None:
    """The others count, and the exit code is 2 at the end."""
    (user.place / "bad.prog").write_text("daxcheck program 1\ncreate f ./x\n")
    (user.place / "x.prog").write_text(KEPT)
    user.judged("x.prog", KEPT)
    done = user.resume(user.place / "bad.prog", user.place / "x.prog")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "path './x' is no plain name" in done.stdout and "x.prog    ok" in done.stdout
