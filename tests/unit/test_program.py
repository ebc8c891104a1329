"""Programs are valid by construction, and their text form loses nothing."""

import typing
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import EXIT_USAGE
from harness.model.ops import (
    Close,
    Create,
    CutPower,
    Entry,
    ExpectMapped,
    Fallocate,
    Fdatasync,
    Flush,
    Fsync,
    Fsyncdir,
    Ftruncate,
    Load,
    Mmap,
    Mode,
    Msync,
    Munmap,
    Op,
    Open,
    Plant,
    Planted,
    Pread,
    Pwrite,
    Sharing,
    Store,
    Sync,
)  # fmt: skip
from harness.model.program import VERBS, Expect, Program, ProgramError, describe, format, parse
from harness.model.units import PAGE, PMD, parse_size, size_text
from harness.model.validity import SIZE_LIMIT, STAMP_LIMIT

HEADER = "daxcheck program 1\n"


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Any valid Program: each op is drawn from those that the names defined so far permit."""
    found: list[Op] = []
    fds: list[str] = []
    paths: list[str] = []
    maps: dict[str, int] = {}
    if draw(st.booleans()):
        found.append(Planted(Plant.IGNORE_FLUSH, 0, draw(st.integers(1, 1 << 40))))
    for number in range(draw(st.integers(0, 12))):
        start, length = draw(st.integers(0, SIZE_LIMIT - 1)), draw(st.integers(1, PMD))
        length = min(length, SIZE_LIMIT - start)
        choices: list[Op] = [Create(f"f{number}", f"file-{number}"), Fsyncdir(), Sync()]
        choices += [Open(f"f{number}", path) for path in paths]
        for fd in fds:
            aligned = start // PAGE * PAGE
            modes = [Fallocate(fd, mode, start, length) for mode in Mode]
            sharing, align = draw(st.sampled_from(Sharing)), PAGE << draw(st.integers(0, 9))
            choices += [Close(fd), Fsync(fd), Fdatasync(fd), Ftruncate(fd, start), Pwrite(fd, start, length)]
            choices += [Pread(fd, start, length), Mmap(f"m{number}", fd, aligned, length, sharing, align), *modes]
        for name, size in maps.items():
            low = draw(st.integers(0, size - 1))
            span = draw(st.integers(1, size - low))
            choices += [kind(name, low, span) for kind in (Store, Load, Flush)]
            choices += [Msync(name, 0, span), ExpectMapped(name, draw(st.sampled_from(Entry)), low, span), Munmap(name)]
        op = draw(st.sampled_from(choices))
        found.append(op)
        match op:
            case Create(fd, path):
                fds.append(fd)
                paths.append(path)
            case Open(fd, _):
                fds.append(fd)
            case Close(fd):
                fds.remove(fd)
            case Mmap():
                maps[op.map] = op.length
            case Munmap(name):
                del maps[name]
    if draw(st.booleans()):
        found.append(CutPower())
    return Program(tuple(found), draw(st.sampled_from(Expect)))


@given(programs())
def test_text_round_trips(program: Program) -> None:
    """The text of a Program parses to that Program, and what parsed prints as the same text."""
    text = format(program)
    assert parse(text) == program
    assert format(parse(text)) == text
    assert parse(text).digest() == program.digest()


@given(programs())
def test_stores_and_files_are_numbered(program: Program) -> None:
    """Each store and each created file has its ordinal, from 1, in the order of the ops."""
    assert list(program.seqs().values()) == list(range(1, len(program.seqs()) + 1))
    assert all(isinstance(program.ops[index], Store | Pwrite) for index in program.seqs())
    assert [program.ops[index] for index in program.file_ids()] == [op for op in program.ops if isinstance(op, Create)]


def test_every_op_has_a_verb() -> None:
    """No op can be added without a text form."""
    assert set(VERBS.values()) == set(typing.get_args(Op))


@given(st.integers(0, 1 << 40))
def test_sizes_round_trip(size: int) -> None:
    """A size parses back from its text; the text uses a unit only where it divides."""
    assert parse_size(size_text(size)) == size


def test_text_is_for_people() -> None:
    """Comments, blank lines and spaces are free; sizes have units; only what differs from the default is named."""
    head = "\n# old contents\nexpect loss\n create  f data\n"
    text = HEADER + head + "mmap m f 0 2M sharing=sync align=4K # sync\nstore m 4K 100\n"
    program = parse(text)
    assert program == Program(
        (Create("f", "data"), Mmap("m", "f", 0, PMD, Sharing.SYNC, PAGE), Store("m", PAGE, 100)), Expect.LOSS
    )
    assert format(program).splitlines()[1:] == [
        "expect loss", "create f data", "mmap m f 0 2M sharing=sync align=4K", "store m 4K 100",
    ]  # fmt: skip


def test_describe_shows_ranges() -> None:
    """A report shows ranges as intervals."""
    assert describe(Msync("m", 0, 2 * PMD)) == "msync m [0..4M)"
    assert describe(Fallocate("f", Mode.PUNCH_HOLE, 16 * PAGE, PAGE)) == "fallocate f punch_hole [64K..68K)"
    assert describe(Mmap("m", "f", PMD, PMD, Sharing.SYNC)) == "mmap m f [2M..4M) sync"
    assert describe(CutPower()) == "cut_power"


MAP = "create f data\nmmap m f 0 2M\n"
BAD = {
    "": "line 1.*begin it with",
    "daxcheck program 2\n": "line 1.*daxcheck program 2.*begin it with",
    HEADER + "frob x\n": "line 2: 'frob' is no op: use one of",
    HEADER + "create f\n": "line 2: create lacks its path: write create FD PATH",
    HEADER + "create f data extra\n": "line 2: create cannot take 'extra'",
    HEADER + MAP + "mmap n f 0 2M align=4K align=8K\n": "line 4: mmap cannot take 'align=8K'",
    HEADER + MAP + "mmap n f 0 2M sharing=none\n": "line 4: sharing 'none' is not one of shared, private, sync",
    HEADER + MAP + "store m 0 2G\n": "line 4: '2G' is no size",
    HEADER + MAP + "store m -1 5\n": "line 4: '-1' is no size",
    HEADER + MAP + "store m 1M 2M\n": r"line 4 \(store m 1M 2M\).*not within mapping m of 2M",
    HEADER + MAP + "store n 0 8\n": "mapping n is not defined: mmap it first",
    HEADER + MAP + "munmap m\nstore m 0 8\n": "mapping m is unmapped",
    HEADER + MAP + "store m 0 0\n": "length 0 is less than 1",
    HEADER + MAP + "msync m 8 8\n": r"offset 8 is not a multiple of 4096, as msync\(2\) demands",
    HEADER + MAP + "mmap n f 8 8\n": r"offset 8 is not a multiple of 4096, as mmap\(2\) demands",
    HEADER + MAP + "mmap n f 0 8 align=5000\n": "align 5000 is not a power of two",
    HEADER + MAP + "mmap m f 0 8\n": "mapping m is already defined",
    HEADER + MAP + "create f other\n": "descriptor f is already defined",
    HEADER + MAP + "create g data\n": "path data is already created",
    HEADER + "open f data\n": "path data is not created before",
    HEADER + "create f data\nclose f\nfsync f\n": "line 4.*descriptor f is closed",
    HEADER + "fsync f\n": "descriptor f is not defined",
    HEADER + "create f ../data\n": "path '../data' is no plain name",
    HEADER + "create f a/b\n": "path 'a/b' is no plain name",
    HEADER + "create f ..\n": "path '..' is no plain name",
    HEADER + "create f a\0b\n": "is no plain name",
    HEADER + f"create f {'a' * 99}\n": "is no plain name",
    HEADER + "create f data\npwrite f 1023M 2M\n": "not within a range of 1024M",
    HEADER + "create f data\nftruncate f 1025M\n": "size 1074790400 is not within 0..1024M",
    HEADER + "cut_power\nsync\n": "line 3.*no op can follow cut_power",
    HEADER + "sync\nplant ignore_flush 0 4K\n": "comes before all other ops",
    HEADER + "sync\nexpect loss\n": "line 3.*before the first op",
    HEADER + "expect luck\n": "line 2.*'expect kept' or 'expect loss'",
    HEADER + "sync\n" * 10_001: "more than 10000 ops",
    HEADER + "#" * (1 << 20): "is too long",
    HEADER + MAP + "store m 0 8\n" * (STAMP_LIMIT + 1): "line 259.*more than 255 stores",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_bad_text_is_refused(text: str) -> None:
    """What cannot be run is refused in one line that names the line, the value and the remedy, with exit code 2."""
    with pytest.raises(ProgramError, match=BAD[text]) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.exit_code == EXIT_USAGE


def test_bad_ops_are_refused() -> None:
    """A Program made in Python is held to the same rules as a text, and the op at fault is named."""
    with pytest.raises(ProgramError, match=r"op 1 \(fsync g\): descriptor g is not defined") as caught:
        Program((Create("f", "data"), Fsync("g")))
    assert caught.value.index == 1


@given(st.text(max_size=200))
def test_parse_never_fails_otherwise(text: str) -> None:
    """Any text is a Program or a ProgramError."""
    for candidate in (text, HEADER + text):
        with suppress(ProgramError):
            parse(candidate)
