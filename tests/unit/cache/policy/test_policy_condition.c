/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_rows.h"

/* clang-format off */
static const struct {
	const char *section, *request;
	const char *etag, *last_modified, *date; /* of the stored response: "@-60" and the like */
	int status;
} rows[] = {
	{"9110 13.2.2", NULL, "\"a\"", "@-60", "@0", 200},
	/* If-None-Match: weak comparison */
	{"9110 13.1.2", "If-None-Match: \"a\"", "\"a\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: \"b\"", "\"a\"", "", "", 200},
	{"9110 13.1.2", "If-None-Match: W/\"a\"", "\"a\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: \"a\"", "W/\"a\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: W/\"a\"", "W/\"a\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: \"x\", \"a\"", "\"a\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: \"x\" , W/\"y\",\"a\"", "\"a\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: \"x\", \"y\"", "\"a\"", "", "", 200},
	{"9110 13.1.2", "If-None-Match: \"x\"\nIf-None-Match: \"a\"", "\"a\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: \"x,a\"", "\"a\"", "", "", 200},
	{"9110 13.1.2", "If-None-Match: \"x,a\"", "\"x,a\"", "", "", 304},
	{"9110 8.8.3", "If-None-Match: \"a\\\", \"b\"", "\"b\"", "", "", 304},
	{"9110 8.8.3", "If-None-Match: \"A\"", "\"a\"", "", "", 200},
	{"9110 8.8.3", "If-None-Match: \"\"", "\"\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: *", "\"a\"", "", "", 304},
	{"9110 13.1.2", "If-None-Match: *", "", "", "", 304},
	{"9110 13.1.2", "If-None-Match: \"a\"", "", "", "", 200},
	{"9110 13.1.2", "If-None-Match: \"*\"", "\"a\"", "", "", 200},
	{"9110 13.1.2", "If-None-Match:", "\"a\"", "", "", 200},
	/* it takes precedence over If-Modified-Since */
	{"9110 13.2.2", "If-None-Match: \"b\"\nIf-Modified-Since: @0", "\"a\"", "@-60", "@0", 200},
	{"9110 13.2.2", "If-None-Match: \"a\"\nIf-Modified-Since: @-900", "\"a\"", "@-60", "@0", 304},
	{"9110 13.2.2", "If-None-Match: \"a\"\nIf-Modified-Since: @0", "", "@-60", "@0", 200},
	/* If-Modified-Since */
	{"9110 13.1.3", "If-Modified-Since: @-60", "", "@-60", "@0", 304},
	{"9110 13.1.3", "If-Modified-Since: @-59", "", "@-60", "@0", 304},
	{"9110 13.1.3", "If-Modified-Since: @-61", "", "@-60", "@0", 200},
	{"9110 13.1.3", "If-Modified-Since: @9999", "", "@-60", "@0", 304},
	{"9110 13.1.3", "If-Modified-Since: yesterday", "", "@-60", "@0", 200},
	{"9110 13.1.3", "If-Modified-Since:", "", "@-60", "@0", 200},
	{"9110 13.1.3", "If-Modified-Since: @0\nIf-Modified-Since: @0", "", "@-60", "@0", 200},
	{"9110 5.6.7", "If-Modified-Since: Sunday, 31-Dec-23 23:59:00 GMT", "", "@-60", "@0", 304},
	{"9110 5.6.7", "If-Modified-Since: Sun Dec 31 23:59:00 2023", "", "@-60", "@0", 304},
	{"9110 5.6.7", "If-Modified-Since: @-60", "", "Sunday, 31-Dec-23 23:59:00 GMT", "@0", 304},
	{"9110 5.6.7", "If-Modified-Since: @-61", "", "Sunday, 31-Dec-23 23:59:00 GMT", "", 200},
	{"9110 5.6.7", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", "", "@-60", "@0", 200},
	/* without Last-Modified: Date */
	{"9111 4.3.2", "If-Modified-Since: @0", "", "", "@0", 304},
	{"9111 4.3.2", "If-Modified-Since: @5", "", "", "@0", 304},
	{"9111 4.3.2", "If-Modified-Since: @-1", "", "", "@0", 200},
	{"9111 4.3.2", "If-Modified-Since: @0", "", "rubbish", "@0", 304},
	{"9111 4.3.2", "If-Modified-Since: @0", "", "", "", 200},
	{"9111 4.3.2", "If-Modified-Since: @0", "", "", "rubbish", 200},
	{"9111 4.3.2", "If-Modified-Since: @-30", "", "@-60", "@0", 304},
	/* the origin's, wherever they are looked at: here they change nothing */
	{"9111 4.3.2", "If-Match: \"b\"", "\"a\"", "", "", 200},
	{"9111 4.3.2", "If-Match: \"b\"\nIf-None-Match: \"a\"", "\"a\"", "", "", 304},
	{"9111 4.3.2", "If-Unmodified-Since: @-61", "", "@-60", "@0", 200},
};
/* clang-format on */

/* A value as the rows write it, through the same expansion as fields. */
static struct slice value_of(struct rows_exchange *e, struct http_fields *fields, const char *text)
{
	char line[128] = "X: ";
	strncat(line, text, sizeof(line) - 4);
	rows_fields(e, fields, line);
	return fields->v[0].value;
}

static void conditions_are_evaluated_in_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rows_exchange e;
		struct http_fields etag, modified, date;
		rows_exchange_init(&e, "GET 200", rows[i].request, NULL, NULL, 0);
		int status = policy_is_not_modified(&e.request, value_of(&e, &etag, rows[i].etag),
				     value_of(&e, &modified, rows[i].last_modified), value_of(&e, &date, rows[i].date))
				     ? 304
				     : 200;
		if (status != rows[i].status)
			fail_msg("row %u (%s): %s: %d, not %d", i, rows[i].section, rows[i].request, status,
				rows[i].status);
		http_fields_fini(&etag);
		http_fields_fini(&modified);
		http_fields_fini(&date);
		rows_exchange_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_are_evaluated_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
