// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>
#include <string.h>

#include "parts.h"

/* nopl 0x5d444158(%rax,%rax,1): no compiler pads with this displacement, and without the plugin it does nothing. */
static const uint8_t marker[] = { 0x0f, 0x1f, 0x84, 0x00, 0x58, 0x41, 0x44, 0x5d };

static bool take_prefix(struct parts *parts, uint8_t byte)
{
	switch (byte) {
	case 0x66:
		parts->data16 = true;
		return true;
	case 0x67:
		parts->address32 = true;
		return true;
	case 0xf0:
		parts->lock = true;
		return true;
	case 0xf2:
	case 0xf3:
		parts->repeat = byte;
		return true;
	case 0x64:
		parts->segment = SEGMENT_FS;
		return true;
	case 0x65:
		parts->segment = SEGMENT_GS;
		return true;
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e: /* without effect in 64-bit mode; the kernel pads clflush with it to the size of clwb */
		return true;
	default:
		return false;
	}
}

static void take_simd_prefix(struct parts *parts, unsigned int pp)
{
	parts->data16 = pp == 1;
	parts->repeat = pp == 2 ? 0xf3 : pp == 3 ? 0xf2 : 0;
	parts->vector = true;
}

static enum map map_of(unsigned int number)
{
	return number == 1 ? MAP_0F : number == 2 ? MAP_0F38 : MAP_OTHER;
}

/* C5 (two bytes), C4 (three) and 62 (EVEX, four): returns where the opcode is. */
static const uint8_t *take_vector_prefix(struct parts *parts, const uint8_t *at)
{
	size_t size = at[0] == 0xc5 ? 2 : at[0] == 0xc4 ? 3 : 4;

	if (at + size >= parts->end)
		return NULL;
	if (at[0] == 0xc5) {
		parts->map = MAP_0F;
		take_simd_prefix(parts, at[1] & 3);
	} else {
		parts->rex_x = !(at[1] & 0x40);
		parts->rex_b = !(at[1] & 0x20);
		parts->map = map_of(at[0] == 0xc4 ? at[1] & 0x1f : at[1] & 0x07);
		take_simd_prefix(parts, at[2] & 3);
	}
	return at + size;
}

static const uint8_t *take_escape(struct parts *parts, const uint8_t *at)
{
	parts->map = MAP_ONE_BYTE;
	if (*at != 0x0f)
		return at;
	if (++at >= parts->end)
		return NULL;
	parts->map = MAP_0F;
	if (*at != 0x38 && *at != 0x3a)
		return at;
	parts->map = *at == 0x38 ? MAP_0F38 : MAP_OTHER;
	return ++at < parts->end ? at : NULL;
}

static bool take_apart(struct parts *parts, const uint8_t *bytes, size_t length)
{
	const uint8_t *at = bytes;

	memset(parts, 0, sizeof(*parts));
	parts->end = bytes + length;
	while (at < parts->end && take_prefix(parts, *at))
		at++;
	if (at < parts->end && (*at & 0xf0) == 0x40) {
		parts->rex_r = *at & 4;
		parts->rex_x = *at & 2;
		parts->rex_b = *at & 1;
		at++;
	}
	if (at >= parts->end)
		return false;
	if (*at == 0xc4 || *at == 0xc5 || *at == 0x62)
		at = take_vector_prefix(parts, at);
	else
		at = take_escape(parts, at);
	if (!at)
		return false;
	parts->opcode = *at++;
	parts->modrm = at < parts->end ? at : NULL;
	return true;
}

static bool take_displacement(struct operand *operand, const struct parts *parts, const uint8_t *at, size_t size)
{
	int32_t value = 0;

	if (size > (size_t)(parts->end - at))
		return false;
	if (size == 1)
		value = (int8_t)at[0];
	else if (size == 4)
		memcpy(&value, at, sizeof(value));
	operand->displacement = (uint32_t)value;
	return true;
}

static bool take_operand(struct operand *operand, const struct parts *parts)
{
	const uint8_t *at = parts->modrm + 1;
	unsigned int mod = modrm_mod(parts), rm = *parts->modrm & 7, base = rm;
	size_t size = mod == 1 ? 1 : mod == 2 ? 4 : 0;

	operand->segment = parts->segment;
	operand->address32 = parts->address32;
	operand->has_base = 1;
	if (rm == 4) {
		unsigned int index;

		if (at >= parts->end)
			return false;
		index = ((*at >> 3) & 7) | (parts->rex_x ? 8 : 0);
		operand->scale = *at >> 6;
		operand->index = index;
		operand->has_index = index != 4; /* rsp cannot be an index, r12 can */
		base = *at++ & 7;
	}
	if (mod == 0 && base == 5) {
		operand->has_base = 0; /* without a SIB byte this form is RIP-relative, with one it is absolute */
		operand->rip_relative = rm == 5;
		size = 4;
	}
	operand->base = operand->has_base ? base | (parts->rex_b ? 8 : 0) : 0;
	return take_displacement(operand, parts, at, size);
}

struct decoded decode(const uint8_t *bytes, size_t length, uint64_t address)
{
	struct decoded result = { .kind = KIND_OTHER };
	struct parts parts;

	if (length >= sizeof(marker) && !memcmp(bytes, marker, sizeof(marker))) {
		result.kind = KIND_MARKER;
		return result;
	}
	if (!take_apart(&parts, bytes, length))
		return result;
	result.kind = kind_of(&parts);
	if (result.kind != KIND_FLUSH)
		return result;
	result.operand.length = length;
	result.operand.page_offset = address & 0xfff;
	if (!take_operand(&result.operand, &parts))
		result.kind = KIND_OTHER;
	return result;
}

uint64_t effective_address(struct operand operand, const uint64_t registers[16], uint64_t address,
			   uint64_t segment_base)
{
	uint64_t offset = (uint64_t)(int64_t)(int32_t)operand.displacement;

	if (operand.has_base)
		offset += registers[operand.base];
	if (operand.has_index)
		offset += registers[operand.index] << operand.scale;
	if (operand.rip_relative)
		offset += address + operand.length;
	if (operand.address32)
		offset = (uint32_t)offset;
	return offset + segment_base;
}
