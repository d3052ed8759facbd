/* SPDX-License-Identifier: MIT */
/* What is taken to be written, in its order; and what a newer response, or none, makes out of date: in the index, in the queue, and
 * for the next start. */
#include <errno.h>

#include "cache/disk/store_internal.h"

/* ---- Out of date ---- */

void disk_raise(_Atomic uint64_t *v, uint64_t to)
{
	uint64_t was = atomic_load(v);

	while (was < to && !atomic_compare_exchange_weak(v, &was, to))
		;
}

bool disk_outdate(struct disk *d, struct hash128 hash, uint32_t variant, uint64_t lsn)
{
	disk_raise(&d->dropped[hash.lo & (PUT_SLOTS - 1)], lsn);
	return index_drop_variant(&d->index, hash, variant, lsn) > 0;
}

/* May an older version lie in the log, where the next start would find it? One that is still queued the writer finds. */
static bool may_lie_in_log(struct disk *d, struct hash128 hash)
{
	return !atomic_load_explicit(&d->is_ready, memory_order_acquire) || index_has(&d->index, hash);
}

uint64_t disk_age_of(struct disk *d, struct hash128 hash)
{
	struct index_slot found[INDEX_FOUND_MAX];
	unsigned n = index_find(&d->index, hash, false, found);
	uint64_t last = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t age = segment_age(&d->segments, found[i].seg);

		last = age > last ? age : last;
	}
	return last;
}

/* As disk_outdate, of a put that is dropped as `lsn`: what to give to forget_before. What the writer was about to write either was in the
 * index by now, or does not come there any more. */
static uint64_t outdate_for_good(struct disk *d, struct hash128 hash, uint32_t variant, uint64_t lsn)
{
	return disk_outdate(d, hash, variant, lsn) || may_lie_in_log(d, hash) ? lsn : 0;
}

uint64_t disk_drop_put(struct tier *t, struct hash128 hash, struct slice vary_names, struct slice vary_values)
{
	struct disk *d = disk_of(t);
	uint64_t lsn;

	pthread_mutex_lock(&d->queue_mu);
	lsn = d->next_lsn++;
	pthread_mutex_unlock(&d->queue_mu);
	disk_add(&d->n.dropped_error, 1);
	return outdate_for_good(d, hash, record_variant(vary_names, vary_values), lsn);
}

/* A record that is queued or ending comes into the index before it stops being so; therefore the index is asked last. */
bool disk_may_come(struct disk *d, struct hash128 hash)
{
	unsigned slot = hash.lo & (PUT_SLOTS - 1);

	return atomic_load(&d->ending[slot]) > 0 || atomic_load(&d->queued[slot]) > atomic_load(&d->written_lsn) ||
	       may_lie_in_log(d, hash);
}

uint64_t disk_retire(struct tier *t, struct hash128 hash)
{
	struct disk *d = disk_of(t);
	uint64_t lsn;

	if (!disk_may_come(d, hash))
		return 0;
	pthread_mutex_lock(&d->queue_mu);
	lsn = d->next_lsn++;
	pthread_mutex_unlock(&d->queue_mu);
	disk_raise(&d->dropped[hash.lo & (PUT_SLOTS - 1)], lsn);
	(void)index_drop_key(&d->index, hash, lsn);
	return lsn;
}

void disk_forget_before(struct tier *t, struct hash128 hash, uint64_t number)
{
	struct disk *d = disk_of(t);
	struct journal_entry e = {.kind = JOURNAL_FORGET, .a = hash.lo, .b = number, .what = {"", 0}};
	uint64_t ticket;
	int err = 0;

	if (number == 0)
		return;
	pthread_mutex_lock(&d->journal.mu);
	forgets_add(&d->forgets, hash.lo, e.b);
	if (!d->journal.is_given)
		err = journal_append_locked(&d->journal, &e, &ticket);
	pthread_mutex_unlock(&d->journal.mu);
	(void)err; /* counted there; a checkpoint is due then, which contains the key */
	(void)index_drop_key(&d->index, hash, e.b);
	disk_add(&d->n.forgets, 1);
}

/* ---- What is taken ---- */

uint64_t disk_source_bytes(const struct tier_source *s)
{
	return (s->body ? 0 : s->body_n) + s->head.n + s->key.n;
}

static bool is_admitted(struct disk *d, const struct tier_source *s)
{
	_Atomic uint32_t *ghost = &d->ghosts[s->hash.lo & (GHOST_SLOTS - 1)];
	uint32_t tag = (uint32_t)(s->hash.hi >> 32) | 1;

	if (!d->o.admit_second_hit || index_has(&d->index, s->hash))
		return true;
	return atomic_exchange_explicit(ghost, tag, memory_order_relaxed) == tag;
}

int disk_refuse(struct disk *d, const struct tier_source *s)
{
	size_t off = (size_t)(s->url.p - s->key.p);

	if (s->url.n > 0 && (s->url.p < s->key.p || off > s->key.n || s->url.n > s->key.n - off))
		return -EINVAL;
	if ((s->body_n != TIER_LENGTH_UNKNOWN && s->body_n > d->o.max_object) || s->key.n > RECORD_META_MAX / 4 ||
		s->head.n > RECORD_META_MAX / 4 || s->vary_names.n > RECORD_META_MAX / 8 ||
		s->vary_values.n > RECORD_META_MAX / 8 || s->tags_n > RECORD_META_MAX / 64) {
		disk_add(&d->n.dropped_size, 1);
		return -EMSGSIZE;
	}
	if (clock_now().mono_ms < atomic_load_explicit(&d->retry_at_ms, memory_order_relaxed)) {
		disk_add(&d->n.dropped_error, 1);
		return -EIO;
	}
	if (!is_admitted(d, s)) {
		disk_add(&d->n.dropped_admit, 1);
		return -EPERM;
	}
	return 0;
}

/* Takes a number in any case: no put that is queued with a lower one may outlive this one. */
static int enqueue(struct disk *d, struct tier_source *s, int err, uint64_t *lsn)
{
	pthread_mutex_lock(&d->queue_mu);
	*lsn = s->lsn = d->next_lsn++;
	if (!err && (atomic_load(&d->stopping) || atomic_load(&d->is_given)))
		err = -ESHUTDOWN;
	if (!err && (d->queue_n >= d->o.queue_max ||
			    (d->queue_n > 0 && d->queue_bytes + disk_source_bytes(s) > d->o.queue_bytes))) {
		disk_add(&d->n.dropped_queue, 1);
		err = -ENOBUFS;
	}
	if (!err) {
		if (link_is_empty(&d->queue))
			pthread_cond_broadcast(&d->queue_changed);
		link_append(&d->queue, &s->link);
		d->queue_n++;
		d->queue_bytes += disk_source_bytes(s);
		disk_raise(&d->queued[s->hash.lo & (PUT_SLOTS - 1)], *lsn);
	}
	pthread_mutex_unlock(&d->queue_mu);
	return err;
}

/* The record that it replaces is out of date whether or not the put is taken; a refresh that is taken refers to its body. */
static int put(struct disk *d, struct tier_source *s, bool is_refresh)
{
	struct hash128 hash = s->hash;
	uint32_t variant = record_variant(s->vary_names, s->vary_values);
	uint64_t lsn;
	int err;

	s->variant = variant;
	s->is_refresh = is_refresh;
	s->replaces = disk_may_come(d, hash);
	s->replaced_age = s->replaces ? disk_age_of(d, hash) : 0;
	err = enqueue(d, s, disk_refuse(d, s), &lsn);
	/* If the put was taken, the writer may have released s by now. */
	if (err) {
		s->forget_before = outdate_for_good(d, hash, variant, lsn);
	} else if (!is_refresh) {
		(void)index_drop_variant(&d->index, hash, variant, lsn);
	}
	return err;
}

int disk_put(struct tier *t, struct tier_source *s)
{
	CHECK(!s->body);
	return put(disk_of(t), s, false);
}

int disk_refresh(struct tier *t, struct tier_source *s)
{
	return put(disk_of(t), s, true);
}

void disk_flush(struct tier *t)
{
	struct disk *d = disk_of(t);

	pthread_mutex_lock(&d->queue_mu);
	while (d->queue_n > 0)
		pthread_cond_wait(&d->queue_changed, &d->queue_mu);
	pthread_mutex_unlock(&d->queue_mu);
}

/* ---- As a record ---- */

struct record_header disk_header_of(const struct disk *d, const struct tier_source *s)
{
	struct record_header h = {
		.magic = RECORD_MAGIC,
		.kind = RECORD_WHOLE,
		.status = (uint16_t)s->status,
		.lsn = s->lsn,
		.key_lo = s->hash.lo,
		.key_hi = s->hash.hi,
		.epoch = s->epoch,
		.user = s->user,
		.body_n = s->body_n,
		.part_first = s->part_first,
		.part_total = s->part_total,
		.key_n = (uint32_t)s->key.n,
		.url_off = s->url.n > 0 ? (uint32_t)(s->url.p - s->key.p) : 0,
		.url_n = (uint32_t)s->url.n,
		.names_n = (uint32_t)s->vary_names.n,
		.values_n = (uint32_t)s->vary_values.n,
		.tags_n = s->tags_n,
		.head_n = (uint32_t)s->head.n,
		.variant = s->variant,
	};

	record_set_freshness(&h, &s->freshness, d->o.clock_id);
	return h;
}
