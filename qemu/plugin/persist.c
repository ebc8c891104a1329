// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * QEMU TCG plugin: records what reaches the media of an emulated NVDIMM.
 *
 * Ordinary stores are not instrumented. A flush copies the line as it is into the vCPU's pending set, a
 * non-temporal store adds its bytes, and a fence, a locked or a serialising instruction moves the set to the
 * log. The model, its limits and the log are described in qemu/README.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cover.h"
#include "decode.h"
#include "device.h"
#include "events.h"
#include "guest.h"
#include "lines.h"
#include "log.h"
#include "options.h"
#include "run.h"
#include "vcpu.h"

#define INSTRUCTION_MAX 15

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_API;

static struct options options;

static struct decoded decode_instruction(struct qemu_plugin_insn *insn)
{
	uint64_t address = qemu_plugin_insn_vaddr(insn);
#if PLUGIN_API >= 3
	uint8_t bytes[INSTRUCTION_MAX];

	return decode(bytes, qemu_plugin_insn_data(insn, bytes, sizeof(bytes)), address);
#else
	return decode(qemu_plugin_insn_data(insn), MIN(qemu_plugin_insn_size(insn), INSTRUCTION_MAX), address);
#endif
}

/* Calls out only while `member` is not 0. */
static void on_exec_if(struct qemu_plugin_insn *insn, qemu_plugin_u64 member, qemu_plugin_vcpu_udata_cb_t callback,
		       void *data)
{
#if PLUGIN_API >= 3
	qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, callback, QEMU_PLUGIN_CB_R_REGS, QEMU_PLUGIN_COND_NE, member,
						    0, data);
#else
	(void)member;
	qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, QEMU_PLUGIN_CB_R_REGS, data);
#endif
}

/* Fences and locked instructions are frequent, and seldom is anything pending. */
static void on_exec_if_pending(struct qemu_plugin_insn *insn, qemu_plugin_vcpu_udata_cb_t callback, void *data)
{
	on_exec_if(insn, vcpu_pending_member(), callback, data);
}

static void on_exec(struct qemu_plugin_insn *insn, qemu_plugin_vcpu_udata_cb_t callback, void *data)
{
	qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, QEMU_PLUGIN_CB_R_REGS, data);
}

static void on_store(struct qemu_plugin_insn *insn, qemu_plugin_vcpu_mem_cb_t callback, void *data)
{
	qemu_plugin_register_vcpu_mem_cb(insn, callback, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W, data);
}

/*
 * A CPU may use a translation until it executes mov to a control register, invlpg, invpcid or wrmsr of EFER; iret
 * stands for the page fault, which drops one as well. Other CPUs make it do so by an interrupt. This counts them,
 * and more than them: all serialising instructions are as rare, and counting is one addition in generated code.
 */
static void forget_page(struct qemu_plugin_insn *insn)
{
	qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64, vcpu_mappings_member(), 1);
}

static void instrument(struct qemu_plugin_insn *insn)
{
	struct decoded decoded = decode_instruction(insn);
	void *place = pack_place(decoded.kind, qemu_plugin_insn_vaddr(insn));

	/* to virtio-pmem no instruction makes a difference */
	if (options.mode == MODE_DEVICE_FLUSH && decoded.kind != KIND_MARKER)
		return;
	switch (decoded.kind) {
	case KIND_OTHER:
		break;
	case KIND_FLUSH:
		on_exec(insn, events_flush, pack_operand(decoded.operand));
		break;
	case KIND_FENCE:
		on_exec_if_pending(insn, events_complete, place);
		on_exec_if(insn, vcpu_lax_member(), events_fence, place);
		break;
	case KIND_SERIALISING:
		forget_page(insn);
		/* fall through */
	case KIND_LOCKED:
		on_exec_if_pending(insn, events_complete, place);
		break;
	case KIND_INVPCID:
		forget_page(insn);
		break;
	case KIND_WRMSR:
		forget_page(insn);
		on_exec_if_pending(insn, events_wrmsr, place);
		break;
	case KIND_NONTEMPORAL:
		on_store(insn, events_nontemporal, NULL);
		break;
	case KIND_MARKER:
		on_exec(insn, events_marker, place);
		break;
	case KIND_WBINVD:
	case KIND_INVD:
		on_exec(insn, events_whole_cache, place);
		break;
	case KIND_ENQCMD:
		on_store(insn, events_unmodelled_store, place);
		break;
	}
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
	size_t i, count = qemu_plugin_tb_n_insns(block);

	(void)id;
	cover_translate(block);
	for (i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);

		instrument(insn);
		if (options.mode == MODE_COUNT_STORES)
			on_store(insn, events_store, NULL);
	}
}

/* Ends QEMU: the probe only wants to know whether it gets this far. */
static void answer_probe(const char *missing)
{
	if (missing)
		fprintf(stderr, "daxcheck plugin: this QEMU offers no register %s\n", missing);
	else
		fprintf(stderr, "daxcheck plugin: ready, API %d\n", PLUGIN_API);
	_exit(missing ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void on_vcpu(qemu_plugin_id_t id, unsigned int index)
{
	const char *missing = NULL;
	bool ready = vcpu_init(index, &missing);

	(void)id;
	if (options.mode == MODE_PROBE)
		answer_probe(missing);
	if (!ready)
		log_stop(LOG_INTERNAL, "QEMU offers no register %s", missing);
	if (options.mode != MODE_DEVICE_FLUSH)
		guest_find_memory(&options);
	if (log_running())
		run_add_vcpu();
}

static bool install(const qemu_info_t *info, int argc, char **argv, char *why, size_t why_size)
{
	if (!info->system_emulation || strcmp(info->target_name, "x86_64")) {
		snprintf(why, why_size, "needs qemu-system-x86_64, this is %s", info->target_name);
		return false;
	}
	if (!options_parse(&options, argc, argv, why, why_size))
		return false;
	vcpu_install();
	if (options.mode == MODE_PROBE)
		return true;
	if (!log_open(options.log, why, why_size))
		return false;
	if (options.coverage && !cover_open(options.coverage, why, why_size))
		return false;
	run_generation = log_generation();
	guest_install(&options);
	if (options.mode == MODE_DEVICE_FLUSH)
		return device_install(&options, why, why_size);
	return lines_install(options.nvdimm_size, why, why_size);
}

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	char why[512];

	if (!install(info, argc, argv, why, sizeof(why))) {
		fprintf(stderr, "daxcheck plugin: %s\n", why);
		return -1;
	}
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
	if (options.mode != MODE_PROBE)
		qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
}
