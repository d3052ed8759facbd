/* SPDX-License-Identifier: MIT */
/* What store_if takes, in one piece and byte by byte, beside what jansson reads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "cache/memory/store_filter.h"

static bool takes(enum cache_store_if what, const char *p, size_t n, size_t piece)
{
	struct cache_rules rules = {.store_if = what};
	struct store_filter *f;
	bool does;

	assert_int_equal(store_filter_begin(&rules, 200, &f), 0);
	for (size_t at = 0; at < n; at += piece)
		store_filter_feed(f, p + at, n - at < piece ? n - at : piece);
	does = store_filter_allows(f);
	store_filter_free(&f);
	return does;
}

static void assert_taken(const char *p, size_t n, bool as_json, bool as_graphql)
{
	if (takes(CACHE_STORE_JSON, p, n, n ? n : 1) != as_json || takes(CACHE_STORE_JSON, p, n, 1) != as_json)
		fail_msg("json: %.*s", (int)n, p);
	if (takes(CACHE_STORE_GRAPHQL, p, n, n ? n : 1) != as_graphql ||
		takes(CACHE_STORE_GRAPHQL, p, n, 1) != as_graphql)
		fail_msg("graphql: %.*s", (int)n, p);
}

static const struct {
	const char *text;
	bool json, graphql;
} rows[] = {
	{"{}", true, true},
	{" \t\r\n{ } ", true, true},
	{"{\"data\":{\"errors\":[1]},\"x\":[{\"errors\":1}]}", true, true},
	{"{\"data\":1,\"errors\":[]}", true, false},
	{"{\"\\u0065rrors\":null}", true, false},
	{"{\"\\u0045rrors\":null}", true, true},
	{"{\"error\":1,\"errorss\":2,\"Errors\":3,\"errors \":4}", true, true},
	{"{\"a\":\"errors\"}", true, true},
	{"[]", true, false},
	{"[1,-0,0.5,1e5,1E+5,-1.25e-3,\"\",true,false,null]", true, false},
	{"\"errors\"", true, false},
	{"12", true, false},
	{"0", true, false},
	{"-1.5e3", true, false},
	{"true", true, false},
	{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD83D\\uDE00\"", true, false},
	{"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", true, false},
	{"", false, false},
	{" ", false, false},
	{"{", false, false},
	{"{}}", false, false},
	{"{]", false, false},
	{"[}", false, false},
	{"[1,]", false, false},
	{"[,1]", false, false},
	{"[1 2]", false, false},
	{"{\"a\"}", false, false},
	{"{\"a\":}", false, false},
	{"{\"a\":1,}", false, false},
	{"{a:1}", false, false},
	{"{1:1}", false, false},
	{"{} {}", false, false},
	{"{}x", false, false},
	{"tru", false, false},
	{"truee", false, false},
	{"nul1", false, false},
	{"01", false, false},
	{"-", false, false},
	{"+1", false, false},
	{"1.", false, false},
	{".5", false, false},
	{"1.e5", false, false},
	{"1e", false, false},
	{"1e+", false, false},
	{"0x10", false, false},
	{"NaN", false, false},
	{"'a'", false, false},
	{"\"a", false, false},
	{"\"a\n\"", false, false},
	{"\"\\x\"", false, false},
	{"\"\\u12\"", false, false},
	{"\"\\u12g4\"", false, false},
	{"\"\\ud800\"", false, false},
	{"\"\\ud800\\n\"", false, false},
	{"\"\\ud800\\ud800\"", false, false},
	{"\"\\udc00\"", false, false},
	{"\"\xc0\xaf\"", false, false},
	{"\"\xe0\x80\xaf\"", false, false},
	{"\"\xed\xa0\x80\"", false, false},
	{"\"\xf4\x90\x80\x80\"", false, false},
	{"\"\xf5\x80\x80\x80\"", false, false},
	{"\"\xe2\x82\"", false, false},
	{"\"\x80\"", false, false},
	{"\xef\xbb\xbf{}", false, false},
	{"// a\n{}", false, false},
};

static void each_is_taken_or_not(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		assert_taken(rows[i].text, strlen(rows[i].text), rows[i].json, rows[i].graphql);
	assert_taken("\"\0\"", 3, false, false);
}

static void so_deep_and_no_deeper(void **state)
{
	char text[2 * 2049];

	(void)state;
	for (unsigned n = 2047; n <= 2049; n++) {
		memset(text, '[', n);
		memset(text + n, ']', n);
		assert_taken(text, 2 * n, n <= 2048, false);
	}
}

static void no_memory_is_an_error(void **state)
{
	struct cache_rules rules = {.store_if = CACHE_STORE_JSON};
	struct store_filter *f;

	(void)state;
	mem_fail_at(1, 0);
	assert_int_equal(store_filter_begin(&rules, 200, &f), -ENOMEM);
	mem_fail_at(0, 0);
	assert_null(f);
	rules.store_if = CACHE_STORE_ANY;
	assert_int_equal(store_filter_begin(&rules, 200, &f), 0);
	assert_null(f);
}

/* Out of pieces that nearly are JSON. A number that is beyond what jansson can hold is JSON all the same. */
static void what_jansson_reads_is_taken_and_nothing_else(void **state)
{
	static const char *const pieces[] = {"{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"errors\"", "1", "0", "-",
		".", "e", "+", "true", "null", " ", "\\", "\\u00e9", "\\ud83d\\ude00", "\xc3\xa9", "\xc3", "f", "\n"};
	uint32_t dice = 3;

	(void)state;
	for (unsigned run = 0; run < 200000; run++) {
		json_error_t error;
		char text[200];
		size_t n = 0;
		json_t *j;
		bool is;

		dice = dice * 1664525u + 1013904223u;
		for (unsigned k = dice >> 28; k > 0; k--) {
			const char *piece;

			dice = dice * 1664525u + 1013904223u;
			piece = pieces[(dice >> 8) % ARRAY_LEN(pieces)];
			memcpy(text + n, piece, strlen(piece));
			n += strlen(piece);
		}
		j = json_loadb(text, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
		is = j || json_error_code(&error) == json_error_numeric_overflow;
		if (takes(CACHE_STORE_JSON, text, n, 1 + dice % 3) != is)
			fail_msg("%.*s is %staken", (int)n, text, is ? "not " : "");
		if (j && takes(CACHE_STORE_GRAPHQL, text, n, 7) != (json_is_object(j) && !json_object_get(j, "errors")))
			fail_msg("%.*s of GraphQL", (int)n, text);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_taken_or_not),
		cmocka_unit_test(so_deep_and_no_deeper),
		cmocka_unit_test(no_memory_is_an_error),
		cmocka_unit_test(what_jansson_reads_is_taken_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
