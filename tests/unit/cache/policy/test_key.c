/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>

#include "default_rules.h"

#include "base/mem.h"
#include "cache/policy/key.h"
#include "cache/policy/key_body.h"

#define ORIGIN SLICE_LIT("http://origin.example")
#define NAMES(...)                                                                         \
	(struct slices)                                                                    \
	{                                                                                  \
		(const struct slice[]){__VA_ARGS__},                                       \
			sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice) \
	}

static const struct key_secret secret = {"of the tests"};

struct ask {
	const char *method, *path, *query; /* NULL: no '?' */
	const char *fields;                /* "Name: value\n..." */
	const char *body, *origin, *extra, *host;
	bool is_https;
};

static void fields_of(struct http_fields *f, const char *text)
{
	while (text && *text) {
		size_t n = strcspn(text, "\n");
		const char *colon = memchr(text, ':', n);
		assert_non_null(colon);
		struct slice value = {colon + 1, n - (size_t)(colon + 1 - text)};
		assert_int_equal(
			http_fields_add(f, (struct slice){text, (size_t)(colon - text)}, slice_trim(value)), 0);
		text += n + (text[n] == '\n');
	}
}

static struct slice or_empty(const char *z)
{
	return z ? slice_of(z) : SLICE_LIT("");
}

static int build(struct cache_key *k, const struct cache_rules *rules, const struct ask *a)
{
	struct http_request r;
	http_request_init(&r);
	r.method = http_method_of(slice_of(a->method ? a->method : "GET"));
	r.path = slice_of(a->path ? a->path : "/");
	r.has_query = a->query != NULL;
	r.query = or_empty(a->query);
	fields_of(&r.fields, a->fields);
	struct cache_key_input in = {
		.http = &r,
		.origin = a->origin ? slice_of(a->origin) : ORIGIN,
		.extra = or_empty(a->extra),
		.host = or_empty(a->host),
		.is_https = a->is_https,
		.body = or_empty(a->body),
		.secret = &secret,
	};
	struct buf normal;
	buf_init(&normal, CACHE_KEY_MAX);
	assert_int_equal(cache_origin_add(&normal, in.origin), 0);
	in.is_normal_origin = slice_equal(
		buf_slice(&normal), in.origin); /* what is normal is taken as it is, and must give the same */
	buf_fini(&normal);
	int rc = cache_key_build(k, rules, &in);
	http_request_fini(&r);
	return rc;
}

static void assert_pair(const struct cache_rules *rules, const struct ask *a, const struct ask *b, bool same, int line)
{
	struct cache_key ka, kb;
	cache_key_init(&ka);
	cache_key_init(&kb);
	assert_int_equal(build(&ka, rules, a), 0);
	assert_int_equal(build(&kb, rules, b), 0);
	bool equal = slice_equal(buf_slice(&ka.bytes), buf_slice(&kb.bytes));
	assert_int_equal(equal, memcmp(&ka.hash, &kb.hash, sizeof(ka.hash)) == 0);
	if (equal != same)
		fail_msg("line %d: the keys %s", line, equal ? "are equal" : "differ");
	cache_key_fini(&ka);
	cache_key_fini(&kb);
}

#define ASK(...) (&(struct ask){__VA_ARGS__})
#define SAME(rules, a, b) assert_pair(rules, a, b, true, __LINE__)
#define DIFFERENT(rules, a, b) assert_pair(rules, a, b, false, __LINE__)

static void scheme_and_sent_host_count_and_are_not_in_the_url(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	DIFFERENT(&r, ASK(.is_https = true), ASK(.is_https = false));
	DIFFERENT(&r, ASK(.host = "a:443"), ASK(.host = "a"));
	DIFFERENT(&r, ASK(.host = "a", .is_https = true), ASK(.host = "as"));
	SAME(&r, ASK(.host = "a", .is_https = true), ASK(.host = "a", .is_https = true));
	struct cache_key plain, secure;
	cache_key_init(&plain);
	cache_key_init(&secure);
	assert_int_equal(build(&plain, &r, ASK(.path = "/p")), 0);
	assert_int_equal(build(&secure, &r, ASK(.path = "/p", .host = "h", .is_https = true)), 0);
	assert_true(slice_equal(cache_key_url(&plain), cache_key_url(&secure)));
	cache_key_fini(&plain);
	cache_key_fini(&secure);
}

static void get_and_head_share_and_other_methods_do_not(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	SAME(&r, ASK(.method = "GET"), ASK(.method = "HEAD"));
	DIFFERENT(&r, ASK(.method = "GET"), ASK(.method = "POST"));
	DIFFERENT(&r, ASK(.method = "GET"), ASK(.method = "QUERY"));
	DIFFERENT(&r, ASK(.method = "POST"), ASK(.method = "QUERY"));
	DIFFERENT(&r, ASK(.method = "GET"), ASK(.method = "PUT"));
	DIFFERENT(&r, ASK(.method = "GET"), ASK(.method = "get"));
}

static void every_byte_of_the_target_counts(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	DIFFERENT(&r, ASK(.path = "/a"), ASK(.path = "/b"));
	DIFFERENT(&r, ASK(.path = "/a"), ASK(.path = "/A"));
	DIFFERENT(&r, ASK(.path = "/a"), ASK(.path = "/a/"));
	DIFFERENT(&r, ASK(.path = "/a"), ASK(.path = "//a"));
	DIFFERENT(&r, ASK(.path = "/a"), ASK(.path = "/%61"));
	DIFFERENT(&r, ASK(.path = "/a/../b"), ASK(.path = "/b"));
	DIFFERENT(&r, ASK(.path = "/a"), ASK(.path = "/a", .query = ""));
	DIFFERENT(&r, ASK(.query = "a=1"), ASK(.query = "a=2"));
	DIFFERENT(&r, ASK(.query = "a=1&b=2"), ASK(.query = "b=2&a=1"));
	DIFFERENT(&r, ASK(.query = "a"), ASK(.query = "a="));
	DIFFERENT(&r, ASK(.path = "/", .query = "a"), ASK(.path = "/a"));
	DIFFERENT(&r, ASK(.extra = "one"), ASK(.extra = "two"));
	DIFFERENT(&r, ASK(.extra = "one"), ASK(.extra = ""));
	SAME(&r, ASK(.fields = "Foo: 1"), ASK(.fields = "Foo: 2"));
	SAME(&r, ASK(.body = "x"), ASK(.body = "y"));
}

static void the_origin_is_in_its_normal_form(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	SAME(&r, ASK(.origin = "http://origin.example"), ASK(.origin = "HTTP://Origin.EXAMPLE"));
	SAME(&r, ASK(.origin = "http://origin.example"), ASK(.origin = "http://origin.example:80"));
	SAME(&r, ASK(.origin = "http://origin.example"), ASK(.origin = "http://origin.example:"));
	SAME(&r, ASK(.origin = "http://origin.example:8080"), ASK(.origin = "http://origin.example:08080"));
	SAME(&r, ASK(.origin = "https://origin.example"), ASK(.origin = "https://origin.example:443"));
	SAME(&r, ASK(.origin = "http://[::1]"), ASK(.origin = "http://[::1]:80"));
	SAME(&r, ASK(.origin = "http://o/base", .path = "/x"), ASK(.origin = "http://o", .path = "/base/x"));
	DIFFERENT(&r, ASK(.origin = "http://origin.example"), ASK(.origin = "https://origin.example"));
	DIFFERENT(&r, ASK(.origin = "http://origin.example"), ASK(.origin = "http://origin.example:443"));
	DIFFERENT(&r, ASK(.origin = "https://origin.example"), ASK(.origin = "https://origin.example:80"));
	DIFFERENT(&r, ASK(.origin = "http://origin.example"), ASK(.origin = "http://origin.example.evil"));
	DIFFERENT(&r, ASK(.origin = "http://o/base"), ASK(.origin = "http://o/BASE"));
}

/* ---- Query rules ---- */

static void assert_url(const struct cache_rules *r, const char *query, const char *expected)
{
	struct buf out;
	struct cache_key k;
	buf_init(&out, CACHE_KEY_MAX);
	cache_key_init(&k);
	assert_int_equal(
		cache_url_build(&out, r, SLICE_LIT("HTTP://O:80"), SLICE_LIT("/p"), query != NULL, or_empty(query)), 0);
	if (!slice_equal(buf_slice(&out), slice_of(expected)))
		fail_msg("?%s became %.*s, not %s", query, SLICE_ARG(buf_slice(&out)), expected);
	assert_int_equal(build(&k, r, ASK(.origin = "http://o", .path = "/p", .query = query)), 0);
	assert_true(slice_equal(cache_key_url(&k), buf_slice(&out)));
	cache_key_fini(&k);
	buf_fini(&out);
}

static void query_rules_shape_the_url(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	assert_url(&r, NULL, "http://o/p");
	assert_url(&r, "", "http://o/p?");
	assert_url(&r, "b=2&a=1&&x", "http://o/p?b=2&a=1&&x");

	r.query.rule = CACHE_QUERY_SORT;
	assert_url(&r, NULL, "http://o/p");
	assert_url(&r, "", "http://o/p?");
	assert_url(&r, "a=1", "http://o/p?a=1");
	assert_url(&r, "b=2&a=1", "http://o/p?a=1&b=2");
	assert_url(&r, "b=1&a=2&b=0&a=1", "http://o/p?a=2&a=1&b=1&b=0");
	assert_url(&r, "ab=1&a=2", "http://o/p?a=2&ab=1");
	assert_url(&r, "a=2&%61=1", "http://o/p?a=2&%61=1");
	assert_url(&r, "%61=1&a=2", "http://o/p?%61=1&a=2");
	assert_url(&r, "a+c=1&b=1&a%20c=0", "http://o/p?a+c=1&a%20c=0&b=1");
	assert_url(&r, "b&a&", "http://o/p?&a&b");
	assert_url(&r, "%zz=1&%=2&%4=3", "http://o/p?%=2&%4=3&%zz=1");
	assert_url(&r, "B=1&a=1", "http://o/p?B=1&a=1");

	r.query.rule = CACHE_QUERY_IGNORE;
	assert_url(&r, NULL, "http://o/p");
	assert_url(&r, "", "http://o/p");
	assert_url(&r, "a=1", "http://o/p");

	r.query.rule = CACHE_QUERY_ONLY;
	r.query.names = NAMES(SLICE_LIT("a"), SLICE_LIT("x*"));
	assert_url(&r, "a=1", "http://o/p?a=1");
	assert_url(&r, "b=1", "http://o/p");
	assert_url(&r, "", "http://o/p");
	assert_url(&r, "xy=1&b=2&a=3&a=4&ab=5&x", "http://o/p?xy=1&a=3&a=4&x");
	assert_url(&r, "%61=1&A=2", "http://o/p?%61=1");

	r.query.rule = CACHE_QUERY_DROP;
	r.query.names = NAMES(SLICE_LIT("utm_*"), SLICE_LIT("fbclid"));
	assert_url(&r, "utm_source=1", "http://o/p");
	assert_url(&r, "a=1&utm_source=1&fbclid=2&b=3", "http://o/p?a=1&b=3");
	assert_url(&r, "%75tm_source=1&b", "http://o/p?b");
	assert_url(&r, "fbclid2=1", "http://o/p?fbclid2=1");
	assert_url(&r, "", "http://o/p?");
}

/* ---- Headers, cookies ---- */

static void named_headers_are_in_the_key(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	r.key_headers = NAMES(SLICE_LIT("X-Tenant"), SLICE_LIT("Accept"));
	SAME(&r, ASK(.fields = "X-Tenant: a"), ASK(.fields = "x-tenant: a\nOther: 1"));
	DIFFERENT(&r, ASK(.fields = "X-Tenant: a"), ASK(.fields = "X-Tenant: b"));
	DIFFERENT(&r, ASK(.fields = "X-Tenant: a"), ASK(.fields = NULL));
	DIFFERENT(&r, ASK(.fields = "X-Tenant:"), ASK(.fields = NULL));
	DIFFERENT(&r, ASK(.fields = "X-Tenant: a"), ASK(.fields = "Accept: a"));
	DIFFERENT(&r, ASK(.fields = "X-Tenant: a\nX-Tenant: b"), ASK(.fields = "X-Tenant: a, b"));
	DIFFERENT(&r, ASK(.fields = "X-Tenant: a\nX-Tenant: b"), ASK(.fields = "X-Tenant: b\nX-Tenant: a"));
	DIFFERENT(&r, ASK(.fields = "X-Tenant: a\nX-Tenant: b"), ASK(.fields = "X-Tenant: a\nAccept: b"));
	struct cache_rules other = r;
	other.key_headers = NAMES(SLICE_LIT("x-tenant"), SLICE_LIT("ACCEPT"));
	struct cache_key a, b;
	cache_key_init(&a);
	cache_key_init(&b);
	assert_int_equal(build(&a, &r, ASK(.fields = "Accept: x")), 0);
	assert_int_equal(build(&b, &other, ASK(.fields = "Accept: x")), 0);
	assert_true(slice_equal(buf_slice(&a.bytes), buf_slice(&b.bytes)));
	cache_key_fini(&a);
	cache_key_fini(&b);
}

static void named_cookies_are_in_the_key(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	r.key_cookies = NAMES(SLICE_LIT("lang"), SLICE_LIT("exp"));
	SAME(&r, ASK(.fields = "Cookie: lang=de"), ASK(.fields = "Cookie: sid=1; lang=de;x=2"));
	SAME(&r, ASK(.fields = "Cookie: lang=de; exp=1"), ASK(.fields = "Cookie: exp=1; lang=de"));
	SAME(&r, ASK(.fields = "Cookie: lang=de; exp=1"), ASK(.fields = "Cookie: exp=1\nCookie: lang=de"));
	SAME(&r, ASK(.fields = "Cookie: sid=1"), ASK(.fields = NULL));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang=de"), ASK(.fields = "Cookie: lang=en"));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang=de"), ASK(.fields = NULL));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang=de"), ASK(.fields = "Cookie: LANG=de"));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang=de; lang=en"), ASK(.fields = "Cookie: lang=de"));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang=de; lang=en"), ASK(.fields = "Cookie: lang=en; lang=de"));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang"), ASK(.fields = "Cookie: lang="));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang"), ASK(.fields = NULL));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang =de"), ASK(.fields = NULL));
	DIFFERENT(&r, ASK(.fields = "Cookie: lang=1; exp=2"), ASK(.fields = "Cookie: lang=2; exp=1"));
}

/* ---- Bodies ---- */

#define JSON "Content-Type: application/json"

static void bodies_are_in_the_keys_of_post_and_query(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	static const char *const methods[] = {"POST", "QUERY"};
	for (unsigned i = 0; i < 2; i++) {
		const char *m = methods[i];
		SAME(&r, ASK(.method = m, .body = "a"), ASK(.method = m, .body = "a"));
		DIFFERENT(&r, ASK(.method = m, .body = "a"), ASK(.method = m, .body = "b"));
		DIFFERENT(&r, ASK(.method = m, .body = ""), ASK(.method = m, .body = "b"));
		DIFFERENT(&r, ASK(.method = m, .body = "a", .fields = "Content-Type: a/b"),
			ASK(.method = m, .body = "a"));
		DIFFERENT(&r, ASK(.method = m, .body = "a", .fields = "Content-Type: a/b"),
			ASK(.method = m, .body = "a", .fields = "Content-Type: a/c"));
		DIFFERENT(&r, ASK(.method = m, .body = "a", .fields = "Content-Encoding: gzip"),
			ASK(.method = m, .body = "a", .fields = "Content-Language: gzip"));
		DIFFERENT(&r, ASK(.method = m, .body = "a", .fields = "Content-Encoding: gzip"),
			ASK(.method = m, .body = "a"));
		DIFFERENT(&r, ASK(.method = m, .body = "a", .fields = "Content-Language: de"),
			ASK(.method = m, .body = "a", .fields = "Content-Language: fr"));
		SAME(&r, ASK(.method = m, .body = "a", .fields = "Content-Language: de"),
			ASK(.method = m, .body = "a", .fields = "Content-Language: de"));
		DIFFERENT(&r, ASK(.method = m, .body = "{\"a\": 1}", .fields = JSON),
			ASK(.method = m, .body = "{\"a\":1}", .fields = JSON));
	}
}

static void json_bodies_are_equal_when_they_mean_the_same(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	r.json_body_key = true;
#define POST(text) ASK(.method = "POST", .body = text, .fields = JSON)
	SAME(&r, POST("{\"a\": 1, \"b\": [2, {\"d\": 1, \"c\": null}]}"),
		POST("{\"b\":[2,{\"c\":null,\"d\":1}],\n\"a\":1}"));
	SAME(&r, POST("\"\\u00e9\\/\""), POST("\"\xc3\xa9/\""));
	SAME(&r, POST(" [ ] "), POST("[]"));
	SAME(&r, POST("true"), POST(" true\n"));
	DIFFERENT(&r, POST("[1,2]"), POST("[2,1]"));
	DIFFERENT(&r, POST("1"), POST("\"1\""));
	DIFFERENT(&r, POST("null"), POST("\"null\""));
	DIFFERENT(&r, POST("{\"a\":1}"), POST("{\"a\":2}"));
	DIFFERENT(&r, POST("{\"a\":1}"), POST("{\"A\":1}"));
	/* What has no form that all readers agree on is taken as it is. */
	DIFFERENT(&r, POST("1.0"), POST("1.00"));
	DIFFERENT(&r, POST("[1.00000000000000000001]"), POST("[1.0]"));
	DIFFERENT(&r, POST("{\"x\":{\"y\":[1e2]}}"), POST("{\"x\":{\"y\":[1e2] }}"));
	DIFFERENT(&r, POST("123456789012345678901"), POST("123456789012345678901 "));
	DIFFERENT(&r, POST("{\"a\":-0}"), POST("{\"a\":0}")); /* 1/-0 */
	DIFFERENT(&r, POST("-0"), POST("0"));
	DIFFERENT(&r, POST("[\"\\\\\",-0]"), POST("[\"\\\\\",0]"));
	SAME(&r, POST("[\"-0\\\"-0\", -10]"), POST("[\"-0\\\"-0\",-10]"));
	DIFFERENT(&r, POST("{\"a\":1,\"a\":2}"), POST("{\"a\":2}"));
	DIFFERENT(&r, POST("{\"a\":1,\"a\":2}"), POST("{\"a\":1, \"a\":2}"));
	DIFFERENT(&r, POST("{\"a\":1"), POST("{\"a\": 1"));
	DIFFERENT(&r, POST("[1] x"), POST("[1]"));
	DIFFERENT(&r, POST(""), POST(" "));
	DIFFERENT(&r, POST("[\"\\u0000\"]"), POST("[ \"\\u0000\"]"));
	/* Only what says that it is JSON. */
	DIFFERENT(&r, ASK(.method = "POST", .body = "[ ]"), ASK(.method = "POST", .body = "[]"));
	DIFFERENT(&r, ASK(.method = "POST", .body = "[ ]", .fields = "Content-Type: text/plain"),
		ASK(.method = "POST", .body = "[]", .fields = "Content-Type: text/plain"));
	DIFFERENT(&r, ASK(.method = "POST", .body = "[ ]", .fields = "Content-Type: text/notjson"),
		ASK(.method = "POST", .body = "[]", .fields = "Content-Type: text/notjson"));
	DIFFERENT(&r, ASK(.method = "POST", .body = "[ ]", .fields = JSON "\nContent-Encoding: gzip"),
		ASK(.method = "POST", .body = "[]", .fields = JSON "\nContent-Encoding: gzip"));
	SAME(&r, ASK(.method = "POST", .body = "[ ]", .fields = "Content-Type: application/vnd.a+JSON ; charset=utf-8"),
		ASK(.method = "POST", .body = "[]", .fields = "Content-Type: application/vnd.a+JSON ; charset=utf-8"));
}

static void deep_and_long_json_is_taken_as_it_is(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	r.json_body_key = true;
	size_t n = 300000;
	char *a = mem_zalloc(n + 2), *b = mem_zalloc(n + 2);
	assert_true(a && b);
	memset(a, '[', n);
	memcpy(b, a, n);
	DIFFERENT(&r, POST(a), POST((b[n] = ' ', b)));
	memset(a, ' ', n);
	memset(b, ' ', n);
	a[0] = b[1] = '1';
	b[n] = '\0';
	DIFFERENT(&r, POST(a), POST(b));
	a[100000] = b[100000] = '\0';
	SAME(&r, POST(a), POST(b));
	mem_free(a);
	mem_free(b);
}

/* ---- Users ---- */

static void users_have_keys_of_their_own(void **state)
{
	(void)state;
	struct cache_rules shared = default_rules(), r = shared;
	r.scope = CACHE_SCOPE_USER;
	r.user_from.name = SLICE_LIT("Authorization");
	SAME(&r, ASK(.fields = "Authorization: a"), ASK(.fields = "authorization: a\nX: 1"));
	DIFFERENT(&r, ASK(.fields = "Authorization: a"), ASK(.fields = "Authorization: b"));
	struct cache_key k, other;
	cache_key_init(&k);
	cache_key_init(&other);
	assert_int_equal(build(&k, &r, ASK(.fields = NULL)), -ENOKEY);
	assert_int_equal(build(&k, &r, ASK(.fields = "Authorization:")), -ENOKEY);
	assert_int_equal(build(&k, &shared, ASK(.fields = "Authorization: a")), 0);
	assert_int_equal(k.user, 0);
	assert_int_equal(build(&k, &r, ASK(.fields = "Authorization: secret-a")), 0);
	assert_true(k.user != 0);
	assert_null(memmem(k.bytes.p, k.bytes.n, "secret-a", 8));
	assert_int_equal(build(&other, &r, ASK(.path = "/other", .fields = "Authorization: secret-a")), 0);
	assert_true(k.user == other.user);
	assert_int_equal(build(&other, &r, ASK(.fields = "Authorization: secret-b")), 0);
	assert_true(k.user != other.user);
	/* Another process, without its secret, can't tell who it was. */
	const struct key_secret others = {"of another process"};
	uint64_t here, there;
	assert_int_equal(cache_user_hash(&r, &secret, SLICE_LIT("secret-a"), &here), 0);
	assert_int_equal(cache_user_hash(&r, &others, SLICE_LIT("secret-a"), &there), 0);
	assert_true(here == k.user && there != k.user);
	assert_int_equal(cache_user_hash(&r, NULL, SLICE_LIT("secret-a"), &there), -ENOKEY);
	r.user_from.name = SLICE_LIT("Secret");
	assert_int_equal(build(&other, &r, ASK(.fields = "Secret: secret-a")), 0);
	assert_true(k.user != other.user);
	cache_key_fini(&k);
	cache_key_fini(&other);
}

static void users_may_be_told_by_a_cookie(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	struct cache_key k;
	r.scope = CACHE_SCOPE_USER;
	r.user_from.is_cookie = true;
	r.user_from.name = SLICE_LIT("sid");
	cache_key_init(&k);
	SAME(&r, ASK(.fields = "Cookie: sid=1"), ASK(.fields = "Cookie: a=b; sid=1"));
	DIFFERENT(&r, ASK(.fields = "Cookie: sid=1"), ASK(.fields = "Cookie: sid=2"));
	DIFFERENT(&r, ASK(.fields = "Cookie: sid=1; sid=2"), ASK(.fields = "Cookie: sid=1"));
	assert_int_equal(build(&k, &r, ASK(.fields = "Cookie: a=b")), -ENOKEY);
	assert_int_equal(build(&k, &r, ASK(.fields = "Cookie: sid=")), -ENOKEY);
	assert_int_equal(build(&k, &r, ASK(.fields = "Cookie: sid")), -ENOKEY);
	assert_int_equal(build(&k, &r, ASK(.fields = "sid: 1")), -ENOKEY);
	cache_key_fini(&k);
}

/* ---- Layout ---- */

static void the_layout_is_as_the_header_says(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	r.key_headers = NAMES(SLICE_LIT("X-A"));
	r.key_cookies = NAMES(SLICE_LIT("c"));
	r.trust = 0x01020304;
	struct cache_key k;
	cache_key_init(&k);
	assert_int_equal(
		build(&k, &r,
			ASK(.path = "/p", .query = "q", .extra = "up", .fields = "X-A: 1\nX-A: 22\nCookie: b=1; c=2")),
		0);
	static const char expected[] = "Ghttp://origin.example/p?q\0"
				       "\4\3\2\1"
				       "x\0\0\0\2up"
				       "h\0\0\0\3x-a\0\0\0\2\0\0\0\1"
				       "1\0\0\0\2"
				       "22"
				       "c\0\0\0\1c\0\0\0\1\0\0\0\3c=2";
	assert_int_equal(k.bytes.n, sizeof(expected) - 1);
	assert_memory_equal(k.bytes.p, expected, sizeof(expected) - 1);
	cache_key_fini(&k);
}

/* ---- Bounds ---- */

static void keys_have_a_bound(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	struct cache_key k;
	static char path[CACHE_KEY_MAX + 2];
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	cache_key_init(&k);
	assert_int_equal(build(&k, &r, ASK(.path = path)), -ENOBUFS);
	assert_int_equal(build(&k, &r, ASK(.query = path)), -ENOBUFS);
	r.query.rule = CACHE_QUERY_SORT;
	memset(path, '&', sizeof(path) - 1);
	assert_int_equal(build(&k, &r, ASK(.query = path)), -ENOBUFS);
	/* The key is of use again after an error. */
	assert_int_equal(build(&k, &r, ASK(.path = "/")), 0);
	assert_true(slice_equal(cache_key_url(&k), SLICE_LIT("http://origin.example/")));
	cache_key_fini(&k);
}

static void a_nul_is_refused(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	struct buf out;
	buf_init(&out, 1024);
	assert_int_equal(
		cache_url_build(&out, &r, SLICE_LIT("http://o\0"), SLICE_LIT("/"), false, SLICE_LIT("")), -EINVAL);
	assert_int_equal(
		cache_url_build(&out, &r, SLICE_LIT("http://o"), SLICE_LIT("/\0x"), false, SLICE_LIT("")), -EINVAL);
	assert_int_equal(
		cache_url_build(&out, &r, SLICE_LIT("http://o"), SLICE_LIT("/"), true, SLICE_LIT("\0")), -EINVAL);
	buf_fini(&out);
}

static void no_memory_is_an_error_and_no_key(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	r.query.rule = CACHE_QUERY_SORT;
	r.scope = CACHE_SCOPE_USER;
	r.user_from.name = SLICE_LIT("Authorization");
	int rc = -ENOMEM;
	for (unsigned long n = 1; rc != 0; n++) {
		struct cache_key k;
		struct http_request request;
		http_request_init(&request);
		request.path = SLICE_LIT("/");
		request.has_query = true;
		request.query = SLICE_LIT("b&a");
		fields_of(&request.fields, "Authorization: a");
		cache_key_init(&k);
		mem_fail_at(n, 0);
		rc = cache_key_build(
			&k, &r, &(struct cache_key_input){.http = &request, .origin = ORIGIN, .secret = &secret});
		mem_fail_at(0, 0);
		assert_true(rc == 0 || rc == -ENOMEM);
		assert_true(n < 50);
		cache_key_fini(&k);
		http_request_fini(&request);
	}
}

/* ---- What a URL alone says ---- */

static bool is_of_url(const struct cache_rules *rules, const struct ask *a)
{
	struct cache_key k;
	bool is;

	cache_key_init(&k);
	assert_int_equal(build(&k, rules, a), 0);
	is = cache_key_is_of_url(buf_slice(&k.bytes), k.url_off + k.url_n);
	/* Nor is a part of one. */
	for (size_t n = k.url_off + k.url_n; is && n < k.bytes.n; n++) {
		struct slice cut = {k.bytes.p, n};

		assert_false(cache_key_is_of_url(cut, k.url_off + k.url_n) && !a->is_https);
	}
	cache_key_fini(&k);
	return is;
}

static void a_key_is_of_its_url_where_no_field_of_the_request_is_in_it(void **state)
{
	const char *const api = "http://api.example/v1";
	struct cache_rules r = default_rules();

	(void)state;
	assert_true(is_of_url(&r, ASK(.path = "/a", .query = "b=1", .fields = "Accept: x")));
	assert_true(is_of_url(&r, ASK(.path = "/a", .is_https = true)));
	assert_true(is_of_url(&r, ASK(.path = "/a", .extra = "http://origin.example/")));
	assert_true(is_of_url(&r, ASK(.path = "/a", .origin = api, .host = "api.example", .is_https = true)));
	assert_false(is_of_url(&r, ASK(.path = "/a", .origin = api, .host = "api.example:80")));
	assert_false(is_of_url(&r, ASK(.path = "/a", .origin = api, .host = "api")));
	assert_false(is_of_url(&r, ASK(.path = "/a", .origin = api, .host = "v1")));
	assert_false(is_of_url(&r, ASK(.method = "DELETE", .path = "/a")));
	r.methods |= 1u << HTTP_POST;
	assert_false(is_of_url(&r, ASK(.method = "POST", .path = "/a", .body = "x")));
	r.key_headers = (struct slices){(struct slice[]){SLICE_LIT("X-Tenant")}, 1};
	assert_false(is_of_url(&r, ASK(.path = "/a", .fields = "X-Tenant: 1")));
	assert_false(is_of_url(&r, ASK(.path = "/a")));
	r.key_headers = (struct slices){NULL, 0};
	r.scope = CACHE_SCOPE_USER;
	r.user_from = (struct cache_user_from){.name = SLICE_LIT("X-User")};
	assert_false(is_of_url(&r, ASK(.path = "/a", .fields = "X-User: 1")));
}

/* ---- No two different requests share a key: random ones out of few pieces, so that many pairs nearly meet ---- */

static uint64_t seed = 7;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % n;
}

/* What a request is made of, as the rules see it. */
struct parts {
	unsigned method, path, query, extra, body;
	unsigned header[2], header_lines; /* values of up to two lines of X-A */
	unsigned cookie[2], cookies;      /* values of up to two pairs named c */
};

static const char *const methods[] = {"GET", "POST", "QUERY"};
static const char *const paths[] = {"/", "/a", "/a/", "/x"};
static const char *const queries[] = {NULL, "", "a=1", "a=1&b", "b&a=1"};
static const char *const extras[] = {"", "x", "h", "hx", "http://origin.example/"};
static const char *const values[] = {"", "a", "aa", "c=a", "h", "a, a", "u"};

static struct parts random_parts(void)
{
	struct parts p = {
		pick(3), pick(4), pick(5), pick(5), pick(7), {pick(7), pick(7)}, pick(3), {pick(7), pick(7)}, pick(3)};
	return p;
}

static bool same_parts(const struct parts *a, const struct parts *b)
{
	bool same = a->method == b->method && a->path == b->path && a->query == b->query && a->extra == b->extra &&
		    a->header_lines == b->header_lines && a->cookies == b->cookies;
	same = same && (a->method == 0 || a->body == b->body);
	for (unsigned i = 0; same && i < a->header_lines; i++)
		same = a->header[i] == b->header[i];
	for (unsigned i = 0; same && i < a->cookies; i++)
		same = a->cookie[i] == b->cookie[i];
	return same;
}

static void build_parts(struct cache_key *k, const struct cache_rules *r, const struct parts *p)
{
	char fields[256];
	size_t n = (size_t)snprintf(fields, sizeof(fields), "Cookie: z=1");
	for (unsigned i = 0; i < p->cookies; i++)
		n += (size_t)snprintf(fields + n, sizeof(fields) - n, "; c=%s", values[p->cookie[i]]);
	for (unsigned i = 0; i < p->header_lines; i++)
		n += (size_t)snprintf(fields + n, sizeof(fields) - n, "\nX-A: %s", values[p->header[i]]);
	assert_int_equal(build(k, r,
				 ASK(.method = methods[p->method], .path = paths[p->path], .query = queries[p->query],
					 .extra = extras[p->extra], .body = values[p->body], .fields = fields)),
		0);
}

static void no_two_different_requests_share_a_key(void **state)
{
	(void)state;
	struct cache_rules r = default_rules();
	r.key_headers = NAMES(SLICE_LIT("X-A"));
	r.key_cookies = NAMES(SLICE_LIT("c"));
	struct cache_key a, b;
	cache_key_init(&a);
	cache_key_init(&b);
	unsigned met = 0;
	for (unsigned i = 0; i < 40000; i++) {
		struct parts pa = random_parts(), pb = pa, fresh = random_parts();
		/* Mostly one piece differs; sometimes it comes out the same. */
		switch (pick(9)) {
		case 0:
			pb.method = fresh.method;
			break;
		case 1:
			pb.path = fresh.path;
			break;
		case 2:
			pb.query = fresh.query;
			break;
		case 3:
			pb.extra = fresh.extra;
			break;
		case 4:
			pb.body = fresh.body;
			break;
		case 5:
			pb.header_lines = fresh.header_lines;
			break;
		case 6:
			memcpy(pb.header, fresh.header, sizeof(pb.header));
			break;
		case 7:
			memcpy(pb.cookie, fresh.cookie, sizeof(pb.cookie));
			break;
		default:
			pb = fresh;
			break;
		}
		build_parts(&a, &r, &pa);
		build_parts(&b, &r, &pb);
		bool same = same_parts(&pa, &pb);
		met += same;
		assert_int_equal(slice_equal(buf_slice(&a.bytes), buf_slice(&b.bytes)), same);
	}
	assert_true(met > 1000);
	cache_key_fini(&a);
	cache_key_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scheme_and_sent_host_count_and_are_not_in_the_url),
		cmocka_unit_test(a_key_is_of_its_url_where_no_field_of_the_request_is_in_it),
		cmocka_unit_test(get_and_head_share_and_other_methods_do_not),
		cmocka_unit_test(every_byte_of_the_target_counts),
		cmocka_unit_test(the_origin_is_in_its_normal_form),
		cmocka_unit_test(query_rules_shape_the_url),
		cmocka_unit_test(named_headers_are_in_the_key),
		cmocka_unit_test(named_cookies_are_in_the_key),
		cmocka_unit_test(bodies_are_in_the_keys_of_post_and_query),
		cmocka_unit_test(json_bodies_are_equal_when_they_mean_the_same),
		cmocka_unit_test(deep_and_long_json_is_taken_as_it_is),
		cmocka_unit_test(users_have_keys_of_their_own),
		cmocka_unit_test(users_may_be_told_by_a_cookie),
		cmocka_unit_test(the_layout_is_as_the_header_says),
		cmocka_unit_test(keys_have_a_bound),
		cmocka_unit_test(a_nul_is_refused),
		cmocka_unit_test(no_memory_is_an_error_and_no_key),
		cmocka_unit_test(no_two_different_requests_share_a_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
