// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "guest.h"
#include "stack.h"

#define WORDS 256 /* of the stack that are looked at: 2 KiB hold some twenty frames */
#define CALL_MAX 7 /* bytes of the longest call: ff /2 with SIB and disp32 */
#define CALLERS (LINE_SIZE / sizeof(uint32_t))

/* Whether a call ends after these CALL_MAX bytes (SDM volume 2, CALL). */
static bool ends_with_call(const uint8_t *code)
{
	int length;

	if (code[CALL_MAX - 5] == 0xe8)
		return true;
	for (length = 2; length <= CALL_MAX; length++) {
		const uint8_t *call = code + CALL_MAX - length;

		if (call[0] == 0xff && (call[1] >> 3 & 7) == 2)
			return true;
	}
	return false;
}

static bool is_return_address(struct vcpu *vcpu, uint64_t word)
{
	const uint8_t *code;
	uint64_t physical;

	if (word < STACK_CODE || word >= STACK_CODE_END || word % PAGE_SIZE < CALL_MAX)
		return false;
	if (!guest_translate(vcpu, word - CALL_MAX, &physical))
		return false;
	code = guest_memory(physical, CALL_MAX);
	return code && ends_with_call(code);
}

void stack_add_callers(struct vcpu *vcpu, struct record *record)
{
	uint64_t physical, word, at = vcpu_register(vcpu, REG_RSP) & ~UINT64_C(7);
	const uint8_t *memory = NULL;
	size_t words, found = 0;

	if (record->address < STACK_CODE)
		return;
	for (words = 0; words < WORDS && found < CALLERS; words++, at += sizeof(word)) {
		if (!memory || at % PAGE_SIZE == 0) {
			if (!guest_translate(vcpu, at, &physical))
				return;
			memory = guest_memory(physical, sizeof(word));
			if (!memory)
				return;
		}
		memcpy(&word, memory, sizeof(word));
		memory += sizeof(word);
		if (is_return_address(vcpu, word)) {
			uint32_t low = (uint32_t)word;

			memcpy(record->data + found++ * sizeof(low), &low, sizeof(low));
		}
	}
}
