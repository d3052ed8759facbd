/* SPDX-License-Identifier: MIT */
/* Ranges: what can be cut out of a stored part, and which of them have the whole fetched. */
#include "cache/lookup_internal.h"

#include "http/range.h"

/* Has a stored part all that is asked for? */
bool lookup_part_serves(struct lookup *l, const struct object *o)
{
	const struct http_request *http = l->r->http;
	struct slice etag, modified, date;
	struct http_ranges set;
	uint64_t first, total, end;

	if (!object_part(o, &first, &total))
		return true;
	if (http->method != HTTP_GET || http_fields_count(&http->fields, HF_RANGE) != 1)
		return false;
	(void)object_field(o, HF_ETAG, &etag);
	(void)object_field(o, HF_LAST_MODIFIED, &modified);
	(void)object_field(o, HF_DATE, &date);
	if (!policy_if_range(&http->fields, etag, modified, date))
		return false;
	switch (http_range_parse(http_fields_get(&http->fields, HF_RANGE)->value, total, &set)) {
	case HTTP_RANGE_UNSATISFIABLE:
		return true;
	case HTTP_RANGE_SATISFIABLE:
		break;
	default:
		return false;
	}
	end = first + (uint64_t)object_body_length(o);
	for (unsigned i = 0; i < set.n; i++)
		if (set.v[i].first < first || set.v[i].last >= end)
			return false;
	return true;
}

bool lookup_is_whole(const struct object *o)
{
	return o && !(o->flags & OBJECT_IS_PARTIAL);
}

/* A whole response is validated as a whole: its parts come from it then. */
static bool can_validate(const struct object *o)
{
	return lookup_is_whole(o) && (o->flags & OBJECT_HAS_VALIDATOR);
}

/* Bytes that a whole of max_object could have: other units, what can't be read, and ranges that all begin beyond that are for
 * the origin. */
static bool asks_for_near_bytes(const struct lookup *l)
{
	const struct http_fields *fields = &l->r->http->fields;
	struct http_ranges set;

	return l->r->http->method == HTTP_GET && http_fields_count(fields, HF_RANGE) == 1 &&
	       http_range_parse(http_fields_get(fields, HF_RANGE)->value, l->c->o.max_object_bytes, &set) ==
		       HTTP_RANGE_SATISFIABLE;
}

/* A part of it is stored, so its length is known. */
static bool is_too_large(const struct lookup *l, const struct object *o)
{
	uint64_t first, total;

	return o && object_part(o, &first, &total) && total > l->c->o.max_object_bytes;
}

/* Part and rest are put together in memory. */
bool lookup_has_use_of_tail(struct lookup *l)
{
	return l->partial && !l->is_forced && l->r->http->method == HTTP_GET && !is_too_large(l, l->partial) &&
	       keep_has_tail(l->partial, l->now);
}

/* A range is cut out of the whole: it waits for a fetch of that. Else it goes to the origin as a range. `o`: what is stored that
 * answers it, were it fresh; a whole one is asked about for a range like for anything else. */
bool lookup_waits_for_whole(const struct lookup *l, const struct object *o)
{
	if (!l->is_range || can_validate(o))
		return true;
	return !l->is_alone && asks_for_near_bytes(l) && !is_too_large(l, o) && !is_too_large(l, l->partial);
}

/* And has it fetched. */
bool lookup_leads_to_whole(const struct lookup *l, const struct object *o)
{
	return lookup_waits_for_whole(l, o) &&
	       (!l->is_range || l->r->rules->range_fill == CACHE_RANGE_WHOLE || lookup_is_whole(o));
}
