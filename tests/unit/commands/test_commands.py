"""Commands that need no guest."""

import os
from pathlib import Path

import pytest

from harness.cli import main
from harness.model.contract.worth import why_not_judged
from harness.model.program.program import HEADER, VERBS, ProgramError, parse, usage
from harness.pytestplugin import recording
from harness.pytestplugin.arguments import SCENARIOS


def test_every_op_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`daxcheck ops` teaches every op there is, with its arguments."""
    assert main(["ops"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [usage(verb) for verb in VERBS if usage(verb) not in lines] == []


def test_a_misspelt_op_is_guessed() -> None:
    """The error for an unknown op names the nearest ones."""
    with pytest.raises(ProgramError, match="did you mean ftruncate"):
        parse(f"{HEADER}\ntruncate f 0\n")


def test_a_list_can_be_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    """`daxcheck list -k` names the scenarios that match, and no others."""
    assert main(["list", "-k", "memory_failure"]) == 0
    names = [line for line in capsys.readouterr().out.splitlines() if "::" in line]
    assert names and all("memory_failure" in name for name in names)


KEPT = "create f data\npwrite f 0 4K\nfsync f\nfsyncdir\ncut_power\n"
USELESS = {
    "no cut": "create f data\npwrite f 0 4K\nfsync f\n", "no file": "cut_power\n", "nothing": "",
    "no sync": "create f data\npwrite f 0 4K\ncut_power\n", "empty": "create f data\nfsync f\nfsyncdir\ncut_power\n",
}  # fmt: skip
USEFUL = {
    "synced": KEPT, "seen": "create f data\npwrite f 0 4K\nobserve\ncut_power\n",
    "read": "create f data\npwrite f 0 4K\npread f 0 4K\ncut_power\n",
    "emptied": KEPT.replace("cut_power", "ftruncate f 0\ncut_power"),
    "a control": "expect loss\ncreate f data\npwrite f 0 4K\ncut_power\n",
    "by msync": "create f data\nftruncate f 4K\nmmap m f 0 4K\nstore m 0 4K\nmsync m 0 4K\ncut_power\n",
    "without a name": "create f data\npwrite f 0 4K\nfsync f\nunlink data\ncut_power\n",
    "by O_DSYNC": "create f data\npwrite f 0 4K how=dsync\ncut_power\n",
}  # fmt: skip


@pytest.mark.parametrize(("text", "code"), [*((t, 2) for t in USELESS.values()), *((t, 0) for t in USEFUL.values())],
                         ids=[*USELESS, *USEFUL])  # fmt: skip
def test_check_knows_what_can_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int
) -> None:
    """A Program in which nothing is put to the test is refused before anything is run, and no other."""
    path = tmp_path / "x.prog"
    path.write_text(f"{HEADER}\n{text}")
    assert main(["check", str(path)]) == code, capsys.readouterr()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path}: ") and line.startswith(f"{path}: ok, ") == (code == 0)


def test_check_looks_at_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad file is told by its name, the others are looked at all the same, and the exit code is 2."""
    names = ("good.prog", "bad.prog", "absent.prog", "fifo.prog", "binary.prog", "large.prog", "also_good.prog")
    for name in names[::6]:
        (tmp_path / name).write_text(f"{HEADER}\n{KEPT}")
    (tmp_path / "bad.prog").write_text(f"{HEADER}\nfallocate f 0 8M\n")
    os.mkfifo(tmp_path / "fifo.prog")
    (tmp_path / "binary.prog").write_bytes(b"\xff\xfe")
    with (tmp_path / "large.prog").open("wb") as file:
        file.truncate(1 << 30)
    assert main(["check", *(str(tmp_path / name) for name in names)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.removeprefix(f"{tmp_path}/").partition(":")[0] for line in lines] == list(names)
    assert [line for line in lines if ": ok, 5 ops" in line] == [lines[0], lines[6]]


def test_every_scenario_can_be_replayed() -> None:
    """What `--results` keeps of a scenario is a .prog that is not refused."""
    every = recording.record_all(SCENARIOS)
    assert len(every) > 100
    assert {name: why for name, one in every.items() if (why := why_not_judged(one.program))} == {}
