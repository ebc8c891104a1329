/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One guest may serve several runs, one after the other: while its vCPUs stand still, the harness makes the log new,
 * puts another medium in place and lets them go on. What the plugin knew of lines, pending sets and fences is of the
 * earlier run then. The first vCPU that sees the log's new generation forgets it, for all.
 */
#ifndef DAXCHECK_RUN_H
#define DAXCHECK_RUN_H

#include "log.h"

extern uint64_t run_generation; /* of the log that all other state belongs to */

/* A vCPU is ready: it counts in the log of this run and of all later ones. */
void run_add_vcpu(void);

/* Takes the log's generation over, once, whoever calls; another vCPU that calls meanwhile waits. */
void run_begin(void);

/*
 * Call it before anything else of this plugin's state is looked at. A vCPU that finds the generations equal sees all
 * that the one which forgot has done; one that does not cannot be in the middle of anything, since it stood still when
 * the log was made new.
 */
static inline void run_check(void)
{
	if (log_generation() != __atomic_load_n(&run_generation, __ATOMIC_ACQUIRE))
		run_begin();
}

#endif
