/* SPDX-License-Identifier: MIT */
/* Getting responses: what the page cache holds at once, the rest by the readers (readers.c). Every byte is verified before it leaves. */
#include <errno.h>

#include "base/mem.h"
#include "cache/disk/body.h"

/* A whole record up to here is one read. */
#define ONE_READ_MAX (TIER_BODY_WHOLE_MAX + 65536u)
/* And up to here it is verified on the caller's thread: some microseconds. */
#define INLINE_MAX 32768u

struct read_object {
	struct tier_object pub;
	char *meta, *body; /* allocations; and pub.large */
};

static void object_free(struct read_object *o)
{
	if (!o)
		return;
	mem_free(o->pub.large);
	mem_free(o->meta);
	mem_free(o->body);
	mem_free(o);
}

void disk_object_free(struct tier *t, struct tier_object **o)
{
	(void)t;
	if (!*o)
		return;
	object_free(CONTAINER_OF(*o, struct read_object, pub));
	*o = NULL;
}

/* ---- One record ---- */

struct record_at {
	struct disk *d;
	struct segment *seg;
	const struct index_slot *slot;
	uint64_t at, whole_max;
	bool may_wait;
};

static int read_header(const struct record_at *p, const void *bytes, struct hash128 hash, struct record_header *h)
{
	int err = record_read_header(bytes, p->seg->generation, p->seg->size - p->at, h);

	if (!err && (h->lsn != p->slot->lsn || h->key_lo != hash.lo || h->key_hi != hash.hi))
		err = -EBADMSG;
	return err;
}

static void fill(const struct record_at *p, struct read_object *o, const struct record_header *h,
	const struct record_meta *m, struct now now)
{
	o->pub = (struct tier_object){
		.key = m->key,
		.url = m->url,
		.vary_names = m->names,
		.vary_values = m->values,
		.head = m->head,
		.status = h->status,
		.epoch = segment_epoch(p->seg, h->epoch),
		.user = h->user,
		.lsn = h->lsn,
		.tags = m->tags,
		.tags_n = h->tags_n,
		.body_n = h->body_n,
		.part_first = h->part_first,
		.part_total = h->part_total,
	};
	record_freshness(h, p->d->o.clock_id, now, &o->pub.freshness);
}

static int load_body(struct read_object *o, const struct record_at *p, const struct record_header *h, uint64_t at)
{
	uint64_t n = record_pad(h->body_n) + record_blocks(h->body_n) * sizeof(uint64_t);
	int err;

	if (!p->may_wait && h->body_n > TIER_BODY_WHOLE_MAX)
		return -EAGAIN;
	o->body = mem_alloc(n);
	if (!o->body)
		return -ENOMEM;
	err = disk_read_at(p->d, p->seg, o->body, n, at, p->may_wait);
	if (!err)
		err = record_body_is_right(h, o->body) ? 0 : -EBADMSG;
	o->pub.body = (struct slice){o->body, h->body_n};
	return err;
}

/* The body of the record at p: into memory when it is small, else only its sums. */
static int attach_body(struct read_object *o, const struct record_at *p, const struct record_header *h)
{
	uint64_t at = p->at + sizeof(*h) + record_meta_n(h);
	struct disk_body *b;
	int err;

	if (h->body_n <= p->whole_max)
		return load_body(o, p, h, at);
	b = mem_alloc(disk_body_bytes(h->body_n));
	if (!b)
		return -ENOMEM;
	o->pub.large = &b->pub;
	*b = (struct disk_body){
		.pub = {disk_body_bytes(h->body_n), h->body_n},
		.hash = {h->key_lo, h->key_hi},
		.generation = p->seg->generation,
		.at = at,
		.seg = p->seg->slot,
		.off8 = p->slot->off8,
	};
	err = disk_read_at(p->d, p->seg, b->sums, record_blocks(h->body_n) * sizeof(*b->sums),
		at + record_pad(h->body_n), p->may_wait);
	if (!err && !record_sums_are_right(h, b->sums))
		err = -EBADMSG;
	return err;
}

static int load_in_one(struct read_object *o, const struct record_at *p, struct hash128 hash, struct now now)
{
	size_t n = (size_t)p->slot->len8 * 8;
	struct record_header h;
	struct record_meta m;
	int err;

	o->meta = mem_alloc(n);
	if (!o->meta)
		return -ENOMEM;
	err = disk_read_at(p->d, p->seg, o->meta, n, p->at, p->may_wait);
	if (!err)
		err = read_header(p, o->meta, hash, &h);
	if (!err && (h.kind != RECORD_WHOLE || record_total(&h) != n))
		err = -EBADMSG;
	if (!err)
		err = record_read_meta(&h, o->meta + sizeof(h), &m);
	if (!err) {
		const char *body = o->meta + sizeof(h) + record_meta_n(&h);

		fill(p, o, &h, &m, now);
		o->pub.body = (struct slice){body, h.body_n};
		err = record_body_is_right(&h, body) ? 0 : -EBADMSG;
	}
	return err;
}

static int load_meta(
	struct read_object *o, const struct record_at *p, struct hash128 hash, struct now now, struct record_header *h)
{
	char bytes[sizeof(*h)];
	struct record_meta m;
	int err = disk_read_at(p->d, p->seg, bytes, sizeof(bytes), p->at, p->may_wait);

	if (!err)
		err = read_header(p, bytes, hash, h);
	if (err)
		return err;
	o->meta = mem_alloc(record_meta_n(h));
	if (!o->meta)
		return -ENOMEM;
	err = disk_read_at(p->d, p->seg, o->meta, record_meta_n(h), p->at + sizeof(*h), p->may_wait);
	if (!err)
		err = record_read_meta(h, o->meta, &m);
	if (!err)
		fill(p, o, h, &m, now);
	return err;
}

/* A head update and the record whose body it is about. */
static int load_base(struct read_object *o, const struct record_at *head, const struct record_header *h,
	const struct index_slot *found, unsigned n)
{
	struct record_at p = {.d = head->d, .whole_max = head->whole_max, .may_wait = head->may_wait};
	struct hash128 hash = {h->key_lo, h->key_hi};
	struct record_header base;
	char bytes[sizeof(base)];
	int err = -ESTALE;

	for (unsigned i = 0; i < n && !p.slot; i++)
		if (found[i].kind == INDEX_BODY && found[i].variant == head->slot->variant &&
			found[i].lsn == h->base_lsn)
			p.slot = &found[i];
	if (p.slot)
		p.seg = segment_get(&p.d->segments, p.slot->seg);
	if (!p.seg)
		return err;
	p.at = (uint64_t)p.slot->off8 * 8;
	err = disk_read_at(p.d, p.seg, bytes, sizeof(bytes), p.at, p.may_wait);
	if (!err)
		err = read_header(&p, bytes, hash, &base);
	if (!err && (base.kind != RECORD_WHOLE || base.body_n != h->body_n || base.sums_sum != h->sums_sum))
		err = -EBADMSG;
	if (!err)
		err = attach_body(o, &p, &base);
	segment_unref(&p.d->segments, &p.seg);
	return err;
}

static int load_at(struct read_object *o, const struct record_at *p, struct tier_lookup *l,
	const struct index_slot *found, unsigned n)
{
	struct record_header h;
	size_t bytes = (size_t)p->slot->len8 * 8;
	int err;

	if (p->slot->kind == INDEX_WHOLE && p->slot->len8 != INDEX_LONG && bytes <= ONE_READ_MAX &&
		bytes <= p->whole_max) {
		if (!p->may_wait && bytes > INLINE_MAX)
			return -EAGAIN;
		return load_in_one(o, p, l->hash, l->now);
	}
	err = load_meta(o, p, l->hash, l->now, &h);
	if (err)
		return err;
	if (p->slot->kind == INDEX_HEAD)
		return h.kind == RECORD_HEAD ? load_base(o, p, &h, found, n) : -EBADMSG;
	return h.kind == RECORD_WHOLE ? attach_body(o, p, &h) : -EBADMSG;
}

/* ---- A lookup ---- */

/* The records in the index; none where a put that waits to be written may replace them. The order of the two loads does not matter:
 * before a record that was found is used, disk_is_newest is asked. */
static unsigned find(struct disk *d, struct hash128 hash, bool mark, struct index_slot out[INDEX_FOUND_MAX])
{
	unsigned n = index_find(&d->index, hash, mark, out), slot = hash.lo & (PUT_SLOTS - 1);
	uint64_t queued;

	if (n == 0 || atomic_load(&d->ending[slot]) > 0)
		return 0;
	queued = atomic_load(&d->queued[slot]);
	return out[0].lsn < queued && queued > atomic_load(&d->written_lsn) ? 0 : n;
}

bool disk_is_newest(struct tier *t, struct hash128 hash, uint64_t lsn)
{
	struct index_slot found[INDEX_FOUND_MAX];
	unsigned n = find(disk_of(t), hash, false, found);

	/* Of a record that a head was put for meanwhile only the body counts, and it has the head that was there before. */
	for (unsigned i = 0; i < n; i++)
		if (found[i].kind != INDEX_BODY && found[i].lsn == lsn)
			return true;
	return false;
}

bool disk_holds(struct tier *t, struct hash128 hash, struct slice vary_names, struct slice vary_values)
{
	uint32_t variant = record_variant(vary_names, vary_values);
	struct index_slot found[INDEX_FOUND_MAX];
	unsigned n = find(disk_of(t), hash, false, found);

	for (unsigned i = 0; i < n; i++)
		if (found[i].kind != INDEX_BODY && found[i].variant == variant)
			return true;
	return false;
}

static bool is_retryable(int err)
{
	return err == -EAGAIN || err == -ENOMEM;
}

/* -ESTALE: the record moved or was replaced in between. */
static int load(struct disk *d, struct tier_lookup *l, const struct index_slot *slot, const struct index_slot *found,
	unsigned n, bool may_wait, struct read_object **out)
{
	struct record_at p = {
		.d = d,
		.slot = slot,
		.at = (uint64_t)slot->off8 * 8,
		.whole_max = l->whole_max ? l->whole_max : TIER_BODY_WHOLE_MAX,
		.may_wait = may_wait,
	};
	struct index_slot still;
	int err;

	*out = NULL;
	p.seg = segment_get(&d->segments, slot->seg);
	if (!p.seg)
		return -ESTALE;
	*out = mem_zalloc(sizeof(**out));
	err = *out ? load_at(*out, &p, l, found, n) : -ENOMEM;
	segment_unref(&d->segments, &p.seg);
	if (!err)
		return 0;
	object_free(*out);
	*out = NULL;
	if (is_retryable(err))
		return err;
	/* Reclaim may have put another segment there: the record is bad only if the index still points here. */
	if (err == -ESTALE || !index_get_at(&d->index, l->hash, slot->seg, slot->off8, &still) ||
		still.lsn != slot->lsn)
		return -ESTALE;
	if (err == -EBADMSG)
		disk_add(&d->n.bad_records, 1);
	(void)index_drop_at(&d->index, l->hash, slot->seg, slot->off8);
	return err;
}

static enum tier_verdict judge(
	struct disk *d, struct tier_lookup *l, const struct index_slot *slot, struct read_object *o)
{
	const struct purgeable purgeable = {o->pub.url, o->pub.tags, o->pub.tags_n, o->pub.user};
	_Atomic uint64_t checked = o->pub.epoch;
	enum purge_state state;

	if (!slice_equal(o->pub.key, l->key))
		return TIER_MISS;
	state = invalidation_check(d->o.invalidation, &purgeable, o->pub.epoch, &checked);
	if (state == PURGED_HARD) {
		disk_add(&d->n.purged_reads, 1);
		(void)index_drop_at(&d->index, l->hash, slot->seg, slot->off8);
		return TIER_MISS;
	}
	if (l->accepts && !l->accepts(l, &o->pub))
		return TIER_MISS;
	if (state == NOT_PURGED)
		o->pub.epoch = atomic_load_explicit(&checked, memory_order_relaxed);
	return state == PURGED_SOFT ? TIER_SOFT : TIER_HIT;
}

static void look_up(struct disk *d, struct tier_lookup *l, bool may_wait)
{
	struct index_slot found[INDEX_FOUND_MAX];
	unsigned n = find(d, l->hash, true, found);

	l->verdict = TIER_MISS;
	l->object = NULL;
	for (unsigned i = 0; i < n && found[i].kind != INDEX_BODY && l->verdict == TIER_MISS; i++) {
		struct read_object *o;
		int err = load(d, l, &found[i], found, n, may_wait, &o);

		if (err == -EAGAIN) {
			l->verdict = TIER_PENDING;
			return;
		}
		if (err)
			continue;
		l->verdict = judge(d, l, &found[i], o);
		if (l->verdict == TIER_MISS)
			object_free(o);
		else
			l->object = &o->pub;
	}
	disk_add(n == 0 ? &d->n.absent : l->verdict == TIER_MISS ? &d->n.misses : &d->n.hits, 1);
	if (l->verdict != TIER_MISS)
		disk_add(may_wait ? &d->n.thread_reads : &d->n.inline_reads, 1);
}

/* ---- Asked from outside ---- */

static void run_lookup(struct tier *t, struct tier_job *job)
{
	struct tier_lookup *l = CONTAINER_OF(job, struct tier_lookup, job);

	look_up(disk_of(t), l, true);
	(void)post_message(l->reply_to, &l->message);
}

static bool serves(struct disk *d)
{
	return atomic_load_explicit(&d->is_ready, memory_order_acquire) &&
	       !atomic_load_explicit(&d->is_given, memory_order_relaxed);
}

bool disk_may_have(struct tier *t, struct hash128 hash)
{
	struct disk *d = disk_of(t);
	struct index_slot found[INDEX_FOUND_MAX];

	if (!serves(d))
		return false;
	if (find(d, hash, false, found) > 0)
		return true;
	disk_add(&d->n.absent, 1);
	return false;
}

enum tier_verdict disk_get(struct tier *t, struct tier_lookup *l)
{
	struct disk *d = disk_of(t);

	if (!serves(d)) {
		l->verdict = TIER_MISS;
		l->object = NULL;
		return TIER_MISS;
	}
	look_up(d, l, l->reply_to == NULL);
	if (l->verdict != TIER_PENDING)
		return l->verdict;
	l->job.run = run_lookup;
	/* Once the job is posted, the message may be on its way: l is not touched any more. */
	if (disk_post_job(d, &l->job))
		return TIER_PENDING;
	l->verdict = TIER_MISS;
	return TIER_MISS;
}
