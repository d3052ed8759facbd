/* SPDX-License-Identifier: MIT */
#include "cache/tier_large.h"

#include <errno.h>

#include "base/mem.h"
#include "cache/disk/body.h"
#include "cache/tier.h"

struct block *tier_place_block(struct entry *e, const struct disk_body *b)
{
	size_t n = disk_body_bytes(b->n);
	struct block *block = block_new(e->shard, n);

	if (block)
		memcpy(block->bytes, b, n);
	return block;
}

/* ---- Writing as it arrives ---- */

/* What the writer knows of the flight. It holds no reference to it, so that none is dropped on its thread: `flight` is
 * looked at on the leader's only. */
struct tier_stream {
	struct disk_source source;
	_Atomic unsigned refs; /* the flight's, the writer's until on_release, each letter's */
	struct cache *cache;
	struct object *object;
	unsigned worker;
	/* the leader's */
	struct disk_stream *disk;
	struct flight *flight; /* NULL: given up */
	bool is_committed;     /* set before the end is said */
	struct mail room, done;
};

static void unref(struct tier_stream *ts)
{
	if (atomic_fetch_sub_explicit(&ts->refs, 1, memory_order_acq_rel) != 1)
		return;
	object_unref(&ts->object);
	mem_free(ts);
}

static void on_room_mail(struct mail *m)
{
	struct tier_stream *ts = CONTAINER_OF(m, struct tier_stream, room);

	if (ts->flight)
		flight_stream_has_room(ts->flight);
	unref(ts);
}

static void on_done_mail(struct mail *m)
{
	struct tier_stream *ts = CONTAINER_OF(m, struct tier_stream, done);

	uncount(&ts->cache->disk_reads);
	flight_stream_committed(ts->flight);
	unref(ts);
}

/* ---- From the writer's thread ---- */

static void on_room(struct disk_source *s)
{
	struct tier_stream *ts = CONTAINER_OF(s, struct tier_stream, source);

	atomic_fetch_add_explicit(&ts->refs, 1, memory_order_relaxed);
	if (!post_mail(ts->cache->o.mailboxes[ts->worker], &ts->room))
		unref(ts);
}

static void on_release(struct disk_source *s)
{
	struct tier_stream *ts = CONTAINER_OF(s, struct tier_stream, source);

	if (ts->is_committed)
		(void)post_mail(ts->cache->o.mailboxes[ts->worker], &ts->done);
	else
		unref(ts);
}

/* ---- For the leader ---- */

int tier_stream_begin(struct flight *f, struct object *o, int64_t length, struct tier_stream **out)
{
	struct tier_stream *ts = mem_zalloc(sizeof(*ts));
	struct scope_set scopes;
	int err;

	*out = NULL;
	if (!ts)
		return -ENOMEM;
	tier_describe(o, &ts->source);
	object_scopes(o, &scopes);
	ts->source.tags = scopes.tags;
	ts->source.tags_n = scopes.tags_n;
	ts->source.body_n = length >= 0 ? (uint64_t)length : DISK_LENGTH_UNKNOWN;
	ts->source.on_release = on_release;
	err = disk_stream_begin(f->cache->disk, &ts->source, on_room, &ts->disk);
	if (err) {
		mem_free(ts);
		return err;
	}
	atomic_init(&ts->refs, 2);
	ts->cache = f->cache;
	ts->object = object_ref(o);
	ts->worker = f->worker;
	ts->flight = f;
	ts->room.on_mail = on_room_mail;
	ts->done.on_mail = on_done_mail;
	*out = ts;
	return 0;
}

enum disk_flow tier_stream_write(struct tier_stream *ts, const void *p, size_t n)
{
	return disk_stream_write(ts->disk, p, n);
}

void tier_stream_drop(struct tier_stream **stream, bool is_slow)
{
	struct tier_stream *ts = *stream;

	ts->flight = NULL;
	if (is_slow)
		disk_stream_end_slow(&ts->disk);
	else
		disk_stream_end(&ts->disk, false);
	tier_stream_free(stream);
}

void tier_stream_commit_locked(struct tier_stream *ts)
{
	/* Until the letter has come the cache must not go. */
	count(&ts->cache->disk_reads);
	ts->source.epoch = object_epoch(ts->object);
	ts->is_committed = true;
	disk_stream_end(&ts->disk, true);
}

void tier_stream_free(struct tier_stream **stream)
{
	struct tier_stream *ts = *stream;

	*stream = NULL;
	unref(ts);
}
