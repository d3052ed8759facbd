/* SPDX-License-Identifier: MIT */
/* Path patterns against a table, and against an oracle that tries everything. */
#include "config/routing/pattern.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"

static struct pattern *compiled(const char *text)
{
	const char *why = "";
	struct pattern *p;

	if (pattern_compile(slice_of(text), &p, &why))
		fail_msg("%s: %s", text, why);
	return p;
}

/* url: path, or path?query */
static bool matches(const struct pattern *p, const char *url, struct pattern_captures *captures)
{
	struct slice path = slice_of(url), query = {0};
	const char *mark = strchr(url, '?');

	if (mark) {
		query = slice_of(mark + 1);
		path.n = (size_t)(mark - url);
	}
	return pattern_match(p, path, mark != NULL, query, captures);
}

static const struct {
	const char *pattern, *url;
	bool matches;
} match_cases[] = {
	{"*", "/", true},
	{"*", "*", true},
	{"/users", "/users", true},
	{"/users", "/users?x=1", true},
	{"/users", "/users/", false},
	{"/users", "/user", false},
	{"/users", "/Users", false},
	{"/users*", "/users", true},
	{"/users*", "/users/1/posts", true},
	{"/users/*", "/users", false},
	{"/users/*", "/users/", true},
	{"*.json", "/a/b.json", true},
	{"*.json", "/a/b.json/", false},
	{"*.json", "/a.json.json", true},
	{"/a*b*c", "/abc", true},
	{"/a*b*c", "/axbxbxc", true},
	{"/a*b*c", "/acb", false},
	{"/a**c", "/a/b/c", true},
	{"/users/{id}", "/users/1", true},
	{"/users/{id}", "/users/", false},
	{"/users/{id}", "/users/1/", false},
	{"/users/{id}/", "/users/1/", true},
	{"/users/{id}/posts/{post}", "/users/1/posts/2", true},
	{"/users/{id}/posts/{post}", "/users/1/x/posts/2", false},
	{"*/posts/{post}", "/a/posts/b/posts/c", true},
	{"*/{a}/{b}", "/x", false},
	{"*/{a}/{b}", "/x/y/z", true},
	{"/{a}/*/z", "/x/y/z", true},
	{"/search?*", "/search", false},
	{"/search?*", "/search?", true},
	{"/search?q=*", "/search?q=1&r=2", true},
	{"/search?q=*", "/search?r=2&q=1", false},
	{"/search?*q=1*", "/search?r=2&q=1", true},
	{"/a*?x", "/ab?x", true},
	{"/a*?x", "/a?b?x", false},
	{"/a?", "/a", false},
	{"/a?", "/a?", true},
	{"/a?", "/a?b", false},
	{"/a?b?c", "/a?b?c", true},
	/* Percent-encoding of what needs none makes no difference, in either of the two. */
	{"/private*", "/%70rivate/x", true},
	{"/%70rivate*", "/private/x", true},
	{"/private", "/priv%61te", true},
	{"/a%2fb", "/a%2Fb", true},
	{"/a/b", "/a%2Fb", false},
	{"/{x}", "/a%2Fb", true},
	{"/a%20b", "/a%20b", true},
	{"/%7Bx%7D", "/{x}", true},
	{"/%e2%82%ac", "/%E2%82%AC", true},
	{"/a%2Ab", "/a%2ab", true},
	{"/a%2Ab", "/axb", false},
	{"/a%25b", "/a%25b", true},
	/* A lone '%' is not an escape, and hides nothing. */
	{"/a*", "/a%", true},
	{"/a*z", "/a%zz", true},
	{"/a*", "/a%4", true},
};

static void patterns_match_what_the_table_says(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(match_cases); i++) {
		struct pattern *p = compiled(match_cases[i].pattern);

		if (matches(p, match_cases[i].url, NULL) != match_cases[i].matches)
			fail_msg("%s on %s", match_cases[i].pattern, match_cases[i].url);
		pattern_free(&p);
		assert_null(p);
	}
}

static void bad_patterns_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *pattern, *why;
	} cases[] = {
		{"", "begins with"},
		{"users", "begins with"},
		{"?x", "begins with"},
		{"{id}", "begins with"},
		{"/a#b", "visible ASCII"},
		{"/a b", "visible ASCII"},
		{"/\xC3\xA4", "visible ASCII"},
		{"/a%", "hexadecimal"},
		{"/a%4", "hexadecimal"},
		{"/a%zz", "hexadecimal"},
		{"/a}", "'}' without"},
		{"/{", "a name in"},
		{"/{id", "a name in"},
		{"/{}", "a name in"},
		{"/{1a}", "a name in"},
		{"/{a-b}", "a name in"},
		{"/{abcdefghijklmnopqrstuvwxyzabcdefg}", "a name in"},
		{"/x{id}", "whole path segment"},
		{"/{id}x", "whole path segment"},
		{"/{id}*", "whole path segment"},
		{"*{id}", "whole path segment"},
		{"/{a}/{a}", "twice"},
		{"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "at most 8"},
		{"/a?x={id}", "not for parts of a query"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const char *why = "";
		struct pattern *p;

		assert_int_equal(pattern_compile(slice_of(cases[i].pattern), &p, &why), -EINVAL);
		assert_null(p);
		if (!strstr(why, cases[i].why))
			fail_msg("%s: %s", cases[i].pattern, why);
	}
}

static void a_pattern_over_its_bound_is_refused(void **state)
{
	char text[PATTERN_MAX + 2];
	const char *why;
	struct pattern *p;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	assert_int_equal(pattern_compile((struct slice){text, PATTERN_MAX}, &p, &why), 0);
	pattern_free(&p);
	assert_int_equal(pattern_compile((struct slice){text, PATTERN_MAX + 1}, &p, &why), -EINVAL);
}

static void captures_are_slices_of_the_path_as_received(void **state)
{
	struct pattern *p = compiled("*/users/{id}/posts/{post}");
	struct pattern_captures captures;

	(void)state;
	assert_true(matches(p, "/users/0/x/users/%31/posts/b%2Fc?q", &captures));
	assert_int_equal(captures.n, 2);
	assert_true(slice_equal(captures.v[0], SLICE_LIT("%31")));
	assert_true(slice_equal(captures.v[1], SLICE_LIT("b%2Fc")));
	pattern_free(&p);
}

static void templates_put_captures_in_their_places(void **state)
{
	static const struct {
		const char *template, *expanded;
		bool is_prefix;
	} cases[] = {
		{"/users", "/users", false},
		{"/users/{id}", "/users/7", false},
		{"/users/{id}*", "/users/7", true},
		{"/*", "/", true},
		{"/p?user={id}&post={post}", "/p?user=7&post=9", false},
		{"/{post}{id}x{id}", "/97x7", false},
	};
	struct pattern *p = compiled("/users/{id}/posts/{post}");
	struct pattern_captures captures;

	(void)state;
	assert_true(matches(p, "/users/7/posts/9", &captures));
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct pattern_template *t;
		const char *why = "";
		struct buf out;

		buf_init(&out, 100);
		if (pattern_template_compile(slice_of(cases[i].template), p, &t, &why))
			fail_msg("%s: %s", cases[i].template, why);
		assert_int_equal(pattern_expand(t, &captures, &out), 0);
		if (!slice_equal(buf_slice(&out), slice_of(cases[i].expanded)))
			fail_msg("%s: %.*s", cases[i].template, SLICE_ARG(buf_slice(&out)));
		assert_int_equal(pattern_template_is_prefix(t), cases[i].is_prefix);
		buf_fini(&out);
		pattern_template_free(&t);
		assert_null(t);
	}
	pattern_free(&p);
}

static void bad_templates_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *template, *why;
	} cases[] = {
		{"", "begins with"},
		{"*", "begins with"},
		{"users", "begins with"},
		{"/a*b", "at its end"},
		{"/a**", "at its end"},
		{"/{no}", "not in the route's match"},
		{"/{id", "a name in"},
		{"/a}", "'}' without"},
		{"/a%g0", "hexadecimal"},
		{"/{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}"
		 "{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}{id}",
			"at most 16"},
		{"/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}",
			"at most 16"},
	};
	struct pattern *p = compiled("/users/{id}");

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct pattern_template *t;
		const char *why = "";

		assert_int_equal(pattern_template_compile(slice_of(cases[i].template), p, &t, &why), -EINVAL);
		assert_null(t);
		if (!strstr(why, cases[i].why))
			fail_msg("%s: %s", cases[i].template, why);
	}
	pattern_free(&p);
}

static void a_full_buffer_is_an_error_of_expand(void **state)
{
	struct pattern_template *t;
	const char *why;
	struct buf out;

	(void)state;
	buf_init(&out, 3);
	assert_int_equal(pattern_template_compile(SLICE_LIT("/long"), NULL, &t, &why), 0);
	assert_int_equal(pattern_expand(t, &(struct pattern_captures){.n = 0}, &out), -ENOBUFS);
	buf_fini(&out);
	pattern_template_free(&t);
}

static void no_memory_is_an_error_of_compile(void **state)
{
	struct pattern_template *t;
	struct pattern *p;
	const char *why;

	(void)state;
	mem_fail_at(1, 0);
	assert_int_equal(pattern_compile(SLICE_LIT("/a"), &p, &why), -ENOMEM);
	mem_fail_at(1, 0);
	assert_int_equal(pattern_template_compile(SLICE_LIT("/a"), NULL, &t, &why), -ENOMEM);
	mem_fail_at(0, 0);
}

/* ---- The oracle: a pattern's plain meaning, every way tried ---- */

static bool oracle(const char *pattern, const char *text)
{
	if (!*pattern)
		return !*text;
	if (*pattern == '*') {
		for (const char *to = text;; to++) {
			if (oracle(pattern + 1, to))
				return true;
			if (!*to)
				return false;
		}
	}
	if (*pattern == '{') {
		const char *rest = strchr(pattern, '}') + 1;

		for (const char *to = text; *to && *to != '/'; to++)
			if (oracle(rest, to + 1))
				return true;
		return false;
	}
	return *pattern == *text && oracle(pattern + 1, text + 1);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 16;
}

static void random_pattern(uint32_t *seed, char *to)
{
	static const char *const pieces[] = {"/", "a", "b", "*", "/a", "/*", "/a/", "ab"};
	unsigned pieces_n = next_random(seed) % 6, names = 0;

	strcpy(to, next_random(seed) % 2 ? "/" : "*");
	for (unsigned i = 0; i < pieces_n; i++) {
		char name[8] = "";

		if (next_random(seed) % 3 == 0)
			snprintf(name, sizeof(name), "/{n%u}/", names++);
		strcat(to, name[0] ? name : pieces[next_random(seed) % ARRAY_LEN(pieces)]);
	}
	if (to[strlen(to) - 1] == '/' && next_random(seed) % 2)
		strcat(to, "{last}");
}

static void random_text(uint32_t *seed, char *to)
{
	unsigned n = next_random(seed) % 12;

	*to++ = '/';
	for (unsigned i = 0; i < n; i++)
		*to++ = "//aab"[next_random(seed) % 5];
	*to = '\0';
}

static void matching_agrees_with_an_oracle_that_tries_everything(void **state)
{
	uint32_t seed = 20240611;
	unsigned hits = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char pattern[100], text[20];
		struct pattern *p;

		random_pattern(&seed, pattern);
		p = compiled(pattern);
		for (unsigned j = 0; j < 10; j++) {
			bool expected;

			random_text(&seed, text);
			expected = oracle(pattern, text);
			hits += expected;
			if (matches(p, text, NULL) != expected)
				fail_msg("%s on %s: it should be %d", pattern, text, expected);
		}
		pattern_free(&p);
	}
	assert_in_range(hits, 20000, 180000); /* or the inputs prove nothing */
}

/* What takes a backtracking matcher longer than the universe lasts. */
static void many_runs_cost_no_more_than_pattern_times_text(void **state)
{
	enum { STARS = 300, TEXT = 30000 };
	char *pattern = mem_alloc(3 * STARS + 3), *text = mem_alloc(TEXT + 1);
	struct pattern *p;

	(void)state;
	assert_non_null(pattern);
	assert_non_null(text);
	for (unsigned i = 0; i < STARS; i++)
		memcpy(pattern + 3 * i, "*/a", 3);
	memcpy(pattern + 3 * STARS, "*z", 3);
	for (unsigned i = 0; i < TEXT; i++)
		text[i] = i % 2 ? 'a' : '/';
	text[TEXT] = '\0';
	p = compiled(pattern);
	assert_false(matches(p, text, NULL));
	pattern_free(&p);
	mem_free(pattern);
	mem_free(text);
}

/* The last run is tried again from further on: what was captured behind it is captured anew, in the same places. */
static void captures_are_those_of_the_match_not_of_tries_before_it(void **state)
{
	static const struct {
		const char *pattern, *url, *v[2];
	} cases[] = {
		{"*/posts/{post}", "/a/posts/b/posts/c", {"c"}},
		{"*/posts/{post}", "/posts/a/posts/b/posts/c", {"c"}},
		{"/{x}/*/posts/{post}", "/u/a/posts/b/posts/c", {"u", "c"}},
		{"/{x}/*/b/{y}", "/1//b/2/b/3", {"1", "3"}},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct pattern *p = compiled(cases[i].pattern);
		struct pattern_captures captures;

		assert_true(matches(p, cases[i].url, &captures));
		for (unsigned k = 0; k < captures.n; k++)
			if (!slice_equal(captures.v[k], slice_of(cases[i].v[k])))
				fail_msg("%s on %s: %.*s", cases[i].pattern, cases[i].url, SLICE_ARG(captures.v[k]));
		pattern_free(&p);
	}
}

/* What is proved, and what looks like it. */
static void a_pattern_covers_what_has_nothing_else(void **state)
{
	static const struct {
		const char *a, *b;
		bool covers;
	} cases[] = {
		{"/a/{x}", "/a/{y}", true},
		{"/a/{x}", "/a/b", true},
		{"/a/{x}", "/a/*", false},
		{"/a/{x}", "/a/b*", false},
		{"/a/{x}", "/a/", false},
		{"/a/*", "/a/{x}/b", true},
		{"/*/b", "/a/*/b", true},
		{"/*/b", "/a/*", false},
		{"/a*c", "/abbc*c", true},
		{"/a?*", "/a", false},
		{"/a", "/a?x", true},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct pattern *a, *b;
		const char *why;

		assert_int_equal(pattern_compile(slice_of(cases[i].a), &a, &why), 0);
		assert_int_equal(pattern_compile(slice_of(cases[i].b), &b, &why), 0);
		if (pattern_covers(a, b) != cases[i].covers)
			fail_msg("%s, %s", cases[i].a, cases[i].b);
		assert_true(pattern_covers(NULL, b));
		pattern_free(&a);
		pattern_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_covers_what_has_nothing_else),
		cmocka_unit_test(patterns_match_what_the_table_says),
		cmocka_unit_test(bad_patterns_are_refused_with_a_reason),
		cmocka_unit_test(a_pattern_over_its_bound_is_refused),
		cmocka_unit_test(captures_are_slices_of_the_path_as_received),
		cmocka_unit_test(templates_put_captures_in_their_places),
		cmocka_unit_test(bad_templates_are_refused_with_a_reason),
		cmocka_unit_test(a_full_buffer_is_an_error_of_expand),
		cmocka_unit_test(no_memory_is_an_error_of_compile),
		cmocka_unit_test(matching_agrees_with_an_oracle_that_tries_everything),
		cmocka_unit_test(many_runs_cost_no_more_than_pattern_times_text),
		cmocka_unit_test(captures_are_those_of_the_match_not_of_tries_before_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
