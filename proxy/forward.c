#include "proxy/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "proxy/hops.h"
#include "proxy/tags.h"

#define TEXT_MAX (128 * 1024)

void forward_init(struct forward *f)
{
	http_fields_init(&f->fields);
	buf_init(&f->text, TEXT_MAX);
	buf_init(&f->tags, TEXT_MAX);
}

void forward_fini(struct forward *f)
{
	http_fields_fini(&f->fields);
	buf_fini(&f->text);
	buf_fini(&f->tags);
}

/* Written by us, or between hops: never as they came. */
static bool is_ours(enum http_field_id id)
{
	switch (id) {
	case HF_HOST:
	case HF_CONTENT_LENGTH:
	case HF_EXPECT:
	case HF_VIA:
	case HF_X_FORWARDED_FOR:
	case HF_X_FORWARDED_PROTO:
	case HF_MAX_FORWARDS:
	case HF_PROXY_AUTHORIZATION: /* was for us, if for anyone: RFC 9110 11.7.2 */
	case HF_PROXY:               /* becomes HTTP_PROXY in CGI programs */
		return true;
	default:
		return http_field_is_hop_by_hop(id);
	}
}

/* Fields by which frameworks let a client choose another URL, host, method or scheme than the ones in the key. An answer
 * made for them must not be stored under the plain key: that is cache poisoning. */
static bool is_routing_override(const struct http_field *f)
{
	static const char *const names[] = {
		"forwarded",
		"front-end-https",
		"x-backend-host",
		"x-client-ip",
		"x-host",
		"x-http-method",
		"x-http-method-override",
		"x-method-override",
		"x-http-host-override",
		"x-original-host",
		"x-original-url",
		"x-override-url",
		"x-real-ip",
		"x-rewrite-url",
		"x-script-name",
		"x-url-scheme",
		"true-client-ip",
		"cf-connecting-ip",
		"x-original-uri",
		"x-scheme",
		"x-proxy-url",
		"x-forwarded",
		"x-middleware-prefetch",
		"x-middleware-subrequest",
		"x-cluster-client-ip",
	};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (slice_equal_nocase(f->name, slice_of(names[i])))
			return true;
	return false;
}

/* What only a proxy may say (X-Forwarded-Host, -Port, -Prefix...): a client that says it lies, or means another proxy. */
static bool is_proxy_word(const struct http_field *f)
{
	return f->name.n > 12 && slice_equal_nocase((struct slice){f->name.p, 12}, SLICE_LIT("x-forwarded-"));
}

static bool is_condition(enum http_field_id id)
{
	return id == HF_IF_MATCH || id == HF_IF_NONE_MATCH || id == HF_IF_MODIFIED_SINCE ||
	       id == HF_IF_UNMODIFIED_SINCE || id == HF_IF_RANGE || id == HF_RANGE;
}

/* In the key already, or allowed by the operator. */
static bool is_named(const struct target *t, struct slice name)
{
	const struct cache_names *keyed = &t->rules->key_headers;
	const struct config_names *allowed = &t->route->forward_headers;

	for (unsigned i = 0; i < keyed->n; i++)
		if (slice_equal_nocase(keyed->v[i], name))
			return true;
	for (unsigned i = 0; i < allowed->n; i++)
		if (slice_equal_nocase(allowed->v[i], name))
			return true;
	return false;
}

/* What is to be looked into, or coded here, must come as it is; and HEAD speaks of what GET would get. */
static bool wants_identity(const struct forward_options *o)
{
	bool is_for_cache = o->is_plain || (o->target->is_cacheable && o->http->method == HTTP_HEAD);

	return is_for_cache && (o->target->rules->store_if != CACHE_STORE_ANY || o->target->rules->compress);
}

static bool passes(const struct forward_options *o, const struct http_field *f)
{
	if (is_ours(f->id))
		return false;
	if (o->is_plain && is_condition(f->id))
		return false;
	if (f->id == HF_ACCEPT_ENCODING && wants_identity(o))
		return false;
	if (is_proxy_word(f) || (o->target->is_cacheable && is_routing_override(f)))
		return is_named(o->target, f->name);
	return true;
}

static bool is_address(struct slice s)
{
	char text[64];
	unsigned char bytes[16];

	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* The client's own list goes on only as far as it holds addresses: it is input that nobody vouches for. */
static void add_forwarded_for(struct buf *b, const struct forward_options *o)
{
	const struct http_field *f;
	struct slice rest, member;
	size_t start = b->n;
	uint32_t i = 0;

	while ((f = http_fields_next(&o->http->fields, HF_X_FORWARDED_FOR, &i))) {
		rest = f->value;
		while (http_list_next(&rest, &member)) {
			if (!is_address(member))
				continue;
			if (b->n > start)
				buf_add(b, ", ", 2);
			buf_add_slice(b, member);
		}
	}
	if (b->n > start)
		buf_add(b, ", ", 2);
	buf_add_str(b, o->peer);
}

static void add_via(struct buf *b, const struct http_request *r)
{
	const struct http_field *f;
	uint32_t i = 0;

	while ((f = http_fields_next(&r->fields, HF_VIA, &i))) {
		buf_add_slice(b, f->value);
		buf_add(b, ", ", 2);
	}
	buf_add_slice(b, hops_via(r->minor));
}

/* Our own fields are composed into `text` first, for its storage may move while it grows. */
static int add_own(struct forward *f, const struct forward_options *o)
{
	size_t via_end, for_end;
	int err = 0;

	add_via(&f->text, o->http);
	via_end = f->text.n;
	if (o->peer)
		add_forwarded_for(&f->text, o);
	for_end = f->text.n;
	if (f->text.err)
		return f->text.err;
	err = http_fields_add_id(&f->fields, HF_VIA, (struct slice){f->text.p, via_end});
	if (!err && o->peer) {
		err = http_fields_add_id(
			&f->fields, HF_X_FORWARDED_FOR, (struct slice){f->text.p + via_end, for_end - via_end});
		if (!err)
			err = http_fields_add_id(
				&f->fields, HF_X_FORWARDED_PROTO, o->tls ? SLICE_LIT("https") : SLICE_LIT("http"));
	}
	return err;
}

/* The one that was checked to be above 0 when the request came. */
static int add_max_forwards(struct forward *f, const struct http_request *r)
{
	int64_t left = hops_left(r);
	int n = snprintf(f->max_forwards, sizeof(f->max_forwards), "%lld", (long long)left - 1);

	return left <= 0 ? 0
			 : http_fields_add_id(&f->fields, HF_MAX_FORWARDS, (struct slice){f->max_forwards, (size_t)n});
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

static int copy_passing(struct forward *f, const struct forward_options *o)
{
	const struct http_fields *in = &o->http->fields;
	int err;

	for (uint32_t i = 0; i < in->n; i++) {
		/* Hop-by-hop fields stay in the list until below, where Connection says which more to drop. */
		if (in->v[i].id != HF_CONNECTION && !passes(o, &in->v[i]))
			continue;
		err = http_fields_add(&f->fields, in->v[i].name, in->v[i].value);
		if (err)
			return err;
	}
	return http_fields_drop_hop_by_hop(&f->fields);
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
			field.value = (struct slice){f->tags.p + from, f->tags.n - from};
		}
		fields->v[kept++] = field;
	}
	fields->n = kept;
	return 0;
}

static int restore_conditions(struct forward *f, const struct cache_rules *rules)
{
	const struct http_field *if_range = http_fields_get(&f->fields, HF_IF_RANGE);

	if (!rules->compress && !rules->etag_auto)
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
	buf_reset(&f->text);
	err = copy_passing(f, o);
	if (!err)
		err = restore_conditions(f, o->target->rules);
	if (!err)
		err = add_own(f, o);
	if (!err)
		err = http_fields_add_id(&f->fields, HF_CDN_LOOP, hops_cdn_loop());
	if (!err)
		err = add_max_forwards(f, o->http);
	if (!err && o->stored)
		err = add_validators(f, o->stored);
	if (!err && wants_identity(o))
		err = http_fields_add_id(&f->fields, HF_ACCEPT_ENCODING, SLICE_LIT("identity"));
	if (!err && o->is_tail)
		err = add_tail(f, o);
	return err;
}
