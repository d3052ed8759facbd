/* SPDX-License-Identifier: MIT */
#include "cache/disk/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>

#include "base/hash.h"

static uint64_t sum_of(const struct secret_file *f)
{
	return XXH3_64bits(f, offsetof(struct secret_file, sum));
}

static int read_private(const struct disk_io *io, int fd, struct secret_file *f)
{
	uint64_t size = 0;
	int err = io->is_private(io, fd);

	if (!err)
		err = io->size(io, fd, &size);
	if (!err && size != sizeof(*f))
		err = -EBADMSG;
	return err ? err : io_read_all(io, fd, f, sizeof(*f), 0);
}

int secret_load(const struct disk_io *io, int dir, uint64_t store, unsigned char out[SECRET_BYTES])
{
	int fd = io->open(io, dir, "secret", O_RDONLY), err;
	struct secret_file f;

	if (fd < 0)
		return fd == -ENOENT ? -EBADMSG : fd == -ELOOP ? -EPERM : fd;
	err = read_private(io, fd, &f);
	(void)io->close(io, fd);
	if (!err && (f.magic != SECRET_MAGIC || f.store != store || f.sum != sum_of(&f)))
		err = -EBADMSG;
	if (!err)
		memcpy(out, f.secret, SECRET_BYTES);
	explicit_bzero(&f, sizeof(f));
	return err == -ENODATA ? -EBADMSG : err;
}

int secret_make(const struct disk_io *io, int dir, uint64_t store, unsigned char out[SECRET_BYTES])
{
	struct secret_file f = {.magic = SECRET_MAGIC, .store = store};
	int err = 0;

	if (getrandom(f.secret, sizeof(f.secret), 0) != (ssize_t)sizeof(f.secret))
		return -EIO;
	f.sum = sum_of(&f);
	memcpy(out, f.secret, SECRET_BYTES);
	/* A file that is there already would keep its mode. */
	(void)io->unlink(io, dir, "secret.new");
	err = io_save(io, dir, "secret.new", &f, sizeof(f));
	explicit_bzero(&f, sizeof(f));
	return err ? err : io->rename(io, dir, "secret.new", "secret");
}
