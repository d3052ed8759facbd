/* SPDX-License-Identifier: MIT */
/* What must outlive a crash: purges, forgotten keys, and the checkpoints that let their journals go. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/disk/store_internal.h"

/* The rule and its entry are made under the journal's lock, so that a rotation separates the purges that a checkpoint contains
 * from those that it may not contain. */
static int note_purge(struct disk *d, const struct purge *p, bool must_last, uint64_t *seq, uint64_t *ticket)
{
	struct purge_coded coded = purge_encode(p);
	struct journal_entry e = {.kind = JOURNAL_PURGE, .purge = coded.code, .b = coded.number, .what = coded.what};
	int err = 0;

	pthread_mutex_lock(&d->journal.mu);
	invalidation_purge(d->o.invalidation, p, seq);
	e.a = *seq;
	if (!d->journal.is_given)
		err = must_last ? journal_append_held_locked(&d->journal, &e, ticket)
				: journal_append_locked(&d->journal, &e, ticket);
	else if (must_last && !atomic_load(&d->is_disowned))
		err = -ESHUTDOWN;
	pthread_mutex_unlock(&d->journal.mu);
	return err;
}

/* All are noted, even if one of them fails. */
static int note_purges(
	struct disk *d, const struct purge *v, unsigned n, bool must_last, uint64_t *seq, struct tier_purging *p)
{
	int err = 0;

	for (unsigned i = 0; i < n; i++)
		if (v[i].what.n > JOURNAL_WHAT_MAX)
			return -EMSGSIZE;
	for (unsigned i = 0; i < n; i++) {
		int failed = note_purge(d, &v[i], must_last, seq, &p->last);

		p->first = p->first ? p->first : p->last;
		err = err ? err : failed;
	}
	return err;
}

/* They are waited for together. */
int disk_purge(struct tier *t, const struct purge *v, unsigned n, bool wait, uint64_t *seq)
{
	struct disk *d = disk_of(t);
	struct tier_purging p = {0};
	int err = note_purges(d, v, n, wait, seq, &p);

	return !err && wait ? journal_wait(&d->journal, p.first, p.last) : err;
}

int disk_purge_note(struct tier *t, const struct purge *v, unsigned n, uint64_t *seq, struct tier_purging *p)
{
	return note_purges(disk_of(t), v, n, true, seq, p);
}

int disk_purge_wait(struct tier *t, struct tier_purging *p)
{
	return journal_wait_for(&disk_of(t)->journal, p);
}

/* ---- Checkpoints ---- */

static const char *checkpoint_name(uint64_t number)
{
	return number % 2 ? "ckpt.B" : "ckpt.A";
}

/* 0 while a record older than all in the segments may be on its way there. */
uint64_t disk_oldest_epoch(struct tier *t)
{
	struct disk *d = disk_of(t);
	uint64_t epoch, lsn;
	bool idle;

	pthread_mutex_lock(&d->queue_mu);
	idle = d->queue_n == 0;
	pthread_mutex_unlock(&d->queue_mu);
	if (!idle || !atomic_load(&d->is_ready))
		return 0;
	segments_oldest(&d->segments, &epoch, &lsn);
	return epoch;
}

/* A put that is queued after the look at the queue has a number of at least `next`. */
static void retire_forgets(struct disk *d)
{
	uint64_t epoch, lsn, next;
	bool idle;

	pthread_mutex_lock(&d->queue_mu);
	idle = d->queue_n == 0;
	next = d->next_lsn;
	pthread_mutex_unlock(&d->queue_mu);
	if (!idle || !atomic_load(&d->is_ready))
		return;
	segments_oldest(&d->segments, &epoch, &lsn);
	forgets_retire(&d->forgets, lsn < next ? lsn : next);
}

static int fill(struct disk *d, struct checkpoint *c)
{
	struct invalidation_image image;
	int err = invalidation_export(d->o.invalidation, &image);

	if (err)
		return err;
	c->rules = image.rules;
	c->h.rules_n = image.rules_n;
	c->h.floor_seq = image.floor_seq;
	c->h.all_hard_seq = image.all_hard_seq;
	c->h.all_soft_seq = image.all_soft_seq;
	return forgets_export(&d->forgets, &c->forgets, &c->h.forgets_n, &c->h.floor_lsn);
}

struct older {
	uint64_t than;
	uint64_t numbers[64];
	unsigned n;
};

static bool note_older(const char *name, void *arg)
{
	struct older *o = arg;
	uint64_t number;

	if (journal_name_read(name, &number) && number < o->than && o->n < ARRAY_LEN(o->numbers))
		o->numbers[o->n++] = number;
	return true;
}

static void drop_journals(struct disk *d, uint64_t before)
{
	struct older o = {.than = before};

	(void)d->io->list(d->io, d->dir, note_older, &o);
	for (unsigned i = 0; i < o.n; i++) {
		char name[JOURNAL_NAME_MAX];

		journal_name(o.numbers[i], name);
		(void)d->io->unlink(d->io, d->dir, name);
	}
}

/* The export contains the journals before first_journal. They are removed only once the checkpoint is on the device. */
static int write_checkpoint(struct disk *d, uint64_t first_journal)
{
	struct checkpoint c = {.h = {.store = d->store, .runs = d->runs, .first_journal = first_journal}};
	void *p = NULL;
	size_t n = 0;
	int err;

	c.h.number = atomic_load(&d->checkpoint_number) + 1;
	err = fill(d, &c);
	if (!err)
		err = checkpoint_write(&c, &p, &n);
	checkpoint_fini(&c);
	if (!err)
		err = io_save(d->io, d->dir, checkpoint_name(c.h.number), p, n);
	if (!err)
		err = d->io->sync_dir(d->io, d->dir);
	mem_free(p);
	if (err)
		return err;
	journal_set_checkpoint(&d->journal, n);
	atomic_store(&d->checkpoint_number, c.h.number);
	drop_journals(d, first_journal);
	disk_add(&d->n.checkpoints, 1);
	return 0;
}

int disk_checkpoint(struct disk *d)
{
	uint64_t first = 0, ticket;
	int err;

	retire_forgets(d);
	pthread_mutex_lock(&d->journal.mu);
	/* The first checkpoint, at the start, finds an empty journal, which need not be rotated. */
	first = d->journal.number;
	err = d->journal.appended > 0 || d->journal.errors > 0 ? journal_rotate_locked(&d->journal, &first) : 0;
	ticket = d->journal.appended;
	if (!err) {
		d->journal.wants_checkpoint = false;
		d->journal.rotated = 0;
	}
	pthread_mutex_unlock(&d->journal.mu);
	if (!err)
		err = journal_sync_file(&d->journal);
	if (!err)
		err = write_checkpoint(d, first);
	if (!err)
		journal_cover(&d->journal, ticket);
	return err;
}

/* ---- The thread ---- */

static void try_checkpoint(struct disk *d, int64_t *retry_at_ms)
{
	static struct log_limit limit;
	int64_t now_ms = clock_now().mono_ms;
	int err;

	if (now_ms < *retry_at_ms)
		return;
	err = disk_checkpoint(d);
	*retry_at_ms = now_ms + (err ? d->o.retry_ms : 0);
	if (!err)
		return;
	disk_add(&d->n.checkpoint_errors, 1);
	pthread_mutex_lock(&d->journal.mu);
	d->journal.wants_checkpoint = true;
	pthread_mutex_unlock(&d->journal.mu);
	if (log_allowed(&limit))
		log_error("disk: can't write a checkpoint: %s", strerror(-err));
}

void *disk_journal_syncer(void *arg)
{
	struct disk *d = arg;
	int64_t retry_at_ms = 0;

	while (!atomic_load(&d->stopping) && !atomic_load(&d->leaving))
		if (journal_work(&d->journal, 1000))
			try_checkpoint(d, &retry_at_ms);
	/* A purge that could not be journalled is in no file before the next checkpoint: without one now it would be lost. */
	retry_at_ms = 0;
	if (journal_work(&d->journal, 0))
		try_checkpoint(d, &retry_at_ms);
	return NULL;
}
