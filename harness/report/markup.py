"""Words of others in GitHub's and GitLab's Markdown: as code, where nothing in them is markup, a link, or a mention
that sends somebody a mail."""

import html as escaping
import re
from collections.abc import Iterable

from harness.plain import clipped, plain

LIMIT = 60_000
"""Characters of a comment: GitHub takes 65,536, GitLab more."""
_CLIP = 600
"""Characters of words in a line."""


def block(told: Iterable[str], language: str = "") -> list[str]:
    """Lines of code, within a fence that is longer than any in them."""
    found = [plain(line) for line in told]
    fence = "`" * max(3, _longest("\n".join(found)) + 1)
    return [f"{fence}{language}", *found, fence]


def code(words: str) -> str:
    """The words as code in a line; a backtick in them does not end it."""
    told = clipped(words, _CLIP).strip() or "-"
    fence = "`" * (_longest(told) + 1)
    return f"{fence} {told} {fence}" if len(fence) > 1 else f"`{told}`"


def cell(words: str) -> str:
    """The same in a table, whose cells end at a | even in code, and even behind two backslashes."""
    return code(words).replace("|", "\N{BROKEN BAR}")


def html(words: str) -> str:
    """The words as text of HTML, which Markdown takes too."""
    return escaping.escape(clipped(words, _CLIP))


def _longest(words: str) -> int:
    return max(map(len, re.findall("`+", words)), default=0)
