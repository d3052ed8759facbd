/* SPDX-License-Identifier: MIT */
/* A flight's end: what it stores, retires and marks, in both tiers at once, and then what those who wait are told. */
#include "cache/flight_internal.h"

#include "cache/landing.h"
#include "cache/lower.h"

static void drop_stored_locked(struct flight *f, struct garbage *g)
{
	for (struct object *o = f->entry->variants; o; o = object_next(o) ? *object_next(o) : NULL)
		if (o == f->stored) {
			variant_drop_locked(f->entry, o, DROP_REPLACED, g);
			return;
		}
}

static bool may_store_locked(const struct flight *f, const struct ending *x)
{
	return f->kind == FLIGHT_READ ? lower_is_newest_locked(f->cache, f->entry, x->read_lsn)
				      : !landing_is_late_locked(f, x->store);
}

static bool store_locked(struct flight *f, const struct ending *x, struct lower_write *written, struct garbage *g)
{
	if (!may_store_locked(f, x)) {
		garbage_add(g, x->store);
		return false;
	}
	flight_clear_marks_locked(f, x->store, g);
	if (f->kind != FLIGHT_READ) {
		landing_stored_locked(f, x->store);
		written->tells = f->is_forced || f->entry->variants;
		written->lands = true;
	}
	if (!variant_store_locked(f->entry, x->store, x->now, g))
		return false;
	entry_set_idle_locked(f->entry, f->rules->memory_idle_ms);
	/* Under the lock, so that both tiers see responses of one key in the same order. */
	lower_write_locked(written, f->cache, x->status == 304);
	/* What is read was there before those who wait for a fetch came to do so, and they would look for it where they had looked: each
	 * look that reads would be the reason for the next. */
	if (f->kind != FLIGHT_READ)
		flight_tell_stored_locked(f);
	user_bound_locked(f->entry, f->rules->max_entries_per_user, g);
	return true;
}

static void end_locked(struct flight *f, const struct ending *x, struct lower_write *written, struct garbage *g)
{
	bool is_stored;

	/* Under the lock: who has seen that it is whole, and looks up then, finds it stored and nothing older. */
	if (x->completes)
		object_finish(f->object, BODY_COMPLETE);
	/* A refresh that another process told to be too late may be the newer one nevertheless: that process must not keep what it has. */
	if (f->is_forced && (x->store || x->retires) && landing_is_late_locked(f, x->store))
		written->tells = true;
	is_stored = x->store && store_locked(f, x, written, g);
	if (x->drops_stored && !landing_is_late_locked(f, NULL)) {
		drop_stored_locked(f, g);
		lower_retire_locked(written, f->cache, f->entry);
		written->tells = true;
	}
	if (x->retires && !landing_is_late_locked(f, NULL))
		landing_retire_locked(f, written, g);
	pthread_mutex_lock(&f->mu);
	f->storing = is_stored ? FLIGHT_STORED : FLIGHT_NOT_STORED;
	pthread_mutex_unlock(&f->mu);
	/* What came too late says nothing about the requests that come next. */
	if (landing_is_late_locked(f, NULL))
		return;
	if (f->kind == FLIGHT_BACKGROUND && !is_stored && !x->retires && !x->drops_stored)
		flight_mark_rest_locked(f, x->now.mono_ms, g);
	if (f->kind == FLIGHT_HEAD)
		flight_mark_heads_locked(f, x, g);
	else if (x->pass_ms > 0)
		flight_mark_pass_locked(f, x->now.mono_ms, x->pass_ms, g);
	if (x->marks_failure)
		flight_mark_failure_locked(f, x, g);
}

void flight_announce(struct flight *f, const struct ending *x)
{
	pthread_mutex_lock(&f->mu);
	if (x->object) {
		CHECK(!f->object);
		f->object = x->object;
		f->verdict = x->verdict;
		f->window.is_open = x->opens_window;
	}
	f->phase = x->phase;
	f->befalls_all = x->befalls_all;
	if (x->phase == FLIGHT_STALE) {
		f->status = x->said;
		f->failure = x->status;
	} else if (x->status) {
		f->status = x->status;
	}
	if (x->phase == FLIGHT_RELEASED)
		atomic_fetch_add_explicit(&f->cache->n.released, f->waiters_n, memory_order_relaxed);
	flight_wake_locked(f);
	pthread_mutex_unlock(&f->mu);
}

void flight_finish(struct flight *f, const struct ending *x)
{
	struct shard *s = f->entry->shard;
	struct garbage g = {0};
	struct flight *listed = f;
	struct lower_write written;

	CHECK(!f->has_ended);
	f->has_ended = true;
	lower_write_begin(&written, f->cache, f->kind == FLIGHT_READ ? NULL : x->store);
	pthread_mutex_lock(&s->mu);
	end_locked(f, x, &written, &g);
	(void)flight_unlist_locked(f);
	entry_tidy_locked(f->entry, &g);
	pthread_mutex_unlock(&s->mu);
	lower_write_end(&written, f->cache, f->entry);
	flight_announce(f, x);
	garbage_free(&g);
	memory_trim(s);
	flight_unref(&listed);
}

bool flight_is_late(struct flight *f)
{
	struct shard *s = f->entry->shard;
	bool is_late;

	pthread_mutex_lock(&s->mu);
	is_late = landing_is_late_locked(f, NULL);
	pthread_mutex_unlock(&s->mu);
	return is_late;
}

bool flight_has_newer(struct flight *f)
{
	struct shard *s = f->entry->shard;
	bool has_newer;

	pthread_mutex_lock(&s->mu);
	has_newer = f->has_newer;
	pthread_mutex_unlock(&s->mu);
	return has_newer;
}

void flight_retire(struct flight *f)
{
	struct shard *s = f->entry->shard;
	struct garbage g = {0};
	struct lower_write written;

	if (!flight_supersedes(f))
		return;
	lower_write_begin(&written, f->cache, NULL);
	pthread_mutex_lock(&s->mu);
	if (!landing_is_late_locked(f, NULL))
		landing_retire_locked(f, &written, &g);
	pthread_mutex_unlock(&s->mu);
	lower_write_end(&written, f->cache, f->entry);
	garbage_free(&g);
}
