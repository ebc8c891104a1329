"""The door to jinja2: fills the templates of a page, and lets no text of others through as markup.

What a guest, a user's file or a results file says may hold anything. So every text that a template places is escaped,
and shows what cannot be printed as Python escapes it (harness.plain). Data for the script goes as JSON in which no
character can end the element that holds it.
"""

import base64
import hashlib
import json
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness import shipped
from harness.plain import plain_lines

ASSETS = "report/html/assets"
"""The directory of the templates, the styles and the script."""
_LINE = 1000
"""Characters of a line."""
_ESCAPES = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}
"""Characters that would mean something to the reader of HTML, or end a line of a script."""


def render(name: str, **values: object) -> str:
    """The text of a template with these values."""
    return _environment().get_template(name).render(values)


def script_data(value: object) -> Markup:
    """JSON for an element <script type="application/json">, which no text in it can end."""
    return Markup(json.dumps(value, separators=(",", ":")).translate(_ESCAPES))


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(shipped.place(ASSETS)), autoescape=True, undefined=StrictUndefined, finalize=_fit,
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.do"],
    )  # fmt: skip
    found.filters["data"] = script_data
    found.globals["asset"] = _asset
    found.globals["digest"] = _digest
    return found


def _fit(value: object) -> object:
    """The value as a template may place it: a text with nothing in it that is not printable, and no longer than a
    reader would read; our own markup as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(_cut(line) for line in plain_lines(value).split("\n"))


def _cut(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[:_LINE]}… ({len(line) - _LINE} more characters)"


def _asset(name: str) -> Markup:
    """A file of our own, as it is: styles, or the script."""
    return Markup((shipped.place(ASSETS) / name).read_text())


def _digest(name: str) -> str:
    """The name of a script of our own in a Content-Security-Policy, which lets no other run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode()}"
