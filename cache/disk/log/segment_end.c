/* SPDX-License-Identifier: MIT */
/* How a segment's file ends: it counts until nothing of it is left on the device. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "cache/disk/log/segment_internal.h"

static void release(struct segments *t, struct segment *s)
{
	pthread_mutex_lock(&t->mu);
	s->state = SEGMENT_FREE;
	t->allocated -= s->size;
	t->going -= s->size;
	t->count--;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mu);
}

/* False: the file is still there. */
static bool remove_file(struct segments *t, uint64_t id)
{
	static struct log_limit limit;
	char name[SEGMENT_NAME_MAX];
	int err;

	segment_name(id, name);
	err = t->io->unlink(t->io, t->dir, name);
	if (!err || err == -ENOENT)
		return true;
	atomic_fetch_add(&t->unlink_errors, 1);
	if (log_allowed(&limit))
		log_warn("disk: can't remove %s: %s", name, strerror(-err));
	return false;
}

/* Nobody uses it any more. A file that can't be removed is made empty, which no start takes for a segment; one that can't
 * be made empty either keeps its bytes, and is tried again. */
static void end_file(struct segments *t, struct segment *s)
{
	bool is_gone = !s->is_linked || remove_file(t, s->id);

	if (!is_gone && s->fd >= 0)
		is_gone = t->io->truncate(t->io, s->fd, 0) == 0;
	if (is_gone) {
		if (s->fd >= 0)
			(void)t->io->close(t->io, s->fd);
		release(t, s);
		return;
	}
	pthread_mutex_lock(&t->mu);
	t->going -= s->size;
	s->next_closing = t->stuck;
	t->stuck = s;
	t->stuck_n++;
	pthread_mutex_unlock(&t->mu);
}

void segment_give_up(struct segments *t, struct segment *s, int fd, uint64_t id, uint64_t size)
{
	s->fd = fd;
	s->id = id;
	s->size = size;
	s->is_linked = fd >= 0;
	pthread_mutex_lock(&t->mu);
	s->state = SEGMENT_GOING;
	t->going += size;
	pthread_mutex_unlock(&t->mu);
	end_file(t, s);
}

void segment_retire(struct segments *t, struct segment *s)
{
	struct segment *of_log = s;

	pthread_mutex_lock(&t->mu);
	s->state = SEGMENT_GOING;
	t->going += s->size;
	pthread_mutex_unlock(&t->mu);
	s->is_linked = !remove_file(t, s->id);
	atomic_fetch_add(&t->reclaimed, 1);
	segment_put(t, &of_log);
}

static struct segment *take_stuck(struct segments *t)
{
	struct segment *s;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&t->mu);
	s = now.tv_sec >= t->stuck_again_s ? t->stuck : NULL;
	if (s) {
		t->stuck = NULL;
		t->stuck_n = 0;
		t->stuck_again_s = now.tv_sec + 1;
		for (const struct segment *each = s; each; each = each->next_closing)
			t->going += each->size;
	}
	pthread_mutex_unlock(&t->mu);
	return s;
}

void segments_close_left(struct segments *t)
{
	struct segment *s;

	pthread_mutex_lock(&t->mu);
	while ((s = t->closing)) {
		t->closing = s->next_closing;
		pthread_mutex_unlock(&t->mu);
		end_file(t, s);
		pthread_mutex_lock(&t->mu);
	}
	pthread_mutex_unlock(&t->mu);
	for (struct segment *next, *left = take_stuck(t); left; left = next) {
		next = left->next_closing;
		end_file(t, left);
	}
}

void segment_discard(struct segments *t, const char *name, uint64_t id)
{
	uint64_t size = 0;
	struct segment *s;
	int fd;

	if (remove_file(t, id))
		return;
	fd = t->io->open(t->io, t->dir, name, O_RDWR);
	if (fd >= 0 && t->io->size(t->io, fd, &size) == 0 && size > 0) {
		pthread_mutex_lock(&t->mu);
		s = segment_free_slot_locked(t);
		if (s) {
			t->allocated += size;
			t->count++;
			atomic_store_explicit(&s->min_epoch, UINT64_MAX, memory_order_relaxed);
			atomic_store_explicit(&s->min_lsn, UINT64_MAX, memory_order_relaxed);
			s->state = SEGMENT_GOING;
		}
		pthread_mutex_unlock(&t->mu);
		if (s) {
			segment_give_up(t, s, fd, id, size);
			return;
		}
	}
	if (fd >= 0)
		(void)t->io->close(t->io, fd);
}
