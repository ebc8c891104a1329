"""Explicit fences in the plugin's log: what they alone complete, in small guests without a kernel."""

import random
from typing import Any, Protocol

import pytest

from harness.media.log import NO_FENCE, PersistLog, PlantedFaults, RecordKind

MIB = 1 << 20
BASE = 1 << 32
"""Where q35 puts the first NVDIMM when RAM ends below 4 GiB."""


class Rig(Protocol):
    """What conftest's rig can do."""

    def run(self, body: str, **options: Any) -> PersistLog: ...


def first_bytes(log: PersistLog, *, strict: bool, count: int = 4) -> list[int]:
    """The first byte of the NVDIMM's first lines when the power fails at the end."""
    image = bytearray(16 * MIB)
    log.apply(image, BASE, strict=strict)
    return list(image[: count * 64 : 64])


FENCES = {
    "none": ("lock incl -8(%rsp)", [(1, False)], 0),
    "same": ("lock incl -8(%rsp); sfence; sfence", [(1, False), (0, True)], 7),
    "mfence": ("cpuid; mfence", [(1, False), (0, True)], 7),
    "with more": ("lock incl -8(%rsp); clwb 64(%r15); sfence; sfence", [(1, False), (1, True)], 7),
    "too early": ("sfence; clwb 64(%r15); lock incl -8(%rsp)", [(1, True), (1, False)], 7),
}  # fmt: skip
"""What follows a flush, the FENCE records that come of it as (records of the set, by a fence), and what is kept."""


@pytest.mark.parametrize(("body", "fences", "kept"), FENCES.values(), ids=FENCES.keys())
def test_a_fence_after_a_locked_instruction_is_logged(
    rig: Rig, body: str, fences: list[tuple[int, bool]], kept: int
) -> None:
    """One empty FENCE tells that what other instructions completed is fenced now; so does a set that the fence
    completes."""
    with rig.run(f"movb $7, (%r15); clwb (%r15); {body}") as log:
        rows = [row for row in log.records() if row["kind"] == RecordKind.FENCE]
        assert [(int(row["length"]), not row["flags"] & NO_FENCE) for row in rows] == fences
        assert len(log.completions()) == sum(length > 0 for length, _ in fences)
        assert first_bytes(log, strict=True, count=1) == [kept]
        assert first_bytes(log, strict=False, count=1) == [7]


def test_another_cpus_fence_is_logged(rig: Rig) -> None:
    """A CPU's first fence after any CPU completed something without one is a FENCE of its own."""
    body = "movb $7, (%r15); clwb (%r15); lock incl -8(%rsp); tell 1; await 2"
    with rig.run(body, other="await 1; sfence; tell 2") as log:
        assert [(record.kind, record.vcpu) for record in log] == [
            (RecordKind.LINE, 0), (RecordKind.FENCE, 0), (RecordKind.FENCE, 1),
        ]  # fmt: skip
        assert first_bytes(log, strict=True, count=1) == [7]


def test_fences_that_do_no_more_than_locked_instructions(rig: Rig) -> None:
    """The planted fault: everything is durable, and nothing of it by a fence."""
    with rig.run("movb $7, (%r15); clwb (%r15); sfence; mfence; sfence", faults=PlantedFaults(no_fence=True)) as log:
        assert [first_bytes(log, strict=strict, count=1) for strict in (False, True)] == [[7], [0]]
        assert [record.fenced for record in log] == [False, False]


@pytest.mark.parametrize("seed", range(6))
def test_random_code_persists_what_a_naive_machine_persists(rig: Rig, seed: int) -> None:
    """500 random stores, flushes, locked instructions and fences leave the media that a model of three sets says, the
    ordinary and the strict one."""
    choose = random.Random(seed)
    body, live, media, strict = [], [0] * 4, [0] * 4, [0] * 4
    pending: list[tuple[int, int]] = []
    handed: list[tuple[int, int]] = []
    for step in range(500):
        what, at = choose.choice(["store", "flush", "flush", "lock", "fence"]), choose.randrange(4)
        if what == "store":
            live[at] = step % 255 + 1
            body.append(f"movb ${live[at]}, {at * 64}(%r15)")
        elif what == "flush":
            pending.append((at, live[at]))
            body.append(f"clwb {at * 64}(%r15)")
        else:
            for line_at, value in pending:
                media[line_at] = value
            handed, pending = handed + pending, []
            body.append("lock incl -8(%rsp)" if what == "lock" else choose.choice(["sfence", "mfence"]))
        if what == "fence":
            for line_at, value in handed:
                strict[line_at] = value
            handed = []
    with rig.run("\n".join(body)) as log:
        assert first_bytes(log, strict=False) == media
        assert first_bytes(log, strict=True) == strict
