"""A mail to a kernel list for each finding: plain text of 72 columns, the subject first.

It says on what kernel, what was done, what was lost, who dropped it, how to see it again, and where it shows and where
not. Longer than 72 columns are only lines that cannot be broken: a command, a line of a Program, a stack frame, a line
of the kernel's log.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness import __version__
from harness.errors import UsageError
from harness.findings.cause import BrokenPromise, DroppedEntry
from harness.findings.finding import Finding, blamed, perhaps_same
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Kind, Violation
from harness.model.units import size_text
from harness.plain import clipped
from harness.report.formats.listing import listing, whole
from harness.report.formats.options import ReportOptions
from harness.report.reach import reach
from harness.report.results import Run
from harness.report.setting import facts, image
from harness.report.splat import splat
from harness.report.summary import ranked
from harness.report.title import command, title
from harness.report.words import Words, culprits, value

WIDTH = 72
SEPARATOR = "=" * WIDTH
"""The line between two mails."""
_CLIP = 1000
"""Characters of a sentence."""
_RANGES = 6
_VIOLATIONS = 5
_PLACES = 20
_MARGIN = "  "
_FACT = 14
"""Columns of the name of a fact."""
_TIME = re.compile(r"\[ *[0-9]+\.[0-9]+\] ?")


def text(run: Run, options: ReportOptions) -> str:
    """The mails, with a separator between two. Raises UsageError if the run has no finding of the id that is asked for.
    """
    chosen = [one for one in ranked(run.findings) if options.finding in ("", one.id)]
    if options.finding and not chosen:
        known = ", ".join(one.id for one in run.findings) or "none"
        raise UsageError(f"--finding {options.finding}: no such finding in this run; there are: {known}")
    if not chosen:
        unjudged = sum(one.outcome is Outcome.ERROR for one in run.results) + len(run.broken)
        return f"No finding in {len(run.results)} cells, and {unjudged} that were not judged.\n"
    return f"\n{SEPARATOR}\n\n".join("".join(f"{line}\n" for line in _mail(one, run)) for one in chosen)


def _mail(finding: Finding, run: Run) -> Iterator[str]:
    systems = dict.fromkeys(one.fs.partition(":")[0] for one in finding.results)
    yield from _wrapped(f"Subject: [BUG] {', '.join(systems)}, dax: {title(finding)}", "", " ")
    yield ""
    yield from _claim(finding)
    yield ""
    yield from _facts(finding.example.result)
    yield from _section("What was done (a call or a store a line; # is a comment):", _done(finding, run))
    yield from _section("What was wrong:", _wrong(finding))
    yield from _blame(finding)
    yield from _section("The kernel's words:", splat(finding.example, run.console(finding.example.result)))
    yield from _section("To reproduce:", _commands(finding))
    yield from _section("Where it shows, and where not:", _reach(finding, run))
    yield ""
    yield from _identity(finding, run)


def _section(head: str, lines: Iterable[str]) -> Iterator[str]:
    """A headed block, unless it is empty."""
    told = list(lines)
    if told:
        yield from ("", *_wrapped(head), "", *(f"{_MARGIN}{line}".rstrip() for line in told))


def _claim(finding: Finding) -> Iterator[str]:
    """Say in a paragraph what is wrong."""
    case = finding.example
    sentence = _TIME.sub("", Words.of(case.result).sentence((case.largest,)))
    after = ", after a power failure" if case.largest.lost else ""
    match finding.cause:
        case DroppedEntry():
            who, entry = blamed(finding), "PMD" if finding.pmd else "PTE"
            told = f"""{who} takes a dirty {entry} entry out of the page tree of a DAX file and does not write back what
                       it maps, so that no later sync does. In the run below{after}: {sentence}."""
        case BrokenPromise(Kind.KERNEL):
            told = f"In the run below the kernel complained: {sentence.partition(': ')[2] or sentence}."
        case BrokenPromise():
            told = f"In the run below{after}: {sentence}. Which function is to blame is not known."
    yield from _wrapped(" ".join(told.split()))


def _facts(result: CellResult) -> Iterator[str]:
    """Kernel, file system, device, power cut, one below the other."""
    for name, words in facts(result).items():
        told = _wrapped(f"{name + ':':{_FACT}}{words}", "", " " * _FACT)
        yield from told if name != "Made by" else [clipped(f"{name + ':':{_FACT}}{words}", _CLIP)]


def _done(finding: Finding, run: Run) -> Iterator[str]:
    yield from listing(finding.example)
    if not whole(finding.example):
        file = run.program_file(finding.example.result)
        yield from ("", f"(all of it: {file.name}, attached)" if file else "(all of it: in the results of the run)")


def _wrong(finding: Finding) -> Iterator[str]:
    """Tell where the wrong bytes are, and what they hold and should hold: once, however many images show it. What the
    kernel said is told elsewhere."""
    seen: dict[tuple[object, ...], Violation] = {}
    words_of = Words.of(finding.example.result)
    told = (one for one in finding.example.violations if one.kind is not Kind.KERNEL)
    for one in sorted(told, key=lambda one: -one.bytes):
        seen.setdefault((one.kind, one.path, one.op, one.expected, one.found, one.inside), one)
    for one in list(seen.values())[:_VIOLATIONS]:
        where = f"{one.path} {_ranges(one)}".strip()
        cut = words_of.cut(one) or image(one.image)
        words = f"{where}: {value(one.found)}, not {value(one.expected)}, {cut}".removeprefix(": ")
        yield from _wrapped(words, "", _MARGIN, taken=2)
    if len(seen) > _VIOLATIONS:
        yield f"and {len(seen) - _VIOLATIONS} more"


def _ranges(violation: Violation) -> str:
    told = [f"[{size_text(low)}..{size_text(high)})" for low, high in violation.ranges[:_RANGES]]
    return " ".join(told) + (" and more" if len(violation.ranges) > _RANGES else "")


def _blame(finding: Finding) -> Iterator[str]:
    """The stack of the drop, the dropping function first."""
    for one in culprits(finding.example.violations)[:1]:
        what = "The entry was" if one.entries == 1 else f"{one.entries} entries were"
        head = f"{what} dropped unflushed in op {one.op}, by:"
        yield from _section(head, [clipped(frame, 200) for frame in (one.function, *one.stack)])


def _commands(finding: Finding) -> Iterator[str]:
    """The command by the name of the scenario, and the one that runs the Program as the mail shows it."""
    result = finding.example.result
    scenario = "::" in result.scenario
    if scenario:
        yield clipped(command(result), _CLIP)
    if whole(finding.example):
        also = ["", "or, with"] if scenario else ["with"]
        yield from (*also[:-1], f"{also[-1]} the Program above in x.prog:", "")
        yield clipped(command(result, Path("x.prog"), headed=True), _CLIP)
    elif not scenario:
        yield clipped(command(result), _CLIP)


def _reach(finding: Finding, run: Run) -> Iterator[str]:
    found = reach(finding, run)
    for one in found[:_PLACES]:
        yield from _wrapped(f"{clipped(one.name, 60)}: {one.words}", "", _MARGIN, taken=2)
    if len(found) > _PLACES:
        yield f"and {len(found) - _PLACES} more"


def _identity(finding: Finding, run: Run) -> Iterator[str]:
    by = f"Found by daxcheck {__version__} as finding {finding.id}"
    yield from _wrapped(f"{by}. The signature of the cause: {finding.signature}")
    for name in dict.fromkeys(name for one in finding.results for name in one.known):
        link = next((one.link for one in run.known.issues if one.name == name and one.link), "")
        yield from _wrapped(f"Known as {name}" + (f": {link}" if link else "."))
    for one in perhaps_same(finding, run.findings):
        yield from _wrapped(f"Perhaps the same as finding {one.id}: {title(one)}.")


def _wrapped(words: str, first: str = "", rest: str = "", taken: int = 0) -> list[str]:
    """The words in lines of 72 columns, less those that are `taken` by a margin."""
    return textwrap.wrap(clipped(words, _CLIP), WIDTH - taken, initial_indent=first, subsequent_indent=rest,
                         break_on_hyphens=False)  # fmt: skip
