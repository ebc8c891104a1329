"""One guest, two runs: the plugin forgets the first when the log is made new. And the fault of late flushes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from harness.deadline import Deadline, poll
from harness.media.log import NO_FAULTS, LogRecord, PersistLog, PersistLogError, PlantedFaults, RecordKind, Status

MIB = 1 << 20
BASE = 1 << 32
CAPACITY = 1000
TURN = 0x100000
"""Device byte where guest and host say whose turn it is, by plain stores."""
MARK = "mov $7, %edi; .byte 0x0f, 0x1f, 0x84, 0x00, 0x58, 0x41, 0x44, 0x5d"
SWITCH = f"movb $1, {TURN}(%r15); 9: pause; cmpb $2, {TURN}(%r15); jne 9b"


class Rig(Protocol):
    """What conftest's rig can do."""

    def run(self, body: str, **options: Any) -> PersistLog: ...


def switching(
    seen: list[list[LogRecord]], capacity: int = CAPACITY, faults: PlantedFaults = NO_FAULTS
) -> Callable[[Path], None]:
    """What the host does at SWITCH: it notes the log of the first run, and makes medium and log new."""

    def switch(path: Path) -> None:
        with (path / "nvdimm").open("r+b") as nvdimm, (path / "log").open("r+b") as log:
            ready = Deadline(60)
            poll(lambda: os.pread(nvdimm.fileno(), 1, TURN) == b"\1" or None, ready, "the guest does not say its turn")
            with PersistLog.open(log.fileno()) as first:
                seen.append(list(first))
            os.pwrite(nvdimm.fileno(), bytes(TURN), 0)
            PersistLog.create(log.fileno(), capacity, faults).close()
            os.pwrite(nvdimm.fileno(), b"\2", TURN)

    return switch


def shown(records: list[LogRecord]) -> list[tuple[str, int, int]]:
    """Kind, device byte (of a LINE or BYTES) and first byte of each record."""
    return [(one.kind.name, one.address - BASE if one.data else 0, one.data[0] if one.data else 0) for one in records]


FIRST = {
    "sfence": ("sfence", []),
    "mfence": ("mfence", []),
    "lock": ("lock incl -8(%rsp)", []),
    "wrmsr": ("mov $0xc0000102, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr", []),
    "marker": (MARK, [("MARK", 0, 0)]),
    "flush": ("clwb 128(%r15)", [("LINE", 128, 0)]),
    "nontemporal": ("movnti %rbx, 128(%r15)", [("BYTES", 128, 3)]),
}  # fmt: skip


@pytest.mark.parametrize(("first", "logged"), FIRST.values(), ids=FIRST.keys())
def test_a_new_run_knows_nothing_of_the_one_before(
    rig: Rig, first: str, logged: list[tuple[str, int, int]]
) -> None:
    """Whatever instruction comes first in it: what was pending is gone, a line is captured although the first run had
    persisted the same bytes, no fence is owed, and what is counted is counted from 0."""
    body = f"""
        mov $3, %ebx; movb $1, (%r15); clwb (%r15); lock incl -8(%rsp); movb $2, 64(%r15); clwb 64(%r15)
        {SWITCH}
        {first}; movb $1, (%r15); clwb (%r15); sfence; sfence
    """
    seen: list[list[LogRecord]] = []
    with rig.run(body, meanwhile=switching(seen)) as log:
        log.check()
        assert shown(seen[0]) == [("LINE", 0, 1), ("FENCE", 0, 0)]
        assert shown(list(log)) == [*logged, ("LINE", 0, 1), ("FENCE", 0, 0)]
        (only,) = log.completions()
        assert (only.count, only.fenced, log.counters.vcpus) == (log.count, True, 1)
        assert (log.counters.fences, log.counters.locked, log.counters.unchanged) == (1, 0, 0)


def test_both_cpus_forget(rig: Rig) -> None:
    """The CPU that sees the new log first forgets for the other, too, whose own first fence then completes nothing of
    the first run and hides nothing of the second."""
    body = f"""
        movb $1, (%r15); clwb (%r15); tell 1; await 2
        {SWITCH}
        movb $3, 128(%r15); clwb 128(%r15); lock incl -8(%rsp); tell 3; await 4
    """
    other = "await 1; movb $2, 64(%r15); clwb 64(%r15); tell 2; await 3; sfence; tell 4"
    seen: list[list[LogRecord]] = []
    with rig.run(body, other=other, meanwhile=switching(seen)) as log:
        log.check()
        assert (seen, log.counters.vcpus) == ([[]], 2)
        assert [(one.kind, one.vcpu, one.fenced) for one in log] == [
            (RecordKind.LINE, 0, False), (RecordKind.FENCE, 0, False), (RecordKind.FENCE, 1, True),
        ]  # fmt: skip


def test_faults_are_those_of_the_run(rig: Rig) -> None:
    """What one run plants is gone in the next, and the other way round."""
    work = "movb $1, (%r15); clwb (%r15); sfence; movb $2, 64(%r15); clwb 64(%r15); sfence"
    seen: list[list[LogRecord]] = []
    body = f"{work}; {SWITCH}; {work}"
    later = PlantedFaults(ignored=(64, 128), no_fence=True)
    with rig.run(body, faults=PlantedFaults(ignored=(0, 64)), meanwhile=switching(seen, faults=later)) as log:
        assert shown(seen[0]) == [("LINE", 64, 2), ("FENCE", 0, 0)]
        assert [one.fenced for one in seen[0]] == [True, True]
        assert shown(list(log)) == [("LINE", 0, 1), ("FENCE", 0, 0)]
        assert [one.fenced for one in log] == [False, False]


def test_a_log_of_another_size_stops_by_name(rig: Rig) -> None:
    """The plugin has mapped the file as it was, so a run with another capacity records nothing."""
    with rig.run(f"{SWITCH}; clwb (%r15); sfence", meanwhile=switching([], CAPACITY + 1)) as log:
        assert (log.status, log.count) == (Status.INTERNAL, 0)
        with pytest.raises(PersistLogError, match="another capacity: 1001 records, not 1000"):
            log.check()


STEP = "movb $1, (%r15); clwb (%r15); movb $2, 64(%r15); clwb 64(%r15); mov $3, %eax; movnti %eax, 72(%r15); "
LATE = {
    "a fence": (STEP + "sfence; " + MARK, [("LINE", 0, 1), ("FENCE", 0, 0), ("LINE", 64, 2), ("BYTES", 72, 3),
                                           ("FENCE", 0, 0), ("MARK", 0, 0)]),
    "a locked instruction": (STEP + "lock incl -8(%rsp); " + MARK,
                             [("LINE", 0, 1), ("FENCE", 0, 0), ("LINE", 64, 2), ("BYTES", 72, 3), ("FENCE", 0, 0),
                              ("MARK", 0, 0)]),
    "nothing else": ("movb $2, 64(%r15); clwb 64(%r15); sfence; " + MARK + "; " + MARK,
                     [("LINE", 64, 2), ("FENCE", 0, 0), ("MARK", 0, 0), ("MARK", 0, 0)]),
    "no mark": ("movb $2, 64(%r15); clwb 64(%r15); sfence", []),
    "no fence": ("movb $2, 64(%r15); clwb 64(%r15); " + MARK, [("MARK", 0, 0)]),
    "flushed twice": ("movb $2, 64(%r15); clwb 64(%r15); sfence; clwb 64(%r15); movb $3, 64(%r15); clwb 64(%r15); "
                      "sfence; " + MARK,
                      [("LINE", 64, 2), ("LINE", 64, 2), ("LINE", 64, 3), ("FENCE", 0, 0), ("MARK", 0, 0)]),
    "an owed fence": ("movb $1, (%r15); clwb (%r15); lock incl -8(%rsp); clwb 64(%r15); sfence; " + MARK,
                      [("LINE", 0, 1), ("FENCE", 0, 0), ("FENCE", 0, 0), ("LINE", 64, 0), ("FENCE", 0, 0),
                       ("MARK", 0, 0)]),
}  # fmt: skip


@pytest.mark.parametrize(("body", "logged"), LATE.values(), ids=LATE.keys())
def test_late_flushes_are_durable_when_the_op_ends(rig: Rig, body: str, logged: list[tuple[str, int, int]]) -> None:
    """What is completed of the planted bytes comes right before the next marker, as one set of its own that a fence
    completed; what no fence completed does not come at all."""
    with rig.run(body, faults=PlantedFaults(late=(64, 128))) as log:
        log.check()
        assert shown(list(log)) == logged
        assert all(one.fenced for one in log.completions()[1:])


def test_late_flushes_spoil_no_cut_after_an_op(rig: Rig) -> None:
    """At each marker the media are those of a run without the fault, the ordinary and the strict ones."""
    steps = "; ".join(f"movb ${n}, {n % 4 * 64}(%r15); clwb {n % 4 * 64}(%r15); sfence; " + MARK * (n % 3 == 0)
                      for n in range(1, 30))  # fmt: skip
    media: list[list[bytes]] = []
    for faults in (PlantedFaults(), PlantedFaults(late=(64, 129))):
        with rig.run(steps, faults=faults) as log:
            media.append([])
            for mark in log.marks:
                for strict in (False, True):
                    image = bytearray(16 * MIB)
                    log.apply(image, BASE, mark.count, strict=strict)
                    media[-1].append(bytes(image[:256]))
    assert media[0] == media[1] and len(media[0]) == 18
