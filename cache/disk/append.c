/* SPDX-License-Identifier: MIT */
/* Records on their way into a segment: gathered in a buffer, written in large pieces, indexed once they are written. */
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/disk/store_internal.h"

int appender_init(struct appender *a, struct disk *d, bool is_reclaim)
{
	*a = (struct appender){.d = d, .is_reclaim = is_reclaim};
	a->buf = mem_alloc(APPEND_BUFFER);
	a->pending = mem_alloc(PENDING_MAX * sizeof(*a->pending));
	return a->buf && a->pending ? 0 : -ENOMEM;
}

void appender_fini(struct appender *a)
{
	mem_free(a->buf);
	mem_free(a->pending);
	mem_free(a->entries);
	a->buf = NULL;
	a->pending = NULL;
	a->entries = NULL;
}

/* ---- Into the index ---- */

/* A head's base is left alone: it goes first, or with its head (reclaim.c). */
int disk_index_add(struct disk *d, struct hash128 hash, const struct index_slot *slot, uint64_t base_lsn, uint64_t was)
{
	uint64_t is = disk_age_of(d, hash), own = segment_age(&d->segments, slot->seg);
	int err = index_add(&d->index, hash, slot, base_lsn);

	if (err)
		disk_add(&d->n.dropped_outdated, 1);
	else if (slot->kind == INDEX_WHOLE && (is > own || was > own))
		disk_forget_before(&d->tier, hash, slot->lsn);
	return err;
}

/* What was replaced while it was copied has a copy that goes after what replaced it. */
static void commit_move(struct disk *d, const struct pending *p)
{
	if (index_move(&d->index, p->hash, &p->from, p->slot.seg, p->slot.off8))
		disk_add(&d->n.reinserted, 1);
	else
		disk_forget_before(&d->tier, p->hash, p->slot.lsn + 1);
}

static void commit_one(struct disk *d, const struct pending *p)
{
	if (p->is_move) {
		commit_move(d, p);
	} else if (disk_index_add(d, p->hash, &p->slot, p->base_lsn, p->replaced_age) != 0) {
		/* The record is in the log all the same, and perhaps so is the one that it was to replace. */
		disk_forget_before(&d->tier, p->hash, disk_dropped_after(d, p->hash, p->slot.lsn));
		(void)index_drop_variant(&d->index, p->hash, p->slot.variant, p->slot.lsn);
	}
}

static void commit_all(struct appender *a)
{
	if (a->pending_n == 0)
		return;
	for (uint32_t i = 0; i < a->pending_n; i++)
		commit_one(a->d, &a->pending[i]);
	a->pending_n = 0;
	a->entries_committed = a->entries_n;
	a->committed = a->begun;
}

/* ---- Into the file ---- */

/* Whole records before the one under way are in the index afterwards. */
static int write_out(struct appender *a)
{
	int err;

	if (a->used == 0)
		return 0;
	err = io_write_all(a->d->io, a->seg->fd, a->buf, a->used, a->tail);
	if (err)
		return err;
	a->tail += a->used;
	disk_add(a->is_reclaim ? &a->d->n.reinserted_bytes : &a->d->n.written_bytes, a->used);
	a->used = 0;
	commit_all(a);
	return 0;
}

int appender_flush(struct appender *a)
{
	return a->seg ? write_out(a) : 0;
}

static int write_large(struct appender *a, const void *p, size_t n)
{
	int err = write_out(a);

	if (!err)
		err = io_write_all(a->d->io, a->seg->fd, p, n, a->tail);
	if (err)
		return err;
	a->tail += n;
	disk_add(a->is_reclaim ? &a->d->n.reinserted_bytes : &a->d->n.written_bytes, n);
	return 0;
}

int appender_bytes(struct appender *a, const void *p, size_t n)
{
	int err;

	if (n >= APPEND_BUFFER / 2)
		return write_large(a, p, n);
	if (n > APPEND_BUFFER - a->used) {
		err = write_out(a);
		if (err)
			return err;
	}
	if (n > 0)
		memcpy(a->buf + a->used, p, n);
	a->used += n;
	return 0;
}

int appender_zeros(struct appender *a, size_t n)
{
	static const char zeros[8];

	return n > 0 ? appender_bytes(a, zeros, n) : 0;
}

/* ---- Records ---- */

/* The writer leaves a segment's worth for the reclaimer, which needs room to make room. */
static int new_segment(struct appender *a, uint64_t size)
{
	struct disk *d = a->d;
	uint64_t spare = a->is_reclaim ? 0 : d->o.segment_bytes;
	int err;

	for (unsigned tries = 0;; tries++) {
		err = segment_create(&d->segments, size, spare, &a->seg);
		if (err != -ENOSPC || a->is_reclaim || tries == 3 || atomic_load(&d->stopping))
			break;
		if (!atomic_load(&d->is_ready))
			tries = 0; /* recovery still runs, so nothing is reclaimed yet */
		segments_wait_room(&d->segments, size, spare);
	}
	if (err)
		return err;
	a->tail = a->committed = a->begun = sizeof(struct segment_header);
	a->entries_n = a->entries_committed = 0;
	return 0;
}

static bool has_room(const struct appender *a, uint64_t total)
{
	uint64_t footer = (a->entries_n + 1) * sizeof(struct footer_entry) + sizeof(struct segment_trailer);

	return a->seg && a->tail + a->used + total + footer <= a->seg->size;
}

static int grow_entries(struct appender *a)
{
	uint32_t cap = a->entries_cap ? 2 * a->entries_cap : 1024;
	struct footer_entry *v;

	if (a->entries_n < a->entries_cap)
		return 0;
	v = mem_realloc(a->entries, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	a->entries = v;
	a->entries_cap = cap;
	return 0;
}

int appender_begin(struct appender *a, uint64_t total, bool own_segment)
{
	uint64_t size = a->d->o.segment_bytes;
	int err = grow_entries(a);

	if (own_segment)
		size = (sizeof(struct segment_header) + total + sizeof(struct footer_entry) +
			       sizeof(struct segment_trailer) + 4095) &
		       ~(uint64_t)4095;
	if (!err && a->pending_n == PENDING_MAX)
		err = appender_flush(a);
	if (!err && !has_room(a, total)) {
		err = appender_flush(a);
		appender_seal(a);
		if (!err)
			err = new_segment(a, size);
	}
	if (!err)
		a->begun = a->tail + a->used;
	return err;
}

int appender_end(struct appender *a, const struct record_header *h, struct pending *p)
{
	uint64_t end = a->tail + a->used, n8 = (end - a->begun) / 8;

	p->slot.seg = a->seg->slot;
	p->slot.off8 = (uint32_t)(a->begun / 8);
	p->slot.len8 = n8 < INDEX_LONG ? (uint16_t)n8 : INDEX_LONG;
	segment_note(a->seg, h->epoch, h->lsn);
	a->entries[a->entries_n++] = footer_entry_of(h, a->begun, end - a->begun);
	a->pending[a->pending_n++] = *p;
	a->begun = end;
	return a->used == 0 ? (commit_all(a), 0) : 0;
}

/* ---- Ends ---- */

static int seal_and_unref(struct appender *a)
{
	int err = segment_seal(&a->d->segments, a->seg, a->entries, a->entries_committed, a->committed);

	if (err) {
		static struct log_limit limit;

		disk_add(&a->d->n.write_errors, 1);
		if (log_allowed(&limit))
			log_warn("disk: a segment's footer can't be written: %s", strerror(-err));
	}
	segment_unref(&a->d->segments, &a->seg);
	a->used = 0;
	a->pending_n = 0;
	a->entries_n = a->entries_committed = 0;
	return err;
}

void appender_seal(struct appender *a)
{
	if (!a->seg)
		return;
	if (appender_flush(a) != 0)
		disk_add(&a->d->n.write_errors, 1);
	(void)seal_and_unref(a);
}

/* Records whose write failed, or that never came into the index. If the segment has no footer, the next start may find some of
 * them whole in the file. */
static void forget_pending(struct appender *a, uint32_t n, bool is_sealed)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct pending *p = &a->pending[i];

		if (p->is_move)
			continue;
		if (index_drop_variant(&a->d->index, p->hash, p->slot.variant, p->slot.lsn) > 0 || p->replaces ||
			!is_sealed)
			disk_forget_before(&a->d->tier, p->hash, p->slot.lsn + !is_sealed);
	}
}

void disk_rest(struct disk *d, int err)
{
	static struct log_limit limit;

	disk_add(&d->n.write_errors, 1);
	atomic_store(&d->retry_at_ms, clock_now().mono_ms + d->o.retry_ms);
	if (log_allowed(&limit))
		log_warn("disk: writing fails, resting for %lld ms: %s", (long long)d->o.retry_ms, strerror(-err));
}

void appender_fail(struct appender *a, int err)
{
	struct disk *d = a->d;
	uint32_t lost = a->pending_n;

	disk_add(&d->n.dropped_error, lost);
	disk_rest(d, err);
	forget_pending(a, lost, !a->seg || seal_and_unref(a) == 0);
}
