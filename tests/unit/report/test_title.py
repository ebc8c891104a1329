"""A finding's title is what a maintainer would write in a subject line; its command runs the cell again."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from harness.findings.finding import gather
from harness.model.judge.result import Outcome
from harness.model.judge.values import Condition
from harness.model.judge.violation import LIVE, Kind, Violation
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.report.title import _WRONG, command, title
from tests.unit.findings.cells import LOSS, PUNCH, UNKNOWN, WARNED, cell


def told(violation: Violation) -> str:
    (finding,) = gather([cell(violation)])
    return title(finding)


def test_who_dropped() -> None:
    """The function to blame, the entry, the function by which the file system was entered, and what it called."""
    assert told(LOSS) == "ext4_punch_hole drops a dirty PMD entry without writeback (truncate_pagecache_range)"
    small = replace(LOSS, culprit=replace(PUNCH, end=4096, stack=("ext4_zero_range", "vfs_fallocate")))
    assert told(small) == "ext4_zero_range drops a dirty PTE entry without writeback (dax_delete_mapping_entry)"
    inner = ("dax_break_layout", "xfs_break_layouts", "xfs_vn_setattr", "notify_change")
    assert told(replace(LOSS, culprit=replace(PUNCH, stack=inner))) == (
        "xfs_break_layouts drops a dirty PMD entry without writeback (xfs_vn_setattr -> dax_break_layout)"
    )
    none = replace(LOSS, culprit=replace(PUNCH, stack=("invalidate_inode_pages2", "do_x")))
    assert told(none) == "do_x drops a dirty PMD entry without writeback (dax_delete_mapping_entry)"


def test_nobody_known() -> None:
    """What is wrong, which promise, and what came before."""
    assert told(UNKNOWN) == "data promised by msync is stale after punch_hole"
    zero = replace(UNKNOWN, kind=Kind.ZERO, found=Condition.ZERO, verb="fsync", op=4)
    assert told(zero) == "data promised by fsync is zero"
    live = replace(UNKNOWN, image=LIVE, kind=Kind.INCOHERENT)
    assert told(live).startswith("two views of a file differ after punch_hole, with the power on: store not store")


def test_a_complaint_of_the_kernel() -> None:
    assert told(WARNED) == "WARNING in dax_x (fs/dax.c)"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_words(kind: Kind) -> None:
    assert kind in _WRONG
    assert told(replace(UNKNOWN, kind=kind))


def test_command() -> None:
    """What a shell takes, with all that is not usual; of a Program its file."""
    plain = cell(LOSS)
    assert command(plain) == "daxcheck run -k 'punch_hole and page' --kernel 6.12.95+deb12-amd64 --fs ext4"
    assert command(replace(plain, outcome=Outcome.XFAIL)).endswith(" --fs ext4 --no-known")
    odd = replace(plain, device=PmemKind.EADR, engine=Engine.TRACE, seed=7, scenario="x y.prog")
    words = shlex.split(command(odd))
    assert words[:3] == ["daxcheck", "run", "x y.prog"]
    assert words[-6:] == ["--device", "eadr", "--engine", "trace", "--seed", "7"]
    assert shlex.split(command(odd, Path("/o ut/x.prog")))[2] == "/o ut/x.prog"
    assert "-k 'punch_hole and page'" in command(replace(plain, scenario="test_punch_hole.py::test_page[a-b]"))
