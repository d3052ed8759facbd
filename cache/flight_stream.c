/* SPDX-License-Identifier: MIT */
/* Flights whose answer goes to disk as it arrives, because it is larger than memory is to hold. */
#include <errno.h>

#include "cache/disk/store.h"
#include "cache/landing.h"
#include "cache/tier_large.h"

/* For how long in all the disk may hold up an answer that clients wait for; beyond that they matter more than the cache.
 * Where nobody waits, how long it may do nothing at all. */
#define STALL_MAX_MS 3000
#define STALL_ALONE_MAX_MS 10000

bool flight_may_stream(struct flight *f, int status, bool is_part, uint64_t length)
{
	struct disk *d = f->cache->disk;
	bool is_for_parts;

	pthread_mutex_lock(&f->mu);
	is_for_parts = f->is_for_parts;
	pthread_mutex_unlock(&f->mu);
	if (!d || is_part || is_for_parts || length > disk_max_object(d))
		return false;
	/* That one would have to be looked into as a whole. */
	return f->rules->store_if == CACHE_STORE_ANY || (status != 200 && status != 206);
}

static void set_streamed(struct flight *f, bool is_streamed)
{
	pthread_mutex_lock(&f->mu);
	f->is_streamed = is_streamed;
	if (!is_streamed)
		f->verdict = POLICY_NOT_TOO_LARGE;
	pthread_mutex_unlock(&f->mu);
}

bool flight_has_all_locked(const struct flight *f)
{
	int64_t length = f->is_streamed && f->object ? object_announced_length(f->object) : -1;
	uint64_t published;

	if (length < 0)
		return f->is_committing;
	(void)object_body_state(f->object, &published);
	return f->is_committing || (uint64_t)length == published;
}

int flight_stream_begin(struct flight *f, struct object *o, int64_t length)
{
	int err = tier_stream_begin(f, o, length, &f->stream);

	if (!err)
		set_streamed(f, true);
	return err;
}

static bool is_disk_slow(struct flight *f)
{
	bool is_slow;

	pthread_mutex_lock(&f->mu);
	is_slow = f->is_disk_slow;
	pthread_mutex_unlock(&f->mu);
	return is_slow;
}

void flight_stream_drop(struct flight *f)
{
	if (!f->stream)
		return;
	tier_stream_drop(&f->stream, is_disk_slow(f));
	set_streamed(f, false);
}

bool flight_stream_take(struct flight *f, const void *p, size_t n)
{
	enum disk_flow flow = DISK_GAVE_UP;

	if (object_check(f->object) != SCOPE_HARD && !is_disk_slow(f))
		flow = tier_stream_write(f->stream, p, n);
	if (flow == DISK_GAVE_UP) {
		flight_stream_drop(f);
		flight_retire(f);
	}
	return flow == DISK_IS_FULL;
}

/* ---- The end ---- */

bool flight_stream_commit(struct flight *f, struct now now)
{
	struct shard *s = f->entry->shard;
	struct garbage g = {0};
	struct tier_write written;
	bool is_newest;

	/* Purged while it was fetched. (Once more at each use: a purge may come right after this.) */
	if (object_check(f->object) == SCOPE_HARD)
		return false;
	tier_write_begin(&written, f->cache, NULL);
	pthread_mutex_lock(&s->mu);
	written.tells = f->is_forced || f->entry->variants;
	is_newest = !landing_is_late_locked(f, f->object) && variant_supersede_locked(f->entry, f->object, now, &g);
	if (is_newest) {
		landing_stored_locked(f, f->object);
		marker_clear_locked(f->entry->notes, &g);
		pthread_mutex_lock(&f->mu);
		f->is_committing = true;
		pthread_mutex_unlock(&f->mu);
		/* Under the lock, so that both tiers see answers of one key in the same order. */
		tier_stream_commit_locked(f->stream);
	}
	pthread_mutex_unlock(&s->mu);
	if (is_newest)
		tier_write_end(&written, f->cache, f->entry);
	garbage_free(&g);
	return is_newest;
}

void flight_stream_committed(struct flight *f)
{
	struct shard *s = f->entry->shard;
	struct garbage g = {0};
	struct flight *listed = f;

	pthread_mutex_lock(&s->mu);
	flight_tell_stored_locked(f);
	(void)flight_unlist_locked(f);
	entry_tidy_locked(f->entry, &g);
	pthread_mutex_lock(&f->mu);
	f->is_committing = false;
	f->is_streamed = false;
	f->storing = tier_has(f->cache, f->object) ? FLIGHT_STORED : FLIGHT_NOT_STORED;
	flight_wake_locked(f);
	pthread_mutex_unlock(&f->mu);
	pthread_mutex_unlock(&s->mu);
	tier_stream_free(&f->stream);
	garbage_free(&g);
	flight_unref(&listed);
}

/* ---- Waiting for the disk ---- */

void flight_stream_has_room(struct flight *f)
{
	pthread_mutex_lock(&f->mu);
	f->is_disk_paused = false;
	f->stall_seen_ms = 0;
	if (f->waiters_n == 0)
		f->stalled_ms = 0;
	pthread_mutex_unlock(&f->mu);
	flight_resume(f);
}

void flight_check_stall_locked(struct flight *f, struct now now)
{
	pthread_mutex_lock(&f->mu);
	if (f->is_disk_paused) {
		if (f->stall_seen_ms > 0)
			f->stalled_ms += now.mono_ms - f->stall_seen_ms;
		f->stall_seen_ms = now.mono_ms;
		if (f->stalled_ms > (f->waiters_n > 0 ? STALL_MAX_MS : STALL_ALONE_MAX_MS)) {
			f->is_disk_paused = false;
			f->is_disk_slow = true;
			flight_post_resume_locked(f);
		}
	}
	pthread_mutex_unlock(&f->mu);
}
