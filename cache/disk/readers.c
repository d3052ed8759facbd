/* SPDX-License-Identifier: MIT */
/* The readers: bytes of segments, and the threads that wait for those which the page cache does not hold. */
#include <errno.h>

#include "base/log.h"
#include "cache/disk/store_internal.h"

/* ---- Bytes ---- */

static void note_failure(struct disk *d, int err)
{
	static struct log_limit limit;

	disk_add(&d->n.read_errors, 1);
	if (log_allowed(&limit))
		log_warn("disk: reading fails: %s", strerror(-err));
}

int disk_read_at(struct disk *d, struct segment *s, void *p, size_t n, uint64_t at, bool may_wait)
{
	ssize_t rc;
	int err;

	if (at > s->size || n > s->size - at)
		return -EBADMSG;
	if (may_wait) {
		err = io_read_all(d->io, s->fd, p, n, at);
		if (err)
			note_failure(d, err);
		return err;
	}
	if (atomic_load_explicit(&d->no_nowait, memory_order_relaxed))
		return -EAGAIN;
	rc = d->io->pread_nowait(d->io, s->fd, p, n, at);
	if (rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL)
		atomic_store_explicit(&d->no_nowait, true, memory_order_relaxed);
	/* If not all bytes came, for whatever reason, a reader thread tries again. */
	return rc == (ssize_t)n ? 0 : -EAGAIN;
}

/* ---- The threads ---- */

bool disk_post_job(struct disk *d, struct tier_job *job)
{
	bool taken;

	pthread_mutex_lock(&d->jobs_mu);
	taken = !d->jobs_stopping && d->jobs_n < d->o.reads_max;
	if (taken) {
		link_append(&d->jobs, &job->link);
		d->jobs_n++;
		pthread_cond_signal(&d->jobs_changed);
	}
	pthread_mutex_unlock(&d->jobs_mu);
	if (!taken)
		disk_add(&d->n.reads_refused, 1);
	return taken;
}

void *disk_reader(void *arg)
{
	struct disk *d = arg;

	pthread_mutex_lock(&d->jobs_mu);
	for (;;) {
		struct tier_job *job;
		struct link *first;

		while (link_is_empty(&d->jobs) && !d->jobs_stopping)
			pthread_cond_wait(&d->jobs_changed, &d->jobs_mu);
		first = link_take_first(&d->jobs);
		if (!first)
			break;
		job = CONTAINER_OF(first, struct tier_job, link);
		d->jobs_n--;
		pthread_mutex_unlock(&d->jobs_mu);
		job->run(&d->tier, job);
		pthread_mutex_lock(&d->jobs_mu);
	}
	pthread_mutex_unlock(&d->jobs_mu);
	return NULL;
}

void disk_jobs_stop(struct disk *d)
{
	pthread_mutex_lock(&d->jobs_mu);
	d->jobs_stopping = true;
	pthread_cond_broadcast(&d->jobs_changed);
	pthread_mutex_unlock(&d->jobs_mu);
}
