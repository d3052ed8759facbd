/* SPDX-License-Identifier: MIT */
/* What a flight's response is: may it be stored, and does what is stored have to go where it may not? */
#include "cache/flight_internal.h"

#include "cache/memory/store_filter.h"

static bool is_event_stream(const struct http_fields *fields)
{
	const struct slice type = SLICE_LIT("text/event-stream");
	const struct http_field *f = http_fields_get(fields, HF_CONTENT_TYPE);

	return f && f->value.n >= type.n && slice_equal_nocase((struct slice){f->value.p, type.n}, type);
}

uint32_t flight_jitter(const struct flight *f, struct now now)
{
	uint64_t from[2] = {hash64_of(f->entry->key, f->entry->url_off + f->entry->url_n), (uint64_t)now.wall_ms};

	return (uint32_t)hash64_of(from, sizeof(from));
}

static struct policy_exchange exchange_of(const struct flight *f, const struct flight_response *a)
{
	return (struct policy_exchange){
		.method = f->method,
		.target_url = entry_url(f->entry),
		.request = &f->request,
		.request_has_authorization = f->has_authorization,
		.request_has_credential = f->has_credential,
		.is_part = f->kind == FLIGHT_KEPT && a->status == 206,
		.status = a->status,
		.response = a->fields,
		.request_time = a->request_time,
		.response_time = a->now,
		.rules = f->rules,
		.jitter = flight_jitter(f, a->now),
		.stretch = a->stretch,
	};
}

bool flight_is_full_response(int status)
{
	switch (status) {
	/* Not the whole. */
	case 206:
	case 226:
	case 304:
	case 412:
	case 416:
	/* What the request, and no other, was like. */
	case 406:
	case 411:
	case 413:
	case 414:
	case 415:
	case 429:
		return false;
	default:
		return status < 500 && !policy_status_is_of_one_client(status);
	}
}

/* A warm-up that is asked who it is has learnt nothing of what those get who say so. */
static bool asks_who(const struct flight *f, int status)
{
	return f->is_fill && (status == 401 || status == 403);
}

bool flight_supersedes(const struct flight *f)
{
	return flight_is_full_response(f->object->status) && !asks_who(f, f->object->status) &&
	       !(f->object->flags & OBJECT_IS_PARTIAL) && f->verdict != POLICY_NOT_BODY;
}

bool flight_head_supersedes(const struct flight *f, const struct flight_response *a, enum policy_store why)
{
	struct policy_exchange x = exchange_of(f, a);
	struct http_fields nothing = {0};
	struct freshness unused;

	if (!flight_is_full_response(a->status) || asks_who(f, a->status))
		return false;
	switch (why) {
	case POLICY_STORE:
	case POLICY_NOT_TOO_LARGE: /* it was for everybody, there only was no room */
	case POLICY_NOT_NO_ROOM:
	case POLICY_NOT_EVENT_STREAM:
		return true;
	case POLICY_NOT_BODY: /* by store_if, the operator's word, it is an error in disguise, which what is stored may outlast */
		return false;
	case POLICY_NOT_REQUEST_NO_STORE:
		/* A client's own wish is about its own response; else anybody could empty the cache. */
		x.request = &nothing;
		if (policy_store(&x, &unused) == POLICY_STORE)
			return false;
		break;
	default:
		break;
	}
	/* What one person is told (with a bad token, or as somebody who has logged in) says nothing about all others' response. */
	return !f->has_authorization && !f->has_credential;
}

enum policy_share flight_share_error(const struct flight *f, const struct flight_response *a)
{
	struct policy_exchange x = exchange_of(f, a);

	if (!f->is_shared || is_event_stream(a->fields))
		return POLICY_SHARE_NOT;
	return policy_share_error(&x);
}

bool flight_befalls_others(const struct flight *f, const struct flight_response *a)
{
	struct policy_exchange x = exchange_of(f, a);
	struct http_fields nothing = {0};

	x.request = &nothing; /* its no-store is about the response, of which no more is told than the status */
	return f->may_fail && !is_event_stream(a->fields) && policy_share_error(&x) == POLICY_SHARE_MOMENT;
}

/* A response without a lifetime says that it will not be shared as well as one with no-store does: were it forgotten, each
 * herd would first wait for one response and then fetch its own. An error says nothing about what comes after it. */
int64_t flight_pass_ms(const struct flight *f, const struct flight_response *a, enum policy_store why)
{
	const struct cache_options *o = &f->cache->o;
	bool is_by_nature = a->status >= 200 && a->status < 300 && why != POLICY_NOT_PARTIAL && why != POLICY_NOT_BODY;

	if (why == POLICY_NOT_NO_ROOM) /* which says nothing about the next time */
		return 0;
	return is_by_nature || o->pass_memory_ms < o->failure_memory_ms ? o->pass_memory_ms : o->failure_memory_ms;
}

/* In bytes, also where only a part's Content-Range says it; 0: not known. */
static uint64_t announced_length(const struct flight_response *a)
{
	struct object_part part;
	uint64_t n;

	if (a->content_length >= 0)
		return (uint64_t)a->content_length;
	return keep_read_part(a, &part, &n) ? n : 0;
}

bool flight_is_large(const struct flight *f, const struct flight_response *a)
{
	return announced_length(a) > f->cache->o.max_object_bytes;
}

bool flight_may_stream(struct flight *f, int status, bool is_part, uint64_t length)
{
	const struct tier *t = f->cache->tier;
	bool is_for_parts;

	pthread_mutex_lock(&f->mu);
	is_for_parts = f->is_for_parts;
	pthread_mutex_unlock(&f->mu);
	if (!t || is_part || is_for_parts || length > t->max_object)
		return false;
	/* That one would have to be looked into as a whole. */
	return f->rules->store_if == CACHE_STORE_ANY || (status != 200 && status != 206);
}

enum policy_store flight_judge(struct flight *f, const struct flight_response *a, struct freshness *freshness)
{
	struct policy_exchange x = exchange_of(f, a);
	enum policy_store s = policy_store(&x, freshness);

	if (s != POLICY_STORE)
		return s;
	if (is_event_stream(a->fields))
		return POLICY_NOT_EVENT_STREAM;
	if (!store_filter_allows_head(f->rules, a->status, a->fields))
		return POLICY_NOT_BODY;
	if (flight_is_large(f, a) && !flight_may_stream(f, a->status, f->kind == FLIGHT_KEPT, announced_length(a))) {
		count(&f->cache->n.refused_too_large);
		return POLICY_NOT_TOO_LARGE;
	}
	return POLICY_STORE;
}
