/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who called the code that completes a set. What executes the fence is one of a few functions, such as
 * _raw_spin_lock_irqsave; the op is known by those above it. Kernels without frame pointers can be unwound by their
 * own tables only, so this takes what looks like a return address, as the kernel's own "? name" lines do: some may be
 * left over from earlier calls.
 */
#ifndef DAXCHECK_STACK_H
#define DAXCHECK_STACK_H

#include "log.h"
#include "vcpu.h"

/*
 * Fills `record`'s data with the low halves of at most LINE_SIZE / 4 return addresses, the innermost first; all are
 * between STACK_CODE and STACK_CODE_END. What is left stays as it is. Needs registers.
 */
void stack_add_callers(struct vcpu *vcpu, struct record *record);

/* The kernel's text and its modules (Documentation/arch/x86/x86_64/mm.rst), in which only the low half differs. */
#define STACK_CODE UINT64_C(0xffffffff80000000)
#define STACK_CODE_END UINT64_C(0xffffffffff000000)

#endif
