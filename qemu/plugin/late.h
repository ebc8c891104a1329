/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The planted fault of late flushes: what is completed of some device bytes becomes durable at the next marker, which
 * ends the op, as if no fence had waited for it. So the media are right after each op, and wrong only inside one.
 */
#ifndef DAXCHECK_LATE_H
#define DAXCHECK_LATE_H

#include <stdint.h>

#include "log.h"

/*
 * Holds the late ones of a set back and closes the gaps; `base` is the guest-physical address of the device's first
 * byte. Returns how many records stay.
 */
uint64_t late_take(struct record *set, uint64_t count, uint64_t base);

/* Appends what was held back, as one set that the instruction at `address` completes, on `vcpu`. */
void late_release(unsigned int vcpu, uint64_t address);

/* Drops what was held back: another run begins. */
void late_forget(void);

#endif
