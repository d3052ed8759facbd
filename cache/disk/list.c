/* SPDX-License-Identifier: MIT */
/* What is on disk, for operators: the index has hashes only, so heads are read. */
#include <errno.h>

#include "base/mem.h"
#include "cache/disk/store_internal.h"

_Static_assert(TIER_CURSOR_END == INDEX_SHARDS, "a cursor's end is behind the last shard");

/* After so many reads, other jobs that wait for a reader get their turn. */
#define READS_A_TURN 32

/* ---- One record ---- */

static void tell(struct disk *d, struct tier_listing *l, const struct segment *seg, const struct record_header *h,
	const struct record_meta *m)
{
	enum purge_state state = disk_purge_state(d, seg, h, m);
	struct tier_record_info info = {
		.url = m->url,
		.vary_names = m->names,
		.status = h->status,
		.user = h->user,
		.body_n = h->body_n,
		.bytes = record_total(h),
		.soft_purged = state == PURGED_SOFT,
	};

	if (state == PURGED_HARD || !slice_starts_with(m->url, l->prefix))
		return;
	record_freshness(h, d->o.clock_id, l->now, &info.freshness);
	l->told++;
	l->each(l, &info);
}

/* What can't be read, or has moved, is left out. */
static void read_one(struct disk *d, struct tier_listing *l, const struct index_slot *slot)
{
	struct segment *seg = segment_get(&d->segments, slot->seg);
	struct record_head head;

	l->read++;
	if (seg && disk_read_head(d, seg, slot, &head) == 0) {
		if (head.h.key_lo == slot->key)
			tell(d, l, seg, &head.h, &head.m);
		mem_free(head.bytes);
	}
	segment_unref(&d->segments, &seg);
}

/* ---- Some of them ---- */

static bool is_done(const struct tier_listing *l)
{
	return l->told >= l->limit || l->read >= l->reads_max || l->cursor.shard >= INDEX_SHARDS;
}

static void next_shard(struct tier_cursor *c)
{
	c->shard++;
	c->key = 0;
}

static void pass_key(struct tier_cursor *c, uint64_t key)
{
	if (key == UINT64_MAX)
		next_shard(c);
	else
		c->key = key + 1;
}

/* As many keys of the cursor's shard as the turn and the listing have room for. */
static void list_shard(struct disk *d, struct tier_listing *l, unsigned turn_ends)
{
	struct tier_cursor *c = &l->cursor;
	unsigned shard = c->shard, n = 0, i = 0;
	struct index_slot *v;

	if (index_list(&d->index, c->shard, c->key, &v, &n) != 0)
		n = 0; /* left out */
	while (i < n && !is_done(l) && l->read < turn_ends) {
		uint64_t key = v[i].key;

		for (; i < n && v[i].key == key; i++)
			read_one(d, l, &v[i]);
		pass_key(c, key);
	}
	if (i == n && c->shard == shard)
		next_shard(c);
	mem_free(v);
}

static void run(struct tier *t, struct tier_job *job)
{
	struct disk *d = disk_of(t);
	struct tier_listing *l = CONTAINER_OF(job, struct tier_listing, job);

	for (;;) {
		for (unsigned ends = l->read + READS_A_TURN; !is_done(l) && l->read < ends;)
			list_shard(d, l, ends);
		if (is_done(l)) {
			(void)post_message(l->reply_to, &l->message);
			return;
		}
		/* Once it is posted, another turn may be at it. */
		if (disk_post_job(d, &l->job))
			return;
	}
}

int disk_browse(struct tier *t, struct tier_listing *l)
{
	struct disk *d = disk_of(t);

	if (!disk_is_ready(d))
		return -EAGAIN;
	l->told = l->read = 0;
	l->job.run = run;
	return disk_post_job(d, &l->job) ? 0 : -EBUSY;
}
