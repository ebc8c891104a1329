"""Kernel versions, compared as versions: 6.12 is newer than 6.2, and 6.1.0-50-amd64 lies in 6.1."""

import re

from harness.errors import UsageError
from harness.plain import plain

Version = tuple[int, ...]

_RELEASE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}")


def of_release(release: str) -> Version | None:
    """The version that a kernel's release begins with: (6, 12, 95) of 6.12.95+deb12-amd64; None if with none.
    A release candidate counts as its release: 7.1.0-rc3 as 7.1.0.
    """
    found = _RELEASE.match(release)
    return tuple(map(int, found[0].split("."))) if found else None


def parse(text: object, what: str) -> Version:
    """The version that a user wrote, such as "6.12" or "6.1.176". Raises UsageError, which begins with `what`."""
    if not isinstance(text, str) or not _RELEASE.fullmatch(text):
        raise UsageError(f"{what}: {plain(repr(text))} is no kernel version; write one such as 6.12 or 6.12.95")
    return tuple(map(int, text.split(".")))


def within(version: Version, series: Version) -> bool:
    """Says whether the version is in that series: 6.12.95 is in 6.12 and in 6, and not in 6.1."""
    return version[: len(series)] == series


def before(version: Version, other: Version) -> bool:
    """Says whether a version is older than another, which stands for the whole of its series: 6.11.9 is before 6.12,
    6.12.95 is not."""
    return version[: len(other)] < other
