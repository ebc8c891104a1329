/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the plugin keeps per vCPU: the pending set, and the way to its registers. */
#ifndef DAXCHECK_VCPU_H
#define DAXCHECK_VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "log.h"
#include "memory.h"

enum reg {
	/* encoding order, so that an operand's register number is its index here */
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	REG_RIP, REG_CR3, REG_CR4, REG_EFER, REG_FS_BASE, REG_GS_BASE,
	REG_COUNT,
};

/*
 * Only the vCPU's own thread touches its entry, so none of this needs a lock (but see run.h). Generated code reads `pending`
 * to decide whether a fence or a locked instruction calls out at all, and counts `mappings` up.
 */
struct vcpu {
	uint64_t pending; /* records in `set`: flushed or stored non-temporally, not yet fenced */
	uint64_t lax;	  /* 1: since its last fence, on any vCPU something was completed without one; others set it */
	struct record *set;
	uint64_t room;
	GByteArray *scratch;	/* for register reads, so that these allocate nothing */
	uint64_t mappings;	/* counted up, by generated code, where the CPU may drop its translations */
	uint64_t page_mappings; /* `mappings` when the page below was looked up: it holds while they are equal */
	uint64_t page, frame;	/* the page used last, linear and guest-physical */
	uint64_t flushes, nontemporal, unchanged; /* not yet added to the log's counters */
	uint8_t padding[64];			  /* no two vCPUs share a cache line of the scoreboard */
};

/* Makes the scoreboard; called once, at install time. */
void vcpu_install(void);

/* Called in the vCPU's thread before it runs: false when QEMU does not offer register *missing. */
bool vcpu_init(unsigned int index, const char **missing);

struct vcpu *vcpu_at(unsigned int index);

/* The vCPUs that there are: their highest index and 1. */
unsigned int vcpu_count(void);

/* Drops every vCPU's pending set, and what it knows of completions: another run begins. */
void vcpu_forget_all(void);

/* The scoreboard members that generated code compares and counts up. */
qemu_plugin_u64 vcpu_pending_member(void);
qemu_plugin_u64 vcpu_lax_member(void);
qemu_plugin_u64 vcpu_mappings_member(void);

/* Reads a register; only in a callback registered with QEMU_PLUGIN_CB_R_REGS. */
uint64_t vcpu_register(struct vcpu *vcpu, enum reg reg);

/*
 * The linear address of the instruction that executes now. QEMU shares one translation between all linear addresses
 * of a physical page (CF_PCREL), so the address seen at translation says no more than the place in the page. rip is
 * exact to the page, and no block leaves its page. Needs registers.
 */
uint64_t vcpu_instruction(struct vcpu *vcpu, uint64_t translated);

/* Something has been completed without a fence, and is in the log: the next fence of every vCPU is news. */
void vcpu_all_lax(void);

/* The vCPU executes a fence; call it before that goes to the log, or what comes between would have no fence. */
void vcpu_fenced(struct vcpu *vcpu);

/* Needs registers, too. */
bool vcpu_in_long_mode(struct vcpu *vcpu);

/* The guest-physical address of `linear` when that lies in the remembered page and the CPU may still translate so. */
static inline bool vcpu_recall(const struct vcpu *vcpu, uint64_t linear, uint64_t *physical)
{
	uint64_t offset = linear - vcpu->page;

	if (vcpu->mappings != vcpu->page_mappings || offset >= PAGE_SIZE)
		return false;
	*physical = vcpu->frame + offset;
	return true;
}

void vcpu_remember(struct vcpu *vcpu, uint64_t linear, uint64_t physical);

/* The record after the last pending one, with undefined contents; it is pending once `pending` is counted up. */
struct record *vcpu_room(struct vcpu *vcpu);

/* The pending record added last, or NULL. */
struct record *vcpu_newest(struct vcpu *vcpu);

#endif
