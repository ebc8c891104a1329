"""Laws of harness.model.setting.heading: print and parse are inverse, and each mistake is one line with its remedy."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import EXIT_USAGE, UsageError
from harness.model.program.program import HEADER, VERBS, format, parse
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import EMULATED, PmemKind
from harness.model.setting.heading import NO_HEADING, REPEAT_LIMIT, WORDS, Heading, headed, scan

OPS = "create f data\nftruncate f 4K\nfsync f\ncut_power\n"
UNKNOWN = "is no op and no word of a heading: `daxcheck ops` lists them"
ONE_LABEL = "write one label, such as xfs:reflink; options of mkfs and mount have lines of their own"
PROGRAM = f"{HEADER}\n{OPS}"
LABEL = st.from_regex(r"(ext4|xfs)(:[a-z0-9]{1,9}(\+[a-z0-9]{1,9}){0,2})?", fullmatch=True)
OPTIONS = st.from_regex(r"-[a-z] [a-z]{1,9}=[0-9]{1,5}( -[a-z] [a-z]{1,9}){0,2}", fullmatch=True)
HEADINGS = st.builds(
    Heading,
    kernel=st.none() | st.lists(st.integers(0, 999), min_size=1, max_size=4).map(tuple),
    format=LABEL, mkfs=st.just("") | OPTIONS,
    mount=st.just("") | st.from_regex(r"[a-z]{1,9}(,[a-z]=[0-9])?", fullmatch=True),
    device=st.none() | st.sampled_from(EMULATED),
    engine=st.none() | st.sampled_from([one for one in Engine if one is not Engine.POWER]),
    crash=st.sampled_from(["", "end", "ops", "fences"]) | st.integers(1, 1 << 20).map(str),
    evictions=st.none() | st.integers(1, 1 << 20), seed=st.none() | st.integers(-(1 << 64), 1 << 64),
    repeat=st.none() | st.integers(1, REPEAT_LIMIT),
)  # fmt: skip


@given(HEADINGS)
def test_print_and_parse_are_inverse(heading: Heading) -> None:
    """A heading that is written is read again, whatever it holds, and the Program below it is the same."""
    text = headed(heading, PROGRAM)
    scanned = scan(text)
    assert scanned.heading == heading
    assert parse(scanned.rest) == parse(PROGRAM)
    assert headed(scanned.heading, format(parse(scanned.rest))) == text


def test_the_words_are_the_fields() -> None:
    """Each field has its word, in this order, with an example that is read and written back."""
    assert [one.name for one in fields(Heading)] == [*WORDS]
    for name, word in WORDS.items():
        before = "" if name == "format" else "format xfs\n"
        assert scan(f"{HEADER}\n{before}{word.example}\n{OPS}").heading.line(name) == word.example


def test_no_word_is_a_verb_but_mount() -> None:
    """An op and a line of a heading are told apart by the first word; the op `mount` has no arguments."""
    assert set(WORDS) & set(VERBS) == {"mount"}
    text = f"{HEADER}\nformat xfs\nmount -o wsync\nexpect loss\ncreate f data\nclose f\numount\nmount\ncut_power\n"
    scanned = scan(text)
    assert scanned.heading == Heading(format="xfs", mount="wsync")
    assert len(parse(scanned.rest).ops) == 5


def test_a_text_without_heading_is_left_alone() -> None:
    """So is what is no Program: the parser of Programs says what is wrong with it."""
    for text in (PROGRAM, "", "seed 5\nformat xfs\n", "# nothing\n"):
        assert scan(text).heading == NO_HEADING and scan(text).rest == text


def test_lines_keep_their_numbers() -> None:
    """An op that is wrong is told by its line in the file, heading and comments counted."""
    with pytest.raises(UsageError, match=r"line 6 \(close g\): descriptor g is not defined"):
        parse(scan(f"{HEADER}\n# why\nformat xfs # here\n  seed   0x10\n\nclose g\n").rest)
    assert scan(f"{HEADER}\nseed 0x10\n").heading.seed == 16


@pytest.mark.parametrize(("lines", "said"), [
    (["frmat xfs"], f"line 2: 'frmat' {UNKNOWN}; did you mean format?"),
    (["zzz"], f"line 2: 'zzz' {UNKNOWN}"),
    (["create f d", "seed 5"], "line 3: seed stands behind the first op: move it above line 2"),
    (["create f d", "mount -o x"], "line 3: mount stands behind the first op: move it above line 2"),
    (["seed 5", "seed 5"], "line 3: seed stands in line 2 already: keep one of them"),
    (["seed"], "line 2: seed '': its value is missing"),
    (["seed many"], "line 2: seed 'many': write a number from -18446744073709551616 to 18446744073709551616"),
    (["repeat 0"], "line 2: repeat '0': write a number from 1 to 10000"),
    (["evictions -1"], "line 2: evictions '-1': write a number from 1 to 1048576"),
    (["kernel 6.2"], "line 2: kernel '6.2': write the oldest version that the Program is for: kernel >= 6.2"),
    (["kernel >= six"], "line 2: kernel >=: 'six' is no kernel version; write one such as 6.12 or 6.12.95"),
    (["device floppy"], "line 2: device floppy: unknown device; known: nvdimm, eadr, virtio-pmem"),
    (["device memmap"], "line 2: device memmap: unknown device; known: nvdimm, eadr, virtio-pmem"),
    (["engine power"], "line 2: engine power: unknown engine; known: plugin, trace, coverage"),
    (["crash sometimes"], "line 2: crash sometimes: wants end, ops, fences, or a number of points from 1 to 1048576"),
    (["mkfs -m crc=1"], "line 2: mkfs is of one file system: name that, such as format xfs"),
    (["mount wsync"], "line 2: mount 'wsync': write mount -o OPTION,OPTION (the op `mount` has no arguments)"),
    (["format xfs ext4"], f"line 2: format 'xfs ext4': {ONE_LABEL}"),
    (["format xfs:mkfs(-m"], f"line 2: format 'xfs:mkfs(-m': {ONE_LABEL}"),
    (["mkfs " + "-m x " * 60], f"line 2: mkfs {('-m x ' * 60)[:40]!r}: is longer than 256 characters"),
])  # fmt: skip
def test_mistakes_are_told(lines: list[str], said: str) -> None:
    """By the line, the word and the remedy; exit code 2."""
    with pytest.raises(UsageError) as raised:
        scan("\n".join([HEADER, *lines, "cut_power\n"]))
    assert str(raised.value) == said and raised.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(("oldest", "release", "meets"), [
    ("6.2", "6.12.95+deb12-amd64", True), ("6.12", "6.12.95+deb12-amd64", True), ("6.12.95", "6.12.95+deb12", True),
    ("6.12.96", "6.12.95+deb12-amd64", False), ("6.13", "6.12.95+deb12-amd64", False), ("7", "6.12.95", False),
    ("6.2", "6.1.0-50-amd64", False), ("6.1", "6.1.0-50-amd64", True), ("7.1", "7.1.0-rc3", True),
    ("6.1", "next", False),
])  # fmt: skip
def test_kernels_are_compared_as_versions(oldest: str, release: str, meets: bool) -> None:
    """6.12 is newer than 6.2; a kernel that is too old, or has no version, is one with a reason."""
    heading = scan(f"{HEADER}\nkernel >= {oldest}\n").heading
    reason = heading.why_not_on(release)
    assert (not reason) is meets
    assert meets or (reason.startswith(f"the file is for kernel >= {oldest}") and release in reason)
    assert NO_HEADING.why_not_on(release) == ""


def test_a_heading_is_no_part_of_the_program() -> None:
    """Two files with the same ops are one Program, by its digest."""
    heading = Heading(format="xfs:reflink", device=PmemKind.EADR, seed=5)
    assert parse(scan(headed(heading, PROGRAM)).rest).digest() == parse(PROGRAM).digest()
