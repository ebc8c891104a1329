// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"
#include "shared.h"

struct log_header *log_header;

static struct record *records;
static uint64_t capacity; /* our own copy: the file is shared with other processes */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *flaw_of(const struct log_header *header, uint64_t file_size)
{
	if (memcmp(header->magic, LOG_MAGIC, sizeof(header->magic)) || header->version != LOG_VERSION)
		return "is no persist log of version 4";
	if (header->record_size != sizeof(struct record))
		return "has another record size";
	if (header->count || header->status)
		return "has been used: create a new one";
	if (!header->capacity || header->capacity > (file_size - LOG_HEADER_SIZE) / sizeof(struct record))
		return "is smaller than its capacity says";
	return NULL;
}

bool log_open(const char *path, char *why, size_t why_size)
{
	uint64_t size = 0;
	void *address = shared_map(path, LOG_HEADER_SIZE, &size);
	const char *flaw;

	if (address == MAP_FAILED) {
		snprintf(why, why_size, "cannot map log %s: %s", path, strerror(errno));
		return false;
	}
	flaw = flaw_of(address, size);
	if (flaw) {
		snprintf(why, why_size, "log %s %s", path, flaw);
		munmap(address, size);
		return false;
	}
	log_header = address;
	records = (struct record *)((uint8_t *)address + LOG_HEADER_SIZE);
	capacity = log_header->capacity;
	return true;
}

static void stop_locked(enum log_status status, const char *format, va_list arguments)
{
	if (!log_running())
		return;
	vsnprintf(log_header->status_text, sizeof(log_header->status_text), format, arguments);
	__atomic_store_n(&log_header->status, status, __ATOMIC_RELEASE);
}

static void stop_full(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	stop_locked(LOG_FULL, format, arguments);
	va_end(arguments);
}

bool log_append(const struct record *from, uint64_t count, uint64_t *index)
{
	bool done = false;

	pthread_mutex_lock(&lock);
	if (log_running()) {
		uint64_t used = log_header->count;

		if (used > capacity || count > capacity - used) {
			stop_full("log full: %" PRIu64 " records fit, %" PRIu64 " more than that came", capacity,
				  used + count - capacity);
		} else {
			memcpy(records + used, from, count * sizeof(*from));
			__atomic_store_n(&log_header->count, used + count, __ATOMIC_RELEASE);
			*index = used;
			done = true;
		}
	}
	pthread_mutex_unlock(&lock);
	return done;
}

void log_check_capacity(void)
{
	if (log_header->capacity != capacity)
		log_stop(LOG_INTERNAL, "the log was made new with another capacity: %" PRIu64 " records, not %" PRIu64,
			 log_header->capacity, capacity);
}

const struct record *log_record(uint64_t index)
{
	return records + index;
}

void log_stop(enum log_status status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	pthread_mutex_lock(&lock);
	stop_locked(status, format, arguments);
	pthread_mutex_unlock(&lock);
	va_end(arguments);
}
