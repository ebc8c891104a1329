"""Laws of README.md and docs/: what they name exists, and what they tell to type is taken."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli
from harness.report import text as texts

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "qemu" / "README.md"]
TOPS = ("harness", "scenarios", "tests", "scripts", "qemu", "docs")
LONGEST_README = 130
COMMANDS = {
    "arm", "bisect-step", "check", "cleanup", "coverage", "diff", "doctor", "enumerate", "exec", "fuzz", "history",
    "import", "judge", "kernel", "known", "list", "ops", "report", "repro", "run", "shell", "shrink", "worker",
}  # fmt: skip

_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_QUOTED = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(rf"({'|'.join(TOPS)})(/[\w.-]+)*/?")
_COMMAND = re.compile(r"^(\.venv/bin/)?daxcheck( |$)")
_END = re.compile(r"\s{2,}\S|\s#|[;<>|]")
"""Where the words of a command end in a line: at a remark, or at what the shell does with the command."""


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links(document: Path, text: str) -> Iterator[str]:
    """The relative links that lead to no file, or to no heading of it."""
    for link in _LINK.findall(text):
        name, _, anchor = link.partition("#")
        if "://" in name:
            continue
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def anchors(document: Path) -> set[str]:
    """Those of the headings of a document."""
    return {slug(line.lstrip("# ")) for line in document.read_text().splitlines() if line.startswith("#")}


def missing_paths(text: str) -> Iterator[str]:
    """What stands in backticks, begins as a path of this repository, and is not there."""
    for quoted in _QUOTED.findall(prose(text)):
        first = quoted.split()[0] if quoted.split() else ""
        if _PATH.fullmatch(first) and "/" in first and not (ROOT / first).exists():
            yield first


def prose(text: str) -> str:
    """The text without its code blocks: fenced ones, and lines indented by four spaces."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def commands(text: str) -> Iterator[str]:
    """The command lines that a reader may type: in code blocks, and in backticks those of more than `daxcheck WORD`."""
    for line in text.splitlines():
        if line.startswith("    ") and _COMMAND.match(line.strip()):
            yield line.strip()
    yield from (quoted for quoted in _QUOTED.findall(prose(text)) if _COMMAND.match(quoted) and len(quoted.split()) > 2)


def words(command: str) -> list[str]:
    """The arguments of daxcheck in a command line."""
    end = _END.search(quiet := re.sub(r"'[^']*'|\"[^\"]*\"", lambda quote: "_" * len(quote[0]), command))
    return shlex.split(command[: end.start()] if end else command[: len(quiet)])[1:]


def why_not_taken(command: str) -> str:
    """Why the parser of the command line does not take it; empty if it does."""
    arguments = words(command)
    if arguments and arguments[0] == "COMMAND":  # a usage line
        return ""
    try:
        cli.command_line().parse_args(arguments)
    except SystemExit as end:
        return f"{command}: exit code {end.code}" if end.code else ""
    return ""


def unknown_commands(text: str) -> set[str]:
    """The words behind `daxcheck` in backticks that are no commands."""
    found = {words[1] for quoted in _QUOTED.findall(prose(text)) if _COMMAND.match(quoted)
             and len(words := quoted.split()) > 1}  # fmt: skip
    return {word for word in found - COMMANDS if word != "COMMAND" and not word.startswith("-")}


@pytest.mark.parametrize("name", ["README.md", "docs/verdict.md"])
def test_each_sign_is_explained(name: str) -> None:
    """Each sign that the matrix may show has a row of its own or shares one; its marks stand behind an ok or a LOSS.
    README leaves out the mark of an engine that nobody gets without asking."""
    rows = [line for line in (ROOT / name).read_text().splitlines() if line.startswith("| `")]
    shown = {sign for row in rows for sign in _QUOTED.findall(row.split(" | ")[0])}
    shown |= {sign.removeprefix("ok") for sign in shown}
    assert {"ok", "skip", *texts._MEANINGS} - shown <= ({"~"} if name == "README.md" else set())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_what_exists(document: Path) -> None:
    """Each relative link leads to a file and a heading, and each path in backticks is there."""
    text = document.read_text()
    assert [*broken_links(document, text), *missing_paths(text)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_tells_commands_that_are_taken(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real parser takes each `daxcheck` line."""
    text = document.read_text()
    assert [reason for command in commands(text) if (reason := why_not_taken(command))] == []
    assert unknown_commands(text) == set()


def test_the_readme_is_short() -> None:
    """The README leads to the other documents, each of which it links."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= LONGEST_README
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in _LINK.findall(text)}
    assert set(DOCUMENTS) - linked == {ROOT / "README.md"}


def test_commands_are_all_commands() -> None:
    """The table above is that of the parser, so that no document names a command that is gone."""
    usage = cli.command_line().format_help()
    assert {match[1] for match in re.finditer(r"^    ([\w-]+)(?: {2,}|$)", usage, flags=re.MULTILINE)} == COMMANDS


SPOILT = {
    "file": "see [x](docs/nowhere.md)",
    "anchor": "see [x](docs/verdict.md#nowhere)",
    "own anchor": "see [x](#nowhere)",
    "path": "see `harness/nowhere.py`",
    "folder": "see `scripts/nowhere --all`",
}


@pytest.mark.parametrize("text", SPOILT.values(), ids=SPOILT.keys())
def test_what_does_not_exist_is_found(text: str) -> None:
    """A planted name of what is not there is told."""
    assert [*broken_links(ROOT / "README.md", text), *missing_paths(text)] != []


@pytest.mark.parametrize("line", [
    "    daxcheck run --kernels 6.12", "    daxcheck doctor now    # why", "type `daxcheck shell --fs`",
    "type `daxcheck prune`",
])  # fmt: skip
def test_what_is_not_taken_is_found(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A planted option, argument or command that does not exist is told."""
    assert any(why_not_taken(command) for command in commands(line)) or unknown_commands(line)


@pytest.mark.parametrize(("command", "expected"), [
    ("daxcheck shell -c 'mount; dmesg'     one command", ["shell", "-c", "mount; dmesg"]),
    ("daxcheck shell < x.sh", ["shell"]),
    (".venv/bin/daxcheck run -k \"a and b\" # why", ["run", "-k", "a and b"]),
    ("daxcheck run x.prog --kernel . ; case", ["run", "x.prog", "--kernel", "."]),
])  # fmt: skip
def test_a_command_ends_where_the_shell_ends_it(command: str, expected: list[str]) -> None:
    """Quotes hold words together; remarks, redirections and what follows are no arguments."""
    assert words(command) == expected


def test_the_glossary_is_short_and_sorted() -> None:
    """25 to 45 words, each once, in the order of the alphabet, each with the place that defines it."""
    rows = [line.split(" | ") for line in (ROOT / "docs" / "words.md").read_text().splitlines()[7:]]
    found = [row[0].removeprefix("| ").lower() for row in rows]
    assert found == sorted(set(found))
    assert 25 <= len(found) <= 45
    assert all(len(row) == 3 and _QUOTED.match(row[2]) for row in rows)
