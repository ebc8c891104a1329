/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest without a kernel: enters long mode with the first 8 GiB mapped one to one by 1G pages, runs `body`
 * (body.s, written by the test) with the NVDIMM's address in r15, and ends QEMU through isa-debug-exit.
 * With LA57 defined it uses five levels of tables. Loaded by QEMU as a flat multiboot image.
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
	ljmp $8, $long_mode

	.code64
long_mode:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x100000000, %r15
	call body
	mov $0xf4, %edx
	xor %eax, %eax
	outb %al, %dx
	hlt

body:
	.include "body.s"
	ret

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
end:
