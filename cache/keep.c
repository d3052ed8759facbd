/* SPDX-License-Identifier: MIT */
/* What responses that went to one client alone leave behind for others. */
#include "cache/landing.h"
#include "cache/policy/credentials.h"
#include "cache/policy/form.h"

uint64_t cache_sequence(const struct cache *c)
{
	return invalidation_now(c->invalidation);
}

struct cache_asked cache_ask(struct cache *c)
{
	return (struct cache_asked){invalidation_now(c->invalidation), landing_order(c)};
}

bool cache_was_purged(const struct cache *c, struct slice url, uint64_t sequence)
{
	struct purgeable set = {.url = url};
	_Atomic uint64_t checked = sequence;

	return invalidation_check(c->invalidation, &set, sequence, &checked) != NOT_PURGED;
}

/* Everything that the entry takes is made before, so that nothing is allocated under the lock. */
static struct entry *ensure_entry_locked(
	struct shard *s, const struct cache_key *key, struct entry **spare_entry, struct markers **spare_markers)
{
	struct entry *e = entry_find_locked(s, key);

	if (!e) {
		if (entry_link_locked(s, *spare_entry) != 0)
			return NULL;
		e = *spare_entry;
		*spare_entry = NULL;
	}
	if (!e->markers) {
		e->markers = *spare_markers;
		e->markers->entry = e;
		*spare_markers = NULL;
	}
	return e;
}

static bool list_alone(struct flight *f, struct shard *s, const struct cache_key *key)
{
	struct entry *spare_entry = entry_new(s, key), *e = NULL;
	struct markers *spare_markers = markers_new(s);

	if (spare_entry && spare_markers) {
		pthread_mutex_lock(&s->mu);
		e = ensure_entry_locked(s, key, &spare_entry, &spare_markers);
		if (e) {
			f->is_late = landing_is_past_locked(f->cache, e, f->order);
			flight_list_locked(f, e);
		}
		pthread_mutex_unlock(&s->mu);
	}
	if (spare_markers)
		memory_give(s, spare_markers);
	entry_unref(&spare_entry);
	return e != NULL;
}

static struct flight *new_alone(
	struct cache *c, const struct cache_request *r, const struct cache_asked *asked, struct now now)
{
	struct flight *f;

	if (!r->rules->cache || counted(&c->n.flights) >= c->o.max_flights)
		return NULL;
	f = flight_new(c, r);
	if (!f)
		return NULL;
	f->kind = FLIGHT_KEPT;
	f->started = now;
	f->progress_ms = now.mono_ms;
	f->epoch = asked->sequence;
	f->order = asked->order;
	atomic_init(&f->checked, asked->sequence);
	return f;
}

/* Its lists have a reference of their own, as with a flight that is led. NULL: there is no room. */
static struct flight *listed(struct flight *f, const struct cache_request *r)
{
	if (f && !list_alone(f, memory_shard(&f->cache->memory, r->key), r->key))
		flight_unref(&f);
	return f ? flight_ref(f) : NULL;
}

struct flight *cache_keep(
	struct cache *c, const struct cache_request *r, const struct cache_asked *asked, struct now now)
{
	return listed(new_alone(c, r, asked, now), r);
}

/* ---- How requests that passed ended ---- */

static enum failure_kind kind_of(const struct cache_request *r)
{
	if (r->http->method == HTTP_HEAD)
		return FAILED_HEADS;
	return form_has_own(&r->http->fields) ? FAILED_OWN : FAILED_PLAIN;
}

static void note_success(struct cache *c, const struct cache_request *r)
{
	struct shard *s = memory_shard(&c->memory, r->key);
	struct garbage g = {0};
	struct entry *e;

	pthread_mutex_lock(&s->mu);
	e = entry_find_locked(s, r->key);
	if (e && e->markers)
		marker_clear_failure_locked(e->markers, kind_of(r), &g);
	pthread_mutex_unlock(&s->mu);
	garbage_free(&g);
}

static void note_failure(
	struct cache *c, const struct cache_request *r, const struct cache_asked *asked, const struct cache_passed *p)
{
	struct flight *f = new_alone(c, r, asked, p->request_time);
	struct flight_response a = {.status = p->status,
		.fields = p->response,
		.content_length = -1,
		.request_time = p->request_time,
		.now = p->now};

	if (!f)
		return;
	f->may_fail = true;
	f->cause = p->cause;
	f->fails_as = kind_of(r);
	f->form = form_of_passed(r->rules, &r->http->fields);
	f = listed(f, r);
	if (!f)
		return;
	flight_finish(f, &(struct ending){.phase = FLIGHT_FAILED,
				 .status = p->status,
				 .said = p->response ? p->status : 0,
				 .marks_failure = !p->response || flight_befalls_others(f, &a),
				 .shows_trouble = p->response != NULL,
				 .befalls_all = p->befalls_all,
				 .now = p->now});
	flight_unref(&f);
}

/* A body of which the key knows nothing may be the cause, and is in no form. */
static bool has_own_body(const struct cache_request *r)
{
	return r->http->framing != HTTP_BODY_NONE && !cache_takes_method(r->rules, r->http->method);
}

void cache_saw_passed(
	struct cache *c, const struct cache_request *r, const struct cache_asked *asked, const struct cache_passed *p)
{
	struct credentials bears = credentials_of(r->rules, &r->http->fields);

	if (!r->rules->cache || has_own_body(r) || credentials_are_any(&bears))
		return;
	if (p->status < 500 && p->status != 429)
		note_success(c, r);
	else
		note_failure(c, r, asked, p);
}
