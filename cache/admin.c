/* SPDX-License-Identifier: MIT */
/* The cache seen from outside the requests: listing, peeking, and what HEAD tells about stored responses. */
#include <errno.h>
#include <stdlib.h>

#include "cache/flight_internal.h"

#include "cache/policy/credentials.h"
#include "cache/landing.h"

/* ---- Listing ---- */

#define WALK_MAX 1000000u
#define BATCH_BUCKETS 16

struct listed {
	struct object *object;
	uint64_t hits;
};

struct listing {
	struct slice prefix;
	unsigned seen, matched, limit;
	struct listed *v; /* collected under the lock, shown after it */
	unsigned n, cap;
	bool is_short; /* of memory: what could not be collected is only counted */
};

static void collect(struct listing *l, struct object *o)
{
	if (object_check(o) == PURGED_HARD)
		return;
	l->matched++;
	if (l->matched > l->limit || l->is_short)
		return;
	if (l->n == l->cap) {
		unsigned cap = l->cap ? 2 * l->cap : 64;
		struct listed *v = mem_realloc(l->v, cap * sizeof(*v));

		if (!v) {
			l->is_short = true;
			return;
		}
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = (struct listed){object_ref(o), o->hits};
}

static void collect_entry(struct entry *e, void *arg)
{
	struct listing *l = arg;

	l->seen++;
	if (!slice_starts_with(entry_url(e), l->prefix))
		return;
	for (struct object *o = e->variants; o; o = object_next(o) ? *object_next(o) : NULL)
		collect(l, o);
}

static void show(struct cache *c, struct listing *l, struct now now,
	void (*each)(const struct cache_entry_info *info, void *arg), void *arg)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct object *o = l->v[i].object;
		struct cache_entry_info info = {
			.url = object_url(o),
			.status = o->status,
			.age_ms = policy_age_ms(&o->freshness, now),
			.ttl_ms = policy_ttl_ms(&o->freshness, now),
			.body_bytes = (uint64_t)object_body_length(o),
			.total_bytes = object_total_bytes(o),
			.hits = l->v[i].hits,
			.source = (enum policy_source)o->freshness.source,
			.vary_names = object_vary_names(o),
			.user = entry_user(o->entry),
			.soft_purged = object_check(o) == PURGED_SOFT,
			.for_all = o->freshness.flags & POLICY_FOR_ALL,
			.on_disk = lower_has(c, o),
		};

		each(&info, arg);
		object_unref(&o);
	}
	l->n = 0;
}

unsigned cache_list(struct cache *c, struct slice prefix, unsigned limit, struct now now,
	void (*each)(const struct cache_entry_info *info, void *arg), void *arg)
{
	struct listing l = {.prefix = prefix, .limit = limit};

	for (unsigned i = 0; i < c->memory.shards_n; i++) {
		struct shard *s = &c->memory.shards[i];
		uint32_t cursor = 0;

		do {
			pthread_mutex_lock(&s->mu);
			for (unsigned k = 0; k < BATCH_BUCKETS; k++) {
				shard_walk_locked(s, &cursor, collect_entry, &l);
				if (cursor == 0)
					break;
			}
			pthread_mutex_unlock(&s->mu);
			show(c, &l, now, each, arg);
		} while (cursor != 0 && l.seen < WALK_MAX);
	}
	mem_free(l.v);
	return l.matched;
}

bool cache_peek(struct cache *c, const struct cache_key *key, struct now now,
	void (*each)(const struct cache_entry_info *info, void *arg), void *arg)
{
	struct shard *s = memory_shard(&c->memory, key);
	struct listing l = {.limit = UINT32_MAX};
	struct entry *e;

	pthread_mutex_lock(&s->mu);
	e = entry_find_locked(s, key);
	if (e)
		collect_entry(e, &l);
	pthread_mutex_unlock(&s->mu);
	show(c, &l, now, each, arg);
	mem_free(l.v);
	return l.matched > 0;
}

/* ---- HEAD ---- */

static struct object *find_stored(struct cache *c, const struct cache_request *r)
{
	struct shard *s = memory_shard(&c->memory, r->key);
	struct object *found = NULL;
	struct entry *e;

	pthread_mutex_lock(&s->mu);
	e = entry_find_locked(s, r->key);
	for (struct object *o = e ? e->variants : NULL; o && !found; o = object_next(o) ? *object_next(o) : NULL)
		if (object_check(o) != PURGED_HARD && !(o->flags & OBJECT_IS_PARTIAL) &&
			object_serves(o, &r->http->fields))
			found = object_ref(o);
	pthread_mutex_unlock(&s->mu);
	return found;
}

static bool says_the_same_length(const struct object *o, const struct http_fields *response)
{
	const struct http_field *f = http_fields_get(response, HF_CONTENT_LENGTH);
	unsigned long long n;

	return !f || !slice_to_u64(f->value, UINT64_MAX, &n) || n == (uint64_t)object_body_length(o);
}

static bool still_stored_locked(const struct entry *e, const struct object *old)
{
	const struct object *o = e->variants;

	while (o && o != old)
		o = object_next(o) ? *object_next(o) : NULL;
	return o != NULL;
}

/* `fresh` (or NULL: nothing) takes the place of `old`, if nothing newer has come. */
static void replace(struct cache *c, struct object *old, struct object *fresh, uint64_t order, struct now now)
{
	struct entry *e = old->entry;
	struct shard *s = e->shard;
	struct garbage g = {0};
	struct lower_write written;

	lower_write_begin(&written, c, fresh);
	pthread_mutex_lock(&s->mu);
	if (!landing_is_past_locked(c, e, order)) {
		bool is_there = still_stored_locked(e, old);

		landing_locked(c, e, &(struct landing){.order = order, .stored = old});
		written.tells = !fresh;
		if (is_there)
			variant_drop_locked(e, old, DROP_REPLACED, &g);
		if (!fresh)
			lower_retire_locked(&written, c, e); /* also where it has left memory meanwhile */
		else if (is_there && variant_store_locked(e, object_ref(fresh), now, &g))
			lower_write_locked(&written, c, true);
		if (is_there)
			entry_tidy_locked(e, &g);
	}
	pthread_mutex_unlock(&s->mu);
	lower_write_end(&written, c, e);
	garbage_free(&g);
	memory_trim(s);
}

/* What was passed on may be the very response that is stored, or is about to be. */
static bool may_be_the_same(const struct object *o, int status, const struct http_fields *response)
{
	return status == o->status && object_is_confirmed_by(o, response) && says_the_same_length(o, response);
}

/* By its nature; a client's own wish is about its own response. Of a request without credentials. */
static bool may_be_stored(const struct cache_request *r, int status, const struct http_fields *response, struct now now)
{
	struct http_fields nothing = {0};
	struct freshness unused;
	struct policy_exchange x = {
		.method = HTTP_GET,
		.request = &nothing,
		.status = status,
		.response = response,
		.request_time = now,
		.response_time = now,
		.rules = r->rules,
	};

	return policy_store(&x, &unused) == POLICY_STORE;
}

/* `l`: what has come; as a hint, it may be the very response that is stored. */
static bool drop_superseded_locked(
	struct entry *e, const struct landing *l, int status, const struct http_fields *response, struct garbage *g)
{
	bool any = false;

	for (struct object *o = e->variants, *next; o; o = next) {
		next = object_next(o) ? *object_next(o) : NULL;
		if (!object_serves(o, l->request) || (l->is_hint && may_be_the_same(o, status, response)))
			continue;
		variant_drop_locked(e, o, DROP_REPLACED, g);
		any = true;
	}
	return any;
}

void cache_saw_response(struct cache *c, const struct cache_request *r, const struct cache_asked *asked, int status,
	const struct http_fields *response, struct now now)
{
	struct shard *s = memory_shard(&c->memory, r->key);
	struct landing l = {.order = asked->order, .request = &r->http->fields};
	struct credentials bears = credentials_of(r->rules, &r->http->fields);
	struct garbage g = {0};
	struct lower_write written;

	if (!flight_is_full_response(status) || !r->rules->cache || credentials_are_any(&bears))
		return;
	l.validator = policy_strong_validator_of(response);
	l.is_hint = status < 300 && may_be_stored(r, status, response, now);
	lower_write_begin(&written, c, NULL);
	pthread_mutex_lock(&s->mu);
	if (!landing_key_is_past_locked(c, r->key, asked->order)) {
		struct entry *e = entry_find_locked(s, r->key);

		written.tells = e && drop_superseded_locked(e, &l, status, response, &g);
		written.lands = !l.is_hint;
		/* What has left memory, or was not read yet, may be on disk still. */
		if (written.tells || !l.is_hint)
			lower_retire_key_locked(&written, c, r->key);
		landing_key_locked(c, r->key, asked->order);
		if (e) {
			landing_locked(c, e, &l);
			entry_tidy_locked(e, &g);
		}
	}
	pthread_mutex_unlock(&s->mu);
	lower_write_end_key(&written, c, r->key);
	garbage_free(&g);
}

/* What the GET that was not asked would have been answered. Many an API has no HEAD where it has GET, and says so by 405 (and 501,
 * which is no full response); a 2xx that may be stored may be what is on disk, which nobody has looked at. */
static bool says_it_is_gone(
	const struct cache_request *r, int status, const struct http_fields *response, struct now now)
{
	if (status < 300)
		return status == 200 && !may_be_stored(r, status, response, now);
	return status != 405;
}

void cache_saw_head(struct cache *c, const struct cache_request *r, const struct cache_asked *asked, int status,
	const struct http_fields *response, struct now request_time, struct now now)
{
	struct object *old = NULL, *fresh = NULL;
	struct credentials bears = credentials_of(r->rules, &r->http->fields);
	struct refresh how = {
		.request = &r->http->fields,
		.update = response,
		.method = HTTP_GET,
		.rules = r->rules,
		.request_time = request_time,
		.response_time = now,
		.via = c->o.via,
	};

	/* What somebody is shown who proved who he is says nothing about what all others are shown. */
	if (!r->rules->cache || credentials_are_any(&bears))
		return;
	if (status == 200)
		old = find_stored(c, r);
	if (!old) {
		if (says_it_is_gone(r, status, response, now))
			cache_saw_response(c, r, asked, status, response, now);
		return;
	}
	how.epoch = object_epoch(old);
	if (old->status == 200 && object_is_confirmed_by(old, response) && says_the_same_length(old, response))
		fresh = object_refreshed(old, &how);
	replace(c, old, fresh, asked->order, now);
	object_unref(&fresh);
	object_unref(&old);
}

/* ---- What another process says ---- */

void cache_forget_as_told(struct cache *c, struct slice bytes, uint64_t user)
{
	const struct cache_key key = {
		.bytes = {.p = (char *)(uintptr_t)bytes.p, .n = bytes.n}, /* borrowed, and only read */
		.hash = hash128_of(bytes.p, bytes.n),
		.place = hash_keyed(bytes.p, bytes.n),
		.user = user,
	};
	struct shard *s = memory_shard(&c->memory, &key);
	struct garbage g = {0};
	struct lower_write written = {.was_told = true};
	struct entry *e;

	pthread_mutex_lock(&s->mu);
	e = entry_find_locked(s, &key);
	if (e) {
		landing_locked(c, e, &(struct landing){.order = landing_order(c)});
		while (e->variants)
			variant_drop_locked(e, e->variants, DROP_REPLACED, &g);
		entry_tidy_locked(e, &g);
	}
	lower_retire_key_locked(&written, c, &key);
	pthread_mutex_unlock(&s->mu);
	lower_write_end_key(&written, c, &key);
	garbage_free(&g);
}
