/* SPDX-License-Identifier: MIT */
/* A library to be preloaded: file calls in one directory fail when a test says so. The test and this share a page:
 * MEMOPROXY_FAULTS names its file, MEMOPROXY_FAULTS_UNDER the directory. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

struct faults {
	_Atomic int64_t calls; /* so far */
	_Atomic int64_t from;  /* the first call that fails; 0: none */
	_Atomic int64_t to;    /* and the last */
	_Atomic int64_t error; /* 0: half of the bytes, where there are any */
	_Atomic int64_t hits;
};

static struct faults *faults;
static char under[PATH_MAX];

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("MEMOPROXY_FAULTS"), *dir = getenv("MEMOPROXY_FAULTS_UNDER");
	int fd = name && dir ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd >= 0 ? mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (p == MAP_FAILED)
		return;
	snprintf(under, sizeof(under), "%s", dir);
	faults = p;
	close(fd);
}

static int is_ours(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	if (!faults)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	return n >= (ssize_t)strlen(under) && strncmp(path, under, strlen(under)) == 0;
}

/* 0: go on; 1: be short; -1: errno is set. */
static int verdict(int fd)
{
	int64_t n, from;

	if (!is_ours(fd))
		return 0;
	n = atomic_fetch_add(&faults->calls, 1) + 1;
	from = atomic_load(&faults->from);
	if (from == 0 || n < from || n > atomic_load(&faults->to))
		return 0;
	atomic_fetch_add(&faults->hits, 1);
	errno = (int)atomic_load(&faults->error);
	return errno ? -1 : 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_OR(fd, call)             \
	do {                          \
		if (verdict(fd) < 0)  \
			return -1;    \
		return call;          \
	} while (0)

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	FAIL_OR(dir, REAL(openat)(dir, path, flags, mode));
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	int v = verdict(fd);

	return v < 0 ? -1 : REAL(pread)(fd, p, v > 0 && n > 1 ? n / 2 : n, at);
}

ssize_t preadv2(int fd, const struct iovec *v, int count, off_t at, int flags)
{
	struct iovec one = v[0];
	int how = verdict(fd);

	if (how > 0 && one.iov_len > 1)
		one.iov_len /= 2;
	return how < 0 ? -1 : REAL(preadv2)(fd, count == 1 ? &one : v, count, at, flags);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	int v = verdict(fd);

	return v < 0 ? -1 : REAL(pwrite)(fd, p, v > 0 && n > 1 ? n / 2 : n, at);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
	FAIL_OR(fd, REAL(fallocate)(fd, mode, at, n));
}

int ftruncate(int fd, off_t n)
{
	FAIL_OR(fd, REAL(ftruncate)(fd, n));
}

int fdatasync(int fd)
{
	FAIL_OR(fd, REAL(fdatasync)(fd));
}

int fsync(int fd)
{
	FAIL_OR(fd, REAL(fsync)(fd));
}

int unlinkat(int dir, const char *path, int flags)
{
	FAIL_OR(dir, REAL(unlinkat)(dir, path, flags));
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	FAIL_OR(from_dir, REAL(renameat)(from_dir, from, to_dir, to));
}
