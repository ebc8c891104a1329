// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "vcpu.h"
#include "walk.h"

#define FIRST_ROOM 4096

static const char *const names[REG_COUNT] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	"rip", "cr3", "cr4", "efer", "fs_base", "gs_base",
};

static struct qemu_plugin_scoreboard *scoreboard;
static unsigned int vcpus; /* highest index and 1 */
/* Handles are the same for all vCPUs; each vCPU's thread writes the same values before it runs code. */
static struct qemu_plugin_register *handles[REG_COUNT];

void vcpu_install(void)
{
	scoreboard = qemu_plugin_scoreboard_new(sizeof(struct vcpu));
}

struct vcpu *vcpu_at(unsigned int index)
{
	return qemu_plugin_scoreboard_find(scoreboard, index);
}

unsigned int vcpu_count(void)
{
	return __atomic_load_n(&vcpus, __ATOMIC_ACQUIRE);
}

qemu_plugin_u64 vcpu_pending_member(void)
{
	return (qemu_plugin_u64){ scoreboard, offsetof(struct vcpu, pending) };
}

qemu_plugin_u64 vcpu_lax_member(void)
{
	return (qemu_plugin_u64){ scoreboard, offsetof(struct vcpu, lax) };
}

qemu_plugin_u64 vcpu_mappings_member(void)
{
	return (qemu_plugin_u64){ scoreboard, offsetof(struct vcpu, mappings) };
}

static struct qemu_plugin_register *handle_of(GArray *registers, const char *name)
{
	guint i;

	for (i = 0; i < registers->len; i++) {
		qemu_plugin_reg_descriptor *reg = &g_array_index(registers, qemu_plugin_reg_descriptor, i);

		if (!strcmp(reg->name, name))
			return reg->handle;
	}
	return NULL;
}

bool vcpu_init(unsigned int index, const char **missing)
{
	GArray *registers = qemu_plugin_get_registers();
	struct vcpu *vcpu = vcpu_at(index);
	bool found = true;
	int i;

	for (i = 0; i < REG_COUNT; i++) {
		struct qemu_plugin_register *handle = handle_of(registers, names[i]);

		if (!handle) {
			*missing = names[i];
			found = false;
		}
		__atomic_store_n(&handles[i], handle, __ATOMIC_RELAXED);
	}
	g_array_free(registers, TRUE);
	if (index >= vcpus) /* QEMU makes its vCPUs one after the other */
		__atomic_store_n(&vcpus, index + 1, __ATOMIC_RELEASE);
	if (!vcpu->scratch) {
		vcpu->scratch = g_byte_array_sized_new(16);
		vcpu->mappings = 1; /* no page is remembered yet */
	}
	return found;
}

void vcpu_forget_all(void)
{
	unsigned int i, count = vcpu_count();

	for (i = 0; i < count; i++) {
		struct vcpu *vcpu = vcpu_at(i);

		vcpu->pending = vcpu->lax = 0;
		vcpu->flushes = vcpu->nontemporal = vcpu->unchanged = 0;
	}
}

uint64_t vcpu_register(struct vcpu *vcpu, enum reg reg)
{
	uint64_t value = 0;

	vcpu->scratch->len = 0; /* QEMU appends; g_byte_array_set_size() would cost a tenth of a flush */
	qemu_plugin_read_register(handles[reg], vcpu->scratch);
	memcpy(&value, vcpu->scratch->data, MIN(vcpu->scratch->len, sizeof(value)));
	return value;
}

uint64_t vcpu_instruction(struct vcpu *vcpu, uint64_t translated)
{
	return (vcpu_register(vcpu, REG_RIP) & ~(PAGE_SIZE - 1)) | (translated & (PAGE_SIZE - 1));
}

void vcpu_all_lax(void)
{
	unsigned int i, count = vcpu_count();

	for (i = 0; i < count; i++)
		__atomic_store_n(&vcpu_at(i)->lax, 1, __ATOMIC_SEQ_CST);
}

void vcpu_fenced(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->lax, 0, __ATOMIC_SEQ_CST);
}

bool vcpu_in_long_mode(struct vcpu *vcpu)
{
	return vcpu_register(vcpu, REG_EFER) & EFER_LMA;
}

void vcpu_remember(struct vcpu *vcpu, uint64_t linear, uint64_t physical)
{
	vcpu->page = linear & ~(PAGE_SIZE - 1);
	vcpu->frame = physical & ~(PAGE_SIZE - 1);
	vcpu->page_mappings = vcpu->mappings;
}

struct record *vcpu_room(struct vcpu *vcpu)
{
	if (vcpu->pending == vcpu->room) {
		vcpu->room = vcpu->room ? vcpu->room * 2 : FIRST_ROOM;
		vcpu->set = g_renew(struct record, vcpu->set, vcpu->room);
	}
	return &vcpu->set[vcpu->pending];
}

struct record *vcpu_newest(struct vcpu *vcpu)
{
	return vcpu->pending ? &vcpu->set[vcpu->pending - 1] : NULL;
}
