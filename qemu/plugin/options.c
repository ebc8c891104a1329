// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

/* q35 puts RAM of up to this size at guest-physical 0 in one piece; above it, it splits around the PCI hole. */
#define RAM_SIZE_MAX (UINT64_C(2) << 30)
/* Code outside long mode cannot reach what lies higher, so its flushes need no decoding. */
#define NVDIMM_BASE_MIN (UINT64_C(4) << 30)
#define LINE 64

static const char *value_of(const char *argument, const char *key)
{
	size_t length = strlen(key);

	return !strncmp(argument, key, length) && argument[length] == '=' ? argument + length + 1 : NULL;
}

static bool take_number(const char *text, uint64_t *number, const char **rest)
{
	char *end;

	if (*text < '0' || *text > '9') /* strtoull would take blanks and signs */
		return false;
	errno = 0;
	*number = strtoull(text, &end, 0);
	*rest = end;
	return !errno;
}

static bool take_mode(const char *text, enum mode *mode)
{
	static const char *const names[] = { "flush", "count_stores", "device_flush", "probe" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*mode = (enum mode)i;
			return true;
		}
	}
	return false;
}

static bool take_argument(struct options *options, const char *argument)
{
	const struct {
		const char *key, **path;
		uint64_t *number;
	} keys[] = {
		{ "log", &options->log, NULL },
		{ "ram", &options->ram, NULL },
		{ "nvdimm", &options->nvdimm, NULL },
		{ "base", &options->base, NULL },
		{ "coverage", &options->coverage, NULL },
		{ "ram_size", NULL, &options->ram_size },
		{ "nvdimm_base", NULL, &options->nvdimm_base },
		{ "nvdimm_size", NULL, &options->nvdimm_size },
	};
	const char *value, *rest;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		value = value_of(argument, keys[i].key);
		if (value && keys[i].path) {
			*keys[i].path = value;
			return *value;
		}
		if (value)
			return take_number(value, keys[i].number, &rest) && !*rest;
	}
	value = value_of(argument, "mode");
	return value && take_mode(value, &options->mode);
}

static const char *flaw_of(const struct options *options)
{
	if (options->mode == MODE_PROBE)
		return NULL;
	if (!options->log)
		return "argument log=PATH is missing";
	if (options->mode == MODE_DEVICE_FLUSH && (!options->base || !options->nvdimm))
		return "arguments base=PATH and nvdimm=PATH are both needed";
	if (options->mode != MODE_DEVICE_FLUSH && (!options->ram || !options->nvdimm))
		return "arguments ram=PATH and nvdimm=PATH are both needed";
	if (options->mode != MODE_DEVICE_FLUSH && (!options->ram_size || options->ram_size > RAM_SIZE_MAX))
		return "argument ram_size=BYTES must be 1..2147483648 (RAM in one piece)";
	if (options->nvdimm_base < NVDIMM_BASE_MIN || options->nvdimm_base % LINE)
		return "argument nvdimm_base=GPA must be at least 0x100000000 and a multiple of 64";
	if (!options->nvdimm_size || options->nvdimm_size % LINE ||
	    options->nvdimm_size > UINT64_MAX - options->nvdimm_base)
		return "argument nvdimm_size=BYTES must be a multiple of 64, not 0, and fit above nvdimm_base";
	return NULL;
}

bool options_parse(struct options *options, int argc, char **argv, char *why, size_t why_size)
{
	const char *flaw;
	int i;

	memset(options, 0, sizeof(*options));
	for (i = 0; i < argc; i++) {
		if (!take_argument(options, argv[i])) {
			snprintf(why, why_size, "unknown or malformed argument '%s'", argv[i]);
			return false;
		}
	}
	flaw = flaw_of(options);
	if (flaw)
		snprintf(why, why_size, "%s", flaw);
	return !flaw;
}
