/* SPDX-License-Identifier: MIT */
/* Which route a request gets. */
#include "tests/unit/config/config_rig.h"

#include <stdio.h>

static const char routes_ini[] = "[defaults]\nttl = 7s\n"
				 "[route api]\nhost = api.example.org\nmatch = /v1/*\n"
				 "[route wild]\nhost = *.Example.org, [::1]\n"
				 "[route user]\nmatch = /users/{id}\n"
				 "[route users]\nmatch = /users*\n"
				 "[route search]\nmatch = /search?q=*\n"
				 "[route only-host]\nhost = other.test\n";

static void the_first_route_that_fits_host_and_path_wins(void **state)
{
	static const struct {
		const char *host, *path, *query, *route;
	} cases[] = {
		{"api.example.org", "/v1/x", NULL, "api"},
		{"API.Example.ORG:8080", "/v1/x", NULL, "api"},
		{"api.example.org.", "/v1/x", NULL, "api"},
		{"api.example.org.:80", "/v1/x", NULL, "api"},
		{"api.example.org", "/v2/x", NULL, "wild"},
		{"a.b.example.org", "/v1/x", NULL, "wild"},
		{"example.org", "/users", NULL, "users"},
		{"xexample.org", "/users", NULL, "users"},
		{".example.org", "/users", NULL, "users"},
		{"[::1]:80", "/users", NULL, "wild"},
		{"[::1]", "/users", NULL, "wild"},
		{"[::2]", "/users", NULL, "users"},
		{"h", "/users/7", NULL, "user"},
		{"h", "/users/7", "x=1", "user"},
		{"h", "/users/7/posts", NULL, "users"},
		{"h", "/search", NULL, "default"},
		{"h", "/search", "q=1", "search"},
		{"h", "/search", "r=1", "default"},
		{"other.test", "/search", "r=1", "only-host"},
		{"other.test", "*", NULL, "only-host"},
		{"h", "*", NULL, "default"},
		{"", "/", NULL, "default"},
		{".", "/", NULL, "default"},
		{":80", "/", NULL, "default"},
		{"[", "/", NULL, "default"},
	};
	struct config *c = config_of(routes_ini);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice query = cases[i].query ? slice_of(cases[i].query) : (struct slice){0};
		struct pattern_captures captures;
		const struct config_route *r = config_route_for(
			c, slice_of(cases[i].host), slice_of(cases[i].path), cases[i].query != NULL, query);

		if (!slice_equal(r->rules.route, slice_of(cases[i].route)))
			fail_msg("%s%s: %.*s", cases[i].host, cases[i].path, SLICE_ARG(r->rules.route));
		assert_ptr_equal(r, &c->routes[r->rules.route_index]);
		assert_int_equal(r->rules.ttl_ms, 7000);
		config_route_captures(r, slice_of(cases[i].path), cases[i].query != NULL, query, &captures);
		assert_int_equal(captures.n, slice_equal(r->rules.route, SLICE_LIT("user")) ? 1 : 0);
	}
	config_unref(&c);
}

static void a_server_that_decodes_sees_the_same_in_more_ways(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool matches, matches_decoded;
	} rows[] = {
		{"/users/@me", "/users/%40me", false, true},
		{"/users/%40me", "/users/@me", false, true},
		{"/a%20b", "/a%20b", true, true},
		{"/a/b", "/a%2fb", false, true},
		{"/{x}/c", "/a%2fb/c", true, true},
		{"/{x}/b", "/a%2fb", false, false},
		{"/a", "/%61", true, true},
		{"/a", "/b", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice host = SLICE_LIT("h"), path = slice_of(rows[i].path), query = {0};
		struct config *c;
		char text[100];

		snprintf(text, sizeof(text), "[route x]\nmatch = %s\n", rows[i].pattern);
		c = config_of(text);
		if ((config_route_for(c, host, path, false, query) == c->routes) != rows[i].matches ||
			(config_route_decoded(c, host, path, false, query) == c->routes) != rows[i].matches_decoded)
			fail_msg("%s on %s", rows[i].pattern, rows[i].path);
		config_unref(&c);
	}
}

static void captures_go_into_the_routes_invalidates(void **state)
{
	struct config *c = config_of("[route post]\nmatch = /users/{user}/posts/{id}\n"
				     "invalidates = /posts/{id} /users/{user}/*\n");
	struct pattern_captures captures;
	const struct config_route *r =
		config_route_for(c, SLICE_LIT("h"), SLICE_LIT("/users/7/posts/9"), false, (struct slice){0});
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	config_route_captures(r, SLICE_LIT("/users/7/posts/9"), false, (struct slice){0}, &captures);
	assert_int_equal(r->invalidates.n, 2);
	assert_int_equal(pattern_expand(r->invalidates.v[0], &captures, &out), 0);
	assert_int_equal(buf_add_char(&out, ' '), 0);
	assert_int_equal(pattern_expand(r->invalidates.v[1], &captures, &out), 0);
	assert_true(slice_equal(buf_slice(&out), SLICE_LIT("/posts/9 /users/7/")));
	assert_false(pattern_template_is_prefix(r->invalidates.v[0]));
	assert_true(pattern_template_is_prefix(r->invalidates.v[1]));
	buf_fini(&out);
	config_unref(&c);
}

static void the_default_route_is_last_and_takes_the_rest(void **state)
{
	struct config *c = config_of("");
	const struct config_route *r = config_route_for(c, SLICE_LIT("h"), SLICE_LIT("/x"), false, (struct slice){0});

	(void)state;
	assert_int_equal(c->routes_n, 1);
	assert_ptr_equal(r, &c->routes[0]);
	assert_true(slice_equal(r->rules.route, SLICE_LIT("default")));
	config_unref(&c);
	c = config_of("[route all]\n");
	r = config_route_for(c, SLICE_LIT("h"), SLICE_LIT("/x"), false, (struct slice){0});
	assert_true(slice_equal(r->rules.route, SLICE_LIT("all")));
	assert_int_equal(c->routes[1].rules.route_index, 1);
	config_unref(&c);
}

static void upstreams_are_found_by_name(void **state)
{
	struct config *c = config_of("[upstream b]\nurl = http://b\n[route x]\nupstream = b\n");

	(void)state;
	assert_ptr_equal(config_upstream_named(c, SLICE_LIT("")), &c->upstreams[0]);
	assert_ptr_equal(config_upstream_named(c, SLICE_LIT("default")), &c->upstreams[0]);
	assert_ptr_equal(config_upstream_named(c, SLICE_LIT("b")), &c->upstreams[1]);
	assert_null(config_upstream_named(c, SLICE_LIT("c")));
	assert_int_equal(c->routes[0].upstream, 1);
	assert_int_equal(c->routes[1].upstream, 0);
	config_unref(&c);
}

static void routes_are_found_by_name(void **state)
{
	struct config *c = config_of("[route b]\n[route a]\n[route ab]\n[route e]\n");

	(void)state;
	for (unsigned i = 0; i < c->routes_n; i++)
		assert_ptr_equal(config_route_named(c, c->routes[i].rules.route), &c->routes[i]);
	assert_ptr_equal(config_route_named(c, SLICE_LIT("default")), &c->routes[4]);
	assert_null(config_route_named(c, SLICE_LIT("")));
	assert_null(config_route_named(c, SLICE_LIT("aa")));
	assert_null(config_route_named(c, SLICE_LIT("z")));
	config_unref(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_route_that_fits_host_and_path_wins),
		cmocka_unit_test(a_server_that_decodes_sees_the_same_in_more_ways),
		cmocka_unit_test(captures_go_into_the_routes_invalidates),
		cmocka_unit_test(the_default_route_is_last_and_takes_the_rest),
		cmocka_unit_test(upstreams_are_found_by_name),
		cmocka_unit_test(routes_are_found_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
