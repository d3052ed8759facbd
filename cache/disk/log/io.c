/* SPDX-License-Identifier: MIT */
#include "cache/disk/log/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- The real table ---- */

static int real_open(const struct disk_io *io, int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

	(void)io;
	return fd >= 0 ? fd : -errno;
}

static int real_close(const struct disk_io *io, int fd)
{
	(void)io;
	return close(fd) == 0 ? 0 : -errno;
}

static ssize_t real_pread(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at)
{
	ssize_t rc = pread(fd, p, n, (off_t)at);

	(void)io;
	return rc >= 0 ? rc : -errno;
}

static ssize_t real_pread_nowait(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at)
{
	struct iovec v = {p, n};
	ssize_t rc = preadv2(fd, &v, 1, (off_t)at, RWF_NOWAIT);

	(void)io;
	return rc >= 0 ? rc : -errno;
}

static ssize_t real_pwrite(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at)
{
	ssize_t rc = pwrite(fd, p, n, (off_t)at);

	(void)io;
	return rc >= 0 ? rc : -errno;
}

/* Where blocks can't be reserved the file is sparse, and a full device shows when it is written to. */
static int real_allocate(const struct disk_io *io, int fd, uint64_t size)
{
	(void)io;
	if (fallocate(fd, 0, 0, (off_t)size) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
}

static int real_truncate(const struct disk_io *io, int fd, uint64_t size)
{
	(void)io;
	return ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
}

static int real_sync(const struct disk_io *io, int fd)
{
	(void)io;
	return fdatasync(fd) == 0 ? 0 : -errno;
}

static int real_sync_dir(const struct disk_io *io, int dir)
{
	(void)io;
	return fsync(dir) == 0 ? 0 : -errno;
}

static int real_unlink(const struct disk_io *io, int dir, const char *name)
{
	(void)io;
	return unlinkat(dir, name, 0) == 0 ? 0 : -errno;
}

static int real_rename(const struct disk_io *io, int dir, const char *from, const char *to)
{
	(void)io;
	return renameat(dir, from, dir, to) == 0 ? 0 : -errno;
}

static int real_size(const struct disk_io *io, int fd, uint64_t *size)
{
	struct stat st;

	(void)io;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*size = (uint64_t)st.st_size;
	return 0;
}

static int real_is_private(const struct disk_io *io, int fd)
{
	struct stat st;

	(void)io;
	if (fstat(fd, &st) != 0)
		return -errno;
	return S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IRWXG | S_IRWXO)) ? 0 : -EPERM;
}

static int real_list(const struct disk_io *io, int dir, bool (*each)(const char *name, void *arg), void *arg)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	DIR *d;
	const struct dirent *e;

	(void)io;
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		err = -errno;
		close(fd);
		return err;
	}
	errno = 0;
	while ((e = readdir(d))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !each(e->d_name, arg))
			break;
		errno = 0;
	}
	err = e ? 0 : -errno;
	closedir(d);
	return err;
}

const struct disk_io disk_io_real = {
	.open = real_open,
	.close = real_close,
	.pread = real_pread,
	.pread_nowait = real_pread_nowait,
	.pwrite = real_pwrite,
	.allocate = real_allocate,
	.truncate = real_truncate,
	.sync = real_sync,
	.sync_dir = real_sync_dir,
	.unlink = real_unlink,
	.rename = real_rename,
	.size = real_size,
	.is_private = real_is_private,
	.list = real_list,
};

/* ---- On top of it ---- */

int io_read_all(const struct disk_io *io, int fd, void *p, size_t n, uint64_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t rc = io->pread(io, fd, (char *)p + done, n - done, at + done);

		if (rc == -EINTR)
			continue;
		if (rc < 0)
			return (int)rc;
		if (rc == 0)
			return -ENODATA;
		done += (size_t)rc;
	}
	return 0;
}

int io_write_all(const struct disk_io *io, int fd, const void *p, size_t n, uint64_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t rc = io->pwrite(io, fd, (const char *)p + done, n - done, at + done);

		if (rc == -EINTR)
			continue;
		if (rc <= 0)
			return rc < 0 ? (int)rc : -EIO;
		done += (size_t)rc;
	}
	return 0;
}

static int load_open(const struct disk_io *io, int fd, size_t max, void **p, size_t *n)
{
	uint64_t size = 0;
	int err = io->size(io, fd, &size);

	if (err)
		return err;
	if (size > max)
		return -EFBIG;
	*p = mem_alloc((size_t)size);
	if (!*p)
		return -ENOMEM;
	*n = (size_t)size;
	err = io_read_all(io, fd, *p, *n, 0);
	if (err) {
		mem_free(*p);
		*p = NULL;
	}
	return err;
}

int io_load(const struct disk_io *io, int dir, const char *name, size_t max, void **p, size_t *n)
{
	int fd = io->open(io, dir, name, O_RDONLY), err;

	*p = NULL;
	*n = 0;
	if (fd < 0)
		return fd;
	err = load_open(io, fd, max, p, n);
	(void)io->close(io, fd);
	return err;
}

int io_save(const struct disk_io *io, int dir, const char *name, const void *p, size_t n)
{
	int fd = io->open(io, dir, name, O_WRONLY | O_CREAT | O_TRUNC), err, closed;

	if (fd < 0)
		return fd;
	err = io_write_all(io, fd, p, n, 0);
	if (!err)
		err = io->sync(io, fd);
	closed = io->close(io, fd);
	if (!err)
		err = closed;
	if (err)
		(void)io->unlink(io, dir, name);
	return err;
}

bool io_number_in(const char *name, const char *prefix, uint64_t *number)
{
	size_t n = strlen(prefix);

	*number = 0;
	if (strncmp(name, prefix, n) != 0 || strlen(name) != n + 16)
		return false;
	for (const char *p = name + n; *p; p++) {
		const char *digits = "0123456789abcdef", *at = strchr(digits, *p);

		if (!at)
			return false;
		*number = *number << 4 | (uint64_t)(at - digits);
	}
	return *number > 0 && *number < UINT64_MAX / 2;
}
