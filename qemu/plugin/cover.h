/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which blocks of chosen code ran: a file that the harness creates, mapped MAP_SHARED. Little-endian. Documented in
 * qemu/README.md; read by harness/coverage/blockmap.py.
 *
 * QEMU's generated code counts a block of a chosen range in the scoreboard of its vCPU, which costs one addition; all
 * other code is as it was. A marker gathers the scoreboards into the file: what is not there yet has run since the last.
 */
#ifndef DAXCHECK_COVER_H
#define DAXCHECK_COVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"

#define COVER_MAGIC "DAXCOVR1"
#define COVER_VERSION 1
#define COVER_HEADER_SIZE 4096
#define COVER_RANGES_MAX 8192
#define COVER_SLOTS_MAX (UINT64_C(1) << 16) /* 512 KiB of scoreboard for each vCPU */

struct cover_range {
	uint64_t start, end; /* linear; sorted, and none touches another's bytes */
};

struct cover_slot {
	uint64_t address; /* linear, of the block's first instruction */
	uint64_t ran;	  /* 1: since the last marker of value 0 */
};

struct cover_header {
	char magic[8];
	uint32_t version;
	uint32_t padding;
	uint64_t ranges;   /* behind the header */
	uint64_t capacity; /* slots behind the ranges */
	uint64_t used;	   /* slots that have an address; stored with release order */
	uint64_t lost;	   /* translations of blocks for which there was no slot */
	uint64_t begun;	   /* markers of value 0 */
};
_Static_assert(sizeof(struct cover_header) == 56, "layout shared with harness/coverage/blockmap.py");

/* Maps the file at `path`; false, with the reason in `why`, when it is none. */
bool cover_open(const char *path, char *why, size_t why_size);

/* Has a block count when it runs, if it begins in a chosen range. */
void cover_translate(struct qemu_plugin_tb *block);

/* A marker: 0 forgets what has run, any other gathers it into the file. */
void cover_mark(uint64_t value);

#endif
