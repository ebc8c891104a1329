/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio-pmem device: what the guest stored is durable when the host has answered a flush request, for which QEMU
 * calls fsync() on the file behind the device. This library is preloaded into QEMU as well, so that fsync() is ours:
 * each line in which memory then differs from the media becomes a LINE record.
 */
#ifndef DAXCHECK_DEVICE_H
#define DAXCHECK_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

/* Begins to record flush requests; called once, at install time. False, with the reason in `why`, when it cannot. */
bool device_install(const struct options *options, char *why, size_t why_size);

/* Takes the base image, as it is now, for the media: another run begins. Nothing without device_install(). */
void device_forget(void);

#endif
