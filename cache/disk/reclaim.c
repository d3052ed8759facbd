/* SPDX-License-Identifier: MIT */
/* Making room before it is needed: the reclaimer's work once recovery is done. */
#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/disk/store_internal.h"

/* ---- What is worth keeping ---- */

static bool is_of_use(
	const struct disk *d, const struct segment *s, const struct record_header *h, const struct record_meta *m)
{
	struct freshness f;
	struct now now = clock_now();

	if (disk_purge_state(d, s, h, m) == PURGED_HARD)
		return false;
	record_freshness(h, d->o.clock_id, now, &f);
	return policy_ttl_ms(&f, now) > -policy_stale_window_ms(&f);
}

static int copy(struct appender *a, struct record_header *h, const char *record, const struct index_slot *from)
{
	struct pending p = {
		.hash = {h->key_lo, h->key_hi},
		.slot = *from,
		.is_move = true,
		.from = *from,
	};
	uint64_t total = record_total(h);
	int err = appender_begin(a, total, false);

	if (err)
		return err;
	h->generation = a->seg->generation;
	record_sign(h);
	err = appender_bytes(a, h, sizeof(*h));
	if (!err)
		err = appender_bytes(a, record + sizeof(*h), total - sizeof(*h));
	return err ? err : appender_end(a, h, &p);
}

/* The copy keeps the record's lsn, so that whatever outdates the record, before or later, outdates the copy too. */
static int keep_one(struct disk *d, struct segment *s, const struct footer_entry *e, const struct index_slot *slot)
{
	size_t n = (size_t)e->n8 * 8;
	char *record = mem_alloc(n);
	struct record_header h;
	struct record_meta m;
	int err = record ? disk_read_at(d, s, record, n, (uint64_t)e->off8 * 8, true) : -ENOMEM;

	if (!err)
		err = record_read_header(record, s->generation, n, &h);
	if (!err && (record_total(&h) != n || h.lsn != slot->lsn))
		err = -EBADMSG;
	if (!err)
		err = record_read_meta(&h, record + sizeof(h), &m);
	/* The freshness of a body is in a head elsewhere, which is not at hand: that the body was hit is enough. */
	if (!err && record_body_is_right(&h, record + sizeof(h) + record_meta_n(&h)) &&
		(slot->kind == INDEX_BODY || is_of_use(d, s, &h, &m))) {
		h.epoch = segment_epoch(s, h.epoch);
		err = copy(&d->kept, &h, record, slot);
		if (err && err != -ENOSPC)
			appender_fail(&d->kept, err);
	}
	mem_free(record);
	return err == -EBADMSG ? 0 : err;
}

static void keep_hot(
	struct disk *d, struct segment *s, const struct segment_trailer *t, const struct footer_entry *entries)
{
	uint64_t budget = s->size / 4;

	for (uint64_t i = 0; i < t->entries; i++) {
		const struct hash128 hash = {entries[i].key_lo, entries[i].key_hi};
		const struct footer_entry *e = &entries[i];
		struct index_slot slot;

		if ((uint64_t)e->n8 * 8 > budget || !footer_entry_fits(e, t->end))
			continue;
		if (!index_get_at(&d->index, hash, s->slot, e->off8, &slot) || !slot.hit)
			continue;
		if (keep_one(d, s, e, &slot) != 0)
			break;
		budget -= (uint64_t)e->n8 * 8;
	}
	if (appender_flush(&d->kept) != 0)
		appender_fail(&d->kept, -EIO);
}

/* ---- A large record, alone in its segment: kept by counting it as young, without copying ---- */

/* As in keep_one. */
static bool head_is_of_use(struct disk *d, struct segment *s, const struct index_slot *slot)
{
	struct record_head head;
	bool is;

	if (disk_read_head(d, s, slot, &head) != 0)
		return false;
	is = slot->kind == INDEX_BODY || is_of_use(d, s, &head.h, &head.m);
	mem_free(head.bytes);
	return is;
}

/* Room must come, however many are hit: between two segments that go, at most a quarter of the tier's size stays in this way. */
static bool keep_as_young(
	struct disk *d, struct segment *s, const struct segment_trailer *t, const struct footer_entry *e)
{
	const struct hash128 hash = {e->key_lo, e->key_hi};
	struct index_slot slot;

	if (t->entries != 1 || (uint64_t)e->n8 * 8 <= s->size / 4 || !footer_entry_fits(e, t->end))
		return false;
	if (d->spared_bytes + s->size > d->o.size / 4)
		return false;
	if (!index_get_at(&d->index, hash, s->slot, e->off8, &slot) || !slot.hit || !head_is_of_use(d, s, &slot))
		return false;
	/* Moved to where it is, which clears its mark: it has to be hit again to be kept again. */
	if (!index_move(&d->index, hash, &slot, s->slot, e->off8))
		return false;
	d->spared_bytes += s->size;
	disk_add(&d->n.spared_segments, 1);
	segment_stay(&d->segments, s, SEGMENT_IS_YOUNG);
	return true;
}

/* ---- One segment ---- */

/* A dead segment goes before older ones. More of its records than this for which a key would have to be forgotten, and it does not. */
#define MISSED_MAX 64

/* While the record lay in the log, a start took nothing older for what is stored; nothing else keeps that out. */
static bool is_missed(struct disk *d, const struct footer_entry *e)
{
	const struct hash128 hash = {e->key_lo, e->key_hi};

	return !index_keeps_out(&d->index, hash, e->variant, e->lsn) &&
	       !forgets_covers(&d->forgets, hash.lo, e->lsn - 1);
}

/* False: it is still needed. */
static bool make_dispensable(struct disk *d, const struct segment_trailer *t, const struct footer_entry *entries)
{
	unsigned missed = 0;

	for (uint64_t i = 0; i < t->entries && missed <= MISSED_MAX; i++)
		missed += is_missed(d, &entries[i]);
	if (missed > MISSED_MAX)
		return false;
	for (uint64_t i = 0; i < t->entries && missed > 0; i++)
		if (is_missed(d, &entries[i]))
			disk_forget_before(
				&d->tier, (struct hash128){entries[i].key_lo, entries[i].key_hi}, entries[i].lsn);
	return true;
}

static void drop_record(struct disk *d, const struct segment *s, const struct footer_entry *e)
{
	const struct hash128 hash = {e->key_lo, e->key_hi};
	struct index_slot slot;

	if (!index_get_at(&d->index, hash, s->slot, e->off8, &slot))
		return;
	/* The body of a head may have been kept: it would come back with the head that it had before. */
	if (slot.kind == INDEX_HEAD && disk_age_of(d, hash) > s->age)
		disk_forget_before(&d->tier, hash, slot.lsn + 1);
	(void)index_drop_at(&d->index, hash, s->slot, e->off8);
}

static void drop_records(
	struct disk *d, struct segment *s, const struct segment_trailer *t, const struct footer_entry *entries)
{
	for (uint64_t i = 0; i < t->entries; i++)
		drop_record(d, s, &entries[i]);
	/* Those that the footer did not name. */
	if (atomic_load(&s->live) > 0)
		index_drop_segment(&d->index, s->slot);
}

/* False: it stays. */
static bool take_out(struct disk *d, struct segment *s, bool is_dead)
{
	struct segment_trailer t = {0};
	struct footer_entry *entries = NULL;
	bool has_footer = segment_load_footer(&d->segments, s, &t, &entries) == 0;
	bool goes;

	if (is_dead) {
		goes = has_footer && make_dispensable(d, &t, entries);
		if (!goes)
			segment_stay(&d->segments, s, SEGMENT_WAITS);
	} else {
		goes = !has_footer || t.entries == 0 || !keep_as_young(d, s, &t, &entries[0]);
		if (goes) {
			keep_hot(d, s, &t, entries);
			drop_records(d, s, &t, entries);
		}
	}
	mem_free(entries);
	return goes;
}

static void reclaim(struct disk *d, struct segment *s, bool is_dead)
{
	if (!take_out(d, s, is_dead))
		return;
	d->spared_bytes = 0;
	segment_retire(&d->segments, s);
}

/* Room for the writer's next segment, one in advance, and the reclaimer's own. */
static bool wants_room_locked(const struct disk *d)
{
	const struct segments *t = &d->segments;
	uint64_t next = t->wanted > d->o.segment_bytes ? t->wanted : d->o.segment_bytes;

	if (t->stuck_n >= SEGMENTS_STUCK_MAX)
		return false;
	return t->allocated - t->going + next + 2 * d->o.segment_bytes > t->capacity;
}

/* Waits for work; true when a segment is to go. */
static bool wait_for_work(struct disk *d)
{
	struct segments *t = &d->segments;
	struct timespec until;
	bool wants;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&t->mu);
	wants = wants_room_locked(d);
	if (!wants && !t->closing && !t->stopping)
		(void)pthread_cond_timedwait(&t->changed, &t->mu, &until);
	wants = wants_room_locked(d);
	if (!wants)
		t->wanted = 0;
	pthread_mutex_unlock(&t->mu);
	return wants;
}

/* What is being kept is older than what was written behind it, and has to go first. */
static bool goes_after_kept(const struct disk *d, const struct segment *s)
{
	return d->kept.seg && s->age > d->kept.seg->age;
}

/* Room is wanted but nothing can go: everything is being written or read. */
static void wait_for_change(struct disk *d)
{
	struct segments *t = &d->segments;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&t->mu);
	if (!t->stopping && !t->closing)
		(void)pthread_cond_timedwait(&t->changed, &t->mu, &until);
	pthread_mutex_unlock(&t->mu);
}

void *disk_reclaimer(void *arg)
{
	struct disk *d = arg;

	disk_recover(d);
	while (!atomic_load(&d->stopping) && !atomic_load(&d->leaving)) {
		struct segment *victim;
		bool is_dead = false;

		segments_close_left(&d->segments);
		if (!wait_for_work(d)) {
			disk_settle(d);
			continue;
		}
		victim = segments_victim(&d->segments, &is_dead);
		if (!victim) {
			wait_for_change(d);
			continue;
		}
		if (!is_dead && goes_after_kept(d, victim)) {
			segment_stay(&d->segments, victim, SEGMENT_STAYS);
			appender_seal(&d->kept);
		} else {
			reclaim(d, victim, is_dead);
		}
		segment_unref(&d->segments, &victim);
	}
	appender_seal(&d->kept);
	segments_close_left(&d->segments);
	return NULL;
}
