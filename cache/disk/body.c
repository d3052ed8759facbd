/* SPDX-License-Identifier: MIT */
/* Large bodies: kept by reference, read block by block, each block verified before a byte of it leaves. */
#include "cache/disk/body.h"

#include <errno.h>

size_t disk_body_bytes(uint64_t body_n)
{
	return sizeof(struct disk_body) + record_blocks(body_n) * sizeof(uint64_t);
}

static const struct disk_body *body_of(const struct tier_body *b)
{
	return (const struct disk_body *)(const void *)b; /* pub is its first member */
}

const uint64_t *disk_body_sums(const struct tier_body *b)
{
	return body_of(b)->sums;
}

static struct segment *segment_of(struct segments *t, const struct disk_body *b)
{
	struct segment *s = segment_get(t, b->seg);

	/* Another segment may have this slot by now. */
	if (s && s->generation != b->generation)
		segment_unref(t, &s);
	return s;
}

bool disk_body_is_there(struct tier *t, const struct tier_body *body)
{
	struct segments *segments = &disk_of(t)->segments;
	const struct disk_body *b = body_of(body);
	struct segment *s;
	bool is_there;

	if (atomic_load_explicit(&b->is_lost, memory_order_relaxed))
		return false;
	s = segment_of(segments, b);
	is_there = s != NULL;
	segment_unref(segments, &s);
	return is_there;
}

void disk_body_lose(struct tier *t, struct tier_body *body)
{
	struct disk_body *b = CONTAINER_OF(body, struct disk_body, pub);
	struct disk *d = disk_of(t);
	struct segment *s = segment_of(&d->segments, b);

	atomic_store_explicit(&b->is_lost, true, memory_order_relaxed);
	if (s) /* else another record may lie there */
		(void)index_drop_at(&d->index, b->hash, b->seg, b->off8);
	segment_unref(&d->segments, &s);
}

/* Counts as a hit, so that reclaim keeps the record. */
int disk_body_ref(struct tier *t, struct tier_hold *h, const struct tier_body *body)
{
	const struct disk_body *b = body_of(body);
	struct index_slot found[INDEX_FOUND_MAX];
	struct disk *d = disk_of(t);

	*h = (struct tier_hold){.body = body};
	if (!atomic_load_explicit(&b->is_lost, memory_order_relaxed))
		h->place = segment_of(&d->segments, b);
	if (!h->place)
		return -ESTALE;
	(void)index_find(&d->index, b->hash, true, found);
	return 0;
}

void disk_body_unref(struct tier *t, struct tier_hold *h)
{
	struct segment *s = h->place;

	h->place = NULL;
	segment_unref(&disk_of(t)->segments, &s);
}

/* ---- Blocks ---- */

static int read_block(struct disk *d, struct tier_read *r, bool may_wait)
{
	const struct disk_body *b = body_of(r->hold->body);
	uint64_t left = b->pub.n - r->offset;
	size_t n = left < TIER_BLOCK ? (size_t)left : TIER_BLOCK;
	int err = disk_read_at(d, r->hold->place, r->buffer, n, b->at + r->offset, may_wait);

	if (!err && !record_block_is_right(b->sums[r->offset / RECORD_BLOCK], r->buffer, n)) {
		disk_add(&d->n.bad_records, 1);
		err = -EBADMSG;
	}
	r->err = err;
	r->bytes = err ? (struct slice){"", 0} : (struct slice){r->buffer, n};
	return err;
}

static void run_read(struct tier *t, struct tier_job *job)
{
	struct tier_read *r = CONTAINER_OF(job, struct tier_read, job);

	(void)read_block(disk_of(t), r, true);
	(void)post_message(r->reply_to, &r->message);
}

int disk_body_read(struct tier *t, struct tier_read *r)
{
	struct disk *d = disk_of(t);

	CHECK(r->hold->place && r->offset % TIER_BLOCK == 0 && r->offset < r->hold->body->n);
	if (read_block(d, r, r->reply_to == NULL) != -EAGAIN)
		return 0;
	r->job.run = run_read;
	if (disk_post_job(d, &r->job))
		return -EINPROGRESS;
	r->err = -EBUSY;
	return 0;
}
