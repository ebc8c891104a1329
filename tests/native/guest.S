/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest without a kernel: enters long mode with the first 8 GiB mapped one to one by 1G pages, runs `body`
 * (body.s, written by the test) with the NVDIMM's address in r15, and ends QEMU through isa-debug-exit.
 * With LA57 defined it uses five levels of tables. With OTHER defined it first starts a second CPU, which runs
 * `other` (other.s) with the same r15 and then halts. Loaded by QEMU as a flat multiboot image.
 */
	.set LOAD_ADDRESSES, 0x10000 /* multiboot flag: the header says where things go */
	.set MULTIBOOT, 0x1badb002
	.globl start

	.code32
image:
	.balign 4
header:
	.long MULTIBOOT, LOAD_ADDRESSES, -(MULTIBOOT + LOAD_ADDRESSES)
	.long header, image, 0, end, start

start:
	mov $stack, %esp
	mov $0x83, %eax /* present, writable, large */
	xor %ecx, %ecx
1:	mov %ecx, %edx
	shr $2, %edx /* page number << 30, the high half */
	mov %edx, directories + 4(, %ecx, 8)
	mov %ecx, %edx
	shl $30, %edx
	or %eax, %edx
	mov %edx, directories(, %ecx, 8)
	inc %ecx
	cmp $8, %ecx
	jne 1b
	movl $directories + 3, level4
	movl $level4 + 3, level5
#ifdef OTHER
	mov $trampoline, %esi
	mov $TRAMPOLINE, %edi
	mov $trampoline_end - trampoline, %ecx
	rep movsb
	mov $0xfee00000, %ebx /* the local APIC */
	movl $0x1ff, 0xf0(%ebx) /* enable it */
	movl $0xc4500, 0x300(%ebx) /* INIT to all others */
	movl $0xc4600 + TRAMPOLINE / 0x1000, 0x300(%ebx) /* SIPI */
#endif
	call enter_long_mode
	ljmp $8, $long_mode

enter_long_mode:
	mov %cr4, %eax
	or $0x620, %eax /* PAE, OSFXSR, OSXMMEXCPT */
#ifdef LA57
	or $0x1000, %eax
#endif
	mov %eax, %cr4
#ifdef LA57
	mov $level5, %eax
#else
	mov $level4, %eax
#endif
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax /* EFER.LME */
	wrmsr
	mov %cr0, %eax
	and $~4, %eax
	or $0x80000003, %eax /* paging, protection, MP */
	mov %eax, %cr0
	lgdt gdt_pointer
	ret

#ifdef OTHER
	.set TRAMPOLINE, 0x8000
	.code16
trampoline:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl TRAMPOLINE + (boot_pointer - trampoline)
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $8, $other_start
boot_gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
boot_pointer:
	.word . - boot_gdt - 1
	.long TRAMPOLINE + (boot_gdt - trampoline)
trampoline_end:

	.code32
other_start:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $other_stack, %esp
	call enter_long_mode
	ljmp $8, $other_long_mode
#endif

	.code64
	.macro load_segments
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x100000000, %r15
	.endm

/* What the two CPUs tell each other; plain stores, which complete nothing. */
	.macro tell turn
	movb $\turn, turn
	.endm
	.macro await number
1:	pause
	cmpb $\number, turn
	jne 1b
	.endm

long_mode:
	load_segments
	call body
	mov $0xf4, %edx
	xor %eax, %eax
	outb %al, %dx
	hlt

body:
	.include "body.s"
	ret

#ifdef OTHER
other_long_mode:
	load_segments
	call other
1:	hlt
	jmp 1b

other:
	.include "other.s"
	ret
#endif

	.balign 8
gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt
	.balign 4096
level5: .skip 4096
level4: .skip 4096
directories: .skip 4096
	.skip 4096
stack:
	.skip 4096
other_stack:
turn:
	.skip 4096 /* a page without code, so that QEMU retranslates nothing when it is written */
end:
