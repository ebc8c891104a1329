// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>

#include "events.h"
#include "guest.h"
#include "lines.h"
#include "log.h"
#include "run.h"
#include "vcpu.h"

static uint64_t linear_address(struct vcpu *vcpu, struct operand operand)
{
	uint64_t registers[16], segment_base = 0, instruction = 0;

	if (operand.rip_relative)
		instruction = vcpu_instruction(vcpu, operand.page_offset);
	if (operand.has_base)
		registers[operand.base] = vcpu_register(vcpu, REG_RAX + operand.base);
	if (operand.has_index)
		registers[operand.index] = vcpu_register(vcpu, REG_RAX + operand.index);
	if (operand.segment != SEGMENT_FLAT)
		segment_base = vcpu_register(vcpu, operand.segment == SEGMENT_FS ? REG_FS_BASE : REG_GS_BASE);
	return effective_address(operand, registers, instruction, segment_base);
}

/* False outside long mode, where nothing above 4 GiB can be reached; and, stopping the log, when nothing is mapped. */
static bool find_flushed(struct vcpu *vcpu, struct operand operand, uint64_t *physical)
{
	uint64_t linear = linear_address(vcpu, operand);

	if (vcpu_recall(vcpu, linear, physical))
		return true;
	if (!vcpu_in_long_mode(vcpu))
		return false;
	if (!guest_translate(vcpu, linear, physical)) {
		log_stop(LOG_TRANSLATION, "flush at 0x%" PRIx64 ": linear address 0x%" PRIx64 " is not mapped",
			 vcpu_instruction(vcpu, operand.page_offset), linear);
		return false;
	}
	vcpu_remember(vcpu, linear, *physical);
	return true;
}

static void add_line(struct vcpu *vcpu, unsigned int index, uint64_t physical, const uint8_t *live)
{
	struct line *line = guest_line(physical);
	struct record *record;

	if (line_is_persisted(line, live)) {
		vcpu->unchanged++;
		return;
	}
	record = vcpu_room(vcpu);
	record->kind = RECORD_LINE;
	record->length = LINE_SIZE;
	record->address = physical;
	record->vcpu = index;
	record->flags = 0;
	line_capture(line, record, live);
	vcpu->pending++;
	vcpu->flushes++;
}

void events_flush(unsigned int index, void *data)
{
	struct vcpu *vcpu = vcpu_at(index);
	struct operand operand;
	const uint8_t *live;
	uint64_t physical;

	run_check();
	memcpy(&operand, &data, sizeof(operand));
	if (!log_running() || !find_flushed(vcpu, operand, &physical))
		return;
	physical &= ~(uint64_t)(LINE_SIZE - 1);
	live = memory_at(&nvdimm, physical, LINE_SIZE);
	if (!live)
		return;
	guest_touch();
	if (log_ignores(physical - nvdimm.base))
		log_count(&log_header->dropped);
	else
		add_line(vcpu, index, physical, live);
}
