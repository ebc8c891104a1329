"""Checks names that come from a file, a package or a guest before they become paths."""


def inside(name: str) -> bool:
    """Say whether a relative path stays below the directory that it is relative to, by its parts alone.

    `kernel/fs/ext4/ext4.ko` does. `/etc/passwd`, `kernel/fs/../../../x` and a name with a NUL do not: a test of
    the beginning of such a name cannot tell that it leads outside.
    """
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))
