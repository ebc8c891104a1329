// SPDX-License-Identifier: GPL-2.0-or-later
#include "walk.h"

#define ENTRY_PRESENT (UINT64_C(1) << 0)
#define ENTRY_LARGE (UINT64_C(1) << 7)
/* Bits 51..12: leaves out the PCID in cr3, and NX, protection keys and software bits in an entry. */
#define ADDRESS_MASK UINT64_C(0x000ffffffffff000)

bool walk(uint64_t cr3, int levels, uint64_t linear, walk_read read, void *memory, uint64_t *physical)
{
	uint64_t entry, offset_mask, table = cr3 & ADDRESS_MASK;
	int level;

	for (level = levels; level >= 1; level--) {
		int shift = 12 + 9 * (level - 1);

		offset_mask = (UINT64_C(1) << shift) - 1;
		if (!read(memory, table + ((linear >> shift) & 0x1ff) * sizeof(entry), &entry))
			return false;
		if (!(entry & ENTRY_PRESENT))
			return false;
		table = entry & ADDRESS_MASK;
		if (level == 1 || ((level == 2 || level == 3) && entry & ENTRY_LARGE)) {
			/* bit 12 of a large leaf is PAT, part of the offset here and so masked off */
			*physical = (table & ~offset_mask) | (linear & offset_mask);
			return true;
		}
	}
	return false;
}
