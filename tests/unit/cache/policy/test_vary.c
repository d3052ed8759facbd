/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_rows.h"

#include "base/mem.h"
#include "cache/policy/vary.h"

static struct rows_exchange e; /* only its text is used */

static void parse(struct http_fields *f, const char *text)
{
	e.text_n = 0;
	rows_fields(&e, f, text);
}

/* ---- Names ---- */

static void assert_names(const char *response, enum vary_kind kind, const char *expected)
{
	struct http_fields f;
	struct buf out;
	parse(&f, response);
	buf_init(&out, 65536);
	enum vary_kind got = vary_names(&f, &out);
	if (got != kind || (kind == VARY_FIELDS && !slice_equal(buf_slice(&out), slice_of(expected))))
		fail_msg("%s: kind %d, names %.*s", response, got, SLICE_ARG(buf_slice(&out)));
	buf_fini(&out);
	http_fields_fini(&f);
}

static void names_are_lower_case_sorted_and_single(void **state)
{
	(void)state;
	assert_names("A: 1", VARY_NONE, "");
	assert_names("Vary:", VARY_NONE, "");
	assert_names("Vary: ,, ,", VARY_NONE, "");
	assert_names("Vary: Accept", VARY_FIELDS, "accept");
	assert_names("Vary: Foo, accept ,BAR", VARY_FIELDS, "accept,bar,foo");
	assert_names("Vary: foo, Foo, FOO", VARY_FIELDS, "foo");
	assert_names("Vary: b\nVary: a\nVary: B", VARY_FIELDS, "a,b");
	assert_names("Vary: ab, a, abc", VARY_FIELDS, "a,ab,abc");
}

static void a_star_anywhere_is_a_star(void **state)
{
	(void)state;
	assert_names("Vary: *", VARY_STAR, NULL);
	assert_names("Vary: *, *", VARY_STAR, NULL);
	assert_names("Vary: *\nVary: *", VARY_STAR, NULL);
	assert_names("Vary: , *", VARY_STAR, NULL);
	assert_names("Vary:\nVary: *", VARY_STAR, NULL);
	assert_names("Vary: *, Foo", VARY_STAR, NULL);
	assert_names("Vary: Foo, *", VARY_STAR, NULL);
	assert_names("Vary: Foo\nVary: Bar,*", VARY_STAR, NULL);
}

static void what_is_no_name_counts_as_a_star(void **state)
{
	(void)state;
	assert_names("Vary: a b", VARY_STAR, NULL);
	assert_names("Vary: \"a\"", VARY_STAR, NULL);
	assert_names("Vary: a; q=1", VARY_STAR, NULL);
}

static void more_names_than_the_bound_are_a_star(void **state)
{
	(void)state;
	char text[1024] = "Vary: a0";
	for (unsigned i = 1; i < VARY_NAMES_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", a%u, A%u", i, i);
	struct http_fields f;
	struct buf out;
	parse(&f, text);
	buf_init(&out, 4096);
	assert_int_equal(vary_names(&f, &out), VARY_FIELDS);
	http_fields_fini(&f);
	buf_reset(&out);
	strcat(text, ", one-more");
	parse(&f, text);
	assert_int_equal(vary_names(&f, &out), VARY_STAR);
	http_fields_fini(&f);
	buf_fini(&out);
}

static void names_that_find_no_memory_are_a_star(void **state)
{
	(void)state;
	struct http_fields f;
	struct buf out;
	parse(&f, "Vary: accept");
	buf_init(&out, 3);
	assert_int_equal(vary_names(&f, &out), VARY_STAR);
	buf_fini(&out);
	http_fields_fini(&f);
}

/* ---- Values ---- */

/* Does what was stored for one request serve the other, in both directions? */
static bool serves(const char *names, const char *stored, const char *language, const char *asked)
{
	struct http_fields f;
	struct buf values;
	buf_init(&values, 1 << 20);
	parse(&f, stored);
	assert_int_equal(vary_values(slice_of(names), &f, &values), 0);
	assert_true(vary_matches(slice_of(names), buf_slice(&values), SLICE_LIT(""), &f));
	http_fields_fini(&f);
	parse(&f, asked);
	bool matches = vary_matches(slice_of(names), buf_slice(&values), slice_of(language), &f);
	http_fields_fini(&f);
	buf_fini(&values);
	return matches;
}

#define SAME true
#define OTHER false

/* clang-format off */
static const struct {
	const char *section, *names, *a, *b;
	bool same;
} pairs[] = {
	{"9111 4.1", "foo", "Foo: 1", "Foo: 1", SAME},
	{"9111 4.1", "foo", "Foo: 1", "fOO: 1", SAME},
	{"9111 4.1", "foo", "Foo: 1", "Foo: 2", OTHER},
	{"9111 4.1", "foo", "Foo: a", "Foo: A", OTHER},
	{"9111 4.1", "foo", "", "", SAME},
	{"9111 4.1", "foo", "Foo: 1", "", OTHER},
	{"9111 4.1", "foo", "", "Foo:", OTHER},
	{"9111 4.1", "foo", "Foo:", "Foo:", SAME},
	{"9111 4.1", "foo", "Foo: 1\nBar: 1", "Foo: 1\nBar: 2", SAME},
	{"9111 4.1", "bar,foo", "Foo: 1\nBar: 2", "Bar: 2\nFoo: 1", SAME},
	{"9111 4.1", "bar,foo", "Foo: 1\nBar: 2", "Foo: 2\nBar: 1", OTHER},
	{"9111 4.1", "bar,foo", "Foo: 1", "Bar: 1", OTHER},
	{"9111 4.1", "bar,foo", "Foo: 1", "Foo: 1", SAME},
	{"9111 4.1", "bar,foo", "Bar:\nFoo: 1", "Foo: 1", OTHER},
	/* any field: lines and spaces */
	{"9110 5.3", "foo", "Foo: 1, 2", "Foo: 1\nFoo: 2", SAME},
	{"9110 5.3", "foo", "Foo: 1, 2", "Foo: 2\nFoo: 1", OTHER},
	{"9111 4.1", "foo", "Foo: 1,2", "Foo:  1 ,\t2 ", SAME},
	{"9111 4.1", "foo", "Foo: 1 2", "Foo: 1  2", OTHER},
	{"9111 4.1", "foo", "Foo: 1, 2", "Foo: 2, 1", OTHER},
	{"9111 4.1", "foo", "Foo: 1,,2", "Foo: 1,2", OTHER},
	{"9110 5.6.4", "foo", "Foo: \"1,2\"", "Foo: \"1, 2\"", OTHER},
	{"9110 5.6.4", "foo", "Foo: \"\\\"1,2\"", "Foo: \"\\\"1, 2\"", OTHER},
	{"9110 5.6.4", "foo", "Foo: \"1\",2", "Foo: \"1\" , 2", SAME},
	{"9111 4.1", "foo", "Foo: 12", "Foo: 1\nFoo: 2", OTHER},
	/* fields with one value */
	{"9110 10.1.5", "user-agent", "User-Agent: a (b,c)", "User-Agent: a (b, c)", OTHER},
	{"6265 4.2", "cookie", "Cookie: a=1,2", "Cookie: a=1, 2", OTHER},
	{"9110 11.6.2", "authorization", "Authorization: D a,b", "Authorization: D a, b", OTHER},
	{"9110 10.1.5", "user-agent", "User-Agent: a", "User-Agent: a", SAME},
	/* Accept-Encoding */
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: br,gzip", SAME},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: GZip\nAccept-Encoding: BR", SAME},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip, br", OTHER},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip, br;q=0", SAME},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip, *", "Accept-Encoding: gzip, *, br;q=0", OTHER},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip, identity;q=0", OTHER},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=1.000", SAME},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip;q=0.5", "Accept-Encoding: gzip ; Q=0.500", SAME},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip;q=0.5", "Accept-Encoding: gzip", OTHER},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: br, gzip;q=0.5", "Accept-Encoding: gzip, br;q=0.5", OTHER},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0", OTHER},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding:", "Accept-Encoding: gzip;q=0", SAME},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding:", "", OTHER},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: *", "", OTHER},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip, gzip", SAME},
	{"9110 12.5.3", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip, gzip;q=0", OTHER},
	{"9110 8.4.1.3", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: x-gzip", SAME},
	{"9110 8.4.1.1", "accept-encoding", "Accept-Encoding: x-compress, br", "Accept-Encoding: br, compress", SAME},
	{"9110 12.4.2", "accept-encoding", "Accept-Encoding: gzip;q=2", "Accept-Encoding: gzip", OTHER},
	{"9110 12.4.2", "accept-encoding", "Accept-Encoding: gzip;q=x", "Accept-Encoding: gzip;q=x", SAME},
	{"9110 12.4.2", "accept-encoding", "Accept-Encoding: gzip;q=0.1234", "Accept-Encoding: gzip;q=0.123", OTHER},
	{"9110 12.4.2", "accept-encoding", "Accept-Encoding: gzip;level=1", "Accept-Encoding: gzip", OTHER},
	{"9110 12.4.2", "accept-encoding", "Accept-Encoding: b, a;x", "Accept-Encoding: a;x, b", OTHER},
	/* Accept-Language */
	{"9110 12.5.4", "accept-language", "Accept-Language: en, de", "Accept-Language: de, en", SAME},
	{"9110 12.5.4", "accept-language", "Accept-Language: en, de", "Accept-Language: eN,De", SAME},
	{"9110 12.5.4", "accept-language", "Accept-Language: en, de;q=0.5", "Accept-Language: de;q=0.50 , en", SAME},
	{"9110 12.5.4", "accept-language", "Accept-Language: en, de;q=0.5", "Accept-Language: de, en;q=0.5", OTHER},
	{"9110 12.5.4", "accept-language", "Accept-Language: en", "Accept-Language: en-US", OTHER},
	{"9110 12.5.4", "accept-language", "Accept-Language: en", "Accept-Language: en, de;q=0", OTHER},
	{"9110 12.5.4", "accept-language", "Accept-Language: en", "", OTHER},
	/* other lists keep their order */
	{"9110 12.5.1", "accept", "Accept: a/b, c/d", "Accept: a/b,c/d", SAME},
	{"9110 12.5.1", "accept", "Accept: a/b, c/d", "Accept: c/d, a/b", OTHER},
	{"9110 12.5.1", "accept", "Accept: a/b;x=\"1,2\"", "Accept: a/b;x=\"1, 2\"", OTHER},
};
/* clang-format on */

static void values_match_when_they_mean_the_same(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
		bool ab = serves(pairs[i].names, pairs[i].a, "", pairs[i].b);
		bool ba = serves(pairs[i].names, pairs[i].b, "", pairs[i].a);
		if (ab != pairs[i].same || ba != pairs[i].same)
			fail_msg("row %u (%s): \"%s\" and \"%s\"", i, pairs[i].section, pairs[i].a, pairs[i].b);
	}
}

static void a_stored_language_serves_who_wants_it_most(void **state)
{
	(void)state;
	static const struct {
		const char *language, *asked;
		bool serves;
	} rows[] = {
		{"de", "Accept-Language: de", true},
		{"de", "Accept-Language: fr;q=0.5, de;q=1.0", true},
		{"DE", "Accept-Language: de, fr;q=0.9", true},
		{" de ", "Accept-Language: de, fr;q=0.9", true},
		{"de-CH", "Accept-Language: de-ch, *;q=0.1", true},
		{"de", "Accept-Language: fr, de", false},
		{"de", "Accept-Language: fr, de;q=0.9", false},
		{"de", "Accept-Language: *, de;q=0.9", false},
		{"de", "Accept-Language: de;q=0", false},
		{"de", "Accept-Language: de, de;q=0.5", false},
		{"de", "Accept-Language: de, de, de", false},
		{"de", "Accept-Language: de-CH", false},
		{"de-CH", "Accept-Language: de", false},
		{"de", "Accept-Language: *", false},
		{"*", "Accept-Language: *", false},
		{"de, fr", "Accept-Language: de", false},
		{"", "Accept-Language: de", false},
		{"de", "Accept-Language: de;q=x", false},
		{"de", "", false},
		{"de", "Accept-Language:", false},
	};
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		if (serves("accept-language", "Accept-Language: en, de;q=0.5, fr", rows[i].language, rows[i].asked) !=
			rows[i].serves)
			fail_msg("row %u: %s for %s", i, rows[i].language, rows[i].asked);
	}
	/* The other fields still count. */
	assert_false(
		serves("accept-language,foo", "Accept-Language: en, de\nFoo: 1", "de", "Accept-Language: de\nFoo: 2"));
	assert_true(
		serves("accept-language,foo", "Accept-Language: en, de\nFoo: 1", "de", "Accept-Language: de\nFoo: 1"));
}

static void values_of_any_length_match(void **state)
{
	(void)state;
	static char text[9000], other[9000];
	memset(text, 'a', sizeof(text) - 1);
	memcpy(text, "Foo: ", 5);
	memcpy(other, text, sizeof(text));
	other[sizeof(other) - 2] = 'b';
	assert_true(serves("foo", text, "", text));
	assert_false(serves("foo", text, "", other));
}

static void more_weighted_members_than_the_bound_are_compared_as_they_are(void **state)
{
	(void)state;
	char a[1024] = "Accept-Language: x", b[1024] = "Accept-Language: x";
	for (unsigned i = 0; i < 70; i++) {
		snprintf(a + strlen(a), sizeof(a) - strlen(a), ",a%u", i);
		snprintf(b + strlen(b), sizeof(b) - strlen(b), ",a%u", 69 - i);
	}
	assert_true(serves("accept-language", a, "", a));
	assert_false(serves("accept-language", a, "", b));
}

/* Whoever sends long fields has them compared, and not sorted, 64 times under a lock. */
static void long_fields_are_compared_byte_for_byte(void **state)
{
	(void)state;
	char a[700] = "Accept-Language: de, en, ", b[700] = "Accept-Language: en, de, ", c[700];
	memset(a + 25, 'x', 600);
	memset(b + 25, 'x', 600);
	assert_true(serves("accept-language", a, "", a));
	assert_false(serves("accept-language", a, "", b));
	assert_false(serves("accept-language", a, "", "Accept-Language: de"));
	assert_false(serves("accept-language", "Accept-Language: de", "de", a));
	memcpy(c, a, sizeof(c));
	c[500] = '\n';
	memcpy(c + 501, "Accept-Language: ", 17);
	assert_true(serves("accept-language", c, "", c));
	assert_false(serves("accept-language", a, "", c));
	assert_false(serves("accept-language", c, "", a));
}

static void stored_bytes_that_are_cut_match_nothing(void **state)
{
	(void)state;
	struct http_fields f;
	struct buf values;
	buf_init(&values, 4096);
	parse(&f, "Foo: 1\nBar: 22");
	struct slice names = SLICE_LIT("bar,baz,foo");
	assert_int_equal(vary_values(names, &f, &values), 0);
	for (size_t n = 0; n < values.n; n++) {
		/* Its own memory, so that a read past its end is seen. */
		char *cut = mem_alloc(n + 1);
		assert_non_null(cut);
		char *exact = mem_realloc(cut, n ? n : 1);
		assert_non_null(exact);
		memcpy(exact, values.p, n);
		assert_false(vary_matches(names, (struct slice){exact, n}, SLICE_LIT(""), &f));
		mem_free(exact);
	}
	assert_true(vary_matches(names, buf_slice(&values), SLICE_LIT(""), &f));
	buf_add_char(&values, '-');
	assert_false(vary_matches(names, buf_slice(&values), SLICE_LIT(""), &f));
	buf_fini(&values);
	http_fields_fini(&f);
}

static void a_request_is_normalised_once_for_all_responses_with_the_same_names(void **state)
{
	static struct vary_wants w;
	struct http_fields f;
	struct buf values, other;

	(void)state;
	parse(&f, "Accept-Language: de , EN\nX: 1");
	buf_init(&values, 65536);
	buf_init(&other, 65536);
	assert_int_equal(vary_values(SLICE_LIT("accept-language"), &f, &values), 0);
	assert_int_equal(vary_values(SLICE_LIT("accept-language,x"), &f, &other), 0);
	vary_wants_init(&w, &f);
	assert_true(vary_wants_match(&w, SLICE_LIT("accept-language"), buf_slice(&values), SLICE_LIT("")));
	f.v[0].value = SLICE_LIT("fr");
	assert_true(vary_wants_match(&w, SLICE_LIT("accept-language"), buf_slice(&values), SLICE_LIT("")));
	f.v[0].value = SLICE_LIT("de,en");
	assert_true(vary_wants_match(&w, SLICE_LIT("accept-language,x"), buf_slice(&other), SLICE_LIT("")));
	assert_false(vary_wants_match(&w, SLICE_LIT("accept-language,x"), buf_slice(&values), SLICE_LIT("")));
	assert_true(vary_wants_match(&w, SLICE_LIT(""), SLICE_LIT(""), SLICE_LIT("")));
	f.v[0].value = SLICE_LIT("fr");
	assert_false(vary_wants_match(&w, SLICE_LIT("accept-language"), buf_slice(&values), SLICE_LIT("")));
	buf_fini(&other);
	buf_fini(&values);
	http_fields_fini(&f);
}

static uint32_t hash_of(const char *names, const char *request)
{
	static struct vary_wants w;
	struct http_fields f;
	uint32_t h[2], again[2];

	parse(&f, request);
	vary_wants_init(&w, &f);
	assert_true(vary_wants_hashes(&w, slice_of(names), h) > 0);
	assert_true(vary_wants_hashes(&w, slice_of(names), again) > 0);
	assert_int_equal(again[0], h[0]);
	http_fields_fini(&f);
	return h[0];
}

static void the_hash_is_of_what_the_names_tell_apart(void **state)
{
	char one[700] = "X: ", other[700] = "X: ";

	(void)state;
	memset(one + 3, 'a', 600);
	memset(other + 3, 'a', 600);
	other[602] = 'b';
	assert_int_equal(hash_of("x", "X: 1\nY: 1"), hash_of("x", "Y: 2\nX: 1"));
	assert_int_not_equal(hash_of("x", "X: 1"), hash_of("x", "X: 2"));
	assert_int_not_equal(hash_of("x", "X: "), hash_of("x", ""));
	assert_int_not_equal(hash_of("x,y", "X: 1"), hash_of("x,y", "Y: 1"));
	assert_int_equal(hash_of("accept-language", "Accept-Language: en,  DE"),
		hash_of("accept-language", "Accept-Language: de,en"));
	assert_int_equal(hash_of("x", one), hash_of("x", one));
	assert_int_not_equal(hash_of("x", one), hash_of("x", other));
}

static void values_beyond_the_buffers_bound_are_an_error(void **state)
{
	(void)state;
	struct http_fields f;
	struct buf values;
	parse(&f, "Foo: 123456789");
	for (size_t max = 0; max < 14; max++) {
		buf_init(&values, max);
		assert_true(vary_values(SLICE_LIT("foo"), &f, &values) < 0);
		buf_fini(&values);
	}
	buf_init(&values, 14);
	assert_int_equal(vary_values(SLICE_LIT("foo"), &f, &values), 0);
	buf_fini(&values);
	http_fields_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_lower_case_sorted_and_single),
		cmocka_unit_test(a_star_anywhere_is_a_star),
		cmocka_unit_test(what_is_no_name_counts_as_a_star),
		cmocka_unit_test(more_names_than_the_bound_are_a_star),
		cmocka_unit_test(names_that_find_no_memory_are_a_star),
		cmocka_unit_test(values_match_when_they_mean_the_same),
		cmocka_unit_test(a_stored_language_serves_who_wants_it_most),
		cmocka_unit_test(values_of_any_length_match),
		cmocka_unit_test(more_weighted_members_than_the_bound_are_compared_as_they_are),
		cmocka_unit_test(long_fields_are_compared_byte_for_byte),
		cmocka_unit_test(stored_bytes_that_are_cut_match_nothing),
		cmocka_unit_test(a_request_is_normalised_once_for_all_responses_with_the_same_names),
		cmocka_unit_test(the_hash_is_of_what_the_names_tell_apart),
		cmocka_unit_test(values_beyond_the_buffers_bound_are_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
