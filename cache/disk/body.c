/* SPDX-License-Identifier: MIT */
/* Large bodies: kept by reference, read block by block, each block verified before a byte of it leaves. */
#include "cache/disk/body.h"

#include <errno.h>

#include "cache/disk/store_internal.h"

size_t disk_body_bytes(uint64_t body_n)
{
	return sizeof(struct disk_body) + record_blocks(body_n) * sizeof(uint64_t);
}

static struct segment *segment_of(const struct disk_body *b)
{
	struct segments *t = &b->disk->segments;
	struct segment *s = segment_get(t, b->seg);

	/* Another file may be in its place by now. */
	if (s && s->generation != b->generation)
		segment_put(t, &s);
	return s;
}

bool disk_body_is_there(const struct disk_body *b)
{
	struct segment *s;
	bool is_there;

	if (atomic_load_explicit(&b->is_lost, memory_order_relaxed))
		return false;
	s = segment_of(b);
	is_there = s != NULL;
	segment_put(&b->disk->segments, &s);
	return is_there;
}

void disk_body_lose(struct disk_body *b)
{
	struct segment *s = segment_of(b);

	atomic_store_explicit(&b->is_lost, true, memory_order_relaxed);
	if (s) /* else the place may be another's */
		(void)index_drop_at(&b->disk->index, b->hash, b->seg, b->off8);
	segment_put(&b->disk->segments, &s);
}

int disk_hold_begin(struct disk_hold *h, const struct disk_body *b)
{
	struct index_slot found[INDEX_FOUND_MAX];

	*h = (struct disk_hold){.body = b};
	if (!atomic_load_explicit(&b->is_lost, memory_order_relaxed))
		h->seg = segment_of(b);
	if (!h->seg)
		return -ESTALE;
	(void)index_find(&b->disk->index, b->hash, true, found);
	return 0;
}

void disk_hold_end(struct disk_hold *h)
{
	if (h->seg)
		segment_put(&h->body->disk->segments, &h->seg);
}

/* ---- Blocks ---- */

static int read_block(struct disk *d, struct disk_read *r, bool may_wait)
{
	const struct disk_body *b = r->hold->body;
	uint64_t left = b->n - r->offset;
	size_t n = left < DISK_BLOCK ? (size_t)left : DISK_BLOCK;
	int err = disk_read_at(d, r->hold->seg, r->buffer, n, b->at + r->offset, may_wait);

	if (!err && !record_block_is_right(b->sums[r->offset / RECORD_BLOCK], r->buffer, n)) {
		disk_add(&d->n.bad_records, 1);
		err = -EBADMSG;
	}
	r->err = err;
	r->bytes = err ? (struct slice){"", 0} : (struct slice){r->buffer, n};
	return err;
}

static void run_read(struct disk *d, struct disk_job *job)
{
	struct disk_read *r = CONTAINER_OF(job, struct disk_read, job);

	(void)read_block(d, r, true);
	(void)post_mail(r->reply_to, &r->mail);
}

int disk_read(struct disk *d, struct disk_read *r)
{
	if (r->object)
		r->hold = disk_object_hold(r->object);
	CHECK(r->hold && r->hold->seg && r->offset % DISK_BLOCK == 0 && r->offset < r->hold->body->n);
	if (read_block(d, r, r->reply_to == NULL) != -EAGAIN)
		return 0;
	r->job.run = run_read;
	if (disk_post_job(d, &r->job))
		return -EINPROGRESS;
	r->err = -EBUSY;
	return 0;
}
