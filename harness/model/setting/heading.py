"""The heading of a .prog file: on what its Program is to run, so that the one file is a whole report.

    daxcheck program 1
    kernel >= 6.2
    format xfs:reflink
    mkfs -m rmapbt=1
    device eadr
    crash fences
    seed 5
    create f data            the ops begin here

Every line may be left out, and stands before the first op. The command line has the last word. A heading is no part of
the Program: two files with the same ops are the same Program, and what a cell ran on is told by the cell.

It lies here and not with the Program, since its words are those of devices, engines and crash plans.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from harness.errors import UsageError
from harness.model.program.program import HEADER, VERBS, ProgramError
from harness.model.setting import crashplan, engine, hardware, version
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.model.setting.version import Version

REPEAT_LIMIT = 10_000
_SEED_LIMIT = 1 << 64
_VALUE_LIMIT = 256
"""Characters of a line's value."""
_OF_PROGRAM = ("expect", HEADER.split()[0])
"""Words of lines above the first op that the Program itself has."""
_NUMBER = re.compile(r"-?(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Heading:
    """The lines of a heading, in their order; the default of each field stands for a line that is not there.

    `kernel` is the oldest version that the Program is for. `format` is the label of a file system, `mkfs` and `mount`
    are further options of its mkfs and mount: their values are checked by whoever knows file systems.
    """

    kernel: Version | None = None
    format: str = ""
    mkfs: str = ""
    mount: str = ""
    device: PmemKind | None = None
    engine: Engine | None = None
    crash: str = ""
    evictions: int | None = None
    seed: int | None = None
    repeat: int | None = None

    def why_not_on(self, release: str) -> str:
        """Return why a kernel of this release is not one that the Program is for; empty if it is.

        The release is compared by the numbers it begins with, which are those of the upstream version:
        6.12.95+deb12-amd64 is 6.12 and later.
        """
        if self.kernel is None:
            return ""
        found, wanted = version.of_release(release), _kernel_text(self.kernel)
        if found is None:
            return f"the file is for {wanted}, and the release {release} tells no version"
        return f"the file is for {wanted}, and this is {release}" if version.before(found, self.kernel) else ""

    def line(self, word: str) -> str:
        """The line of that word as a file has it; empty if there is none."""
        value = getattr(self, word)
        return "" if value in (None, "") else f"{word} {WORDS[word].text(value)}"

    def lines(self) -> list[str]:
        """All lines, in their order."""
        return [line for word in WORDS if (line := self.line(word))]


NO_HEADING = Heading()
"""The heading of a file that has none."""


@dataclass(frozen=True, slots=True)
class HeadingWord:
    """A word of a heading: the form of its value, an example, its meaning, and how the value is read and written.

    `parse` raises ValueError or UsageError. `option` is the option of `daxcheck run` that overrides the line.
    """

    form: str
    example: str
    meaning: str
    option: str
    parse: Callable[[str], object]
    text: Callable[..., str] = str


@dataclass(frozen=True, slots=True)
class Scanned:
    """A file's heading, the number of the line of each of its words, and the rest of the text with equal line numbers.
    """

    heading: Heading
    rest: str
    numbers: Mapping[str, int] = field(default_factory=dict)


def scan(text: str) -> Scanned:
    """Take the heading out of the text of a .prog file. Raises ProgramError that names the line and the remedy.

    A text that does not begin as a Program has no heading: program.parse says what is wrong with it.
    """
    if next((words for line in text.split("\n") if (words := line.partition("#")[0].split())), []) != HEADER.split():
        return Scanned(Heading(), text)
    lines = text.split("\n")
    values: dict[str, object] = {}
    numbers: dict[str, int] = {}
    first_op = 0
    for number, line in enumerate(lines, start=1):
        word, rest = _split(line)
        if not _heads(word, rest):
            if word and not first_op and word not in _OF_PROGRAM:
                _check_known(word, number)
                first_op = number
            continue
        if first_op:
            raise ProgramError(f"line {number}: {word} stands behind the first op: move it above line {first_op}")
        if word in numbers:
            raise ProgramError(f"line {number}: {word} stands in line {numbers[word]} already: keep one of them")
        values[word] = _value(word, rest, number)
        numbers[word], lines[number - 1] = number, ""
    heading = Heading(**values)  # type: ignore[arg-type]
    _owned(heading, numbers)
    return Scanned(heading, "\n".join(lines), numbers)


def headed(heading: Heading, text: str) -> str:
    """The text of a Program with this heading behind its first line."""
    first, newline, rest = text.partition("\n")
    return first + newline + "".join(f"{line}\n" for line in heading.lines()) + rest


def _split(line: str) -> tuple[str, str]:
    """Return the first word of a line, and the others joined by blanks; comments do not count."""
    word, *rest = line.partition("#")[0].split() or [""]
    return word, " ".join(rest)


def _heads(word: str, rest: str) -> bool:
    """Say whether the line is of a heading. `mount` alone is an op."""
    return word in WORDS and (word != "mount" or bool(rest))


def _check_known(word: str, number: int) -> None:
    """Raise ProgramError for the first line below the heading if it begins with no op."""
    if word not in VERBS and not get_close_matches(word[:40], VERBS):
        close = get_close_matches(word[:40], WORDS)
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ProgramError(f"line {number}: {word[:40]!r} is no op and no word of a heading: `daxcheck ops` lists them"
                           f"{meant}")  # fmt: skip


def _value(word: str, text: str, number: int) -> object:
    try:
        return WORDS[word].parse(_bounded(text))
    except ValueError as error:
        raise ProgramError(f"line {number}: {word} {text[:40]!r}: {error}") from None
    except UsageError as error:
        raise ProgramError(f"line {number}: {str(error).removeprefix('--')}") from None


def _bounded(value: str) -> str:
    if not value:
        raise ValueError("its value is missing")
    if len(value) > _VALUE_LIMIT:
        raise ValueError(f"is longer than {_VALUE_LIMIT} characters")
    return value


def _owned(heading: Heading, numbers: Mapping[str, int]) -> None:
    for word in ("mkfs", "mount"):
        if word in numbers and not heading.format:
            raise ProgramError(f"line {numbers[word]}: {word} is of one file system: name that, such as format xfs")


def _kernel(value: str) -> Version:
    sign, _, number = value.partition(" ")
    if sign != ">=":
        raise ValueError("write the oldest version that the Program is for: kernel >= 6.2")
    return version.parse(number, "kernel >=")


def _kernel_text(oldest: Version) -> str:
    return f"kernel >= {'.'.join(map(str, oldest))}"


def _format(value: str) -> str:
    if " " in value or "(" in value:
        raise ValueError("write one label, such as xfs:reflink; options of mkfs and mount have lines of their own")
    return value


def _mount(value: str) -> str:
    flag, _, options = value.partition(" ")
    if flag != "-o" or not options or " " in options:
        raise ValueError("write mount -o OPTION,OPTION (the op `mount` has no arguments)")
    return options


def _crash(value: str) -> str:
    return crashplan.find(value, None).crash


def _integer(low: int, high: int, value: str) -> int:
    """Return the number, written in digits or, behind 0x, in hexadecimal ones."""
    if _NUMBER.fullmatch(value) is None or not low <= (number := int(value, 16 if "x" in value else 10)) <= high:
        raise ValueError(f"write a number from {low} to {high}")
    return number


WORDS: dict[str, HeadingWord] = {
    "kernel": HeadingWord(
        ">= VERSION", "kernel >= 6.2", "The oldest version that the Program is for. An older kernel is a SKIP", "",
        _kernel, lambda oldest: _kernel_text(oldest).partition(" ")[2],
    ),
    "format": HeadingWord("LABEL", "format xfs:reflink", "The file system, its format and layout", "--fs", _format),
    "mkfs": HeadingWord("OPTIONS", "mkfs -m rmapbt=1", "Further options of its mkfs", "--fs", str),
    "mount": HeadingWord(
        "-o OPTIONS", "mount -o wsync", "Further options of its mount", "--fs", _mount, lambda options: f"-o {options}",
    ),
    "device": HeadingWord("DEVICE", "device eadr", "What the file system lies on", "--device", hardware.find),
    "engine": HeadingWord("ENGINE", "engine trace", "What tells what is durable", "--engine", engine.find),
    "crash": HeadingWord("WHERE", "crash fences", "Where the power is cut", "--crash", _crash),
    "evictions": HeadingWord(
        "N", "evictions 3", "Crash images at each of these moments", "--evictions",
        lambda value: _integer(1, crashplan.LIMIT, value),
    ),
    "seed": HeadingWord(
        "N", "seed 5", "Seed of the random evictions and of the races", "--seed",
        lambda value: _integer(-_SEED_LIMIT, _SEED_LIMIT, value),
    ),
    "repeat": HeadingWord(
        "N", "repeat 20", "Runs of every cell", "--repeat", lambda value: _integer(1, REPEAT_LIMIT, value),
    ),
}  # fmt: skip
"""The words of a heading, in the order in which one is written (tested to be the fields of Heading)."""
