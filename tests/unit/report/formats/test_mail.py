"""A mail is one that a kernel list takes: plain text of 72 columns, and it says what a maintainer asks for."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness import progfile
from harness.errors import UsageError
from harness.findings.finding import gather
from harness.model.judge.result import CellResult
from harness.model.program.program import parse
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.report import setting
from harness.report.formats import mail
from harness.report.formats.listing import LINES, listing
from harness.report.formats.options import ReportOptions
from harness.report.reach import reach
from harness.report.results import Run
from tests.unit.findings.cells import LOSS, PROGRAM, UNKNOWN, WARNED, ZEROED, cell
from tests.unit.report.formats import runs

SPLAT = """\
[    1.000000] before
[    2.000001] ------------[ cut here ]------------
[    2.000002] WARNING: fs/dax.c:1 at dax_x+0x1/0x2
[    2.000003] Call Trace:
[    2.000004]  dax_x+0x1/0x2
[    2.000005] ---[ end trace 0000000000000000 ]---
[    3.000000] behind
"""


def report(run: Run, finding: str = "") -> str:
    return mail.text(run, ReportOptions(finding=finding))


def mails(run: Run) -> list[str]:
    return report(run).split(f"\n{mail.SEPARATOR}\n\n")


def section(text: str, head: str) -> list[str]:
    """The lines below a heading, without their margin."""
    rest = text[text.index(head) + len(head) :].removeprefix("\n\n").split("\n")
    end = next(index for index, line in enumerate(rest) if line and not line.startswith("  "))
    return [line.removeprefix("  ") for line in rest[: end - 1]]


@pytest.mark.parametrize("run", runs.ALL, ids=range(len(runs.ALL)))
def test_a_line_has_72_columns(run: Run) -> None:
    """Whatever was said, prose does not go beyond; what cannot be broken stands in a block, and is bounded. A line
    holds nothing that a terminal acts on, nor a separator that is none."""
    text = report(run)
    lines = text.split("\n")
    assert all(line.isprintable() and line == line.rstrip() for line in lines)
    blocks = [line for line in lines if len(line) > 72]
    assert all(line.startswith(("  ", "Made by:")) and len(line) <= 1002 for line in blocks)
    assert text.endswith("\n") and lines.count(mail.SEPARATOR) == max(0, len(run.findings) - 1)
    assert sum(one.startswith("Subject: [BUG]") for one in mails(run)) == len(run.findings)


def test_without_findings() -> None:
    """The count of cells, and of what was not judged."""
    assert report(runs.EMPTY) == "No finding in 0 cells, and 0 that were not judged.\n"
    assert report(runs.NOTHING_JUDGED) == "No finding in 0 cells, and 1 that were not judged.\n"


def test_one_finding() -> None:
    """--finding chooses a mail; an id that is none of the run is refused, and those that are are told."""
    ids = [one.id for one in runs.EVERY.findings]
    assert sorted(report(runs.EVERY, one) for one in ids) == sorted(mails(runs.EVERY))
    with pytest.raises(UsageError, match=f"--finding 0: no such finding in this run; there are: {', '.join(ids)}"):
        report(runs.EVERY, "0")
    with pytest.raises(UsageError, match="there are: none"):
        report(runs.EMPTY, "0")


def test_what_a_maintainer_asks() -> None:
    """Kernel, file system and how it was made, device, what was done and lost, who dropped it, how to see it again."""
    results = [replace(cell(LOSS), qemu="10.0.2"), cell(fs="xfs"), cell(ZEROED, kernel="7.3.4")]
    run = runs.run(results)
    found = next(one for one in run.findings if "punch_hole" in one.signature)
    text = report(run, found.id)
    assert text.startswith("Subject: [BUG] ext4, dax: ext4_punch_hole drops a dirty PMD entry\n without writeback")
    assert "after a power failure: msync returned 0, 512 of 512\npages of data[0..2M) hold the older store." in text
    assert "Kernel:       6.12.95+deb12-amd64, x86-64\nFile system:  ext4\nMade by:      mkfs.ext4 -q" in text
    assert "Mounted:      -o dax\n" in text and "(ADR); emulated by QEMU 10.0.2\n" in text
    assert "Scenario:     punch_hole::page, seed 1\n" in text
    assert section(text, "What was wrong:") == [
        "data [0..2M): store 1 (op 3), not store 2 (op 5), where no dirty cache", "  line was evicted before the cut",
    ]  # fmt: skip
    stack = ["dax_delete_mapping_entry", "truncate_pagecache_range", "ext4_punch_hole", "vfs_fallocate"]
    assert section(text, "The entry was dropped unflushed in op 6, by:") == stack
    assert section(text, "To reproduce:")[0].startswith("daxcheck run -k 'punch_hole and page' --kernel 6.12.95+deb12")
    other = next(one.id for one in run.findings if one is not found)
    assert section(text, "Where it shows, and where not:") == [
        "6.12.95+deb12-amd64 ext4: 1 of 1 run shows it", "6.12.95+deb12-amd64 xfs: 1 run passes",
        f"7.3.4 ext4: 1 run fails for another cause ({other})",
    ]  # fmt: skip
    assert f"as finding {found.id}. The signature of the cause:\ndropped; dax_delete_mapping_entry" in text
    assert "Known as punch-hole." in text


def test_the_program_can_be_run() -> None:
    """What the mail lists is a .prog file, and the ops that matter have their remarks."""
    text = section(mails(runs.run([cell(LOSS)]))[0], "What was done (a call or a store a line; # is a comment):")
    told = progfile.parse("\n".join(text))
    assert told.program == parse(PROGRAM) and told.heading.lines() == ["format ext4"]
    assert [line for line in text if "#" in line] == [
        "store m 0 2M                 # op 3: the store found instead",
        "store m 0 2M                 # op 5: the store that is lost",
        "fallocate f punch_hole 0 4K  # op 6: drops the dirty entry [0..2M)",
        "msync m 0 8M                 # op 7: promised what is lost",
    ]


def test_how_to_reproduce() -> None:
    """By the name of the scenario, and with the Program of the mail; a .prog file has no other name, a long Program
    must be at hand. What is known is looked for all the same."""
    rest = "--kernel 6.12.95 --fs ext4 --no-known"
    with_program = ["with the Program above in x.prog:", "", "daxcheck run x.prog --kernel 6.12.95 --no-known"]
    by_name = f"daxcheck run -k 'punch_hole and page' {rest}"
    long = PROGRAM.replace("cut_power", "observe\n" * LINES + "cut_power")
    for scenario, program, told in (
        ("test_punch_hole.py::test_page", PROGRAM, [by_name, "", f"or, {with_program[0]}", *with_program[1:]]),
        ("y.prog", PROGRAM, with_program),
        ("y.prog", long, [f"daxcheck run y.prog {rest}"]),
        ("test_punch_hole.py::test_page", long, [by_name]),
    ):
        run = runs.run([cell(LOSS, kernel="6.12.95", scenario=scenario, program=program)])
        assert section(mails(run)[0], "To reproduce:") == told


def test_a_long_program_is_cut() -> None:
    """Of a long one only what is near a remark is shown, with the numbers of the ops as they were."""
    long = PROGRAM.replace("cut_power", "observe\n" * 2 * LINES + "cut_power")
    (finding,) = gather([cell(LOSS, program=long)])
    told = listing(finding.example)
    assert len(told) < 20 and told[-1] == f"# {2 * LINES - 3} lines are left out here"
    assert any(line.endswith("# op 7: promised what is lost") for line in told)
    (text,) = mails(runs.run([cell(LOSS, program=long)]))
    assert "(all of it: in the results of the run)" in text and "x.prog" not in text


def test_the_kernels_own_words(tmp_path: Path) -> None:
    """A warning is told with its trace, and nothing else of the console; the times are the kernel's."""
    (text,) = mails(runs.at(tmp_path, runs.run([cell(WARNED)]), SPLAT))
    assert "In the run below the kernel complained: WARNING: fs/dax.c:1" in text
    assert section(text, "The kernel's words:") == SPLAT.splitlines()[1:-1]
    assert "What was wrong:" not in text
    (silent,) = mails(runs.run([cell(WARNED)]))
    assert "The kernel's words:" not in silent


def test_a_hostile_console(tmp_path: Path) -> None:
    """A trace that never ends, lines that never end, and what a terminal would act on, are cut or shown."""
    hostile = SPLAT.replace("[    2.000005] ---[ end trace", "\x1b[2J" + "x" * 10_000 + "\n" + "y\n" * 10_000)
    (text,) = mails(runs.at(tmp_path, runs.run([cell(WARNED)]), hostile))
    told = section(text, "The kernel's words:")
    assert 50 < len(told) < 100 and all(len(line) <= 200 and line.isprintable() for line in told)
    assert any(line.startswith("\\x1b[2Jxxx") for line in told)


def test_reach() -> None:
    """Each run of a scenario of the finding counts once, by what it shows."""
    found = runs.EVERY.findings[0]
    results: list[CellResult] = [cell(LOSS), cell(LOSS, UNKNOWN), cell(UNKNOWN), cell(), cell(fs="xfs"), cell(LOSS)]
    run = runs.run([*results, cell(scenario="test_x.py::test_other")])
    found = next(one for one in run.findings if len(one.cases) == 3)
    told = {one.name: one.words for one in reach(found, run)}
    other = next(one.id for one in run.findings if one is not found)
    assert told == {
        "6.12.95+deb12-amd64 ext4": f"3 of 5 runs show it, 1 run passes, 1 run fails for another cause ({other})",
        "6.12.95+deb12-amd64 xfs": "1 run passes",
    }


def test_every_device_and_engine_has_words() -> None:
    assert set(setting.DEVICES) == set(PmemKind) and set(setting.CUTS) == set(Engine)
