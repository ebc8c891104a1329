"""Programs are valid by construction, and their text form loses nothing."""

import dataclasses
import typing
from contextlib import suppress
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import EXIT_USAGE
from harness.model.program import ops
from harness.model.program.ops import CutPower, Fallocate, Mmap, Mode, Msync, Op, Sharing, Store
from harness.model.program.program import VERBS, Expect, Program, ProgramError, describe, format, parse
from harness.model.program.traits import traits
from harness.model.program.validity import STAMP_LIMIT
from harness.model.units import PAGE, PMD, parse_size, size_text

HEADER = "daxcheck program 1\n"
FDS, MAPS, PATHS = ("f", "g"), ("m", "n"), ("data", "other")
WORDS: dict[str, tuple[str, ...]] = {
    "fd": FDS, "source": FDS, "other": FDS, "map": MAPS, "new": MAPS, "path": PATHS, "to": PATHS,
    "target": PATHS,
    "options": ("ro", "rw,dax=never"), "errnos": ("EINVAL", "EINVAL|EOPNOTSUPP"), "name": ("a", "b"),
}  # fmt: skip


def field_values(field: "dataclasses.Field[Any]") -> st.SearchStrategy[Any]:
    """Values for a field of an op, of which some make a valid op."""
    if field.name in WORDS:
        return st.sampled_from(WORDS[field.name])
    if isinstance(field.type, type) and issubclass(field.type, StrEnum):
        return st.sampled_from(field.type)
    if field.name == "align":
        return st.integers(12, 22).map(lambda bits: 1 << bits)
    return st.sampled_from((0, 1, 100, PAGE, 2 * PAGE, PMD)) | st.integers(0, PMD)


ANY_OP: st.SearchStrategy[Op] = st.sampled_from(sorted(VERBS.values(), key=lambda kind: kind.__name__)).flatmap(
    lambda kind: st.builds(kind, **{field.name: field_values(field) for field in dataclasses.fields(kind)})
)
BEGIN: tuple[Op, ...] = (ops.Create("f", "data"), Mmap("m", "f", 0, 2 * PMD))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Any valid Program: of ops drawn at will, those that are valid after the ones before."""
    found: list[Op] = list(draw(st.sampled_from(((), BEGIN))))
    for op in draw(st.lists(ANY_OP, max_size=20)):
        with suppress(ProgramError):
            Program((*found, op))
            found.append(op)
    return Program(tuple(found), draw(st.sampled_from(Expect)))


@given(ANY_OP)
def test_every_op_round_trips(op: Op) -> None:
    """Whatever an op holds, its line says all of it: for ops that are valid alone or after a file was mapped."""
    for before in ((), BEGIN):
        with suppress(ProgramError):
            program = Program((*before, op))
            assert parse(format(program)) == program


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
    assert all(traits(program.ops[index]).stamps for index in program.seqs())
    created = [op for op in program.ops if isinstance(op, ops.Create | ops.Tmpfile)]
    assert [program.ops[index] for index in program.file_ids()] == created


def test_every_op_has_a_verb() -> None:
    """No op can be added without a text form."""
    assert set(VERBS.values()) == set(typing.get_args(Op))


@given(st.integers(0, 1 << 40))
def test_sizes_round_trip(size: int) -> None:
    """A size parses back from its text; the text uses a unit only where it divides."""
    assert parse_size(size_text(size)) == size


def test_sizes_as_people_write_them() -> None:
    """Hexadecimal, as fsx and most bug reports have them, and a unit behind either."""
    assert [parse_size(text) for text in ("0x1000", "0xFf", "1G", "0x10K", "007")] == [PAGE, 255, 1 << 30, 16384, 7]


def test_text_is_for_people() -> None:
    """Comments, blank lines and spaces are free; sizes have units; only what differs from the default is named."""
    head = "\n# old contents\nexpect loss\n create  f data\n"
    text = HEADER + head + "mmap m f 0 2M sharing=sync align=4K # sync\nstore m 4K 100\n"
    program = parse(text)
    assert program == Program(
        (ops.Create("f", "data"), Mmap("m", "f", 0, PMD, Sharing.SYNC, PAGE), Store("m", PAGE, 100)), Expect.LOSS
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
    HEADER + "frob x\n": "line 2: 'frob' is no op: `daxcheck ops` lists them",
    HEADER + "create f\n": "line 2: create lacks its path: write create FD PATH",
    HEADER + MAP + "fallocate f 0 8M\n": r"line 4: fallocate lacks its mode \(allocate, .*write fallocate FD MODE",
    HEADER + MAP + "fallocate f punch_hole 4K\n": "line 4: fallocate lacks its length",
    HEADER + MAP + "mmap n 0 2M\n": "line 4: mmap lacks its fd: write mmap MAP FD",
    HEADER + MAP + "mmap n f 0 align=4K\n": "line 4: mmap lacks its length",
    HEADER + MAP + "fallocate f\n": "line 4: fallocate lacks its mode .* and its offset and its length",
    HEADER + MAP + "close f\nopen f data\n": r"line 5.*choose another name, such as f2.*; line 2 \(create f data\)",
    HEADER + MAP + "munmap m\nmmap m f 0 4K\n": r"such as m2 .*also after its close or munmap.*; line 3 \(mmap m f",
    HEADER + "create f d/x\n": "directory d is not made before: mkdir it first",
    HEADER + "create f d//x\n": "path 'd//x' is no plain name: write up to 4 names with / between",
    HEADER + "create f .x\n": r"path '\.x'.*none of \. \+ - first",
    HEADER + "create 1f d\n": "descriptor '1f'.*at most 32 letters, digits and _, no digit first",
    HEADER + "create f data extra\n": "line 2: create cannot take 'extra'",
    HEADER + MAP + "mmap n f 0 2M align=4K align=8K\n": "line 4: mmap cannot take 'align=8K'",
    HEADER + MAP + "mmap n f 0 2M sharing=none\n": "line 4: sharing 'none' is not one of shared, private, sync",
    HEADER + MAP + "store m 0 2T\n": "line 4: '2T' is no size",
    HEADER + MAP + "store m 0 0x\n": "line 4: '0x' is no size",
    HEADER + MAP + "store m 0 0X10\n": "line 4: '0X10' is no size",
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
    HEADER + "create f /a\n": "path '/a' is no plain name",
    HEADER + "mkdir a/b/c/d/e\n": "path 'a/b/c/d/e' is no plain name",
    HEADER + f"mkdir {'/'.join(['b' * 44] * 3)}\n": "is no plain name",
    HEADER + "create f ..\n": "path '..' is no plain name",
    HEADER + "create f a\0b\n": "is no plain name",
    HEADER + f"create f {'a' * 99}\n": "is no plain name",
    HEADER + "create f data\npwrite f 1023M 2M\n": "not within a range of 1024M",
    HEADER + "create f data\nftruncate f 1025M\n": "size 1074790400 is not within 0..1024M",
    HEADER + "cut_power\nsync\n": "line 3.*no op can follow cut_power",
    HEADER + "sync\nplant ignore_flush 0 4K\n": "comes before all other ops",
    HEADER + "sync\nexpect loss\n": "line 3.*before the first op",
    HEADER + "expect luck\n": "line 2.*'expect kept' or 'expect loss'",
    HEADER + "create f data\nlink data data\n": "path data is already there: link never replaces",
    HEADER + "unlink data\n": "path data is not created before",
    HEADER + "create f data\nunlink data\nopen g data\n": "path data is not created before",
    HEADER + MAP + "mremap m 2M n\n": "not within mapping m of 2M",
    HEADER + MAP + "mremap m 100 n\n": r"offset 100 is not a multiple of 4096, as mremap\(2\) demands",
    HEADER + MAP + "mremap m 1M n\nstore m 1M 8\n": "not within mapping m of 1M",
    HEADER + MAP + "umount\n": "f, m would keep the file system busy: close and munmap first",
    HEADER + "umount\nsyncfs\n": "the file system is unmounted: mount it first",
    HEADER + "mount\n": "the file system is mounted already",
    HEADER + MAP + "freeze\nstore m 0 8\n": "the file system is frozen.*thaw first",
    HEADER + "thaw\n": "the file system is thawed already",
    HEADER + "remount --bind\n": "options '--bind' are none",
    HEADER + MAP + "expect_errno EWHAT\n": "errno 'EWHAT' is unknown",
    HEADER + MAP + "expect_errno EINVAL\nobserve\n": "no kernel can refuse this op",
    HEADER + MAP + "expect_short 4K\nfsync f\n": "line 5.*this op returns no count: expect_short stands",
    HEADER + MAP + "expect_short 4K\npwrite f 0 4K\n": "4096 is not fewer than 4096 bytes",
    HEADER + MAP + "expect_short 1024M\n": "count 1073741824 is not within 0..1024M",
    HEADER + MAP + "expect_errno ENOSPC\ncreate g other\nfsync g\n": "descriptor g is not defined",
    HEADER + MAP + "expect_signal SIGBUS\nfsync f\n": "only a store, load or madvise may end in a signal",
    HEADER + MAP + "expect_signal SIGBUS\nstore m 4000 100\n": "keep it within one page",
    HEADER + "barrier\n": "a barrier stands in a lane",
    HEADER + "join\n": "there is no lane to join",
    HEADER + MAP + "lane a\nstore m 0 8\n": "lane a is never joined",
    HEADER + MAP + "lane a\nunlink data\n": "this op cannot stand in a lane",
    HEADER + MAP + "lane a\nfallocate f collapse_range 0 4K\n": "collapse_range in a lane moves what others store",
    HEADER + MAP + "lane a\nmunmap m\n": "mapping m is shared with the other lanes",
    HEADER + MAP + "lane a\nmmap n f 0 4K\njoin\nstore n 0 8\n": "mapping n is not defined",
    HEADER + MAP + "lane a\nlane a\n": "lane a is already there",
    HEADER + MAP + "lane a\nbarrier\nlane b\njoin\n": "lanes that meet at barriers need equally many",
    HEADER + MAP + "lane a times=2\nbarrier\nlane b\nbarrier\njoin\n": "and the same times",
    HEADER + MAP + "lane a times=10001\n": "times 10001 is not within 1..10000",
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


def test_lanes_see_the_names_of_before() -> None:
    """A lane may use what was defined before its group, and the same name may be defined anew by the next lane."""
    text = HEADER + MAP
    text += "lane a worker=process\nmmap n f 0 4K\nstore n 0 8\nlane b\nmmap n f 0 4K\nstore m 0 8\njoin\n"
    assert len(parse(text).ops) == 9


def test_what_is_refused_defines_nothing() -> None:
    """After expect_errno an op leaves the names as they were, so they can be used again."""
    text = HEADER + MAP
    text += "expect_errno EOPNOTSUPP\nmmap n f 0 4K sharing=sync\nexpect_errno EIO\nclose f\nmmap n f 0 4K\n"
    assert len(parse(text).ops) == 7
    assert len(parse(HEADER + MAP + "expect_errno EBUSY\numount\nstore m 0 8\n").ops) == 5


def test_all_names_are_known() -> None:
    """A file is looked for under every name that any op may give it; ids follow the order in which files are made."""
    program = parse(HEADER + "create f a\nrename a b\nlink b c\ncreate g a\nunlink b\n")
    assert program.names() == ("a", "b", "c")
    assert program.paths() == ("a", "a")


def test_bad_ops_are_refused() -> None:
    """A Program made in Python is held to the same rules as a text, and the op at fault is named."""
    with pytest.raises(ProgramError, match=r"op 1 \(fsync g\): descriptor g is not defined") as caught:
        Program((ops.Create("f", "data"), ops.Fsync("g")))
    assert caught.value.index == 1


@given(st.text(max_size=200))
def test_parse_never_fails_otherwise(text: str) -> None:
    """Any text is a Program or a ProgramError."""
    for candidate in (text, HEADER + text):
        with suppress(ProgramError):
            parse(candidate)
