"""Runs for the tests of formats: none, every outcome, hostile words, real ones, thousands of cells."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.findings.known import Issue, KnownIssues, Where
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition, Said
from harness.model.judge.violation import Kind, Violation
from harness.report.journal import Journal
from harness.report.results import Broken, Run
from tests.unit.findings.cells import LOSS, PROGRAM, PUNCH, UNKNOWN, WARNED, ZEROED, cell

CHAIN = "dropped; dax_delete_mapping_entry <- ext4_punch_hole"
WHERE = (Where(kernels=((6, 12),)), Where(kernels=((6, 12),), scenarios=("punch_hole::fixed",)))
KNOWN = KnownIssues((Issue("punch-hole", (CHAIN.replace("entry <-", "entry <- * <-"), CHAIN), WHERE),))
STARTED = "2026-11-27T14:30:00.123456Z"


def run(results: Sequence[CellResult], known: KnownIssues = KNOWN, broken: Sequence[Broken] = ()) -> Run:
    return Run.of(map(known.settle, results), known, None, broken)


EMPTY = run(())
NOTHING_JUDGED = run((), broken=(Broken("scenarios/test_x.py::test_y", "NameError: name 'z'\nis not defined"),))
EVERY = run((
    replace(cell(LOSS), started=STARTED),
    cell(UNKNOWN, fs="xfs"),
    cell(LOSS, WARNED, kernel="7.3.4", scenario="x.prog"),
    cell(ZEROED, kernel="6.12.95", fs="xfs:reflink", scenario="test_zero_range.py::test_a[1-b]"),
    replace(cell(outcome=Outcome.SKIP, fs="xfs"), error="mkfs.xfs has no rtdev"),
    replace(cell(outcome=Outcome.ERROR, kernel="7.3.4"), error="QEMU died: exit code 1"),
    cell(scenario="test_punch_hole.py::test_fixed", kernel="6.12.95"),
    cell(scenario="test_punch_hole.py::test_page"),
    cell(LOSS, kernel="6.12.95"),
    cell(LOSS, kernel="6.12.95"),
))  # fmt: skip
assert {one.outcome for one in EVERY.results} == set(Outcome)

BAD_WORDS = (
    "\x00\x01\x1b[2K\r\x7f\x85\u2028\u202e\ud800\udfff\ufffe\uffff", "]]><script>&amp;'\"</failure>",
    "a\nok 1 b\n# SKIP",
    "x # SKIP y # XFAIL z", "| a | `b` | ``` | <details> | **c** | [d](javascript:e) | \\", "", " ", "~~~~\n```\n# h\n",
    "reboot: System halted", "Kernel panic - not syncing: VFS: x", "1..7", "KTAP version 1", "# Subtest: a",
    "From a Thu\n.\n-- \n>From", "0" * 100_000, "\u00e9\U0001f600\ue000",
)  # fmt: skip
"""Words that mean something to one format or another, that none can hold, or that are too many."""


def hostile(words: str) -> Run:
    """A run in which all that comes from elsewhere is these words."""
    said = replace(WARNED, found=Said(words))
    dropped = replace(LOSS, path=words, culprit=replace(PUNCH, function=words, stack=(words, f"ext4_{words}")))
    missing = Violation(Kind.NAME, words, 7, words, words, (), 0, Condition.GONE, Said(words))
    program = PROGRAM.replace("data", words)
    one = cell(said, dropped, missing, scenario=words, kernel=words, fs=words, program=program)
    one = replace(one, target=words, qemu=words, plugin=words, kernel_digest=words, id=words, recovered_by=words)
    settled = [replace(one, outcome=outcome, error=words, known=(words,)) for outcome in Outcome]
    return Run.of((*settled, replace(cell(said), program=words)), KnownIssues(), None, (Broken(words, words),))


HOSTILE = tuple(map(hostile, BAD_WORDS))
ALL = (EMPTY, NOTHING_JUDGED, EVERY, *HOSTILE)


def many(count: int, scenarios: int = 500) -> Run:
    """A run of so many cells, a third of which fail for two causes."""
    violations = ((LOSS, UNKNOWN), (), ())
    names = [f"test_family.py::test_something_or_other_{number}" for number in range(scenarios)]
    places = ((number, number % scenarios, f"6.{number // scenarios}.0") for number in range(count))
    results = [cell(*violations[number % 3], scenario=names[at], kernel=kernel) for number, at, kernel in places]
    return run(results, KnownIssues())


def at(directory: Path, run: Run, console: str) -> Run:
    """The run with its files in a directory. Whoever may write there has put this into the console of each cell."""
    journal = Journal(directory)
    for result in run.results:
        journal.add(result, "")
    journal.close()
    for program in directory.glob("*.prog"):
        program.with_suffix(".console").write_text(console)
    return replace(run, directory=directory)
