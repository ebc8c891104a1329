// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>

#include "events.h"
#include "guest.h"
#include "log.h"
#include "vcpu.h"

/* In 8-byte pieces: the unit that x86 stores atomically, so that another vCPU's store is copied whole or not. */
static void copy_line(uint8_t *to, const uint8_t *from)
{
	size_t i;

	for (i = 0; i < LINE_SIZE; i += 8) {
		uint64_t word = __atomic_load_n((const uint64_t *)(from + i), __ATOMIC_RELAXED);

		memcpy(to + i, &word, sizeof(word));
	}
}

/*
 * QEMU shares one translation between all linear addresses of a physical page (CF_PCREL), so the address seen at
 * translation says nothing about the page. rip is exact to the page, and no block leaves its page.
 */
static uint64_t instruction_address(struct vcpu *vcpu, struct operand operand)
{
	return (vcpu_register(vcpu, REG_RIP) & ~(PAGE_SIZE - 1)) | operand.page_offset;
}

static uint64_t linear_address(struct vcpu *vcpu, struct operand operand)
{
	uint64_t registers[16], segment_base = 0, instruction = 0;

	if (operand.rip_relative)
		instruction = instruction_address(vcpu, operand);
	if (operand.has_base)
		registers[operand.base] = vcpu_register(vcpu, REG_RAX + operand.base);
	if (operand.has_index)
		registers[operand.index] = vcpu_register(vcpu, REG_RAX + operand.index);
	if (operand.segment != SEGMENT_FLAT)
		segment_base = vcpu_register(vcpu, operand.segment == SEGMENT_FS ? REG_FS_BASE : REG_GS_BASE);
	return effective_address(operand, registers, instruction, segment_base);
}

static bool is_ignored(uint64_t line)
{
	uint64_t offset = line - nvdimm.base;

	return offset < __atomic_load_n(&log_header->fault_end, __ATOMIC_RELAXED) &&
	       offset + LINE_SIZE > __atomic_load_n(&log_header->fault_start, __ATOMIC_RELAXED);
}

void events_flush(unsigned int index, void *data)
{
	struct vcpu *vcpu = vcpu_at(index);
	uint64_t linear, physical;
	struct operand operand;
	const uint8_t *line;

	if (!log_running() || vcpu_paging(vcpu) == PAGING_LEGACY)
		return; /* outside long mode nothing above 4 GiB can be reached */
	memcpy(&operand, &data, sizeof(operand));
	linear = linear_address(vcpu, operand);
	if (!guest_translate(vcpu, linear, &physical)) {
		log_stop(LOG_TRANSLATION, "flush at 0x%" PRIx64 ": linear address 0x%" PRIx64 " is not mapped",
			 instruction_address(vcpu, operand), linear);
		return;
	}
	physical &= ~(uint64_t)(LINE_SIZE - 1);
	line = memory_at(&nvdimm, physical, LINE_SIZE);
	if (!line)
		return;
	guest_touch();
	if (is_ignored(physical)) {
		log_count(&log_header->dropped);
		return;
	}
	vcpu->flushes++;
	copy_line(vcpu_add(vcpu, index, RECORD_LINE, physical, LINE_SIZE)->data, line);
}
