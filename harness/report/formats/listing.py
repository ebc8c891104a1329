"""The Program of a failing cell for a reader: as it can be run, with remarks at the ops that matter.

    store m1 0 2M
    fallocate f1 punch_hole 64K 4K      # op 9: drops the dirty entry [0..2M)
    msync m1 0 8M                       # op 10: promised what is lost
"""

import textwrap
from dataclasses import replace

from harness import progfile
from harness.findings.finding import Case
from harness.model.program.program import ProgramError, format, parse
from harness.plain import clipped, plain
from harness.report.remarks import remarks

LINES = 120
"""Lines of a Program that are shown whole; of a longer one only those near a remark are."""
NEAR = 4
"""Lines before and behind a remark that are always shown."""
COLUMNS = 70
"""Columns of a line with a remark behind it; one that does not fit stands above its line."""
_WIDTH = 40
"""Columns of a line that has room for a remark behind it."""
_LINE = 400


def listing(case: Case) -> list[str]:
    """The lines of a .prog file. A Program that cannot be read, of an edited results file, is shown as it is."""
    try:
        program = parse(case.result.program)
    except ProgramError:
        return [clipped(line, _LINE) for line in case.result.program.splitlines()[:LINES]]
    lines = progfile.text_of(replace(case.result, program=format(program))).splitlines()
    first = len(lines) - len(program.ops)
    notes = {
        first + op: f"# op {op}: {'; '.join(one.words for one in told)}" for op, told in remarks(case).items()
    }  # fmt: skip
    width = max((len(line) for line in lines if len(line) <= _WIDTH), default=0)
    told: list[str] = []
    left_out = 0
    for index, line in enumerate(lines):
        if len(lines) > LINES and index >= first and all(abs(index - one) > NEAR for one in notes):
            left_out += 1
            continue
        if left_out:
            told.append(f"# {left_out} lines are left out here")
            left_out = 0
        told += _with(plain(line), notes.get(index, ""), width)
    return [*told, f"# {left_out} lines are left out here"] if left_out else told


def whole(case: Case) -> bool:
    """Say whether the listing has every line, so that it can be run."""
    return progfile.text_of(case.result).count("\n") <= LINES


def _with(line: str, note: str, width: int) -> list[str]:
    if not note:
        return [line]
    if len(line) <= width and width + 2 + len(note) <= COLUMNS:
        return [f"{line:{width}}  {note}"]
    return [*textwrap.wrap(note, COLUMNS, subsequent_indent="#   "), line]
