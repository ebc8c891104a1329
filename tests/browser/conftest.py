"""A browser for the tests of pages; without Chromium they are skipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report.html.page import html
from harness.report.results import Run
from tests.browser import chromium
from tests.browser.chromium import Tab


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """The one page of a browser that all tests share; each opens its own file in it."""
    if not chromium.PROGRAM:
        pytest.skip("no Chromium here: apt-get install chromium")
    with chromium.browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def shown(tab: Tab, tmp_path: Path) -> "Shown":
    """Shows runs in the browser, in a window of 1600x1000 and the light theme at first."""
    tab.size(1600, 1000)
    tab.theme("light")
    tab.complaints.clear()
    return Shown(tab, tmp_path)


class Shown:
    """Shows the page of a run, and answers JavaScript expressions on it."""

    def __init__(self, tab: Tab, place: Path) -> None:
        self.tab = tab
        self._place = place

    def open(self, run: Run, anchor: str = "") -> None:
        """Write the page of a run, and load it."""
        path = self._place / "page.html"
        path.write_text(html(run))
        self.tab.open(path, anchor)

    @property
    def fits(self) -> bool:
        """Say whether the page is no wider than its window."""
        return bool(self.tab.value("document.documentElement.scrollWidth <= innerWidth"))

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that can be seen, among those that a selector finds."""
        seen = f"[...document.querySelectorAll({selector!r})].filter(one => one.checkVisibility())"
        return list(self.tab.value(f"{seen}.map(one => one.innerText.trim())"))

    def click(self, selector: str, number: int = 0) -> None:
        """Click one of the elements that a selector finds."""
        self.tab.value(f"document.querySelectorAll({selector!r})[{number}].click()")

    def type(self, selector: str, text: str) -> None:
        """Type a text into a field, key by key, in place of what it holds."""
        self.tab.value(f"document.querySelector({selector!r}).focus()")
        self.tab.value(f"document.querySelector({selector!r}).select()")
        self.tab.call("Input.insertText", text=text)
