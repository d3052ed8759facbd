/* SPDX-License-Identifier: MIT */
/* Loading the index at start, in the background: lookups miss until it is done. */
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/disk/store_internal.h"

/* ---- A segment without a footer: it was being written when the process ended ---- */

struct scan {
	const struct disk_io *io;
	int fd;
	uint64_t generation, size, at;
	struct footer_entry *entries;
	uint32_t n, cap;
};

static int note_entry(struct scan *s, const struct record_header *h)
{
	uint32_t cap = s->cap ? 2 * s->cap : 256;
	struct footer_entry *v;

	if (s->n == s->cap) {
		v = mem_realloc(s->entries, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		s->entries = v;
		s->cap = cap;
	}
	s->entries[s->n++] = footer_entry_of(h, s->at, record_total(h));
	return 0;
}

static bool block_on_disk_is_right(const struct scan *s, char *buf, uint64_t at, size_t n, uint64_t sum)
{
	return io_read_all(s->io, s->fd, buf, n, at) == 0 && record_block_is_right(sum, buf, n);
}

/* All of the record: the last one may have been cut short. */
static bool record_is_whole(const struct scan *s, const struct record_header *h)
{
	uint64_t at = s->at + sizeof(*h), blocks = h->kind == RECORD_WHOLE ? record_blocks(h->body_n) : 0;
	size_t meta_n = record_meta_n(h);
	uint64_t *sums = mem_alloc(blocks * sizeof(*sums));
	char *buf = mem_alloc(meta_n > RECORD_BLOCK ? meta_n : RECORD_BLOCK);
	struct record_meta m;
	bool right =
		sums && buf && io_read_all(s->io, s->fd, buf, meta_n, at) == 0 && record_read_meta(h, buf, &m) == 0;

	at += meta_n;
	if (right && h->kind == RECORD_WHOLE)
		right = io_read_all(s->io, s->fd, sums, blocks * sizeof(*sums), at + record_pad(h->body_n)) == 0 &&
			record_sums_are_right(h, sums);
	for (uint64_t i = 0; right && i < blocks; i++) {
		uint64_t left = h->body_n - i * RECORD_BLOCK;

		right = block_on_disk_is_right(
			s, buf, at + i * RECORD_BLOCK, left < RECORD_BLOCK ? (size_t)left : RECORD_BLOCK, sums[i]);
	}
	mem_free(sums);
	mem_free(buf);
	return right;
}

/* The header at s->at; false at the end of what is valid. Room for the footer is part of validity, as it is of writing. */
static bool next_header(const struct scan *s, struct record_header *h)
{
	char bytes[sizeof(*h)];
	uint64_t footer = (s->n + 1) * sizeof(struct footer_entry) + sizeof(struct segment_trailer);

	if (s->at + sizeof(bytes) + footer > s->size || io_read_all(s->io, s->fd, bytes, sizeof(bytes), s->at) != 0)
		return false;
	return record_read_header(bytes, s->generation, s->size - s->at - footer, h) == 0;
}

int disk_scan_segment(const struct disk_io *io, int fd, uint64_t generation, uint64_t size,
	struct footer_entry **entries, struct segment_trailer *t)
{
	struct scan s = {
		.io = io, .fd = fd, .generation = generation, .size = size, .at = sizeof(struct segment_header)};
	struct record_header h, next;
	bool more = next_header(&s, &h);
	int err = 0;

	*t = (struct segment_trailer){.min_epoch = UINT64_MAX, .min_lsn = UINT64_MAX};
	while (more && !err) {
		struct scan ahead = s;

		ahead.at += record_total(&h);
		ahead.n++;
		more = next_header(&ahead, &next);
		if (!more && !record_is_whole(&s, &h))
			break;
		err = note_entry(&s, &h);
		t->min_epoch = h.epoch < t->min_epoch ? h.epoch : t->min_epoch;
		t->min_lsn = h.lsn < t->min_lsn ? h.lsn : t->min_lsn;
		s.at = ahead.at;
		h = next;
	}
	t->entries = s.n;
	t->end = s.at;
	*entries = s.entries;
	if (err) {
		mem_free(s.entries);
		*entries = NULL;
	}
	return err;
}

/* ---- Into the index ---- */

struct head_entry {
	struct hash128 hash;
	struct index_slot slot;
	uint64_t base_lsn;
};

struct entries {
	struct head_entry *v;
	size_t n, cap;
};

struct loading {
	struct disk *d;
	struct entries heads;
	struct entries superseded; /* records without Vary that a newer one with Vary excludes */
	uint64_t records;
	bool has_settled; /* some go once all is loaded */
};

static void keep(struct entries *l, const struct head_entry *e)
{
	size_t cap = l->cap ? 2 * l->cap : 256;
	struct head_entry *v;

	if (l->n == l->cap) {
		v = mem_realloc(l->v, cap * sizeof(*v));
		if (!v)
			return; /* forgotten */
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = *e;
}

/* What has no Vary took the place of all that was older, other variants too, which may be loaded after it. As long as it is in
 * the index it keeps them out; once a newer one with Vary has taken its place it does not, so that is looked at in the end. */
static void note_superseded(struct loading *l, const struct head_entry *e)
{
	struct index *ix = &l->d->index;
	struct index_slot found[INDEX_FOUND_MAX];
	unsigned n = e->slot.variant == ix->plain ? 0 : index_find(ix, e->hash, false, found);

	for (unsigned i = 0; i < n; i++)
		if (found[i].variant == ix->plain && found[i].lsn < e->slot.lsn)
			keep(&l->superseded, &(struct head_entry){.hash = e->hash, .slot = found[i]});
}

static void load_slot(struct loading *l, const struct head_entry *e)
{
	int err;

	note_superseded(l, e);
	err = index_add(&l->d->index, e->hash, &e->slot, e->base_lsn);
	/* The segments come in the order in which they go: it would come back once the newer one's has gone. */
	if (err == -ESTALE && e->slot.kind == INDEX_WHOLE && !forgets_covers(&l->d->forgets, e->hash.lo, e->slot.lsn))
		disk_forget_before(&l->d->tier, e->hash, e->slot.lsn + 1);
	if (err == -ESTALE && e->slot.variant == l->d->index.plain)
		keep(&l->superseded, e);
	else if (!err && e->slot.kind == INDEX_WHOLE)
		l->records++;
}

static void load_entry(struct loading *l, const struct segment *s, const struct footer_entry *e)
{
	uint32_t kind = e->kind & FOOTER_KIND;
	struct head_entry h = {
		.hash = {e->key_lo, e->key_hi},
		.base_lsn = e->base_lsn,
		.slot =
			{
				.key = e->key_lo,
				.lsn = e->lsn,
				.variant = e->variant,
				.seg = s->slot,
				.off8 = e->off8,
				.len8 = e->n8 < INDEX_LONG ? (uint16_t)e->n8 : INDEX_LONG,
				.kind = kind == RECORD_HEAD ? INDEX_HEAD : INDEX_WHOLE,
				.hit = e->kind & FOOTER_GONE   ? INDEX_GOES
				       : e->kind & FOOTER_BODY ? INDEX_GOES_ALONE
							       : 0,
			},
	};

	if (kind != RECORD_WHOLE && kind != RECORD_HEAD)
		return;
	l->has_settled = l->has_settled || h.slot.hit != 0;
	/* Heads come last, when it is known which whole record of a variant is the newest. */
	if (kind == RECORD_HEAD)
		keep(&l->heads, &h);
	else
		load_slot(l, &h);
}

static void load_heads(struct loading *l)
{
	for (size_t i = 0; i < l->heads.n; i++)
		load_slot(l, &l->heads.v[i]); /* fails where its body is gone, or there is a newer response */
	for (size_t i = 0; i < l->superseded.n; i++)
		(void)index_drop_key(&l->d->index, l->superseded.v[i].hash, l->superseded.v[i].slot.lsn);
	if (l->has_settled)
		index_drop_going(&l->d->index);
	mem_free(l->heads.v);
	mem_free(l->superseded.v);
}

static int load_segment(struct loading *l, struct segment *s)
{
	struct disk *d = l->d;
	struct segment_trailer t;
	struct footer_entry *entries = NULL;
	int err = segment_load_footer(&d->segments, s, &t, &entries);
	bool scanned = err == -EBADMSG;

	if (scanned)
		err = disk_scan_segment(d->io, s->fd, s->generation, s->size, &entries, &t);
	if (err)
		return err;
	atomic_store(&s->min_epoch, t.min_epoch);
	atomic_store(&s->min_lsn, t.min_lsn);
	for (uint64_t i = 0; i < t.entries; i++)
		if (footer_entry_fits(&entries[i], t.end))
			load_entry(l, s, &entries[i]);
	if (scanned && t.entries > 0 && segment_seal(&d->segments, s, entries, (uint32_t)t.entries, t.end) != 0)
		disk_add(&d->n.write_errors, 1);
	mem_free(entries);
	return t.entries > 0 ? 0 : -ENODATA;
}

/* ---- All of them ---- */

static int by_id(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Each with a reference. */
static size_t loading_segments(struct disk *d, struct segment ***out)
{
	struct segments *t = &d->segments;
	uint32_t slots_n;
	size_t n = 0;

	pthread_mutex_lock(&t->mu);
	slots_n = t->slots_n;
	pthread_mutex_unlock(&t->mu);
	*out = mem_alloc(slots_n * sizeof(**out));
	for (uint32_t i = 0; *out && i < slots_n; i++) {
		struct segment *s = segment_get(t, i);
		bool loading;

		if (!s)
			continue;
		pthread_mutex_lock(&t->mu);
		loading = s->state == SEGMENT_LOADING;
		pthread_mutex_unlock(&t->mu);
		if (loading)
			(*out)[n++] = s;
		else
			segment_unref(t, &s);
	}
	if (*out)
		qsort(*out, n, sizeof(**out), by_id);
	return n;
}

static void load_all(struct loading *l, struct segment **v, size_t n)
{
	struct disk *d = l->d;
	int64_t told = clock_now().mono_ms;

	for (size_t i = 0; i < n; i++) {
		bool ends = atomic_load(&d->stopping) || atomic_load(&d->leaving);
		int err = ends ? 0 : load_segment(l, v[i]);

		if (err) {
			if (err != -ENODATA)
				log_warn("disk: segment %llx is left out: %s", (unsigned long long)v[i]->id,
					strerror(-err));
			index_drop_segment(&d->index, v[i]->slot);
			segment_retire(&d->segments, v[i]);
		} else {
			segment_set_sealed(&d->segments, v[i]);
		}
		segment_unref(&d->segments, &v[i]);
		disk_add(&d->n.recovered_segments, 1);
		if (clock_now().mono_ms - told >= 1000) {
			told = clock_now().mono_ms;
			log_info("disk: %zu of %zu segments loaded, %llu objects", i + 1, n,
				(unsigned long long)l->records);
		}
	}
}

void disk_recover(struct disk *d)
{
	struct loading l = {.d = d};
	struct segment **v = NULL;
	int64_t began = clock_now().mono_ms;
	size_t n = loading_segments(d, &v);
	struct index_stats stats;

	disk_add(&d->n.recovery_segments, n);
	if (v)
		load_all(&l, v, n);
	load_heads(&l);
	mem_free(v);
	index_stats(&d->index, &stats);
	atomic_store(&d->n.recovered_objects, stats.records);
	atomic_store(&d->n.recovery_ms, (uint64_t)(clock_now().mono_ms - began));
	pthread_mutex_lock(&d->segments.mu);
	atomic_store_explicit(&d->is_ready, true, memory_order_release);
	pthread_cond_broadcast(&d->segments.changed);
	pthread_mutex_unlock(&d->segments.mu);
	log_info("disk: ready after %llu ms with %llu objects in %zu segments",
		(unsigned long long)atomic_load(&d->n.recovery_ms), (unsigned long long)stats.records, n);
}
