"""Laws of random Programs: the seed decides all, each can be run as it stands, and the whole language comes."""

import itertools
import os
import random
import subprocess
import sys

import pytest

from harness.model.contract import oracle
from harness.model.contract.filestate import page_ceil
from harness.model.generator.draft import ProgramDraft, foreseen, rebuilt
from harness.model.generator.generator import campaign_dice, draw, mutated
from harness.model.generator.rules import SHARING, DrawRules, key
from harness.model.program import ops
from harness.model.program.program import VERBS, Program, format, parse
from harness.model.program.stages import stages

COUNT = 300
RULES = DrawRules(SHARING)
NOT_DRAWN = {
    "plant", "cut_power", "barrier", "expect_mapped", "expect_dax", "expect_short", "expect_signal", "fill", "unfill",
    "shutdown", "set_dax", "mlock", "remount", "swapext", "exchange_range", "direct_store", "direct_load",
}  # fmt: skip
"""Verbs that no random Program has. plant is a control; expect_mapped, expect_dax are preconditions; the others need a
device or a format of their own, or end what can be judged."""


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    return [draw(campaign_dice(1, number), RULES) for number in range(COUNT)]


@pytest.fixture(scope="module")
def mutants(programs: list[Program]) -> list[Program]:
    pairs = enumerate(itertools.pairwise(programs))
    return [mutated(campaign_dice(2, number), RULES, one, two) for number, (one, two) in pairs]


def test_same_seed_same_programs(programs: list[Program]) -> None:
    """Seed and number determine a Program, also in a process whose hashes differ; another seed gives others."""
    code = (
        "from harness.model.generator.generator import campaign_dice, draw\n"
        "from harness.model.generator.rules import SHARING, DrawRules\n"
        "from harness.model.program.program import format\n"
        "print(''.join(format(draw(campaign_dice(1, n), DrawRules(SHARING))) for n in range(40)), end='')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert told.stdout == "".join(format(program) for program in programs[:40])
    texts = {format(program) for program in programs}
    assert len(texts) == COUNT
    assert not texts & {format(draw(campaign_dice(9, number), RULES)) for number in range(20)}


def test_text_gives_the_program_back(programs: list[Program], mutants: list[Program]) -> None:
    """A Program survives being written down and read."""
    for program in (*programs, *mutants):
        assert parse(format(program)) == program


def test_whole_language_is_drawn(programs: list[Program], mutants: list[Program]) -> None:
    """Every op that is not listed comes, and every mode of fallocate that may change contents."""
    drawn = {type(op) for program in (*programs, *mutants) for op in program.ops}
    assert {verb for verb, kind in VERBS.items() if kind not in drawn and kind is not ops.CutPower} | {
        "cut_power"
    } == NOT_DRAWN
    modes = {op.mode for program in programs for op in program.ops if isinstance(op, ops.Fallocate)}
    assert modes == set(ops.Mode) - {ops.Mode.UNSHARE_RANGE, ops.Mode.WRITE_ZEROES}
    hows = {op.how for program in programs for op in program.ops if isinstance(op, ops.Pwrite)}
    assert hows == set(ops.How) - {ops.How.SYNC, ops.How.ATOMIC}
    sharings = {op.sharing for program in programs for op in program.ops if isinstance(op, ops.Mmap)}
    assert sharings == set(ops.Sharing)


def test_no_access_behind_the_last_page(programs: list[Program], mutants: list[Program]) -> None:
    """mmap(2): a touch of a page wholly behind the end is SIGBUS; no Program does that, else its cell is an ERROR."""
    accesses = 0
    for program in (*programs, *mutants):
        states = oracle.run(program, foreseen(program))
        for index, op in enumerate(program.ops):
            if isinstance(op, ops.Store | ops.Load | ops.Flush):
                before = states[index - 1]
                mapping = before.maps[op.map]
                end = mapping.offset + op.offset + op.length
                assert end <= page_ceil(before.files[mapping.file].shortest), format(program)
                accesses += 1
    assert accesses > COUNT


def test_ranges_that_a_kernel_takes(programs: list[Program], mutants: list[Program]) -> None:
    """fallocate(2): a collapse ends before the end of the file, an insert begins there; both in whole blocks."""
    shifts = 0
    for program in (*programs, *mutants):
        states = oracle.run(program, foreseen(program))
        for index, op in enumerate(program.ops):
            refused = index and isinstance(program.ops[index - 1], ops.ExpectErrno)
            if isinstance(op, ops.Fallocate) and op.mode in (ops.Mode.COLLAPSE_RANGE, ops.Mode.INSERT_RANGE):
                before = states[index - 1]
                reach = op.offset + (op.length if op.mode is ops.Mode.COLLAPSE_RANGE else 0)
                whole = op.offset % 4096 == op.length % 4096 == 0
                assert (whole and reach < before.files[before.fds[op.fd]].shortest) != bool(refused), format(program)
                shifts += 1
    assert shifts > COUNT // 10


def test_one_file_must_survive(programs: list[Program]) -> None:
    """A durable name that no op takes away: without one, nothing is judged and the cell is an ERROR."""
    for program in programs:
        assert program.ops[0] == ops.Create("f1", "data1")
        for op in program.ops:
            assert not (isinstance(op, ops.Unlink | ops.Rename) and op.path == "data1"), format(program)
            assert not (isinstance(op, ops.Rename) and op.to == "data1"), format(program)


@pytest.fixture(scope="module")
def descendants(programs: list[Program]) -> list[Program]:
    """Programs, and those that were made from them, and from these."""
    pool = list(programs)
    for number in range(COUNT, 3 * COUNT):
        dice = campaign_dice(28, number)
        pool.append(mutated(dice, RULES, dice.choice(pool), dice.choice(pool)))
    return pool


SHORT = "create f a\npwrite f 0 64K\nmmap m f 0 64K\nopen g a\n"


@pytest.mark.parametrize(
    ("before", "op", "fits"),
    [
        ("mprotect m 4K 8 read\n", "store m 8128 1000", False),  # whole pages are protected
        ("mprotect m 4K 8 read\n", "store m 8K 1000", True),
        ("mprotect m 4K 8 read\n", "load m 4K 8", True),
        ("mprotect m 4K 8 read\nmprotect m 0 64K write\n", "store m 4K 8", True),
        ("mprotect m 4K 8 read\nmremap m 4K n\n", "store n 0 8", False),
        ("mprotect m 4K 8 read\nmunmap m\nmmap n f 0 64K\n", "store n 4K 8", True),
        ("", "copy_file_range f 4K 8K g 0", False),  # one file by two descriptors
        ("", "copy_file_range f 8K 8K g 0", True),
        ("", "dedupe f 4K 8K g 0", False),
        ("", "clone_file f g", False),
    ],
)
def test_what_a_kernel_refuses_or_kills_is_not_drawn(before: str, op: str, fits: bool) -> None:
    """A Program that ends by a mistake of its own is not judged: a campaign had stores where mprotect(2) forbids them,
    and copies of a range over itself by another descriptor (copy_file_range(2), EINVAL)."""
    program = parse(f"daxcheck program 1\n{SHORT}{before}{op}\ncut_power\n")
    draft = ProgramDraft(random.Random(1), RULES)
    for one in program.ops[:-2]:
        draft.add(one)
    assert draft.fits(program.ops[-2]) is fits


def test_expectation_stays_with_its_op(descendants: list[Program]) -> None:
    """An op is said to be refused only if a kernel must refuse it, whatever is left out around it: the next op would
    succeed, and that would be a false alarm."""
    refused = 0
    for program in descendants:
        for expected, op in itertools.pairwise(program.ops):
            if isinstance(expected, ops.ExpectErrno):
                assert isinstance(op, ops.Fallocate) and op.offset % 4096, format(program)
                refused += 1
    assert refused > COUNT // 12


def test_no_lane_cuts_a_file(programs: list[Program], descendants: list[Program]) -> None:
    """A store behind the end that a lane has moved is SIGBUS (mmap(2)), and its Program is not judged."""
    grown = 0
    for program in (*programs, *descendants):
        states = oracle.run(program, foreseen(program))
        for stage in stages(program.ops):
            sizes = {fd: states[stage.first - 1].files[id].longest for fd, id in states[stage.first - 1].fds.items()} \
                if stage.races else {}  # fmt: skip
            for index in stage.indices if stage.races else ():
                op = program.ops[index]
                if isinstance(op, ops.Ftruncate) and op.fd in sizes:
                    assert op.size >= sizes[op.fd], format(program)
                    grown += 1
    assert grown


def test_descendants_have_something_to_judge(descendants: list[Program]) -> None:
    """However often a Program was made from others, a file with contents is left at the cut: of every seventieth none
    was, and its cell was an ERROR."""
    for program in descendants:
        last = oracle.run(program, foreseen(program))[-1]
        named = [file for path in last.names if (file := last.file(path)) is not None]
        assert any(file.shortest for file in named), format(program)


def test_avoided_ops_are_rare() -> None:
    """A rules that avoids an op draws it seldom, by verb or by mode, and still draws Programs."""

    def count(avoid: frozenset[str], wanted: str) -> int:
        drawn = (draw(campaign_dice(3, number), DrawRules((), avoid)) for number in range(200))
        return sum(key(op).startswith(wanted) for program in drawn for op in program.ops)

    free = count(frozenset(), "fallocate punch_hole")
    assert free > 10
    assert count(frozenset({"fallocate punch_hole"}), "fallocate punch_hole") < free / 3
    # The files of the start are allocated all the same.
    assert count(frozenset({"fallocate"}), "fallocate zero_range") < free / 3


def test_rebuilt_leaves_out_what_no_longer_fits(programs: list[Program]) -> None:
    """Without any one op the rest is made legal again; a Program as it stands is left as it is."""
    for program in programs[:60]:
        assert rebuilt(program.ops, RULES) == program
        for index in range(len(program.ops) - 1):
            less = rebuilt((*program.ops[:index], *program.ops[index + 1 :]), RULES)
            assert less is None or len(less.ops) < len(program.ops)


def test_draft_refuses_what_does_not_fit() -> None:
    """An op past the end of a mapping, or with a name that is not there, does not fit."""
    draft = ProgramDraft(random.Random(1), RULES)
    for op in (ops.Create("f1", "data1"), ops.Ftruncate("f1", 8192), ops.Mmap("m1", "f1", 0, 16384)):
        assert draft.fits(op)
        draft.add(op)
    assert draft.fits(ops.Store("m1", 8184, 8))
    assert not draft.fits(ops.Store("m1", 8192, 8))  # SIGBUS: the file ends there
    assert not draft.fits(ops.Store("m2", 0, 8))
    assert not draft.fits(ops.Fallocate("f1", ops.Mode.COLLAPSE_RANGE, 4096, 4096))
