/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_rows.h"

/* clang-format off */
/* Stored, looked at `at` seconds after arrival. */
#define AT(name, section, response, route, lifetime, source, at, age, use) \
	{name, section, "GET 200", NULL, response, route, 0, POLICY_STORE, lifetime, LIFETIME_##source, at, age, use}
#define DELAYED(name, section, response, route, delay, lifetime, source, at, age, use) \
	{name, section, "GET 200", NULL, response, route, delay, POLICY_STORE, lifetime, LIFETIME_##source, at, age, use}
#define STATUS(name, section, what, response, route, lifetime, source, at, use) \
	{name, section, what, NULL, response, route, 0, POLICY_STORE, lifetime, LIFETIME_##source, at, at, use}
#define NO(name, section, what, response, route, why) \
	{name, section, what, NULL, response, route, 0, POLICY_NOT_##why, 0, 0, 0, 0, 0}
#define RUN(rows) policy_rows_run(rows, ARRAY_LEN(rows))
#define CC "Cache-Control: "
#define TAG "\nETag: \"a\""
#define MAX 2147483648.0

static void explicit_lifetimes_have_an_order(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		AT("max-age", "9111 4.2.1", CC "max-age=60", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("fresh to the last moment", "9111 4.2", CC "max-age=60", NULL, 60, MAX_AGE, 59.999, 59.999, 'F'),
		AT("stale from the lifetime on", "9111 4.2", CC "max-age=60", NULL, 60, MAX_AGE, 60, 60, 'V'),
		AT("stale after it", "9111 4.2", CC "max-age=60", NULL, 60, MAX_AGE, 61, 61, 'V'),
		AT("s-maxage over max-age", "9111 4.2.1", CC "max-age=60, s-maxage=5", NULL, 5, S_MAXAGE, 4, 4, 'F'),
		AT("s-maxage over max-age, longer", "9111 4.2.1", CC "s-maxage=600, max-age=5", NULL, 600, S_MAXAGE, 60, 60, 'F'),
		AT("s-maxage=0 over max-age", "9111 4.2.1", CC "max-age=60, s-maxage=0" TAG, NULL, 0, S_MAXAGE, 0, 0, 'V'),
		AT("max-age over Expires", "9111 5.3", CC "max-age=60\nDate: @0\nExpires: @600", NULL, 60, MAX_AGE, 60, 60, 'V'),
		AT("max-age over an Expires in the past", "9111 5.3", CC "max-age=60\nDate: @0\nExpires: @-600", NULL, 60, MAX_AGE, 1, 1, 'F'),
		AT("max-age over an invalid Expires", "9111 5.3", CC "max-age=60\nDate: @0\nExpires: 0", NULL, 60, MAX_AGE, 1, 1, 'F'),
		AT("s-maxage over Expires", "9111 5.3", CC "s-maxage=60\nDate: @0\nExpires: @600", NULL, 60, S_MAXAGE, 60, 60, 'V'),
		AT("max-age=0 over Expires", "9111 5.3", CC "max-age=0\nDate: @0\nExpires: @600" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("Expires", "9111 5.3", "Date: @0\nExpires: @60", NULL, 60, EXPIRES, 59, 59, 'F'),
		AT("Expires is counted from Date", "9111 4.2.1", "Date: @-30\nExpires: @60", NULL, 90, EXPIRES, 59, 89, 'F'),
		AT("Expires, ahead of our clock", "9111 4.2.1", "Date: @1000\nExpires: @1060", NULL, 60, EXPIRES, 59, 59, 'F'),
		AT("Expires and no Date", "9110 6.6.1", "Expires: @60", NULL, 60, EXPIRES, 59, 59, 'F'),
		AT("Expires and an invalid Date", "9111 4.2", "Date: today\nExpires: @60", NULL, 60, EXPIRES, 59, 59, 'F'),
		AT("Expires at Date", "9111 5.3", "Date: @0\nExpires: @0" TAG, NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("Expires before Date", "9111 5.3", "Date: @0\nExpires: @-1" TAG, NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("Expires: 0", "9111 5.3", "Date: @0\nExpires: 0" TAG, NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("Expires: -1", "9111 5.3", "Date: @0\nExpires: -1" TAG, NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("Expires that is empty", "9111 5.3", "Date: @0\nExpires:" TAG, NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("two Expires", "9111 5.3", "Date: @0\nExpires: @60\nExpires: @90" TAG, NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("two equal Expires", "9111 5.3", "Date: @0\nExpires: @60\nExpires: @60" TAG, NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("Expires in another zone", "9110 5.6.7", "Date: @0\nExpires: Mon, 01 Jan 2024 01:00:00 CET" TAG, NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("Expires as RFC 850 had it", "9110 5.6.7", "Date: @0\nExpires: Monday, 01-Jan-24 00:01:00 GMT", NULL, 60, EXPIRES, 1, 1, 'F'),
		AT("Expires as asctime has it", "9110 5.6.7", "Date: @0\nExpires: Mon Jan  1 00:01:00 2024", NULL, 60, EXPIRES, 1, 1, 'F'),
		AT("Expires far away", "9111 1.2.2", "Date: @0\nExpires: Fri, 31 Dec 9999 23:59:59 GMT", NULL, MAX, EXPIRES, 1, 1, 'F'),
		AT("an invalid Expires is explicit, so no heuristics", "9111 4.2.2", "Date: @0\nLast-Modified: @-9000\nExpires: 0", NULL, 0, EXPIRES, 0, 0, 'V'),
		AT("max-age=0 is explicit", "9111 4.2.2", "Date: @0\nLast-Modified: @-9000\n" CC "max-age=0", NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("two Dates: the later one counts for Expires", "9110 5.3", "Date: @0\nDate: @40\nExpires: @60", NULL, 20, EXPIRES, 0, 0, 'F'),
	};
	RUN(rows);
}

static void numbers_are_read_carefully(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		AT("leading zeros", "9111 1.2.2", CC "max-age=00060", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("2^31 - 1", "9111 1.2.2", CC "max-age=2147483647", NULL, 2147483647.0, MAX_AGE, 0, 0, 'F'),
		AT("2^31", "9111 1.2.2", CC "max-age=2147483648", NULL, MAX, MAX_AGE, 0, 0, 'F'),
		AT("2^31 + 1", "9111 1.2.2", CC "max-age=2147483649", NULL, MAX, MAX_AGE, 0, 0, 'F'),
		AT("2^32 + 1", "9111 1.2.2", CC "max-age=4294967297", NULL, MAX, MAX_AGE, 0, 0, 'F'),
		AT("2^64 + 1", "9111 1.2.2", CC "max-age=18446744073709551617", NULL, MAX, MAX_AGE, 0, 0, 'F'),
		AT("forty nines", "9111 1.2.2", CC "max-age=9999999999999999999999999999999999999999", NULL, MAX, MAX_AGE, 0, 0, 'F'),
		AT("a quoted number", "9111 5.2", CC "max-age=\"60\"", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("single quotes", "9111 4.2.1", CC "max-age='60'" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("negative", "9111 4.2.1", CC "max-age=-60" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("signed", "9111 4.2.1", CC "max-age=+60" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("a fraction", "9111 4.2.1", CC "max-age=60.5" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("letters before", "9111 4.2.1", CC "max-age=a60" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("letters behind", "9111 4.2.1", CC "max-age=60a" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("hexadecimal", "9111 4.2.1", CC "max-age=0x60" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("no number", "9111 4.2.1", CC "max-age" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("an empty number", "9111 4.2.1", CC "max-age=" TAG, NULL, 0, MAX_AGE, 0, 0, 'V'),
		AT("twice, the smaller", "9111 4.2.1", CC "max-age=60, max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("twice on two lines, the smaller", "9111 4.2.1", CC "max-age=5\n" CC "max-age=60", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("one in a quoted string is none", "9111 5.2", CC "foo=\"max-age=60\", max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("in capitals", "9111 5.2", CC "MAX-AGE=60", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("an invalid s-maxage is not passed over", "9111 4.2.1", CC "s-maxage=x, max-age=60" TAG, NULL, 0, S_MAXAGE, 0, 0, 'V'),
	};
	RUN(rows);
}

static void targeted_fields_replace_the_others(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		AT("max-age", "9213 2.2", "CDN-Cache-Control: max-age=60", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("over a longer Cache-Control", "9213 2.2", "CDN-Cache-Control: max-age=5\n" CC "max-age=60", NULL, 5, TARGETED, 0, 0, 'F'),
		AT("over a shorter Cache-Control", "9213 2.2", "CDN-Cache-Control: max-age=60\n" CC "max-age=5", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("over s-maxage", "9213 2.2", "CDN-Cache-Control: max-age=60\n" CC "s-maxage=5", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("over no-store", "9213 2.2", "CDN-Cache-Control: max-age=60\n" CC "no-store", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("over private", "9213 2.2", "CDN-Cache-Control: max-age=60\n" CC "private", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("over no-cache", "9213 2.2", "CDN-Cache-Control: max-age=60\n" CC "no-cache", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("over Expires", "9213 2.2", "CDN-Cache-Control: max-age=60\nDate: @0\nExpires: @-5", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("max-age=0 over Expires", "9213 2.2", "CDN-Cache-Control: max-age=0\nDate: @0\nExpires: @500" TAG, NULL, 0, TARGETED, 0, 0, 'V'),
		AT("s-maxage over max-age in it", "9213 2.1", "CDN-Cache-Control: max-age=5, s-maxage=60", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("without a lifetime: Expires is out", "9213 2.2", "CDN-Cache-Control: public\nDate: @0\nExpires: @60" TAG, NULL, 0, NONE, 0, 0, 'V'),
		AT("without a lifetime: heuristics", "9213 2.2", "CDN-Cache-Control: foo\nDate: @0\nLast-Modified: @-100\n" CC "max-age=500", NULL, 10, HEURISTIC, 0, 0, 'F'),
		AT("without a lifetime: the route's", "9213 2.2", "CDN-Cache-Control: public\n" CC "max-age=500", "ttl=7", 7, ROUTE, 0, 0, 'F'),
		AT("parameters mean nothing", "9213 2.1", "CDN-Cache-Control: max-age=60;foo=bar", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("unknown directives mean nothing", "9213 2.1", "CDN-Cache-Control: foo, max-age=60, bar=\"x\"", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("on two lines", "9651 4.2", "CDN-Cache-Control: foo\nCDN-Cache-Control: max-age=60", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("twice, the last", "9651 3.2", "CDN-Cache-Control: max-age=5, max-age=60", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("15 digits", "9111 1.2.2", "CDN-Cache-Control: max-age=999999999999999", NULL, MAX, TARGETED, 0, 0, 'F'),
		AT("16 digits do not parse", "9651 4.2.4", "CDN-Cache-Control: max-age=9999999999999999\n" CC "max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("capitals do not parse", "9651 4.2.3.3", "CDN-Cache-Control: MAX-AGE=60\n" CC "max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("empty", "9213 2.2", "CDN-Cache-Control:\n" CC "max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("a trailing comma does not parse", "9651 4.2.2", "CDN-Cache-Control: max-age=60,\n" CC "max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("a space before = does not parse", "9651 4.2.2", "CDN-Cache-Control: max-age =60\n" CC "max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("a space behind = does not parse", "9651 4.2.2", "CDN-Cache-Control: max-age= 60\n" CC "max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("rubbish", "9213 2.2", "CDN-Cache-Control: &&&&\n" CC "max-age=5", NULL, 5, MAX_AGE, 0, 0, 'F'),
		AT("a string for a number", "9213 2.1", "CDN-Cache-Control: max-age=\"60\"\n" CC "max-age=5" TAG, NULL, 0, TARGETED, 0, 0, 'V'),
		AT("a decimal for a number", "9213 2.1", "CDN-Cache-Control: max-age=60.0\n" CC "max-age=5" TAG, NULL, 0, TARGETED, 0, 0, 'V'),
		AT("a negative number", "9213 2.1", "CDN-Cache-Control: max-age=-60\n" CC "max-age=5" TAG, NULL, 0, TARGETED, 0, 0, 'V'),
		AT("no-cache", "9213 2.1", "CDN-Cache-Control: max-age=60, no-cache\n" CC "max-age=5", NULL, 60, TARGETED, 0, 0, 'V'),
		AT("stale-while-revalidate", "9213 2.1", "CDN-Cache-Control: max-age=60, stale-while-revalidate=9", NULL, 60, TARGETED, 65, 65, 'W'),
		AT("Cache-Control's stale-while-revalidate is out", "9213 2.2", "CDN-Cache-Control: max-age=60\n" CC "stale-while-revalidate=9", NULL, 60, TARGETED, 65, 65, 'V'),
		AT("Age counts", "9111 4.2.3", "CDN-Cache-Control: max-age=60\nAge: 61", NULL, 60, TARGETED, 0, 61, 'V'),
		AT("not on the list", "9213 2.2", "CDN-Cache-Control: max-age=60\n" CC "max-age=5", "targeted=My-Cache-Control", 5, MAX_AGE, 0, 0, 'F'),
		AT("an own name", "9213 2.2", "My-Cache-Control: max-age=60\n" CC "max-age=5", "targeted=My-Cache-Control", 60, TARGETED, 0, 0, 'F'),
		AT("names in any case", "9110 5.1", "MY-cache-control: max-age=60\n" CC "max-age=5", "targeted=My-Cache-Control", 60, TARGETED, 0, 0, 'F'),
		AT("the list's order counts", "9213 2.2", "B: max-age=60\nA: max-age=7\n" CC "max-age=5", "targeted=A,B", 7, TARGETED, 0, 0, 'F'),
		AT("the next when the first is absent", "9213 2.2", "B: max-age=60\n" CC "max-age=5", "targeted=A,B", 60, TARGETED, 0, 0, 'F'),
		AT("the next when the first is invalid", "9213 2.2", "A: max-age=1.\nB: max-age=60\n" CC "max-age=5", "targeted=A,B", 60, TARGETED, 0, 0, 'F'),
		AT("the next when the first is empty", "9213 2.2", "A:\nB: max-age=60\n" CC "max-age=5", "targeted=A,B", 60, TARGETED, 0, 0, 'F'),
		AT("both invalid", "9213 2.2", "A: =\nB: ,\n" CC "max-age=5", "targeted=A,B", 5, MAX_AGE, 0, 0, 'F'),
		NO("no-store", "9213 2.2", "GET 200", "CDN-Cache-Control: no-store\n" CC "max-age=60", NULL, NO_STORE),
		NO("private", "9213 2.2", "GET 200", "CDN-Cache-Control: private, max-age=60\n" CC "max-age=60", NULL, PRIVATE),
		NO("private with names is private", "9213 2.1", "GET 200", "CDN-Cache-Control: private=\"a\", max-age=60", NULL, PRIVATE),
		AT("no-store that is false", "9651 3.3.6", "CDN-Cache-Control: no-store=?0, max-age=60", NULL, 60, TARGETED, 0, 0, 'F'),
		AT("s-maxage makes it never stale", "9213 2.1", "CDN-Cache-Control: s-maxage=60, stale-while-revalidate=9", NULL, 60, TARGETED, 65, 65, 'V'),
	};
	RUN(rows);
}

static void age_is_what_it_was_and_what_it_took(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		AT("time in the cache", "9111 4.2.3", CC "max-age=60", NULL, 60, MAX_AGE, 12.5, 12.5, 'F'),
		AT("Age", "9111 4.2.3", CC "max-age=60\nAge: 50", NULL, 60, MAX_AGE, 5, 55, 'F'),
		AT("Age over the lifetime", "9111 4.2.3", CC "max-age=60\nAge: 61", NULL, 60, MAX_AGE, 0, 61, 'V'),
		AT("Age and Expires", "9111 4.2.3", "Date: @0\nExpires: @60\nAge: 60", NULL, 60, EXPIRES, 0, 60, 'V'),
		AT("Date", "9111 4.2.3", CC "max-age=60\nDate: @-50", NULL, 60, MAX_AGE, 5, 55, 'F'),
		AT("a Date older than the lifetime", "9111 4.2.3", CC "max-age=60\nDate: @-61", NULL, 60, MAX_AGE, 0, 61, 'V'),
		AT("the larger of both: Age", "9111 4.2.3", CC "max-age=60\nDate: @-10\nAge: 50", NULL, 60, MAX_AGE, 0, 50, 'F'),
		AT("the larger of both: Date", "9111 4.2.3", CC "max-age=60\nDate: @-50\nAge: 10", NULL, 60, MAX_AGE, 0, 50, 'F'),
		AT("a Date ahead of our clock", "9111 4.2.3", CC "max-age=60\nDate: @500", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("an invalid Date", "9111 4.2.3", CC "max-age=60\nDate: 2023", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("two Dates: the earlier one counts for the age", "9110 5.3", CC "max-age=60\nDate: @0\nDate: @-59", NULL, 60, MAX_AGE, 0, 59, 'F'),
		AT("two Dates, one invalid", "9110 5.3", CC "max-age=60\nDate: x\nDate: @-59", NULL, 60, MAX_AGE, 0, 59, 'F'),
		DELAYED("the time that it took", "9111 4.2.3", CC "max-age=60", NULL, 10, 60, MAX_AGE, 5, 15, 'F'),
		DELAYED("it corrects Age", "9111 4.2.3", CC "max-age=60\nAge: 40", NULL, 10, 60, MAX_AGE, 5, 55, 'F'),
		DELAYED("it does not correct Date", "9111 4.2.3", CC "max-age=60\nDate: @-40", NULL, 10, 60, MAX_AGE, 5, 45, 'F'),
		DELAYED("all of the lifetime", "9111 4.2.3", CC "max-age=2", NULL, 5, 2, MAX_AGE, 0, 5, 'V'),
		DELAYED("in milliseconds", "9111 4.2.3", CC "max-age=2", NULL, 0.25, 2, MAX_AGE, 1, 1.25, 'F'),
		AT("the first of a list", "9111 5.1", CC "max-age=60\nAge: 0, 7200", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("the first of a list, old", "9111 5.1", CC "max-age=60\nAge: 7200,0", NULL, 60, MAX_AGE, 0, 7200, 'V'),
		AT("the first of two lines", "9111 5.1", CC "max-age=60\nAge: 7200\nAge: 0", NULL, 60, MAX_AGE, 0, 7200, 'V'),
		AT("the first of two lines, young", "9111 5.1", CC "max-age=60\nAge: 0\nAge: 7200", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("an empty first member", "9111 5.1", CC "max-age=60\nAge: , 7200", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("letters", "9111 5.1", CC "max-age=60\nAge: abc", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("negative", "9111 5.1", CC "max-age=60\nAge: -7200", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("signed", "9111 5.1", CC "max-age=60\nAge: +7200", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("a fraction", "9111 5.1", CC "max-age=60\nAge: 7200.0", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("a parameter", "9111 5.1", CC "max-age=60\nAge: 7200;a=b", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("empty", "9111 5.1", CC "max-age=60\nAge:", NULL, 60, MAX_AGE, 0, 0, 'F'),
		AT("leading zeros", "9111 5.1", CC "max-age=60\nAge: 0059", NULL, 60, MAX_AGE, 0, 59, 'F'),
		AT("2^31", "9111 1.2.2", CC "max-age=60\nAge: 2147483648", NULL, 60, MAX_AGE, 0, MAX, 'V'),
		AT("2^64", "9111 1.2.2", CC "max-age=60\nAge: 18446744073709551616", NULL, 60, MAX_AGE, 0, MAX, 'V'),
		AT("endless age and endless lifetime", "9111 1.2.2", CC "max-age=99999999999\nAge: 99999999999", NULL, MAX, MAX_AGE, 0, MAX, 'V'),
		AT("a Date in the year 1", "9111 4.2.3", CC "max-age=60\nDate: Mon, 01 Jan 0001 00:00:00 GMT", NULL, 60, MAX_AGE, 0, MAX, 'V'),
	};
	RUN(rows);
}

static void heuristics_take_a_tenth(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		AT("a tenth", "9111 4.2.2", "Date: @0\nLast-Modified: @-1000", NULL, 100, HEURISTIC, 99, 99, 'F'),
		AT("and no longer", "9111 4.2.2", "Date: @0\nLast-Modified: @-1000", NULL, 100, HEURISTIC, 100, 100, 'V'),
		AT("counted from Date", "9111 4.2.2", "Date: @-500\nLast-Modified: @-1500", NULL, 100, HEURISTIC, 0, 500, 'V'),
		AT("without Date from receipt", "9111 4.2.2", "Last-Modified: @-1000", NULL, 100, HEURISTIC, 1, 1, 'F'),
		AT("with an invalid Date from receipt", "9111 4.2.2", "Date: -\nLast-Modified: @-1000", NULL, 100, HEURISTIC, 1, 1, 'F'),
		AT("a fraction of a second", "9111 4.2.2", "Date: @0\nLast-Modified: @-5", NULL, 0.5, HEURISTIC, 0.4, 0.4, 'F'),
		AT("at most a day", "9111 4.2.2", "Date: @0\nLast-Modified: @-99999999", NULL, 86400, HEURISTIC, 1, 1, 'F'),
		AT("a route may say less", "route", "Date: @0\nLast-Modified: @-99999999", "max=60", 60, HEURISTIC, 1, 1, 'F'),
		AT("a route may take a larger share", "route", "Date: @0\nLast-Modified: @-1000", "heuristic=25", 250, HEURISTIC, 249, 249, 'F'),
		AT("a day bounds every share", "route", "Date: @0\nLast-Modified: @-99999999", "heuristic=100", 86400, HEURISTIC, 1, 1, 'F'),
		AT("a route may guess nothing", "route", "Date: @0\nLast-Modified: @-1000", "heuristic=0", 0, NONE, 0, 0, 'V'),
		AT("and public is no lifetime then", "route", "Date: @0\nLast-Modified: @-1000\n" CC "public", "heuristic=0", 0, NONE, 0, 0, 'V'),
		AT("what the route gives still counts", "route", "Date: @0\nLast-Modified: @-1000", "heuristic=0 ttl=60", 60, ROUTE, 59, 59, 'F'),
		AT("a route may say more", "route", "Date: @0\nLast-Modified: @-99999999", "max=100000", 100000, HEURISTIC, 1, 1, 'F'),
		AT("Last-Modified at Date", "9111 4.2.2", "Date: @0\nLast-Modified: @0", NULL, 0, NONE, 0, 0, 'V'),
		AT("Last-Modified after Date", "9111 4.2.2", "Date: @0\nLast-Modified: @50", NULL, 0, NONE, 0, 0, 'V'),
		AT("two Last-Modified", "9110 5.3", "Date: @0\nLast-Modified: @-50\nLast-Modified: @-5000" TAG, NULL, 0, NONE, 0, 0, 'V'),
		AT("Last-Modified as RFC 850 had it", "9110 5.6.7", "Date: @0\nLast-Modified: Sunday, 31-Dec-23 23:43:20 GMT", NULL, 100, HEURISTIC, 0, 0, 'F'),
		AT("an age beyond it", "9111 4.2.3", "Date: @0\nLast-Modified: @-1000\nAge: 101", NULL, 100, HEURISTIC, 0, 101, 'V'),
		AT("with must-revalidate", "9111 4.2.2", "Date: @0\nLast-Modified: @-1000\n" CC "must-revalidate", NULL, 100, HEURISTIC, 0, 0, 'F'),
		AT("with no-cache", "9111 5.2.2.4", "Date: @0\nLast-Modified: @-1000\n" CC "no-cache", NULL, 100, HEURISTIC, 0, 0, 'V'),
		AT("with the route's windows", "route", "Date: @0\nLast-Modified: @-1000", "swr=60", 100, HEURISTIC, 101, 101, 'W'),
		STATUS("404", "9110 15.5.5", "GET 404", "Date: @0\nLast-Modified: @-1000", NULL, 100, HEURISTIC, 1, 'F'),
		STATUS("599 with public", "9111 4.2.2", "GET 599", "Date: @0\nLast-Modified: @-1000\n" CC "public", NULL, 100, HEURISTIC, 1, 'F'),
	};
	RUN(rows);
}

static void routes_add_lifetimes(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		AT("ttl", "route", NULL, "ttl=60", 60, ROUTE, 59, 59, 'F'),
		AT("ttl gives way to max-age", "route", CC "max-age=5", "ttl=60", 5, MAX_AGE, 5, 5, 'V'),
		AT("ttl gives way to Expires", "route", "Date: @0\nExpires: @5", "ttl=60", 5, EXPIRES, 5, 5, 'V'),
		AT("ttl gives way to an invalid Expires", "route", "Expires: 0" TAG, "ttl=60", 0, EXPIRES, 0, 0, 'V'),
		AT("ttl comes before heuristics", "route", "Date: @0\nLast-Modified: @-1000", "ttl=60", 60, ROUTE, 60, 60, 'V'),
		AT("ttl=0 is for validation", "route", "ETag: \"a\"", "ttl=0", 0, ROUTE, 0, 0, 'V'),
		NO("ttl=0 without a validator", "route", "GET 200", "", "ttl=0", FRESH),
		AT("ttl and no-cache", "9111 5.2.2.4", CC "no-cache", "ttl=60", 60, ROUTE, 0, 0, 'V'),
		DELAYED("ttl runs from receipt", "route", NULL, "ttl=2", 5, 7, ROUTE, 1, 6, 'F'),
		DELAYED("ttl runs from receipt, Age", "route", "Age: 100", "ttl=2", 0, 102, ROUTE, 2, 102, 'V'),
		STATUS("ttl for 301", "route", "GET 301", NULL, "ttl=60", 60, ROUTE, 1, 'F'),
		STATUS("ttl for 204", "route", "GET 204", NULL, "ttl=60", 60, ROUTE, 1, 'F'),
		NO("no ttl for 302", "route", "GET 302", "", "ttl=60", STATUS),
		STATUS("ttl for 302 with public", "route", "GET 302", CC "public", "ttl=60", 60, ROUTE, 1, 'F'),
		NO("no ttl for 201", "route", "GET 201", "", "ttl=60", STATUS),
		NO("no ttl for 404", "route", "GET 404", "", "ttl=60", STATUS),
		NO("no ttl for 404 with public", "route", "GET 404", CC "public", "ttl=60", STATUS),
		STATUS("404 keeps heuristics", "route", "GET 404", "Date: @0\nLast-Modified: @-1000", "ttl=60", 100, HEURISTIC, 1, 'F'),
		NO("no ttl for 503", "route", "GET 503", "", "ttl=60", STATUS),
		NO("no ttl for 501", "route", "GET 501", "", "ttl=60", STATUS),
		STATUS("ttl_404", "route", "GET 404", NULL, "t404=10", 10, ROUTE, 1, 'F'),
		STATUS("ttl_404 comes before heuristics", "route", "GET 404", "Date: @0\nLast-Modified: @-1000", "t404=10", 10, ROUTE, 1, 'F'),
		STATUS("ttl_404 gives way to max-age", "route", "GET 404", CC "max-age=60", "t404=10", 60, MAX_AGE, 11, 'F'),
		STATUS("the first range wins", "route", "GET 404", NULL, "t404=10 t4xx=3", 10, ROUTE, 4, 'F'),
		STATUS("ttl_4xx", "route", "GET 403", NULL, "t404=10 t4xx=3", 3, ROUTE, 2, 'F'),
		STATUS("ttl_5xx", "route", "GET 503", NULL, "t5xx=1", 1, ROUTE, 0.5, 'F'),
		STATUS("ttl_5xx ends", "route", "GET 502", NULL, "t5xx=1", 1, ROUTE, 1, 'V'),
		STATUS("ttl_3xx", "route", "GET 302", NULL, "t3xx=5", 5, ROUTE, 1, 'F'),
		NO("ttl_5xx is not for 404", "route", "GET 404", "", "t5xx=1", STATUS),
		NO("ttl_404 and no-store", "9111 5.2.2.5", "GET 404", CC "no-store", "t404=10", NO_STORE),
		NO("ttl_404 and private", "9111 5.2.2.7", "GET 404", CC "private", "t404=10", PRIVATE),
	};
	RUN(rows);
}

static void routes_force_and_clamp_lifetimes(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		AT("force", "route", CC "max-age=5", "force=60", 60, ROUTE_FORCE, 59, 59, 'F'),
		AT("force shortens too", "route", CC "max-age=500", "force=60", 60, ROUTE_FORCE, 60, 60, 'V'),
		AT("force without anything", "route", NULL, "force=60", 60, ROUTE_FORCE, 1, 1, 'F'),
		AT("force over no-store", "route", CC "no-store", "force=60", 60, ROUTE_FORCE, 1, 1, 'F'),
		AT("force over no-cache", "route", CC "no-cache, no-store, max-age=0", "force=60", 60, ROUTE_FORCE, 1, 1, 'F'),
		AT("force over Expires: 0", "route", "Expires: 0", "force=60", 60, ROUTE_FORCE, 1, 1, 'F'),
		AT("force over a targeted field", "route", "CDN-Cache-Control: no-store", "force=60", 60, ROUTE_FORCE, 1, 1, 'F'),
		AT("force and must-revalidate", "9111 5.2.2.2", CC "no-cache, must-revalidate", "force=60 swr=60", 60, ROUTE_FORCE, 61, 61, 'V'),
		AT("force and the route's window", "route", CC "no-cache, s-maxage=1", "force=60 swr=60", 60, ROUTE_FORCE, 61, 61, 'W'),
		NO("force and private", "9111 5.2.2.7", "GET 200", CC "private, max-age=9", "force=60", PRIVATE),
		DELAYED("force runs from receipt", "route", CC "max-age=1\nAge: 100", "force=2", 5, 107, ROUTE_FORCE, 1, 106, 'F'),
		AT("force=0", "route", CC "max-age=60" TAG, "force=0", 0, ROUTE_FORCE, 0, 0, 'V'),
		STATUS("force for 302 with a lifetime", "route", "GET 302", CC "max-age=5", "force=60", 60, ROUTE_FORCE, 6, 'F'),
		NO("force for 302 without one", "route", "GET 302", "", "force=60", STATUS),
		STATUS("force leaves errors alone", "route", "GET 404", CC "max-age=5", "force=60", 5, MAX_AGE, 1, 'F'),
		NO("force does not store errors", "route", "GET 404", "", "force=60", STATUS),
		NO("force does not override an error's no-store", "route", "GET 503", CC "no-store, max-age=5", "force=60", NO_STORE),
		AT("ttl_min raises", "route", CC "max-age=1", "min=10", 10, MAX_AGE, 9, 9, 'F'),
		AT("ttl_min raises 0", "route", CC "max-age=0", "min=10", 10, MAX_AGE, 9, 9, 'F'),
		AT("ttl_min leaves longer ones", "route", CC "max-age=100", "min=10", 100, MAX_AGE, 9, 9, 'F'),
		AT("ttl_min raises heuristics", "route", "Date: @0\nLast-Modified: @-50", "min=10", 10, HEURISTIC, 9, 9, 'F'),
		AT("ttl_min makes no lifetime", "route", "ETag: \"a\"", "min=10", 0, NONE, 0, 0, 'V'),
		AT("ttl_min runs from receipt", "route", CC "max-age=60\nAge: 100", "min=10", 110, MAX_AGE, 9, 109, 'F'),
		STATUS("ttl_min leaves errors alone", "route", "GET 404", CC "max-age=1", "min=10", 1, MAX_AGE, 1, 'V'),
		AT("ttl_max cuts", "route", CC "max-age=100", "max=10", 10, MAX_AGE, 10, 10, 'V'),
		AT("ttl_max runs from receipt", "route", CC "max-age=1000\nAge: 100", "max=10", 110, MAX_AGE, 9, 109, 'F'),
		STATUS("ttl_max cuts errors", "route", "GET 404", CC "max-age=100", "max=10", 10, MAX_AGE, 10, 'V'),
		AT("ttl_max cuts ttl", "route", NULL, "ttl=60 max=10", 10, ROUTE, 10, 10, 'V'),
		AT("ttl_max wins over ttl_min", "route", CC "max-age=1", "min=60 max=10", 10, MAX_AGE, 9, 9, 'F'),
		AT("ttl_max does not cut force", "route", NULL, "force=60 max=10", 60, ROUTE_FORCE, 59, 59, 'F'),
		AT("no jitter", "route", CC "max-age=1000", "jitter=0:4294967295", 1000, MAX_AGE, 0, 0, 'F'),
		AT("jitter of none", "route", CC "max-age=1000", "jitter=50:0", 1000, MAX_AGE, 0, 0, 'F'),
		AT("jitter of half", "route", CC "max-age=1000", "jitter=50:2147483648", 750, MAX_AGE, 0, 0, 'F'),
		AT("jitter of nearly all", "route", CC "max-age=1000", "jitter=50:4294967295", 500.001, MAX_AGE, 0, 0, 'F'),
		AT("jitter of more than all", "route", CC "max-age=1000", "jitter=200:2147483648", 500, MAX_AGE, 0, 0, 'F'),
		AT("jitter on what is left", "route", CC "max-age=1000\nAge: 500", "jitter=50:2147483648", 875, MAX_AGE, 0, 500, 'F'),
		AT("jitter on the longest", "route", CC "max-age=2147483648", "jitter=100:2147483648", 1073741824.0, MAX_AGE, 0, 0, 'F'),
		AT("jitter on what is stale", "route", CC "max-age=10\nAge: 500", "jitter=50:2147483648", 10, MAX_AGE, 0, 500, 'V'),
	};
	RUN(rows);
}
/* clang-format on */

static void a_freshness_says_where_its_windows_come_from(void **state)
{
	(void)state;
	static const struct {
		const char *response, *route;
		int64_t swr_s, sie_s;
	} rows[] = {
		{"Cache-Control: max-age=9", NULL, 0, 0},
		{"Cache-Control: max-age=9", "swr=5 sie=6", 5, 6},
		{"Cache-Control: max-age=9, stale-while-revalidate=7", "swr=5 sie=6", 7, 6},
		{"Cache-Control: max-age=9, stale-if-error=7", "swr=5 sie=6", 5, 7},
		{"Cache-Control: max-age=9, stale-if-error=0, stale-while-revalidate=0", "swr=5 sie=6", 0, 0},
		{"Cache-Control: max-age=9, stale-if-error=x", "sie=6", 0, 0},
		{"Cache-Control: max-age=9, stale-if-error=99999999999", NULL, 0, 2147483648},
	};
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rows_exchange e;
		struct freshness f;
		rows_exchange_init(&e, "GET 200", NULL, rows[i].response, rows[i].route, 0);
		assert_int_equal(policy_store(&e.x, &f), POLICY_STORE);
		assert_int_equal(f.stale_while_revalidate_ms, rows[i].swr_s * 1000);
		assert_int_equal(f.stale_if_error_ms, rows[i].sie_s * 1000);
		rows_exchange_fini(&e);
	}
}

static void a_refused_response_leaves_the_freshness_alone(void **state)
{
	(void)state;
	struct rows_exchange e;
	struct freshness f = {.lifetime_ms = 42};
	rows_exchange_init(&e, "GET 200", NULL, "Cache-Control: no-store", NULL, 0);
	assert_int_equal(policy_store(&e.x, &f), POLICY_NOT_NO_STORE);
	assert_int_equal(f.lifetime_ms, 42);
	rows_exchange_fini(&e);
}

/* Dates are whole seconds: a response that arrives late in its second is not older for that. */
static void apparent_age_is_in_whole_seconds(void **state)
{
	(void)state;
	struct rows_exchange e;
	struct freshness f;
	rows_exchange_init(&e, "GET 200", NULL, "Date: @0\nCache-Control: max-age=1", NULL, 0);
	e.x.request_time = e.x.response_time = rows_at(0.999);
	assert_int_equal(policy_store(&e.x, &f), POLICY_STORE);
	assert_int_equal(f.initial_age_ms, 0);
	e.x.request_time = e.x.response_time = rows_at(1);
	assert_int_equal(policy_store(&e.x, &f), POLICY_STORE);
	assert_int_equal(f.initial_age_ms, 1000);
	rows_exchange_fini(&e);
}

static void a_clock_that_runs_backwards_makes_nothing_younger(void **state)
{
	(void)state;
	struct freshness f = {.lifetime_ms = 60000, .initial_age_ms = 30000, .received_mono_ms = rows_at(0).mono_ms};
	assert_int_equal(policy_age_ms(&f, rows_at(-100)), 30000);
	assert_int_equal(policy_ttl_ms(&f, rows_at(-100)), 30000);
	assert_int_equal(policy_ttl_ms(&f, rows_at(40)), -10000);
}

/* When the origin's budget is low, what it lets be stale lives longer; what it does not, does not. */
static void only_what_may_be_stale_is_stretched(void **state)
{
	static const struct {
		const char *response, *route;
		double seconds;
	} rows[] = {
		{"Cache-Control: max-age=60", NULL, 600},
		{"Cache-Control: max-age=60\nAge: 20", NULL, 60 + 40 * 9},
		{"Cache-Control: max-age=60\nAge: 60\nETag: \"a\"", NULL, 60},
		{"Cache-Control: max-age=60, must-revalidate", NULL, 60},
		{"Cache-Control: max-age=60, proxy-revalidate", NULL, 60},
		{"Cache-Control: s-maxage=60", NULL, 60},
		{"Cache-Control: max-age=60, no-cache\nETag: \"a\"", NULL, 60},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rows_exchange e;
		struct freshness f = {0};
		rows_exchange_init(&e, "GET 200", NULL, rows[i].response, rows[i].route, 0);
		e.x.stretch = 10;
		assert_int_equal(policy_store(&e.x, &f), POLICY_STORE);
		if (f.lifetime_ms != rows[i].seconds * 1000)
			fail_msg("%s: %lld ms", rows[i].response, (long long)f.lifetime_ms);
		rows_exchange_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(explicit_lifetimes_have_an_order),
		cmocka_unit_test(numbers_are_read_carefully),
		cmocka_unit_test(targeted_fields_replace_the_others),
		cmocka_unit_test(age_is_what_it_was_and_what_it_took),
		cmocka_unit_test(heuristics_take_a_tenth),
		cmocka_unit_test(routes_add_lifetimes),
		cmocka_unit_test(routes_force_and_clamp_lifetimes),
		cmocka_unit_test(a_freshness_says_where_its_windows_come_from),
		cmocka_unit_test(a_refused_response_leaves_the_freshness_alone),
		cmocka_unit_test(apparent_age_is_in_whole_seconds),
		cmocka_unit_test(a_clock_that_runs_backwards_makes_nothing_younger),
		cmocka_unit_test(only_what_may_be_stale_is_stretched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
