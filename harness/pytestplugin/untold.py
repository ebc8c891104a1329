"""Lines that a plugin has for the end of a session, told once: in its summary, or after it where there was none."""

from collections.abc import Callable
from typing import Any

import pytest

from harness import ending
from harness.plain import plain


class Untold:
    """Holds the lines, each once, and tells them; a base for plugins."""

    def __init__(self) -> None:
        self._untold: dict[str, None] = {}

    def note(self, line: str) -> None:
        """Have the line told at the end."""
        self._untold[line] = None

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        self._tell(terminalreporter.write_line)

    def pytest_unconfigure(self) -> None:
        """Tell them now where the session had no summary."""
        self._tell(ending.say)

    def _tell(self, write: Callable[[str], object]) -> None:
        for line in self._untold:
            write(plain(line))
        self._untold.clear()
