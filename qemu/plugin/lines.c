// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lines.h"

static struct line *lines;
static uint64_t table_size; /* bytes; 0 until installed */
static uint64_t sequence; /* of the newest capture of any line */

bool lines_install(uint64_t size, char *why, size_t why_size)
{
	uint64_t bytes = size / LINE_SIZE * sizeof(struct line);

	lines = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (lines != MAP_FAILED) {
		table_size = bytes;
		return true;
	}
	snprintf(why, why_size, "no memory for the table of lines: %s", strerror(errno));
	return false;
}

void lines_forget(void)
{
	/* reads as zero again, and costs what has been touched (madvise(2), MADV_DONTNEED) */
	if (table_size && madvise(lines, table_size, MADV_DONTNEED))
		log_stop(LOG_INTERNAL, "cannot forget the table of lines: %s", strerror(errno));
	sequence = 0;
}

struct line *line_at(uint64_t offset)
{
	return &lines[offset / LINE_SIZE];
}

/* In 8-byte pieces: the unit that x86 stores atomically, so that another vCPU's store is copied whole or not. */
static uint64_t load_word(const uint8_t *line, size_t at)
{
	return __atomic_load_n((const uint64_t *)(line + at), __ATOMIC_RELAXED);
}

void line_copy(uint8_t *to, const uint8_t *line)
{
	size_t at;

	for (at = 0; at < LINE_SIZE; at += 8) {
		uint64_t word = load_word(line, at);

		memcpy(to + at, &word, sizeof(word));
	}
}

bool line_holds(const uint8_t *line, const uint8_t *data)
{
	uint64_t word, difference = 0;
	size_t at;

	for (at = 0; at < LINE_SIZE; at += 8) {
		memcpy(&word, data + at, sizeof(word));
		difference |= word ^ load_word(line, at);
	}
	return !difference;
}

static uint64_t newest(const struct line *line)
{
	return __atomic_load_n(&line->newest, __ATOMIC_ACQUIRE);
}

/* False when another capture of the line came after `before` was read: the caller's may be out of order then. */
static bool number(struct line *line, struct record *record, uint64_t before)
{
	record->sequence = __atomic_add_fetch(&sequence, 1, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n(&line->newest, &before, record->sequence, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

void line_capture(struct line *line, struct record *record, const uint8_t *live)
{
	uint64_t before;

	do {
		before = newest(line);
		line_copy(record->data, live);
	} while (!number(line, record, before));
}

void line_number(struct line *line, struct record *record)
{
	while (!number(line, record, newest(line)))
		continue;
}

bool line_is_newest(const struct line *line, const struct record *record)
{
	return newest(line) == record->sequence;
}

bool line_is_persisted(const struct line *line, const uint8_t *live)
{
	uint64_t logged = __atomic_load_n(&line->logged, __ATOMIC_ACQUIRE);
	const struct record *record;

	if (!logged)
		return false;
	record = log_record(logged - 1);
	if (!line_is_newest(line, record) || !line_holds(live, record->data))
		return false;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return line_is_newest(line, record); /* nobody captured it while we looked */
}

void line_logged(struct line *line, uint64_t index)
{
	__atomic_store_n(&line->logged, index + 1, __ATOMIC_RELEASE);
}
