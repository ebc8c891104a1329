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

/* One mapping may be split over several lines (madvise, NUMA policy): they follow each other, as lines and in memory. */
static bool extend(struct piece *piece, const struct mapping *mapping)
{
	if (mapping->start != (uintptr_t)piece->host + piece->length || mapping->offset != piece->offset + piece->length)
		return false;
	piece->length += mapping->end - mapping->start;
	return true;
}

static void collect(FILE *maps, const struct stat *file, struct region *region)
{
	struct mapping mapping;
	char *line = NULL;
	size_t room = 0;

	region->count = 0;
	while (getline(&line, &room, maps) > 0) {
		if (!parse_mapping(line, &mapping) || !is_mapping_of(&mapping, file))
			continue;
		if (region->count && extend(&region->pieces[region->count - 1], &mapping))
			continue;
		if (region->count == REGION_PIECES)
			break;
		region->pieces[region->count++] = (struct piece){
			.offset = mapping.offset,
			.length = mapping.end - mapping.start,
			.host = (uint8_t *)(uintptr_t)mapping.start,
		};
	}
	free(line);
}

/* How much of the file, from its start, the pieces hold; they come in the order of their addresses. */
static uint64_t covered_by(const struct region *region)
{
	uint64_t covered = 0;
	size_t i = 0;

	while (i < region->count) {
		const struct piece *piece = &region->pieces[i++];

		if (piece->offset <= covered && piece->offset + piece->length > covered) {
			covered = piece->offset + piece->length;
			i = 0;
		}
	}
	return covered;
}

bool memory_find(struct region *region, const char *path, char *why, size_t why_size)
{
	uint64_t covered;
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
	collect(maps, &file, region);
	fclose(maps);
	covered = covered_by(region);
	if (covered < region->size) {
		region->count = 0;
		snprintf(why, why_size, "QEMU maps %" PRIu64 " of %" PRIu64 " bytes of %s: name its memory-backend-file",
			 covered, region->size, path);
		return false;
	}
	return true;
}

uint8_t *memory_at(const struct region *region, uint64_t physical, uint64_t size)
{
	uint64_t offset = physical - region->base;
	size_t i;

	if (physical < region->base || offset > region->size || size > region->size - offset)
		return NULL;
	for (i = 0; i < region->count; i++) {
		const struct piece *piece = &region->pieces[i];
		uint64_t inside = offset - piece->offset;

		if (offset >= piece->offset && inside <= piece->length && size <= piece->length - inside)
			return piece->host + inside;
	}
	return NULL;
}
