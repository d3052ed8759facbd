/* SPDX-License-Identifier: MIT */
/* What becomes of a request: used, joined, led or passed (the walk of RFC 9111 4 with coalescing in it). */
#include "cache/lookup_internal.h"

#include "cache/policy/credentials.h"
#include "cache/policy/form.h"
#include "cache/landing.h"
#include "cache/memory/pass.h"
#include "cache/memory/variants.h"
#include "cache/policy/vary.h"

static bool is_cacheable_method(const struct cache_rules *rules, enum http_method m)
{
	return m == HTTP_GET || m == HTTP_HEAD || cache_takes_method(rules, m);
}

static void pass(struct lookup *l, enum cache_forward forward, enum policy_store why)
{
	l->out->verdict = CACHE_PASS;
	l->out->forward = forward;
	l->out->why = why;
}

/* Each goes by itself, and nothing of its response is stored. */
static void pass_without_room(struct lookup *l)
{
	count(&l->c->n.refused_memory);
	pass(l, CACHE_FWD_MISS, POLICY_NOT_NO_ROOM);
}

/* Why it passes, whatever is stored; POLICY_STORE: it need not. */
static enum policy_store reason_to_pass(const struct cache_request *r)
{
	const struct http_request *http = r->http;

	if (!r->rules->cache)
		return POLICY_NOT_ROUTE;
	if (!is_cacheable_method(r->rules, http->method))
		return POLICY_NOT_METHOD;
	/* Content in a GET has no meaning (RFC 9110 9.3.1), yet it may change the response. */
	if ((http->method == HTTP_GET || http->method == HTTP_HEAD) && http->framing != HTTP_BODY_NONE)
		return POLICY_NOT_CONTENT;
	return POLICY_STORE;
}

/* Most requests have no Cache-Control, and filling in a struct of that size is a good part of what a hit costs. */
static const struct cache_control *directives_of(const struct http_fields *request, struct cache_control *storage)
{
	if (!http_fields_get(request, HF_CACHE_CONTROL))
		return &cache_control_none;
	(void)cache_control_of(storage, request);
	return storage;
}

/* False: it passes. `storage` must live as long as l. */
static bool prepare(struct lookup *l, struct cache_control *storage)
{
	const struct cache_control *cc;
	const struct http_request *http = l->r->http;
	const struct cache_rules *rules = l->r->rules;
	struct credentials bears;

	*l->out = (struct cache_result){.verdict = CACHE_PASS, .why = reason_to_pass(l->r)};
	if (l->out->why != POLICY_STORE) {
		l->out->forward = l->out->why == POLICY_NOT_METHOD ? CACHE_FWD_METHOD : CACHE_FWD_BYPASS;
		return false;
	}
	memory_tick(&l->c->memory, l->now);
	cc = directives_of(&http->fields, storage);
	/* Honoured on every route: it can only spare the origin a request. */
	l->only_if_cached = cc->only_if_cached || l->r->only_stored;
	if (rules->client_refresh) {
		l->client_cc = cc;
		l->pragma_no_cache = policy_pragma_no_cache(&http->fields);
	}
	l->is_head = http->method == HTTP_HEAD;
	/* RFC 9110 14.2: of a HEAD it means nothing. */
	l->is_range = !l->is_head && http_fields_get(&http->fields, HF_RANGE);
	l->is_for_origin = policy_is_for_origin(&http->fields);
	if (l->is_for_origin && l->only_if_cached) {
		l->out->forward = CACHE_FWD_REQUEST;
		l->out->verdict = CACHE_ONLY_CACHED;
		return false;
	}
	/* no-store of a request keeps its response from being stored, which must not be made others' fate. */
	bears = credentials_of(rules, &http->fields);
	l->has_credential = credentials_bind(rules, &bears);
	l->is_alone = l->r->no_join || l->has_credential || (l->client_cc && cc->no_store);
	l->shard = memory_shard(&l->c->memory, l->r->key);
	return true;
}

/* ---- Variants ---- */

static void drop_purged_locked(struct lookup *l, struct entry *e, struct object *o)
{
	cache_met_locked(l->c, o);
	variant_drop_locked(e, o, DROP_PURGED, &l->garbage);
}

/* May the request have it at all, if it serves it? What can't be used any more goes. */
static inline bool is_usable(struct lookup *l, struct entry *e, struct object *o, bool *is_soft)
{
	enum purge_state state = object_check(o);

	if (state == PURGED_HARD) {
		if (!l->r->hit_only)
			drop_purged_locked(l, e, o);
		return false;
	}
	if (object_body_is_in_lower(o) && !lower_has_body(l->c, o)) {
		if (!l->r->hit_only)
			variant_drop_locked(e, o, DROP_REPLACED, &l->garbage);
		return false;
	}
	if (l->has_credential && !(o->freshness.flags & POLICY_FOR_ALL)) {
		l->is_withheld = l->is_withheld || object_serves_wants(o, l->wants);
		return false;
	}
	if (!lookup_part_serves(l, o)) {
		if (state == NOT_PURGED && object_serves_wants(o, l->wants))
			l->partial = o;
		return false;
	}
	*is_soft = state == PURGED_SOFT;
	return true;
}

/* Where there is an index of them: as select_variant. */
static struct object *select_indexed(struct lookup *l, struct entry *e, bool *is_soft, bool *any)
{
	struct variant_seek seek;
	struct object *o;

	variants_seek_locked(e, l->wants, &seek);
	while ((o = variants_next_locked(e, &seek))) {
		if (!is_usable(l, e, o, is_soft))
			continue;
		*any = true;
		if (object_serves_wants(o, l->wants))
			return o;
	}
	o = e->variants;
	for (struct object *next; o && !*any; o = next) {
		next = object_next(o) ? *object_next(o) : NULL;
		*any = is_usable(l, e, o, is_soft);
	}
	return NULL;
}

/* The newest that serves the request and is not purged. *any: something is stored for the key. */
static struct object *select_variant(struct lookup *l, struct entry *e, bool *is_soft, bool *any)
{
	struct object *o = e->variants, *next;

	if (variants_have_index(e))
		return select_indexed(l, e, is_soft, any);
	for (; o; o = next) {
		next = object_next(o) ? *object_next(o) : NULL;
		if (!is_usable(l, e, o, is_soft))
			continue;
		*any = true;
		if (object_serves_wants(o, l->wants))
			return o;
	}
	return NULL;
}

/* ---- Leading ---- */

/* False: it needs spares first. */
static bool lead(struct lookup *l, struct entry *e, struct object *stored, bool is_background, bool is_alone)
{
	struct flight *f = l->spare_flight;

	if (counted(&l->c->n.flights) >= l->c->o.max_flights) {
		count(&l->c->n.flights_refused);
		if (!is_background)
			l->out->verdict = CACHE_BUSY;
		return true;
	}
	if (!f)
		return false;
	e = lookup_ensure_entry(l, e);
	if (!e) {
		pass_without_room(l);
		return true;
	}
	l->spare_flight = NULL;
	f->is_shared = !is_alone && l->c->o.coalesce;
	f->kind = is_background ? FLIGHT_BACKGROUND : l->is_head ? FLIGHT_HEAD : FLIGHT_FETCH;
	f->may_mark = !l->is_alone;
	f->may_fail = !l->has_credential;
	f->fails_as = l->is_head ? FAILED_HEADS : FAILED_PLAIN;
	f->is_forced = l->is_forced;
	f->is_fill = l->is_fill;
	f->is_for_parts = l->is_range && !lookup_is_whole(stored);
	f->started = l->now;
	f->progress_ms = l->now.mono_ms;
	f->epoch = invalidation_now(l->c->invalidation); /* before anything is asked */
	f->order = landing_order(l->c);
	atomic_init(&f->checked, f->epoch);
	if (!stored && lookup_has_use_of_tail(l)) {
		f->kind = FLIGHT_TAIL;
		stored = l->partial;
	}
	f->stored = stored ? object_ref(stored) : NULL;
	flight_list_locked(f, e);
	if (!is_background)
		l->out->verdict = CACHE_LEAD;
	l->out->flight = flight_ref(f);
	return true;
}

/* ---- The decision ---- */

static void use(struct lookup *l, struct entry *e, struct object *o, enum cache_verdict verdict)
{
	l->out->verdict = verdict;
	l->out->from_lower = l->from_lower;
	l->out->object = object_ref(o);
	o->hits += !l->r->only_stored;
	entry_touch_locked(e, l->now);
}

/* A failure a moment ago that would befall this request too. `own`: of those with a range or a condition of their own. */
static bool befalls(struct lookup *l, const struct entry *e, struct failure_marker *m, bool own)
{
	uint64_t form;

	if (m->until_ms <= l->now.mono_ms || marker_is_purged_locked(e, &m->since))
		return false;
	/* Of a whole that breaks off a part or the head may be had; and another one may come to a credential. */
	if (m->is_cut && (l->is_head || l->is_range || l->has_credential))
		return false;
	if (own && !form_has_own(&l->r->http->fields))
		return false;
	/* That there are too many requests is said to one client, and not of the origin. */
	if (m->form == FORM_PLAIN && m->by != 429)
		return true;
	form = form_of(l->r->rules, &l->r->http->fields);
	return m->form == form || m->form == form_of_passed(l->r->rules, &l->r->http->fields);
}

static bool is_failing(struct lookup *l, const struct entry *e)
{
	return e->markers && befalls(l, e, &e->markers->failed[FAILED_PLAIN], false);
}

/* Would a refresh in the background be in vain? */
static bool is_resting(struct lookup *l, const struct entry *e)
{
	struct markers *n = e->markers;

	return (n && n->rest_until_ms > l->now.mono_ms && !marker_is_purged_locked(e, &n->rest_since)) ||
	       is_failing(l, e);
}

static bool tell_failure(
	struct lookup *l, struct entry *e, const struct failure_marker *m, struct object *o, bool is_soft)
{
	if (o && policy_stale_if_error(&o->freshness, m->by, is_soft, l->now)) {
		use(l, e, o, CACHE_STALE);
		return true;
	}
	/* Who bears a credential may be answered otherwise. */
	if (m->was_once || (m->by && l->has_credential))
		return false;
	if (m->response && (object_check(m->response) != NOT_PURGED || !object_serves_wants(m->response, l->wants)))
		return false;
	l->out->verdict = CACHE_FAILED;
	l->out->status = m->status;
	l->out->cause = m->cause;
	l->out->object = m->response ? object_ref(m->response) : NULL;
	return true;
}

static bool use_failure_of(struct lookup *l, struct entry *e, enum failure_kind kind, struct object *o, bool is_soft)
{
	struct failure_marker *m = e && e->markers && !l->is_forced ? &e->markers->failed[kind] : NULL;

	return m && befalls(l, e, m, kind == FAILED_OWN) && tell_failure(l, e, m, o, is_soft);
}

static bool use_failure(struct lookup *l, struct entry *e, struct object *o, bool is_soft)
{
	return use_failure_of(l, e, FAILED_PLAIN, o, is_soft) ||
	       (l->is_head && use_failure_of(l, e, FAILED_HEADS, o, is_soft));
}

/* It goes by itself, unless its like have failed. */
static void pass_unless_failing(struct lookup *l, struct entry *e, struct object *o, bool is_soft,
	enum cache_forward forward, enum policy_store why)
{
	if (l->is_head || !use_failure_of(l, e, FAILED_OWN, o, is_soft))
		pass(l, forward, why);
}

/* Until a purge: what is answered after it may be for all. */
static bool is_covered(const struct lookup *l, struct entry *e, struct pass_marker *m)
{
	return m->until_ms > l->now.mono_ms && !marker_is_purged_locked(e, &m->since) && pass_covers(m, l->wants);
}

static bool is_passing(const struct lookup *l, struct entry *e)
{
	return e->markers && is_covered(l, e, &e->markers->pass);
}

/* Known uncacheable: alone. Once a second one of them finds out whether that is still so; and, while a part is stored for
 * it (which says nothing of the whole), each of them, as its response may retire that. What is stored whole was for sharing, and
 * a response that is not would have retired it: those who find it stale wait for each other. */
static bool passes_by_marker(
	struct lookup *l, struct entry *e, const struct object *stored, bool *is_probe, enum policy_store *why)
{
	bool finds_out = !l->is_alone && !l->is_range && !policy_has_condition(&l->r->http->fields);
	struct pass_marker *m = NULL;

	if (!e || !e->markers || l->is_forced || lookup_is_whole(stored))
		return false;
	if (is_passing(l, e)) {
		m = &e->markers->pass;
		finds_out = finds_out && !l->is_head;
	} else if (l->is_head && is_covered(l, e, &e->markers->heads)) {
		m = &e->markers->heads;
	} else {
		return false;
	}
	/* Whoever has a condition may be spared a transfer by it, and who wants a part most of one: that others can't share the
	 * response is found out by others. */
	*is_probe = stored || (finds_out && l->now.mono_ms >= m->probe_at_ms);
	if (*is_probe && l->spare_flight)
		m->probe_at_ms = l->now.mono_ms + 1000;
	*why = m->why;
	return !*is_probe;
}

/* A HEAD speaks for other HEADs. What it says about what is stored is only listened to where it goes alone. */
static bool leads(const struct lookup *l, const struct object *o)
{
	return l->is_head ? !l->is_alone && !l->is_forced && !o && !l->partial && !l->is_withheld
			  : lookup_leads_to_whole(l, o);
}

/* Nothing that could be used as it is. False: it needs spares. */
static bool decide_fetch(struct lookup *l, struct entry *e, struct object *o, bool is_soft)
{
	bool is_probe = false;
	enum policy_store why;
	struct flight *f;

	if (l->only_if_cached) {
		l->out->verdict = CACHE_ONLY_CACHED;
		return true;
	}
	if (use_failure(l, e, o, is_soft))
		return true;
	/* What was sent before somebody asked for a new response is not it. */
	f = l->is_alone || (l->is_forced && !l->is_fill) || !lookup_waits_for_whole(l, o) ? NULL
											  : lookup_find_flight(l, e);
	if (f) {
		lookup_join(l, f);
		return true;
	}
	l->out->whole_comes = lookup_is_whole_coming(e);
	if (!leads(l, o)) {
		pass_unless_failing(l, e, o, is_soft, l->out->forward, l->is_head ? POLICY_NOT_HEAD : POLICY_NOT_RANGE);
		return true;
	}
	if (!l->is_forced && lookup_is_being_streamed(l, e)) {
		pass_unless_failing(l, e, o, is_soft, l->out->forward, POLICY_NOT_STREAMED);
		return true;
	}
	if (passes_by_marker(l, e, o, &is_probe, &why)) {
		pass_unless_failing(l, e, o, is_soft, CACHE_FWD_MISS, why);
		return true;
	}
	return lead(l, e, o, false, l->is_alone || is_probe);
}

/* Does a fresh response come so near to its end, and is it asked for so often, that a new one should be fetched already? */
static bool wants_new_one(struct lookup *l, struct entry *e, const struct object *o)
{
	const struct cache_rules *rules = l->r->rules;
	const struct freshness *f = &o->freshness;
	int64_t ahead_ms = rules->refresh_ahead.ms;

	if (rules->refresh_ahead.percent > 0)
		ahead_ms = (f->lifetime_ms - f->initial_age_ms) * rules->refresh_ahead.percent / 100;
	if (ahead_ms <= 0 || policy_ttl_ms(f, l->now) > ahead_ms || o->hits < rules->refresh_ahead_hits)
		return false;
	if (l->is_alone || l->is_head || !lookup_leads_to_whole(l, o) || l->only_if_cached || l->r->spare_upstream)
		return false;
	if (is_resting(l, e) || is_passing(l, e))
		return false;
	return !lookup_is_being_fetched(l, e, o);
}

/* False: it needs spares. */
static bool use_fresh(struct lookup *l, struct entry *e, struct object *o)
{
	l->out->forward = CACHE_FWD_NONE;
	if (wants_new_one(l, e, o)) {
		if (l->r->hit_only) { /* nobody there to lead */
			pass(l, CACHE_FWD_NONE, POLICY_STORE);
			return true;
		}
		if (!lead(l, e, o, true, false))
			return false;
	}
	use(l, e, o, CACHE_HIT);
	return true;
}

/* Answers without a fetch, if it may. Of a client's wishes only those count that cost the upstream nothing. */
static bool use_spared(struct lookup *l, struct entry *e, struct object *o, bool is_soft)
{
	bool is_fresh = policy_reuse(&o->freshness, NULL, false, is_soft, l->now).use == POLICY_FRESH;

	if (!l->r->spare_upstream || l->is_forced || l->r->hit_only ||
		(!is_fresh && !policy_stale_if_spared(&o->freshness, l->now)))
		return false;
	l->out->forward = is_fresh ? CACHE_FWD_NONE : CACHE_FWD_STALE;
	use(l, e, o, is_fresh ? CACHE_HIT : CACHE_STALE);
	return true;
}

static bool decide_stored(struct lookup *l, struct entry *e, struct object *o, bool is_soft)
{
	struct policy_reuse reuse = policy_reuse(&o->freshness, l->client_cc, l->pragma_no_cache, is_soft, l->now);

	if (l->is_forced)
		reuse = (struct policy_reuse){POLICY_VALIDATE, true};
	if (use_spared(l, e, o, is_soft))
		return true;
	l->out->forward = reuse.by_request ? CACHE_FWD_REQUEST : CACHE_FWD_STALE;
	if (reuse.use == POLICY_FRESH)
		return use_fresh(l, e, o);
	if (l->r->hit_only) {
		pass(l, l->out->forward, POLICY_STORE);
		return true;
	}
	if (reuse.use == POLICY_VALIDATE)
		return decide_fetch(l, e, o, is_soft);
	if (reuse.use == POLICY_STALE_WHILE_REVALIDATE && !l->only_if_cached && !l->is_head &&
		lookup_leads_to_whole(l, o) && !lookup_is_being_fetched(l, e, o) && !is_resting(l, e) &&
		!lead(l, e, o, true, l->is_alone))
		return false;
	use(l, e, o, CACHE_STALE);
	return true;
}

/* Nothing that is stored can answer it, fresh or stale; yet an origin that is down need not be asked once more. */
static void decide_for_origin(struct lookup *l, struct entry *e)
{
	l->out->forward = CACHE_FWD_REQUEST;
	if (!l->r->hit_only && !use_failure(l, e, NULL, false))
		pass_unless_failing(l, e, NULL, false, CACHE_FWD_REQUEST, POLICY_NOT_PRECONDITION);
}

/* ---- All together ---- */

static bool decide_locked(struct lookup *l)
{
	struct entry *e = entry_find_locked(l->shard, l->r->key);
	struct object *o = NULL;
	bool is_soft = false, any = false;

	*l->out = (struct cache_result){.verdict = CACHE_PASS};
	if (l->is_for_origin) {
		decide_for_origin(l, e);
		return true;
	}
	l->partial = NULL; /* of an earlier look: making room may have taken it, and the entry too */
	l->is_withheld = false;
	if (e) {
		o = select_variant(l, e, &is_soft, &any);
		if (!e->variants) {
			bool is_gone = !e->markers || (!e->markers->flights && !e->markers->is_marked);

			if (!l->r->hit_only)
				entry_tidy_locked(e, &l->garbage);
			if (is_gone)
				e = NULL;
		}
	}
	if (o) {
		if (decide_stored(l, e, o, is_soft))
			return true;
	} else {
		l->out->forward = l->is_withheld ? CACHE_FWD_REQUEST
				  : l->partial   ? CACHE_FWD_PARTIAL
				  : any          ? CACHE_FWD_VARY_MISS
						 : CACHE_FWD_URI_MISS;
		if (lookup_turn_to_lower(l, e) || l->r->hit_only || decide_fetch(l, e, NULL, false))
			return true;
	}
	lookup_note_vary(e, &l->known_vary);
	return false;
}

static void decide(struct lookup *l)
{
	bool done;

	pthread_mutex_lock(&l->shard->mu);
	done = decide_locked(l);
	pthread_mutex_unlock(&l->shard->mu);
	if (done)
		return;
	if (!lookup_make_spares(l)) {
		pass_without_room(l);
		return;
	}
	pthread_mutex_lock(&l->shard->mu);
	done = decide_locked(l);
	CHECK(done);
	pthread_mutex_unlock(&l->shard->mu);
	memory_trim(l->shard);
}

static void look_up(struct lookup *l)
{
	struct cache_control storage;
	struct vary_wants wants;

	vary_wants_init(&wants, &l->r->http->fields);
	l->wants = &wants;
	if (prepare(l, &storage)) {
		buf_init(&l->known_vary, CACHE_KEY_MAX);
		decide(l);
		if (l->asks_lower && !lookup_ask_lower(l))
			decide(l);
		lookup_free_spares(l);
	}
	l->client_cc = NULL; /* `storage` and `wants` end here */
	l->wants = NULL;
}

void cache_lookup(struct cache *c, const struct cache_request *r, struct now now, struct cache_result *out)
{
	struct lookup l = {.c = c, .r = r, .now = now, .out = out};

	look_up(&l);
}

void cache_refresh(struct cache *c, const struct cache_request *r, struct now now, struct cache_result *out)
{
	struct lookup l = {.c = c, .r = r, .now = now, .out = out, .is_forced = true};

	look_up(&l);
}

void cache_fill(struct cache *c, const struct cache_request *r, struct now now, struct cache_result *out)
{
	struct lookup l = {.c = c, .r = r, .now = now, .out = out, .is_forced = true, .is_fill = true};

	look_up(&l);
}
