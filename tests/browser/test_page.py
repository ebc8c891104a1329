"""The page in a real browser: it loads in silence, fits every window, filters, folds, opens cells, and prints whole."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.findings.known import KnownIssues
from harness.report import results
from harness.report.journal import Journal
from harness.report.results import Run
from tests.browser.conftest import Shown
from tests.unit.findings.cells import LOSS, UNKNOWN, ZEROED, cell
from tests.unit.report.formats import runs

PAGE = os.environ.get("DAXCHECK_PAGE", "")
SIZES = ((1600, 1000), (1024, 768), (390, 844))
"""A desk, an old laptop, a telephone."""
RACE = cell(UNKNOWN, kernel="7.3.4", fs="xfs", scenario="test_races.py::test_two_writers_of_one_page_with_a_long_name")
PAPER = "getComputedStyle(document.documentElement).backgroundColor"
ROWS = "#cells-table tbody tr:not(.family)"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("run", [runs.EMPTY, runs.NOTHING_JUDGED, runs.EVERY], ids=["empty", "broken", "every"])
def test_every_window_and_theme(shown: Shown, run: Run, size: tuple[int, int], theme: str) -> None:
    """The page loads without an error or a request, is no wider than its window, and takes the colours of its theme."""
    shown.tab.size(*size)
    shown.tab.theme(theme)
    shown.open(run)
    assert shown.tab.complaints == []
    assert shown.fits
    red = int(shown.tab.value(f"{PAPER}.match(/\\d+/)[0]"))
    assert red < 64 if theme == "dark" else red > 192


@pytest.mark.parametrize("run", runs.HOSTILE, ids=range(len(runs.HOSTILE)))
def test_hostile_words_do_nothing(shown: Shown, run: Run) -> None:
    """Whatever stands for names and the words of a kernel: nothing runs or is asked for, and a cell can be opened."""
    shown.tab.size(390, 844)
    shown.open(run)
    shown.click("#cells-table td button")
    assert len(shown.texts("#cell article")) >= 1
    assert shown.tab.complaints == []
    assert shown.fits


def test_markup_in_a_cell_is_text(shown: Shown) -> None:
    """What would be an image with a handler is text in the page, and in the cell that the script opens."""
    evil = "<img src=x onerror=\"document.title='hit'\">"
    shown.open(runs.hostile(evil))
    shown.click("#cells-table td button")
    assert evil in shown.texts("#cell article")[0]
    assert shown.tab.value("document.querySelectorAll('img').length") == 0
    assert shown.tab.value("document.title") != "hit"


def test_no_script_but_ours(shown: Shown) -> None:
    """A script that got into the page all the same would not run, nor would a handler."""
    shown.open(runs.EVERY)
    shown.tab.value("""(() => {
        const one = document.createElement("script");
        one.textContent = "document.title = 'hit'";
        document.body.append(one);
        document.body.insertAdjacentHTML("beforeend", "<button id=evil onclick=document.title='hit'>x</button>");
        document.getElementById("evil").click();
    })()""")
    assert shown.tab.value("document.title") != "hit"
    assert any("Content Security Policy" in one for one in shown.tab.complaints)


def test_filters(shown: Shown) -> None:
    """Outcome, kernel, file system and text each leave out rows and columns; the count says what is left."""
    results = [cell(LOSS), cell(fs="xfs"), RACE, cell(kernel="7.3.4"), cell(scenario="test_shift.py::test_collapse")]
    shown.open(runs.run(results, KnownIssues()))
    assert shown.texts("#count") == ["5 of 5 cells in 3 of 3 rows"]
    assert [text.split("\t") for text in shown.texts(ROWS)] == [
        ["page", "LOSS", "ok", "ok"], ["two_writers_of_one_page_with_a_long_name", "", "", "", "LOSS"],
        ["collapse", "ok"],
    ]  # fmt: skip
    shown.click('[data-filter=outcome] input[value="PASS"]')
    assert shown.texts("#count") == ["2 of 5 cells in 2 of 3 rows"]
    assert shown.texts("#cells-table .family") == ["punch_hole", "races"]
    shown.click('[data-filter=kernel] input[value="7.3.4"]')
    assert shown.texts("#count") == ["1 of 5 cells in 1 of 3 rows"]
    assert shown.texts("#cells-table thead tr:last-child th[data-kernel]") == ["ext4", "xfs"]
    assert shown.texts("#cells-table .kernels th[data-kernel]") == ["6.12.95+deb12-amd64"]
    shown.click('[data-filter=outcome] input[value="PASS"]')
    shown.click('[data-filter=system] input[value="ext4"]')
    assert [text.split("\t") for text in shown.texts(ROWS)] == [["page", "ok"]]
    shown.click('[data-filter=system] input[value="ext4"]')
    shown.type("#text", "SHIFT::coll")
    assert shown.texts("#count") == ["1 of 5 cells in 1 of 3 rows"]
    assert shown.texts(ROWS)[0].startswith("collapse")


def test_a_cell_opens(shown: Shown) -> None:
    """A cell of the matrix opens with its words, its culprit, its command and its Program; it closes again."""
    shown.open(runs.run([cell(), cell(LOSS, fs="xfs"), cell(LOSS, fs="xfs")], KnownIssues()))
    shown.click("#cells-table td button.o-FAIL")
    first, second = shown.texts("#cell article")
    assert first == second
    for words in ("punch_hole::page on 6.12.95+deb12-amd64 xfs", "LOSS (FAIL)", "hold the older store",
                  "dropped unflushed in op 6", "daxcheck run -k", "6  fallocate f punch_hole [0..4K)"):  # fmt: skip
        assert words in first
    shown.click("#cell .close")
    assert shown.texts("#cell article") == []


def test_findings_fold(shown: Shown) -> None:
    """A finding that is new stands open, one that is known is folded until it is wanted: by a click, or by a link."""
    shown.open(runs.run([cell(LOSS), cell(ZEROED)]))
    new, known = shown.texts(".index td:nth-child(2)")
    assert shown.texts(".finding .ops li.marked .index") == ["3", "5", "6", "7"]
    shown.click(f"#f-{known} summary")
    assert len(shown.texts(".timeline")) == 2
    shown.click(f"#f-{known} summary")
    assert len(shown.texts(".timeline")) == 1
    shown.click(f'.index a[href="#f-{known}"]')
    shown.tab.value("new Promise(done => setTimeout(done))")
    assert len(shown.texts(".timeline")) == 2
    shown.open(runs.run([cell(LOSS), cell(ZEROED)]), f"f-{known}")
    assert len(shown.texts(".timeline")) == 2
    assert shown.texts(f"#f-{new} h2") != shown.texts(f"#f-{known} h2")


def test_images_are_chosen(shown: Shown) -> None:
    """Of several crash images one map is shown, the one that is chosen."""
    random = replace(LOSS, image="random:1", ranges=((64, 4096),), bytes=4032)
    shown.open(runs.run([cell(LOSS, random)], KnownIssues()))
    assert "512 pages" in shown.texts(".image")[0]
    shown.click("[role=tab]", 1)
    (image,) = shown.texts(".image")
    assert image.startswith("random:1") and "4032 bytes" in image
    assert shown.texts("[role=tab][aria-selected=true]") == ["random:1"]


def test_paper(shown: Shown) -> None:
    """On paper every finding is unfolded, in dark ink on white, without filters; afterwards all is as it was."""
    shown.tab.theme("dark", media="print")
    shown.open(runs.run([cell(LOSS), cell(ZEROED)]))
    shown.tab.value("dispatchEvent(new Event('beforeprint'))")
    assert len(shown.texts(".timeline")) == 2
    assert shown.texts(".filters") == []
    assert shown.tab.value(PAPER) == "rgb(255, 255, 255)"
    assert shown.tab.pdf().startswith(b"%PDF")
    shown.tab.value("dispatchEvent(new Event('afterprint'))")
    assert shown.tab.value("document.querySelectorAll('.finding > details[open]').length") == 1


def test_three_thousand_cells(shown: Shown) -> None:
    """A page of 3000 cells filters and opens like a small one."""
    shown.open(runs.many(3000))
    assert shown.texts("#count") == ["3000 of 3000 cells in 500 of 500 rows"]
    shown.type("#text", "or_other_499")
    assert shown.texts("#count") == ["6 of 3000 cells in 1 of 500 rows"]
    assert shown.tab.complaints == []


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.skipif(not PAGE, reason="no page is given: DAXCHECK_PAGE names one, as scripts/nightly does")
def test_a_given_page(shown: Shown, size: tuple[int, int]) -> None:
    """A page of real results, however long: all its folds, images, filters and cells open in silence, and it fits."""
    shown.tab.size(*size)
    shown.tab.open(Path(PAGE).resolve())
    shown.tab.value("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    shown.tab.value("document.querySelectorAll('[role=tab]').forEach(one => one.click())")
    assert shown.fits
    cells = shown.texts("#count")
    for box in range(int(shown.tab.value("document.querySelectorAll('.filters input[type=checkbox]').length"))):
        shown.click(".filters input[type=checkbox]", box)
        shown.click(".filters input[type=checkbox]", box)
    assert shown.texts("#count") == cells
    shown.click("#cells-table td button")
    assert shown.texts("#cell article")
    assert shown.tab.complaints == []


def test_a_console(shown: Shown, tmp_path: Path) -> None:
    """The end of the console that a results directory keeps of the example is there, folded."""
    journal = Journal(tmp_path / "results")
    journal.add(cell(LOSS), "dropped\n" + "x\n" * 20_000 + "the \x1b[1mend")
    journal.close()
    shown.open(results.read(tmp_path / "results", KnownIssues(), print))
    assert shown.texts(".console pre") == []
    shown.click(".console summary")
    (console,) = shown.texts(".console pre")
    assert console.endswith("the \\x1b[1mend") and "dropped" not in console
    assert shown.texts(".command.copy")[0].startswith(f"daxcheck run {tmp_path}/results/test_punch_hole")
