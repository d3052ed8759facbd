/* SPDX-License-Identifier: MIT */
/* Rules of invalidation last as long as a record may be older than they. So that a segment which is kept for long does not keep
 * them all, the reclaimer judges its records once more when many have come together: records that were purged go, and the
 * segment's footer says that all others were found valid at that number.
 * Thread: the reclaimer. Bounds: TURN_MS a second; nothing at all before `settle_rules` purges have come together. */
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/disk/store_internal.h"

#define TURN_MS 100

int disk_read_head(struct disk *d, struct segment *s, const struct index_slot *slot, struct record_head *out)
{
	uint64_t at = (uint64_t)slot->off8 * 8;
	char bytes[sizeof(out->h)];
	int err = at < s->size ? disk_read_at(d, s, bytes, sizeof(bytes), at, true) : -EBADMSG;

	out->bytes = NULL;
	if (!err)
		err = record_read_header(bytes, s->generation, s->size - at, &out->h);
	if (!err && out->h.lsn != slot->lsn)
		err = -EBADMSG;
	if (!err)
		out->bytes = mem_alloc(record_meta_n(&out->h));
	if (!err && !out->bytes)
		err = -ENOMEM;
	if (!err)
		err = disk_read_at(d, s, out->bytes, record_meta_n(&out->h), at + sizeof(out->h), true);
	if (!err)
		err = record_read_meta(&out->h, out->bytes, &out->m);
	if (err)
		mem_free(out->bytes);
	return err;
}

enum purge_state disk_purge_state(
	const struct disk *d, const struct segment *s, const struct record_header *h, const struct record_meta *m)
{
	const struct purgeable purgeable = {m->url, m->tags, h->tags_n, h->user};
	uint64_t epoch = segment_epoch(s, h->epoch);
	_Atomic uint64_t checked = epoch;

	return invalidation_check(d->o.invalidation, &purgeable, epoch, &checked);
}

/* What has gone stays in the footer, as it took the place of older records, which may lie in other segments. */
static int settle_record(struct disk *d, struct segment *s, struct footer_entry *e)
{
	const struct hash128 hash = {e->key_lo, e->key_hi};
	struct record_head head;
	struct index_slot slot;
	int err;

	e->kind &= FOOTER_KIND;
	if (!index_get_at(&d->index, hash, s->slot, e->off8, &slot)) {
		e->kind |= FOOTER_GONE;
		return 0;
	}
	if (slot.kind == INDEX_BODY) {
		e->kind |= FOOTER_BODY;
		return 0;
	}
	disk_add(&d->n.settled_records, 1);
	err = disk_read_head(d, s, &slot, &head);
	if (err == -ENOMEM)
		return err;
	/* Also softly: the segment has no place to say so of one of its records. */
	if (err || disk_purge_state(d, s, &head.h, &head.m) != NOT_PURGED) {
		(void)index_drop_at(&d->index, hash, s->slot, e->off8);
		e->kind |= FOOTER_GONE;
	}
	if (!err)
		mem_free(head.bytes);
	return 0;
}

static int load_entries(struct disk *d, struct segment *s, struct segment_trailer *t, struct footer_entry **entries)
{
	int err = segment_load_footer(&d->segments, s, t, entries);

	return err == -EBADMSG ? disk_scan_segment(d->io, s->fd, s->generation, s->size, entries, t) : err;
}

static int settle(struct disk *d, struct segment *s)
{
	uint64_t now = invalidation_now(d->o.invalidation);
	struct footer_entry *entries = NULL;
	struct segment_trailer t;
	int err;

	/* A purge that is spread will take records that are valid now, and a segment can't say which. One that is made after `now` was
	 * read has a greater number. */
	if (invalidation_is_spreading(d->o.invalidation))
		return -EAGAIN;
	err = load_entries(d, s, &t, &entries);
	for (uint64_t i = 0; !err && i < t.entries; i++)
		if (footer_entry_fits(&entries[i], t.end))
			err = settle_record(d, s, &entries[i]);
	if (!err)
		err = segment_settle(&d->segments, s, &t, entries, now);
	mem_free(entries);
	if (!err)
		disk_add(&d->n.settled_segments, 1);
	return err;
}

/* A new round, once so many rules are there, and so many have come since the last one began. */
static bool begins_round(struct disk *d, uint64_t *up_to)
{
	uint64_t now = invalidation_now(d->o.invalidation);

	if (invalidation_rules(d->o.invalidation) < d->o.settle_rules || now - *up_to < d->o.settle_rules)
		return false;
	*up_to = now;
	appender_seal(&d->kept);
	pthread_mutex_lock(&d->queue_mu);
	atomic_store(&d->settle_up_to, now);
	pthread_cond_broadcast(&d->queue_changed); /* the writer seals what it has begun */
	pthread_mutex_unlock(&d->queue_mu);
	return true;
}

void disk_settle(struct disk *d)
{
	static struct log_limit limit;
	uint64_t up_to = atomic_load(&d->settle_up_to);
	int64_t began_ms = clock_now().mono_ms;
	struct segment *s = segments_unsettled(&d->segments, up_to);
	int err = 0;

	if (!s && !invalidation_is_spreading(d->o.invalidation) && begins_round(d, &up_to))
		s = segments_unsettled(&d->segments, up_to);
	while (s && !err && !atomic_load(&d->stopping) && !atomic_load(&d->is_given) &&
		clock_now().mono_ms - began_ms < TURN_MS) {
		err = settle(d, s);
		if (err && err != -EAGAIN && log_allowed(&limit))
			log_warn("disk: a segment's records can't be judged anew: %s", strerror(-err));
		segment_unref(&d->segments, &s);
		s = segments_unsettled(&d->segments, up_to);
	}
	if (s)
		segment_unref(&d->segments, &s);
}
