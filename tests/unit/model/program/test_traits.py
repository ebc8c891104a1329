"""Laws of the table of facts: it is total, nothing in it is idle, and it agrees with the contract where both speak."""

import re
import typing
from collections.abc import Iterator
from dataclasses import fields
from enum import EnumType
from pathlib import Path

import pytest

from harness.model.contract import oracle
from harness.model.contract.state import State
from harness.model.program import ops
from harness.model.program.ops import Op
from harness.model.program.program import Program, describe
from harness.model.program.traits import TABLE, ByForm, Failure, Promise, Traits, Unmaps, descriptors, mapping, traits
from harness.model.units import PAGE
from harness.model.wire.observation import Stamp

HARNESS = Path(__file__).resolve().parents[4] / "harness"
BEFORE = (
    ops.Mkdir("dir"), ops.Create("f", "data"), ops.Create("g", "other"), ops.Tmpfile("t"),
    ops.Pwrite("f", 0, 8 * PAGE), ops.Pwrite("g", 0, 8 * PAGE),
    ops.Mmap("m", "f", 0, 8 * PAGE, ops.Sharing.SYNC), ops.Mmap("s", "f", 0, 8 * PAGE), ops.Store("m", 0, 8 * PAGE),
)  # fmt: skip
"""Two files and two mappings, of which nothing is durable but the blocks of f (a store through MAP_SYNC)."""
EXAMPLES = (
    ops.Create("f2", "new"), ops.Open("f2", "data"), ops.Close("f"), ops.Rename("data", "new"),
    ops.Link("data", "new"), ops.Unlink("data"), ops.Mkdir("new"), ops.Rmdir("dir"), ops.SymbolicLink("new", "data"),
    ops.Tmpfile("f2"), ops.LinkFd("t", "new"),
    ops.Fallocate("f", ops.Mode.ALLOCATE, PAGE, PAGE),
    ops.Ftruncate("f", PAGE), ops.Pwrite("f", 0, PAGE), ops.Pread("f", 0, PAGE), ops.SetDax("f", ops.Switch.ON),
    ops.CloneFile("f", "g"), ops.Clone("f", 0, PAGE, "g", PAGE), ops.Dedupe("f", 0, PAGE, "g", PAGE),
    ops.CopyFileRange("f", 0, PAGE, "g", PAGE), ops.Splice("f", 0, PAGE, "g", PAGE),
    ops.Sendfile("f", 0, PAGE, "g", PAGE), ops.ExchangeRange("f", 0, PAGE, "g", PAGE), ops.Swapext("f", "g"),
    ops.ReadInto("m", 0, PAGE, "g", 0), ops.WriteFrom("g", 0, PAGE, "m", 0), ops.DirectStore("m", 0, PAGE),
    ops.DirectLoad("m", 0, PAGE), ops.Mmap("n", "f", 0, PAGE), ops.Munmap("m"), ops.Mremap("m", 0, "n"),
    ops.Mresize("m", PAGE), ops.MmapOver("m", PAGE, "n", "f", PAGE),
    ops.Mprotect("m", 0, PAGE, ops.Access.READ), ops.Mlock("m", 0, PAGE),
    ops.Madvise("m", 0, PAGE, ops.Advice.DONTNEED), ops.Store("m", 0, PAGE), ops.Load("m", 0, PAGE),
    ops.Flush("m", 0, PAGE), ops.Msync("s", 0, PAGE), ops.Fsync("f"), ops.Fdatasync("f"), ops.Fsyncdir(),
    ops.SyncFileRange("f", 0, PAGE), ops.Syncfs(), ops.Sync(), ops.Freeze(), ops.Thaw(), ops.Remount("ro"),
    ops.Shutdown(ops.Going.DEFAULT),
    ops.Umount(), ops.Mount(), ops.DropCaches(), ops.Fill(0), ops.Unfill(), ops.Lane("a"), ops.Barrier(), ops.Join(),
    ops.ExpectMapped("m", ops.Entry.PTE, 0, PAGE), ops.ExpectDax("f", ops.Switch.ON), ops.ExpectErrno("EINVAL"),
    ops.ExpectShort(1), ops.ExpectSignal(ops.Signal.SIGBUS), ops.Observe(),
    ops.Planted(ops.Plant.IGNORE_FLUSH, 0, PAGE), ops.CutPower(),
)  # fmt: skip
"""One op of each kind."""
LANED = (ops.Lane, ops.Barrier, ops.Join)


def forms() -> Iterator[Op]:
    """Every form of every op: a fallocate of each mode, a write of each kind."""
    for op in EXAMPLES:
        row = TABLE[type(op)]
        if isinstance(row, Traits):
            yield op
            continue
        for form in row.forms:
            values = {field.name: getattr(op, field.name) for field in fields(op)}
            yield type(op)(**{**values, row.field: form})


FORMS = tuple(forms())
DONE = [op for op in FORMS if not isinstance(op, LANED)]
"""What a State can be asked about after it."""


def after(op: Op) -> tuple[State, State, int]:
    """The states before and after the op, and its index."""
    before = (*BEFORE, ops.Close("f"), ops.Close("g"), ops.Close("t"), ops.Munmap("m"), ops.Munmap("s")) \
        if isinstance(op, ops.Umount) else BEFORE  # fmt: skip
    before = (*before, ops.Freeze()) if isinstance(op, ops.Thaw) else before
    quiet = isinstance(op, ops.Shutdown) and op.going is ops.Going.NOLOGFLUSH
    before = (*before, ops.Sync()) if quiet else before
    program = (op,) if isinstance(op, ops.Planted) else (*before, op)
    if isinstance(op, ops.Mount):
        program = ops.Umount(), op
    states = oracle.run(Program(program))
    return states[-2] if len(states) > 1 else states[-1], states[-1], len(program) - 1


def test_every_op_has_a_row() -> None:
    """No op, and no form of one, can be added without its facts."""
    assert set(TABLE) == set(typing.get_args(Op)) == {type(op) for op in EXAMPLES}
    for kind, row in TABLE.items():
        if isinstance(row, ByForm):
            (form,) = (field.type for field in fields(kind) if field.name == row.field)
            assert isinstance(form, EnumType) and {*row.forms} == {*form.__members__.values()}, kind


def test_every_fact_is_asked_for() -> None:
    """A column that no module reads is no fact of the house."""
    asked = re.compile(r"(?:traits\((?:[^()]|\([^()]*\))*\)|\bfacts)\.(\w+)")
    read = {name for path in HARNESS.rglob("*.py") for name in asked.findall(path.read_text())}
    assert {field.name for field in fields(Traits)} - read == set()


def test_names_are_needed_or_defined() -> None:
    """Each field that names a descriptor or a mapping is of one of the two sorts, and no other field is."""
    for op in FORMS:
        facts = traits(op)
        names = {field.name for field in fields(op)} & {"fd", "source", "other", "map", "new"}
        told = [*facts.needs_open, facts.needs_mapped, facts.defines]
        assert sorted(names) == sorted(filter(None, told)), describe(op)
        assert not facts.accesses or (facts.needs_mapped and hasattr(op, facts.accesses)), describe(op)
        assert not facts.page_aligned or hasattr(op, "offset"), describe(op)


@pytest.mark.parametrize("op", DONE, ids=describe)
def test_promises_are_those_of_the_contract(op: Op) -> None:
    """An op that promises has put its index into the state of what it names, and no other op has."""
    _, state, index = after(op)
    data = any(byte.promised_by == index for file in state.files.values() for *_, byte in file.contents.runs())
    sizes = any(file.size_by == index for file in state.files.values())
    names = any(name.promised_by == index for name in state.names.values())
    promise = traits(op).promises
    assert data == (promise in (Promise.RANGE, Promise.DATA, Promise.FILE, Promise.ALL))
    assert names == (promise in (Promise.NAMES, Promise.ALL))
    assert not sizes or data
    whole = all(byte.promised_by == index for *_, byte in state.files[1].contents.runs()) if state.files else False
    assert whole == (promise in (Promise.DATA, Promise.FILE, Promise.ALL))


@pytest.mark.parametrize("op", DONE, ids=describe)
def test_what_moves_or_copies_is_elsewhere(op: Op) -> None:
    """After an op that moves or copies some stamp is where it was not stored; after any other none is."""
    _, state, _ = after(op)
    elsewhere = any(
        isinstance(source, Stamp) and (source.file, source.shift) != (id, 0)
        for id, file in state.files.items() for *_, byte in file.contents.runs() for source in byte.current
    )  # fmt: skip
    assert elsewhere == (traits(op).moves or traits(op).copies)


@pytest.mark.parametrize("op", DONE, ids=describe)
def test_stamps_are_numbered_where_they_are_told(op: Op) -> None:
    """A stamp with the op's number shows up in some file just when the op writes one."""
    _, state, index = after(op)
    program = Program((*BEFORE, op)) if traits(op).stamps else Program(BEFORE)
    seq = program.seqs().get(index, -1)
    seen = {source.seq for file in state.files.values() for *_, byte in file.contents.runs() for source in byte.current
            if isinstance(source, Stamp)}  # fmt: skip
    assert (seq in seen) == traits(op).stamps


def test_facts_that_follow_from_each_other() -> None:
    """What takes blocks away unmaps them; what stores or may signal touches memory; what counts has a count to tell."""
    for op in FORMS:
        facts, name = traits(op), describe(op)
        assert not facts.frees or facts.unmaps is Unmaps.FILE, name
        assert not (facts.stores or facts.may_signal) or facts.accesses, name
        assert facts.on_errno is not Failure.COUNTED or isinstance(op, ops.CountedOp), name
        assert not (facts.quiets and facts.in_lanes), name
        assert not facts.moves or not facts.in_lanes, name
        assert facts.on_errno is Failure.NOTHING or facts.refusable, name


def test_helpers_name_what_the_op_names() -> None:
    """Descriptors and the mapping are told by name."""
    op = ops.WriteFrom("g", 0, PAGE, "m", 0)
    assert (descriptors(op), mapping(op)) == (("g",), "m")
    assert (descriptors(ops.Swapext("f", "g")), mapping(ops.Swapext("f", "g"))) == (("f", "g"), "")
    assert (descriptors(ops.Create("f", "data")), mapping(ops.Mmap("m", "f", 0, PAGE))) == ((), "")
