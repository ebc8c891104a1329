"""`daxcheck ops`: print what a line of a Program may say."""

import argparse
import dataclasses
import inspect
from enum import StrEnum

from harness.model.program.program import HEADER, VERBS, usage


def main(_: argparse.Namespace) -> int:
    """Print how each op is written and what it does, in the groups of harness.model.program.ops."""
    print(f"A .prog file begins with the line {HEADER!r}. One op per line; sizes as 4096, 4K, 2M; # starts a comment.")
    group = ""
    for verb, kind in VERBS.items():
        if kind.__module__ != group:
            group = kind.__module__
            print(f"\n{group.rpartition('.')[2]}")
        print(f"  {usage(verb)}")
        for line in filter(None, (_claim(kind), *_choices(kind))):
            print(f"      {line}")
    return 0


def _claim(kind: type) -> str:
    """The first sentence of its docstring, if it has one of its own."""
    text = "" if (kind.__doc__ or "").startswith(f"{kind.__name__}(") else inspect.getdoc(kind) or ""
    return text.partition("\n")[0]


def _choices(kind: type) -> list[str]:
    return [
        f"{field.name.upper()}: {', '.join(field.type)}"
        for field in dataclasses.fields(kind)
        if isinstance(field.type, type) and issubclass(field.type, StrEnum)
    ]
