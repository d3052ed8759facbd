/* SPDX-License-Identifier: MIT */
/* A segment of one large record whose length may not be known before its end. Its own header, without which the file is not
 * a segment, is written last. */
#include <errno.h>
#include <fcntl.h>

#include "cache/disk/log/segment.h"

int segment_begin(struct segments *t, uint64_t size, uint64_t spare, struct segment **out)
{
	return segment_create_as(t, size, spare, false, out);
}

static int reserve_more(struct segments *t, uint64_t more, uint64_t spare)
{
	int err = 0;

	pthread_mutex_lock(&t->mu);
	if (more + spare > t->capacity || t->allocated > t->capacity - more - spare)
		err = -ENOSPC;
	else
		t->allocated += more;
	pthread_mutex_unlock(&t->mu);
	return err;
}

static void give_back(struct segments *t, uint64_t n)
{
	pthread_mutex_lock(&t->mu);
	t->allocated -= n;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mu);
}

int segment_grow(struct segments *t, struct segment *s, uint64_t size, uint64_t spare)
{
	uint64_t more = size - s->size;
	int err = reserve_more(t, more, spare);

	if (err)
		return err;
	err = t->io->allocate(t->io, s->fd, size);
	if (err) {
		/* Part of it may be there: the file is given up, and counts until it is closed. */
		s->size = size;
		return err == -ENOSPC ? -EDQUOT : err;
	}
	s->size = size;
	return 0;
}

int segment_trim(struct segments *t, struct segment *s, uint64_t size)
{
	uint64_t less = s->size - size;
	int err = less > 0 ? t->io->truncate(t->io, s->fd, size) : 0;

	if (err || less == 0)
		return err;
	s->size = size;
	give_back(t, less);
	return 0;
}

int segment_finish(struct segments *t, struct segment *s, const struct footer_entry *entry, uint64_t end)
{
	struct segment_header h = {.store = t->store, .id = s->id, .generation = s->generation, .size = s->size};
	int err = segment_write_footer(t, s, entry, 1, end);

	segment_write_header(&h);
	return err ? err : io_write_all(t->io, s->fd, &h, sizeof(h), 0);
}
