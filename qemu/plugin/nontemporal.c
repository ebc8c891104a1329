// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>

#include "events.h"
#include "guest.h"
#include "lines.h"
#include "log.h"
#include "run.h"
#include "vcpu.h"

/* What a store stored; read back from memory where QEMU cannot tell. `live` is the place in the NVDIMM. */
static void copy_stored(uint8_t *to, const uint8_t *live, qemu_plugin_meminfo_t info, uint32_t skip, uint32_t length)
{
#if PLUGIN_API >= 4
	qemu_plugin_mem_value value = qemu_plugin_mem_get_value(info);

	(void)live;
	memcpy(to, value.data.bytes + skip, length);
#else
	(void)info;
	(void)skip;
	memcpy(to, live, length);
#endif
}

/*
 * Whether a store at `physical` may join the newest pending record: it goes on where that one ends, in the same
 * line, and no vCPU has captured the line since. Had one, its copy of the line would lie between the record's
 * bytes and these, and no single sequence could say so.
 */
static bool joins(const struct record *last, uint64_t physical)
{
	return last && last->kind == RECORD_BYTES && last->address + last->length == physical &&
	       physical % LINE_SIZE && line_is_newest(guest_line(physical), last);
}

static struct record *add_bytes(struct vcpu *vcpu, unsigned int index, uint64_t physical)
{
	struct record *record = vcpu_room(vcpu);

	*record = (struct record){ .kind = RECORD_BYTES, .address = physical, .vcpu = index };
	line_number(guest_line(physical), record);
	vcpu->pending++;
	return record;
}

/*
 * Adds [physical, physical + length), bytes `skip`... of the store, which lie in one line; false outside the
 * NVDIMM. Non-temporal copies store word after word: joining keeps a copied line one record. Both would become
 * durable at the same fence anyway.
 */
static bool add_piece(struct vcpu *vcpu, unsigned int index, uint64_t physical, qemu_plugin_meminfo_t info,
		      uint32_t skip, uint32_t length)
{
	const uint8_t *live = memory_at(&nvdimm, physical, length);
	struct record *record = vcpu_newest(vcpu);

	if (!live)
		return false;
	if (!joins(record, physical))
		record = add_bytes(vcpu, index, physical);
	copy_stored(record->data + record->length, live, info, skip, length);
	record->length += length;
	return true;
}

/* The guest-physical address of a store just made. */
static bool find_stored(struct vcpu *vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, uint64_t *physical)
{
	if (vcpu_recall(vcpu, vaddr, physical))
		return true;
	if (!guest_accessed(info, vaddr, physical))
		return false;
	vcpu_remember(vcpu, vaddr, *physical);
	return true;
}

void events_nontemporal(unsigned int index, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	uint32_t piece, done, length = 1u << qemu_plugin_mem_size_shift(info);
	struct vcpu *vcpu = vcpu_at(index);
	bool inside = false;
	uint64_t physical;

	(void)data;
	run_check();
	if (!log_running() || !find_stored(vcpu, info, vaddr, &physical))
		return;
	for (done = 0; done < length; done += piece, physical += piece) {
		piece = MIN(length - done, LINE_SIZE - (uint32_t)((vaddr + done) % LINE_SIZE));
		/* an unaligned movnti over a page boundary: the second page has just been accessed as well */
		if (done && (vaddr + done) % PAGE_SIZE == 0 && !find_stored(vcpu, info, vaddr + done, &physical)) {
			log_stop(LOG_TRANSLATION, "non-temporal store to 0x%" PRIx64 ": page unknown", vaddr + done);
			return;
		}
		inside = add_piece(vcpu, index, physical, info, done, piece);
		if (inside)
			guest_touch();
	}
	vcpu->nontemporal += inside;
}
