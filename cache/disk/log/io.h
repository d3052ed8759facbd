/* SPDX-License-Identifier: MIT */
/* Every touch of a file goes through this table, so that a test can make the n-th one fail, tear or end the process.
 * Thread: any. Borrows: whatever the table's own struct holds. All calls return negative errno on failure. */
#ifndef CACHE_DISK_LOG_IO_H
#define CACHE_DISK_LOG_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"

struct disk_io {
	int (*open)(const struct disk_io *io, int dir, const char *name, int flags);
	int (*close)(const struct disk_io *io, int fd);
	ssize_t (*pread)(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at);
	/* -EAGAIN when it would wait for the device, -EOPNOTSUPP when the file system can't tell. */
	ssize_t (*pread_nowait)(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at);
	ssize_t (*pwrite)(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at);
	int (*allocate)(const struct disk_io *io, int fd, uint64_t size);
	int (*truncate)(const struct disk_io *io, int fd, uint64_t size);
	int (*sync)(const struct disk_io *io, int fd);
	int (*sync_dir)(const struct disk_io *io, int dir);
	int (*unlink)(const struct disk_io *io, int dir, const char *name);
	int (*rename)(const struct disk_io *io, int dir, const char *from, const char *to);
	int (*size)(const struct disk_io *io, int fd, uint64_t *size);
	/* 0: a regular file of this process's user, which nobody else may read or write. -EPERM: it is not. */
	int (*is_private)(const struct disk_io *io, int fd);
	/* Names without "." and "..". `each` returns false to end it. */
	int (*list)(const struct disk_io *io, int dir, bool (*each)(const char *name, void *arg), void *arg);
};

extern const struct disk_io disk_io_real;

/* All n bytes or an error: goes on after EINTR and short counts. Reading past the end is -ENODATA. */
int io_read_all(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at) WARN_UNUSED;
int io_write_all(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at) WARN_UNUSED;
/* A whole file of at most `max` bytes; the caller frees *p with mem_free. -EFBIG when it is longer. */
int io_load(const struct disk_io *io, int dir, const char *name, size_t max, void **p, size_t *n) WARN_UNUSED;
/* Creates (or empties) a file, writes and syncs it; on failure it is unlinked again. */
int io_save(const struct disk_io *io, int dir, const char *name, const void *p, size_t n) WARN_UNUSED;

/* The number in a file's name, 16 hexadecimal digits behind the prefix. False: the name is another one, or nobody's number. */
bool io_number_in(const char *name, const char *prefix, uint64_t *number);

#endif
