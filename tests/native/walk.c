// SPDX-License-Identifier: GPL-2.0-or-later
/* Page walks over tables built here; prints one line per walk that goes wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "walk.h"

#define PAGE 4096
#define PAGES 16
#define PRESENT UINT64_C(1)
#define LARGE UINT64_C(0x80)
#define NX (UINT64_C(1) << 63)
#define PAT_OF_LARGE (UINT64_C(1) << 12)
#define USED UINT64_C(0x867) /* accessed, dirty, writable, user, software bits, and present */

static uint64_t memory[PAGES][PAGE / 8];
static int wrong;

static bool read_entry(void *context, uint64_t physical, uint64_t *entry)
{
	(void)context;
	if (physical > sizeof(memory) - 8)
		return false;
	memcpy(entry, (uint8_t *)memory + physical, 8);
	return true;
}

static void expect(const char *what, uint64_t cr3, int levels, uint64_t linear, bool found, uint64_t physical)
{
	uint64_t result = 0;
	bool ok = walk(cr3, levels, linear, read_entry, NULL, &result);

	if (ok == found && (!ok || result == physical))
		return;
	printf("%s: %#" PRIx64 " gives %d %#" PRIx64 ", not %d %#" PRIx64 "\n", what, linear, ok, result, found, physical);
	wrong++;
}

static uint64_t linear(uint64_t five, uint64_t four, uint64_t three, uint64_t two, uint64_t one, uint64_t offset)
{
	return five << 48 | four << 39 | three << 30 | two << 21 | one << 12 | offset;
}

int main(void)
{
	const uint64_t top = 1 * PAGE, pdpt = 2 * PAGE, pd = 3 * PAGE, pt = 4 * PAGE, five = 5 * PAGE;
	const uint64_t sign = UINT64_C(0xffff) << 48;

	memory[5][7] = top | USED;
	memory[1][300] = pdpt | USED;
	memory[2][511] = pd | USED | NX;
	memory[3][1] = pt | USED;
	memory[4][2] = UINT64_C(0x0007123456789000) | USED | NX;
	memory[3][3] = UINT64_C(0x00000000fee00000) | USED | LARGE | PAT_OF_LARGE | NX;
	memory[2][5] = UINT64_C(0x0000000140000000) | USED | LARGE | PAT_OF_LARGE;
	memory[4][6] = UINT64_C(0x5000) | (USED & ~PRESENT);
	memory[3][7] = UINT64_C(0x7f000000) | USED; /* a table where there is no memory */
	memory[1][8] = UINT64_C(0x3000) | USED | LARGE; /* bit 7 is reserved at this level: no leaf */

	expect("4K leaf", top, 4, sign | linear(0, 300, 511, 1, 2, 0xabc), true, UINT64_C(0x0007123456789abc));
	expect("PCID and KPTI bits of cr3", top | 0xfff | UINT64_C(1) << 63, 4, linear(0, 300, 511, 1, 2, 0), true,
	       UINT64_C(0x0007123456789000));
	expect("2M leaf", top, 4, linear(0, 300, 511, 3, 2, 0xfff), true, UINT64_C(0xfee02fff));
	expect("1G leaf", top, 4, linear(0, 300, 5, 511, 510, 0xffe), true, UINT64_C(0x17fffeffe));
	expect("5 levels", five, 5, linear(7, 300, 511, 1, 2, 1), true, UINT64_C(0x0007123456789001));
	expect("5 levels, wrong top", five, 5, linear(6, 300, 511, 1, 2, 1), false, 0);
	expect("no entry", top, 4, linear(0, 300, 511, 1, 9, 0), false, 0);
	expect("not present", top, 4, linear(0, 300, 511, 1, 6, 0), false, 0);
	expect("table outside memory", top, 4, linear(0, 300, 511, 7, 0, 0), false, 0);
	expect("cr3 outside memory", UINT64_C(1) << 40, 4, 0, false, 0);
	expect("bit 7 at the top level", top, 4, linear(0, 8, 1, 3, 0, 0), false, 0);
	printf("%d wrong\n", wrong);
	return wrong != 0;
}
