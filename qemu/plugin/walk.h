/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long-mode page walk (Intel SDM volume 3A section 5.5). Pure: table entries come through a callback.
 * Permission bits are not looked at: clwb of a page that can be reached is all that matters here.
 */
#ifndef DAXCHECK_WALK_H
#define DAXCHECK_WALK_H

#include <stdbool.h>
#include <stdint.h>

#define CR4_LA57 (UINT64_C(1) << 12)
#define EFER_LMA (UINT64_C(1) << 10)

/* Reads the table entry at a guest-physical address; false when no memory of the guest is there. */
typedef bool (*walk_read)(void *memory, uint64_t physical, uint64_t *entry);

/*
 * Translates `linear` through `levels` (4 or 5) levels of tables. Returns false when an entry is not present or
 * lies outside the guest's memory.
 */
bool walk(uint64_t cr3, int levels, uint64_t linear, walk_read read, void *memory, uint64_t *physical);

#endif
