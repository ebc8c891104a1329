"""Holds the machine code of agent.x86.cpu: leaf functions of the System V calling convention.

Each is kept as its AT&T listing beside its bytes; a unit test assembles the listing and compares. All stores are plain
movs of a byte, a word or a vector, and so leave dirty lines in the caches. A non-temporal store would reach the media
by itself and change what is tested, which is why memcpy() is not used to write; a CPU may carry out rep movs and rep
stos by any means, so neither is used.

The stubs named _avx2 do the same as those named without, several times faster under TCG too. No vector that they store
crosses a page if the address is a multiple of eight, and stores go up: a fault leaves all that lies below it stored.
"""

MARKER = bytes.fromhex("0f1f84005841445d")
"""nopl 0x5d444158(%rax,%rax,1): a NOP to the CPU; the persistence plugin records rdi when it runs."""

CLWB, CLFLUSHOPT, CLFLUSH = "clwb", "clflushopt", "clflush"


def _flush_listing(instruction: str) -> str:
    # On a CPU these fault as a load does (Intel SDM volume 2A, CLWB); to QEMU they are no access, hence the load.
    return f"""
        add %rdi, %rsi          # rdi address, rsi length -> end
        and $-64, %rdi
    1:  cmp %rsi, %rdi
        jae 2f
        test %al, (%rdi)
        {instruction} (%rdi)
        add $64, %rdi
        jmp 1b
    2:  sfence
        ret
    """


_COUNT = """
        vmovq %rcx, %xmm0       # ymm0: the key, four times
        vpbroadcastq %xmm0, %ymm0
        mov $0x03020100, %eax
        vmovd %eax, %xmm1
        vpmovzxbq %xmm1, %ymm1
        vmovq %rdx, %xmm2
        vpbroadcastq %xmm2, %ymm2
        vpaddq %ymm2, %ymm1, %ymm1      # ymm1 to ymm4: the next sixteen p
        mov $4, %eax
        vmovd %eax, %xmm5
        vpbroadcastq %xmm5, %ymm5
        vpaddq %ymm5, %ymm1, %ymm2
        vpaddq %ymm5, %ymm2, %ymm3
        vpaddq %ymm5, %ymm3, %ymm4
        vpsllq $2, %ymm5, %ymm5         # ymm5: 16, four times
"""
_ADVANCE = """
        vpaddq %ymm5, %ymm1, %ymm1
        vpaddq %ymm5, %ymm2, %ymm2
        vpaddq %ymm5, %ymm3, %ymm3
        vpaddq %ymm5, %ymm4, %ymm4
        sub $-128, %rdi
        sub $16, %rsi
        jae 3b
"""

LISTINGS: dict[str, tuple[str, str]] = {
    # name: (AT&T listing, its bytes)
    "mark": (
        """
        nopl 0x5d444158(%rax,%rax,1)    # rdi value
        ret
        """,
        "0f1f84005841445dc3",
    ),
    "fill": (
        """
        test %rsi, %rsi         # rdi address, rsi words, rdx first p, rcx file<<48, r8 seq mask
        jz 2f
    1:  mov %rdx, %rax
        or %rcx, %rax
        xor %r8, %rax
        mov %rax, (%rdi)
        add $8, %rdi
        inc %rdx
        dec %rsi
        jnz 1b
    2:  ret
        """,
        "4885f674184889d04809c84c31c04889074883c70848ffc248ffce75e8c3",
    ),
    "edge": (
        """
        test %rdx, %rdx         # rdi address, rsi bytes to store (low first), rdx how many
        jz 2f
    1:  mov %sil, (%rdi)
        shr $8, %rsi
        inc %rdi
        dec %rdx
        jnz 1b
    2:  ret
        """,
        "4885d2740f40883748c1ee0848ffc748ffca75f1c3",
    ),
    "match": (
        """
        xor %eax, %eax          # rdi address, rsi words, rdx first p, rcx file<<48, r8 seq mask
    1:  cmp %rsi, %rax
        jae 2f
        lea (%rdx,%rax), %r9
        or %rcx, %r9
        xor %r8, %r9
        cmp %r9, (%rdi,%rax,8)
        jne 2f
        inc %rax
        jmp 1b
    2:  ret
        """,
        "31c04839f073154c8d0c024909c94d31c14c390cc7750548ffc0ebe6c3",
    ),
    "match_zero": (
        """
        xor %eax, %eax          # rdi address, rsi words
    1:  cmp %rsi, %rax
        jae 2f
        cmpq $0, (%rdi,%rax,8)
        jne 2f
        inc %rax
        jmp 1b
    2:  ret
        """,
        "31c04839f0730c48833cc700750548ffc0ebefc3",
    ),
    "fill_avx2": (
        f"""
        xor %r8, %rcx           # as fill; p has no bit of file<<48, so rcx ^ r8 is the key that p is xored with
        mov %rdi, %r9           # r9: words stored singly, at first those up to a boundary of 32 bytes
        neg %r9
        shr $3, %r9
        and $3, %r9d
        cmp %rsi, %r9
        cmova %rsi, %r9
        sub %r9, %rsi
    1:  test %r9, %r9
        jz 2f
        mov %rcx, %rax
        xor %rdx, %rax
        mov %rax, (%rdi)
        add $8, %rdi
        inc %rdx
        dec %r9
        jmp 1b
    2:  test %rsi, %rsi
        jz 5f
        cmp $16, %rsi
        jb 4f
        {_COUNT}
        sub $16, %rsi
    3:  vpxor %ymm0, %ymm1, %ymm6
        vpxor %ymm0, %ymm2, %ymm7
        vpxor %ymm0, %ymm3, %ymm8
        vpxor %ymm0, %ymm4, %ymm9
        vmovdqu %ymm6, (%rdi)
        vmovdqu %ymm7, 32(%rdi)
        vmovdqu %ymm8, 64(%rdi)
        vmovdqu %ymm9, 96(%rdi)
        {_ADVANCE}
        add $16, %rsi
        vmovq %xmm1, %rdx
        vzeroupper
    4:  mov %rsi, %r9
        xor %esi, %esi
        jmp 1b
    5:  ret
        """,
        "4c31c14989f949f7d949c1e9034183e1034939f14c0f47ce4c29ce4d85c974154889c84831d04889074883c70848ffc249ff"
        "c9ebe64885f60f84a60000004883fe100f8292000000c4e1f96ec1c4e27d59c0b800010203c5f96ec8c4e27d32c9c4e1f96e"
        "d2c4e27d59d2c5f5d4cab804000000c5f96ee8c4e27d59edc5f5d4d5c5edd4ddc5e5d4e5c5d573f5024883ee10c5f5eff0c5"
        "edeff8c565efc0c55defc8c5fe7f37c5fe7f7f20c57e7f4740c57e7f4f60c5f5d4cdc5edd4d5c5e5d4ddc5ddd4e54883ef80"
        "4883ee1073c34883c610c4e1f97ecac5f8774989f131f6e937ffffffc3",
    ),
    "match_avx2": (
        f"""
        xor %r8, %rcx           # as match; rcx ^ r8 is the key, as in fill_avx2
        mov %rsi, %r10
        cmp $16, %rsi
        jb 5f
        {_COUNT}
        sub $16, %rsi
    3:  vpxor (%rdi), %ymm1, %ymm6
        vpxor 32(%rdi), %ymm2, %ymm7
        vpxor 64(%rdi), %ymm3, %ymm8
        vpxor 96(%rdi), %ymm4, %ymm9
        vpcmpeqq %ymm0, %ymm6, %ymm6
        vpcmpeqq %ymm0, %ymm7, %ymm7
        vpcmpeqq %ymm0, %ymm8, %ymm8
        vpcmpeqq %ymm0, %ymm9, %ymm9
        vpand %ymm6, %ymm7, %ymm6
        vpand %ymm8, %ymm9, %ymm8
        vpand %ymm6, %ymm8, %ymm6
        vpmovmskb %ymm6, %eax
        inc %eax                # all ones: all sixteen are right
        jnz 4f
        {_ADVANCE}
    4:  add $16, %rsi           # the words from rdi on are looked at singly
        vmovq %xmm1, %rdx
        vzeroupper
    5:  test %rsi, %rsi
        jz 6f
        mov %rcx, %rax
        xor %rdx, %rax
        cmp %rax, (%rdi)
        jne 6f
        add $8, %rdi
        inc %rdx
        dec %rsi
        jmp 5b
    6:  mov %r10, %rax
        sub %rsi, %rax
        ret
        """,
        "4c31c14989f24883fe100f82ab000000c4e1f96ec1c4e27d59c0b800010203c5f96ec8c4e27d32c9c4e1f96ed2c4e27d59d2"
        "c5f5d4cab804000000c5f96ee8c4e27d59edc5f5d4d5c5edd4ddc5e5d4e5c5d573f5024883ee10c5f5ef37c5edef7f20c565"
        "ef4740c55def4f60c4e24d29f0c4e24529f8c4623d29c0c4623529c8c5c5dbf6c44135dbc0c5bddbf6c5fdd7c6ffc0751ac5"
        "f5d4cdc5edd4d5c5e5d4ddc5ddd4e54883ef804883ee1073aa4883c610c4e1f97ecac5f8774885f674174889c84831d04839"
        "07750c4883c70848ffc248ffceebe44c89d04829f0c3",
    ),
    "match_zero_avx2": (
        """
        mov %rsi, %r10          # as match_zero
    1:  sub $16, %rsi
        jb 2f
        vmovdqu (%rdi), %ymm0
        vmovdqu 64(%rdi), %ymm1
        vpor 32(%rdi), %ymm0, %ymm0
        vpor 96(%rdi), %ymm1, %ymm1
        vpor %ymm1, %ymm0, %ymm0
        vptest %ymm0, %ymm0
        jnz 2f
        sub $-128, %rdi
        jmp 1b
    2:  vzeroupper
        add $16, %rsi
    3:  jz 4f
        cmpq $0, (%rdi)
        jne 4f
        add $8, %rdi
        dec %rsi
        jmp 3b
    4:  mov %r10, %rax
        sub %rsi, %rax
        ret
        """,
        "4989f24883ee107224c5fe6f07c5fe6f4f40c5fdeb4720c5f5eb4f60c5fdebc1c4e27d17c075064883ef80ebd6c5f8774883"
        "c610740f48833f0075094883c70848ffceebef4c89d04829f0c3",
    ),
    "spin": (
        """
        test %rdi, %rdi         # rdi turns
        jz 2f
    1:  pause
        dec %rdi
        jnz 1b
    2:  ret
        """,
        "4885ff7407f39048ffcf75f9c3",
    ),
    "cpuid": (
        """
        push %rbx               # edi leaf, esi subleaf, rdx four words out
        mov %rdx, %r8
        mov %edi, %eax
        mov %esi, %ecx
        cpuid
        mov %eax, (%r8)
        mov %ebx, 4(%r8)
        mov %ecx, 8(%r8)
        mov %edx, 12(%r8)
        pop %rbx
        ret
        """,
        "534989d089f889f10fa241890041895804418948084189500c5bc3",
    ),
    "xgetbv": (
        """
        xor %ecx, %ecx          # XCR0
        xgetbv
        shl $32, %rdx
        or %rdx, %rax
        ret
        """,
        "31c90f01d048c1e2204809d0c3",
    ),
    CLWB: (_flush_listing(CLWB), "4801fe4883e7c04839f7730c8407660fae374883c740ebef0faef8c3"),
    CLFLUSHOPT: (_flush_listing(CLFLUSHOPT), "4801fe4883e7c04839f7730c8407660fae3f4883c740ebef0faef8c3"),
    CLFLUSH: (_flush_listing(CLFLUSH), "4801fe4883e7c04839f7730b84070fae3f4883c740ebf00faef8c3"),
}
