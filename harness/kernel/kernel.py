"""A Linux kernel that can be booted: its image, its modules, and the name of its contents."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel in the cache; the files stay as they are for as long as the entry exists.

    `modules` is a tree with kernel/**/*.ko* and modules.builtin, or None when everything is built in. `source` is
    what it was made from, as `resolve` takes it. `digest` is that of all files and the source: a key for caches.
    """

    release: str
    image: Path
    modules: Path | None
    source: str
    digest: str
    config: Path | None = None


def matches(prefix: str, text: str) -> bool:
    """Say whether a release or version starts with `prefix` in whole numbers: 6.1 is no prefix of 6.12."""
    return text.startswith(prefix) and not (prefix[-1:].isdigit() and text[len(prefix) : len(prefix) + 1].isdigit())


def version_key(release: str) -> tuple[tuple[int, int, str], ...]:
    """Orders releases as people do: 6.9 < 6.12 < 6.12.95 < 7.0, and 6.1-rc3 before 6.1."""
    parts = re.findall(r"\d+|~|[a-z]+", release.replace("-rc", "~rc"))
    ranked = tuple((2, int(p), "") if p.isdigit() else (-1 if p == "~" else 1, 0, p) for p in parts)
    return (*ranked, (0, 0, ""))
