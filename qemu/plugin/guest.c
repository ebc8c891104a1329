// SPDX-License-Identifier: GPL-2.0-or-later
#include <pthread.h>

#include "guest.h"
#include "log.h"
#include "walk.h"

struct region nvdimm;
static struct region ram;
static bool touched;

void guest_install(const struct options *options)
{
	ram = (struct region){ .size = options->ram_size };
	nvdimm = (struct region){ .base = options->nvdimm_base, .size = options->nvdimm_size };
}

void guest_find_memory(const struct options *options)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	char why[256];

	/* vCPU threads come up while the machine is built: by then the memory backends are mapped */
	pthread_mutex_lock(&lock);
	if ((!ram.count && !memory_find(&ram, options->ram, why, sizeof(why))) ||
	    (!nvdimm.count && !memory_find(&nvdimm, options->nvdimm, why, sizeof(why))))
		log_stop(LOG_INTERNAL, "%s", why);
	pthread_mutex_unlock(&lock);
}

const uint8_t *guest_memory(uint64_t physical, uint64_t size)
{
	const uint8_t *at = memory_at(&ram, physical, size);

	return at ? at : memory_at(&nvdimm, physical, size);
}

static bool read_entry(void *unused, uint64_t physical, uint64_t *entry)
{
	const uint8_t *at = guest_memory(physical, sizeof(*entry));

	(void)unused;
	if (at)
		*entry = __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
	return at;
}

bool guest_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *physical)
{
	int levels = vcpu_register(vcpu, REG_CR4) & CR4_LA57 ? 5 : 4;

	return walk(vcpu_register(vcpu, REG_CR3), levels, linear, read_entry, NULL, physical);
}

struct line *guest_line(uint64_t physical)
{
	return line_at(physical - nvdimm.base);
}

bool guest_accessed(qemu_plugin_meminfo_t info, uint64_t vaddr, uint64_t *physical)
{
	struct qemu_plugin_hwaddr *address = qemu_plugin_get_hwaddr(info, vaddr);

	if (!address || qemu_plugin_hwaddr_is_io(address))
		return false;
	*physical = qemu_plugin_hwaddr_phys_addr(address);
	return true;
}

bool guest_touched(void)
{
	return __atomic_load_n(&touched, __ATOMIC_RELAXED);
}

void guest_touch(void)
{
	if (!guest_touched())
		__atomic_store_n(&touched, true, __ATOMIC_RELAXED);
}
