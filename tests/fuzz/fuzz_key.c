/* SPDX-License-Identifier: MIT */
/* Keys and Vary from arbitrary bytes. Checked: whatever the rules, two requests share a key only if URL, named fields,
 * cookies and body are the same for them; a key can be built again to the same bytes; what vary_values wrote matches its
 * own request; and matching never trusts stored bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "cache/policy/key.h"
#include "cache/policy/key_body.h"
#include "cache/policy/vary.h"
#include "tests/unit/cache/policy/default_rules.h"

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t take_byte(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

/* Up to the next newline. */
static struct slice take_line(struct input *in)
{
	const uint8_t *end = in->n ? memchr(in->p, '\n', in->n) : NULL;
	size_t n = end ? (size_t)(end - in->p) : in->n, taken = end ? n + 1 : n;
	struct slice line = {(const char *)in->p, n};
	in->p += taken;
	in->n -= taken;
	return line;
}

static void take_request(struct input *in, struct http_request *r, struct slice *body)
{
	static const struct slice names[] = {{"Cookie", 6}, {"X-A", 3}, {"Accept-Encoding", 15},
		{"Accept-Language", 15}, {"Content-Type", 12}, {"Authorization", 13}, {"Foo", 3}, {"Vary", 4}};
	uint8_t flags = take_byte(in);
	http_request_init(r);
	r->method = flags & 1 ? HTTP_POST : HTTP_GET;
	r->has_query = flags & 2;
	r->path = take_line(in);
	r->query = r->has_query ? take_line(in) : SLICE_LIT("");
	for (unsigned lines = flags >> 2 & 7; lines > 0; lines--) {
		struct slice name = names[take_byte(in) & 7];
		if (http_fields_add(&r->fields, name, slice_trim(take_line(in))) < 0)
			abort();
	}
	*body = flags & 1 ? take_line(in) : SLICE_LIT("");
}

static struct cache_rules rules_of(uint8_t byte)
{
	static const struct slice query_names[] = {{"a", 1}, {"utm_*", 5}}, headers[] = {{"x-a", 3}, {"Foo", 3}};
	static const struct slice cookies[] = {{"c", 1}, {"d", 1}};
	struct cache_rules r = default_rules();
	r.query.rule = (enum cache_query_rule)(byte & 7) <= CACHE_QUERY_DROP ? (enum cache_query_rule)(byte & 7)
									     : CACHE_QUERY_SORT;
	r.query.names = (struct slices){query_names, 2};
	r.key_headers = (struct slices){headers, 2};
	r.key_cookies = (struct slices){cookies, 2};
	r.json_body_key = byte & 8;
	r.scope = byte & 16 ? CACHE_SCOPE_USER : CACHE_SCOPE_SHARED;
	r.user_from.is_cookie = byte & 32;
	r.user_from.name = r.user_from.is_cookie ? SLICE_LIT("c") : SLICE_LIT("Authorization");
	return r;
}

static bool same_lines(const struct http_fields *a, const struct http_fields *b, struct slice name)
{
	uint32_t i = 0, j = 0;
	for (;;) {
		const struct http_field *x = http_fields_find_next(a, name, &i),
					*y = http_fields_find_next(b, name, &j);
		if (!x || !y)
			return !x && !y;
		if (!slice_equal(x->value, y->value))
			return false;
	}
}

static void check(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "broken: %s\n", what);
		abort();
	}
}

static void check_equal_keys(const struct cache_rules *rules, const struct http_request *a, struct slice body_a,
	const struct http_request *b, struct slice body_b)
{
	struct buf url_a, url_b;
	buf_init(&url_a, CACHE_KEY_MAX);
	buf_init(&url_b, CACHE_KEY_MAX);
	int rc = cache_url_build(&url_a, rules, SLICE_LIT("http://o"), a->path, a->has_query, a->query);
	rc |= cache_url_build(&url_b, rules, SLICE_LIT("http://o"), b->path, b->has_query, b->query);
	check(rc == 0 && slice_equal(buf_slice(&url_a), buf_slice(&url_b)), "one key, two URLs");
	check(a->method == b->method, "one key, two methods");
	for (unsigned i = 0; i < rules->key_headers.n; i++)
		check(same_lines(&a->fields, &b->fields, rules->key_headers.v[i]), "one key, two headers");
	if (a->method == HTTP_POST && !rules->json_body_key)
		check(slice_equal(body_a, body_b), "one key, two bodies");
	if (a->method == HTTP_POST)
		check(same_lines(&a->fields, &b->fields, SLICE_LIT("Content-Type")), "one key, two types");
	if (rules->scope == CACHE_SCOPE_USER && !rules->user_from.is_cookie)
		check(same_lines(&a->fields, &b->fields, rules->user_from.name), "one key, two users");
	buf_fini(&url_a);
	buf_fini(&url_b);
}

static void check_keys(const struct cache_rules *rules, const struct http_request *a, struct slice body_a,
	const struct http_request *b, struct slice body_b)
{
	static const struct key_secret secret = {"of the fuzzer"};
	struct cache_key ka, kb, again;
	struct cache_key_input in_a = {
		.http = a, .origin = SLICE_LIT("http://o"), .extra = SLICE_LIT("x"), .body = body_a, .secret = &secret};
	struct cache_key_input in_b = {
		.http = b, .origin = SLICE_LIT("http://o"), .extra = SLICE_LIT("x"), .body = body_b, .secret = &secret};
	cache_key_init(&ka);
	cache_key_init(&kb);
	cache_key_init(&again);
	int rc_a = cache_key_build(&ka, rules, &in_a), rc_b = cache_key_build(&kb, rules, &in_b);
	check(cache_key_build(&again, rules, &in_a) == rc_a, "the same error twice");
	if (rc_a == 0) {
		check(slice_equal(buf_slice(&ka.bytes), buf_slice(&again.bytes)), "the same key twice");
		check(ka.url_off + ka.url_n < ka.bytes.n && ka.bytes.p[ka.url_off + ka.url_n] == '\0',
			"the URL ends at NUL");
	}
	if (rc_a == 0 && rc_b == 0 && slice_equal(buf_slice(&ka.bytes), buf_slice(&kb.bytes)))
		check_equal_keys(rules, a, body_a, b, body_b);
	cache_key_fini(&ka);
	cache_key_fini(&kb);
	cache_key_fini(&again);
}

static void check_vary(const struct http_request *a, const struct http_request *b)
{
	struct buf names, values_a, values_b;
	buf_init(&names, 65536);
	buf_init(&values_a, 1 << 20);
	buf_init(&values_b, 1 << 20);
	if (vary_names(&a->fields, &names) == VARY_FIELDS) {
		struct slice n = buf_slice(&names), none = {0};
		check(vary_values(n, &a->fields, &values_a) == 0, "values of a");
		check(vary_values(n, &b->fields, &values_b) == 0, "values of b");
		check(vary_matches(n, buf_slice(&values_a), none, &a->fields), "a request matches its own values");
		check(vary_matches(n, buf_slice(&values_a), none, &b->fields) ==
				slice_equal(buf_slice(&values_a), buf_slice(&values_b)),
			"matching is equality of values");
		/* Stored bytes that nobody wrote. */
		(void)vary_matches(n, a->path, b->path, &b->fields);
	}
	buf_fini(&names);
	buf_fini(&values_a);
	buf_fini(&values_b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct cache_rules rules = rules_of(take_byte(&in));
	struct http_request a, b;
	struct slice body_a, body_b;
	take_request(&in, &a, &body_a);
	take_request(&in, &b, &body_b);
	check_keys(&rules, &a, body_a, &b, body_b);
	check_vary(&a, &b);
	http_request_fini(&a);
	http_request_fini(&b);
	return 0;
}
