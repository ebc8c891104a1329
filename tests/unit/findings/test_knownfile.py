"""A file of known issues is read strictly: what is wrong with it is told in one line that names the place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.findings import knownfile
from harness.findings.known import Issue, Where
from harness.model.setting.hardware import PmemKind

GOOD = """
[[issue]]
name = "punch"
title = "ext4_punch_hole drops a dirty PMD entry without writeback"
signatures = ["dropped; dax_delete_mapping_entry <- ext4_punch_hole"]

[[issue.where]]
kernels = ["6.12"]
since = "6.5"
until = "6.13"
fs = ["ext4"]
formats = ["", "nojournal"]
devices = ["nvdimm"]
scenarios = ["punch_hole::page_inside_dirty_pmd"]

[[issue.where]]
kernels = ["6.1"]
flaky = true
"""
PAGE = 'scenarios = ["punch_hole::page_inside_dirty_pmd"]'


def test_reads_every_key(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(GOOD)
    (issue,) = knownfile.read(path)
    assert (issue.name, issue.source) == ("punch", str(path))
    first, second = issue.where
    assert first == Where(
        ((6, 12),), (6, 5), (6, 13), ("ext4",), ("", "nojournal"), (PmemKind.NVDIMM,),
        ("punch_hole::page_inside_dirty_pmd",),
    )  # fmt: skip
    assert second == Where(((6, 1),), flaky=True)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[[issue]]", "[[issue", "no TOML"),
        ("[[issue]]", "[[isue]]", "no key 'isue'"),
        ('name = "punch"', "", "it has no name"),
        ("title", "titel", "no key 'titel'"),
        ("signatures = [", "signatures = [] # ", "it has no signatures"),
        ('"dropped; dax', '"*; dax', "matches too much"),
        ("dropped; dax_delete_mapping_entry <- ext4_punch_hole", "dropped; *", "matches too much"),
        ("dropped; dax_delete_mapping_entry <- ext4_punch_hole", "", "matches too much"),
        ('kernels = ["6.12"]\nsince = "6.5"\n', "", "no kernels"),
        ('kernels = ["6.12"]', 'kernels = ["bookworm"]', "'bookworm' is no kernel version"),
        ('kernels = ["6.12"]', "kernels = [6.12]", "6.12 is no kernel version"),
        ('kernels = ["6.12"]', 'kernels = "6.12"', "no list"),
        ('kernels = ["6.12"]', 'kernels = ["6.13"]', "kernel 6.13 lies outside"),
        ('kernels = ["6.12"]', 'kernels = ["6.4"]', "kernel 6.4 lies outside"),
        ('since = "6.5"', 'since = "6.14"', "no kernel is from 6.14 on and before 6.13"),
        ('fs = ["ext4"]', 'fs = ["btrfs"]', "no file system 'btrfs'; there are ext4, xfs"),
        ('"nojournal"', '"reflink"', "ext4 has no format 'reflink'"),
        ('devices = ["nvdimm"]', 'devices = ["ssd"]', "no device 'ssd'"),
        ("flaky = true", 'flaky = "yes"', "flaky is 'yes'"),
        ("flaky = true", f'flaky = true\n{PAGE}\nfs = ["xfs"]', ""),
        ('kernels = ["6.1"]\nflaky = true', f'kernels = ["6.12"]\nflaky = true\n{PAGE}', "is flaky in one"),
        ("title", "[[issue]]\ntitle", "it has no signatures"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Broken, contradictory, matching everything, or naming what there is not: one line, with the file in it."""
    path = tmp_path / "known.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    if not told:
        knownfile.read(path)
        return
    with pytest.raises(UsageError) as error:
        knownfile.read(path)
    assert told in str(error.value) and str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = " + b"[" * 10_000, b"\0", b"issue = 3", b"issue = [3]"])
def test_no_nonsense_is_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "known.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"known\.toml"):
        knownfile.read(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        knownfile.read(tmp_path / "none.toml")


def test_one_name_in_two_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a.toml", tmp_path / "b.toml"]
    for path in paths:
        path.write_text(GOOD)
    with pytest.raises(UsageError, match=r"'punch' stands in .*a\.toml too"):
        knownfile.read_all(paths)


def test_same_name_twice(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(GOOD + GOOD)
    with pytest.raises(UsageError, match="stands there twice"):
        knownfile.read(path)


def test_the_files_that_daxcheck_brings() -> None:
    """They are read without a complaint, and each issue says why and in which functions."""
    issues = knownfile.load((), own=True).issues
    assert issues and knownfile.load((), own=False).issues == ()
    assert [one.name for one in issues if not one.why or not one.title] == []


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=20).map(" ".join)  # fmt: skip
VERSIONS = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(tuple)
WHERE = st.builds(Where, st.lists(VERSIONS, min_size=1, max_size=3).map(tuple), scenarios=st.lists(WORDS).map(tuple))
ISSUES = st.builds(
    Issue, WORDS.filter(bool), st.lists(WORDS.map("dropped; dax_".__add__), min_size=1).map(tuple),
    st.lists(WHERE, min_size=1, max_size=2).map(tuple), WORDS, WORDS, WORDS,
)  # fmt: skip


@given(issue=ISSUES)
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, issue: Issue) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(knownfile.format([issue]))
    assert knownfile.read(path) == (issue,)
