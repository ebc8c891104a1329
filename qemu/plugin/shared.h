/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file that the plugin and the harness share. */
#ifndef SHARED_H
#define SHARED_H

#include <stdint.h>

/* Map the whole file for reading and writing, and give its size; MAP_FAILED and errno if it has fewer bytes than
 * `least` (EINVAL) or cannot be mapped. */
void *shared_map(const char *path, uint64_t least, uint64_t *size);

#endif
