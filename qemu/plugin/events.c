// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>

#include "events.h"
#include "guest.h"
#include "lines.h"
#include "log.h"
#include "vcpu.h"

void *pack_place(enum kind kind, uint64_t address)
{
	return (void *)(uintptr_t)(address << 8 | kind);
}

static enum kind unpack_place(void *data, uint64_t *address)
{
	*address = (uint64_t)((int64_t)(uintptr_t)data >> 8);
	return (enum kind)((uintptr_t)data & 0xff);
}

void *pack_operand(struct operand operand)
{
	void *data;

	memcpy(&data, &operand, sizeof(data));
	return data;
}

/* The end of a set of `length` records, by the instruction at `data`. */
static struct record fence(struct vcpu *vcpu, unsigned int index, void *data, uint64_t length)
{
	uint64_t address;
	enum kind kind = unpack_place(data, &address);

	return (struct record){
		.kind = RECORD_FENCE,
		.length = (uint32_t)length,
		.address = vcpu_instruction(vcpu, address),
		.vcpu = index,
		.flags = kind == KIND_FENCE ? 0 : RECORD_NO_FENCE,
	};
}

static void completed(struct vcpu *vcpu, bool fenced, uint64_t index)
{
	uint64_t i;

	for (i = 0; i < vcpu->pending; i++) {
		if (vcpu->set[i].kind == RECORD_LINE)
			line_logged(guest_line(vcpu->set[i].address), index + i);
	}
	if (!fenced)
		vcpu_all_lax();
}

void events_complete(unsigned int index, void *data)
{
	struct vcpu *vcpu = vcpu_at(index);
	struct record *end;
	uint64_t i, at;
	bool fenced;

	if (!vcpu->pending)
		return;
	end = vcpu_room(vcpu);
	*end = fence(vcpu, index, data, vcpu->pending);
	fenced = !(end->flags & RECORD_NO_FENCE);
	for (i = 0; i < vcpu->pending; i++)
		vcpu->set[i].flags = end->flags;
	if (fenced)
		vcpu_fenced(vcpu);
	if (log_append(vcpu->set, vcpu->pending + 1, &at))
		completed(vcpu, fenced, at);
	log_add(&log_header->flushes, vcpu->flushes);
	log_add(&log_header->nontemporal, vcpu->nontemporal);
	log_add(&log_header->unchanged, vcpu->unchanged);
	vcpu->flushes = vcpu->nontemporal = vcpu->unchanged = 0;
	log_count(fenced ? &log_header->fences : &log_header->locked);
	vcpu->pending = 0;
}

void events_fence(unsigned int index, void *data)
{
	struct vcpu *vcpu = vcpu_at(index);
	struct record record;
	uint64_t at;

	if (!vcpu->lax)
		return;
	vcpu_fenced(vcpu);
	record = fence(vcpu, index, data, 0);
	log_append(&record, 1, &at);
}

void events_wrmsr(unsigned int index, void *data)
{
	struct vcpu *vcpu = vcpu_at(index);
	uint32_t msr;

	if (!vcpu->pending)
		return;
	/* SDM 3A 9.3 and 11.12.3: IA32_TSC_DEADLINE and the x2APIC registers are written without serialising. */
	msr = (uint32_t)vcpu_register(vcpu, REG_RCX);
	if (msr == 0x6e0 || (msr >= 0x800 && msr <= 0x8ff))
		return;
	events_complete(index, data);
}

void events_marker(unsigned int index, void *data)
{
	struct record record = { .kind = RECORD_MARK, .vcpu = index };
	uint64_t at;

	(void)data;
	guest_touch();
	record.address = vcpu_register(vcpu_at(index), REG_RDI);
	log_append(&record, 1, &at);
	log_count(&log_header->markers);
}

void events_whole_cache(unsigned int index, void *data)
{
	uint64_t address;
	enum kind kind = unpack_place(data, &address);

	(void)index;
	if (guest_touched())
		log_stop(LOG_UNMODELLED, "%s at 0x%" PRIx64 " while NVDIMM lines may be dirty is not modelled", kind_name(kind),
			 address);
}

void events_unmodelled_store(unsigned int index, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	uint64_t physical, address;
	enum kind kind = unpack_place(data, &address);

	(void)index;
	if (guest_accessed(info, vaddr, &physical) && memory_at(&nvdimm, physical, 1))
		log_stop(LOG_UNMODELLED, "%s at 0x%" PRIx64 " to the NVDIMM is not modelled", kind_name(kind), address);
}

void events_store(unsigned int index, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	uint64_t physical;

	(void)index;
	(void)data;
	if (guest_accessed(info, vaddr, &physical) && memory_at(&nvdimm, physical, 1))
		log_count(&log_header->stores);
}
