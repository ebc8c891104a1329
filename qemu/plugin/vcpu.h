/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the plugin keeps per vCPU: the pending set, and the way to its registers. */
#ifndef DAXCHECK_VCPU_H
#define DAXCHECK_VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "log.h"

enum reg {
	/* encoding order, so that an operand's register number is its index here */
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	REG_RIP, REG_CR3, REG_CR4, REG_EFER, REG_FS_BASE, REG_GS_BASE,
	REG_COUNT,
};

/* How the vCPU translates; kept, because reading two more registers per flush costs a quarter of it. */
enum paging {
	PAGING_UNKNOWN, /* look at cr4 and efer */
	PAGING_LEGACY,	/* outside long mode */
	PAGING_LONG4,
	PAGING_LONG5,
};

/*
 * Only the vCPU's own thread touches its entry, so none of this needs a lock. Generated code reads `pending`
 * to decide whether a fence or a locked instruction calls out at all.
 */
struct vcpu {
	uint64_t pending; /* records in `set`: flushed or stored non-temporally, not yet fenced */
	struct record *set;
	uint64_t room;
	GByteArray *scratch; /* for register reads, so that these allocate nothing */
	uint64_t paging;     /* enum paging */
	uint64_t stored_to;  /* linear address where the newest pending BYTES record's store ended */
	uint64_t flushes, nontemporal; /* not yet added to the log's counters */
	uint8_t padding[64]; /* no two vCPUs share a cache line of the scoreboard */
};
_Static_assert(sizeof(struct vcpu) == 128, "whole cache lines");

/* Makes the scoreboard; called once, at install time. */
void vcpu_install(void);

/* Called in the vCPU's thread before it runs: false when QEMU does not offer register *missing. */
bool vcpu_init(unsigned int index, const char **missing);

struct vcpu *vcpu_at(unsigned int index);

/* The scoreboard member that conditional callbacks compare. */
qemu_plugin_u64 vcpu_pending_member(void);

/* Reads a register; only in a callback registered with QEMU_PLUGIN_CB_R_REGS. */
uint64_t vcpu_register(struct vcpu *vcpu, enum reg reg);

/* How the vCPU translates now; only in a callback registered with QEMU_PLUGIN_CB_R_REGS. */
enum paging vcpu_paging(struct vcpu *vcpu);

/* A fresh record at the end of the pending set, zeroed but for kind, address, length and vcpu. */
struct record *vcpu_add(struct vcpu *vcpu, unsigned int index, enum record_kind kind, uint64_t address,
			uint32_t length);

#endif
