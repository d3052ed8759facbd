/* SPDX-License-Identifier: MIT */
/* Parts of a response that are kept, and what is made of several (RFC 9111 3.3, 3.4; RFC 9110 15.3.7). */
#include "cache/flight_internal.h"
#include "http/range.h"

bool keep_read_part(const struct flight_response *a, struct object_part *part, uint64_t *n)
{
	const struct http_field *f = http_fields_get(a->fields, HF_CONTENT_RANGE);
	struct http_content_range range;

	if (a->status != 206 || !f || http_fields_count(a->fields, HF_CONTENT_RANGE) != 1 ||
		!http_content_range_parse(f->value, &range) || !range.has_range || !range.has_length)
		return false;
	*part = (struct object_part){range.range.first, range.length};
	*n = range.range.last - range.range.first + 1;
	if (part->first > 0 && a->content_length > 0 && (uint64_t)a->content_length < *n &&
		range.range.last + 1 == range.length) {
		/* A tail that is framed shorter than it says: see keep_short_tail. */
		*n = (uint64_t)a->content_length;
		part->total = part->first + *n;
	}
	return a->content_length < 0 || (uint64_t)a->content_length == *n;
}

/* RFC 9110 15.3.7.3: only parts with the same strong validator may be combined. (Of one coding, too: many origins give the
 * coded bytes the tag of the plain ones.) */
static bool are_of_one(struct slice a, struct slice b)
{
	return a.n > 0 && slice_equal(a, b);
}

bool keep_has_tail(const struct object *o, struct now now)
{
	uint64_t first, total;
	struct slice value;

	if (!object_part(o, &first, &total) || first != 0 || object_body_is_in_lower(o))
		return false;
	/* Without any validator the two can't be combined; an origin that has none mostly sends the whole all the same. */
	return object_strong_validator(o).n > 0 ||
	       (!object_field(o, HF_ETAG, &value) && !object_field(o, HF_LAST_MODIFIED, &value) &&
		       policy_ttl_ms(&o->freshness, now) > 0);
}

bool flight_tail(const struct flight *f, uint64_t *from, struct slice *validator)
{
	if (f->kind != FLIGHT_TAIL)
		return false;
	*from = (uint64_t)object_body_length(f->stored);
	*validator = object_strong_validator(f->stored);
	return true;
}

static bool is_same_variant(const struct object *a, const struct object *b)
{
	return slice_equal(object_vary_names(a), object_vary_names(b)) &&
	       slice_equal(object_vary_values(a), object_vary_values(b));
}

static bool fits(struct object *a, const struct object *b)
{
	uint64_t a_first, b_first, a_total, b_total;

	return a != b && !object_body_is_in_lower(a) && object_part(a, &a_first, &a_total) &&
	       object_part(b, &b_first, &b_total) && a_total == b_total &&
	       a_first <= b_first + (uint64_t)object_body_length(b) &&
	       b_first <= a_first + (uint64_t)object_body_length(a) && is_same_variant(a, b) &&
	       are_of_one(object_strong_validator(a), object_strong_validator(b)) && objects_have_one_coding(a, b) &&
	       object_check(a) == NOT_PURGED;
}

/* *is_newer: a part that was asked for after the flight has landed meanwhile, and what is stored is taken for it. */
static struct object *find_fitting(struct flight *f, bool *is_newer)
{
	struct shard *s = f->entry->shard;
	struct object *o;

	pthread_mutex_lock(&s->mu);
	for (o = f->entry->variants; o && !fits(o, f->object);)
		o = object_next(o) ? *object_next(o) : NULL;
	if (o)
		object_ref(o);
	*is_newer = f->wants_validator != 0; /* landing.c sets it then */
	pthread_mutex_unlock(&s->mu);
	return o;
}

/* The bytes of `from` from that place of its body on, as far as they have come. */
static int append_from(struct object *to, const struct object *from, uint64_t at)
{
	uint64_t n;
	int err = 0;

	(void)object_body_state(from, &n);
	while (at < n && !err) {
		struct slice run = object_body_at(from, at);

		err = object_append(to, run.p, run.n, false);
		at += run.n;
	}
	return err;
}

static struct now received(const struct flight *f, const struct object *o)
{
	if (o == f->object)
		return f->answered;
	return (struct now){.mono_ms = o->freshness.received_mono_ms, .wall_ms = o->freshness.received_wall_ms};
}

/* `from` with the fields of `newest` (RFC 9111 3.4), and room for these bytes. NULL when there is none. */
static struct object *respanned(struct flight *f, struct object *from, struct object *newest, const struct span *span)
{
	struct http_fields update;
	struct refresh r = {
		.request = &f->request,
		.update = &update,
		.method = HTTP_GET,
		.rules = f->rules,
		.request_time = f->asked,
		.response_time = received(f, newest),
		.epoch = f->epoch < object_epoch(from) ? f->epoch : object_epoch(from),
	};
	struct object *o = NULL;

	http_fields_init(&update);
	if (object_fields(newest, &update) == 0)
		o = object_respanned(from, &r, span);
	http_fields_fini(&update);
	return o;
}

static struct object *combine(struct flight *f, struct object *stored, bool stored_is_newer)
{
	struct object *lower = stored, *upper = f->object, *o = NULL;
	uint64_t low, high, total, end;
	struct span span;

	(void)object_part(lower, &low, &total);
	(void)object_part(upper, &high, &total);
	if (high < low) {
		uint64_t first = high;

		high = low;
		low = first;
		lower = f->object;
		upper = stored;
	}
	end = high + (uint64_t)object_body_length(upper);
	if (end < low + (uint64_t)object_body_length(lower))
		end = low + (uint64_t)object_body_length(lower);
	span = (struct span){low, end - low, total};
	if (span.n <= f->cache->o.max_object_bytes)
		o = stored_is_newer ? respanned(f, f->object, stored, &span) : respanned(f, stored, f->object, &span);
	if (o && (append_from(o, lower, 0) != 0 ||
			 append_from(o, upper, low + (uint64_t)object_body_length(lower) - high) != 0))
		object_unref(&o);
	if (o)
		object_finish(o, BODY_COMPLETE);
	return o;
}

struct object *keep_combined(struct flight *f)
{
	bool is_newer;
	struct object *stored = find_fitting(f, &is_newer), *o = NULL;

	if (stored)
		o = combine(f, stored, is_newer);
	object_unref(&stored);
	return o ? o : object_ref(f->object);
}

/* Some origins count one too many: the range that they announce ends with the representation, but the body, whose framing
 * is whole, is shorter. Where it begins was said, and that it is the end; so it ends where it ended. */
struct object *keep_short_tail(struct flight *f)
{
	struct object *o;
	uint64_t first, total, n;
	struct span span;

	(void)object_body_state(f->object, &n);
	if (f->is_overlong || n == 0 || !object_part(f->object, &first, &total) ||
		first + (uint64_t)object_body_length(f->object) != total || object_check(f->object) == PURGED_HARD)
		return NULL;
	span = (struct span){first, n, first + n};
	o = respanned(f, f->object, f->object, &span);
	if (o && append_from(o, f->object, 0) != 0)
		object_unref(&o);
	if (o)
		object_finish(o, BODY_COMPLETE);
	return o;
}

struct object *keep_whole(struct flight *f, const struct flight_response *a, const struct refresh *r)
{
	struct slice strong = policy_strong_validator_of(a->fields);
	struct object_part part;
	struct span span;
	struct object *o;
	uint64_t n, first, total;

	if (!object_part(f->stored, &first, &total) || !keep_read_part(a, &part, &n) || part.total != total ||
		part.first != (uint64_t)object_body_length(f->stored) || part.first + n != total ||
		!are_of_one(strong, object_strong_validator(f->stored)) ||
		!object_has_coding_of(f->stored, a->fields) || object_check(f->stored) != NOT_PURGED)
		return NULL;
	span = (struct span){0, total, total};
	o = object_respanned(f->stored, r, &span);
	if (o && append_from(o, f->stored, 0) != 0)
		object_unref(&o);
	return o;
}
