/* SPDX-License-Identifier: MIT */
#include "http/syntax.h"
#include "rows.h"

static void separators_in_quotes_do_not_count(void **state)
{
	static const struct {
		struct slice text;
		size_t before;
		bool is_open;
	} rows[] = {
		{ROW(""), 0, false},
		{ROW("abc"), 3, false},
		{ROW("a;b"), 1, false},
		{ROW("\"a;b\";c"), 5, false},
		{ROW("\"a\\\";b\";c"), 7, false},
		{ROW("a\\;b"), 2, false},
		{ROW("\"a;b"), 4, true},
		{ROW("\"a\\\""), 4, true},
		{ROW("\"a\" \""), 5, true},
		{ROW("\xff;"), 1, false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		EXPECT_INT(rows[i].text.p, http_length_before(rows[i].text, ';'), rows[i].before);
		EXPECT_INT(rows[i].text.p, http_has_open_quote(rows[i].text), rows[i].is_open);
	}
	EXPECT_INT("any byte may separate", http_length_before(BYTES("a\xff"), (char)0xff), 1);
}

static void parts_are_trimmed_and_empty_ones_passed_over(void **state)
{
	struct slice rest = BYTES(" ; a=1 ;;b=\";\";"), part;
	(void)state;
	assert_true(http_split_next(&rest, ';', &part));
	EXPECT_SLICE("first", part, BYTES("a=1"));
	assert_true(http_split_next(&rest, ';', &part));
	EXPECT_SLICE("second", part, BYTES("b=\";\""));
	assert_false(http_split_next(&rest, ';', &part));
	assert_int_equal(rest.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(separators_in_quotes_do_not_count),
		cmocka_unit_test(parts_are_trimmed_and_empty_ones_passed_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
