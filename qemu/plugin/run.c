// SPDX-License-Identifier: GPL-2.0-or-later
#include <pthread.h>

#include "device.h"
#include "late.h"
#include "lines.h"
#include "run.h"
#include "vcpu.h"

uint64_t run_generation;
static uint64_t vcpus;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void run_add_vcpu(void)
{
	pthread_mutex_lock(&lock);
	vcpus++;
	log_header->vcpus = vcpus;
	pthread_mutex_unlock(&lock);
}

void run_begin(void)
{
	pthread_mutex_lock(&lock);
	if (log_generation() != run_generation) {
		log_check_capacity();
		lines_forget();
		vcpu_forget_all();
		late_forget();
		device_forget();
		log_header->vcpus = vcpus;
		__atomic_store_n(&run_generation, log_generation(), __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
}
