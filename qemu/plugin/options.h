/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's arguments, key=value, as listed in qemu/README.md. */
#ifndef DAXCHECK_OPTIONS_H
#define DAXCHECK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mode {
	MODE_FLUSH,	   /* record what is persisted */
	MODE_COUNT_STORES, /* that, and call out on every store: what tracking stores would cost (benchmark only) */
	MODE_DEVICE_FLUSH, /* record what the guest's flush requests to a virtio-pmem device persist */
	MODE_PROBE,	   /* record nothing; say whether this QEMU has what the plugin needs */
};

struct options {
	enum mode mode;
	const char *log, *ram, *nvdimm, *base, *coverage; /* paths */
	uint64_t ram_size, nvdimm_base, nvdimm_size;
};

/* Fills `options`; false, with one line that names the argument in `why`, when one is wrong or missing. */
bool options_parse(struct options *options, int argc, char **argv, char *why, size_t why_size);

#endif
