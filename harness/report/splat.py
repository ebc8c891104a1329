"""The words of a kernel that complained, from the console of its guest: from "cut here" to the end of the trace."""

from harness.findings.finding import Case
from harness.model.judge.values import Said
from harness.model.judge.violation import Kind
from harness.model.wire.moment import marked
from harness.plain import clipped

LINES = 70
"""Lines that are told: the trace of a warning has some forty."""
_LINE = 200
_ABOVE = 2
"""Lines above the complaint among which "cut here" may stand."""
_BEGIN, _END = "[ cut here ]", "---[ end trace"


def splat(case: Case, console: str) -> list[str]:
    """The lines of the first complaint of the case; none if the console has them no more, or the kernel was silent."""
    said = [one.found.text for one in case.violations if one.kind is Kind.KERNEL and isinstance(one.found, Said)]
    lines = console.splitlines()
    for words in said:
        _, _, words = words.partition(": ")
        at = next((index for index, line in enumerate(lines) if words and words in line), None)
        if at is not None:
            return [clipped(line, _LINE) for line in _around(lines, at)]
    return []


def _around(lines: list[str], at: int) -> list[str]:
    above = [index for index in range(max(0, at - _ABOVE), at) if _BEGIN in lines[index]]
    found = lines[above[0] if above else at : at]
    for line in lines[at : at + LINES]:
        if marked(line) is not None:
            break
        found.append(line)
        if _END in line:
            break
    return found
