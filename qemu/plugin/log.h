/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The persist log: a file that the harness creates, mapped MAP_SHARED, so that killing QEMU loses nothing of
 * it. Little-endian. Documented in qemu/README.md; read by harness/media/log.py.
 */
#ifndef DAXCHECK_LOG_H
#define DAXCHECK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_MAGIC "DAXPLOG1"
#define LOG_VERSION 4
#define LOG_HEADER_SIZE 4096
#define LINE_SIZE 64

enum log_status {
	LOG_RUNNING = 0,
	LOG_FULL = 1,
	LOG_UNMODELLED = 2,
	LOG_TRANSLATION = 3,
	LOG_INTERNAL = 4,
};

enum record_kind {
	RECORD_LINE = 1,  /* a whole line, flushed and fenced */
	RECORD_BYTES = 2, /* bytes within one line, stored non-temporally and fenced */
	RECORD_MARK = 3,  /* address holds the marker's value */
	RECORD_FENCE = 4, /* the end of a set: the `length` records before it became durable here, together */
};

enum record_flags {
	RECORD_NO_FENCE = 1, /* completed by a locked or serialising instruction, not by sfence or mfence */
};

struct record {
	uint32_t kind;
	uint32_t length;  /* of data, in bytes; of a FENCE's set, in records */
	uint64_t address; /* guest-physical; of a FENCE the instruction's, linear, 0: the device's doing */
	uint32_t vcpu;
	uint32_t flags;
	uint64_t sequence; /* order of capture over all vCPUs, from 1; 0 in MARK and FENCE */
	uint8_t data[LINE_SIZE];
};
_Static_assert(sizeof(struct record) == 96, "the log's record size");

struct log_header {
	char magic[8];
	uint32_t version;
	uint32_t record_size;
	uint64_t capacity; /* records */
	uint64_t count;	   /* stored with release order once the records below it are complete */
	uint32_t status;   /* enum log_status */
	char status_text[256];
	uint32_t padding;
	uint64_t flushes;     /* completed flushes inside the NVDIMM, the ignored ones left out */
	uint64_t fences;      /* sfence and mfence that completed something */
	uint64_t nontemporal; /* completed non-temporal stores into the NVDIMM */
	uint64_t locked;      /* locked and serialising instructions that completed something */
	uint64_t markers;
	uint64_t dropped;     /* flushes ignored by the planted fault */
	uint64_t stores;      /* mode=count_stores: stores into the NVDIMM */
	uint64_t vcpus;	      /* vCPUs that the plugin is ready on */
	uint64_t fault_start; /* planted fault: flushes of device bytes [fault_start, fault_end) are ignored */
	uint64_t fault_end;
	uint64_t unchanged;   /* flushes that found their line persisted as it is, and so left no record */
	uint64_t generation;  /* of the log: the harness raises it when it makes the log new for another run */
	uint64_t late_start;  /* planted fault: what is completed of device bytes [late_start, late_end) becomes */
	uint64_t late_end;    /* durable at the next marker only */
	uint64_t no_fence;    /* planted fault, 1: sfence and mfence complete as locked instructions do */
};
_Static_assert(offsetof(struct log_header, status_text) == 36, "layout shared with harness/media/log.py");
_Static_assert(offsetof(struct log_header, flushes) == 296, "layout shared with harness/media/log.py");
_Static_assert(offsetof(struct log_header, no_fence) == 408, "layout shared with harness/media/log.py");

extern struct log_header *log_header;

/* Maps the log at `path`; false, with the reason in `why`, when it is no log or is already in use. */
bool log_open(const char *path, char *why, size_t why_size);

/* Whether recording is on: no status has been set. */
static inline bool log_running(void)
{
	return __atomic_load_n(&log_header->status, __ATOMIC_RELAXED) == LOG_RUNNING;
}

/* Whether the line at device byte `offset` has any of the bytes [start, end). */
static inline bool line_touches(uint64_t offset, uint64_t start, uint64_t end)
{
	return offset < end && offset + LINE_SIZE > start;
}

/* Whether the planted fault ignores flushes of the line at device byte `offset`. */
static inline bool log_ignores(uint64_t offset)
{
	return line_touches(offset, log_header->fault_start, log_header->fault_end);
}

/* The run that the log is of now. */
static inline uint64_t log_generation(void)
{
	return __atomic_load_n(&log_header->generation, __ATOMIC_ACQUIRE);
}

/* Stops a log that has been made new with another capacity: the file may be shorter than what is mapped. */
void log_check_capacity(void);

/* Appends all `count` records in one piece, *index the first of them; or none, false, and sets LOG_FULL. */
bool log_append(const struct record *records, uint64_t count, uint64_t *index);

/* A record that has been appended; it does not change any more. */
const struct record *log_record(uint64_t index);

/* Stops recording for good. The first status stays. */
void log_stop(enum log_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void log_add(uint64_t *counter, uint64_t count)
{
	__atomic_fetch_add(counter, count, __ATOMIC_RELAXED);
}

static inline void log_count(uint64_t *counter)
{
	log_add(counter, 1);
}

#endif
