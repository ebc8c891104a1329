/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which x86-64 instructions bear on persistence, and where the flushes point. Pure: knows nothing of QEMU.
 * Sources: Intel SDM volume 2 (encodings), volume 3A sections 9.3 (serializing instructions) and 12.4.6
 * (fencing of CLFLUSHOPT/CLWB and of write-combined stores); AMD APM volume 3 for CLZERO and MOVNTSS/SD.
 */
#ifndef DAXCHECK_DECODE_H
#define DAXCHECK_DECODE_H

#include <stddef.h>
#include <stdint.h>

enum kind {
	KIND_OTHER,	  /* has no bearing on persistence */
	KIND_FLUSH,	  /* clwb, clflushopt, clflush; the only kind with an operand */
	KIND_FENCE,	  /* sfence, mfence */
	KIND_LOCKED,	  /* lock prefix, xchg with memory */
	KIND_SERIALISING, /* cpuid, iret, mov to control register, ... */
	KIND_WRMSR,	  /* serialising or not: the MSR decides at run time */
	KIND_INVPCID,	  /* may change what an address means, and is not serialising */
	KIND_NONTEMPORAL, /* movnt*, maskmov*, movdiri, movdir64b, clzero */
	KIND_MARKER,	  /* the agent's multi-byte nop */
	KIND_WBINVD,	  /* persists every dirty line; also wbnoinvd */
	KIND_INVD,	  /* drops every dirty line */
	KIND_ENQCMD,	  /* enqcmd, enqcmds */
};

enum segment { SEGMENT_FLAT, SEGMENT_FS, SEGMENT_GS };

/*
 * A memory operand, packed in 64 bits so that it travels as the callback's user pointer: translation then
 * allocates nothing, and retranslation leaks nothing. `page_offset` and `length` are the instruction's own,
 * needed for RIP-relative operands.
 */
struct operand {
	uint64_t displacement : 32; /* two's complement */
	uint64_t base : 4;
	uint64_t index : 4;
	uint64_t scale : 2; /* log2 */
	uint64_t has_base : 1;
	uint64_t has_index : 1;
	uint64_t rip_relative : 1;
	uint64_t segment : 2; /* enum segment */
	uint64_t address32 : 1;
	uint64_t length : 4;
	uint64_t page_offset : 12;
};
_Static_assert(sizeof(struct operand) == sizeof(void *), "an operand travels as a pointer");

struct decoded {
	enum kind kind;
	struct operand operand;
};

/* Decodes one instruction of 64-bit code; `address` is its linear address. Never reads past `length`. */
struct decoded decode(const uint8_t *bytes, size_t length, uint64_t address);

/*
 * The linear address an operand means. `registers` in encoding order (rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi,
 * r8..r15); only operand.base and operand.index are looked at. `address` is the instruction's linear address.
 */
uint64_t effective_address(struct operand operand, const uint64_t registers[16], uint64_t address,
			   uint64_t segment_base);

const char *kind_name(enum kind kind);

#endif
