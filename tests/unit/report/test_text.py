"""What people read: a line per cell, the matrix, the losses."""

import dataclasses
import json

import pytest

from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.values import Condition, Said, Stored
from harness.model.judge.violation import LIVE, Culprit, Kind, Violation
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.model.units import PAGE, PMD
from harness.model.wire.moment import Moment, Phase
from harness.report import text

LOSS = Violation(
    Kind.STALE, "data", 10, "msync", "pessimistic", ((0, 16 * PAGE), (17 * PAGE, PMD)), 511 * PAGE,
    Stored(2, 7), Stored(1, 5),
)  # fmt: skip
WORDS = "msync returned 0, 511 of 512 pages of data[0..2M) hold the older store"

DROPPED = Culprit(
    8, "dax_delete_mapping_entry", ("truncate_pagecache_range", "ext4_punch_hole", "vfs_fallocate"), 0, PMD, 1
)
CULPRIT = (
    "dirty entry [0..2M) dropped unflushed in op 8: fallocate f punch_hole [64K..68K) "
    "by ext4_punch_hole <- vfs_fallocate"
)
PROGRAM = """daxcheck program 1
create f data
create b other
fallocate f allocate 0 8M
mmap m1 f 0 8M
clone_file b f
store m1 0 4K
fsync f
observe
fallocate f punch_hole 64K 4K
store m1 0 8M
msync m1 0 8M
lane a
store m1 0 4K
lane b
store m1 4K 4K
join
cut_power
"""
STACK = " (dax_delete_mapping_entry <- truncate_pagecache_range <- ext4_punch_hole <- vfs_fallocate)"


def cell(
    outcome: Outcome, kernel: str = "6.12.95", fs: str = "ext4", scenario: str = "test_a.py::test_b"
) -> CellResult:
    lost = (LOSS,) if outcome is Outcome.FAIL else ()
    error = "no guest" if outcome is Outcome.ERROR else ""
    return CellResult(scenario, "qemu", kernel, fs, outcome, 1.25, violations=lost, program=PROGRAM, error=error)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_cell_that_was_run_again_says_so(outcome: Outcome) -> None:
    """However it ended: who sees it often has a machine that fails."""
    again = dataclasses.replace(cell(outcome), tries=2)
    assert "(1.2 s, 2 runs)" in text.line(again) and "runs" not in text.line(cell(outcome))


@pytest.mark.parametrize("outcome", Outcome)
def test_a_cell_is_one_line(outcome: Outcome) -> None:
    """A cell's line names the kernel, the file system, the scenario, and why it went wrong if it did."""
    line = text.line(cell(outcome))
    assert "\n" not in line and "6.12.95" in line and "ext4" in line and "a::b" in line
    assert (WORDS in line) == (outcome is Outcome.FAIL) and ("no guest" in line) == (outcome is Outcome.ERROR)


def test_outcomes_look_different() -> None:
    """No two outcomes have the same sign."""
    assert len({text.line(cell(outcome)).split()[0] for outcome in Outcome}) == len(Outcome)


def test_a_control_has_its_own_signs() -> None:
    """One that lost is a pass, one that kept an error; the signs tell these from other passes and errors."""
    program = PROGRAM.replace("program 1\n", "program 1\nexpect loss\n")
    lost = dataclasses.replace(cell(Outcome.PASS), program=program, violations=(LOSS,))
    kept = dataclasses.replace(cell(Outcome.ERROR), program=program, kept=True, error="the control kept its data")
    assert text.line(lost).startswith("lost ") and text.line(kept).startswith("KEPT ")
    assert text.matrix([lost, kept])[-1].split(maxsplit=1)[1] == "lost 1, KEPT 1"
    assert text.losses([lost]) == []
    assert text.losses([kept]) == ["6.12.95 ext4 a::b: the control kept its data"]
    assert text.line(dataclasses.replace(kept, kept=False)).startswith("ERROR ")
    assert text.line(dataclasses.replace(lost, program=PROGRAM)).startswith("ok ")
    covered = dataclasses.replace(kept, engine=Engine.COVERAGE)
    assert text.line(covered).startswith("KEPT~ ")


def test_the_matrix_has_a_place_for_each_cell() -> None:
    """Rows are scenarios, columns kernels by file system in order of appearance; a cell that did not run is a dash."""
    results = [
        cell(Outcome.PASS, "6.1"), cell(Outcome.FAIL), cell(Outcome.XFAIL, "6.1", scenario="test_a.py::test_c"),
        cell(Outcome.PASS, fs="xfs"),
    ]  # fmt: skip
    kernels, systems, *rows = text.matrix(results)
    assert kernels.split() == ["6.1", "6.12.95", "6.12.95"]
    assert systems.split() == ["scenario", "ext4", "ext4", "xfs"]
    assert [row.split() for row in rows] == [["a::b", "ok", "LOSS", "ok"], ["a::c", "known", "-", "-"]]
    starts = [kernels.index("6.1"), systems.index("ext4"), rows[0].index("ok")]
    assert len(set(starts)) == 1


def test_formats_and_parameters_are_rows() -> None:
    """A format makes a row of its own under the same columns; parameters stay whole, whatever they hold."""
    results = [
        cell(Outcome.PASS), cell(Outcome.SKIP, fs="ext4:reflink"), cell(Outcome.FAIL, fs="xfs:reflink"),
        cell(Outcome.PASS, fs="xfs:reflink+linear", scenario="dir/test_a.py::test_b[x/y::z-1]"),
    ]  # fmt: skip
    _, systems, *rows = text.matrix(results)
    assert systems.split() == ["scenario", "ext4", "xfs"]
    assert [" ".join(row.split()) for row in rows] == [
        "a::b ok -", "a::b :reflink skip LOSS", "a::b[x/y::z-1] :reflink+linear - ok",
    ]  # fmt: skip


def test_a_warning_is_told_and_counted() -> None:
    """A cell with warnings keeps its outcome, has a star, and says what hangs on no fence after which op."""
    warned = dataclasses.replace(cell(Outcome.PASS), warnings=(LOSS,))
    assert text.line(warned).startswith("ok* ") and text.line(warned).endswith(f": without a fence: {WORDS}")
    assert text.matrix([warned, cell(Outcome.PASS)])[-1].split(maxsplit=1)[1] == "ok* 1, ok 1"
    head, told = text.warnings([warned, cell(Outcome.PASS)])
    assert head.startswith("* 1 of 2 cells")
    assert told == f"6.12.95 ext4 a::b: {WORDS} (wrong after op 10: msync m1 [0..8M))"
    assert text.losses([warned]) == [] and text.warnings([cell(Outcome.FAIL)]) == []


def test_a_remark_is_told_and_counted() -> None:
    """A cell with remarks keeps its outcome, has a plus, and says what moved."""
    remarked = dataclasses.replace(cell(Outcome.PASS), remarks=(LOSS,))
    assert text.line(remarked).startswith("ok+ ")
    assert text.line(remarked).endswith(f": stored past the end, and moved: {WORDS}")
    assert text.matrix([remarked])[-1].split(maxsplit=1)[1] == "ok+"
    head, told = text.remarks([remarked, cell(Outcome.PASS)])
    assert head.startswith("+ 1 of 2 cells") and told == f"6.12.95 ext4 a::b: {WORDS}"
    assert text.losses([remarked]) == text.warnings([remarked]) == text.remarks([cell(Outcome.FAIL)]) == []


def test_a_culprit_is_told_in_short_and_in_full() -> None:
    """The line of a FAIL says who forgot what was lost; below its loss at the end the whole stack stands."""
    blamed = dataclasses.replace(LOSS, culprit=DROPPED)
    result = dataclasses.replace(cell(Outcome.FAIL), violations=(LOSS, blamed, dataclasses.replace(blamed, bytes=1)))
    assert text.line(result).endswith(f": {WORDS}; {CULPRIT}")
    assert text.losses([result]) == [
        f"6.12.95 ext4 a::b: {WORDS} (wrong after op 10: msync m1 [0..8M))", f"    {CULPRIT}{STACK}",
    ]  # fmt: skip
    control = dataclasses.replace(result, outcome=Outcome.PASS)
    assert "dropped" not in text.line(control) and text.losses([control]) == []


def test_many_culprits_are_counted() -> None:
    """The culprits of the largest losses are told, the others counted; one that differs by its stack only is one."""
    sizes = range(1, 6)
    drops = {n: dataclasses.replace(DROPPED, stack=(f"g{n}", f"f{min(n, 4)}")) for n in sizes}
    lost = [dataclasses.replace(LOSS, bytes=n, culprit=drops[n]) for n in sizes]
    told = CULPRIT.replace("ext4_punch_hole <- vfs_fallocate", "f{}").format
    function = "dax_delete_mapping_entry"
    result = dataclasses.replace(cell(Outcome.FAIL), violations=tuple(lost))
    assert text.line(result).endswith(f"; {told(4)}; {told(3)}; {told(2)}; and 1 more")
    assert [line.strip() for line in text.losses([result])[1:]] == [
        f"{told(4)} ({function} <- g5 <- f4)", f"{told(4)} ({function} <- g4 <- f4)",
        f"{told(3)} ({function} <- g3 <- f3)", "and 2 more",
    ]  # fmt: skip


def test_flush_coverage_alone_is_told() -> None:
    """A verdict without a power cut says so in its line, in the matrix and in the losses; no verdict says nothing."""
    unflushed = dataclasses.replace(LOSS, kind=Kind.UNFLUSHED, found=Condition.NOT_FLUSHED)
    results = {outcome: dataclasses.replace(cell(outcome), engine=Engine.COVERAGE) for outcome in Outcome}
    lost = results[Outcome.FAIL] = dataclasses.replace(results[Outcome.FAIL], violations=(unflushed,))
    words = "msync returned 0, 511 of 512 pages of data[0..2M) were not flushed"
    assert text.line(lost) == f"LOSS~ 6.12.95 ext4 a::b (1.2 s, flush coverage): {words}"
    assert text.losses([lost]) == [
        f"6.12.95 ext4 a::b (by flush coverage): {words} (wrong after op 10: msync m1 [0..8M))"
    ]
    assert text.matrix([results[Outcome.PASS]])[-1].split() == ["a::b", "ok~"]
    assert text.legend([results[Outcome.PASS]]) == "~: by flush coverage alone, the power was not cut"
    for outcome in (Outcome.SKIP, Outcome.ERROR):
        assert text.line(results[outcome]) == text.line(cell(outcome))
    traced = dataclasses.replace(cell(Outcome.PASS), engine=Engine.TRACE)
    assert text.line(traced) == text.line(cell(Outcome.PASS))


WARNED = "warning: [ 9.1] WARNING: CPU: 0 PID: 1 at fs/dax.c:380 dax_insert_entry"


def complained(moment: Moment | None, image: str = LIVE) -> CellResult:
    op = moment.op if moment else None
    verb = "" if op is None else PROGRAM.splitlines()[op + 1].split()[0]
    one = Violation(Kind.KERNEL, "", op, verb, image, (), 0, Condition.SILENCE, Said(WARNED), moment=moment)
    return dataclasses.replace(cell(Outcome.FAIL), violations=(one,))


@pytest.mark.parametrize(
    ("moment", "image", "words"),
    [
        (None, LIVE, ""),
        (Moment(Phase.OP, 4), LIVE, ", during op 4: clone_file b f"),
        (Moment(Phase.OP, 15), LIVE, ", while the lanes ran that end in op 15: join"),
        (Moment(Phase.VIEWS, 7), LIVE, ", during daxcheck's own views in op 7: observe"),
        (Moment(Phase.VIEWS), LIVE, ", during daxcheck's own views after the cut"),
        (Moment(Phase.EVICTION), LIVE, ", during eviction"),
        (Moment(Phase.UMOUNT), LIVE, ", during umount"),
        (Moment(Phase.MOUNT), LIVE, ", during mount"),
        (Moment(Phase.RECOVERY), "pessimistic", ", during recovery"),
        (Moment(Phase.VIEWS), "pessimistic", ", during daxcheck's own views after recovery"),
        (Moment(Phase.UMOUNT), "pessimistic", ", during umount after recovery"),
    ],
)
def test_a_complaint_of_the_kernel_says_during_what(moment: Moment | None, image: str, words: str) -> None:
    """The op, or what daxcheck itself was at; nothing where that is not known. Below it stands no op a second time."""
    result = CellResult.from_json(json.loads(json.dumps(complained(moment, image).to_json())))  # as from a worker
    assert text.line(result).startswith("KERNEL ") and text.line(result).endswith(f": {WARNED}{words}")
    assert text.losses([result]) == [f"6.12.95 ext4 a::b: {WARNED}{words}"]


def test_what_is_wrong_with_the_power_on_is_not_lost() -> None:
    """A loss is what a cut took: older data that a load, a pread or an observe shows before it is WRONG, whatever else
    the kernel said; with a real loss beside it the cell is a LOSS."""
    live = dataclasses.replace(LOSS, image=LIVE, op=7, verb="observe")
    warned = complained(Moment(Phase.OP, 4)).violations
    for found, sign in (
        ((live,), "WRONG"), ((live, *warned), "WRONG"), ((live, LOSS), "LOSS"), ((LOSS, *warned), "LOSS"),
        (warned, "KERNEL"),
    ):  # fmt: skip
        result = dataclasses.replace(cell(Outcome.FAIL), violations=found)
        assert text.line(result).split()[0] == sign
        assert text.matrix([result])[-1].split()[-1] == sign


def test_a_device_is_named_unless_it_is_an_nvdimm() -> None:
    """Lines, columns and losses name the device; a matrix has a column for each."""
    eadr = dataclasses.replace(cell(Outcome.FAIL), device=PmemKind.EADR)
    assert " ext4 eadr a::b" in text.line(eadr) and "nvdimm" not in text.line(cell(Outcome.FAIL))
    assert text.losses([eadr])[0].startswith("6.12.95 ext4 eadr a::b")
    header = text.matrix([cell(Outcome.PASS), eadr])[1]
    assert header.split() == ["scenario", "ext4", "ext4", "eadr"]


def test_a_failure_that_is_no_loss_has_its_own_sign() -> None:
    """An oops alone is told as KERNEL, any other broken promise as WRONG; lost data comes first."""
    complaint = dataclasses.replace(LOSS, kind=Kind.KERNEL)
    for kinds, sign in (((Kind.KERNEL,), "KERNEL"), ((Kind.ERRNO,), "WRONG"), ((Kind.KERNEL, Kind.STALE), "LOSS")):
        violations = tuple(dataclasses.replace(complaint, kind=kind) for kind in kinds)
        assert text.line(dataclasses.replace(cell(Outcome.FAIL), violations=violations)).split()[0] == sign


def test_the_time_is_split() -> None:
    """Each column says how long its cells took and on what, the largest share first; formats count to their column."""
    timed = dataclasses.replace(cell(Outcome.PASS), seconds=10.0, timings={"ops": 2.0, "recover": 7.0, "golden": 0.01})
    other = dataclasses.replace(timed, fs="ext4:nojournal")
    assert text.clock([timed, other]) == ["6.12.95 ext4: 2 cells took 20 s (recover 70%, ops 20%, rest 10%)"]
    assert text.clock([dataclasses.replace(timed, seconds=0.0, timings={})])[0].endswith("1 cells took 0 s")


def test_repeats_are_counted() -> None:
    """Several runs of a cell show how many came out how."""
    rows = text.matrix([cell(Outcome.PASS), cell(Outcome.FAIL), cell(Outcome.PASS)])[2:]
    assert rows == ["a::b      ok 2, LOSS 1"]


def test_losses_are_told_in_words() -> None:
    """Every loss and every cell without a verdict is told; known issues are told too, passes are not."""
    told = text.losses([cell(outcome) for outcome in Outcome])
    assert len(told) == 3
    assert any(line.startswith(f"6.12.95 ext4 a::b: {WORDS}") for line in told)
    assert any("no guest" in line for line in told)


def test_the_legend_tells_what_stands_there() -> None:
    """Each sign and mark of the matrix that does not speak for itself, and no other."""
    assert text.legend([cell(Outcome.PASS), cell(Outcome.SKIP)]) == ""
    told = text.legend([cell(Outcome.FAIL), dataclasses.replace(cell(Outcome.PASS), warnings=(LOSS,))])
    assert told == "LOSS: promised data did not survive   *: by no explicit fence"
    assert "known: " in text.legend([cell(Outcome.XFAIL)]) and "fixed?: " in text.legend([cell(Outcome.XPASS)])
    kept = dataclasses.replace(cell(Outcome.ERROR), kept=True)
    assert text.legend([kept]) == "KEPT: a control lost nothing: do not believe this run"


def test_an_empty_matrix() -> None:
    """Nothing judged, nothing told."""
    assert text.losses([]) == []
    assert [row.split() for row in text.matrix([])] == [[], ["scenario"]]


def test_a_result_survives_the_way_through_a_worker() -> None:
    """What a worker hands over as JSON is the same result."""
    lost = (dataclasses.replace(LOSS, culprit=DROPPED),)
    result = dataclasses.replace(cell(Outcome.FAIL), timings={"ops": 0.5}, violations=lost, engine=Engine.COVERAGE)
    again = CellResult.from_json(result.to_json())
    assert text.line(again) == text.line(result)


def test_a_long_name_makes_no_wide_matrix() -> None:
    """A name of a million characters, in a results file that was edited, is cut, and is plain."""
    long = dataclasses.replace(cell(Outcome.PASS), scenario="\x1b" + "x" * 1_000_000)
    told = text.matrix([long, dataclasses.replace(long, kernel="y" * 1_000_000), cell(Outcome.PASS)])
    assert all(len(line) < 500 and line.isprintable() for line in told) and "\\x1bxxx" in told[2]
