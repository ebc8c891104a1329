// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>

#include "cover.h"
#include "events.h"
#include "guest.h"
#include "late.h"
#include "lines.h"
#include "log.h"
#include "run.h"
#include "stack.h"
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
	bool fenced = unpack_place(data, &address) == KIND_FENCE && !log_header->no_fence;

	return (struct record){
		.kind = RECORD_FENCE,
		.length = (uint32_t)length,
		.address = vcpu_instruction(vcpu, address),
		.vcpu = index,
		.flags = fenced ? 0 : RECORD_NO_FENCE,
	};
}

/* Moves the pending set to the log, where `end` follows it. */
static void append(struct vcpu *vcpu, const struct record *end)
{
	bool fenced = !(end->flags & RECORD_NO_FENCE);
	uint64_t i, index;

	for (i = 0; i < vcpu->pending; i++)
		vcpu->set[i].flags = end->flags;
	*vcpu_room(vcpu) = *end;
	if (fenced)
		vcpu_fenced(vcpu);
	if (!log_append(vcpu->set, vcpu->pending + 1, &index))
		return;
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
	struct record end;

	run_check();
	if (!vcpu->pending)
		return;
	vcpu->pending = late_take(vcpu->set, vcpu->pending, nvdimm.base);
	end = fence(vcpu, index, data, vcpu->pending);
	if (vcpu->pending) {
		stack_add_callers(vcpu, &end);
		append(vcpu, &end);
	}
	log_add(&log_header->flushes, vcpu->flushes);
	log_add(&log_header->nontemporal, vcpu->nontemporal);
	log_add(&log_header->unchanged, vcpu->unchanged);
	vcpu->flushes = vcpu->nontemporal = vcpu->unchanged = 0;
	log_count(end.flags & RECORD_NO_FENCE ? &log_header->locked : &log_header->fences);
	vcpu->pending = 0;
}

void events_fence(unsigned int index, void *data)
{
	struct vcpu *vcpu = vcpu_at(index);
	struct record record;
	uint64_t at;

	run_check();
	if (!vcpu->lax || log_header->no_fence)
		return;
	vcpu_fenced(vcpu);
	record = fence(vcpu, index, data, 0);
	log_append(&record, 1, &at);
}

void events_wrmsr(unsigned int index, void *data)
{
	struct vcpu *vcpu = vcpu_at(index);
	uint32_t msr;

	run_check();
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
	struct vcpu *vcpu = vcpu_at(index);
	uint64_t at, address;

	run_check();
	guest_touch();
	unpack_place(data, &address);
	late_release(index, vcpu_instruction(vcpu, address));
	record.address = vcpu_register(vcpu, REG_RDI);
	log_append(&record, 1, &at);
	log_count(&log_header->markers);
	cover_mark(record.address);
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
