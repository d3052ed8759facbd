/* SPDX-License-Identifier: MIT */
/* A lookup that finds nothing of use in memory asks the lower tier before anybody asks the upstream. */
#include "cache/lookup_internal.h"

/* A forced refresh wants a new response, of a part in memory the rest is fetched, and what is withheld is there as well. */
static bool wants_lower(struct lookup *l)
{
	return l->c->tier && !l->lower_done && !l->r->skip_lower && !l->is_forced && !l->partial && !l->is_withheld;
}

/* Read from there, or on its way to it with all of its bytes: there in a moment. */
static bool is_there_soon(struct flight *f)
{
	bool has_all;

	pthread_mutex_lock(&f->mu);
	has_all = flight_has_all_locked(f);
	pthread_mutex_unlock(&f->mu);
	return f->kind == FLIGHT_READ || has_all;
}

static struct flight *find_read(struct entry *e)
{
	for (struct flight *f = e && e->markers ? e->markers->flights : NULL; f; f = f->next_of_entry)
		if (is_there_soon(f))
			return f;
	return NULL;
}

bool lookup_turn_to_lower(struct lookup *l, struct entry *e)
{
	struct flight *f;

	if (!wants_lower(l))
		return false;
	f = find_read(e);
	if (f ? l->r->hit_only : !lower_may_have(l->c, l->r->key))
		return false;
	if (f && flight_is_silent_locked(f, l->now)) {
		l->lower_done = true; /* it hangs */
		return false;
	}
	if (!f) {
		l->asks_lower = true;
	} else if (counted(&l->c->n.waiters) >= l->c->o.max_waiters) {
		count(&l->c->n.waiters_refused);
		l->out->verdict = CACHE_BUSY;
	} else {
		l->out->verdict = CACHE_LOWER;
		l->out->flight = flight_ref(f);
	}
	return true;
}

static struct flight *list_read(struct lookup *l)
{
	struct flight *f = NULL;
	struct entry *e;

	if (counted(&l->c->n.flights) >= l->c->o.max_flights || !lookup_make_spares(l))
		return NULL;
	pthread_mutex_lock(&l->shard->mu);
	e = lookup_ensure_entry(l, entry_find_locked(l->shard, l->r->key));
	if (e) {
		f = l->spare_flight;
		l->spare_flight = NULL;
		f->kind = FLIGHT_READ;
		f->started = l->now;
		f->progress_ms = l->now.mono_ms;
		f->epoch = lower_oldest_epoch(l->c);
		flight_list_locked(f, e);
		flight_ref(f);
	}
	pthread_mutex_unlock(&l->shard->mu);
	return f;
}

bool lookup_ask_lower(struct lookup *l)
{
	struct flight *f = list_read(l);
	enum flight_read v;

	l->asks_lower = false;
	l->lower_done = true;
	if (!f)
		return false;
	v = flight_read(f, l->r->key->hash, l->now);
	l->from_lower = v == FLIGHT_READ_FOUND;
	if (v == FLIGHT_READ_PENDING && !l->r->hit_only) {
		l->out->verdict = CACHE_LOWER;
		l->out->leads_read = true;
		l->out->flight = f;
		return true;
	}
	flight_unref(&f);
	return false;
}
