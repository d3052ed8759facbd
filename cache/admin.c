/* SPDX-License-Identifier: MIT */
/* The cache seen from outside the requests: listing, peeking, and what HEAD tells about stored responses. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/random.h"
#include "cache/flight_internal.h"

#include "cache/policy/credentials.h"
#include "cache/landing.h"
#include "cache/memory/pass.h"
#include "cache/memory/variants.h"

/* ---- Listing ---- */

#define BATCH_STEPS 32 /* while a shard is locked */
#define BATCH_OBJECTS 64

struct listed {
	struct object *object;
	uint64_t hits;
};

/* Collected under the lock, shown after it. */
struct batch {
	struct listed v[BATCH_OBJECTS];
	unsigned n, max;
	const struct object *answer; /* to the request that it is asked for; or NULL */
};

static struct object *next_variant(const struct object *o)
{
	return object_next(o) ? *object_next(o) : NULL;
}

static unsigned count_variants(const struct entry *e)
{
	unsigned n = 0;

	for (const struct object *o = e->variants; o; o = next_variant(o))
		n++;
	return n;
}

/* Of *left objects those of this entry, but for those before the last `rest`. False: there is no room for the next one. */
static bool collect(struct batch *b, const struct entry *e, unsigned *left, unsigned rest)
{
	for (struct object *o = e->variants; o; o = next_variant(o), --*left) {
		if (*left > rest || object_check(o) == PURGED_HARD)
			continue;
		if (b->n == b->max)
			return false;
		b->v[b->n++] = (struct listed){object_ref(o), o->hits};
	}
	return true;
}

/* Those of one place in the index. *rest: how many of its objects, the last, are to be told, 0: all; and then how many are left.
 * What is stored meanwhile comes before them, so none that stays is left out. */
static void collect_place(struct batch *b, const struct entry *first, struct slice prefix, unsigned *rest)
{
	unsigned left = 0;
	bool is_room = true;

	for (const struct entry *e = first; e; e = entry_next_of_hash(e))
		if (slice_starts_with(entry_url(e), prefix))
			left += count_variants(e);
	if (*rest == 0 || *rest > left)
		*rest = left;
	for (const struct entry *e = first; e && is_room; e = entry_next_of_hash(e))
		if (slice_starts_with(entry_url(e), prefix))
			is_room = collect(b, e, &left, *rest);
	*rest = left;
}

static void show(struct cache *c, struct batch *b, struct now now,
	void (*each)(const struct cache_entry_info *info, void *arg), void *arg)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct object *o = b->v[i].object;
		struct cache_entry_info info = {
			.url = object_url(o),
			.status = o->status,
			.age_ms = policy_age_ms(&o->freshness, now),
			.ttl_ms = policy_ttl_ms(&o->freshness, now),
			.body_bytes = (uint64_t)object_body_length(o),
			.total_bytes = object_total_bytes(o),
			.hits = b->v[i].hits,
			.source = (enum policy_source)o->freshness.source,
			.vary_names = object_vary_names(o),
			.user = entry_user(o->entry),
			.soft_purged = object_check(o) == PURGED_SOFT,
			.for_all = o->freshness.flags & POLICY_FOR_ALL,
			.answers = o == b->answer,
			.in_lower = lower_has(c, o),
		};

		each(&info, arg);
		object_unref(&o);
	}
	b->n = 0;
}

/* A cursor's key is a place in its shard, above the number of the place's objects that are left. */
static void collect_shard_locked(struct shard *s, struct cache_listing *l, unsigned steps, struct batch *b)
{
	uint64_t place = l->cursor.key >> 32, was = place;
	unsigned rest = (unsigned)(l->cursor.key & UINT32_MAX);

	for (; steps > 0 && b->n < b->max && place < SHARD_END; steps--) {
		const struct entry *e = shard_seek_locked(s, &place);

		l->looked++;
		if (place != was)
			rest = 0;
		if (e)
			collect_place(b, e, l->prefix, &rest);
		if (e && rest > 0)
			break;
		was = place += e != NULL;
	}
	l->cursor.key = place << 32 | rest;
	if (place == SHARD_END)
		l->cursor = (struct tier_cursor){l->cursor.shard + 1, 0};
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

void cache_list(struct cache *c, struct cache_listing *l, unsigned steps)
{
	struct batch b = {.n = 0};

	l->told = l->looked = 0;
	while (l->cursor.shard < c->memory.shards_n && l->looked < steps && l->told < l->limit) {
		struct shard *s = &c->memory.shards[l->cursor.shard];

		b.max = least(l->limit - l->told, BATCH_OBJECTS);
		pthread_mutex_lock(&s->mu);
		collect_shard_locked(s, l, least(steps - l->looked, BATCH_STEPS), &b);
		pthread_mutex_unlock(&s->mu);
		l->told += b.n;
		show(c, &b, l->now, l->each, l->arg);
	}
	if (l->cursor.shard >= c->memory.shards_n)
		l->cursor = (struct tier_cursor){TIER_CURSOR_END, 0};
}

static void list_key(struct cache *c, const struct cache_key *key, struct now now, const struct object *answer,
	void (*each)(const struct cache_entry_info *info, void *arg), void *arg)
{
	struct shard *s = memory_shard(&c->memory, key);
	struct batch b = {.max = BATCH_OBJECTS, .answer = answer};
	unsigned rest = UINT_MAX;

	while (rest > 0) {
		const struct entry *e;
		unsigned left;

		pthread_mutex_lock(&s->mu);
		e = entry_find_locked(s, key);
		left = e ? count_variants(e) : 0;
		if (e)
			(void)collect(&b, e, &left, least(rest, left));
		pthread_mutex_unlock(&s->mu);
		rest = left;
		show(c, &b, now, each, arg);
	}
}

/* ---- What purges meet ---- */

static unsigned drop_batch(struct batch *b, struct invalidation_table *asked)
{
	unsigned met = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct object *o = b->v[i].object;
		_Atomic uint64_t checked = 0;
		struct purgeable set;

		object_purgeable(o, &set);
		met += invalidation_check(asked, &set, 0, &checked) > object_check(o);
		object_unref(&o);
	}
	b->n = 0;
	return met;
}

/* From a place at random once round all shards, or as far as the bounds go. */
static void count_met(struct cache *c, struct invalidation_table *asked, struct cache_met *out)
{
	struct batch b = {.n = 0};
	struct cache_listing l = {.cursor.shard = 0};
	unsigned shards = c->memory.shards_n, first, i = 0;

	random_bytes(&first, sizeof(first));
	first %= shards;
	while (i < shards && out->looked_at < CACHE_SAMPLE_MAX && l.looked < 4 * CACHE_SAMPLE_MAX) {
		struct shard *shard = &c->memory.shards[(first + i) % shards];
		unsigned before = l.cursor.shard;

		b.max = least(CACHE_SAMPLE_MAX - out->looked_at, BATCH_OBJECTS);
		pthread_mutex_lock(&shard->mu);
		collect_shard_locked(shard, &l, BATCH_STEPS, &b);
		pthread_mutex_unlock(&shard->mu);
		out->looked_at += b.n;
		out->met += drop_batch(&b, asked);
		i += l.cursor.shard != before;
	}
	out->is_all = i == shards;
}

/* They are made in a table of their own, and what is stored is compared with that. */
int cache_count_met(struct cache *c, const struct purge *v, unsigned n, struct cache_met *out)
{
	struct invalidation_table *asked;
	uint64_t seq;
	int err = invalidation_table_new(2 * n, &asked);

	*out = (struct cache_met){0};
	if (err)
		return err;
	for (unsigned i = 0; i < n; i++) {
		struct purge at_once = v[i];

		at_once.spread = 0;
		invalidation_purge(asked, &at_once, &seq);
	}
	count_met(c, asked, out);
	invalidation_table_free(&asked);
	return 0;
}

unsigned cache_count_key(struct cache *c, const struct cache_key *key, bool soft)
{
	struct shard *s = memory_shard(&c->memory, key);
	unsigned met = 0;
	const struct entry *e;

	pthread_mutex_lock(&s->mu);
	e = entry_find_locked(s, key);
	for (struct object *o = e ? e->variants : NULL; o; o = next_variant(o))
		met += object_check(o) < (soft ? PURGED_SOFT : PURGED_HARD);
	pthread_mutex_unlock(&s->mu);
	return met;
}

/* ---- One request ---- */

/* As lookup.c chooses: the newest that serves the request. */
static struct object *see_variant_locked(
	const struct entry *e, struct vary_wants *wants, bool is_bound, struct cache_sight *out)
{
	for (struct object *o = e->variants; o; o = next_variant(o)) {
		if (object_check(o) == PURGED_HARD)
			continue;
		out->is_stored = true;
		if (!object_serves_wants(o, wants))
			continue;
		if (is_bound && !(o->freshness.flags & POLICY_FOR_ALL))
			out->is_withheld = true;
		else if (o->flags & OBJECT_IS_PARTIAL)
			out->is_part = true;
		else
			return object_ref(o);
	}
	return NULL;
}

static void see_marker_locked(struct entry *e, struct vary_wants *wants, struct now now, struct cache_sight *out)
{
	struct pass_marker *m = e->markers ? &e->markers->pass : NULL;

	if (!m || m->until_ms <= now.mono_ms || marker_is_purged_locked(e, &m->since) || !pass_covers(m, wants))
		return;
	out->passes = m->why;
	out->passes_ms = m->until_ms - now.mono_ms;
}

static void see_object(struct object *o, const struct cache_request *r, struct now now, struct cache_sight *out)
{
	struct cache_control cc;

	(void)cache_control_of(&cc, &r->http->fields);
	out->is_answer = true;
	out->freshness = o->freshness;
	out->status = o->status;
	out->is_soft_purged = object_check(o) == PURGED_SOFT;
	out->reuse = policy_reuse(&o->freshness, r->rules->client_refresh ? &cc : NULL,
		r->rules->client_refresh && policy_pragma_no_cache(&r->http->fields), out->is_soft_purged, now);
}

void cache_see(struct cache *c, const struct cache_request *r, struct now now, struct cache_sight *out,
	void (*each)(const struct cache_entry_info *info, void *arg), void *arg)
{
	struct shard *s = memory_shard(&c->memory, r->key);
	struct credentials bears = credentials_of(r->rules, &r->http->fields);
	struct object *o = NULL;
	struct vary_wants wants;
	struct entry *e;

	*out = (struct cache_sight){.passes = POLICY_STORE};
	vary_wants_init(&wants, &r->http->fields);
	pthread_mutex_lock(&s->mu);
	e = entry_find_locked(s, r->key);
	if (e) {
		o = see_variant_locked(e, &wants, credentials_bind(r->rules, &bears), out);
		see_marker_locked(e, &wants, now, out);
	}
	pthread_mutex_unlock(&s->mu);
	if (o)
		see_object(o, r, now, out);
	if (each)
		list_key(c, r->key, now, o, each, arg);
	object_unref(&o);
}

/* ---- HEAD ---- */

static struct object *find_stored(struct cache *c, const struct cache_request *r)
{
	struct shard *s = memory_shard(&c->memory, r->key);
	struct object *found = NULL;
	struct entry *e;

	pthread_mutex_lock(&s->mu);
	e = entry_find_locked(s, r->key);
	for (struct object *o = e ? e->variants : NULL; o && !found; o = next_variant(o))
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
		o = next_variant(o);
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
		next = next_variant(o);
		if (!object_serves(o, l->request) || (l->is_partial_evidence && may_be_the_same(o, status, response)))
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
	l.is_partial_evidence = status < 300 && may_be_stored(r, status, response, now);
	lower_write_begin(&written, c, NULL);
	pthread_mutex_lock(&s->mu);
	if (!landing_key_is_past_locked(c, r->key, asked->order)) {
		struct entry *e = entry_find_locked(s, r->key);

		written.tells = e && drop_superseded_locked(e, &l, status, response, &g);
		written.lands = !l.is_partial_evidence;
		/* What has left memory, or was not read yet, may be in the lower tier still. */
		if (written.tells || !l.is_partial_evidence)
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
 * which is no full response); a 2xx that may be stored may be what is in the lower tier, which nobody has looked at. */
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

	/* What is shown to a client that proved who it is says nothing about what all others are shown. */
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
	const struct landing l = {.order = landing_order(c)};
	struct shard *s = memory_shard(&c->memory, &key);
	struct garbage g = {0};
	struct lower_write written = {.was_told = true};
	struct entry *e;

	pthread_mutex_lock(&s->mu);
	e = entry_find_locked(s, &key);
	landing_key_locked(c, &key, l.order);
	if (e) {
		landing_locked(c, e, &l);
		while (e->variants)
			variant_drop_locked(e, e->variants, DROP_REPLACED, &g);
		entry_tidy_locked(e, &g);
	}
	lower_retire_key_locked(&written, c, &key);
	pthread_mutex_unlock(&s->mu);
	lower_write_end_key(&written, c, &key);
	garbage_free(&g);
}
