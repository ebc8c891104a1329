"""The Program of a failing cell for a reader: as it can be run, with remarks at the ops that matter.

    store m1 0 2M
    fallocate f1 punch_hole 64K 4K      # op 9: drops the dirty entry [0..2M)
    msync m1 0 8M                       # op 10: promised what is lost
"""

import textwrap

from harness.findings.finding import Case
from harness.model.judge.values import Stored
from harness.model.judge.violation import Kind, Violation
from harness.model.program.program import ProgramError, format, parse
from harness.model.units import size_text
from harness.plain import clipped, plain
from harness.report.words import culprits, value

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
    lines = format(program).splitlines()
    first = len(lines) - len(program.ops)
    notes = {first + op: f"# op {op}: {'; '.join(words)}" for op, words in remarks(case).items()}
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
    return case.result.program.count("\n") <= LINES


def remarks(case: Case) -> dict[int, list[str]]:
    """The remarks by the index of their op, each once."""
    found: dict[int, list[str]] = {}

    def note(op: int | None, words: str) -> None:
        if op is not None and words not in found.setdefault(op, []):
            found[op].append(words)

    largest = case.largest
    if isinstance(largest.expected, Stored):
        note(largest.expected.op, "the store that is lost")
    if isinstance(largest.found, Stored) and not largest.found.of:
        note(largest.found.op, "the store found instead")
    for one in culprits(case.violations):
        entries = "the dirty entry" if one.entries == 1 else "dirty entries"
        note(one.op, f"drops {entries} [{size_text(one.start)}..{size_text(one.end)})")
    for violation in case.violations:
        note(violation.op, _broken(violation))
    return found


def _broken(violation: Violation) -> str:
    match violation.kind:
        case Kind.KERNEL:
            return "the kernel complains"
        case Kind.ERRNO | Kind.SIGNAL:
            return clipped(value(violation.found), 60)
        case _ if violation.lost:
            return "promised what is lost"
        case _:
            return "what is wrong shows from here on"


def _with(line: str, note: str, width: int) -> list[str]:
    if not note:
        return [line]
    if len(line) <= width and width + 2 + len(note) <= COLUMNS:
        return [f"{line:{width}}  {note}"]
    return [*textwrap.wrap(note, COLUMNS, subsequent_indent="#   "), line]
