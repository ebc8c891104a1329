/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the plugin knows of each line of the NVDIMM: when it was captured last, and where it is in the log.
 *
 * Cache coherence orders the write-backs of one line by when the line was taken, not by when a fence waited for
 * them. So every record carries a sequence number, and of two records of a line the higher one wins. To capture a
 * line and to number the capture is one step as seen by other vCPUs.
 */
#ifndef DAXCHECK_LINES_H
#define DAXCHECK_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct line {
	uint64_t newest; /* sequence of its newest capture by any vCPU, completed or not; 0: none */
	uint64_t logged; /* 1 + the log's index of one of its LINE records; 0: none */
};

/* Makes the table for an NVDIMM of `size` bytes, sparse; called once. False, with the reason in `why`. */
bool lines_install(uint64_t size, char *why, size_t why_size);

/* Forgets all lines: memory and media of another run begin. */
void lines_forget(void);

/* The line that holds byte `offset` of the NVDIMM. */
struct line *line_at(uint64_t offset);

/* Copies a line in pieces that x86 stores atomically. */
void line_copy(uint8_t *to, const uint8_t *line);

/* Whether the line holds these bytes. */
bool line_holds(const uint8_t *line, const uint8_t *data);

/* Copies the line as it is, from `live` to record->data, and numbers the record. */
void line_capture(struct line *line, struct record *record, const uint8_t *live);

/* Numbers a record of bytes that have just been stored to the line. */
void line_number(struct line *line, struct record *record);

/* Whether `record` is the newest capture of the line, so that what is stored now may still join it. */
bool line_is_newest(const struct line *line, const struct record *record);

/*
 * Whether capturing the line now could change nothing: its newest capture is in the log and holds exactly these
 * bytes. A record of the line that is still pending somewhere is older then, and loses against that one anyway.
 */
bool line_is_persisted(const struct line *line, const uint8_t *live);

/* A completed LINE record of the line is at `index` of the log. */
void line_logged(struct line *line, uint64_t index);

#endif
