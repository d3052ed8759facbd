/* SPDX-License-Identifier: MIT */
#include "cache/disk/log/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"

static int begin_file(struct journal *j, uint64_t number, uint64_t *generation)
{
	struct journal_header h = {.store = j->store, .number = number, .size = j->size};
	char name[JOURNAL_NAME_MAX];
	int fd, err;

	if (getrandom(&h.generation, sizeof(h.generation), 0) != (ssize_t)sizeof(h.generation))
		return -EIO;
	journal_write_header(&h);
	*generation = h.generation;
	journal_name(number, name);
	fd = j->io->open(j->io, j->dir, name, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	err = j->io->allocate(j->io, fd, j->size);
	if (!err)
		err = io_write_all(j->io, fd, &h, sizeof(h), 0);
	if (!err)
		return fd;
	(void)j->io->close(j->io, fd);
	(void)j->io->unlink(j->io, j->dir, name);
	return err;
}

int journal_init(struct journal *j, const struct disk_io *io, int dir, uint64_t store, uint64_t size, uint64_t number)
{
	pthread_condattr_t attr;

	*j = (struct journal){.io = io, .dir = dir, .store = store, .size = size, .number = number, .old_fd = -1};
	j->scratch = mem_alloc(JOURNAL_WHAT_MAX + 64 + JOURNAL_HELD_MAX);
	if (!j->scratch)
		return -ENOMEM;
	j->held = j->scratch + JOURNAL_WHAT_MAX + 64;
	j->fd = begin_file(j, number, &j->generation);
	if (j->fd < 0) {
		mem_free(j->scratch);
		j->scratch = NULL;
		return j->fd;
	}
	j->at = sizeof(struct journal_header);
	pthread_mutex_init(&j->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void journal_fini(struct journal *j)
{
	if (!j->scratch)
		return;
	if (j->old_fd >= 0)
		(void)j->io->close(j->io, j->old_fd);
	(void)j->io->close(j->io, j->fd);
	mem_free(j->scratch);
	j->scratch = NULL;
	pthread_cond_destroy(&j->changed);
	pthread_mutex_destroy(&j->mu);
}

/* ---- Those who wait ---- */

/* 0 or -EIO; -EINPROGRESS: nobody knows yet. */
static int state_locked(const struct journal *j, uint64_t first, uint64_t last)
{
	if (j->synced < last && j->failed < last && j->covered < last && !j->stopping)
		return -EINPROGRESS;
	if (j->covered >= last || (j->synced >= last && (j->failed < first || j->covered >= j->failed)))
		return 0;
	return -EIO;
}

/* After whatever changes what state_locked says. */
static void tell_locked(struct journal *j)
{
	struct tier_purging **at = &j->waiting;

	while (*at) {
		struct tier_purging *p = *at;

		p->err = state_locked(j, p->first, p->last);
		if (p->err == -EINPROGRESS) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		post_message(p->reply_to, &p->message); /* it may be freed at once */
	}
	pthread_cond_broadcast(&j->changed);
}

/* ---- Appending ---- */

static int write_locked(struct journal *j, const struct journal_entry *e)
{
	size_t n = journal_entry_bytes(e);
	int err;

	journal_write_entry(j->scratch, e, j->generation, j->ordinal);
	err = io_write_all(j->io, j->fd, j->scratch, n, j->at);
	if (err)
		return err;
	j->at += n;
	j->ordinal++;
	return 0;
}

/* As if each had been written when it was appended. */
static void write_held_locked(struct journal *j)
{
	uint64_t at = j->at - j->held_n;

	if (j->held_n == 0)
		return;
	if (io_write_all(j->io, j->fd, j->held, j->held_n, at) != 0) {
		j->at = at;
		j->ordinal -= j->held_entries;
		j->failed = j->appended;
		j->errors++;
		j->wants_checkpoint = true;
		tell_locked(j);
	}
	j->held_n = 0;
	j->held_entries = 0;
}

static void hold_locked(struct journal *j, const struct journal_entry *e)
{
	size_t n = journal_entry_bytes(e);

	journal_write_entry(j->held + j->held_n, e, j->generation, j->ordinal);
	j->held_n += n;
	j->held_entries++;
	j->at += n;
	j->ordinal++;
}

/* The old file says last that the next one exists, so a file that is missing later is missed. It is synced before the
 * thread that syncs goes on to the new one; two rotations without a sync between them are waited for. */
int journal_rotate_locked(struct journal *j, uint64_t *number)
{
	const struct journal_entry next = {.kind = JOURNAL_NEXT, .what = {"", 0}};
	uint64_t generation = 0;
	int fd, err;

	while (j->is_syncing)
		pthread_cond_wait(&j->changed, &j->mu);
	write_held_locked(j);
	if (j->old_fd >= 0) {
		if (j->io->sync(j->io, j->old_fd) != 0) {
			j->failed = j->appended;
			j->errors++;
			tell_locked(j);
		}
		(void)j->io->close(j->io, j->old_fd);
		j->old_fd = -1;
	}
	fd = begin_file(j, j->number + 1, &generation);
	if (fd < 0)
		return fd;
	err = write_locked(j, &next);
	if (err) {
		(void)j->io->close(j->io, fd);
		return err;
	}
	j->old_fd = j->fd;
	j->fd = fd;
	j->number++;
	j->generation = generation;
	j->at = sizeof(struct journal_header);
	j->ordinal = 0;
	*number = j->number;
	return 0;
}

static int append_locked(struct journal *j, const struct journal_entry *e, bool may_hold, uint64_t *ticket)
{
	const struct journal_entry next = {.what = {"", 0}};
	uint64_t number;
	int err = 0;

	if (e->what.n > JOURNAL_WHAT_MAX || journal_entry_bytes(e) + 256 > j->size)
		return -EMSGSIZE;
	if (j->at + journal_entry_bytes(e) + journal_entry_bytes(&next) > j->size) {
		err = journal_rotate_locked(j, &number);
		/* A checkpoint says all that is known: one for each file would cost more, the more there is. */
		if (++j->rotated * j->size >= j->checkpoint_bytes)
			j->wants_checkpoint = true;
	}
	may_hold = may_hold && j->held_n + journal_entry_bytes(e) <= JOURNAL_HELD_MAX;
	if (!may_hold)
		write_held_locked(j);
	if (!err && may_hold)
		hold_locked(j, e);
	else if (!err)
		err = write_locked(j, e);
	if (err) {
		j->errors++;
		j->wants_checkpoint = true;
		return err;
	}
	*ticket = ++j->appended;
	if (!may_hold)
		pthread_cond_broadcast(&j->changed);
	return 0;
}

int journal_append_locked(struct journal *j, const struct journal_entry *e, uint64_t *ticket)
{
	return append_locked(j, e, false, ticket);
}

int journal_append_held_locked(struct journal *j, const struct journal_entry *e, uint64_t *ticket)
{
	return append_locked(j, e, true, ticket);
}

int journal_wait(struct journal *j, uint64_t first, uint64_t last)
{
	int err;

	pthread_mutex_lock(&j->mu);
	pthread_cond_broadcast(&j->changed);
	while ((err = state_locked(j, first, last)) == -EINPROGRESS)
		pthread_cond_wait(&j->changed, &j->mu);
	pthread_mutex_unlock(&j->mu);
	return err;
}

int journal_wait_for(struct journal *j, struct tier_purging *p)
{
	int err;

	pthread_mutex_lock(&j->mu);
	err = state_locked(j, p->first, p->last);
	if (err == -EINPROGRESS) {
		p->next = j->waiting;
		j->waiting = p;
		pthread_cond_broadcast(&j->changed);
	}
	pthread_mutex_unlock(&j->mu);
	return err;
}

void journal_set_checkpoint(struct journal *j, uint64_t bytes)
{
	pthread_mutex_lock(&j->mu);
	j->checkpoint_bytes = bytes;
	pthread_mutex_unlock(&j->mu);
}

void journal_cover(struct journal *j, uint64_t ticket)
{
	pthread_mutex_lock(&j->mu);
	if (ticket > j->covered)
		j->covered = ticket;
	tell_locked(j);
	pthread_mutex_unlock(&j->mu);
}

/* ---- Syncing ---- */

static void sync_locked(struct journal *j)
{
	uint64_t upto = j->appended;
	int fd = j->fd, old = j->old_fd, err = 0;

	write_held_locked(j);
	j->is_syncing = true;
	pthread_mutex_unlock(&j->mu);
	if (old >= 0) {
		err = j->io->sync(j->io, old);
		if (!err)
			err = j->io->sync_dir(j->io, j->dir);
	}
	if (!err)
		err = j->io->sync(j->io, fd);
	pthread_mutex_lock(&j->mu);
	j->is_syncing = false;
	j->syncs++;
	if (old >= 0 && !err) {
		(void)j->io->close(j->io, old);
		j->old_fd = -1;
	}
	if (err) {
		static struct log_limit limit;

		/* The pages may be gone from memory as well: only a checkpoint makes it good. */
		j->failed = upto;
		j->errors++;
		j->wants_checkpoint = true;
		if (log_allowed(&limit))
			log_error("disk: can't sync the journal: %s", strerror(-err));
	} else {
		j->synced = upto;
	}
	tell_locked(j);
}

int journal_sync_file(struct journal *j)
{
	int fd, err;

	pthread_mutex_lock(&j->mu);
	while (j->is_syncing)
		pthread_cond_wait(&j->changed, &j->mu);
	j->is_syncing = true;
	fd = j->fd;
	pthread_mutex_unlock(&j->mu);
	err = j->io->sync(j->io, fd);
	pthread_mutex_lock(&j->mu);
	j->is_syncing = false;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->mu);
	return err;
}

bool journal_work(struct journal *j, int ms)
{
	struct timespec until;
	bool due;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&j->mu);
	if (j->appended == j->synced && !j->wants_checkpoint && !j->stopping)
		(void)pthread_cond_timedwait(&j->changed, &j->mu, &until);
	if (j->appended > j->synced && j->appended > j->failed)
		sync_locked(j);
	due = j->wants_checkpoint;
	pthread_mutex_unlock(&j->mu);
	return due;
}

void journal_stop(struct journal *j)
{
	pthread_mutex_lock(&j->mu);
	j->stopping = true;
	tell_locked(j);
	pthread_mutex_unlock(&j->mu);
}
