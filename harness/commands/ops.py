"""`daxcheck ops`: print what a .prog file may say, for a terminal or as the tables of docs/program.md."""

import argparse
import dataclasses
import inspect
from collections.abc import Iterator
from enum import StrEnum

from harness.fs import options as own_options
from harness.model.program import scope, sections, validity
from harness.model.program.program import HEADER, TEXT_LIMIT, VERBS, usage
from harness.model.program.traits import TABLE, Promise, Traits
from harness.model.setting import heading
from harness.model.units import PAGE, size_text
from harness.model.wire.stamps import SHIFT_UNIT

_PROMISED = {
    Promise.NOTHING: "", Promise.RANGE: "its range", Promise.DATA: "the file's data", Promise.FILE: "the file",
    Promise.NAMES: "the names", Promise.ALL: "everything", Promise.LANES: "what its lanes promise",
}  # fmt: skip
_GROUPS = {
    "files": "Files", "copies": "Copies", "mappings": "Mappings", "syncs": "Syncs", "system": "The file system",
    "lanes": "Lanes", "checks": "Expectations, and the cut",
}  # fmt: skip


def main(options: argparse.Namespace) -> int:
    """Print the words of a heading, and how each op is written and what it does, in the groups of program.ops."""
    print(*(markdown() if options.markdown else _listing()), sep="\n")
    return 0


def _listing() -> Iterator[str]:
    yield f"A .prog file begins with the line {HEADER!r}. One op per line; sizes as 4096, 4K, 2M; # starts a comment."
    yield "\nabove the first op"
    for name, word in heading.WORDS.items():
        yield f"  {name} {word.form}"
        yield f"      {word.meaning}: {word.example}"
    yield "  expect loss"
    yield "      A control: the cut must lose data."
    for group, kinds in _groups().items():
        yield f"\n{group}"
        for verb, kind in kinds.items():
            yield f"  {usage(verb)}"
            yield from (f"      {line}" for line in (_claim(kind), *_choices(kind)) if line)


def markdown() -> Iterator[str]:
    """Yield the lines of the part of docs/program.md that is made of the tables of the code."""
    yield from ("### Words of a heading", "", *_head("line", "meaning", "example", "overridden by"))
    for name, word in heading.WORDS.items():
        option = f"`{word.option}`" if word.option else "nothing"
        yield f"| `{name} {word.form}` | {word.meaning} | `{word.example}` | {option} |"
    for group, kinds in _groups().items():
        yield from ("", f"### {_GROUPS[group]}", "", *_head("op", "what it does", "makes durable", "in a lane"))
        for verb, kind in kinds.items():
            told = _claim(kind) + "".join(f" {_code(one)}." for one in _choices(kind))
            yield f"| `{usage(verb)}` | {_cell(told)} | {_promises(kind)} | {_lanes(kind)} |"
    yield from ("", "### Limits", "", *_head("of", "limit"))
    yield from (f"| {what} | {limit} |" for what, limit in limits().items())


def limits() -> dict[str, str]:
    """The limits of the language, by what they limit."""
    return {
        "the text of a file": f"{TEXT_LIMIT} characters",
        "ops": f"{validity.OP_LIMIT}",
        f"ops that store a stamp of their own ({_having('stamps')}), and files": f"{validity.STAMP_LIMIT} of each",
        "a range of a file or mapping": f"1 byte at least; it ends at {size_text(validity.SIZE_LIMIT)} at most",
        f"the offset of {_having('page_aligned')}": f"a multiple of {size_text(PAGE)}",
        "`align` of `mmap`": f"a power of two from {size_text(PAGE)} to {size_text(validity.SIZE_LIMIT)}",
        "the distance between the two offsets of a copy": f"a multiple of {SHIFT_UNIT} bytes",
        "the lanes of a group": f"{sections.LANE_LIMIT}",
        "`times` of a lane": f"1 to {sections.TIMES_LIMIT}",
        "the range of what ends in a signal": "within one page",
        "device bytes of `plant`": f"below {size_text(validity.DEVICE_LIMIT)}",
        "a name of a descriptor, mapping or lane": scope.rule_of_names(),
        "a path": scope.rule_of_paths(),
        "options of `remount`": "64 lower-case letters, digits and `_ = ,`",
        "options of `mkfs` and of `mount`": f"{own_options.LIMIT} characters each",
        "`repeat`": f"1 to {heading.REPEAT_LIMIT}",
    }


def _having(fact: str) -> str:
    """The ops for which a fact of the table of traits is true, in one of their forms at least."""
    found = [f"`{verb}`" for verb, kind in VERBS.items() if any(getattr(one, fact) for one in _forms(kind).values())]
    return ", ".join(found)


def _groups() -> dict[str, dict[str, type]]:
    """The ops by group, in the order in which the verbs stand."""
    found: dict[str, dict[str, type]] = {}
    for verb, kind in VERBS.items():
        found.setdefault(kind.__module__.rpartition(".")[2], {})[verb] = kind
    return found


def _claim(kind: type) -> str:
    """The first paragraph of its docstring, if it has one of its own."""
    text = "" if (kind.__doc__ or "").startswith(f"{kind.__name__}(") else inspect.getdoc(kind) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _choices(kind: type) -> list[str]:
    return [
        f"{field.name.upper()}: {', '.join(field.type)}"
        for field in dataclasses.fields(kind)
        if isinstance(field.type, type) and issubclass(field.type, StrEnum)
    ]


def _forms(kind: type) -> dict[str, Traits]:
    """The facts about the op by the form that they hold for; an empty form where there is one only."""
    row = TABLE[kind]
    return {"": row} if isinstance(row, Traits) else {f"{row.field}={form}": one for form, one in row.forms.items()}


def _promises(kind: type) -> str:
    by_promise: dict[str, list[str]] = {}
    for form, one in _forms(kind).items():
        by_promise.setdefault(_PROMISED[one.promises], []).append(form)
    told = {promise: forms for promise, forms in by_promise.items() if promise}
    if len(by_promise) == 1:
        return "".join(told)
    return "; ".join(f"{promise} ({', '.join(f'`{form}`' for form in forms)})" for promise, forms in told.items())


def _lanes(kind: type) -> str:
    may = [form for form, one in _forms(kind).items() if one.in_lanes]
    if len(may) in (0, len(_forms(kind))):
        return "yes" if may else ""
    return "not " + ", ".join(f"`{form}`" for form in _forms(kind) if form not in may)


def _head(*names: str) -> tuple[str, str]:
    """The first two lines of a table."""
    return f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"


def _code(choice: str) -> str:
    name, _, values = choice.partition(": ")
    return f"{name}: {', '.join(f'`{one}`' for one in values.split(', '))}"


def _cell(text: str) -> str:
    """The text in a cell of a table of Markdown."""
    return text.replace("|", "\\|")
