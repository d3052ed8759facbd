/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "http/date.h"

#define IN_1994 784111777LL /* RFC 9110 5.6.7's example */
#define IN_2026 1790000000LL

static void dates_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t now_s, want;
	} rows[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", IN_2026, IN_1994},
		{"Sunday, 06-Nov-94 08:49:37 GMT", IN_2026, IN_1994},
		{"Sun Nov  6 08:49:37 1994", IN_2026, IN_1994},
		{"Wed Nov 16 08:49:37 1994", IN_2026, IN_1994 + 10 * 86400},
		{"sUN, 06 nOV 1994 08:49:37 gmt", IN_2026, IN_1994},
		{"SUNDAY, 06-NOV-94 08:49:37 GMT", IN_2026, IN_1994},
		{"Mon, 06 Nov 1994 08:49:37 GMT", IN_2026, IN_1994}, /* the day name is not that date's */
		{"Thu, 01 Jan 1970 00:00:00 GMT", IN_2026, 0},
		{"Wed, 31 Dec 1969 23:59:59 GMT", IN_2026, -1},
		{"Tue, 29 Feb 2000 00:00:00 GMT", IN_2026, 951782400},
		{"Thu, 29 Feb 2024 12:00:00 GMT", IN_2026, 1709208000},
		{"Wed, 01 Mar 1600 00:00:00 GMT", IN_2026, -11670912000LL},
		{"Fri, 31 Dec 9999 23:59:59 GMT", IN_2026, 253402300799LL},
		{"Sat, 01 Jan 0000 00:00:00 GMT", IN_2026, -62167219200LL},
		{"Sat, 31 Dec 2016 23:59:60 GMT", IN_2026, 1483228800}, /* a leap second */
		/* two-digit years: at most 50 years ahead */
		{"Sunday, 06-Nov-94 08:49:37 GMT", 0, IN_1994},
		{"Thursday, 01-Jan-26 00:00:00 GMT", IN_2026, 1767225600},
		{"Monday, 01-Jan-76 00:00:00 GMT", IN_2026, 3345062400LL}, /* 2076: not quite 50 years */
		{"Friday, 31-Dec-76 00:00:00 GMT", IN_2026, 220838400},    /* 1976: 2076 would be more */
		{"Friday, 01-Jan-99 00:00:00 GMT", IN_2026, 915148800},
		{"Friday, 01-Jan-01 00:00:00 GMT", 4070908800LL, 4133980800LL}, /* in 2099: 2101 */
		{"Saturday, 29-Feb-00 00:00:00 GMT", IN_2026, 951782400},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = -99;
		struct slice copy = exact_copy(slice_of(rows[i].text));
		if (!http_date_parse(copy, rows[i].now_s, &got))
			fail_msg("%s is refused", rows[i].text);
		EXPECT_INT(rows[i].text, got, rows[i].want);
		free_copy(copy);
	}
}

static void what_is_not_a_date_is_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"0",
		"-1",
		"Sun",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 ",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 +0000",
		"Sun, 06 Nov 1994 08:49:37 EST",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		" Sun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT, x",
		"Sun,  06 Nov 1994 08:49:37 GMT",
		"Sun 06 Nov 1994 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06-Nov-1994 08:49:37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06 Nov 01994 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT",
		"Sun, 06 Nov 1994 08.49.37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 30 Feb 1996 08:49:37 GMT",
		"Sun, 29 Feb 1900 08:49:37 GMT",
		"Sun, 29 Feb 2023 08:49:37 GMT",
		"Son, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nox 1994 08:49:37 GMT",
		"Sun, 06 Nov +994 08:49:37 GMT",
		"Sunday, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06-Nov-1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 UTC",
		"Sun Nov 06 08:49:37 94",
		"Sun Nov 6 08:49:37 1994",
		"Sun Nov  6 08:49:37 1994 GMT",
		"Sun Nov  16 08:49:37 1994",
		"1994-11-06T08:49:37Z",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got;
		struct slice copy = exact_copy(slice_of(rows[i]));
		EXPECT_INT(rows[i], http_date_parse(copy, IN_2026, &got), 0);
		free_copy(copy);
	}
}

static void dates_are_written_as_imf_fixdate(void **state)
{
	static const struct {
		int64_t unix_s;
		const char *text;
	} rows[] = {
		{IN_1994, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
		{253402300799LL, "Fri, 31 Dec 9999 23:59:59 GMT"},
		{INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
		{INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[30];
		http_date_format(rows[i].unix_s, out);
		EXPECT_SLICE(rows[i].text, slice_of(out), slice_of(rows[i].text));
	}
}

static void what_is_written_is_read_back(void **state)
{
	(void)state;
	for (int64_t t = -62167219200LL; t <= 253402300799LL; t += 86400 * 37 + 12345) {
		char out[30];
		int64_t got;
		http_date_format(t, out);
		assert_true(http_date_parse(slice_of(out), 0, &got));
		EXPECT_INT(out, got, t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_are_read),
		cmocka_unit_test(what_is_not_a_date_is_refused),
		cmocka_unit_test(dates_are_written_as_imf_fixdate),
		cmocka_unit_test(what_is_written_is_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
