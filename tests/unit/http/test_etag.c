/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "http/etag.h"

static void tags_are_compared_as_rfc_9110_8_8_3_2_says(void **state)
{
	static const struct {
		const char *a, *b;
		bool strong, weak;
	} rows[] = {
		{"W/\"1\"", "W/\"1\"", false, true},
		{"W/\"1\"", "W/\"2\"", false, false},
		{"W/\"1\"", "\"1\"", false, true},
		{"\"1\"", "\"1\"", true, true},
		{"\"1\"", "\"2\"", false, false},
		{"\"a\"", "\"A\"", false, false},
		{"\"\"", "\"\"", true, true},
		{"w/\"1\"", "\"1\"", false, false},
		{"w/\"1\"", "w/\"1\"", false, true}, /* not a tag: opaque bytes */
		{"1", "1", false, true},
		{"1", "\"1\"", false, false},
		{"W/1", "1", false, false},
		{"", "", false, false},
		{"\"a", "\"a", false, true},
		{"\"a b\"", "\"a b\"", false, true},
		{"\"a\\\"", "\"a\\\"", true, true},
		{"\"caf\xc3\xa9\"", "\"caf\xc3\xa9\"", true, true},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice a = exact_copy(slice_of(rows[i].a)), b = exact_copy(slice_of(rows[i].b));
		EXPECT_INT(rows[i].a, etag_strong_equal(a, b), rows[i].strong);
		EXPECT_INT(rows[i].a, etag_weak_equal(a, b), rows[i].weak);
		EXPECT_INT(rows[i].a, etag_weak_equal(b, a), rows[i].weak);
		free_copy(a);
		free_copy(b);
	}
}

static void conditions_are_evaluated_over_all_lines(void **state)
{
	enum { NONE = ETAG_NO_CONDITION, YES = ETAG_MATCHES, NO = ETAG_MATCHES_NOT };
	static const struct {
		const char *lines[3]; /* values */
		const char *tag;
		int said;
	} rows[] = {
		{{NULL}, "\"a\"", NONE},
		{{"*"}, "\"a\"", YES},
		{{"*"}, "", YES},
		{{"*, \"b\""}, "\"a\"", NO},
		{{"*", "\"b\""}, "\"a\"", NO},
		{{"\"*\""}, "\"a\"", NO},
		{{"\"a\""}, "\"a\"", YES},
		{{"\"a\""}, "", NO},
		{{"W/\"a\""}, "\"a\"", YES},
		{{"\"a\""}, "W/\"a\"", YES},
		{{"\"b\", \"c\" ,\t\"a\""}, "\"a\"", YES},
		{{"\"b\"", "\"a\""}, "\"a\"", YES},
		{{"\"x,\\\", \"a\""}, "\"a\"", YES}, /* no escapes in tags */
		{{"\"x, y\", \"z\""}, "\"y\"", NO},
		{{",, \"a\",,"}, "\"a\"", YES},
		{{"a"}, "\"a\"", NO},
		{{"a, b"}, "b", YES},
		{{"\"a"}, "\"a\"", NO},
		{{"\"a\"b"}, "\"a\"", NO},
		{{""}, "\"a\"", NO},
		{{"W/"}, "\"a\"", NO},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_fields f;
		const char *row = rows[i].lines[0] ? rows[i].lines[0] : "no field";
		http_fields_init(&f);
		for (size_t k = 0; k < 3 && rows[i].lines[k]; k++) {
			assert_int_equal(http_fields_add_id(&f, HF_IF_NONE_MATCH, slice_of(rows[i].lines[k])), 0);
		}
		struct slice tag = slice_of(rows[i].tag);
		EXPECT_INT(row, etag_if_none_match(&f, tag), rows[i].said);
		http_fields_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_are_compared_as_rfc_9110_8_8_3_2_says),
		cmocka_unit_test(conditions_are_evaluated_over_all_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
