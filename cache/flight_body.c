/* SPDX-License-Identifier: MIT */
/* Flights while their body arrives: stored, windowed once it is too large for that, handed to the lower tier. */
#include <errno.h>

#include "cache/flight_internal.h"
#include "cache/memory/store_filter.h"

static void show(struct flight *f)
{
	if (f->is_held)
		flight_announce(f, &(struct ending){.phase = FLIGHT_RESPONSE});
	f->is_held = false;
}

/* What has come so far, and from then on what comes. */
static void turn_to_lower(struct flight *f)
{
	uint64_t n, at = 0;

	(void)object_body_state(f->object, &n);
	if (!flight_may_stream(f, f->object->status, f->kind == FLIGHT_KEPT, n) ||
		flight_stream_begin(f, f->object, -1) != 0)
		return;
	for (struct slice run; f->stream && at < n; at += run.n) {
		run = object_body_at(f->object, at);
		(void)flight_stream_take(f, run.p, run.n);
	}
}

/* From here on bytes are kept only until all who wait have passed them on, and nobody can join any more. */
static void open_window(struct flight *f)
{
	if (f->shares == POLICY_SHARE_NOT)
		turn_to_lower(f);
	pthread_mutex_lock(&f->mu);
	if (f->shares == POLICY_SHARE_NOT)
		f->verdict = f->stream ? POLICY_STORE : POLICY_NOT_TOO_LARGE;
	pthread_mutex_unlock(&f->mu);
	if (f->shares == POLICY_SHARE_NOT && !f->stream)
		flight_mark_pass(f);
	show(f);
	pthread_mutex_lock(&f->mu);
	f->window.is_open = true;
	flight_move_window(f);
	pthread_mutex_unlock(&f->mu);
	if (!f->stream)
		flight_retire(f);
}

static int append(struct flight *f, const void *p, size_t n)
{
	uint64_t at;
	int err;

	(void)object_body_state(f->object, &at);
	if (!f->window.is_open && object_body_length(f->object) < 0 && at + n > f->cache->o.max_object_bytes) {
		open_window(f);
		if (!f->stream)
			count(&f->cache->n.refused_too_large);
	}
	err = object_append(f->object, p, n, f->window.is_open);
	if (err == -ENOMEM && !f->window.is_open) {
		count(&f->cache->n.refused_memory);
		open_window(f);
		err = object_append(f->object, p, n, true);
	}
	return err;
}

void flight_break_off(struct flight *f)
{
	struct ending x = {.phase = FLIGHT_RESPONSE, .now.mono_ms = atomic_load(&f->cache->memory.now_ms)};

	flight_stream_drop(f);
	object_finish(f->object, BODY_BROKEN);
	if (f->is_held) {
		x.phase = FLIGHT_FAILED;
		x.status = 502;
	}
	flight_finish(f, &x);
}

/* True: the lower tier has enough to do. */
static bool feed_lower(struct flight *f, const void *p, size_t n)
{
	uint64_t published;
	bool is_full;

	if (!f->stream)
		return false;
	is_full = flight_stream_take(f, p, n);
	(void)object_body_state(f->object, &published);
	if (!f->stream && published > f->cache->tier->max_object)
		flight_mark_pass(f);
	return is_full && f->stream;
}

enum flight_body flight_body(struct flight *f, const void *p, size_t n)
{
	enum flight_body result = FLIGHT_BODY_OK;
	bool lower_is_full;
	uint64_t published;
	int err;

	if (f->has_ended || !f->object)
		return FLIGHT_BODY_NOBODY;
	err = append(f, p, n);
	if (err == -EMSGSIZE) { /* more than was announced: the end will find it broken */
		f->is_overlong = true;
		return FLIGHT_BODY_OK;
	}
	if (err) {
		flight_break_off(f);
		return FLIGHT_BODY_NOBODY;
	}
	if (f->filter && !f->window.is_open)
		store_filter_feed(f->filter, p, n);
	lower_is_full = feed_lower(f, p, n);
	(void)object_body_state(f->object, &published);
	pthread_mutex_lock(&f->mu);
	if (!f->is_held)
		flight_wake_locked(f);
	if (f->window.is_open && f->waiters_n == 0 && !f->stream) {
		result = FLIGHT_BODY_NOBODY;
	} else if (f->window.is_open) {
		flight_move_window(f);
		if (published - f->window.low > WINDOW_BYTES) {
			f->window.is_full = true;
			result = FLIGHT_BODY_PAUSE;
		}
		if (lower_is_full) {
			f->writing.is_full = true;
			result = FLIGHT_BODY_PAUSE;
		}
	}
	pthread_mutex_unlock(&f->mu);
	if (result == FLIGHT_BODY_NOBODY)
		flight_break_off(f);
	return result;
}
