"""A docstring or comment that names a module, or something in one, names what is there: agent.pulse, link.silence."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for top in ("harness", "scenarios", "scripts") for path in sorted((ROOT / top).rglob("*.py"))]
ROOMS = {path.parent.name for path in (ROOT / "harness").rglob("*/__init__.py")}
OTHERS = re.compile(r"kernel\.ftrace_enabled|vm\.memory_failure_early_kill")
"""Sysctls, which begin as a room does."""

_NAME = re.compile(r"(?<![\w/.@-])([a-z_]\w*(?:\.\w+)+)(?![\w/])")
_FILE = re.compile(r"\.(py|c|h|md|jsonl?|toml|prog)$")


def modules() -> dict[str, set[str]]:
    """Each module of daxcheck, with the names that stand in it."""
    found = {}
    for path in (ROOT / "harness").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = set(re.findall(r"\w+", path.read_text()))
    return found


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The docstrings and comments of a source, with their lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def missing(text: str, known: dict[str, set[str]]) -> Iterator[tuple[int, str]]:
    """The dotted names in the prose of a source that begin with a room, and lead nowhere."""
    for line, words in prose(text):
        for name in _NAME.findall(words):
            begins = name.split(".")[0] in ROOMS and not _FILE.search(name) and not OTHERS.fullmatch(name)
            if begins and not leads_somewhere(name, known):
                yield line, name


def leads_somewhere(name: str, known: dict[str, set[str]]) -> bool:
    """Say whether it is a module, by the end of its full name, or something that stands in one."""
    place, _, last = name.rpartition(".")
    whole = any(f".{module}".endswith(f".{name}") for module in known)
    return whole or any(last in names for module, names in known.items() if f".{module}".endswith(f".{place}"))


def test_what_is_named_is_there() -> None:
    """A module that moves takes the prose along that names it."""
    known = modules()
    found = {path: names for path in SOURCES if (names := list(missing(path.read_text(), known)))}
    assert len(SOURCES) > 200 and found == {}


def test_a_name_that_leads_nowhere_is_found() -> None:
    """In a docstring and in a comment; not in code, nor a file's name, nor a name of others."""
    text = '"""See link.silence, link.caller.Caller and agent.witness."""\nlink.nothing()  # vm.gone, link.gone.py\n'
    assert list(missing(text, modules())) == [(1, "agent.witness"), (2, "vm.gone")]
