"""A commit block that the cut left in part: what scenarios/known/debian.toml says of jbd2-torn-commit-block."""

from collections.abc import Iterator

import numpy as np
import pytest

from harness.fs import filesystem
from harness.media.image import PESSIMISTIC, CrashImage, CrashPoint
from harness.media.records import LINE, RecordKind
from harness.model.program.program import parse
from harness.targets.engines.cut import LoggedCut
from harness.targets.guest import GuestTarget
from harness.targets.target import Job

PROGRAM = parse("daxcheck program 1\ncreate f data\nfallocate f allocate 0 4M\nfsync f\nfsyncdir\ncut_power\n")
FSYNC = 2
COMMIT = bytes.fromhex("c03b3998" "00000002")
"""JBD2_MAGIC_NUMBER and JBD2_COMMIT_BLOCK, big-endian (linux/jbd2.h)."""
REFUSED = (12, 16, 24, 32, 48, 56)
TAKEN = (0, 8, LINE)


def torn(cut: LoggedCut) -> Iterator[tuple[int, CrashImage]]:
    """Images that end inside the first line of the first commit block, by the bytes of it that are there."""
    records = cut._log.records(0, cut._log.count)
    starts = records["data"][:, : len(COMMIT)] == np.frombuffer(COMMIT, np.uint8)
    at = int(np.flatnonzero((records["kind"] == RecordKind.BYTES) & starts.all(axis=1))[0])
    offset = int(records["address"][at]) - cut._origin
    for count in sorted((*REFUSED, *TAKEN)):
        image = cut.at(CrashPoint(FSYNC, at))
        image.media.array[offset : offset + count] = records["data"][at][:count]
        yield count, CrashImage(image.point, PESSIMISTIC, image.media)


@pytest.mark.nightly
def test_a_torn_commit_block_is_taken_for_corruption(target_6_12: GuestTarget) -> None:
    """Without its checksum, or without its time, it is no end of the journal but damage."""
    job = Job(PROGRAM, filesystem.find("ext4"))
    found = {}
    with target_6_12, target_6_12.execute(job) as execution:
        assert isinstance(execution.cut, LoggedCut)
        for count, image in torn(execution.cut):
            (recovery,) = target_6_12.recover(iter([image]), job, lambda _: False)
            found[count] = recovery.failure.partition("ext4 on /mnt: ")[2], [str(one) for one in recovery.complaints]
    refused, taken = [found[count] for count in REFUSED], [found[count] for count in TAKEN]
    assert {words for words, _ in refused} == {"Structure needs cleaning: EXT4-fs (pmem0): error loading journal"}
    assert all(any("is corrupt" in line for line in lines) for _, lines in refused)
    assert taken == [("", [])] * len(TAKEN)
