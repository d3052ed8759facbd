/* SPDX-License-Identifier: MIT */
#include "config/ini/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP = 4096 };

static int read_all(int fd, struct buf *out)
{
	char bytes[STEP];

	for (;;) {
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return out->err;
		if (buf_add(out, bytes, (size_t)n))
			return out->err;
	}
}

int file_read_regular(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0)
		return -errno;
	rc = fstat(fd, &st) != 0 ? -errno : S_ISREG(st.st_mode) ? read_all(fd, out) : -ENOTSUP;
	close(fd);
	return rc;
}

const char *file_why(int err)
{
	return err == -ENOBUFS ? "too large" : err == -ENOTSUP ? "not a file" : strerror(-err);
}

int file_read(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = read_all(fd, out);
	close(fd);
	return rc;
}
