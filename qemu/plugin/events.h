/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens when an instrumented instruction executes. All run in the vCPU's own thread. */
#ifndef DAXCHECK_EVENTS_H
#define DAXCHECK_EVENTS_H

#include "api.h"
#include "decode.h"

/* clwb, clflushopt, clflush; data is a packed struct operand. Needs registers. */
void events_flush(unsigned int vcpu, void *data);

/* sfence, mfence, locked and serialising instructions; data from pack_place(). Needs registers. */
void events_complete(unsigned int vcpu, void *data);

/*
 * sfence and mfence once more: logs that what other instructions have completed has been fenced as well; data from
 * pack_place(). Needs registers.
 */
void events_fence(unsigned int vcpu, void *data);

/* wrmsr: completes unless the MSR is one that does not serialise; data from pack_place(). Needs registers. */
void events_wrmsr(unsigned int vcpu, void *data);

/* A store of a non-temporal instruction, after it was done. */
void events_nontemporal(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data);

/* The marker; data from pack_place(). Needs registers. */
void events_marker(unsigned int vcpu, void *data);

/* wbinvd and invd: what they do to the media cannot be told from the flushes alone; data from pack_place(). */
void events_whole_cache(unsigned int vcpu, void *data);

/* A store of enqcmd: never to memory of ours; data from pack_place(). */
void events_unmodelled_store(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data);

/* mode=count_stores: any store. */
void events_store(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data);

/* An instruction's kind and linear address (its low 56 bits) in one user pointer. */
void *pack_place(enum kind kind, uint64_t address);
void *pack_operand(struct operand operand);

#endif
