"""Laws of docs/program.md: its tables are those of the code, and its examples are Programs."""

import re
from pathlib import Path

import pytest

from harness import progfile
from harness.commands import ops
from harness.model.contract.worth import why_not_judged
from harness.model.program import validity
from harness.model.program.program import VERBS, ProgramError, parse
from harness.model.program.sections import LANE_LIMIT
from harness.model.setting.heading import WORDS
from harness.model.wire.stamps import SHIFT_UNIT

DOCS = Path(__file__).resolve().parents[2] / "docs"
DOCUMENT = (DOCS / "program.md").read_text()
REPORTS = {path.stem: path.read_text() for path in sorted((DOCS / "examples" / "reports").glob("*.prog"))}
EXAMPLES = re.findall(r"^```prog\n(.*?)^```", DOCUMENT, flags=re.MULTILINE | re.DOTALL)
START = "## All lines, and all limits\n"


def test_the_tables_are_those_of_the_code() -> None:
    """What stands below the last heading but its first paragraph is what `daxcheck ops --markdown` prints: put that
    there again after a change of the ops."""
    _, _, made = DOCUMENT.partition(START)[2].lstrip("\n").partition("\n\n")
    assert made.splitlines() == [*ops.markdown()]


def test_every_word_stands_in_a_table() -> None:
    """Each op and each word of a heading has its row, and each row says what the op does."""
    rows = [line for line in ops.markdown() if line.startswith("| `")]
    assert {row.split("`")[1].split()[0] for row in rows} >= {*VERBS, *WORDS}
    told = {row.split("`")[1].split()[0]: row.split(" | ")[1] for row in rows}
    assert [verb for verb in VERBS if not told[verb]] == []


def test_examples_are_files() -> None:
    """Each example stands in a file too, for who does not want to type."""
    assert len(EXAMPLES) == 3 and set(EXAMPLES) < set(REPORTS.values())


@pytest.mark.parametrize("text", REPORTS.values(), ids=REPORTS)
def test_each_report_can_be_judged(text: str) -> None:
    """It is read with its heading, and its run ends in a verdict."""
    assert why_not_judged(progfile.parse(text).program) == ""


BEGIN = "daxcheck program 1\ncreate f data\nmmap m f 0 8M\n"
BEYOND = {
    "ops": BEGIN + "observe\n" * validity.OP_LIMIT,
    "stamps": BEGIN + "store m 0 8\n" * (validity.STAMP_LIMIT + 1),
    "files": "daxcheck program 1\n" + "".join(f"create f{n} p{n}\n" for n in range(validity.STAMP_LIMIT + 1)),
    "size": f"{BEGIN}ftruncate f {validity.SIZE_LIMIT + 1}\n",
    "distance": f"{BEGIN}create g other\ncopy_file_range g {SHIFT_UNIT // 2} 8 f 0\n",
    "name": f"daxcheck program 1\ncreate {'f' * 33} data\n",
    "path": f"daxcheck program 1\ncreate f {'p' * 65}\n",
    "lanes": BEGIN + "".join(f"lane a{n}\nload m 0 8\n" for n in range(LANE_LIMIT + 1)) + "join\n",
    "times": f"{BEGIN}lane a times=10001\nload m 0 8\njoin\n",
    "signal": f"{BEGIN}expect_signal SIGBUS\nstore m 0 8K\n",
    "align": f"{BEGIN}mmap n f 0 4K align=6K\n",
    "offset": f"{BEGIN}msync m 100 4K\n",
    "options": f"{BEGIN}remount {'x' * 65}\n",
    "plant": "daxcheck program 1\nplant no_fence 0 1048577M\n",
}


@pytest.mark.parametrize("text", BEYOND.values(), ids=BEYOND.keys())
def test_each_limit_is_one(text: str) -> None:
    """What goes beyond a limit that the table tells is refused."""
    with pytest.raises(ProgramError):
        parse(text)
