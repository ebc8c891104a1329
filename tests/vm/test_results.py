"""What a run leaves for other programs: results.jsonl, .prog files that replay, and two faces that agree."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.model.judge.violation import Kind
from harness.model.program import program as programs
from harness.targets.guest import GuestTarget

Daxcheck = Any
NUMBER = (int, float)
KEYS: dict[str, Any] = {
    "schema": int, "scenario": str, "target": str, "kernel": str, "fs": str, "outcome": str, "seconds": NUMBER,
    "device": str, "engine": str, "judged_bytes": int, "images": int, "unpersisted_lines": int, "violations": list,
    "warnings": list, "remarks": list, "program": str, "seed": int, "qemu": str, "plugin": str, "recovered_by": str,
    "error": str, "timings": dict, "kernel_digest": str,
    "kept": bool, "id": str, "known": list, "started": str, "tries": int, "earlier_programs": int,
    "plan": str, "points": int, "points_taken": int, "equal_images": int, "violations_left_out": int,
}  # fmt: skip
VIOLATION: dict[str, Any] = {
    "kind": str, "path": str, "op": (int, type(None)), "verb": str, "image": str, "ranges": list, "bytes": int,
    "expected": (str, dict), "found": (str, dict), "culprit": (dict, type(None)), "moment": (dict, type(None)),
    "fence": str,
}  # fmt: skip
TRACE: dict[str, Any] = {"started": str, "schema": int, "missed": (int, type(None)), "changes": list}
CHANGE: dict[str, Any] = {
    "op": int, "event": str, "file": int, "level": str, "entries": int, "ranges": list, "function": str, "stack": list,
}  # fmt: skip
KINDS = {str(kind) for kind in Kind}
STEPS = {"golden", "restore", "attach", "ops", "cut", "evict", "umount", "fsck", "recover", "confirm"}


def lines(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (results / "results.jsonl").read_text().splitlines()]


def check_types(value: dict[str, Any], types: dict[str, Any]) -> None:
    assert list(value) == list(types)
    for name, kind in types.items():
        assert isinstance(value[name], kind) and isinstance(value[name], bool) == (kind is bool), name


def outcomes(results: Path) -> list[tuple[str, ...]]:
    return [(line["scenario"], line["kernel"], line["fs"], line["outcome"]) for line in lines(results)]


def test_a_loss_is_written_down_and_replays(target_6_12: GuestTarget, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """A failing cell leaves its line with exactly the documented keys and types, its Program, its console and
    its trace; the Program's file run by itself finds the same, and it is a known issue if nobody says --no-known."""
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["--kernel", target_6_12.kernel.digest, "--fs", "ext4"]
    code, said = daxcheck.run("run", "-k", "punch_hole and page_inside", *options, "--no-known", "--results", first)
    assert code == 1, said
    (line,) = lines(first)
    check_types(line, KEYS)
    assert line["schema"] == 2 and line["outcome"] == "FAIL" and line["target"] == "qemu"
    assert line["error"] == "" and set(line["timings"]) <= STEPS | {"trace", "boot"}
    for violation in line["violations"]:
        check_types(violation, VIOLATION)
        assert violation["kind"] in KINDS
        assert 0 < violation["bytes"] <= sum(end - start for start, end in violation["ranges"])
    assert "511 of 512 pages of data[0..2M) hold the older store" in said
    assert str(first / "results.jsonl") in said
    (prog,) = first.glob("*.prog")
    assert line["program"] == programs.format(programs.parse(line["program"]))
    assert prog.read_text() == line["program"].replace("\n", "\nformat ext4\n", 1)
    (console,) = first.glob("*.console")
    assert "EXT4-fs (pmem0)" in console.read_text()
    (trace,) = (json.loads(path.read_text()) for path in first.glob("*.trace"))
    check_types(trace, TRACE)
    assert trace["started"] == line["started"] and trace["schema"] == 1 and trace["missed"] is None
    for change in trace["changes"]:
        check_types(change, CHANGE)
    assert [change["ranges"] for change in trace["changes"] if change["event"] == "dropped"] == [[[0, 2 << 20]]]

    code, said = daxcheck.run("run", prog, "--kernel", target_6_12.kernel.digest, "--results", second)
    assert code == 0, said
    assert "1 failing cell, 1 finding (1 known)" in said and "[ext4-punch-hole]" in said
    (again,) = lines(second)
    assert (again["outcome"], again["known"]) == ("XFAIL", ["ext4-punch-hole"])
    other = dict.fromkeys(("scenario", "seconds", "timings", "outcome", "known", "started"))
    assert {**again, **other} == {**line, **other}


PICKED = "(punch_hole and page_inside) or pwrite_fsync or lose_pwrite"


@pytest.mark.nightly
def test_pytest_and_daxcheck_agree(target_6_12: GuestTarget, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """`pytest scenarios` and `daxcheck run` with the same words judge the same cells alike, workers or not."""
    words = ["-k", PICKED, "--kernel", target_6_12.kernel.digest, "--fs", "ext4", "--no-known"]
    one, two = tmp_path / "one", tmp_path / "two"
    code, said = daxcheck.run("run", *words, "--results", one)
    assert code == 1, said
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "scenarios", "-n", "2"]
    code, said = daxcheck.run(*words, "--results", two, command=command)
    assert code == 1, said
    assert sorted(outcomes(one)) == sorted(outcomes(two))
    assert sorted(outcome for *_, outcome in outcomes(one)) == ["FAIL", "PASS", "PASS"]


def test_a_clean_run_exits_0(target_6_1: GuestTarget, daxcheck: Daxcheck, kept_file: Path, tmp_path: Path) -> None:
    """When every promise was kept the exit code is 0, and no console is written."""
    results = tmp_path / "results"
    options = ["--kernel", target_6_1.kernel.digest, "--fs", "xfs", "--results", results]
    code, said = daxcheck.run("run", kept_file, *options)
    assert code == 0, said
    (line,) = lines(results)
    check_types(line, KEYS)
    assert line["outcome"] == "PASS" and line["violations"] == []
    assert list(results.glob("*.console")) == []


BAD_PROGRAMS = {
    "not a program": "hello\n",
    "unknown op": "daxcheck program 1\nexplode f\n",
    "binary": "\x00\xff\x00",
}


@pytest.mark.parametrize("text", BAD_PROGRAMS.values(), ids=BAD_PROGRAMS.keys())
def test_a_bad_program_is_refused(target_6_1: GuestTarget, daxcheck: Daxcheck, tmp_path: Path, text: str) -> None:
    """A file that is no Program is exit code 2 and a line that names it; no guest is started for it."""
    path = tmp_path / "bad.prog"
    path.write_text(text, encoding="latin-1")
    code, said = daxcheck.run("run", path, "--kernel", target_6_1.kernel.digest, "--fs", "ext4")
    assert code == 2, said
    assert str(path) in said and "Traceback" not in said


NOTHING_JUDGED = """
def test_empty(dax):
    dax.cut_power()


def test_uncut(dax):
    f = dax.create("data")
    f.pwrite(0, 4096)
    f.fsync()
"""


def test_a_scenario_that_judges_nothing_is_an_error(
    target_6_1: GuestTarget, daxcheck: Daxcheck, tmp_path: Path
) -> None:
    """A Program without a file, and one without a cut, judge nothing: ERROR and exit code 3, never a pass."""
    path, results = tmp_path / "test_nothing.py", tmp_path / "results"
    path.write_text(NOTHING_JUDGED)
    options = ["--kernel", target_6_1.kernel.digest, "--fs", "ext4", "--results", results]
    code, said = daxcheck.run("run", path, *options)
    assert code == 3, said
    assert [(line["outcome"], line["violations"]) for line in lines(results)] == [("ERROR", [])] * 2
    assert all(line["error"] for line in lines(results))


UNKNOWN = "def test_a(dax, no_such_fixture):\n    dax.cut_power()\n"


@pytest.mark.parametrize("face", ["run", "pytest"])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_error_outside_a_cell_tells_its_reason(
    target_6_1: GuestTarget, daxcheck: Daxcheck, tmp_path: Path, face: str, workers: str
) -> None:
    """What fails before its Program runs is a line with the reason and exit code 3, not 1, by either face."""
    path = tmp_path / "test_unknown.py"
    path.write_text(UNKNOWN)
    options = [str(path), "--kernel", target_6_1.kernel.digest, "--fs", "ext4", "-n", workers]
    if face == "run":
        code, said = daxcheck.run("run", *options)
    else:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "harness.pytestplugin.hooks"]
        code, said = daxcheck.run(*options, command=command)
    assert code == 3, said
    assert [line for line in said.splitlines() if line.startswith("ERROR ") and "'no_such_fixture' not found" in line]


BROKEN = """
def test_sound(dax):
    dax.create("data").pwrite(0, 4096)
    dax.sync()
    dax.cut_power()


def test_broken(dax):
    raise LookupError("a fault of the scenario's own")
"""


def test_a_broken_scenario_is_no_pass(target_6_1: GuestTarget, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """A scenario that fails before its Program runs makes the exit code 3, although all cells that ran passed."""
    path = tmp_path / "test_broken.py"
    path.write_text(BROKEN)
    code, said = daxcheck.run("run", path, "--kernel", target_6_1.kernel.digest, "--fs", "ext4")
    assert code == 3, said
    assert "ok" in said
