"""Two faults have one cause each, however many kinds of promises they break; what only looks like them has another."""

import pytest

from harness.findings.cause import LEFT_OUT, PAST_END, cause
from harness.model.judge.values import Condition, Stored, Value
from harness.model.judge.violation import LIVE, Kind, Violation
from harness.model.program.program import parse, verb

PAST = "create f data\npwrite f 0 5000\nmmap m f 4K 4K\nstore m 0 4K\nfsync f\n"
GROWN = {
    "pwrite": "pwrite f 8K 4K\n", "ftruncate": "ftruncate f 12K\n", "allocate": "fallocate f allocate 0 12K\n",
    "copy": "create s other\npwrite s 0 8K\ncopy_file_range f 8K 4K s 0\n",
}  # fmt: skip
MAPPED = "create f data\nftruncate f 8K\nfsync f\nfsyncdir\nmmap m f 0 8K sharing=sync align=4K\nstore m 0 4K\n"


def told(
    text: str, expected: Value, found: Value, *ranges: tuple[int, int], kind: Kind = Kind.STALE, op: int = -2,
    image: str = "pessimistic",
) -> str:  # fmt: skip
    """What the cause of a violation says to be wrong; `op` had promised otherwise."""
    program = parse(f"daxcheck program 1\n{text}cut_power\n")
    index = op % len(program.ops)
    size = sum(end - start for start, end in ranges)
    one = Violation(kind, "data", index, verb(program.ops[index]), image, ranges, size, expected, found)
    return cause(one, program).signature


@pytest.mark.parametrize("grow", GROWN)
@pytest.mark.parametrize("sync", ["fsync f\n", "sync\n", "syncfs\n"])
@pytest.mark.parametrize(("kind", "image"), [(Kind.STALE, LIVE), (Kind.TORN, "pessimistic"), (Kind.STALE, "evicted")])
def test_bytes_past_the_end_have_one_cause(grow: str, sync: str, kind: Kind, image: str) -> None:
    """Whatever made the file grow, whichever sync came after it, in every view and image."""
    text = PAST + GROWN[grow] + sync
    assert told(text, Condition.ZERO, Stored(2, 3), (5000, 8192), kind=kind, image=image) == f"stale; {PAST_END}"


def test_what_was_stored_inside_the_file_is_another_cause() -> None:
    """Zeroes are due there for another reason, such as a punch; so they are where only a part lay past the end."""
    punched = PAST.replace("pwrite f 0 5000", "pwrite f 0 8K") + "fallocate f punch_hole 4K 4K\nfsync f\n"
    assert PAST_END not in told(punched, Condition.ZERO, Stored(2, 3), (4096, 8192))
    grown = PAST + GROWN["pwrite"] + "fsync f\n"
    assert PAST_END not in told(grown, Condition.ZERO, Stored(2, 3), (4096, 8192))
    assert PAST_END not in told(grown, Stored(3, 5), Stored(2, 3), (5000, 8192))


@pytest.mark.parametrize("sync", ["sync\n", "syncfs\n", "freeze\n"])
@pytest.mark.parametrize("found", [Condition.ZERO, Stored(9, 0)])
def test_what_a_sync_of_the_file_system_leaves_out_has_one_cause(sync: str, found: Value) -> None:
    """Through the mapping, or through one that it was moved to; before an op that disturbs the file or without one."""
    for more in ("", "fallocate f allocate 8K 4K\n", "mremap m 4K n\n"):
        assert told(MAPPED + more + sync, Stored(1, 5), found, (0, 4096), kind=Kind.ZERO) == f"stale; {LEFT_OUT}"
    moved = MAPPED.replace("store m 0 4K", "mremap m 4K n\nstore n 0 4K")
    assert told(moved + sync, Stored(1, 6), found, (4096, 8192), kind=Kind.ZERO) == f"stale; {LEFT_OUT}"


def test_a_sync_of_the_file_or_a_plain_mapping_is_another_cause() -> None:
    """fsync does write what was stored through MAP_SYNC; sync does write what was stored through a plain mapping."""
    assert LEFT_OUT not in told(MAPPED + "fsync f\n", Stored(1, 5), Condition.ZERO, (0, 4096))
    plain = MAPPED.replace(" sharing=sync", "")
    assert LEFT_OUT not in told(plain + "sync\n", Stored(1, 5), Condition.ZERO, (0, 4096))
