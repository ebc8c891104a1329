"""A search in real guests: its workers end quietly, and the same seed gives the same Programs and verdicts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness import progfile
from harness.errors import EXIT_CLEAN, EXIT_VIOLATION
from harness.kernel.kernel import Kernel
from harness.model.program import ops

pytestmark = pytest.mark.nightly  # each takes minutes
Daxcheck = Any
LOST = """daxcheck program 1
create f1 data1
fallocate f1 allocate 0 4M
mmap m1 f1 0 4M
store m1 0 4M
pwrite f1 1M 4K
msync m1 0 4M
store m1 8K 2M
pread f1 0 4K
fallocate f1 punch_hole 64K 4K
msync m1 0 4M
observe
cut_power
"""


def test_shrink_to_the_ops_that_lose(kernel_6_12: Kernel, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """6.12 drops the dirty PMD entry around a hole: what is left stores, punches and syncs, and nothing else is said
    than how it went."""
    file, out = tmp_path / "x.prog", tmp_path / "small.prog"
    file.write_text(LOST)
    code, said = daxcheck.run("shrink", file, "--kernel", kernel_6_12.digest, "--fs", "ext4", "-n", "2", "--out", out)
    assert code == EXIT_CLEAN, said
    assert "ext4_punch_hole" in said and "5 of 5" in said
    assert not re.search(r"Traceback|Exception|Warning", said), said
    kinds = [type(op) for op in progfile.read(out).program.ops]
    assert kinds[-4:] == [ops.Store, ops.Fallocate, ops.Msync, ops.CutPower]
    assert len(kinds) <= 8


def test_same_seed_same_verdicts(kernel_6_1: Kernel, daxcheck: Daxcheck, tmp_path: Path) -> None:
    """Two runs of a round find the same, count the same, and keep the same Programs."""
    told = []
    for name in ("one", "two"):
        out = tmp_path / name
        code, said = daxcheck.run("fuzz", "--kernel", kernel_6_1.digest, "--fs", "xfs", "--rounds", "2", "--unguided",
                                  "--seed", "3", "-n", "2", "--results", out)  # fmt: skip
        assert code in (EXIT_CLEAN, EXIT_VIOLATION), said
        assert "Traceback" not in said, said
        (progress,) = json.loads((out / "campaign.json").read_text())["configs"].values()
        lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
        kept = sorted((line["scenario"], line["id"], line["outcome"]) for line in lines)
        told.append((progress["counts"], progress["findings"], kept))
        assert progress["counts"]["programs"] == 64
    assert told[0] == told[1]
