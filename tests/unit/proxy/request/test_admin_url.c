/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/request/request_rig.h"

#include <errno.h>

#include "proxy/request/admin_url.h"

#define CONFIG                                                             \
	"[proxy]\nlisten = 127.0.0.1:8080\n"                               \
	"[upstream]\nurl = http://o.example/base\n"                        \
	"[upstream hosts]\nurl = http://p.example\nhost_header = client\n" \
	"[route sorted]\nmatch = /sorted*\nttl = 60s\nquery = sort\n"      \
	"[route hosts]\nmatch = /hosts*\nupstream = hosts\nttl = 60s\n"    \
	"[route all]\nmatch = /*\nttl = 60s\n"

static void what_an_operator_says_is_spelled_as_keys_are(void **state)
{
	static const struct {
		const char *what;
		bool is_prefix;
		const char *url;
	} rows[] = {
		{"/a", false, "http://o.example/base/a"},
		{"/a", true, "http://o.example/base/a"},
		{"/", true, "http://o.example/base/"},
		{"/a?x=1", false, "http://o.example/base/a?x=1"},
		{"http://o.example/base/a", false, "http://o.example/base/a"},
		{"HTTP://O.example:80/base/a", false, "http://o.example/base/a"},
		{"/sorted?b=2&a=1", false, "http://o.example/base/sorted?a=1&b=2"},
		{"/sorted?b=2&a=1", true, "http://o.example/base/sorted?b=2&a=1"}, /* literally */
		{"/a b", false, "http://o.example/base/a%20b"},
		{"/\xc3\xa9", false, "http://o.example/base/%C3%A9"},
		{"http://shop.example/hosts/a", false, "http://shop.example/hosts/a"},
	};
	struct snapshot *s = snapshot_of(CONFIG);
	struct admin_url l;
	const char *why;

	(void)state;
	admin_url_init(&l);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		if (admin_url_find(&l, s, slice_of(rows[i].what), rows[i].is_prefix, &why))
			fail_msg("%s: %s", rows[i].what, why);
		if (!slice_equal(buf_slice(&l.url), slice_of(rows[i].url)))
			fail_msg("%s: %.*s", rows[i].what, SLICE_ARG(buf_slice(&l.url)));
	}
	admin_url_fini(&l);
	snapshot_unref(&s);
}

static void what_leads_nowhere_is_said(void **state)
{
	static const struct {
		const char *what, *says;
	} rows[] = {
		{"", "empty"},
		{"a", "must be a path"},
		{"ftp://o.example/base/a", "no upstream has this origin"},
		{"http://other.example/a", "no upstream has this origin"},
		{"http://o.example/other", "no upstream has this origin"},
		{"http://o.example/basement", "no upstream has this origin"},
		{"http://127.0.0.1:8080/a", "the proxy's own address"},
		{"http://localhost:8080/a", "the proxy's own address"},
		{"/hosts/a", "give an absolute URL"},
	};
	struct snapshot *s = snapshot_of(CONFIG);
	struct admin_url l;
	const char *why = "";

	(void)state;
	admin_url_init(&l);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(admin_url_find(&l, s, slice_of(rows[i].what), false, &why), -EINVAL);
		if (!strstr(why, rows[i].says))
			fail_msg("%s: %s", rows[i].what, why);
	}
	admin_url_fini(&l);
	snapshot_unref(&s);
}

static void what_is_too_long_is_told_apart(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	static char what[200000];
	struct admin_url l;
	const char *why;

	(void)state;
	memset(what, 'a', sizeof(what));
	what[0] = '/';
	admin_url_init(&l);
	assert_int_equal(admin_url_find(&l, s, (struct slice){what, sizeof(what)}, false, &why), -ENOBUFS);
	assert_int_equal(admin_url_find(&l, s, SLICE_LIT("/a"), false, &why), 0); /* it serves again */
	admin_url_fini(&l);
	snapshot_unref(&s);
}

/* The operator's URL has the key that a client's request for it has. */
static void it_is_the_key_that_clients_have(void **state)
{
	static const char *const rows[] = {"/a", "/a?x=1", "/sorted?b=2&a=1", "http://h.example/hosts/x?y"};
	static const char *const asked[] = {
		"GET /a", "GET /a?x=1", "GET /sorted?a=1&b=2", "GET /hosts/x?y\r\nHost: H.example\r\n"};
	struct snapshot *s = snapshot_of(CONFIG);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct admin_url l;
		struct request r;
		struct target t;
		struct asked a;
		const char *why;

		admin_url_init(&l);
		assert_int_equal(admin_url_find(&l, s, slice_of(rows[i]), false, &why), 0);
		target_init(&t);
		a = admin_url_asked(&l);
		assert_null(a.peer);
		assert_int_equal(target_find(&t, s, &a, (struct slice){NULL, 0}), 0);
		request_begin(&r, s, asked[i]);
		assert_memory_equal(&t.key.hash, &r.target.key.hash, sizeof(t.key.hash));
		assert_true(slice_equal(cache_key_url(&t.key), buf_slice(&l.url)));
		request_end(&r);
		target_fini(&t);
		admin_url_fini(&l);
	}
	snapshot_unref(&s);
}

/* Of upstreams with one URL it is that which a route leads to; where none does, a purge is all that it is good for. */
static void a_url_at_the_origin_is_of_the_route_that_leads_there(void **state)
{
	static const struct {
		const char *what, *route;
	} rows[] = {
		{"http://o.example/a", "by_a"},
		{"http://o.example/b", "by_b"},
		{"http://o.example/c", NULL},
		{"http://p.example/x", "p_any"},
		{"http://p.example/y/1", "p_host"},
	};
	struct snapshot *s = snapshot_of("[proxy]\nlisten = 127.0.0.1:8080\n"
					 "[upstream]\nurl = http://q.example\n"
					 "[upstream one]\nurl = http://o.example\n"
					 "[upstream two]\nurl = http://o.example\n"
					 "[upstream p]\nurl = http://p.example\n"
					 "[route by_a]\nmatch = /a*\nupstream = one\nttl = 60s\n"
					 "[route by_b]\nmatch = /b*\nupstream = two\nttl = 60s\n"
					 "[route p_host]\nhost = shop.example\nupstream = p\nttl = 60s\n"
					 "[route p_any]\nmatch = /x*\nupstream = p\nttl = 60s\n"
					 "[route all]\nmatch = /*\nttl = 60s\n");
	struct admin_url l;
	const char *why;

	(void)state;
	admin_url_init(&l);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(admin_url_find(&l, s, slice_of(rows[i].what), false, &why), 0);
		assert_true(slice_equal(buf_slice(&l.url), slice_of(rows[i].what)));
		assert_int_equal(admin_url_check_served(&l, &why), rows[i].route ? 0 : -EINVAL);
		if (rows[i].route)
			assert_true(slice_equal(l.route->rules.route, slice_of(rows[i].route)));
	}
	admin_url_fini(&l);
	snapshot_unref(&s);
}

static void what_a_client_asks_is_found_by_host_and_path(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	struct admin_url l;

	(void)state;
	admin_url_init(&l);
	assert_int_equal(
		admin_url_find_on(&l, s, SLICE_LIT("https"), SLICE_LIT("shop.example"), SLICE_LIT("/hosts/a")), 0);
	assert_true(l.is_tls);
	assert_true(slice_equal(buf_slice(&l.url), SLICE_LIT("http://shop.example/hosts/a")));
	assert_int_equal(admin_url_find_on(&l, s, SLICE_LIT("http"), SLICE_LIT("any"), SLICE_LIT("/a?x")), 0);
	assert_false(l.is_tls);
	assert_true(slice_equal(buf_slice(&l.url), SLICE_LIT("http://o.example/base/a?x")));
	assert_true(admin_url_has_listener(s, false));
	assert_false(admin_url_has_listener(s, true));
	admin_url_fini(&l);
	snapshot_unref(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_operator_says_is_spelled_as_keys_are),
		cmocka_unit_test(what_leads_nowhere_is_said),
		cmocka_unit_test(what_is_too_long_is_told_apart),
		cmocka_unit_test(it_is_the_key_that_clients_have),
		cmocka_unit_test(a_url_at_the_origin_is_of_the_route_that_leads_there),
		cmocka_unit_test(what_a_client_asks_is_found_by_host_and_path),
	};

	return cmocka_run_group_tests_name("locate", tests, NULL, NULL);
}
