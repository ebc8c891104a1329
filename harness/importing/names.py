"""Gives the files of another language names that a Program can have: all files lie in one directory."""

import re

_STRANGE = re.compile(r"[^A-Za-z0-9_.+-]+")
LONGEST = 64


def plain_name(name: str, taken: set[str]) -> str:
    """A name that no file has yet and that looks like this one: `$SCRATCH_MNT/a b` becomes `a_b`."""
    last = [part for part in name.split("/") if part][-1:] or ["file"]
    stem = _STRANGE.sub("_", last[0]).lstrip("_.+-")[: LONGEST - 8] or "file"
    number, found = 2, stem
    while found in taken:
        found, number = f"{stem}-{number}", number + 1
    return found
