// SPDX-License-Identifier: GPL-2.0-or-later
#include <glib.h>
#include <pthread.h>

#include "late.h"

static struct record *held;
static uint64_t count, room;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct record *next_record(void)
{
	if (count == room) {
		room = room ? room * 2 : 1024;
		held = g_renew(struct record, held, room);
	}
	return &held[count++];
}

static bool is_late(const struct record *record, uint64_t base)
{
	uint64_t offset = (record->address - base) & ~(uint64_t)(LINE_SIZE - 1);

	return line_touches(offset, log_header->late_start, log_header->late_end);
}

uint64_t late_take(struct record *set, uint64_t length, uint64_t base)
{
	uint64_t i, stay = 0;

	if (!log_header->late_end)
		return length;
	pthread_mutex_lock(&lock);
	for (i = 0; i < length; i++) {
		if (is_late(&set[i], base))
			*next_record() = set[i];
		else
			set[stay++] = set[i];
	}
	pthread_mutex_unlock(&lock);
	return stay;
}

void late_release(unsigned int vcpu, uint64_t address)
{
	uint64_t i, at, length;

	if (!log_header->late_end)
		return;
	pthread_mutex_lock(&lock);
	length = count;
	if (length) {
		for (i = 0; i < length; i++) {
			held[i].vcpu = vcpu;
			held[i].flags = 0;
		}
		*next_record() = (struct record){
			.kind = RECORD_FENCE, .length = (uint32_t)length, .address = address, .vcpu = vcpu,
		};
		log_append(held, count, &at);
		count = 0;
	}
	pthread_mutex_unlock(&lock);
}

void late_forget(void)
{
	pthread_mutex_lock(&lock);
	count = 0;
	pthread_mutex_unlock(&lock);
}
