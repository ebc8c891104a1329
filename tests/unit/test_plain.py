"""What a guest says is shown whole, and moves no cursor."""

import json
import subprocess
import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InfraError
from harness.model.contract import oracle
from harness.model.judge import verdict
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Said
from harness.model.judge.violation import Culprit, Kind, Violation
from harness.model.program.recorder import Recorder
from harness.model.wire import wire
from harness.plain import plain, plain_lines
from harness.report import text

HOSTILE = "data\x1b[2K\r[1/1] ok\n\x9b2J\u202e\ud800"
"""ESC and CSI (also as one C1 control), CR, LF, a change of direction, a lone surrogate."""

MAIN = "import sys; from harness.cli import main; sys.exit(main())"
ANY = st.text(st.characters() | st.characters(categories=["Cs", "Cc", "Cf"]))


def test_each_control_is_spelled_out() -> None:
    """Controls stand there as escapes; what is printable stays, also beyond ASCII."""
    assert plain(HOSTILE) == r"data\x1b[2K\r[1/1] ok\n\x9b2J\u202e\ud800"
    assert plain("pmem0 é 日本") == "pmem0 é 日本"


@given(ANY)
def test_nothing_that_moves_a_cursor_is_left(found: str) -> None:
    """Of any text one line remains, without controls, formats or surrogates, that UTF-8 can encode."""
    shown = plain(found)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert plain(shown) == shown
    assert shown.encode().decode() == shown


@given(ANY)
def test_lines_stay_lines(found: str) -> None:
    """Of many lines each is plain by itself; tabs stay."""
    assert plain_lines(found).split("\n") == ["\t".join(map(plain, line.split("\t"))) for line in found.split("\n")]


def test_no_report_passes_it_on() -> None:
    """A name, a kernel, a scenario and a complaint of a guest reach the matrix, the lines and the losses plain."""
    said, dropped = Said(HOSTILE), Culprit(3, HOSTILE, (HOSTILE, HOSTILE), 0, 4096, 1)
    wrong = Violation(Kind.FOREIGN, HOSTILE, 1, HOSTILE, HOSTILE, ((0, 4096),), 4096, said, said, dropped)
    result = CellResult(
        HOSTILE, "qemu", HOSTILE, HOSTILE, Outcome.FAIL, 1.0, judged_bytes=1, violations=(wrong,), warnings=(wrong,),
    )  # fmt: skip
    told = [text.line(result), *text.matrix([result]), *text.losses([result]), *text.warnings([result]),
            *text.clock([result])]
    assert r"\x1b[2K" in told[0]
    assert all(line.isprintable() for line in told)


def test_a_name_of_a_guest_passes_from_the_wire_to_the_report() -> None:
    """A file that a guest made under a hostile name is told with all of its name, in one line that moves no cursor;
    results.jsonl holds the name as it was."""
    dax = Recorder()
    dax.create("data", size=4096)
    program = dax.program()
    stranger = {"path": HOSTILE, "size": 8, "segments": [[0, 8, {"zero": 1}]], "differences": [], "truncated": False,
                "error": "", "allocation": None, "answer": "", "kind": "", "target": ""}  # fmt: skip
    views = wire.file_views_from_wire(json.loads(json.dumps([stranger])))
    found = verdict.judge(program, oracle.run(program)[-1], views, "live", "current").violations
    result = CellResult("x", "qemu", "6.12", "ext4", Outcome.FAIL, 1.0, judged_bytes=1, violations=found)
    for line in (text.line(result), *text.losses([result])):
        assert line.isprintable() and plain(HOSTILE) in line
    assert CellResult.from_json(json.loads(json.dumps(result.to_json()))).violations[0].path == HOSTILE


def test_an_error_is_one_line() -> None:
    """Every error of ours quotes plainly."""
    assert str(InfraError(HOSTILE)) == plain(HOSTILE)


def test_the_command_line_says_it_plainly() -> None:
    """A file name with an ESC and a CR in it does not reach the terminal as it is."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "run", "x\x1b[2K\ry.prog"], capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"\x1b" not in done.stdout + done.stderr and b"\r" not in done.stdout + done.stderr
