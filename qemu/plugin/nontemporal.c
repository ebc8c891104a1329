// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>

#include "events.h"
#include "guest.h"
#include "log.h"
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
 * Adds [physical, physical + length), bytes `skip`... of the store, which lie in one line; false outside the
 * NVDIMM. Non-temporal copies store word after word: what continues the newest pending record joins it, which
 * keeps a copied line one record. Both would become durable at the same fence anyway.
 */
static bool add_piece(struct vcpu *vcpu, unsigned int index, uint64_t physical, qemu_plugin_meminfo_t info,
		      uint32_t skip, uint32_t length)
{
	struct record *last = vcpu->pending ? &vcpu->set[vcpu->pending - 1] : NULL;
	const uint8_t *live = memory_at(&nvdimm, physical, length);

	if (!live)
		return false;
	if (!last || last->kind != RECORD_BYTES || last->address + last->length != physical || physical % LINE_SIZE == 0)
		last = vcpu_add(vcpu, index, RECORD_BYTES, physical, 0);
	copy_stored(last->data + last->length, live, info, skip, length);
	last->length += length;
	return true;
}

/*
 * The guest-physical address of a store. One that goes on where the last one ended needs no lookup: something has
 * been pending ever since, so no serialising instruction ran, and without one no other page can have come there.
 */
static bool find_store(struct vcpu *vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, uint64_t *physical)
{
	struct record *last = vcpu->pending ? &vcpu->set[vcpu->pending - 1] : NULL;

	if (!last || last->kind != RECORD_BYTES || vaddr != vcpu->stored_to || vaddr % PAGE_SIZE == 0)
		return guest_accessed(info, vaddr, physical);
	*physical = last->address + last->length;
	return true;
}

void events_nontemporal(unsigned int index, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	uint32_t piece, done, length = 1u << qemu_plugin_mem_size_shift(info);
	struct vcpu *vcpu = vcpu_at(index);
	bool inside = false;
	uint64_t physical;

	(void)data;
	if (!log_running() || !find_store(vcpu, info, vaddr, &physical))
		return;
	for (done = 0; done < length; done += piece, physical += piece) {
		piece = MIN(length - done, LINE_SIZE - (uint32_t)((vaddr + done) % LINE_SIZE));
		/* an unaligned movnti over a page boundary: the second page has just been accessed as well */
		if (done && (vaddr + done) % PAGE_SIZE == 0 && !guest_accessed(info, vaddr + done, &physical)) {
			log_stop(LOG_TRANSLATION, "non-temporal store to 0x%" PRIx64 ": page unknown", vaddr + done);
			return;
		}
		inside = add_piece(vcpu, index, physical, info, done, piece);
		if (inside)
			guest_touch();
	}
	vcpu->nontemporal += inside;
	vcpu->stored_to = inside ? vaddr + length : 0; /* 0 begins a page, and so continues nothing */
}
