// SPDX-License-Identifier: GPL-2.0-or-later
#include "parts.h"

static bool to_memory(const struct parts *parts)
{
	return parts->modrm && modrm_mod(parts) != 3;
}

static enum kind kind_of_group15(const struct parts *parts)
{
	unsigned int reg;

	if (!parts->modrm || parts->vector || parts->repeat)
		return KIND_OTHER; /* vldmxcsr; rdfsbase and friends, umonitor, umwait */
	reg = modrm_reg(parts);
	if (modrm_mod(parts) != 3) {
		if (reg == 7 || (reg == 6 && parts->data16))
			return KIND_FLUSH;
		return KIND_OTHER; /* xsaveopt is 0f ae /6 without 66 */
	}
	if ((reg == 6 || reg == 7) && !parts->data16)
		return KIND_FENCE;
	return KIND_OTHER; /* lfence orders loads only; tpause is 66 0f ae /6 */
}

static enum kind kind_of_group7(const struct parts *parts)
{
	if (!parts->modrm)
		return KIND_OTHER;
	if (modrm_mod(parts) != 3) {
		unsigned int reg = modrm_reg(parts);

		return reg == 2 || reg == 3 || reg == 7 ? KIND_SERIALISING : KIND_OTHER; /* lgdt, lidt, invlpg */
	}
	if (*parts->modrm == 0xe8 && !parts->repeat && !parts->data16)
		return KIND_SERIALISING; /* serialize */
	if (*parts->modrm == 0xfc)
		return KIND_NONTEMPORAL; /* clzero: weakly ordered, APM volume 3 */
	return KIND_OTHER;
}

static enum kind kind_of_move_to_special(const struct parts *parts)
{
	unsigned int reg;

	if (!parts->modrm)
		return KIND_OTHER;
	reg = modrm_reg(parts) | (parts->rex_r ? 8 : 0);
	if (parts->opcode == 0x23)
		return KIND_SERIALISING;
	return reg == 8 ? KIND_OTHER : KIND_SERIALISING; /* MOV to CR8 is the one exception in SDM 9.3 */
}

static enum kind kind_of_0f(const struct parts *parts)
{
	switch (parts->opcode) {
	case 0x00: /* lldt, ltr */
		return parts->modrm && (modrm_reg(parts) & 6) == 2 ? KIND_SERIALISING : KIND_OTHER;
	case 0x01:
		return kind_of_group7(parts);
	case 0x08:
		return KIND_INVD;
	case 0x09:
		return KIND_WBINVD;
	case 0x22:
	case 0x23:
		return kind_of_move_to_special(parts);
	case 0x30:
		return KIND_WRMSR;
	case 0xa2: /* cpuid */
	case 0xaa: /* rsm */
		return KIND_SERIALISING;
	case 0xae:
		return kind_of_group15(parts);
	case 0x2b: /* movntps, movntpd, movntss, movntsd */
	case 0xc3: /* movnti */
	case 0xe7: /* movntq, movntdq */
		return to_memory(parts) ? KIND_NONTEMPORAL : KIND_OTHER;
	case 0xf7: /* maskmovq, maskmovdqu: the operand is implied, ModRM names two registers */
		return parts->modrm && !to_memory(parts) ? KIND_NONTEMPORAL : KIND_OTHER;
	default:
		return KIND_OTHER;
	}
}

static enum kind kind_of_0f38(const struct parts *parts)
{
	if (!to_memory(parts) || parts->vector)
		return KIND_OTHER;
	switch (parts->opcode) {
	case 0x80: /* invept */
	case 0x81: /* invvpid */
		return parts->data16 ? KIND_SERIALISING : KIND_OTHER;
	case 0x82:
		return parts->data16 ? KIND_INVPCID : KIND_OTHER;
	case 0xf8:
		if (parts->repeat)
			return KIND_ENQCMD;
		return parts->data16 ? KIND_NONTEMPORAL : KIND_OTHER; /* movdir64b */
	case 0xf9: /* movdiri */
		return parts->repeat || parts->data16 ? KIND_OTHER : KIND_NONTEMPORAL;
	default:
		return KIND_OTHER;
	}
}

enum kind kind_of(const struct parts *parts)
{
	enum kind kind = KIND_OTHER;

	if (parts->lock)
		return KIND_LOCKED;
	if (parts->map == MAP_0F)
		kind = kind_of_0f(parts);
	else if (parts->map == MAP_0F38)
		kind = kind_of_0f38(parts);
	else if (parts->map == MAP_ONE_BYTE && parts->opcode == 0xcf)
		kind = KIND_SERIALISING; /* iret */
	else if (parts->map == MAP_ONE_BYTE && (parts->opcode & 0xfe) == 0x86 && to_memory(parts))
		kind = KIND_LOCKED; /* xchg locks by itself */
	if (parts->vector && kind != KIND_NONTEMPORAL)
		return KIND_OTHER; /* no other kind has vector forms */
	return kind;
}

const char *kind_name(enum kind kind)
{
	static const char *const names[] = {
		[KIND_OTHER] = "other",
		[KIND_FLUSH] = "flush",
		[KIND_FENCE] = "fence",
		[KIND_LOCKED] = "locked",
		[KIND_SERIALISING] = "serialising",
		[KIND_WRMSR] = "wrmsr",
		[KIND_INVPCID] = "invpcid",
		[KIND_NONTEMPORAL] = "nontemporal",
		[KIND_MARKER] = "marker",
		[KIND_WBINVD] = "wbinvd",
		[KIND_INVD] = "invd",
		[KIND_ENQCMD] = "enqcmd",
	};

	return names[kind];
}
