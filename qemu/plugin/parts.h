/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by decode.c, which takes instructions apart, and classify.c, which says what they are. */
#ifndef DAXCHECK_PARTS_H
#define DAXCHECK_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "decode.h"

enum map { MAP_ONE_BYTE, MAP_0F, MAP_0F38, MAP_OTHER };

/* An instruction taken apart up to its ModRM byte. */
struct parts {
	const uint8_t *modrm; /* first byte after the opcode; NULL when the instruction ends there */
	const uint8_t *end;
	enum map map;
	uint8_t opcode;
	uint8_t repeat; /* 0xf2, 0xf3 or 0: the last one wins */
	bool data16, address32, lock, vector;
	bool rex_r, rex_x, rex_b;
	enum segment segment;
};

static inline unsigned int modrm_mod(const struct parts *parts)
{
	return *parts->modrm >> 6;
}

static inline unsigned int modrm_reg(const struct parts *parts)
{
	return (*parts->modrm >> 3) & 7;
}

enum kind kind_of(const struct parts *parts);

#endif
