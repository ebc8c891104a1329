"""Files of known issues (TOML): their strict reading, and the text of new ones. docs/known.md describes the form.

    [[issue]]
    name = "ext4-punch-hole"
    title = "ext4_punch_hole drops a dirty PMD entry without writeback"
    signatures = ["dropped; dax_delete_mapping_entry <- ext4_punch_hole"]

    [[issue.where]]
    kernels = ["6.12"]
    fs = ["ext4"]
    scenarios = ["punch_hole::page_inside_dirty_pmd"]
"""

import itertools
import json
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from harness import shipped
from harness.errors import UsageError
from harness.findings.known import Issue, KnownIssues, Where
from harness.fs import filesystem
from harness.model.setting import version
from harness.model.setting.hardware import PmemKind
from harness.model.setting.version import Version
from harness.plain import plain

LIMIT = 1 << 22
"""Bytes of a file of known issues."""
_ISSUE = ("name", "title", "why", "link", "signatures", "where")
_WHERE = ("kernels", "since", "until", "fs", "formats", "devices", "scenarios", "flaky")
_LITERAL = 12
"""Characters, other than *, that a signature must have at least: a shorter one would match whatever went wrong."""
_WIDTH = 116
"""Characters of a line of a file that is written, where words allow it."""
T = TypeVar("T")


def load(named: Iterable[Path], *, own: bool) -> KnownIssues:
    """The issues of the files that the user named, and of those that daxcheck brings. Raises UsageError."""
    brought = sorted(shipped.place("scenarios").glob("known/*.toml")) if own else []
    return read_all((*brought, *named))


def read_all(paths: Iterable[Path]) -> KnownIssues:
    """The issues of all the files. Raises UsageError, which names the file, the issue and the remedy."""
    found: dict[str, Issue] = {}
    for path in paths:
        for issue in read(path):
            if issue.name in found:
                raise UsageError(f"{path}: issue {issue.name!r} stands in {found[issue.name].source} too: rename one")
            found[issue.name] = issue
    return KnownIssues(tuple(found.values()))


def read(path: Path) -> tuple[Issue, ...]:
    """The issues of one file. Raises UsageError."""
    try:
        with path.open("rb") as file:
            text = file.read(LIMIT + 1)
        if len(text) > LIMIT:
            raise UsageError(f"{path}: larger than {LIMIT} bytes, so it is no file of known issues")
        content = tomllib.loads(text.decode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; --known names a file of known issues") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no TOML: {' '.join(str(error).split())}") from error
    _only(str(path), content, ("issue",))
    issues = tuple(_issue(f"{path}: issue {n}", one, path) for n, one in enumerate(_tables(path, content), start=1))
    names = [issue.name for issue in issues]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{path}: issue {twice[0]!r} stands there twice: rename or join them")
    return issues


def format(issues: Iterable[Issue]) -> str:
    """The text of a file that holds these issues."""
    return "\n".join(map(_text, issues))


def _tables(path: Path, content: dict[str, Any]) -> list[Any]:
    found = content.get("issue", [])
    if not isinstance(found, list):
        raise UsageError(f"{path}: issue is no list of tables: begin each with [[issue]]")
    return found


def _issue(what: str, value: object, path: Path) -> Issue:
    table = _table(what, value, _ISSUE)
    name = _text_of(what, table, "name")
    if not name:
        raise UsageError(f"{what}: it has no name; write one such as name = \"ext4-punch-hole\"")
    what = f"{path}: issue {plain(repr(name))}"
    signatures = _list(what, table, "signatures", lambda one: signature(what, one))
    where = _list(what, table, "where", lambda one: _where(what, one))
    if not signatures:
        raise UsageError(f"{what}: it has no signatures; `daxcheck report` tells those of a run")
    if not where:
        raise UsageError(f"{what}: it does not say where it shows; add a table [[issue.where]] with its kernels")
    for one, other in itertools.combinations(where, 2):
        if one.flaky != other.flaky and (both := _shared(one, other)):
            raise UsageError(f"{what}: {both} is flaky in one [[issue.where]] and not in another: keep one of them")
    texts = {key: _text_of(what, table, key) for key in ("title", "why", "link")}
    return Issue(name, signatures, where, **texts, source=str(path))


def signature(what: str, value: object) -> str:
    """The signature that a user wrote. Raises UsageError, which begins with `what`, for one that matches too much."""
    text = _string(what, "signatures", value)
    if len(text.replace("*", "")) < _LITERAL or text.startswith("*"):
        raise UsageError(f"{what}: signature {plain(repr(text))} matches too much; a * stands for a part of one")
    return text


def _where(what: str, value: object) -> Where:
    what = f"{what}: where"
    table = _table(what, value, _WHERE)
    kernels = _list(what, table, "kernels", lambda one: version.parse(one, f"{what}: kernels"))
    since, until = (version.parse(table[key], f"{what}: {key}") if key in table else None for key in ("since", "until"))
    _possible(what, kernels, since, until)
    systems, formats = _strings(what, table, "fs"), _strings(what, table, "formats")
    _existing(what, systems, formats)
    devices = _list(what, table, "devices", lambda one: _device(what, one))
    scenarios = _strings(what, table, "scenarios")
    flaky = table.get("flaky", False)
    if not isinstance(flaky, bool):
        raise UsageError(f"{what}: flaky is {plain(repr(flaky))}, neither true nor false")
    return Where(kernels, since, until, systems, formats, devices, scenarios, flaky)


def _possible(what: str, kernels: tuple[Version, ...], since: Version | None, until: Version | None) -> None:
    """Raises UsageError if no kernel is meant, or all are."""
    if not kernels and since is None:
        raise UsageError(f"{what}: no kernels; write those that it was seen on, such as kernels = [\"6.12\"], or since")
    if since is not None and until is not None and not since < until:
        raise UsageError(f"{what}: no kernel is from {_dotted(since)} on and before {_dotted(until)}")
    for one in kernels:
        late = until is not None and not version.before(one, until)
        early = since is not None and version.before(one, since[: len(one)])
        if late or early:
            raise UsageError(f"{what}: kernel {_dotted(one)} lies outside of since and until: no kernel is in both")


def _existing(what: str, systems: tuple[str, ...], formats: tuple[str, ...]) -> None:
    """Raises UsageError for a file system, or a format, that there is none of."""
    known = filesystem.NAMES
    if strange := [one for one in systems if one not in known]:
        raise UsageError(f"{what}: no file system {plain(repr(strange[0]))}; there are {', '.join(known)}")
    for words in filter(None, formats):
        if not any(_is_format(system, words) for system in systems or known):
            of = " or ".join(systems or known)
            raise UsageError(f"{what}: {of} has no format {plain(repr(words))}; formats are words such as reflink")


def _is_format(system: str, words: str) -> bool:
    try:
        filesystem.find(f"{system}:{words}")
    except UsageError:
        return False
    return True


def _device(what: str, value: object) -> PmemKind:
    try:
        return PmemKind(_string(what, "devices", value))
    except ValueError as error:
        told = ", ".join(PmemKind)
        raise UsageError(f"{what}: no device {plain(repr(value))}; there are {told}") from error


def _shared(one: Where, other: Where) -> str:
    """Return a scenario that both name for some cell; empty if there is none."""
    pairs = ((one.kernels, other.kernels), (one.systems, other.systems), (one.formats, other.formats),
             (one.devices, other.devices))  # fmt: skip
    if any(a and b and not set(a) & set(b) for a, b in pairs):
        return ""
    return next(iter(sorted(set(one.scenarios) & set(other.scenarios))), "")


def _table(what: str, value: object, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{what}: {plain(repr(value))[:80]} is no table")
    _only(what, value, keys)
    return value


def _only(what: str, table: dict[str, Any], keys: tuple[str, ...]) -> None:
    if strange := [key for key in table if key not in keys]:
        raise UsageError(f"{what}: no key {plain(repr(strange[0]))}; there are {', '.join(keys)}")


def _list(what: str, table: dict[str, Any], key: str, read: Callable[[object], T]) -> tuple[T, ...]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise UsageError(f"{what}: {key} is {plain(repr(value))[:80]}, no list; write {key} = [...]")
    return tuple(map(read, value))


def _strings(what: str, table: dict[str, Any], key: str) -> tuple[str, ...]:
    return _list(what, table, key, lambda one: _string(what, key, one))


def _text_of(what: str, table: dict[str, Any], key: str) -> str:
    return _string(what, key, table.get(key, ""))


def _string(what: str, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{what}: {key}: {plain(repr(value))[:80]} is no text")
    return value


def _dotted(one: Version) -> str:
    return ".".join(map(str, one))


def _text(issue: Issue) -> str:
    lines = ["[[issue]]", *_keys({"name": issue.name, "title": issue.title, "why": issue.why, "link": issue.link})]
    lines += _array("signatures", issue.signatures)
    for where in issue.where:
        lines += ["", "[[issue.where]]", *_where_text(where)]
    return "\n".join(lines) + "\n"


def _where_text(where: Where) -> Iterator[str]:
    if where.kernels:
        yield from _array("kernels", map(_dotted, where.kernels))
    bounds = {"since": where.since, "until": where.until}
    yield from _keys({key: _dotted(bound) for key, bound in bounds.items() if bound is not None})
    lists = (("fs", where.systems), ("formats", where.formats), ("devices", where.devices))
    for key, values in (*lists, ("scenarios", where.scenarios)):
        if values:
            yield from _array(key, values)
    if where.flaky:
        yield "flaky = true"


def _keys(values: dict[str, str]) -> list[str]:
    return [line for key, text in values.items() if text for line in _assigned(key, text)]


def _assigned(key: str, text: str) -> list[str]:
    """One line if it is short; words that are too long for it over several, which a backslash joins."""
    line = f"{key} = {_quoted(text)}"
    if len(line) <= _WIDTH or " ".join(text.split()) != text:
        return [line]
    parts = textwrap.wrap(text, _WIDTH - 10, break_long_words=False, break_on_hyphens=False)
    *lines, last = (f"    {_quoted(part)[1:-1]}" for part in parts)
    return [f'{key} = """\\', *(f"{line} \\" for line in lines), f'{last}"""']


def _array(key: str, values: Iterable[str]) -> list[str]:
    """One line if it is short, else a line a value."""
    quoted = list(map(_quoted, values))
    line = f"{key} = [{', '.join(quoted)}]"
    return [line] if len(line) <= _WIDTH else [f"{key} = [", *(f"    {one}," for one in quoted), "]"]


def _quoted(text: str) -> str:
    """A basic string of TOML: its escapes are those of JSON, but DEL must be one too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
