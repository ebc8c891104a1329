/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as this process has it mapped. The plugin runs inside QEMU, so it looks up QEMU's own
 * mapping of the backing file: that works for MAP_SHARED and for MAP_PRIVATE (a clone of a snapshot) alike.
 */
#ifndef DAXCHECK_MEMORY_H
#define DAXCHECK_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE UINT64_C(4096)

/* Two NVDIMMs are one file in two pieces; a few more are room for a mapping that the kernel cannot merge. */
#define REGION_PIECES 8

/* Bytes [offset, offset + length) of a file are mapped at `host`. */
struct piece {
	uint64_t offset, length;
	uint8_t *host;
};

/* One file, which the guest sees at adjacent addresses although this process may have it mapped in pieces. */
struct region {
	uint64_t base; /* guest-physical */
	uint64_t size;
	size_t count; /* 0 until memory_find() */
	struct piece pieces[REGION_PIECES];
};

/*
 * Finds where [0, region->size) of the file at `path` is mapped in this process. `path` may be /proc/self/fd/N.
 * Returns false, with the reason in `why`, when a part of it is not mapped.
 */
bool memory_find(struct region *region, const char *path, char *why, size_t why_size);

/* The host address of guest-physical [physical, physical + size), or NULL when that is not inside one piece. */
uint8_t *memory_at(const struct region *region, uint64_t physical, uint64_t size);

#endif
