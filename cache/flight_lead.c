/* SPDX-License-Identifier: MIT */
/* Flights as their leader drives them: what becomes of the response, for the waiters and for the store. */
#include <errno.h>

#include "cache/flight_internal.h"

#include "cache/memory/encode.h"
#include "cache/memory/store_filter.h"
#include "cache/policy/vary.h"

/* Of a remembered error with a longer body only the status is. */
#define FAILED_RESPONSE_MAX (64 * 1024)

static void note_verdict(struct flight *f, enum policy_store why)
{
	pthread_mutex_lock(&f->mu);
	f->verdict = why;
	pthread_mutex_unlock(&f->mu);
}

/* ---- The head ---- */

static bool may_stand_in(const struct flight *f, int status, struct now now)
{
	enum purge_state state = PURGED_HARD;

	if (f->stored && !(f->stored->flags & OBJECT_IS_PARTIAL))
		state = object_check(f->stored);
	return state != PURGED_HARD && policy_stale_if_error(&f->stored->freshness, status, state == PURGED_SOFT, now);
}

static int gateway_status(int status)
{
	return status == 503 || status == 504 ? status : 502;
}

/* Where something newer was stored, or what was stored retired, whoever waits looks for that. */
static enum flight_phase stand_in_phase(struct flight *f)
{
	return flight_has_newer(f) ? FLIGHT_RETRY : FLIGHT_STALE;
}

static enum flight_fate stand_in(struct flight *f, const struct flight_response *a)
{
	bool is_for_all = flight_share_error(f, a) == POLICY_SHARE_MOMENT;

	flight_finish(f, &(struct ending){.phase = stand_in_phase(f),
				 .status = gateway_status(a->status),
				 .said = a->status,
				 .marks_failure = true,
				 .shows_trouble = is_for_all,
				 .is_for_one = !is_for_all,
				 .now = a->now});
	return FLIGHT_REVALIDATED;
}

static struct refresh refresh_of(const struct flight *f, const struct flight_response *a)
{
	return (struct refresh){
		.request = &f->request,
		.update = a->fields,
		.method = f->method,
		.rules = f->rules,
		.request_time = a->request_time,
		.response_time = a->now,
		.epoch = f->epoch,
		.via = f->cache->o.via,
		.jitter = flight_jitter(f, a->now),
		.stretch = a->stretch,
	};
}

static bool sets_cookies(const struct http_field *line)
{
	return line->id == HF_SET_COOKIE || slice_equal_nocase(line->name, SLICE_LIT("Set-Cookie2"));
}

static void note_own_line(struct flight *f, const struct http_field *line)
{
	if (http_field_is_hop_by_hop(line->id) || line->id == HF_CONNECTION ||
		(sets_cookies(line) && f->rules->set_cookie == CACHE_COOKIE_STRIP))
		return;
	buf_add_slice(&f->own_lines, line->name);
	buf_add(&f->own_lines, ": ", 2);
	buf_add_slice(&f->own_lines, line->value);
	buf_add(&f->own_lines, "\r\n", 2);
}

/* Of a response that confirms or completes what is stored: the cookies that are not stored with it are for who asked. */
static void note_own_cookies(struct flight *f, const struct refresh *r)
{
	bool are_stored = f->rules->set_cookie == CACHE_COOKIE_STORE && refresh_is_for_others(f->stored, r);

	for (uint32_t i = 0; i < r->update->n && !are_stored; i++)
		if (sets_cookies(&r->update->v[i]))
			note_own_line(f, &r->update->v[i]);
}

/* A 304 that does not speak of what is stored, or speaks of what was purged meanwhile, confirms nothing: the stored
 * response goes, and whoever looks up next asks without conditions. */
static enum flight_fate take_not_modified(struct flight *f, const struct flight_response *a)
{
	struct ending x = {.phase = FLIGHT_RETRY, .drops_stored = true, .now = a->now};
	struct refresh r = refresh_of(f, a);

	/* What a newer response replaced meanwhile is not confirmed any more. */
	if (!flight_is_late(f) && object_is_confirmed_by(f->stored, a->fields) &&
		object_check(f->stored) != PURGED_HARD)
		x.object = object_refreshed(f->stored, &r);
	if (x.object) {
		x.phase = FLIGHT_RESPONSE;
		x.status = 304;
		x.store = object_ref(x.object);
		x.drops_stored = false;
		count(&f->cache->n.revalidated);
		note_own_cookies(f, &r);
	}
	flight_finish(f, &x);
	return FLIGHT_REVALIDATED;
}

/* The rest of what is stored has come: together they answer as the whole. Else what is stored is of no use. */
static enum flight_fate take_tail(struct flight *f, const struct flight_response *a)
{
	struct refresh r = refresh_of(f, a);
	struct object *o = keep_whole(f, a, &r);

	if (o) {
		note_own_cookies(f, &r);
		flight_announce(f, &(struct ending){.phase = FLIGHT_RESPONSE, .object = o});
		return FLIGHT_STORES;
	}
	flight_finish(f, &(struct ending){.phase = FLIGHT_RETRY, .drops_stored = true, .now = a->now});
	return FLIGHT_REVALIDATED;
}

/* no-cache="a" and private="a" keep a field from being stored, set_cookie keeps cookies from it; whoever asked for the response
 * gets them nevertheless (RFC 9111 5.2.2.4, 5.2.2.7). `all` and what is left of it are in one order. */
static void note_own_lines(struct flight *f, const struct http_field *all, uint32_t n, const struct http_fields *left)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (k < left->n && left->v[k].name.p == all[i].name.p) {
			k++;
			continue;
		}
		note_own_line(f, &all[i]);
	}
}

static int strip_fields(struct flight *f, struct http_fields *fields)
{
	uint32_t n = fields->n;
	struct http_field *all = n > 0 ? mem_alloc(n * sizeof(*all)) : NULL;
	int err;

	if (!all)
		return n > 0 ? -ENOMEM : 0;
	memcpy(all, fields->v, n * sizeof(*all));
	err = policy_strip_fields(fields, f->rules);
	if (!err && fields->n < n)
		note_own_lines(f, all, n, fields);
	mem_free(all);
	return err;
}

static enum vary_kind variant_names(const struct http_fields *fields, bool may_encode, struct buf *names)
{
	enum vary_kind kind = vary_names(fields, names);

	if (may_encode)
		encode_drop_name(names);
	return kind;
}

static int copy_fields(struct http_fields *to, const struct http_fields *from)
{
	int err = 0;

	for (uint32_t i = 0; i < from->n && !err; i++)
		err = http_fields_add(to, from->v[i].name, from->v[i].value);
	return err;
}

/* NULL when there is no room or the fields are beyond what can be told apart; *s then says which. Changes a->fields. */
static struct object *make_object(
	struct flight *f, const struct flight_response *a, const struct freshness *freshness, enum policy_store *s)
{
	struct object_spec spec = {
		.entry = f->entry,
		.status = a->status,
		.fields = a->fields,
		.via = f->cache->o.via,
		.content_length = a->content_length,
		.is_windowed = flight_is_large(f, a) || f->kind == FLIGHT_HEAD, /* which takes no room beforehand */
		.freshness = *freshness,
		.epoch = f->epoch,
		.tag_headers = &f->rules->tag_headers,
	};
	struct object_part part;
	struct object *o = NULL;
	struct buf names, values;
	uint64_t n;

	*s = POLICY_NOT_PARTIAL;
	if (a->status == 206) {
		if (!keep_read_part(a, &part, &n))
			return NULL;
		spec.content_length = (int64_t)n;
		http_fields_remove(a->fields, HF_CONTENT_RANGE);
		if (n == part.total)
			spec.status = 200;
		else
			spec.part = &part;
	}
	buf_init(&names, CACHE_KEY_MAX);
	buf_init(&values, 4 * CACHE_KEY_MAX);
	spec.may_encode = encode_is_meant(f->rules, a->status, a->fields) && encode_announce(a->fields) == 0;
	*s = POLICY_NOT_VARY_LONG;
	if (variant_names(a->fields, spec.may_encode, &names) != VARY_STAR && !names.err &&
		vary_values(buf_slice(&names), &f->request, &values) == 0) {
		*s = POLICY_NOT_NO_ROOM;
		spec.vary_names = buf_slice(&names);
		spec.vary_values = buf_slice(&values);
		if (strip_fields(f, a->fields) == 0)
			o = object_new(&spec);
		if (!o)
			count(&f->cache->n.refused_memory);
	}
	buf_fini(&values);
	buf_fini(&names);
	return o;
}

/* The same without changing a->fields: if the response is not stored after all, its client gets all of them. */
static struct object *make_stored(
	struct flight *f, const struct flight_response *a, const struct freshness *freshness, enum policy_store *s)
{
	struct flight_response stored = *a;
	struct http_fields fields;
	struct object *o = NULL;

	http_fields_init(&fields);
	stored.fields = &fields;
	*s = POLICY_NOT_NO_ROOM;
	if (copy_fields(&fields, a->fields) == 0)
		o = make_object(f, &stored, freshness, s);
	http_fields_fini(&fields);
	return o;
}

/* What a look at the whole body decides is not begun before: a tag in the head, whether it is stored. */
static bool is_to_be_held(const struct flight *f, const struct flight_response *a)
{
	if (f->kind == FLIGHT_KEPT || f->stream || a->status != 200)
		return false;
	return f->rules->store_if != CACHE_STORE_ANY ||
	       (f->rules->etag == CACHE_ETAG_AUTO && !http_fields_get(a->fields, HF_ETAG));
}

/* An error that may not be stored answers those who waited for it all the same. NULL: it does not. */
static struct object *make_shared_error(struct flight *f, const struct flight_response *a)
{
	struct freshness none = {.received_mono_ms = a->now.mono_ms, .received_wall_ms = a->now.wall_ms};
	enum policy_store why;
	struct object *o = NULL;

	f->shares = flight_share_error(f, a);
	if (f->shares != POLICY_SHARE_NOT)
		o = make_object(f, a, &none, &why);
	if (!o)
		f->shares = POLICY_SHARE_NOT;
	return o;
}

static void swap(struct buf *a, struct buf *b)
{
	struct buf was = *a;

	*a = *b;
	*b = was;
}

/* Not for sharing: for whom does it say so? Where it has no Vary, but others of the key have, it is of one of those variants. */
static void note_variant(struct flight *f, const struct flight_response *a)
{
	struct buf names, values;

	buf_init(&names, CACHE_KEY_MAX);
	buf_init(&values, 4 * CACHE_KEY_MAX);
	if (variant_names(a->fields, encode_is_meant(f->rules, a->status, a->fields), &names) == VARY_FIELDS &&
		names.n > 0 && vary_values(buf_slice(&names), &f->request, &values) == 0) {
		pthread_mutex_lock(&f->mu);
		swap(&f->names, &names);
		swap(&f->values, &values);
		pthread_mutex_unlock(&f->mu);
	}
	buf_fini(&values);
	buf_fini(&names);
	flight_note_variant(f, buf_slice(&f->names));
}

/* The head is all that there is: it answers the HEADs that waited for it, where GET's could be stored or shared. What it says of
 * what is stored does not matter: nothing was when it was asked for. */
static enum flight_fate take_head(struct flight *f, const struct flight_response *a, enum policy_store *why)
{
	struct flight_response head = *a;
	struct freshness freshness;
	enum policy_store made = POLICY_STORE;
	struct object *o = NULL;

	head.content_length = -1; /* how long a body would be does not keep it from being shared */
	*why = flight_judge(f, &head, &freshness);
	if (*why == POLICY_STORE)
		o = make_stored(f, a, &freshness, &made);
	else if (*why == POLICY_NOT_STATUS || *why == POLICY_NOT_FRESH)
		o = make_shared_error(f, a);
	if (!o) {
		if (*why == POLICY_STORE)
			*why = made;
		note_verdict(f, *why);
		note_variant(f, a);
		flight_finish(f, &(struct ending){.phase = FLIGHT_RELEASED,
					 .status = a->status,
					 .said = a->status,
					 .pass_ms = flight_pass_ms(f, a, *why),
					 .marks_failure = flight_befalls_others(f, a),
					 .shows_trouble = true,
					 .now = a->now});
		return FLIGHT_PRIVATE;
	}
	object_finish(o, BODY_COMPLETE);
	flight_finish(f, &(struct ending){.phase = FLIGHT_RESPONSE,
				 .object = o,
				 .verdict = POLICY_NOT_HEAD,
				 .status = a->status,
				 .said = a->status,
				 .marks_failure = f->shares == POLICY_SHARE_MOMENT,
				 .shows_trouble = true,
				 .failed_response = o,
				 .now = a->now});
	return FLIGHT_REVALIDATED;
}

enum flight_fate flight_response(struct flight *f, const struct flight_response *a, enum policy_store *why)
{
	struct freshness freshness;
	struct object *o = NULL;
	*why = POLICY_NOT_NO_ROOM;
	if (f->has_ended)
		return FLIGHT_PRIVATE;
	*why = POLICY_STORE;
	memory_tick(&f->cache->memory, a->now);
	f->asked = a->request_time;
	f->answered = a->now;
	if (f->kind == FLIGHT_HEAD)
		return take_head(f, a, why);
	if (f->kind == FLIGHT_TAIL && (a->status == 206 || a->status == 304 || a->status == 412 || a->status == 416))
		return take_tail(f, a);
	if (a->status == 304 && flight_stored(f))
		return take_not_modified(f, a);
	if (a->status >= 500 && may_stand_in(f, a->status, a->now))
		return stand_in(f, a);
	*why = flight_judge(f, a, &freshness);
	if (*why == POLICY_STORE)
		o = make_stored(f, a, &freshness, why);
	store_filter_free(&f->filter);
	if (o && store_filter_begin(f->rules, a->status, &f->filter) != 0) {
		*why = POLICY_NOT_NO_ROOM;
		object_unref(&o);
	}
	if (o && flight_is_large(f, a) && flight_stream_begin(f, o, a->content_length) != 0) {
		count(&f->cache->n.refused_too_large);
		*why = POLICY_NOT_NO_ROOM;
		object_unref(&o);
	}
	if (!o && (*why == POLICY_NOT_STATUS || *why == POLICY_NOT_FRESH || *why == POLICY_NOT_TOO_LARGE ||
			  *why == POLICY_NOT_NO_ROOM))
		o = make_shared_error(f, a);
	if (!o) {
		note_verdict(f, *why);
		note_variant(f, a);
		flight_finish(f, &(struct ending){.phase = FLIGHT_RELEASED,
					 .status = a->status,
					 .said = a->status,
					 .pass_ms = flight_pass_ms(f, a, *why),
					 .retires = flight_head_supersedes(f, a, *why),
					 .marks_failure = flight_befalls_others(f, a),
					 .shows_trouble = true,
					 .now = a->now});
		return FLIGHT_PRIVATE;
	}
	if (f->shares == POLICY_SHARE_NOT)
		*why = POLICY_STORE;
	f->is_held = is_to_be_held(f, a);
	flight_announce(f, &(struct ending){.phase = f->is_held ? FLIGHT_WAITING : FLIGHT_RESPONSE,
				   .object = o,
				   .verdict = *why,
				   .status = a->status,
				   .opens_window = flight_is_large(f, a)});
	/* Of a shared error the head says it all: what it supersedes does not wait for its end, which may never come. */
	if (f->shares != POLICY_SHARE_NOT)
		flight_retire(f);
	return FLIGHT_STORES;
}

/* ---- The end ---- */

static bool is_whole(const struct flight *f)
{
	int64_t length = object_announced_length(f->object);
	uint64_t published;

	(void)object_body_state(f->object, &published);
	return !f->is_overlong && (length < 0 || (uint64_t)length == published);
}

/* What goes into the store, with a reference; NULL: nothing. */
static struct object *to_store(struct flight *f, struct now now)
{
	struct object *o;

	/* Purged while it was fetched. (Once more at each use: a purge may come right after this.) */
	if (f->window.is_open || object_check(f->object) == PURGED_HARD)
		return NULL;
	if (f->filter ? !store_filter_allows(f->filter) : store_filter_looks(f->rules, f->object->status)) {
		note_verdict(f, POLICY_NOT_BODY);
		return NULL;
	}
	if (f->object->flags & OBJECT_IS_PARTIAL)
		o = keep_combined(f);
	else if (f->object->body_kind == BODY_CHUNKS)
		o = object_consolidated(f->object, &f->rules->tag_headers);
	else
		o = object_ref(f->object);
	if (o)
		encode_object(f->cache->encoder, o, f->rules, f->worker, now.mono_ms);
	count(o ? &f->cache->n.stored : &f->cache->n.refused_memory);
	return o;
}

/* Nobody has seen it yet, so another can take its place. */
static void tag_held(struct flight *f)
{
	struct object *plain = f->object, *tagged;
	struct slice etag;

	if (f->rules->etag != CACHE_ETAG_AUTO || object_field(plain, HF_ETAG, &etag))
		return;
	tagged = object_tagged(plain, &f->rules->tag_headers);
	if (!tagged)
		return;
	pthread_mutex_lock(&f->mu);
	f->object = tagged;
	pthread_mutex_unlock(&f->mu);
	object_unref(&plain);
}

/* Those who wait have all of it; the flight stays until it is in the lower tier. */
static void end_in_writing(struct flight *f, const struct ending *x)
{
	count(&f->cache->n.stored);
	f->has_ended = true;
	object_finish(f->object, BODY_COMPLETE);
	flight_announce(f, x);
	memory_trim(f->entry->shard);
}

/* It goes to those who come in the next moment too, where it is one of the origin's troubles. */
static void end_error(const struct flight *f, struct ending *x)
{
	uint64_t n;

	(void)object_body_state(f->object, &n);
	x->completes = true;
	x->retires = flight_supersedes(f);
	x->marks_failure = f->shares == POLICY_SHARE_MOMENT;
	x->shows_trouble = true;
	x->status = f->object->status;
	x->said = f->object->status;
	if (!f->window.is_open && n <= FAILED_RESPONSE_MAX)
		x->failed_response = f->object;
}

void flight_end(struct flight *f, bool complete, struct now now)
{
	struct ending x = {.phase = FLIGHT_RESPONSE, .now = now};

	if (f->has_ended)
		return;
	if (!f->object) { /* it ended before there was a head */
		flight_fail(f, 502, now);
		return;
	}
	memory_tick(&f->cache->memory, now);
	complete = complete && !(f->stream && !is_whole(f));
	if (f->stream && complete && flight_stream_commit(f, now)) {
		end_in_writing(f, &x);
		return;
	}
	flight_stream_drop(f);
	if (complete && is_whole(f) && f->shares != POLICY_SHARE_NOT) {
		end_error(f, &x);
	} else if (complete && is_whole(f)) {
		if (f->is_held)
			tag_held(f);
		x.store = to_store(f, now);
		x.retires = !x.store && flight_supersedes(f);
		x.completes = true;
	} else {
		if (complete)
			x.store = keep_short_tail(f);
		object_finish(f->object, BODY_BROKEN);
		x.marks_failure = true;
		x.is_cut = x.shows_trouble = !f->is_held;
		if (f->is_held) {
			x.phase = may_stand_in(f, 0, now) ? stand_in_phase(f) : FLIGHT_FAILED;
			x.status = 502;
		}
	}
	flight_finish(f, &x);
}

static void fail(struct flight *f, int status, bool befalls_all, struct now now)
{
	struct ending x = {.phase = FLIGHT_FAILED,
		.status = status,
		.marks_failure = true,
		.befalls_all = befalls_all,
		.now = now};

	if (f->has_ended)
		return;
	if (f->object) {
		flight_end(f, false, now);
		return;
	}
	if (may_stand_in(f, 0, now)) {
		x.phase = stand_in_phase(f);
		x.status = gateway_status(status);
	}
	flight_finish(f, &x);
}

void flight_note_cause(struct flight *f, unsigned cause)
{
	f->cause = cause;
}

void flight_fail(struct flight *f, int status, struct now now)
{
	fail(f, status, false, now);
}

void flight_fail_for_all(struct flight *f, int status, struct now now)
{
	fail(f, status, true, now);
}

void flight_abandon(struct flight *f)
{
	if (f->has_ended)
		return;
	if (f->object)
		flight_break_off(f);
	else
		flight_finish(f, &(struct ending){.phase = FLIGHT_RETRY});
}
