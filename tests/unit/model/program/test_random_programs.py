"""Laws of scripts/random_programs.py: the same seed writes the same Programs, and each can be run as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.model.contract import oracle
from harness.model.contract.filestate import page_ceil
from harness.model.program import ops
from harness.model.program.program import VERBS, Program, parse

SCRIPT = Path(__file__).resolve().parents[4] / "scripts" / "random_programs.py"
SYNCS = ops.Fsync | ops.Fdatasync | ops.Msync | ops.Syncfs | ops.Flush | ops.Fsyncdir
UNUSED_BY_EXT4 = {"clone", "clone_file", "dedupe"}


def written(directory: Path, count: int, *words: str) -> dict[str, str]:
    command = [sys.executable, str(SCRIPT), str(count), "--out", str(directory), *words]
    subprocess.run(command, check=True, cwd=SCRIPT.parents[1])
    return {path.name: path.read_text() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> list[Program]:
    texts = written(tmp_path_factory.mktemp("programs"), 300, "--fs-has", "clone")
    return [parse(text) for text in texts.values()]


def test_same_seed_same_programs(tmp_path: Path) -> None:
    """The seed alone determines the Programs; another one gives others."""
    one, two = (written(tmp_path / name, 20, "--seed", "7") for name in ("one", "two"))
    other = written(tmp_path / "other", 20, "--seed", "8")
    assert one == two
    assert len(one) == len(set(one.values())) == 20
    assert not set(one.values()) & set(other.values())


def test_no_access_behind_the_last_page(programs: list[Program]) -> None:
    """mmap(2): a touch of a page wholly behind the end is SIGBUS; no Program does that, else its cell is an ERROR."""
    accesses = 0
    for program in programs:
        states = oracle.run(program)
        for index, op in enumerate(program.ops):
            if isinstance(op, ops.Store | ops.Load | ops.Flush):
                mapping = states[index].maps[op.map]
                end = mapping.offset + op.offset + op.length
                assert end <= page_ceil(states[index - 1].files[mapping.file].shortest), program
                accesses += 1
    assert accesses > len(programs)


def test_ranges_that_a_kernel_takes(programs: list[Program]) -> None:
    """fallocate(2): a collapse ends before the end of the file, an insert begins there; both in whole blocks."""
    shifts = 0
    for program in programs:
        states = oracle.run(program)
        for index, op in enumerate(program.ops):
            if isinstance(op, ops.Fallocate) and op.mode in (ops.Mode.COLLAPSE_RANGE, ops.Mode.INSERT_RANGE):
                before = states[index - 1]
                reach = op.offset + (op.length if op.mode is ops.Mode.COLLAPSE_RANGE else 0)
                assert reach < before.files[before.fds[op.fd]].shortest, program
                assert op.offset % 4096 == op.length % 4096 == 0
                shifts += 1
    assert shifts > len(programs) // 10


def test_something_behind_the_last_sync(programs: list[Program]) -> None:
    """Every Program ends with at least two ops that no sync makes durable, and then the cut."""
    for program in programs:
        syncs = [index for index, op in enumerate(program.ops) if isinstance(op, SYNCS)]
        assert isinstance(program.ops[-1], ops.CutPower)
        assert len(program.ops) - 1 - syncs[-1] > 2


def test_one_file_must_survive(programs: list[Program]) -> None:
    """A durable name that no op takes away: without one, nothing is judged and the cell is an ERROR."""
    for program in programs:
        assert program.ops[0] == ops.Create("f1", "data1")
        for index, op in enumerate(program.ops):
            assert not (isinstance(op, ops.Unlink | ops.Rename) and op.path == "data1"), (index, program)
            assert not (isinstance(op, ops.Rename) and op.to == "data1"), (index, program)


def test_clone_of_a_last_block_ends_the_file(programs: list[Program]) -> None:
    """ioctl_ficlonerange(2), EINVAL: a length that is no multiple of the block must reach the end of what it fills."""
    clones = 0
    for program in programs:
        states = oracle.run(program)
        for index, op in enumerate(program.ops):
            if isinstance(op, ops.CloneFile):
                before = states[index - 1]
                to, source = (before.files[before.fds[fd]].shortest for fd in (op.fd, op.source))
                assert source % 4096 == 0 or source >= to, (index, program)
                clones += 1
            elif isinstance(op, ops.Clone):
                assert op.offset % 4096 == op.source_offset % 4096 == op.length % 4096 == 0
    assert clones > 10


def test_extras_only_where_named(tmp_path: Path, programs: list[Program]) -> None:
    """clone and its like come only with --fs-has; with it, all of them do."""
    plain = written(tmp_path, 300)
    assert not UNUSED_BY_EXT4 & {line.split()[0] for text in plain.values() for line in text.splitlines()}
    drawn = {type(op) for program in programs for op in program.ops}
    assert drawn >= {VERBS[verb] for verb in UNUSED_BY_EXT4}
