// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "device.h"
#include "late.h"
#include "lines.h"
#include "log.h"
#include "run.h"

#define FIRST_ROOM 4096
#define ROOM_KEPT 65536 /* records: 6 MiB of a QEMU that may be one of many */
#define EXPORT __attribute__((visibility("default")))

typedef int flush_call(int fd);

static struct {
	int fd;		     /* our own, for its extents; 0 until installed */
	const uint8_t *live; /* the device's memory, as the guest has it */
	uint8_t *media;	     /* what the log makes of the base image: a private mapping of that */
	uint64_t size, base;
	dev_t dev;
	ino_t inode;
} device;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* QEMU flushes from several threads */
static struct record *set; /* what the present request persists, in one piece */
static uint64_t filled, room, sequence;

static struct record *next_record(void)
{
	if (filled == room) {
		room = room ? room * 2 : FIRST_ROOM;
		set = g_renew(struct record, set, room);
	}
	return &set[filled++];
}

static void append_set(void)
{
	uint64_t index, length;

	filled = length = late_take(set, filled, device.base);
	if (length) {
		*next_record() = (struct record){ .kind = RECORD_FENCE, .length = (uint32_t)length };
		log_append(set, filled, &index);
	}
	filled = 0;
	if (room > ROOM_KEPT) {
		g_free(set);
		set = NULL;
		room = 0;
	}
}

static void add_line(uint64_t offset)
{
	struct record *record;

	if (log_ignores(offset)) {
		log_count(&log_header->dropped);
		return;
	}
	record = next_record();
	*record = (struct record){ .kind = RECORD_LINE, .length = LINE_SIZE, .address = device.base + offset };
	record->sequence = ++sequence;
	line_copy(record->data, device.live + offset);
	memcpy(device.media + offset, record->data, LINE_SIZE);
	log_count(&log_header->flushes);
}

static void add_extent(uint64_t start, uint64_t end)
{
	uint64_t offset;

	for (offset = start; offset < end; offset += LINE_SIZE) {
		if (!line_holds(device.live + offset, device.media + offset))
			add_line(offset);
	}
}

/* What was never allocated reads as zero on both sides; nothing ever gives memory of the device back. */
static void add_device(void)
{
	off_t start, end = 0;

	while ((start = lseek(device.fd, end, SEEK_DATA)) >= 0 && (uint64_t)start < device.size) {
		end = lseek(device.fd, start, SEEK_HOLE);
		if (end < 0 || (uint64_t)end > device.size)
			end = (off_t)device.size;
		add_extent((uint64_t)start, (uint64_t)end);
	}
	append_set();
	log_count(&log_header->fences);
}

static int flush(int fd, const char *name)
{
	flush_call *real = (flush_call *)dlsym(RTLD_NEXT, name);
	struct stat file;
	int result, error;

	if (!real) {
		errno = ENOSYS;
		return -1;
	}
	result = real(fd);
	error = errno;
	if (!result && device.fd && !fstat(fd, &file) && file.st_dev == device.dev && file.st_ino == device.inode) {
		run_check();
		pthread_mutex_lock(&lock);
		if (log_running())
			add_device();
		pthread_mutex_unlock(&lock);
	}
	errno = error;
	return result;
}

EXPORT int fsync(int fd)
{
	return flush(fd, "fsync");
}

EXPORT int fdatasync(int fd)
{
	return flush(fd, "fdatasync");
}

/* Whether the calls of this process come here: only if the library has been preloaded. */
static bool is_called(const char *name)
{
	Dl_info found, own;

	return dladdr(dlsym(RTLD_DEFAULT, name), &found) && dladdr((void *)add_device, &own) &&
	       found.dli_fbase == own.dli_fbase;
}

static void *map_file(const char *path, uint64_t size, int flags, int protection, int *fd)
{
	void *address;
	struct stat file;

	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return MAP_FAILED;
	errno = EINVAL;
	if (fstat(*fd, &file) || (uint64_t)file.st_size < size)
		return MAP_FAILED;
	device.dev = file.st_dev;
	device.inode = file.st_ino;
	address = mmap(NULL, size, protection, flags, *fd, 0);
	return address;
}

void device_forget(void)
{
	pthread_mutex_lock(&lock);
	/* our private copies of its pages go, and the file shows again (madvise(2), MADV_DONTNEED) */
	if (device.fd && madvise(device.media, device.size, MADV_DONTNEED))
		log_stop(LOG_INTERNAL, "cannot read the media of the device anew: %s", strerror(errno));
	filled = sequence = 0;
	pthread_mutex_unlock(&lock);
}

bool device_install(const struct options *options, char *why, size_t why_size)
{
	void *media, *live;
	int fd, base;

	if (!is_called("fsync") || !is_called("fdatasync")) {
		snprintf(why, why_size, "fsync() of this QEMU is not ours: start it with LD_PRELOAD of the plugin's path");
		return false;
	}
	media = map_file(options->base, options->nvdimm_size, MAP_PRIVATE | MAP_NORESERVE, PROT_READ | PROT_WRITE, &base);
	live = media == MAP_FAILED ? media : map_file(options->nvdimm, options->nvdimm_size, MAP_SHARED, PROT_READ, &fd);
	if (live == MAP_FAILED) {
		snprintf(why, why_size, "cannot map %s: %s", media == MAP_FAILED ? options->base : options->nvdimm,
			 strerror(errno));
		return false;
	}
	device.media = media;
	device.live = live;
	device.size = options->nvdimm_size;
	device.base = options->nvdimm_base;
	device.fd = fd;
	return true;
}
