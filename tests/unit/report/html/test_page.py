"""The page is one file that needs nothing else, and whatever it is told, it says as text."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.findings.known import Issue, KnownIssues, Where
from harness.model.judge.entryhistory import EntryChange, EntryHistory, EntryLevel
from harness.model.judge.violation import Kind
from harness.model.units import PAGE, PMD
from harness.model.wire.traced import EntryEvent
from harness.report import results
from harness.report.html import celldata, templates
from harness.report.html.findings import findings
from harness.report.html.matrix import matrix
from harness.report.html.page import html
from harness.report.journal import Journal
from harness.report.results import Run
from tests.unit.findings.cells import LOSS, PROGRAM, PUNCH, cell
from tests.unit.report.formats import runs

REACHES_OUT = {"src", "href", "action", "data", "poster", "srcset", "xlink:href", "formaction", "background"}
BAD_LINKS = ("javascript:alert(1)", " https://x", "data:text/html,x", "//x", "HTTPS://x")


class Reader(HTMLParser):
    """Takes a page apart: its elements with the names of their attributes, its addresses, its texts by element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[tuple[str, tuple[str, ...]]] = set()
        self.addresses: set[str] = set()
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add((tag, tuple(sorted(name for name, _ in attrs))))
        self.addresses |= {value or "" for name, value in attrs if name in REACHES_OUT}
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def data(self) -> dict[str, list[object]]:
        """The data of the script."""
        (text,) = (text for tag, text in self.texts if tag == "script" and text.startswith("{"))
        return dict(json.loads(text))


KNOWN_LINK = KnownIssues((Issue("x", ("*",), (Where(),), link="https://example.org/x"),))
TAME = (runs.EVERY, runs.NOTHING_JUDGED, runs.EMPTY, runs.hostile("plain"), runs.run([cell(LOSS)], KNOWN_LINK))
ELEMENTS = set().union(*(Reader(html(one)).elements for one in TAME))
"""The elements of pages that are told nothing evil."""


@pytest.mark.parametrize("run", runs.HOSTILE, ids=range(len(runs.HOSTILE)))
def test_hostile_words_stay_words(run: Run) -> None:
    """Whatever stands for names, programs and the kernel's words, the page has no element and no address of it, nothing
    unprintable, and data that the script can read."""
    page = html(run)
    page.encode()
    assert all(char.isprintable() or char in "\n\t" for char in page)
    reader = Reader(page)
    assert reader.elements <= ELEMENTS
    assert all(address == "data:," or re.fullmatch("#f-[0-9a-f]{8}", address) for address in reader.addresses)
    assert len(reader.data()["cells"]) == len(run.results)
    assert len(page) < 400_000


def test_markup_is_seen_as_text() -> None:
    """A scenario that is called like a script shows up under its whole name, in the table and in the data."""
    evil = "</script><script>alert(1)</script>"
    page = html(runs.run([cell(LOSS, scenario=f"test_x.py::test_y[{evil}]")]))
    reader = Reader(page)
    assert any(evil in text for tag, text in reader.texts if tag != "script")
    assert f"x::y[{evil}]" in reader.data()["texts"]
    assert page.count("<script") == 2


@pytest.mark.parametrize("link", BAD_LINKS)
def test_a_link_leads_to_the_web_or_is_none(link: str) -> None:
    """The link of a known issue comes from a user's file: one that is no address of the web is not one here either."""
    issues = KnownIssues((Issue("x", ("*",), (Where(),), link=link),))
    assert link not in Reader(html(runs.run([cell(LOSS)], issues))).addresses
    assert "https://example.org/x" in Reader(html(TAME[-1])).addresses


def test_nothing_is_asked_of_the_network() -> None:
    """Besides anchors within it and its own empty icon, a page names no address, in its styles neither."""
    page = html(runs.EVERY)
    assert all(address.startswith("#") or address == "data:," for address in Reader(page).addresses)
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page and "script-src 'sha256-" in page


def test_three_thousand_cells() -> None:
    """A page of 3000 cells, a third of which fail, is below 5 MB and tells of each of them."""
    page = html(runs.many(3000))
    assert len(page.encode()) < 5_000_000
    assert len(Reader(page).data()["cells"]) == 3000


def test_a_huge_run_has_a_page() -> None:
    """Of more cells than a page holds, those are left out first whose row passes everywhere, and the others counted."""
    results = [cell(scenario=f"test_a.py::test_{number}", kernel=f"6.{number}") for number in range(300)]
    found = matrix([*results, cell(LOSS, kernel="6.0", scenario="test_a.py::test_299")], ())
    assert len(found.columns) == 60 and found.left_out > 200
    wide = [cell(scenario=f"test_a.py::test_{number}") for number in range(13_000)]
    found = matrix([*wide, cell(LOSS, scenario="test_a.py::test_x")], ())
    assert [row.name for family in found.families for row in family.rows] == ["x"]
    assert found.left_out == 13_000


def test_texts_stand_once_and_have_an_end() -> None:
    """Cells share their texts; what would make the page too large is left out by name."""
    texts = celldata.Texts()
    assert [texts.number(text) for text in ("a", "b", "a")] == [0, 1, 0]
    numbers = [texts.number(f"{number}" * 900_000) for number in range(9)]
    assert sum(map(len, texts.all)) < 4_000_000
    assert texts.all[numbers[-1]].startswith("(left out")


def test_signs_are_those_of_the_terminal() -> None:
    """Cells of one place are joined by their sign, the failing ones first; a cell's data name its findings."""
    run = runs.run([cell(), cell(LOSS, kernel="6.12.95+deb12-amd64"), cell(), cell(fs="xfs:reflink")], KnownIssues())
    found = matrix(run.results, run.findings)
    (family,) = found.families
    assert (family.name, [row.name for row in family.rows]) == ("punch_hole", ["page", "page :reflink"])
    assert [(sign.word, sign.outcome, sign.cells) for sign in family.rows[0].places[0]] == [
        ("LOSS", "FAIL", (1,)), ("ok", "PASS", (0, 2)),
    ]  # fmt: skip
    assert found.data["cells"][1][-1] == [run.findings[0].id]


def test_programs_are_listed_with_their_indices() -> None:
    """The Program of a cell is listed by the indices that all sentences use; one that cannot be read as it is."""
    texts = celldata.data([cell(), replace(cell(), program="non\x1bsense")], ())["texts"]
    assert any("\n   6  fallocate f punch_hole [0..4K)\n" in text for text in texts)
    assert "non\\x1bsense" in texts


def test_data_cannot_end_its_element() -> None:
    """JSON for a script has none of the characters that HTML or a script would take for something else."""
    evil = ["<!--<script>", "]]>", "&amp;", "\u2028", "\ud800"]
    text = templates.script_data(evil)
    assert not set(text) & set("<>&\u2028\ud800")
    assert json.loads(text) == evil


def test_the_account_of_a_run_is_shown(tmp_path: Path) -> None:
    """What the kernel told of its entries is drawn where the results directory has kept it, and the page says so."""
    journal = Journal(tmp_path)
    dirtied = EntryChange(5, EntryEvent.DIRTIED, 1, EntryLevel.PMD, 1, ((0, PMD),))
    journal.add(cell(LOSS), "", EntryHistory((dirtied,)))
    journal.close()
    page = html(results.read(tmp_path, KnownIssues(), print))
    assert "1 PMD entry dirtied: [0..2M)" in page and "told by the kernel" in page
    assert "No account of the kernel" not in page
    without = html(runs.run([cell(LOSS)]))
    assert "entry dirtied: " not in without and "No account of the kernel" in without


def test_ranges_without_end_make_no_huge_page() -> None:
    """However many ranges each of many findings has, the page stays small: later findings have no example then."""
    spans = [tuple((pmd + page * PAGE, pmd + page * PAGE + 64) for page in range(0, 128, 2))
             for pmd in range(0, 24 * PMD, 2 * PMD)]  # fmt: skip
    results = [
        cell(*(replace(LOSS, kind=kind, ranges=ranges, culprit=replace(PUNCH, function=f"f{number}"))
               for kind in (Kind.STALE, Kind.ZERO) for ranges in spans), program=PROGRAM.replace("8M", "64M"))
        for number in range(24)
    ]  # fmt: skip
    run = Run.of(results, KnownIssues())
    assert len(run.findings) == 24
    views = findings(run)
    assert 2 < sum(view.example is not None for view in views) < 24
    assert len(html(run)) < 3_000_000
