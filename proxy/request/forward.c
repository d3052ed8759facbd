/* SPDX-License-Identifier: MIT */
#include "proxy/request/forward.h"

#include <stdio.h>

#include "proxy/request/tags.h"

#define TAGS_MAX (128 * 1024)

void forward_init(struct forward *f)
{
	http_fields_init(&f->fields);
	buf_init(&f->tags, TAGS_MAX);
}

void forward_fini(struct forward *f)
{
	http_fields_fini(&f->fields);
	buf_fini(&f->tags);
}

static bool is_condition(enum http_field_id id)
{
	return id == HF_IF_MATCH || id == HF_IF_NONE_MATCH || id == HF_IF_MODIFIED_SINCE ||
	       id == HF_IF_UNMODIFIED_SINCE || id == HF_IF_RANGE || id == HF_RANGE;
}

/* What is to be looked into, or coded here, must come as it is; and HEAD speaks of what GET would get. */
static bool wants_identity(const struct forward_options *o)
{
	bool is_for_cache = o->is_plain || (o->target->is_cacheable && o->target->sent.http.method == HTTP_HEAD);

	return is_for_cache &&
	       (o->target->route->rules.store_if != CACHE_STORE_ANY || o->target->route->rules.compress);
}

static int copy_fields(struct forward *f, const struct forward_options *o)
{
	const struct http_fields *in = &o->target->sent.http.fields;
	int err = http_fields_reserve(&f->fields, in->n);

	for (uint32_t i = 0; i < in->n && !err; i++) {
		enum http_field_id id = in->v[i].id;

		if ((o->is_plain && is_condition(id)) || (id == HF_ACCEPT_ENCODING && wants_identity(o)))
			continue;
		http_fields_append(&f->fields, &in->v[i]);
	}
	return err;
}

static int add_validators(struct forward *f, const struct object *stored)
{
	struct slice value;
	int err = 0;

	if (!object_etag_is_ours(stored) && object_field(stored, HF_ETAG, &value))
		err = http_fields_add_id(&f->fields, HF_IF_NONE_MATCH, value);
	if (!err && object_field(stored, HF_LAST_MODIFIED, &value))
		err = http_fields_add_id(&f->fields, HF_IF_MODIFIED_SINCE, value);
	return err;
}

static int add_tail(struct forward *f, const struct forward_options *o)
{
	int n = snprintf(f->range, sizeof(f->range), "bytes=%llu-", (unsigned long long)o->tail_from);
	int err = http_fields_add_id(&f->fields, HF_RANGE, (struct slice){f->range, (size_t)n});

	if (!err && o->tail_validator.n)
		err = http_fields_add_id(&f->fields, HF_IF_RANGE, o->tail_validator);
	return err;
}

/* The client's byte positions are of a body that the origin does not have. */
static bool is_of_other_bytes(struct slice if_range, const struct cache_rules *rules)
{
	return (rules->compress && tags_is_coded(if_range)) || tags_is_made(if_range, rules);
}

/* In place; the text stays where it is, for tags get no longer by it but for their commas. */
static int turn_tags_back(struct forward *f, const struct cache_rules *rules)
{
	struct http_fields *fields = &f->fields;
	uint32_t kept = 0;
	size_t n = 0;

	buf_reset(&f->tags);
	for (uint32_t i = 0; i < fields->n; i++)
		if (tags_are_in(fields->v[i].id))
			n += 2 * fields->v[i].value.n + 2;
	if (n == 0)
		return 0;
	if (!buf_reserve(&f->tags, n))
		return f->tags.err;
	for (uint32_t i = 0; i < fields->n; i++) {
		struct http_field field = fields->v[i];
		size_t from = f->tags.n;

		if (tags_are_in(field.id)) {
			if (tags_add_condition(&f->tags, &field, rules))
				return f->tags.err;
			if (f->tags.n == from && field.value.n > 0)
				continue;
			field.value = slice_from(buf_slice(&f->tags), from);
		}
		fields->v[kept++] = field;
	}
	fields->n = kept;
	return 0;
}

static int restore_conditions(struct forward *f, const struct cache_rules *rules)
{
	const struct http_field *if_range = http_fields_get(&f->fields, HF_IF_RANGE);

	if (!rules->compress && rules->etag != CACHE_ETAG_AUTO)
		return 0;
	if (if_range && is_of_other_bytes(if_range->value, rules)) {
		http_fields_remove(&f->fields, HF_RANGE);
		http_fields_remove(&f->fields, HF_IF_RANGE);
	}
	return turn_tags_back(f, rules);
}

int forward_build(struct forward *f, const struct forward_options *o)
{
	int err;

	http_fields_clear(&f->fields);
	err = copy_fields(f, o);
	if (!err)
		err = restore_conditions(f, &o->target->route->rules);
	if (!err && o->stored)
		err = add_validators(f, o->stored);
	if (!err && wants_identity(o))
		err = http_fields_add_id(&f->fields, HF_ACCEPT_ENCODING, SLICE_LIT("identity"));
	if (!err && o->is_tail)
		err = add_tail(f, o);
	return err;
}
