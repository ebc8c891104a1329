"""Makes text of others fit for a terminal, a log line or a report.

A guest runs a kernel under test, so its text may hold anything: an ESC that moves the cursor and writes over a
verdict, a CR that hides what stands before it, a lone surrogate that no encoding takes.
"""


def plain(text: str) -> str:
    """Return the text in one line that shows all of it, with unprintable characters as Python escapes them.

    An ESC is shown as `\\x1b`, a CR as `\\r`. Not printable are controls (ECMA-48 C0 and C1, so
    ESC, CR, LF), formats such as a change of direction (Unicode Cf), surrogates, and separators other than a space
    (str.isprintable).
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def plain_lines(text: str) -> str:
    """The same for a text of many lines: line feeds and tabs stay, and nothing else that is not printable."""
    return "\n".join("\t".join(map(plain, line.split("\t"))) for line in text.split("\n"))


def _escape(char: str) -> str:
    return repr(char)[1:-1]  # str.__repr__ escapes just what is not printable


def clipped(text: str, limit: int) -> str:
    """Return the text in one plain line of at most `limit` characters; one that was longer ends in "..."."""
    told = plain(text[: limit + 1])
    return told if len(told) <= limit else f"{told[: limit - 3]}..."
