"""The plugin at work: small guests without a kernel run in QEMU, and the log says what became durable."""

from typing import Any, Protocol

import pytest

from harness.media.log import LogRecord, PersistLog, PersistLogError, PlantedFaults, RecordKind, Status

MIB = 1 << 20
BASE = 1 << 32
"""Where q35 puts the first NVDIMM when RAM ends below 4 GiB."""
MARK = ".byte 0x0f, 0x1f, 0x84, 0x00, 0x58, 0x41, 0x44, 0x5d"


class Rig(Protocol):
    """What conftest's rig can do."""

    def run(self, body: str, **options: Any) -> PersistLog: ...


def durable(log: PersistLog) -> list[LogRecord]:
    return [record for record in log if record.kind in (RecordKind.LINE, RecordKind.BYTES)]


def line(start: bytes) -> bytes:
    return start.ljust(64, b"\0")


def first_line(log: PersistLog) -> bytes:
    """The NVDIMM's first line when the power fails at the end."""
    image = bytearray(16 * MIB)
    log.apply(image, BASE)
    return bytes(image[:64])


def test_a_flush_alone_is_not_durable(rig: Rig) -> None:
    """What is flushed but not fenced, and what is fenced but not flushed, stays out of the log."""
    with rig.run("movq $1, (%r15); clwb (%r15); movq $2, 64(%r15)") as log:
        assert (durable(log), log.status, log.counters.vcpus) == ([], Status.RUNNING, 1)
    with rig.run("movq $1, (%r15); sfence; mfence; lock addq $1, 64(%r15)") as log:
        assert durable(log) == []
        assert (log.counters.fences, log.counters.locked) == (0, 0)


@pytest.mark.parametrize("flush", ["clwb", "clflushopt", "clflush", ".byte 0x3e; clflush"])
@pytest.mark.parametrize("fence", ["sfence", "mfence"])
def test_a_fence_completes_a_flush(rig: Rig, flush: str, fence: str) -> None:
    """The line is logged with what it held when it was flushed, not with what was stored since."""
    with rig.run(f"movq $0x11, 72(%r15); {flush} 75(%r15); movq $0x22, 72(%r15); {fence}") as log:
        assert durable(log) == [LogRecord(RecordKind.LINE, BASE + 64, bytes(8) + line(b"\x11")[:56], 0, True)]
        assert (log.counters.flushes, log.counters.fences) == (1, 1)


def test_flushes_keep_their_order(rig: Rig) -> None:
    """Two flushes of a line before one fence are two records, in order; each fence completes only what is pending."""
    body = """
        movb $1, (%r15); clwb (%r15); clwb 64(%r15); movb $2, (%r15); clwb (%r15); sfence
        movb $3, (%r15); clwb (%r15); sfence; sfence
    """
    with rig.run(body) as log:
        found = [(record.address - BASE, record.data[0]) for record in durable(log)]
        assert found == [(0, 1), (64, 0), (0, 2), (0, 3)]
        assert (log.counters.flushes, log.counters.fences) == (4, 2)


def test_a_line_persisted_as_it_is_leaves_no_record(rig: Rig) -> None:
    """A flush of a line whose newest capture is logged with these bytes changes nothing; any other is recorded."""
    body = """
        movb $1, (%r15); clwb (%r15); clwb (%r15); sfence; clwb (%r15); sfence
        movb $2, (%r15); movb $1, (%r15); clwb (%r15); sfence
        movb $2, (%r15); clwb (%r15); movb $1, (%r15); clwb (%r15); sfence
        mov $0, %eax; movnti %eax, (%r15); movb $1, (%r15); clwb (%r15); sfence
    """
    with rig.run(body) as log:
        assert [(record.kind, record.data[0]) for record in durable(log)] == [
            (RecordKind.LINE, 1), (RecordKind.LINE, 1), (RecordKind.LINE, 2), (RecordKind.LINE, 1), (RecordKind.BYTES,
            0), (RecordKind.LINE, 1),
        ]  # fmt: skip
        assert (log.counters.flushes, log.counters.unchanged) == (5, 2)
        assert first_line(log) == line(b"\1")


TWO_CPUS = {
    "lines": ("movb $1, (%r15); clwb (%r15); tell 1; await 2; sfence",
              "await 1; movb $2, (%r15); clwb (%r15); sfence; tell 2",
              [(1, RecordKind.LINE, b"\2"), (0, RecordKind.LINE, b"\1")], b"\2"),
    "bytes under a line": ("mov $1, %eax; movnti %eax, (%r15); tell 1; await 2; sfence",
                           "await 1; movb $2, (%r15); clwb (%r15); sfence; tell 2",
                           [(1, RecordKind.LINE, b"\2"), (0, RecordKind.BYTES, b"\1")], b"\2"),
    "bytes around a line": ("mov $1, %eax; movnti %eax, (%r15); tell 1; await 2; movnti %eax, 4(%r15); sfence",
                            "await 1; movb $2, (%r15); clwb (%r15); sfence; tell 2",
                            [(1, RecordKind.LINE, b"\2"), (0, RecordKind.BYTES, b"\1"), (0, RecordKind.BYTES, b"\1")],
                            b"\2\0\0\0\1"),
    "another line between": ("mov $1, %eax; movnti %eax, (%r15); tell 1; await 2; movnti %eax, 4(%r15); sfence",
                             "await 1; movb $2, 64(%r15); clwb 64(%r15); sfence; tell 2",
                             [(1, RecordKind.LINE, b"\2"), (0, RecordKind.BYTES, b"\1")], b"\1\0\0\0\1"),
    "unchanged, captured since": ("movb $1, (%r15); clwb (%r15); sfence; tell 1; await 2; movb $1, (%r15); "
                                  "clwb (%r15); sfence; tell 3; await 4",
                                  "await 1; movb $2, (%r15); clwb (%r15); tell 2; await 3; sfence; tell 4",
                                  [(0, RecordKind.LINE, b"\1"), (0, RecordKind.LINE, b"\1"),
                                   (1, RecordKind.LINE, b"\2")], b"\1"),
    "unchanged, older pending": ("movb $1, (%r15); clwb (%r15); tell 1; await 2; sfence",
                                 "await 1; movb $2, (%r15); clwb (%r15); sfence; clwb (%r15); sfence; tell 2",
                                 [(1, RecordKind.LINE, b"\2"), (0, RecordKind.LINE, b"\1")], b"\2"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "other", "logged", "start"), TWO_CPUS.values(), ids=TWO_CPUS.keys())
def test_of_two_cpus_the_later_capture_wins(
    rig: Rig, body: str, other: str, logged: list[tuple[int, RecordKind, bytes]], start: bytes
) -> None:
    """The log has the order of the fences; what lies on the media goes by when each CPU captured the line."""
    with rig.run(body, other=other) as log:
        log.check()
        assert log.counters.vcpus == 2
        assert [(record.vcpu, record.kind, record.data[:1]) for record in durable(log)] == logged
        assert first_line(log) == line(start)


@pytest.mark.parametrize("drop", ["mov %cr3, %rax; mov %rax, %cr3", "mov %cr4, %rax; mov %rax, %cr4", "invlpg (%rbx)"])
def test_a_page_is_remembered_until_a_cpu_must_forget_it(rig: Rig, drop: str) -> None:
    """A page that is mapped elsewhere is still the old one for a flush, until its translation has been dropped."""
    body = f"""
        mov $0x140000000, %rbx; clwb (%rbx)
        mov $0x100000083, %rax; mov %rax, directories + 5 * 8
        clwb 64(%rbx); {drop}; clwb 128(%rbx); sfence
    """
    with rig.run(body) as log:
        log.check()
        assert [record.address - BASE for record in durable(log)] == [128]


COMPLETING = {
    "lock": "lock addq $1, -8(%rsp)",
    "xchg": "xchg %rax, -8(%rsp)",
    "cpuid": "cpuid",
    "cr0": "mov %cr0, %rax; mov %rax, %cr0",
    "cr3": "mov %cr3, %rax; mov %rax, %cr3",
    "invlpg": "invlpg (%r15)",
    "wrmsr": "mov $0xc0000102, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr",
    "iret": "mov %rsp, %rax; mov %ss, %ecx; push %rcx; push %rax; pushf; mov %cs, %ecx; push %rcx; "
            "lea 1f(%rip), %rax; push %rax; iretq; 1:",
}  # fmt: skip


@pytest.mark.parametrize("body", COMPLETING.values(), ids=COMPLETING.keys())
def test_locked_and_serialising_instructions_complete(rig: Rig, body: str) -> None:
    """They complete what is pending, and the record says that no fence did."""
    with rig.run(f"movb $7, (%r15); clwb (%r15); {body}") as log:
        assert durable(log) == [LogRecord(RecordKind.LINE, BASE, line(b"\7"), 0, False)]
        assert (log.counters.fences, log.counters.locked) == (0, 1)


NOT_COMPLETING = {
    "lfence": "lfence",
    "tsc deadline": "mov $0x6e0, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr",
    "cr8": "mov %cr8, %rax; mov %rax, %cr8",
    "xchg of registers": "xchg %rax, %rbx",
    "store": "movq $1, 64(%r15)",
}


@pytest.mark.parametrize("body", NOT_COMPLETING.values(), ids=NOT_COMPLETING.keys())
def test_other_instructions_do_not_complete(rig: Rig, body: str) -> None:
    """Load fences, the MSRs and registers that do not serialise, and plain stores leave the set pending."""
    with rig.run(f"clwb (%r15); {body}") as log:
        assert durable(log) == []


NONTEMPORAL = {
    "movnti 8": ("movnti %rax, 8(%r15)", [(8, bytes(range(1, 9)))]),
    "movnti 4": ("movnti %eax, 4(%r15)", [(4, bytes(range(1, 5)))]),
    "over a line": ("movnti %rax, 61(%r15)", [(61, b"\1\2\3"), (64, b"\4\5\6\7\10")]),
    "over a page": ("movnti %rax, 4093(%r15)", [(4093, b"\1\2\3"), (4096, b"\4\5\6\7\10")]),
    "joined": ("movnti %rax, 48(%r15); movnti %rax, 56(%r15); movnti %rax, 64(%r15)",
               [(48, bytes(range(1, 9)) * 2), (64, bytes(range(1, 9)))]),
    "not joined": ("movnti %rax, 8(%r15); movnti %eax, (%r15)", [(8, bytes(range(1, 9))), (0, b"\1\2\3\4")]),
    "movntdq": ("movq %rax, %xmm1; movntdq %xmm1, 32(%r15)", [(32, bytes(range(1, 9)) + bytes(8))]),
    "movntq": ("movq %rax, %mm1; movntq %mm1, 32(%r15)", [(32, bytes(range(1, 9)))]),
    "maskmovdqu": ("movq %rax, %xmm1; mov $0x8000008000000080, %rcx; movq %rcx, %xmm2; mov %r15, %rdi; "
                   "maskmovdqu %xmm2, %xmm1", [(0, b"\1"), (4, b"\5"), (7, b"\10")]),
    "elsewhere": ("movnti %rax, -64(%rsp)", []),
}  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), NONTEMPORAL.values(), ids=NONTEMPORAL.keys())
def test_nontemporal_stores_are_exact(rig: Rig, body: str, expected: list[tuple[int, bytes]]) -> None:
    """Only the stored bytes become durable, not the rest of their line; and only with a fence."""
    load = "movb $0x55, 24(%r15); mov $0x0807060504030201, %rax"
    with rig.run(f"{load}; {body}; sfence") as log:
        assert [(record.address - BASE, record.data) for record in durable(log)] == expected
        assert all(record.kind is RecordKind.BYTES and record.fenced for record in durable(log))
    with rig.run(f"{load}; {body}") as log:
        assert durable(log) == []


def test_markers_stand_in_log_order(rig: Rig) -> None:
    """A marker is logged when it executes; what is pending then comes after it."""
    body = f"""
        mov $5, %edi; {MARK}
        clwb (%r15); sfence; clwb 64(%r15)
        mov $-1, %rdi; {MARK}
        sfence
    """
    with rig.run(body) as log:
        assert [(mark.value, mark.count) for mark in log.marks] == [(5, 0), ((1 << 64) - 1, 3)]
        assert [record.address - BASE for record in durable(log)] == [0, 64]
        assert log.counters.markers == 2


@pytest.mark.parametrize("la57", [False, True])
@pytest.mark.parametrize("private", [False, True])
def test_tables_and_memory_are_found(rig: Rig, la57: bool, private: bool) -> None:
    """Four and five levels of tables, RAM shared and RAM mapped copy-on-write, give the same log."""
    with rig.run("movb $9, 128(%r15); clwb 128(%r15); sfence", la57=la57, private=private) as log:
        log.check()
        assert durable(log) == [LogRecord(RecordKind.LINE, BASE + 128, line(b"\x09"), 0, True)]


def test_a_planted_fault_loses_flushes(rig: Rig) -> None:
    """Flushes that touch the given device bytes vanish, the others stay; non-temporal stores are not flushes."""
    body = "clwb (%r15); clwb 64(%r15); clwb 128(%r15); clwb 192(%r15); movnti %rax, 64(%r15); sfence"
    with rig.run(body, faults=PlantedFaults(ignored=(64, 129))) as log:
        assert [(record.kind, record.address - BASE) for record in durable(log)] == [
            (RecordKind.LINE, 0), (RecordKind.LINE, 192), (RecordKind.BYTES, 64),
        ]  # fmt: skip
        assert (log.counters.flushes, log.counters.dropped) == (2, 2)


def test_outside_the_nvdimm_nothing_is_logged(rig: Rig) -> None:
    """Flushes of RAM and just past the NVDIMM are ignored."""
    with rig.run("clwb (%rsp); clflush 0x1000; clwb 0x1000(%r15); clwb 0xfff(%r15); sfence", nvdimm_size=4096) as log:
        assert [record.address - BASE for record in durable(log)] == [0xFC0]


def test_a_full_log_stops_by_name(rig: Rig) -> None:
    """A set that does not fit is not logged at all, and check() says why."""
    body = "clwb (%r15); sfence; clwb 64(%r15); clwb 128(%r15); sfence; clwb 192(%r15); sfence"
    with rig.run(body, capacity=4) as log:
        assert (log.count, log.status) == (2, Status.FULL)
        with pytest.raises(PersistLogError, match="log full: 4 records fit, 1 more than that came"):
            log.check()


STOPS = {
    "wbinvd": ("clwb (%r15); wbinvd", "wbinvd at 0x10[0-9a-f]{4} while NVDIMM lines may be dirty"),
    "invd": (f"{MARK}; invd", "invd at 0x10[0-9a-f]{4} while"),
    "unmapped": ("mov $0x7f0000000040, %rbx; clwb 8(%rbx)",
                 "flush at 0x10[0-9a-f]{4}: linear address 0x7f0000000048 is not mapped"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said"), STOPS.values(), ids=STOPS.keys())
def test_what_is_not_modelled_stops_by_name(rig: Rig, body: str, said: str) -> None:
    """Recording ends with the instruction and its address; nothing after it is logged."""
    with rig.run(f"{body}; clwb (%r15); sfence") as log:
        assert durable(log) == []
        with pytest.raises(PersistLogError, match=said):
            log.check()


def test_wbinvd_of_a_clean_nvdimm_is_harmless(rig: Rig) -> None:
    """Firmware and kernel use it while they boot, long before anything is stored to the NVDIMM."""
    with rig.run("wbinvd; clwb (%r15); sfence") as log:
        log.check()
        assert len(durable(log)) == 1


def test_a_nvdimm_that_qemu_does_not_map_is_told(rig: Rig) -> None:
    """More bytes asked for than QEMU maps of the file: an error of the harness, named."""
    with rig.run("nop", nvdimm_size=32 * MIB) as log:
        assert log.status is Status.INTERNAL
        with pytest.raises(PersistLogError, match=r"QEMU maps 16777216 of 33554432 bytes of .*nvdimm"):
            log.check()


def test_counting_stores_changes_no_record(rig: Rig) -> None:
    """mode=count_stores counts the stores into the NVDIMM and logs what it logs without."""
    body = "movq $1, (%r15); movq $2, 8(%r15); movq $3, -8(%rsp); clwb (%r15); sfence"
    with rig.run(body, count_stores=True) as log:
        assert [record.data[:16] for record in durable(log)] == [b"\1".ljust(8, b"\0") + b"\2".ljust(8, b"\0")]
        assert log.counters.stores == 2
