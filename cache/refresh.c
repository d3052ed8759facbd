/* SPDX-License-Identifier: MIT */
/* Updating a stored response from a 304 or a HEAD (RFC 9111 3.2, 4.3.4, 4.3.5). */
#include <errno.h>

#include "cache/cache_internal.h"
#include "cache/policy/credentials.h"
#include "cache/memory/encode.h"
#include "cache/policy/vary.h"
#include "http/etag.h"
#include "http/negotiate.h"

/* Content codings in their order, of a stored response or of fields; identity is none (RFC 9110 8.4.1). */
struct codings {
	const struct object *o;
	size_t at;
	const struct http_fields *fields;
	uint32_t i;
	struct slice rest;
};

static bool next_line(struct codings *c)
{
	const struct http_field *line;
	struct http_field f;

	if (!c->o) {
		line = http_fields_next(c->fields, HF_CONTENT_ENCODING, &c->i);
		if (line)
			c->rest = line->value;
		return line != NULL;
	}
	while (object_field_next(c->o, &c->at, &f))
		if (f.id == HF_CONTENT_ENCODING) {
			c->rest = f.value;
			return true;
		}
	return false;
}

static struct slice next_coding(struct codings *c)
{
	struct slice coding;

	do {
		while (http_list_next(&c->rest, &coding))
			if (!slice_equal_nocase(coding, SLICE_LIT("identity")))
				return http_coding_less_x(coding);
	} while (next_line(c));
	return (struct slice){"", 0};
}

static bool are_equal(struct codings a, struct codings b)
{
	struct slice one, other;

	do {
		one = next_coding(&a);
		other = next_coding(&b);
	} while (one.n > 0 && slice_equal_nocase(one, other));
	return one.n == 0 && other.n == 0;
}

bool object_has_coding_of(const struct object *o, const struct http_fields *response)
{
	return are_equal(
		(struct codings){.o = o, .rest = {"", 0}}, (struct codings){.fields = response, .rest = {"", 0}});
}

bool objects_have_one_coding(const struct object *a, const struct object *b)
{
	return are_equal((struct codings){.o = a, .rest = {"", 0}}, (struct codings){.o = b, .rest = {"", 0}});
}

struct slice object_strong_validator(const struct object *o)
{
	struct slice etag, modified, date;

	(void)object_field(o, HF_ETAG, &etag);
	(void)object_field(o, HF_LAST_MODIFIED, &modified);
	(void)object_field(o, HF_DATE, &date);
	return policy_strong_validator(etag, modified, date);
}

/* An entity tag less its weakness: a 304 may weaken what it confirms. */
static struct slice opaque_tag(struct slice etag)
{
	return slice_starts_with(etag, SLICE_LIT("W/")) ? slice_from(etag, 2) : etag;
}

static bool is_validated_by(const struct object *o, const struct http_fields *update)
{
	const struct http_field *etag = http_fields_get(update, HF_ETAG);
	const struct http_field *modified = http_fields_get(update, HF_LAST_MODIFIED);
	struct slice stored;

	if (etag && !(o->flags & OBJECT_ETAG_IS_OURS) && object_field(o, HF_ETAG, &stored))
		return slice_equal(opaque_tag(etag->value), opaque_tag(stored));
	if (modified && object_field(o, HF_LAST_MODIFIED, &stored))
		return slice_equal(modified->value, stored);
	return true;
}

/* What the bytes are is said when they come. A 304 or HEAD of another coding is of another representation, though many
 * origins give both one tag (RFC 9110 8.8.3.3); one that leaves the coding out says nothing of it. */
bool object_is_confirmed_by(const struct object *o, const struct http_fields *update)
{
	if (!is_validated_by(o, update))
		return false;
	return !http_fields_get(update, HF_CONTENT_ENCODING) || object_has_coding_of(o, update);
}

static struct policy_exchange exchange_of(
	const struct object *old, const struct refresh *r, const struct http_fields *response)
{
	struct credentials bears = credentials_of(r->rules, r->request);

	return (struct policy_exchange){
		.method = r->method,
		.target_url = object_url(old),
		.request = r->request,
		.request_has_authorization = bears.has_authorization,
		.request_has_credential = bears.has_other,
		.status = old->status,
		.response = response,
		.request_time = r->request_time,
		.response_time = r->response_time,
		.rules = r->rules,
		.jitter = r->jitter,
		.stretch = r->stretch,
	};
}

/* Parameters may be added to a media type that has none (RFC 9110 8.3). */
static bool refines(struct slice type, const struct object *old)
{
	struct slice stored;

	return object_field(old, HF_CONTENT_TYPE, &stored) && type.n > stored.n && type.p[stored.n] == ';' &&
	       !memchr(stored.p, ';', stored.n) && slice_equal_nocase((struct slice){type.p, stored.n}, stored);
}

/* Bytes that were never promised to be those of a strong tag do not become them: some origins send W/"x" with a 200 and "x"
 * with the 304. */
static bool strengthens(struct slice etag, const struct object *old)
{
	struct slice stored;

	return !(old->flags & OBJECT_ETAG_IS_OURS) && object_field(old, HF_ETAG, &stored) && etag_is_strong(etag) &&
	       !etag_is_strong(stored);
}

/* What the stored bytes are, no update changes (RFC 9111 3.2). */
static bool is_kept_from_update(const struct http_field *f, const struct object *old, bool takes_cookies)
{
	switch (f->id) {
	case HF_CONTENT_LENGTH:
	case HF_CONTENT_ENCODING:
	case HF_CONTENT_LANGUAGE:
	case HF_CONTENT_RANGE:
	case HF_CONTENT_MD5:
	case HF_CONTENT_DIGEST:
	case HF_REPR_DIGEST:
	case HF_DIGEST:
	case HF_CACHE_STATUS:
		return true;
	case HF_CONTENT_TYPE:
		return !refines(f->value, old);
	case HF_ETAG:
		return strengthens(f->value, old);
	case HF_SET_COOKIE:
		return !takes_cookies;
	default:
		return http_field_is_hop_by_hop(f->id);
	}
}

bool refresh_is_for_others(const struct object *old, const struct refresh *r)
{
	struct policy_exchange x = exchange_of(old, r, r->update);

	return policy_says_for_others(&x);
}

/* What says how long the stored response may be used, and by whom; so it counts whoever was told. */
static bool is_of_use(const struct http_field *f, const struct slices *targeted)
{
	switch (f->id) {
	case HF_DATE:
	case HF_CACHE_CONTROL:
	case HF_EXPIRES:
	case HF_AGE:
	case HF_ETAG:
	case HF_LAST_MODIFIED:
	case HF_VARY:
		return true;
	default:
		return slices_have_nocase(targeted, f->name);
	}
}

/* The update, less what its origin may have meant for the one who bore a credential. */
static int cut_to_use(const struct refresh *r, struct http_fields *out)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < r->update->n; i++)
		if (is_of_use(&r->update->v[i], &r->rules->targeted))
			err = http_fields_add(out, r->update->v[i].name, r->update->v[i].value);
	return err;
}

static int merge(const struct object *old, const struct refresh *r, struct http_fields *out)
{
	bool cookies = r->rules->set_cookie == CACHE_COOKIE_STORE;
	struct http_field f;
	int err = 0;

	for (size_t at = 0; !err && object_field_next(old, &at, &f);) {
		const struct http_field *named =
			f.id == HF_OTHER ? http_fields_find(r->update, f.name) : http_fields_get(r->update, f.id);

		/* Without a Date of its own the update was made when it came. */
		if (f.id == HF_DATE || (named && !is_kept_from_update(named, old, cookies)))
			continue;
		err = http_fields_add(out, f.name, f.value);
	}
	for (uint32_t i = 0; !err && i < r->update->n; i++)
		if (!is_kept_from_update(&r->update->v[i], old, cookies))
			err = http_fields_add(out, r->update->v[i].name, r->update->v[i].value);
	return err;
}

/* Fields, Vary and what they make of its use. 0, -EINVAL (they can't be told apart, or not noted) or as policy_strip_fields. */
static int specify(struct object_spec *spec, const struct refresh *r, struct buf *names, struct buf *values)
{
	struct http_fields *fields = (struct http_fields *)(uintptr_t)spec->fields; /* ours */

	enum vary_kind kind;

	spec->may_encode =
		!spec->part && encode_is_meant(r->rules, spec->status, fields) && encode_announce(fields) == 0;
	kind = vary_names(fields, names);
	if (spec->may_encode)
		encode_drop_name(names);
	if (kind == VARY_STAR || vary_values(buf_slice(names), r->request, values) != 0 || names->err)
		return -EINVAL;
	spec->vary_names = buf_slice(names);
	spec->vary_values = buf_slice(values);
	return policy_strip_fields(fields, r->rules);
}

static struct object *build(
	struct object *old, const struct refresh *r, struct http_fields *fields, struct buf *names, struct buf *values)
{
	struct policy_exchange x = exchange_of(old, r, fields);
	struct object_part part;
	struct object_spec spec = {
		.entry = old->entry,
		.status = old->status,
		.fields = fields,
		/* What is stored names us already. */
		.via = http_fields_get(r->update, HF_VIA) ? r->via : (struct slice){"", 0},
		.content_length = object_body_length(old),
		.epoch = r->epoch,
		.tag_headers = &r->rules->tag_headers,
		.shared = old->body_kind == BODY_BLOCK || old->body_kind == BODY_IN_LOWER ? old->body.block : NULL,
		.is_in_lower = old->body_kind == BODY_IN_LOWER,
		.etag_is_ours = (old->flags & OBJECT_ETAG_IS_OURS) && !http_fields_get(r->update, HF_ETAG),
		.part = object_part(old, &part.first, &part.total) ? &part : NULL,
	};
	struct object *o;

	/* What was said to one who bore a credential makes it stale for all and takes it from nobody (invariant 9). */
	if (!policy_refresh(&x, &spec.freshness) && refresh_is_for_others(old, r))
		return NULL;
	/* How long a validation takes says nothing of how long the whole would. */
	if (old->freshness.fetch_time > 0)
		spec.freshness.fetch_time = old->freshness.fetch_time;
	if (specify(&spec, r, names, values) != 0)
		return NULL;
	o = object_new(&spec);
	if (o && !spec.shared && object_copy_body(o, old) != 0)
		object_unref(&o);
	if (o)
		encode_share(o, old);
	return o;
}

static struct object *build_span(struct object *old, const struct refresh *r, const struct span *span,
	struct http_fields *fields, struct buf *names, struct buf *values)
{
	struct policy_exchange x = exchange_of(old, r, fields);
	struct object_part part = {.first = span->first, .total = span->total};
	bool is_whole = span->first == 0 && span->n == span->total;
	struct object_spec spec = {
		.entry = old->entry,
		.status = is_whole ? 200 : 206,
		.fields = fields,
		.via = http_fields_get(r->update, HF_VIA) ? r->via : (struct slice){"", 0},
		.content_length = (int64_t)span->n,
		.epoch = r->epoch,
		.tag_headers = &r->rules->tag_headers,
		.part = is_whole ? NULL : &part,
	};

	x.status = spec.status;
	x.is_part = !is_whole;
	http_fields_remove(fields, HF_CONTENT_RANGE);
	if (policy_store(&x, &spec.freshness) != POLICY_STORE || specify(&spec, r, names, values) != 0)
		return NULL;
	return object_new(&spec);
}

static struct object *successor(struct object *old, const struct refresh *said, const struct span *span)
{
	struct refresh cut = *said;
	const struct refresh *r = &cut;
	struct http_fields fields, of_use;
	struct buf names, values;
	struct object *o = NULL;
	int err = 0;

	http_fields_init(&fields);
	http_fields_init(&of_use);
	if (!refresh_is_for_others(old, said)) {
		cut.update = &of_use;
		err = cut_to_use(said, &of_use);
	}
	buf_init(&names, CACHE_KEY_MAX);
	buf_init(&values, 4 * CACHE_KEY_MAX);
	if (!err && merge(old, r, &fields) == 0)
		o = span ? build_span(old, r, span, &fields, &names, &values) : build(old, r, &fields, &names, &values);
	buf_fini(&values);
	buf_fini(&names);
	http_fields_fini(&of_use);
	http_fields_fini(&fields);
	return o;
}

struct object *object_refreshed(struct object *old, const struct refresh *r)
{
	return successor(old, r, NULL);
}

struct object *object_respanned(struct object *old, const struct refresh *r, const struct span *span)
{
	return successor(old, r, span);
}
