// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared.h"

void *shared_map(const char *path, uint64_t least, uint64_t *size)
{
	void *address = MAP_FAILED;
	struct stat file;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return MAP_FAILED;
	if (!fstat(fd, &file)) {
		*size = file.st_size;
		errno = EINVAL;
		if (*size >= least)
			address = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	close(fd);
	return address;
}
