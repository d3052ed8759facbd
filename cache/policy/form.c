/* SPDX-License-Identifier: MIT */
#include "cache/policy/form.h"

#include "base/hash.h"
#include "cache/policy/credentials.h"
#include "http/syntax.h"

/* Of shared cookies that are left out of one request's form. */
#define SHARED_MAX 512
/* What an id looks like at most. */
#define ID_MAX 256

/* Sent by requests that pass only. */
static bool is_passed(enum http_field_id id)
{
	return id == HF_RANGE || id == HF_IF_RANGE || id == HF_IF_MATCH || id == HF_IF_NONE_MATCH ||
	       id == HF_IF_MODIFIED_SINCE || id == HF_IF_UNMODIFIED_SINCE;
}

static bool is_nobodys(enum http_field_id id)
{
	if (is_passed(id))
		return true;
	switch (id) {
	case HF_HOST:           /* in the key, as far as it is sent */
	case HF_CONTENT_LENGTH: /* of a body, which is in the key */
	case HF_EXPECT:
	case HF_X_FORWARDED_PROTO:
		return true;
	default:
		return http_field_is_hop_by_hop(id);
	}
}

/* Each request has one of its own, from a balancer or a tracer. */
static bool is_id(enum http_field_id id)
{
	switch (id) {
	case HF_TRACEPARENT:
	case HF_TRACESTATE:
	case HF_BAGGAGE:
	case HF_X_REQUEST_ID:
	case HF_X_CORRELATION_ID:
		return true;
	default:
		return false;
	}
}

/* Of what is said to caches: so many bytes in all of a request's fields, as browsers and HTTP libraries write it. */
#define FOR_CACHES_MAX 96

static bool is_number(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0 && s.n < 10;
}

/* "no-cache", or "max-age=" and a number where the word is one that takes one. */
static bool is_usual_directive(struct slice member)
{
	static const struct slice alone[] = {
		{"no-cache", 8}, {"no-store", 8}, {"no-transform", 12}, {"only-if-cached", 14}};
	static const struct slice with[] = {{"max-age", 7}, {"max-stale", 9}, {"min-fresh", 9}, {"stale-if-error", 14}};
	struct slice name, number;

	for (unsigned i = 0; i < ARRAY_LEN(alone); i++)
		if (slice_equal_nocase(alone[i], member))
			return true;
	(void)slice_cut(member, '=', &name, &number);
	for (unsigned i = 0; i < ARRAY_LEN(with); i++)
		if (slice_equal_nocase(with[i], name))
			return is_number(number);
	return false;
}

/* Urgency and whether it is incremental (RFC 9218 4). */
static bool is_usual_priority(struct slice member)
{
	return slice_equal(member, SLICE_LIT("i")) ||
	       (member.n == 3 && memcmp(member.p, "u=", 2) == 0 && member.p[2] >= '0' && member.p[2] <= '7');
}

/* What is said to caches on the way tells nothing of what an origin makes of the request (RFC 9111 5.2.1, 5.4); unless somebody has made
 * it up. *left: of FOR_CACHES_MAX. */
static bool is_for_caches(const struct http_field *f, size_t *left)
{
	struct slice rest = f->value, member;
	unsigned n = 0;

	if ((f->id != HF_CACHE_CONTROL && f->id != HF_PRAGMA && f->id != HF_PRIORITY) || f->value.n > *left)
		return false;
	for (; http_list_next(&rest, &member); n++)
		if (!(f->id == HF_PRIORITY ? is_usual_priority(member) : is_usual_directive(member)))
			return false;
	if (n == 0 || n > 4)
		return false;
	*left -= f->value.n;
	return true;
}

static uint64_t mix(uint64_t h, struct slice s)
{
	uint64_t both[2] = {h, hash64_of(s.n ? s.p : "", s.n)};

	return hash64_of(both, sizeof(both));
}

static uint64_t mix_name(uint64_t h, const struct http_field *f)
{
	return f->id == HF_OTHER ? mix(h, f->name) : mix(h, http_field_name(f->id));
}

/* Lists whose last member is the proxy's own word: the client's address, which would make each client a form of its own, and its
 * name. */
static bool ends_with_proxys(const struct http_fields *request, uint32_t i)
{
	enum http_field_id id = request->v[i].id;
	uint32_t next = i + 1;

	return (id == HF_X_FORWARDED_FOR || id == HF_VIA || id == HF_CDN_LOOP) && !http_fields_next(request, id, &next);
}

/* The client's own part of such a list. Empty: there is no other member. */
static struct slice clients_part(struct slice list)
{
	while (list.n > 0 && list.p[list.n - 1] != ',')
		list.n--;
	return list;
}

static bool is_plain(struct slice s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-=";

	for (size_t i = 0; i < s.n; i++)
		if (!memchr(plain, s.p[i], sizeof(plain) - 1))
			return false;
	return true;
}

/* With what surrounds them, but for one blank and the semicolon. *left: of SHARED_MAX. */
static uint64_t mix_cookies(uint64_t h, const struct cache_rules *rules, struct slice value, size_t *left)
{
	struct slice rest = value, pair;
	bool left_out = false;

	while (cookie_next(&rest, &pair)) {
		struct slice whole = {value.p, value.n - rest.n};

		value = rest;
		if (pair.n > 0 && whole.n <= pair.n + 2 && pair.n <= *left && is_plain(pair) &&
			cookie_is_shared(rules, pair)) {
			*left -= pair.n;
			left_out = true;
		} else {
			h = mix(h, whole);
		}
	}
	return left_out ? mix(h, SLICE_LIT("shared")) : h;
}

uint64_t form_of(const struct cache_rules *rules, const struct http_fields *request)
{
	uint64_t h = FORM_PLAIN;
	size_t left = SHARED_MAX, left_for_caches = FOR_CACHES_MAX;

	for (uint32_t i = 0; i < request->n; i++) {
		const struct http_field *f = &request->v[i];
		bool is_ended = ends_with_proxys(request, i);
		struct slice value = is_ended ? clients_part(f->value) : f->value;

		if (f->id == HF_COOKIE)
			h = mix_cookies(mix_name(h, f), rules, value, &left);
		else if (is_id(f->id) && value.n > 0 && value.n <= ID_MAX && is_plain(value))
			h = mix_name(h, f);
		else if (is_ended ? value.n > 0 : !is_nobodys(f->id) && !is_for_caches(f, &left_for_caches))
			h = mix(mix_name(h, f), value);
	}
	return h;
}

bool form_has_own(const struct http_fields *request)
{
	for (uint32_t i = 0; i < request->n; i++)
		if (is_passed(request->v[i].id))
			return true;
	return false;
}

uint64_t form_of_passed(const struct cache_rules *rules, const struct http_fields *request)
{
	uint64_t h = form_of(rules, request);

	for (uint32_t i = 0; i < request->n; i++)
		if (is_passed(request->v[i].id))
			h = mix(mix_name(h, &request->v[i]), request->v[i].value);
	return h;
}
