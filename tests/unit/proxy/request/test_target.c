/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/request/request_rig.h"

#include <errno.h>

#define CONFIG                                                             \
	"[proxy]\nlisten = 127.0.0.1:1\n"                                  \
	"[upstream]\nurl = http://o.example/base\n"                        \
	"[upstream hosts]\nurl = http://p.example\nhost_header = client\n" \
	"[route items]\nmatch = /items/{id}\nttl = 60s\nquery = sort\n"    \
	"[route posts]\nmatch = /posts\nmethods = GET, POST\nttl = 60s\n"  \
	"[route hosts]\nmatch = /hosts*\nupstream = hosts\nttl = 60s\n"    \
	"[route off]\nmatch = /off*\ncache = off\n"

/* What is asked of the origin, and whether a cache may be. */
static void a_request_finds_its_route_its_origin_and_its_key(void **state)
{
	static const struct {
		const char *request, *route, *path;
		const char *url; /* of the key; NULL: not cacheable */
	} rows[] = {
		{"GET /items/7", "items", "/base/items/7", "http://o.example/base/items/7"},
		{"HEAD /items/7", "items", "/base/items/7", "http://o.example/base/items/7"},
		{"GET http://h/items/7", "items", "/base/items/7", "http://o.example/base/items/7"},
		{"GET /items/7?b=2&a=1", "items", "/base/items/7?a=1&b=2", "http://o.example/base/items/7?a=1&b=2"},
		{"GET /items/7?", "items", NULL, NULL},
		{"PUT /items/7?b=2&a=1", "items", "/base/items/7?b=2&a=1", NULL},
		{"GET /items/7\r\nContent-Length: 3\r\n", "items", "/base/items/7", NULL},
		{"GET /off/x?b=1&a=2", "off", "/base/off/x?b=1&a=2", NULL},
		{"GET /hosts/a\r\nHost: Shop.Example:80\r\n", "hosts", "/hosts/a", "http://shop.example/hosts/a"},
		{"OPTIONS *", NULL, "*", NULL},
	};
	struct snapshot *s = snapshot_of(CONFIG);
	struct request r;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		request_begin(&r, s, rows[i].request);
		if (rows[i].route)
			assert_true(slice_equal(r.target.route->rules.route, slice_of(rows[i].route)));
		if (rows[i].path && !slice_equal(buf_slice(&r.target.path), slice_of(rows[i].path)))
			fail_msg("%s: %.*s", rows[i].request, SLICE_ARG(buf_slice(&r.target.path)));
		if (rows[i].path)
			assert_int_equal(r.target.is_cacheable, rows[i].url != NULL);
		if (rows[i].url && !slice_equal(cache_key_url(&r.target.key), slice_of(rows[i].url)))
			fail_msg("%s: %.*s", rows[i].request, SLICE_ARG(cache_key_url(&r.target.key)));
		request_end(&r);
	}
	snapshot_unref(&s);
}

static bool same_key(struct snapshot *s, const char *one, const char *two)
{
	struct request a, b;
	bool same;

	request_begin(&a, s, one);
	request_begin(&b, s, two);
	same = memcmp(&a.target.key.hash, &b.target.key.hash, sizeof(a.target.key.hash)) == 0;
	request_end(&b);
	request_end(&a);
	return same;
}

static void what_is_the_same_to_the_origin_has_one_key(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);

	(void)state;
	assert_true(same_key(s, "GET /items/7", "HEAD /items/7"));
	assert_true(same_key(s, "GET /items/7", "GET /items/7\r\nHost: other\r\n"));
	assert_true(same_key(s, "GET /items/7?a=1&b=2", "GET /items/7?b=2&a=1"));
	assert_false(same_key(s, "GET /items/7", "GET /items/8"));
	assert_false(same_key(s, "GET /items/a", "GET /items/A"));
	assert_true(same_key(s, "GET /hosts\r\nHost: A.example\r\n", "GET /hosts\r\nHost: a.example:80\r\n"));
	assert_false(same_key(s, "GET /hosts\r\nHost: a.example\r\n", "GET /hosts\r\nHost: b.example\r\n"));
	snapshot_unref(&s);
}

static void a_body_is_in_the_key_of_a_method_with_one(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	struct cache_key first;
	struct request r;
	struct asked asked = {.http = &r.http, .peer = "192.0.2.7"};

	(void)state;
	request_parse(&r, "POST /posts\r\nContent-Length: 1\r\n");
	assert_int_equal(target_resolve(&r.target, s, &asked, SLICE_LIT("1")), 0);
	assert_true(r.target.is_cacheable);
	first = r.target.key;
	assert_int_equal(target_resolve(&r.target, s, &asked, SLICE_LIT("2")), 0); /* used again, as the hit's is */
	assert_memory_not_equal(&r.target.key.hash, &first.hash, sizeof(first.hash));
	request_end(&r);
	snapshot_unref(&s);
}

static void what_is_too_long_is_said(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	struct request r;
	struct asked asked = {.http = &r.http, .peer = "192.0.2.7"};
	static char path[200000];

	(void)state;
	request_parse(&r, "GET /off");
	memset(path, 'x', sizeof(path));
	memcpy(path, "/off", 4);
	r.http.path = r.http.target = (struct slice){path, sizeof(path)};
	assert_int_equal(target_resolve(&r.target, s, &asked, (struct slice){NULL, 0}), -ENOBUFS);
	request_end(&r);
	snapshot_unref(&s);
}

/* A target keeps the snapshot that it was found in, until it is let go. */
static void a_target_keeps_its_snapshot(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	struct target moved;
	struct request r;

	(void)state;
	request_begin(&r, s, "GET /items/7");
	assert_int_equal(atomic_load(&s->refs), 2);
	target_move(&r.target, &moved);
	assert_null(r.target.snapshot);
	assert_int_equal(atomic_load(&s->refs), 2);
	assert_true(moved.has_key);
	target_clear(&moved);
	assert_int_equal(atomic_load(&s->refs), 1);
	target_fini(&moved);
	request_end(&r);
	snapshot_unref(&s);
}

/* The operator is told which field it is, and never what is in it. */
static void a_credential_is_explained_without_its_value(void **state)
{
	static const struct {
		const char *request, *names;
	} rows[] = {
		{"GET /items/7", ""},
		{"GET /items/7\r\nAuthorization: Bearer s3cret\r\n", "Authorization"},
		{"GET /items/7\r\nCookie: sid=s3cret\r\n", "Cookie sid"},
	};
	struct snapshot *s = snapshot_of(CONFIG);
	struct request r;
	char text[192];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		request_begin(&r, s, rows[i].request);
		target_explain_credential(&r.target, text, sizeof(text));
		assert_memory_equal(text, rows[i].names, strlen(rows[i].names));
		assert_int_equal(*text == '\0', i == 0);
		assert_null(strstr(text, "s3cret"));
		request_end(&r);
	}
	snapshot_unref(&s);
}

static void the_average_fetch_survives_a_reload_by_name(void **state)
{
	struct snapshot *before = snapshot_of(CONFIG),
			*after = snapshot_of(
				"[proxy]\nlisten = 127.0.0.1:1\n[upstream]\n"
				"url = http://o.example\n[route new]\nmatch = /new\n[route items]\nmatch = /i\n");

	(void)state;
	snapshot_note_fetch(before, 0, 8000);
	assert_int_equal(atomic_load(&before->fetch_us[0]), 8000);
	snapshot_note_fetch(before, 0, 16000);
	assert_int_equal(atomic_load(&before->fetch_us[0]), 9000);
	snapshot_inherit(after, before);
	assert_int_equal(atomic_load(&after->fetch_us[0]), 0);
	assert_int_equal(atomic_load(&after->fetch_us[1]), 9000);
	snapshot_unref(&after);
	snapshot_unref(&before);
}

static bool is_denied(struct snapshot *s, const char *path, uint8_t last)
{
	const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = last};
	struct request r;
	struct asked asked = {.http = &r.http, .peer = "192.0.2.7", .address = address};
	char text[4096];
	bool is;

	snprintf(text, sizeof(text), "GET %s\r\n", path);
	request_parse(&r, text);
	assert_int_equal(target_resolve(&r.target, s, &asked, (struct slice){NULL, 0}), 0);
	is = r.target.is_denied;
	assert_false(is && r.target.is_cacheable);
	asked.address = NULL; /* an operator */
	assert_int_equal(target_resolve(&r.target, s, &asked, (struct slice){NULL, 0}), 0);
	assert_false(r.target.is_denied);
	request_end(&r);
	return is;
}

/* 192.0.2.1 may all, 192.0.2.2 not /inner, 192.0.2.3 not /shut, 192.0.2.4 neither. */
static void who_is_kept_out_of_a_route_is_kept_out_of_every_reading_of_it(void **state)
{
	static const struct {
		const char *path;
		bool denied[4];
	} rows[] = {
		{"/open", {false, false, false, false}},
		{"/open//x", {false, false, false, false}},
		{"/inner/x", {false, true, false, true}},
		{"/inner//x", {false, true, false, true}},
		{"/shut/x", {false, false, true, true}},
		{"//inner/x", {false, true, false, true}},
		{"/user/a%2finner", {false, false, false, false}},
		{"/inner%2fx", {false, true, false, true}},
		{"//inner;x/y", {false, true, false, true}}, /* of an open route in between */
		{"/%2fshut/x", {false, false, true, true}},
		{"/shut%3f/x", {false, false, true, true}},
		{"/open/../x", {false, true, true, true}}, /* of any route */
		{"/open/%2e%2e/x", {false, true, true, true}},
	};
	struct snapshot *s = snapshot_of(
		"[proxy]\nlisten = 127.0.0.1:1\n[upstream]\nurl = http://o.example\n[route inner]\nmatch = /inner/*\n"
		"allow = 192.0.2.1 192.0.2.3\n[route shut]\nmatch = /shut*\nallow = 192.0.2.0/24\n"
		"deny = 192.0.2.3, 192.0.2.4\n[route user]\nmatch = /user/{id}\n[route odd]\nmatch = /inner;x/*\n");
	char path[3000] = "//";

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		for (uint8_t k = 0; k < 4; k++)
			if (is_denied(s, rows[i].path, (uint8_t)(k + 1)) != rows[i].denied[k])
				fail_msg("%s of 192.0.2.%d", rows[i].path, k + 1);
	memset(path + 2, 'x', sizeof(path) - 3);
	assert_false(is_denied(s, path, 1));
	assert_true(is_denied(s, path, 2));
	snapshot_unref(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_finds_its_route_its_origin_and_its_key),
		cmocka_unit_test(what_is_the_same_to_the_origin_has_one_key),
		cmocka_unit_test(a_body_is_in_the_key_of_a_method_with_one),
		cmocka_unit_test(what_is_too_long_is_said),
		cmocka_unit_test(a_target_keeps_its_snapshot),
		cmocka_unit_test(a_credential_is_explained_without_its_value),
		cmocka_unit_test(who_is_kept_out_of_a_route_is_kept_out_of_every_reading_of_it),
		cmocka_unit_test(the_average_fetch_survives_a_reload_by_name),
	};

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
