/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's physical memory and the ways to an address in it. */
#ifndef DAXCHECK_GUEST_H
#define DAXCHECK_GUEST_H

#include "api.h"
#include "lines.h"
#include "memory.h"
#include "options.h"
#include "vcpu.h"

extern struct region nvdimm;

/* Sets where the guest's memory lies; called once, before any vCPU runs. */
void guest_install(const struct options *options);

/* Finds the guest's memory in this process; called per vCPU, works once. Stops the log when it is not found. */
void guest_find_memory(const struct options *options);

/* Where guest-physical [physical, physical + size) is, in RAM or the NVDIMM; NULL when it is neither. */
const uint8_t *guest_memory(uint64_t physical, uint64_t size);

/* Walks the page tables of a vCPU that is in long mode; needs registers. */
bool guest_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *physical);

/* The line of the NVDIMM that holds this guest-physical address, which must be inside. */
struct line *guest_line(uint64_t physical);

/* The guest-physical address of an access just made, false when it is no plain memory. */
bool guest_accessed(qemu_plugin_meminfo_t info, uint64_t vaddr, uint64_t *physical);

/*
 * Whether the log knows of anything that reached or is on its way to the NVDIMM. Before that no line of it can
 * be dirty in a way that matters: the kernel's own wbinvd at boot (MTRR, PAT) comes long before its pmem driver.
 */
bool guest_touched(void);
void guest_touch(void);

#endif
