"""Completions in the plugin's log: which instruction made what durable, in small guests without a kernel."""

from typing import Any, Protocol

import pytest

from harness.media.log import Completion, PersistLog

MARK = ".byte 0x0f, 0x1f, 0x84, 0x00, 0x58, 0x41, 0x44, 0x5d"


class Rig(Protocol):
    """What conftest's rig can do."""

    def run(self, body: str, **options: Any) -> PersistLog: ...


COMPLETING = {
    "sfence": ("", "sfence", True),
    "mfence": ("", "mfence", True),
    "lock": ("", "lock incl -8(%rsp)", False),
    "cr3": ("mov %cr3, %rax", "mov %rax, %cr3", False),
    "wrmsr": ("mov $0xc0000102, %ecx; xor %eax, %eax; xor %edx, %edx", "wrmsr", False),
}


@pytest.mark.parametrize(("before", "code", "fenced"), COMPLETING.values(), ids=COMPLETING.keys())
def test_a_completion_names_its_instruction(rig: Rig, before: str, code: str, fenced: bool) -> None:
    """The address is that of the completing instruction itself, wherever in its block it stands; the count holds all of
    its set; an instruction that completes nothing is none."""
    body = f"""
        {before}; {code}; lea 1f(%rip), %rdi; {MARK}; clwb (%r15); clwb 64(%r15); movl $1, -16(%rsp); nop; nop
        1: {code}
        {code}; lea 2f(%rip), %rdi; {MARK}; clwb 128(%r15)
        2: {code}
    """
    with rig.run(body) as log:
        first, second = (mark.value for mark in log.marks)
        told = log.completions()
        assert [(one.address, one.vcpu, one.fenced) for one in told] == [(first, 0, fenced), (second, 0, fenced)]
        assert [one.count for one in told] == [4, log.count]


def test_shared_code_is_told_where_it_ran(rig: Rig) -> None:
    """Of code that is mapped twice, and so translated once, the address is the one by which it was executed."""
    body = f"""
        mov $0x83, %eax; mov %rax, directories + 5 * 8; mov %cr3, %rax; mov %rax, %cr3; xor %ebx, %ebx
        1: incb (%r15); clwb (%r15); lea 2f(%rip), %rdi; {MARK}
        2: sfence
        test %rbx, %rbx; jnz 3f
        mov $0x140000000, %rbx; lea 1b(%rip), %rax; add %rbx, %rax; jmp *%rax
        3:
    """
    with rig.run(body) as log:
        low, high = (mark.value for mark in log.marks)
        assert high == low + 0x140000000
        assert [one.address for one in log.completions()] == [low, high]


CALLS = {
    "near": ("call 5b", 0),
    "register": ("lea 5b(%rip), %rax; call *%rax", 0),
    "jump": ("lea 6f(%rip), %rax; push %rax; jmp 5b", None),
}  # fmt: skip


@pytest.mark.parametrize(("call", "first"), CALLS.values(), ids=CALLS.keys())
def test_callers_are_return_addresses(rig: Rig, call: str, first: int | None) -> None:
    """What lies on the stack counts if it is an address of the kernel's half that a call leads to; anything else there
    does not."""
    body = f"""
        mov $directories + 3, %eax; mov %rax, level4 + 511 * 8; mov $0x83, %eax; mov %rax, directories + 510 * 8
        mov %cr3, %rax; mov %rax, %cr3; mov $0xffffffff80000000, %rbx
        lea 4f(%rip), %rax; add %rbx, %rax; jmp *%rax
        5: push $-1; push $0x1234; clwb (%r15); sfence; add $16, %rsp; ret
        4: nop; lea 6f(%rip), %rdi; {MARK}; {call}
        6: nop
    """
    with rig.run(body) as log:
        (only,), (mark,) = log.completions(), log.marks
        assert only.address > 0xFFFFFFFF80000000
        assert log.callers(only)[:1] == (() if first is None else (mark.value,))


def test_each_cpu_has_its_own_sets(rig: Rig) -> None:
    """What one CPU completes while another's set is pending is a set of its own, and each tells its CPU."""
    body = "movb $1, (%r15); clwb (%r15); clwb 128(%r15); tell 1; await 2; sfence"
    with rig.run(body, other="await 1; movb $2, 64(%r15); clwb 64(%r15); mfence; tell 2") as log:
        assert [(one.count, one.vcpu, one.fenced) for one in log.completions()] == [(2, 1, True), (5, 0, True)]


def test_what_a_full_log_refuses_is_no_completion(rig: Rig) -> None:
    """A set that fits without its end is left out as a whole."""
    with rig.run("clwb (%r15); sfence; clwb 64(%r15); clwb 128(%r15); sfence", capacity=4) as log:
        (only,) = log.completions()
        assert only == Completion(2, only.address, 0, True)
