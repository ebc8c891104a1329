// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <glib.h>

#include "cover.h"
#include "shared.h"
#include "vcpu.h"

static struct cover_header *header; /* NULL: nothing is chosen */
static const struct cover_range *ranges;
static struct cover_slot *slots;
static uint64_t range_count, capacity; /* our own copies: the file is shared with other processes */
static struct qemu_plugin_scoreboard *scoreboard; /* of each vCPU: a count for each slot */
static GHashTable *numbers; /* address -> slot and 1 */
/* vCPUs translate at the same time, and any of them may execute a marker. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *flaw_of(const struct cover_header *found, uint64_t file_size)
{
	const struct cover_range *range = (const struct cover_range *)((const uint8_t *)found + COVER_HEADER_SIZE);
	uint64_t i;

	if (memcmp(found->magic, COVER_MAGIC, sizeof(found->magic)) || found->version != COVER_VERSION)
		return "is no coverage map of version 1";
	if (found->used)
		return "has been used: create a new one";
	if (found->ranges > COVER_RANGES_MAX || !found->capacity || found->capacity > COVER_SLOTS_MAX)
		return "has too many ranges or slots";
	if (file_size < COVER_HEADER_SIZE + found->ranges * sizeof(*range) + found->capacity * sizeof(struct cover_slot))
		return "is smaller than its header says";
	for (i = 0; i < found->ranges; i++) {
		if (range[i].start >= range[i].end || (i && range[i].start < range[i - 1].end))
			return "has ranges that are empty or out of order";
	}
	return NULL;
}

bool cover_open(const char *path, char *why, size_t why_size)
{
	uint64_t size = 0;
	void *address = shared_map(path, COVER_HEADER_SIZE, &size);
	const char *flaw;

	if (address == MAP_FAILED) {
		snprintf(why, why_size, "cannot map coverage %s: %s", path, strerror(errno));
		return false;
	}
	flaw = flaw_of(address, size);
	if (flaw) {
		snprintf(why, why_size, "coverage %s %s", path, flaw);
		munmap(address, size);
		return false;
	}
	header = address;
	range_count = header->ranges;
	capacity = header->capacity;
	ranges = (const struct cover_range *)((const uint8_t *)address + COVER_HEADER_SIZE);
	slots = (struct cover_slot *)(ranges + range_count);
	scoreboard = qemu_plugin_scoreboard_new(capacity * sizeof(uint64_t));
	numbers = g_hash_table_new(NULL, NULL);
	return true;
}

static bool is_chosen(uint64_t address)
{
	uint64_t low = 0, high = range_count;

	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (address >= ranges[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	return low < range_count && address >= ranges[low].start;
}

/* The slot of the block that begins there, a new one if it has none; false when all are taken. */
static bool take_slot(uint64_t address, uint64_t *number)
{
	void *key = (void *)(uintptr_t)address;
	bool found;

	pthread_mutex_lock(&lock);
	*number = (uint64_t)(uintptr_t)g_hash_table_lookup(numbers, key);
	if (!*number && header->used < capacity) {
		slots[header->used].address = address;
		*number = header->used + 1;
		__atomic_store_n(&header->used, *number, __ATOMIC_RELEASE);
		g_hash_table_insert(numbers, key, (void *)(uintptr_t)*number);
	}
	found = *number;
	if (!found)
		header->lost++;
	pthread_mutex_unlock(&lock);
	*number -= found;
	return found;
}

void cover_translate(struct qemu_plugin_tb *block)
{
	qemu_plugin_u64 member = { scoreboard, 0 };
	uint64_t number, address;

	if (!header)
		return;
	address = qemu_plugin_tb_vaddr(block);
	if (!is_chosen(address) || !take_slot(address, &number))
		return;
	member.offset = number * sizeof(uint64_t);
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, QEMU_PLUGIN_INLINE_ADD_U64, member, 1);
}

/* Another vCPU may run chosen code meanwhile: whether that counts is as open as whether it came before the marker. */
static void forget(void)
{
	unsigned int vcpu;
	uint64_t i;

	for (vcpu = 0; vcpu < vcpu_count(); vcpu++)
		memset(qemu_plugin_scoreboard_find(scoreboard, vcpu), 0, capacity * sizeof(uint64_t));
	for (i = 0; i < header->used; i++)
		slots[i].ran = 0;
	__atomic_fetch_add(&header->begun, 1, __ATOMIC_RELEASE);
}

static void gather(void)
{
	unsigned int vcpu;
	uint64_t i;

	for (vcpu = 0; vcpu < vcpu_count(); vcpu++) {
		const uint64_t *counts = qemu_plugin_scoreboard_find(scoreboard, vcpu);

		for (i = 0; i < header->used; i++) {
			if (counts[i])
				slots[i].ran = 1;
		}
	}
}

void cover_mark(uint64_t value)
{
	if (!header)
		return;
	pthread_mutex_lock(&lock);
	if (value)
		gather();
	else
		forget();
	pthread_mutex_unlock(&lock);
}
