/* SPDX-License-Identifier: MIT */
/* The sweeper: what has expired, was purged or lies idle goes, in turns of a few steps; and which invalidation rules nobody
 * needs any more. */
#include <limits.h>

#include "cache/flight_internal.h"
#include "cache/lower.h"
#include "cache/memory/move.h"

#define BATCH_BUCKETS 16 /* looked at under one lock */

/* ---- Holding ---- */

void cache_hold_begin(struct cache *c, struct cache_hold *h)
{
	pthread_mutex_lock(&c->holds_mu);
	h->asked = cache_ask(c);
	link_append(&c->holds, &h->link);
	pthread_mutex_unlock(&c->holds_mu);
}

void cache_hold_end(struct cache *c, struct cache_hold *h)
{
	pthread_mutex_lock(&c->holds_mu);
	link_remove(&h->link);
	pthread_mutex_unlock(&c->holds_mu);
}

/* The first: those after it have asked no earlier, and what is held later than this look has no lower number. */
static uint64_t oldest_held(struct cache *c)
{
	uint64_t oldest;

	pthread_mutex_lock(&c->holds_mu);
	oldest = link_is_empty(&c->holds) ? invalidation_now(c->invalidation)
					  : CONTAINER_OF(c->holds.next, struct cache_hold, link)->asked.sequence;
	pthread_mutex_unlock(&c->holds_mu);
	return oldest;
}

/* ---- Sweeping ---- */

struct sweep {
	struct cache *c;
	struct now now;
	struct cache_swept did;
	struct garbage garbage;
};

/* What it says counts for the requests that were sent meanwhile, too. */
static void drop_outdated_marker(struct entry *e, struct now now, struct garbage *g)
{
	struct markers *n = e->markers;
	bool counts = false;

	if (!n)
		return;
	for (unsigned i = 0; i < FAILED_KINDS; i++) {
		struct failure_marker *m = &n->failed[i];

		if (m->until_ms <= now.mono_ms)
			marker_keep_response_locked(n, m, NULL, g);
		counts = counts || m->until_ms > now.mono_ms || m->trouble_until_ms > now.mono_ms;
	}
	if (n->is_marked && !counts && !n->flights && n->pass.until_ms <= now.mono_ms &&
		n->heads.until_ms <= now.mono_ms && n->rest_until_ms <= now.mono_ms)
		marker_clear_locked(n, g);
}

static void sweep_out(struct sweep *w, struct entry *e, struct object *o, enum drop_reason why)
{
	variant_drop_locked(e, o, why, &w->garbage);
	w->did.gone++;
}

/* An error that is remembered is a response like those stored: a purge of it must not be forgotten while it is there. */
static void sweep_error(struct sweep *w, struct failure_marker *m)
{
	if (!m->response)
		return;
	if (object_check(m->response) != NOT_PURGED)
		m->until_ms = 0;
	else if (object_epoch(m->response) < w->c->sweep_oldest)
		w->c->sweep_oldest = object_epoch(m->response);
}

/* Nor a purge of a marker. */
static void sweep_marker(struct sweep *w, const struct entry *e, int64_t *until_ms, struct marker_epoch *since)
{
	if (*until_ms <= w->now.mono_ms)
		return;
	if (marker_is_purged_locked(e, since))
		*until_ms = 0;
	else if (since->epoch < w->c->sweep_oldest)
		w->c->sweep_oldest = since->epoch;
}

static void sweep_markers(struct sweep *w, struct entry *e)
{
	struct markers *n = e->markers;

	if (!n)
		return;
	sweep_marker(w, e, &n->pass.until_ms, &n->pass.since);
	sweep_marker(w, e, &n->heads.until_ms, &n->heads.since);
	sweep_marker(w, e, &n->rest_until_ms, &n->rest_since);
	for (struct failure_marker *m = n->failed; m < n->failed + FAILED_KINDS; m++) {
		sweep_error(w, m);
		sweep_marker(w, e, &m->until_ms, &m->since);
		sweep_marker(w, e, &m->trouble_until_ms, &m->since);
	}
}

/* In each round it is looked at once: it counts in the first that began after the purge. */
static void note_soft(struct sweep *w, const struct object *o)
{
	struct purgeable set;
	uint64_t by;

	if (!w->c->o.on_met)
		return;
	object_purgeable(o, &set);
	by = invalidation_purged_by(w->c->invalidation, &set, object_epoch(o));
	if (by > w->c->sweep_seq[1] && by <= w->c->sweep_seq[0])
		w->c->o.on_met(w->c->o.on_met_arg, by);
}

static void sweep_entry(struct entry *e, void *arg)
{
	struct sweep *w = arg;
	bool is_idle = entry_is_idle_locked(e, w->now);
	struct object *next;

	w->did.looked++;
	for (struct object *o = e->variants; o; o = next) {
		enum purge_state state = object_check(o);

		next = object_next(o) ? *object_next(o) : NULL;
		if (state == PURGED_HARD) {
			cache_met_locked(w->c, o);
			sweep_out(w, e, o, DROP_PURGED);
			continue;
		}
		if (state == PURGED_SOFT)
			note_soft(w, o);
		/* What leaves memory for the lower tier counts too: it may have been written since the round began. */
		if (object_epoch(o) < w->c->sweep_oldest)
			w->c->sweep_oldest = object_epoch(o);
		if (is_idle && lower_has(w->c, o))
			sweep_out(w, e, o, DROP_IDLE);
	}
	sweep_markers(w, e);
	drop_outdated_marker(e, w->now, &w->garbage);
	e = entry_move_locked(e, &w->garbage);
	entry_tidy_locked(e, &w->garbage);
}

static void sweep_flight_locked(struct sweep *w, struct flight *f)
{
	if (f->is_shared || f->kind == FLIGHT_READ)
		(void)flight_is_silent_locked(f, w->now);
	flight_check_stall_locked(f, w->now);
	if (f->epoch < w->c->sweep_oldest)
		w->c->sweep_oldest = f->epoch;
}

#define FLIGHTS_EVERY_MS 100
#define FLIGHTS_BATCH 64 /* looked at under one lock */
#define FLIGHTS_TURN 256 /* flights and shards that are looked at in one turn, of all */

/* Each that is looked at goes to the end, so that those who were there when the shard's turn came are in front. */
static unsigned sweep_flights_of(struct sweep *w, struct shard *s)
{
	unsigned *left = &w->c->sweep_flights_of, n = 0;

	pthread_mutex_lock(&s->mu);
	if (*left > s->flights_n)
		*left = s->flights_n;
	for (; *left > 0 && n < FLIGHTS_BATCH; n++, --*left) {
		struct link *first = link_take_first(&s->flights);

		link_append(&s->flights, first);
		sweep_flight_locked(w, CONTAINER_OF(first, struct flight, of_shard));
	}
	pthread_mutex_unlock(&s->mu);
	return n;
}

static void begin_flights(struct cache *c, struct now now)
{
	c->sweep_flights_ms = now.mono_ms;
	c->sweep_flights_left = c->memory.shards_n;
	c->sweep_flights_of = UINT_MAX;
}

/* A part of them in each turn: leaders that fell silent are found in time. */
static void sweep_flights(struct sweep *w)
{
	struct cache *c = w->c;
	unsigned looked = 0;

	if (c->sweep_flights_left == 0 && w->now.mono_ms - c->sweep_flights_ms >= FLIGHTS_EVERY_MS)
		begin_flights(c, w->now);
	while (c->sweep_flights_left > 0 && looked < FLIGHTS_TURN) {
		looked += 1 + sweep_flights_of(w, &c->memory.shards[c->sweep_flights_shard]);
		if (c->sweep_flights_of > 0)
			continue;
		c->sweep_flights_shard = (c->sweep_flights_shard + 1) & (c->memory.shards_n - 1);
		c->sweep_flights_left--;
		c->sweep_flights_of = UINT_MAX;
	}
	w->did.flights = looked;
}

static unsigned sweep_due_of(struct sweep *w, struct shard *s, unsigned max)
{
	unsigned n;

	pthread_mutex_lock(&s->mu);
	n = shard_expire_locked(s, w->now.mono_ms, max < SWEEP_BATCH ? max : SWEEP_BATCH, &w->garbage);
	pthread_mutex_unlock(&s->mu);
	garbage_free(&w->garbage);
	return n;
}

/* Shard by shard, a batch of each at a time, until none has any that are due. */
static void sweep_due(struct sweep *w, unsigned max_steps)
{
	struct cache *c = w->c;
	unsigned without = 0, steps = 0;

	while (without < c->memory.shards_n && steps < max_steps) {
		unsigned n = sweep_due_of(w, &c->memory.shards[c->sweep_due_shard], max_steps - steps);

		c->sweep_due_shard = (c->sweep_due_shard + 1) & (c->memory.shards_n - 1);
		steps += n;
		without = n == 0 ? without + 1 : 0;
	}
	w->did.gone += steps;
	w->did.is_behind = steps >= max_steps;
}

/* A round sees all flights, then all entries. What was under way when it began it has seen as a flight, or, if that ended before it was
 * its turn, as an entry; or on its way to the lower tier, or there, when it had seen the flights. */
static void begin_round(struct cache *c, struct now now)
{
	c->sweep_oldest = oldest_held(c);
	c->sweep_lower_oldest = lower_oldest_epoch(c);
	c->sweep_seq[1] = c->sweep_seq[0];
	c->sweep_seq[0] = invalidation_now(c->invalidation);
	c->sweep_sees_flights = true;
	begin_flights(c, now);
}

static void end_flights(struct cache *c)
{
	uint64_t oldest = lower_oldest_epoch(c);

	if (oldest < c->sweep_lower_oldest)
		c->sweep_lower_oldest = oldest;
	c->sweep_sees_flights = false;
}

/* A round over all entries has ended. What was stored behind the sweeper's back came from a flight or under
 * a hold that was seen, or from one that began in this round, so nothing is older than what was noted. What was read from
 * the lower tier came from a flight that was seen, or is of what was there when the round began, or later. */
static void end_round(struct cache *c)
{
	uint64_t oldest = c->sweep_oldest;

	if (c->tier && c->sweep_lower_oldest < oldest)
		oldest = c->sweep_lower_oldest;
	/* What the round before has found goes first: who begins again and again may never end. */
	if (c->sweep_retire == 0)
		c->sweep_retire = oldest;
	c->sweep_oldest = 0;
}

#define RETIRE_SLOTS 2048 /* in one turn */

static void sweep_rules(struct cache *c)
{
	if (c->sweep_retire > 0 && invalidation_retire(c->invalidation, c->sweep_retire, RETIRE_SLOTS))
		c->sweep_retire = 0;
}

/* One batch of buckets; false when the round has ended. A bucket counts like an entry: in a table that much was taken out of,
 * most are empty. */
static bool sweep_on(struct sweep *w, unsigned *buckets)
{
	struct cache *c = w->c;
	struct shard *s = &c->memory.shards[c->sweep_shard];

	pthread_mutex_lock(&s->mu);
	for (unsigned k = 0; k < BATCH_BUCKETS; k++) {
		shard_walk_locked(s, &c->sweep_cursor, sweep_entry, w);
		++*buckets;
		if (c->sweep_cursor == 0)
			break;
	}
	pthread_mutex_unlock(&s->mu);
	garbage_free(&w->garbage);
	if (c->sweep_cursor == 0)
		c->sweep_shard = (c->sweep_shard + 1) & (c->memory.shards_n - 1);
	return c->sweep_cursor != 0 || c->sweep_shard != 0;
}

/* To look on at once costs, for each that goes, no more than so many that are looked at for nothing. */
#define WORTH_LOOKING 64

/* After a purge of much, nearly every entry that is looked at goes: then it is done quickly; also where rules of many purges
 * would go at its end. Else a round takes its time. */
static void sweep_round(struct sweep *w, unsigned max_steps)
{
	unsigned gone = w->did.gone, buckets = 0;

	while (w->did.looked < max_steps && buckets < max_steps && !w->did.has_seen_all)
		w->did.has_seen_all = !sweep_on(w, &buckets);
	if (w->did.has_seen_all)
		end_round(w->c);
	else if ((w->did.gone > gone && (w->did.gone - gone) * WORTH_LOOKING >= w->did.looked) ||
		 invalidation_has_grown(w->c->invalidation))
		w->did.is_behind = true;
	w->did.looked += buckets;
}

struct cache_swept cache_sweep(struct cache *c, unsigned max_steps, struct now now)
{
	struct sweep w = {.c = c, .now = now};
	bool round_begins = c->sweep_oldest == 0, is_unsettled;

	memory_tick(&c->memory, now);
	sweep_rules(c);
	invalidation_end_spreads(c->invalidation, now);
	if (round_begins)
		begin_round(c, now);
	is_unsettled = memory_compact(&c->memory, round_begins);
	sweep_flights(&w);
	if (c->sweep_sees_flights && c->sweep_flights_left == 0)
		end_flights(c);
	sweep_due(&w, max_steps);
	if (!c->sweep_sees_flights)
		sweep_round(&w, max_steps);
	w.did.is_behind = w.did.is_behind || is_unsettled || c->sweep_flights_left > 0;
	return w.did;
}
