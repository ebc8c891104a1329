"""The words for a finding: its title, as a maintainer would put it, and the command that shows it again."""

import shlex
from pathlib import Path

from harness.findings.cause import LEFT_OUT, PAST_END, RACE, BrokenPromise, Cause, DroppedEntry
from harness.findings.finding import Finding, blamed, entered, through
from harness.model.cell import short
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import COVERAGE, LIVE, Kind
from harness.model.setting.hardware import PmemKind
from harness.plain import clipped

_WRONG = {
    Kind.STALE: "promised data is stale", Kind.ZERO: "promised data is zero", Kind.TORN: "promised data is torn",
    Kind.UNFLUSHED: "promised data is not flushed", Kind.FOREIGN: "a file holds foreign data",
    Kind.INCOHERENT: "two views of a file differ", Kind.SIZE: "a file has the wrong size",
    Kind.NAME: "a name is wrong", Kind.ALLOCATION: "holes and blocks do not suit the data",
    Kind.RECOVERY: "recovery fails", Kind.FSCK: "the file system is inconsistent", Kind.KERNEL: "the kernel complains",
    Kind.ERRNO: "a call gives the wrong errno", Kind.SIGNAL: "an access gives the wrong signal",
    Kind.DEVICE: "the kernel misjudges the device",
}  # fmt: skip
"""The words for what is wrong, by kind of violation (tested to be total)."""
_LIMIT = 120
"""Characters of a title."""


def title(finding: Finding) -> str:
    """ext4_punch_hole drops a dirty PMD entry without writeback (ext4_fallocate -> truncate_pagecache_range)."""
    match finding.cause:
        case DroppedEntry():
            who = blamed(finding)
            way = [name for name in dict.fromkeys((entered(finding), through(finding))) if name not in ("", who)]
            by = f" ({' -> '.join(way)})" if way else ""
            text = f"{who} drops a dirty {'PMD' if finding.pmd else 'PTE'} entry without writeback{by}"
        case BrokenPromise(Kind.KERNEL) as cause:
            text = cause.what
        case BrokenPromise(what=what) if what == PAST_END:
            text = "bytes stored past the end of a file show when it grows"
        case BrokenPromise(what=what) if what == LEFT_OUT:
            text = what
        case BrokenPromise() as cause:
            text = _broken(cause)
    return clipped(text, _LIMIT)


def about(finding: Finding) -> list[str]:
    """The lines that say what a file on a finding is about: its title, and where it was seen."""
    seen = (f"Finding {finding.id}, seen on {one.kernel}, {one.fs} on {one.device}." for one in finding.results)
    return [title(finding), *dict.fromkeys(seen)]


def _broken(cause: BrokenPromise) -> str:
    """After clone, promised data is stale: msync."""
    after = {"": "", RACE: " in a race"}.get(cause.family, f" after {cause.family}")
    when = ", with the power on" if LIVE in cause.where else ""
    when += f", cut{inside}" if (inside := cause.where.partition("cut")[2]) else ""
    by = f" by {cause.verb}" if cause.verb else ""
    wrong = _WRONG[cause.kind].replace("promised data", f"data promised{by}") if by else _WRONG[cause.kind]
    said = f": {cause.what}" if cause.kind not in _DATA else ""
    coverage = ", by flush coverage" if COVERAGE in cause.where and cause.kind is not Kind.UNFLUSHED else ""
    return f"{wrong}{after}{when}{coverage}{said}"


_DATA = frozenset({Kind.STALE, Kind.ZERO, Kind.TORN, Kind.UNFLUSHED})
"""The kinds whose name says all: what is expected and found adds nothing."""


def command(result: CellResult, program: Path | None = None, *, headed: bool = False) -> str:
    """The command that runs the result's cell again, for a shell.

    daxcheck run out/NAME.prog --kernel 6.12.95+deb12-amd64              `program` is a file whose heading says the rest
    daxcheck run out/NAME.prog --kernel 6.12.95+deb12-amd64 --fs ext4    one without such a heading
    daxcheck run -k "punch_hole and ..." --kernel ...                    without a file, by the name of the scenario
    """
    words = ["daxcheck", "run", *([str(program)] if program else _selected(result)), "--kernel", result.kernel]
    words += [] if program and headed else _place(result)
    words += ["--no-known"] * (result.outcome is Outcome.XFAIL)  # else it would end with 0
    return shlex.join(words)


def _place(result: CellResult) -> list[str]:
    """The options that say on what the cell ran, but for the kernel."""
    words = ["--fs", result.fs, *(["--device", result.device] * (result.device is not PmemKind.NVDIMM))]
    words += [*result.engine.option, *result.plan.option]
    return [*words, *(["--seed", str(result.seed)] * (result.seed != 1))]


def _selected(result: CellResult) -> list[str]:
    """-k "punch_hole and page_inside_dirty_pmd"; of a .prog file its name."""
    module, _, function = short(result.scenario).partition("::")
    name = function.partition("[")[0]
    return ["-k", f"{module} and {name}"] if name else [result.scenario]


def cause_words(cause: Cause) -> str:
    """The chain of functions of a drop; empty if nobody is known."""
    return " <- ".join(cause.chain) if isinstance(cause, DroppedEntry) else ""
