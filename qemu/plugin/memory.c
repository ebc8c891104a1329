// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "memory.h"

struct mapping {
	uint64_t start, end, offset, inode;
	unsigned int major, minor;
	const char *path; /* may be empty; points into the line */
};

static bool parse_mapping(char *line, struct mapping *mapping)
{
	char permissions[5];
	int path = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &mapping->start, &mapping->end,
		   permissions, &mapping->offset, &mapping->major, &mapping->minor, &mapping->inode, &path) != 7)
		return false;
	line[strcspn(line, "\n")] = '\0';
	mapping->path = line + path;
	return permissions[0] == 'r';
}

static bool is_mapping_of(const struct mapping *mapping, const struct stat *file)
{
	struct stat named;

	if (mapping->inode == file->st_ino && makedev(mapping->major, mapping->minor) == file->st_dev)
		return true;
	/* overlayfs and btrfs show another device in maps than in stat(): compare by name then */
	return mapping->path[0] == '/' && mapping->inode && !stat(mapping->path, &named) &&
	       named.st_ino == file->st_ino && named.st_dev == file->st_dev;
}

/* A mapping may be split over several lines (madvise, NUMA policy): they must follow each other. */
static uint64_t search(FILE *maps, const struct stat *file, uint64_t size, uint64_t *start)
{
	uint64_t covered = 0;
	struct mapping mapping;
	char *line = NULL;
	size_t room = 0;

	while (covered < size && getline(&line, &room, maps) > 0) {
		if (!parse_mapping(line, &mapping) || !is_mapping_of(&mapping, file))
			continue;
		if (mapping.offset == 0) {
			*start = mapping.start;
			covered = mapping.end - mapping.start;
		} else if (covered && mapping.offset == covered && mapping.start == *start + covered) {
			covered += mapping.end - mapping.start;
		}
	}
	free(line);
	return covered;
}

bool memory_find(struct region *region, const char *path, char *why, size_t why_size)
{
	uint64_t covered, start = 0;
	struct stat file;
	FILE *maps;

	if (stat(path, &file)) {
		snprintf(why, why_size, "cannot stat %s: %s", path, strerror(errno));
		return false;
	}
	maps = fopen("/proc/self/maps", "re");
	if (!maps) {
		snprintf(why, why_size, "cannot read /proc/self/maps: %s", strerror(errno));
		return false;
	}
	covered = search(maps, &file, region->size, &start);
	fclose(maps);
	if (covered < region->size) {
		snprintf(why, why_size, "QEMU maps %" PRIu64 " of %" PRIu64 " bytes of %s: name its memory-backend-file",
			 covered, region->size, path);
		return false;
	}
	region->host = (uint8_t *)(uintptr_t)start;
	return true;
}

uint8_t *memory_at(const struct region *region, uint64_t physical, uint64_t size)
{
	uint64_t offset = physical - region->base;

	if (physical < region->base || offset > region->size || size > region->size - offset)
		return NULL;
	return region->host + offset;
}
