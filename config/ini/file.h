/* SPDX-License-Identifier: MIT */
/* Reading a small file whole.
 * Thread: any; it blocks. Bounds: the buffer's maximum. */
#ifndef CONFIG_INI_FILE_H
#define CONFIG_INI_FILE_H

#include "base/buf.h"
#include "base/check.h"

/* Appends the file's bytes. 0 or negative errno; -ENOBUFS when it is larger than the buffer may grow. */
int file_read(const char *path, struct buf *out) WARN_UNUSED;
/* The same of a regular file; -ENOTSUP where it is something else, of which a pipe could be waited for without end. */
int file_read_regular(const char *path, struct buf *out) WARN_UNUSED;
/* Why it was not read. */
const char *file_why(int err);

#endif
