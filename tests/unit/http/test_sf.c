/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "http/sf.h"

static const struct {
	struct slice in;
	int type; /* -1: refused */
	int64_t integer;
	const char *text;
} item_rows[] = {
	/* 4.2.4 */
	{ROW("0"), SF_INTEGER, 0, "0"},
	{ROW("-42"), SF_INTEGER, -42, "-42"},
	{ROW("007"), SF_INTEGER, 7, "007"},
	{ROW("999999999999999"), SF_INTEGER, 999999999999999, "999999999999999"},
	{ROW("1000000000000000"), -1, 0, ""},
	{ROW("1.5"), SF_DECIMAL, 1500, "1.5"},
	{ROW("-0.125"), SF_DECIMAL, -125, "-0.125"},
	{ROW("123456789012.123"), SF_DECIMAL, 123456789012123, "123456789012.123"},
	{ROW("1234567890123.1"), -1, 0, ""},
	{ROW("1.1234"), -1, 0, ""},
	{ROW("1.12345678901234567890"), -1, 0, ""},
	{ROW("1."), -1, 0, ""},
	{ROW(".5"), -1, 0, ""},
	{ROW("-"), -1, 0, ""},
	{ROW("--1"), -1, 0, ""},
	{ROW("+1"), -1, 0, ""},
	{ROW("1x"), -1, 0, ""},
	/* 4.2.5 */
	{ROW("\"\""), SF_STRING, 0, ""},
	{ROW("\"a\\\"\\\\b\""), SF_STRING, 0, "a\\\"\\\\b"},
	{ROW("\"a\\nb\""), -1, 0, ""},
	{ROW("\"a"), -1, 0, ""},
	{ROW("\"a\\"), -1, 0, ""},
	{ROW("\"\t\""), -1, 0, ""},
	{ROW("\"\x7f\""), -1, 0, ""},
	{ROW("\"\xc3\xa9\""), -1, 0, ""},
	{ROW("'a'"), -1, 0, ""},
	/* 4.2.6 */
	{ROW("a"), SF_TOKEN, 0, "a"},
	{ROW("*a/b:c!"), SF_TOKEN, 0, "*a/b:c!"},
	{ROW("a b"), -1, 0, ""},
	{ROW("a,b"), -1, 0, ""},
	{ROW("!a"), -1, 0, ""},
	/* 4.2.7 */
	{ROW(":aGk=:"), SF_BYTES, 0, "aGk="},
	{ROW("::"), SF_BYTES, 0, ""},
	{ROW(":aGk="), -1, 0, ""},
	{ROW(":a_:"), -1, 0, ""},
	{ROW(":a\0:"), -1, 0, ""},
	/* 4.2.8 to 4.2.10 */
	{ROW("?1"), SF_BOOLEAN, 0, ""},
	{ROW("?2"), -1, 0, ""},
	{ROW("?"), -1, 0, ""},
	{ROW("@1659578233"), SF_DATE, 1659578233, "1659578233"},
	{ROW("@-1"), SF_DATE, -1, "-1"},
	{ROW("@1.5"), -1, 0, ""},
	{ROW("@"), -1, 0, ""},
	{ROW("%\"f%c3%bc\""), SF_DISPLAY_STRING, 0, "f%c3%bc"},
	{ROW("%\"%C3%BC\""), -1, 0, ""},
	{ROW("%\"%c3\""), -1, 0, ""},
	{ROW("%\"%ff\""), -1, 0, ""},
	{ROW("%\"%ed%a0%80\""), -1, 0, ""},
	{ROW("%\"%e0%80%80\""), -1, 0, ""},
	{ROW("%\"%f0%9f%98%80\""), SF_DISPLAY_STRING, 0, "%f0%9f%98%80"},
	{ROW("%\"%f4%90%80%80\""), -1, 0, ""},
	{ROW("%\"%c\""), -1, 0, ""},
	{ROW("%\"a"), -1, 0, ""},
	{ROW("%a"), -1, 0, ""},
	{ROW(""), -1, 0, ""},
	/* parameters, 4.2.3.2 */
	{ROW("  a  "), SF_TOKEN, 0, "a"},
	{ROW("a;b; c=1;*d=\"e\""), SF_TOKEN, 0, "a"},
	{ROW("a ;b"), -1, 0, ""},
	{ROW("a;B"), -1, 0, ""},
	{ROW("a;b="), -1, 0, ""},
	{ROW("a;"), -1, 0, ""},
	{ROW("\ta"), -1, 0, ""},
};

/* An item that is all of a list. */
static bool parse_alone(struct slice value, struct sf_item *item)
{
	struct sf_parser p;
	struct sf_item second;
	sf_parser_init(&p, value);
	return sf_list_next(&p, item) == 1 && sf_list_next(&p, &second) == 0;
}

static void items_are_parsed_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(item_rows); i++) {
		struct sf_item item;
		struct slice copy = exact_copy(item_rows[i].in);
		EXPECT_INT(item_rows[i].in.p, parse_alone(copy, &item), item_rows[i].type >= 0);
		if (item_rows[i].type >= 0) {
			EXPECT_INT(item_rows[i].in.p, item.type, item_rows[i].type);
			EXPECT_INT(item_rows[i].in.p, item.integer, item_rows[i].integer);
			EXPECT_SLICE(item_rows[i].in.p, item.text, slice_of(item_rows[i].text));
		}
		free_copy(copy);
	}
}

static void dictionaries_are_valid_or_not(void **state)
{
	static const struct {
		struct slice in;
		bool is_dict, is_list;
	} rows[] = {
		{ROW(""), true, true},
		{ROW("   "), true, true},
		{ROW("a"), true, true},
		{ROW("a, b=1"), true, false},
		{ROW("a=1;x=2 \t,\t b=(1 2);y"), true, false},
		{ROW("a;x, b"), true, true},
		{ROW("a=()"), true, false},
		{ROW("1, 2"), false, true},
		{ROW("(\"a\" b;x=1 ), ()"), false, true},
		{ROW("(a"), false, false},
		{ROW("(a\tb)"), false, false},
		{ROW("(a,b)"), false, false},
		{ROW("(\"a\"b)"), false, false},
		{ROW("((a))"), false, false},
		{ROW("a,"), false, false},
		{ROW(",a"), false, false},
		{ROW("a,,b"), false, false},
		{ROW("a b"), false, false},
		{ROW("A=1"), false, false},
		{ROW("a =1"), false, false},
		{ROW("a= 1"), false, false},
		{ROW("a="), false, false},
		{ROW("a=1, b=\"x"), false, false},
		{ROW("\ta"), false, false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice copy = exact_copy(rows[i].in);
		EXPECT_INT(rows[i].in.p, sf_dict_valid(copy), rows[i].is_dict);
		EXPECT_INT(rows[i].in.p, sf_list_valid(copy), rows[i].is_list);
		free_copy(copy);
	}
}

static void members_and_parameters_come_in_order(void **state)
{
	struct sf_parser p, parameters;
	struct slice key;
	struct sf_item item, value;
	(void)state;
	sf_parser_init(&p, BYTES("a=1;x=?0;y, b;z=tok, c=(\"d\" 5);w"));
	assert_int_equal(sf_dict_next(&p, &key, &item), 1);
	EXPECT_SLICE("a", key, BYTES("a"));
	EXPECT_INT("a", item.integer, 1);
	sf_parser_init(&parameters, item.params);
	assert_int_equal(sf_param_next(&parameters, &key, &value), 1);
	EXPECT_SLICE("x", key, BYTES("x"));
	EXPECT_INT("x", value.boolean, 0);
	assert_int_equal(sf_param_next(&parameters, &key, &value), 1);
	EXPECT_SLICE("y", key, BYTES("y"));
	EXPECT_INT("y", value.boolean, 1);
	assert_int_equal(sf_param_next(&parameters, &key, &value), 0);
	assert_int_equal(sf_dict_next(&p, &key, &item), 1);
	EXPECT_SLICE("b", key, BYTES("b"));
	EXPECT_INT("b", item.type == SF_BOOLEAN && item.boolean, 1);
	EXPECT_SLICE("b", item.params, BYTES(";z=tok"));
	assert_int_equal(sf_dict_next(&p, &key, &item), 1);
	EXPECT_INT("c", item.type, SF_INNER_LIST);
	EXPECT_SLICE("c", item.params, BYTES(";w"));
	EXPECT_SLICE("c", item.text, BYTES("\"d\" 5"));
	assert_int_equal(sf_dict_next(&p, &key, &item), 0);
}

static void strings_are_unescaped(void **state)
{
	struct sf_parser p;
	struct sf_item item;
	struct buf read;
	(void)state;
	buf_init(&read, 100);
	sf_parser_init(&p, BYTES("\"a\\\" \\\\\""));
	assert_int_equal(sf_list_next(&p, &item), 1);
	assert_int_equal(sf_string_unescape(&item, &read), 0);
	EXPECT_SLICE("unescaped", buf_slice(&read), BYTES("a\" \\"));
	buf_fini(&read);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_are_parsed_or_refused),
		cmocka_unit_test(dictionaries_are_valid_or_not),
		cmocka_unit_test(members_and_parameters_come_in_order),
		cmocka_unit_test(strings_are_unescaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
