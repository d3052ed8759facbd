/* SPDX-License-Identifier: MIT */
/* Making objects: the head that every hit sends, and what decides its use, in one allocation. */
#include <errno.h>
#include <stdio.h>

#include "cache/memory/chunks.h"
#include "cache/memory/object_internal.h"
#include "http/date.h"
#include "http/sf.h"

/* Counts while p is NULL, writes on the second round. */
struct sink {
	char *p;
	size_t n;
};

static void put(struct sink *s, const void *p, size_t n)
{
	if (s->p && n > 0)
		memcpy(s->p + s->n, p, n);
	s->n += n;
}

static void put_slice(struct sink *s, struct slice v)
{
	put(s, v.p, v.n);
}

static void put_field(struct sink *s, struct slice name, struct slice value)
{
	put_slice(s, name);
	put(s, ": ", 2);
	put_slice(s, value);
	put(s, "\r\n", 2);
}

/* Age is of the moment; framing is ours; Via gets one line of its own. */
static bool is_left_out(enum http_field_id id)
{
	return id == HF_AGE || id == HF_CONTENT_LENGTH || id == HF_VIA || http_field_is_hop_by_hop(id);
}

static void put_via(struct sink *s, const struct object_spec *spec)
{
	const struct http_field *f;
	bool any = false;

	if (spec->via.n == 0 && !http_fields_get(spec->fields, HF_VIA))
		return;
	put(s, "Via: ", 5);
	for (uint32_t i = 0; (f = http_fields_next(spec->fields, HF_VIA, &i)); any = true) {
		put(s, ", ", any ? 2 : 0);
		put_slice(s, f->value);
	}
	if (spec->via.n > 0) {
		put(s, ", ", any ? 2 : 0);
		put_slice(s, spec->via);
	}
	put(s, "\r\n", 2);
}

/* RFC 9110 8.6: none in a 204, and in a 304 it would be another response's. */
static bool has_content_length(const struct object_spec *spec)
{
	return spec->content_length >= 0 && !spec->part && spec->status >= 200 && spec->status != 204 &&
	       spec->status != 304;
}

static void put_head(struct sink *s, const struct object_spec *spec)
{
	char date[30], digits[SLICE_U64_DIGITS];

	put_slice(s, SLICE_LIT("HTTP/1.1 "));
	put_slice(s, slice_of_u64(digits, (unsigned)spec->status));
	put(s, " ", 1);
	put_slice(s, slice_of(http_reason(spec->status)));
	put(s, "\r\n", 2);
	for (uint32_t i = 0; i < spec->fields->n; i++)
		if (!is_left_out(spec->fields->v[i].id))
			put_field(s, spec->fields->v[i].name, spec->fields->v[i].value);
	if (!http_fields_get(spec->fields, HF_DATE)) { /* RFC 9110 6.6.1: when it was received */
		http_date_format(spec->freshness.received_wall_ms / 1000, date);
		put_field(s, SLICE_LIT("Date"), slice_of(date));
	}
	if (spec->etag.n > 0)
		put_field(s, SLICE_LIT("ETag"), spec->etag);
	put_via(s, spec);
	if (has_content_length(spec))
		put_field(s, SLICE_LIT("Content-Length"), slice_of_u64(digits, (uint64_t)spec->content_length));
}

/* ---- Tags ---- */

static bool is_tag_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t';
}

static void put_tags_of(struct sink *s, struct slice v)
{
	for (size_t i = 0; i < v.n;) {
		size_t start = i;

		while (i < v.n && !is_tag_separator(v.p[i]))
			i++;
		if (i > start) {
			uint64_t h = purge_tag_hash((struct slice){v.p + start, i - start});

			put(s, &h, sizeof(h));
		}
		i++;
	}
}

/* RFC 9875 2: a list of Strings; one that does not parse as such counts as absent. */
static void put_groups(struct sink *s, const struct object_spec *spec, struct slice name)
{
	struct sf_parser parser;
	struct sf_item item;
	struct buf joined, group;

	buf_init(&joined, CACHE_KEY_MAX);
	buf_init(&group, CACHE_KEY_MAX);
	if (http_fields_join(spec->fields, http_field_id_of(name), &joined) == 0 && sf_list_valid(buf_slice(&joined))) {
		sf_parser_init(&parser, buf_slice(&joined));
		while (sf_list_next(&parser, &item) == 1) {
			buf_reset(&group);
			if (item.type == SF_STRING && sf_string_unescape(&item, &group) == 0) {
				uint64_t h = purge_tag_hash(buf_slice(&group));

				put(s, &h, sizeof(h));
			}
		}
	}
	buf_fini(&group);
	buf_fini(&joined);
}

/* Surrogate-Key parts its tags by spaces, Cache-Tag by commas. */
static void put_tags(struct sink *s, const struct object_spec *spec)
{
	put(s, spec->tags, spec->tags_n * sizeof(*spec->tags));
	for (unsigned i = 0; spec->tag_headers && i < spec->tag_headers->n; i++) {
		const struct http_field *f;

		if (slice_equal_nocase(spec->tag_headers->v[i], SLICE_LIT("Cache-Groups"))) {
			put_groups(s, spec, spec->tag_headers->v[i]);
			continue;
		}
		for (uint32_t k = 0; (f = http_fields_find_next(spec->fields, spec->tag_headers->v[i], &k));)
			put_tags_of(s, f->value);
	}
}

/* ---- Allocation ---- */

struct layout {
	size_t tags_n, extras_n, head_n, inline_n;
	enum body_kind kind;
};

static struct layout measure(const struct object_spec *spec)
{
	struct layout l = {.kind = BODY_CHUNKS};
	struct sink head = {0}, tags = {0};

	put_head(&head, spec);
	put_tags(&tags, spec);
	l.head_n = head.n;
	l.tags_n = tags.n / sizeof(uint64_t);
	if (l.tags_n > 0 || spec->vary_names.n > 0 || spec->part || spec->may_encode)
		l.extras_n = sizeof(struct object_extras) + (spec->part ? sizeof(*spec->part) : 0) + tags.n +
			     spec->vary_names.n + spec->vary_values.n;
	if (spec->is_windowed)
		return l;
	if (spec->is_in_lower)
		l.kind = BODY_IN_LOWER;
	else if (spec->shared || spec->content_length > OBJECT_INLINE_MAX)
		l.kind = BODY_BLOCK;
	else if (spec->content_length >= 0)
		l.kind = BODY_INLINE;
	if (l.kind == BODY_INLINE)
		l.inline_n = (size_t)spec->content_length;
	return l;
}

struct block *block_new(struct shard *s, uint64_t n)
{
	struct block *b = n < SIZE_MAX / 2 ? memory_take(s, sizeof(*b) + n) : NULL;

	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->n = n;
	return b;
}

static int init_body(struct object *o, const struct object_spec *spec, const struct layout *l)
{
	struct shard *s = spec->entry->shard;

	o->body_kind = (uint8_t)l->kind;
	switch (l->kind) {
	case BODY_INLINE:
		o->body.inline_n = l->inline_n;
		return 0;
	case BODY_BLOCK:
	case BODY_IN_LOWER:
		o->body.block = spec->shared;
		if (spec->shared)
			atomic_fetch_add_explicit(&spec->shared->refs, 1, memory_order_relaxed);
		else
			o->body.block = block_new(s, (uint64_t)spec->content_length);
		return o->body.block ? 0 : -ENOMEM;
	default:
		o->body.chunks = chunks_new(s, spec->content_length);
		return o->body.chunks ? 0 : -ENOMEM;
	}
}

static void write_extras(struct object *o, const struct object_spec *spec, const struct layout *l)
{
	struct object_extras *x = (void *)o->tail;
	struct sink s = {.p = (char *)(x + 1)};

	if (l->extras_n == 0)
		return;
	o->flags |= OBJECT_HAS_EXTRAS;
	if (spec->part)
		o->flags |= OBJECT_IS_PARTIAL;
	if (spec->may_encode)
		o->flags |= OBJECT_MAY_ENCODE;
	*x = (struct object_extras){
		.names_n = (uint32_t)spec->vary_names.n,
		.values_n = (uint32_t)spec->vary_values.n,
		.tags_n = (uint32_t)l->tags_n,
		.total_n = (uint32_t)l->extras_n,
	};
	if (spec->part)
		put(&s, spec->part, sizeof(*spec->part));
	put_tags(&s, spec);
	put_slice(&s, spec->vary_names);
	put_slice(&s, spec->vary_values);
}

static bool can_be_validated(const struct object_spec *spec)
{
	bool has_etag = http_fields_get(spec->fields, HF_ETAG) && spec->etag.n == 0 && !spec->etag_is_ours;

	return policy_may_validate(spec->status) && (has_etag || http_fields_get(spec->fields, HF_LAST_MODIFIED));
}

struct object *object_new(const struct object_spec *spec)
{
	struct layout l = measure(spec);
	struct object *o = memory_take(spec->entry->shard, sizeof(*o) + l.extras_n + l.head_n + l.inline_n);
	struct sink head = {0};

	if (!o)
		return NULL;
	memset(o, 0, sizeof(*o));
	atomic_init(&o->refs, 1);
	o->status = (uint16_t)spec->status;
	if (init_body(o, spec, &l) != 0) {
		memory_give(spec->entry->shard, o);
		return NULL;
	}
	o->entry = entry_ref(spec->entry);
	atomic_init(&o->epoch, spec->epoch);
	o->freshness = spec->freshness;
	if (spec->etag.n > 0 || spec->etag_is_ours)
		o->flags |= OBJECT_ETAG_IS_OURS;
	if (can_be_validated(spec))
		o->flags |= OBJECT_HAS_VALIDATOR;
	if (has_content_length(spec))
		o->flags |= OBJECT_SAYS_LENGTH;
	link_init(&o->expiry);
	write_extras(o, spec, &l);
	head.p = o->tail + l.extras_n;
	put_head(&head, spec);
	o->head_n = (uint32_t)head.n;
	if (spec->shared)
		atomic_init(&o->progress, (uint64_t)spec->content_length << 2 | BODY_COMPLETE);
	return o;
}

/* ---- Copies ---- */

int object_copy_body(struct object *to, const struct object *from)
{
	struct slice run;
	uint64_t n, at = 0;
	int err = 0;

	(void)object_body_state(from, &n);
	for (; at < n && !err; at += run.n) {
		run = object_body_at(from, at);
		err = object_append(to, run.p, run.n, false);
	}
	if (!err)
		object_finish(to, BODY_COMPLETE);
	return err;
}

int object_fields(const struct object *o, struct http_fields *out)
{
	struct http_field f;
	int err = 0;

	for (size_t at = 0; !err && object_field_next(o, &at, &f);)
		err = http_fields_add(out, f.name, f.value);
	return err;
}

static struct object *copy_of(const struct object *o, const struct slices *tag_headers, struct slice etag)
{
	struct http_fields fields;
	struct object *copy = NULL;
	struct object_spec spec = {
		.entry = o->entry,
		.status = o->status,
		.fields = &fields,
		.content_length = object_body_length(o),
		.freshness = o->freshness,
		.epoch = object_epoch(o),
		.vary_names = object_vary_names(o),
		.vary_values = object_vary_values(o),
		.tag_headers = tag_headers,
		.may_encode = o->flags & OBJECT_MAY_ENCODE,
		.etag = etag,
		.etag_is_ours = o->flags & OBJECT_ETAG_IS_OURS,
	};

	if (spec.content_length < 0) { /* still growing as far as readers know: the caller knows better */
		uint64_t n;

		(void)object_body_state(o, &n);
		spec.content_length = (int64_t)n;
	}
	http_fields_init(&fields);
	if (object_fields(o, &fields) == 0)
		copy = object_new(&spec);
	http_fields_fini(&fields);
	if (copy && object_copy_body(copy, o) != 0)
		object_unref(&copy);
	return copy;
}

struct object *object_consolidated(const struct object *o, const struct slices *tag_headers)
{
	return copy_of(o, tag_headers, (struct slice){"", 0});
}

#define MADE "\"auto-"
#define MADE_DIGITS 32

bool object_tag_is_made(struct slice tag)
{
	if (tag.n != sizeof(MADE) - 1 + MADE_DIGITS || !slice_starts_with(tag, SLICE_LIT(MADE)))
		return false;
	for (size_t i = sizeof(MADE) - 1; i < tag.n; i++)
		if (!(tag.p[i] >= '0' && tag.p[i] <= '9') && !(tag.p[i] >= 'a' && tag.p[i] <= 'f'))
			return false;
	return true;
}

/* Strong: other bytes, other tag. */
struct object *object_tagged(const struct object *o, const struct slices *tag_headers)
{
	XXH3_state_t state;
	XXH128_hash_t hash;
	char etag[sizeof(MADE) + MADE_DIGITS + 1];
	uint64_t n, at = 0;

	(void)XXH3_128bits_reset(&state);
	(void)object_body_state(o, &n);
	while (at < n) {
		struct slice run = object_body_at(o, at);

		(void)XXH3_128bits_update(&state, run.p, run.n);
		at += run.n;
	}
	hash = XXH3_128bits_digest(&state);
	snprintf(etag, sizeof(etag), MADE "%016llx%016llx\"", (unsigned long long)hash.high64,
		(unsigned long long)hash.low64);
	return copy_of(o, tag_headers, slice_of(etag));
}
