/* A log on a DAX mount, and its check: "log append FILE N", "log check FILE ACKED".
 *
 * A record is flushed before the count that makes it valid. With -DFORGET it is not flushed at all.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM = 1000, LINE = 64 };

struct record {
	uint64_t number, words[7];
};

struct log {
	_Alignas(LINE) uint64_t count;
	_Alignas(LINE) struct record records[ROOM];
};

__attribute__((noinline)) static void persist(const void *start, size_t length)
{
	uintptr_t end = (uintptr_t)start + length;

	for (uintptr_t line = (uintptr_t)start & -LINE; line < end; line += LINE)
		_mm_clwb((void *)line);
	_mm_sfence();
}

/* Map a log that is there with its whole length, or else NULL. */
static struct log *map(const char *path, int flags)
{
	int fd = open(path, flags, 0644);
	struct stat status;
	void *log;

	if (fd < 0 || (flags & O_CREAT && ftruncate(fd, sizeof(struct log))))
		return NULL;
	if (fstat(fd, &status) || status.st_size != sizeof(struct log))
		return NULL;
	log = mmap(NULL, sizeof(struct log), PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
	return log == MAP_FAILED ? NULL : log;
}

static int append(const char *path, uint64_t records)
{
	struct log *log = map(path, O_RDWR | O_CREAT);

	if (!log)
		return 3;
	for (uint64_t i = log->count; i < records; i++) {
		struct record *record = &log->records[i];

		for (int word = 0; word < 7; word++)
			record->words[word] = i + 1;
		record->number = i + 1;
#ifndef FORGET
		persist(record, sizeof *record);
#endif
		log->count = i + 1;
		persist(&log->count, sizeof log->count);
		printf("%lu\n", i + 1);
		fflush(stdout); /* a pipe is not written line by line */
	}
	return 0;
}

static int check(const char *path, const char *acked)
{
	struct log *log = map(path, O_RDWR);
	FILE *file = fopen(acked, "r");
	unsigned long promised = 0;

	if (!file)
		return 3;
	while (fscanf(file, "%lu", &promised) == 1)
		;
	if (!log && !promised)
		return 0;
	if (!log || log->count < promised) {
		printf("%lu records were promised, %lu are there\n", promised, log ? log->count : 0);
		return 1;
	}
	for (uint64_t i = 0; i < log->count; i++)
		for (int word = 0; word < 7; word++)
			if (log->records[i].words[word] != i + 1) {
				printf("record %lu is valid and holds %lu\n", i + 1, log->records[i].words[word]);
				return 1;
			}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "append"))
		return append(argv[2], strtoul(argv[3], NULL, 10));
	if (argc == 4 && !strcmp(argv[1], "check"))
		return check(argv[2], argv[3]);
	return 2;
}
