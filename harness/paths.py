"""Checks names that come from a file, a package or a guest before they become paths; finds the user's directories."""

import os
from pathlib import Path


def inside(name: str) -> bool:
    """Say whether a relative path stays below the directory that it is relative to, by its parts alone.

    `kernel/fs/ext4/ext4.ko` does. `/etc/passwd`, `kernel/fs/../../../x` and a name with a NUL do not: a test of
    the beginning of such a name cannot tell that it leads outside.
    """
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def base(variable: str, fallback: str) -> Path | None:
    """The directory that an XDG variable names, or `fallback` in the home directory; None if there is no home.

    The XDG base directory specification: a relative path is invalid and to be ignored.
    """
    named = os.environ.get(variable, "")
    try:
        return Path(named) if named.startswith("/") else Path.home() / fallback
    except RuntimeError:
        return None
