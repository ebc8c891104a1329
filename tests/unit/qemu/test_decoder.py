"""The plugin's decoder and page walk, as native programs: the assembler and the CPU say what is right."""

import itertools
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = ROOT / "qemu" / "plugin"
NATIVE = ROOT / "tests" / "native"
FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=all", f"-I{PLUGIN}"]  # fmt: skip

REGISTERS = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16))]
REGISTERS32 = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", *(f"r{n}d" for n in range(8, 16))]
SEGMENTS = {"": 0, "%fs:": 1, "%gs:": 2, "%ds:": 0}
FLUSHES = ("clwb", "clflushopt", "clflush")

KINDS = {
    "fence": ["sfence", "mfence"],
    "locked": [
        "lock addl $1, (%rax)", "lock cmpxchg16b (%r8)", "lock btsq %rax, 8(%rbx,%rcx,2)", "xchg %rax, (%rbx)",
        "xchg %al, 5(%r13)", "xchg %r9, %gs:0x10", "xacquire lock xaddl %eax, (%rdx)",
    ],
    "serialising": [
        "cpuid", "iretq", "iretl", "rsm", "serialize", "lgdt (%rax)", "lidt 4(%rsp)", "invlpg (%r12)", "lldt %ax",
        "ltr (%rax)", "mov %rax, %cr3", "mov %r11, %cr2", "mov %rax, %dr7", "invvpid (%rax), %rcx",
        "invept (%rax), %rcx", "mov %rax, %cr0", "mov %r9, %cr4",
    ],
    "wrmsr": ["wrmsr"],
    "invpcid": ["invpcid (%rax), %rcx", "invpcid 8(%r9), %r10"],
    "nontemporal": [
        "movnti %eax, (%rbx)", "movnti %r9, 0x12345678(%r10,%r11,4)", "movntdq %xmm1, (%rax)",
        "movntdq %xmm9, %fs:(%r9)", "movntps %xmm1, (%rip)", "movntpd %xmm1, (%r12)", "movntq %mm1, (%rax)",
        "movntsd %xmm1, (%rax)", "movntss %xmm1, (%rax)", "maskmovq %mm1, %mm2", "maskmovdqu %xmm1, %xmm9",
        "vmaskmovdqu %xmm1, %xmm9", "vmovntdq %xmm1, (%rax)", "vmovntdq %ymm9, 64(%r9,%r10)", "vmovntps %ymm1, (%rax)",
        "vmovntpd %xmm9, (%rax)", "vmovntdq %zmm17, 64(%rax)", "vmovntps %zmm1, (%r15)", "vmovntpd %zmm31, (%rax)",
        "movdir64b (%rcx), %rdx", "movdir64b 8(%r9), %r10", "movdiri %eax, (%rbx)", "movdiri %r9, (%r12)", "clzero",
    ],
    "marker": [".byte 0x0f, 0x1f, 0x84, 0x00, 0x58, 0x41, 0x44, 0x5d"],
    "wbinvd": ["wbinvd", "wbnoinvd"],
    "invd": ["invd"],
    "enqcmd": ["enqcmd (%rax), %rbx", "enqcmds 8(%r9), %r10"],
    "other": [
        "nop", "lfence", "pause", "tpause %eax", "umonitor %rax", "umwait %eax", "xsaveopt (%rax)", "xsave (%rax)",
        "xrstor (%rax)", "fxsave (%rax)", "ldmxcsr (%rax)", "vldmxcsr (%rax)", "stmxcsr (%rax)", "rdfsbase %rax",
        "cldemote (%rax)", "prefetchw (%rax)", "prefetchnta (%rax)", "movntdqa (%rax), %xmm1",
        "vmovntdqa (%rax), %ymm1", "vmovntdqa (%rax), %zmm1", "xchg %rax, %rbx", "xchg %eax, %eax", "mov %rax, (%rbx)",
        "movaps %xmm1, (%rax)", "vmovdqu %ymm1, (%rax)", "vmovaps %zmm1, (%rax)", "rep movsb", "rep stosq",
        "mov %cr3, %rax", "mov %rax, %cr8", "mov %dr7, %rax", "sgdt (%rax)", "sidt (%rax)", "smsw %ax", "sldt %ax",
        "str %ax", "swapgs", "rdtscp", "rdmsr", "syscall", "sysretq", "vmcall", "hlt", "in %dx, %al",
        "cmpxchg %rax, (%rbx)",
        "nopl 0x5d444157(%rax,%rax,1)", "crc32q %rax, %rbx", "movbe %rax, (%rbx)", "vpmaskmovd %ymm1, %ymm2, (%rax)",
        "vmaskmovps %xmm1, %xmm2, (%rax)", "kmovq %k1, (%rax)", "pshufb %xmm1, %xmm2",
        "palignr $8, %xmm1, %xmm2", "verw (%rax)", "lar %ax, %rbx",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One instruction in AT&T syntax, its kind, and its operand when it is a flush."""

    text: str
    kind: str
    operand: str = ""
    segment: int = 0


def operands() -> Iterator[str]:
    """Every addressing form of SDM volume 2A tables 2-2 and 2-3 with REX, and the same with 32-bit addresses."""
    for registers in (REGISTERS, REGISTERS32):
        bases = ["", *(f"%{name}" for name in registers)]
        indexes = ["", *(f"%{name}" for name in registers if name not in ("rsp", "esp"))]
        for displacement, base in itertools.product(("", "-8", "0x7f", "0x80", "-0x12345678"), bases):
            for index, scale in itertools.product(indexes, (1, 2, 4, 8)):
                if index:
                    yield f"{displacement}({base},{index},{scale})"
                elif base and scale == 1:
                    yield f"{displacement}({base})"
        # riz and eiz force a SIB byte without index, which the assembler else uses with rsp and r12 only.
        yield from (f"{displacement}(,%{name[0]}iz,1)" for name in registers[:1] for displacement in ("0x1234", "-4"))
    yield from ("target(%rip)", "target+0x1234(%rip)", "target-0x7654321(%rip)", "target+8(%eip)")
    yield from ("0x12345678", "-0x1000", "(%rsp,%riz,1)", "8(%rbp,%riz,2)", "(%r13,%riz,4)", "0x100(%r12,%riz,8)")


def cases() -> Iterator[Case]:
    """All forms with one flush instruction after the other, each segment on a few forms, then all other kinds."""
    for operand, mnemonic in zip(operands(), itertools.cycle(FLUSHES), strict=False):
        yield Case(f"{mnemonic} {operand}", "flush", operand)
    for (segment, number), mnemonic in itertools.product(SEGMENTS.items(), FLUSHES):
        for operand in ("(%rax)", "64(%r9,%r12,8)", "0x40", "target(%rip)", "(%r8d)"):
            yield Case(f"{mnemonic} {segment}{operand}", "flush", operand, number)
    for kind, texts in KINDS.items():
        for text in texts:
            yield Case(text, kind)


def assembly(table: list[Case]) -> str:
    """The cases, a `lea` routine per operand, and the table that tests/native/decoder.c walks."""
    text = [".allow_index_reg", ".text", ".balign 4096"]
    for i, case in enumerate(table):
        text += [f"case{i}: {case.text}", f"case{i}_end:"]
    for i, case in enumerate(table):
        if case.operand:
            text += [f"lea{i}: lea {case.operand}, %rax; jmp leave", f"enter{i}: call enter; jmp lea{i}"]
    text += [ENTER, ".section .data.rel, \"aw\"", ".balign 8", ".globl cases, case_count", "cases:"]
    for i, case in enumerate(table):
        routine = f"enter{i}" if case.operand else "0"
        text += [f".quad case{i}, case{i}_end, {KIND_NUMBER[case.kind]}, {case.segment}, {routine}, text{i}"]
    text += [f"case_count: .quad {len(table)}", ".section .rodata"]
    text += [f'text{i}: .asciz "{case.text}"' for i, case in enumerate(table)]
    return "\n".join([*text, '.section .note.GNU-stack,"",@progbits', ""])


# All sixteen registers take the values of lea_registers, rsp too: between enter and leave there is no stack.
ENTER = """
enter:
    pop return_to(%rip)
    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
    mov %rsp, stack(%rip)
""" + "\n".join(f"    mov lea_registers+{8 * n}(%rip), %{name}" for n, name in enumerate(REGISTERS)) + """
    jmp *return_to(%rip)
leave:
    mov %rax, lea_result(%rip)
    mov stack(%rip), %rsp
    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
    ret
.bss
.balign 8
.globl lea_registers, lea_result
lea_registers: .skip 128
lea_result: .skip 8
stack: .skip 8
return_to: .skip 8
target: .skip 8
"""

KIND_NUMBER = {
    name.lower(): number
    for number, name in enumerate(re.findall(r"\bKIND_(\w+),", (PLUGIN / "decode.h").read_text()))
}


def run(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_the_decoder_agrees_with_the_assembler_and_the_cpu(tmp_path: Path) -> None:
    """Of every instruction the kind is the expected one, and of every flush the address is what `lea` computes."""
    table = list(cases())
    (tmp_path / "cases.s").write_text(assembly(table))
    run("gcc", *FLAGS, "-no-pie", "-o", tmp_path / "decoder", NATIVE / "decoder.c", PLUGIN / "decode.c",
        PLUGIN / "classify.c", tmp_path / "cases.s")  # fmt: skip
    assert run(tmp_path / "decoder") == f"{len(table)} instructions, 0 wrong\n"
    assert len(table) > 10_000


def test_the_walk_follows_every_kind_of_table(tmp_path: Path) -> None:
    """4K, 2M and 1G leaves, 4 and 5 levels, attribute bits masked off, and a clean no for what is not mapped."""
    run("gcc", *FLAGS, "-o", tmp_path / "walk", NATIVE / "walk.c", PLUGIN / "walk.c")
    assert run(tmp_path / "walk") == "0 wrong\n"


@pytest.mark.parametrize("kind", sorted(set(KIND_NUMBER) - {"flush"}))
def test_every_kind_is_tried(kind: str) -> None:
    """A kind that is added to decode.h without an example here turns this red."""
    assert KINDS[kind]
