/* SPDX-License-Identifier: MIT */
/* Flights whose response goes to the lower tier as it arrives, because it is larger than memory is to hold. */
#include <errno.h>

#include "base/mem.h"
#include "cache/landing.h"
#include "cache/lower.h"

/* For how long in all the lower tier may hold up a response that clients wait for; beyond that they matter more than the cache.
 * Where nobody waits, how long it may do nothing at all. */
#define STALL_MAX_MS 3000
#define STALL_ALONE_MAX_MS 10000

/* ---- What the tier has of it ---- */

/* What the writer knows of the flight. It holds no reference to it, so that none is dropped on its thread: `flight` is
 * looked at on the leader's only. */
struct flight_stream {
	struct tier_source source;
	_Atomic unsigned refs; /* the flight's, the writer's until on_release, each message's */
	struct cache *cache;
	struct object *object;
	unsigned worker;
	/* the leader's */
	struct tier_stream *to;
	struct flight *flight; /* NULL: given up */
	bool is_committed;     /* set before the end is said */
	struct message room, done;
};

static void has_room(struct flight *f);
static void has_committed(struct flight *f);

static void unref(struct flight_stream *fs)
{
	if (atomic_fetch_sub_explicit(&fs->refs, 1, memory_order_acq_rel) != 1)
		return;
	object_unref(&fs->object);
	mem_free(fs);
}

static void on_room_message(struct message *m)
{
	struct flight_stream *fs = CONTAINER_OF(m, struct flight_stream, room);

	if (fs->flight)
		has_room(fs->flight);
	unref(fs);
}

static void on_done_message(struct message *m)
{
	struct flight_stream *fs = CONTAINER_OF(m, struct flight_stream, done);

	uncount(&fs->cache->tier_reads);
	has_committed(fs->flight);
	unref(fs);
}

/* ---- From the writer's thread ---- */

static void on_room(struct tier_source *s)
{
	struct flight_stream *fs = CONTAINER_OF(s, struct flight_stream, source);

	atomic_fetch_add_explicit(&fs->refs, 1, memory_order_relaxed);
	if (!post_message(fs->cache->o.mailboxes[fs->worker], &fs->room))
		unref(fs);
}

static void on_release(struct tier_source *s)
{
	struct flight_stream *fs = CONTAINER_OF(s, struct flight_stream, source);

	if (fs->is_committed)
		(void)post_message(fs->cache->o.mailboxes[fs->worker], &fs->done);
	else
		unref(fs);
}

/* ---- For the leader ---- */

static int begin(struct flight *f, struct object *o, int64_t length, struct flight_stream **out)
{
	struct flight_stream *fs = mem_zalloc(sizeof(*fs));
	struct tier *t = f->cache->tier;
	struct purgeable purgeable;
	int err;

	*out = NULL;
	if (!fs)
		return -ENOMEM;
	lower_describe(o, &fs->source);
	object_purgeable(o, &purgeable);
	fs->source.tags = purgeable.tags;
	fs->source.tags_n = purgeable.tags_n;
	fs->source.body_n = length >= 0 ? (uint64_t)length : TIER_LENGTH_UNKNOWN;
	fs->source.on_release = on_release;
	err = t->ops->stream_begin(t, &fs->source, on_room, &fs->to);
	if (err) {
		mem_free(fs);
		return err;
	}
	atomic_init(&fs->refs, 2);
	fs->cache = f->cache;
	fs->object = object_ref(o);
	fs->worker = f->worker;
	fs->flight = f;
	fs->room.on_message = on_room_message;
	fs->done.on_message = on_done_message;
	*out = fs;
	return 0;
}

static void unref_stream(struct flight_stream **stream)
{
	struct flight_stream *fs = *stream;

	*stream = NULL;
	unref(fs);
}

static void drop(struct flight_stream **stream, bool is_slow)
{
	struct flight_stream *fs = *stream;

	fs->flight = NULL;
	fs->to->tier->ops->stream_end(&fs->to, is_slow ? TIER_END_SLOW : TIER_END_CUT);
	unref_stream(stream);
}

static void commit_locked(struct flight_stream *fs)
{
	/* Until the message has come the cache must not go. */
	count(&fs->cache->tier_reads);
	fs->source.epoch = object_epoch(fs->object);
	fs->is_committed = true;
	fs->to->tier->ops->stream_end(&fs->to, TIER_END_WHOLE);
}

/* ---- The flight's side ---- */

static void set_streamed(struct flight *f, bool is_streamed)
{
	pthread_mutex_lock(&f->mu);
	f->writing.state = is_streamed ? FLIGHT_IS_STREAMED : FLIGHT_IS_NOT_WRITTEN;
	if (!is_streamed)
		f->verdict = POLICY_NOT_TOO_LARGE;
	pthread_mutex_unlock(&f->mu);
}

int flight_stream_begin(struct flight *f, struct object *o, int64_t length)
{
	int err = begin(f, o, length, &f->stream);

	if (!err)
		set_streamed(f, true);
	return err;
}

static bool is_lower_slow(struct flight *f)
{
	bool is_slow;

	pthread_mutex_lock(&f->mu);
	is_slow = f->writing.is_slow;
	pthread_mutex_unlock(&f->mu);
	return is_slow;
}

void flight_stream_drop(struct flight *f)
{
	if (!f->stream)
		return;
	drop(&f->stream, is_lower_slow(f));
	set_streamed(f, false);
}

bool flight_stream_take(struct flight *f, const void *p, size_t n)
{
	enum tier_flow flow = TIER_GAVE_UP;

	if (object_check(f->object) != PURGED_HARD && !is_lower_slow(f))
		flow = f->stream->to->tier->ops->stream_write(f->stream->to, p, n);
	if (flow == TIER_GAVE_UP) {
		flight_stream_drop(f);
		flight_retire(f);
	}
	return flow == TIER_IS_FULL;
}

/* ---- The end ---- */

bool flight_stream_commit(struct flight *f, struct now now)
{
	struct shard *s = f->entry->shard;
	struct garbage g = {0};
	struct lower_write written;
	bool is_newest;

	/* Purged while it was fetched. (Once more at each use: a purge may come right after this.) */
	if (object_check(f->object) == PURGED_HARD)
		return false;
	lower_write_begin(&written, f->cache, NULL);
	pthread_mutex_lock(&s->mu);
	written.tells = f->is_forced || f->entry->variants;
	is_newest = !landing_is_late_locked(f, f->object) && variant_supersede_locked(f->entry, f->object, now, &g);
	written.lands = is_newest;
	if (is_newest) {
		landing_stored_locked(f, f->object);
		flight_clear_marks_locked(f, f->object, &g);
		pthread_mutex_lock(&f->mu);
		f->writing.state = FLIGHT_IS_COMMITTING;
		pthread_mutex_unlock(&f->mu);
		/* Under the lock, so that both tiers see responses of one key in the same order. */
		commit_locked(f->stream);
	}
	pthread_mutex_unlock(&s->mu);
	if (is_newest)
		lower_write_end(&written, f->cache, f->entry);
	garbage_free(&g);
	return is_newest;
}

static void has_committed(struct flight *f)
{
	struct shard *s = f->entry->shard;
	struct garbage g = {0};
	struct flight *listed = f;

	pthread_mutex_lock(&s->mu);
	flight_tell_stored_locked(f);
	(void)flight_unlist_locked(f);
	entry_tidy_locked(f->entry, &g);
	pthread_mutex_lock(&f->mu);
	f->writing.state = FLIGHT_IS_NOT_WRITTEN;
	f->storing = lower_has(f->cache, f->object) ? FLIGHT_STORED : FLIGHT_NOT_STORED;
	flight_wake_locked(f);
	pthread_mutex_unlock(&f->mu);
	pthread_mutex_unlock(&s->mu);
	unref_stream(&f->stream);
	garbage_free(&g);
	flight_unref(&listed);
}

/* ---- Waiting for the lower tier ---- */

static void has_room(struct flight *f)
{
	pthread_mutex_lock(&f->mu);
	f->writing.is_full = false;
	f->writing.stall_seen_ms = 0;
	if (f->waiters_n == 0)
		f->writing.stalled_ms = 0;
	pthread_mutex_unlock(&f->mu);
	flight_resume(f);
}

void flight_check_stall_locked(struct flight *f, struct now now)
{
	pthread_mutex_lock(&f->mu);
	if (f->writing.is_full) {
		if (f->writing.stall_seen_ms > 0)
			f->writing.stalled_ms += now.mono_ms - f->writing.stall_seen_ms;
		f->writing.stall_seen_ms = now.mono_ms;
		if (f->writing.stalled_ms > (f->waiters_n > 0 ? STALL_MAX_MS : STALL_ALONE_MAX_MS)) {
			f->writing.is_full = false;
			f->writing.is_slow = true;
			flight_post_resume_locked(f);
		}
	}
	pthread_mutex_unlock(&f->mu);
}
