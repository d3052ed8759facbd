/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy_rows.h"

/* clang-format off */
#define CC "Cache-Control: "
/* max-age=60 unless the row says otherwise; clients decide. */
#define ASK(name, section, request, at, use) \
	{name, section, "GET 200", request, CC "max-age=60", "refresh", 0, POLICY_STORE, 60, LIFETIME_MAX_AGE, at, at, use}
#define HELD(name, section, request, response, lifetime, source, at, age, use) \
	{name, section, "GET 200", request, response, "refresh", 0, POLICY_STORE, lifetime, LIFETIME_##source, at, age, use}
#define DEAF(name, section, request, at, use) \
	{name, section, "GET 200", request, CC "max-age=60", NULL, 0, POLICY_STORE, 60, LIFETIME_MAX_AGE, at, at, use}
#define RUN(rows) policy_rows_run(rows, ARRAY_LEN(rows))

static void requests_may_ask_for_more(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		ASK("nothing", "9111 4", NULL, 1, 'F'),
		ASK("no-cache", "9111 5.2.1.4", CC "no-cache", 1, 'R'),
		ASK("no-cache, in capitals", "9111 5.2", CC "NO-CACHE", 1, 'R'),
		ASK("no-cache of something stale", "9111 5.2.1.4", CC "no-cache", 61, 'V'),
		ASK("no-cache beside max-stale", "9111 5.2.1.4", CC "no-cache, max-stale", 61, 'V'),
		ASK("max-age, young enough", "9111 5.2.1.1", CC "max-age=10", 9, 'F'),
		ASK("max-age, to the second", "9111 5.2.1.1", CC "max-age=10", 10, 'F'),
		ASK("max-age, too old", "9111 5.2.1.1", CC "max-age=10", 10.001, 'R'),
		ASK("max-age=0", "9111 5.2.1.1", CC "max-age=0", 1, 'R'),
		ASK("max-age=0 in the moment of storing", "9111 5.2.1.1", CC "max-age=0", 0, 'R'),
		ASK("max-age that can't be read", "9111 4.2.1", CC "max-age=x", 1, 'R'),
		ASK("max-age beyond the lifetime", "9111 5.2.1.1", CC "max-age=600", 61, 'V'),
		ASK("max-age and max-stale, stale and young enough", "9111 5.2.1.1", CC "max-age=600, max-stale=9", 61, 'A'),
		ASK("max-age and max-stale, stale and too old", "9111 5.2.1.1", CC "max-age=10, max-stale=900", 61, 'V'),
		ASK("min-fresh, fresh enough", "9111 5.2.1.3", CC "min-fresh=10", 50, 'F'),
		ASK("min-fresh, not fresh enough", "9111 5.2.1.3", CC "min-fresh=10", 50.001, 'R'),
		ASK("min-fresh=0", "9111 5.2.1.3", CC "min-fresh=0", 59, 'F'),
		ASK("min-fresh of something stale", "9111 5.2.1.3", CC "min-fresh=0", 61, 'V'),
		ASK("min-fresh beyond the lifetime", "9111 5.2.1.3", CC "min-fresh=61", 0, 'R'),
		ASK("min-fresh that can't be read", "9111 5.2.1.3", CC "min-fresh=x", 0, 'R'),
		ASK("max-stale of something fresh", "9111 5.2.1.2", CC "max-stale", 1, 'F'),
		ASK("max-stale without a number", "9111 5.2.1.2", CC "max-stale", 99999, 'A'),
		ASK("max-stale, little", "9111 5.2.1.2", CC "max-stale=10", 70, 'A'),
		ASK("max-stale, too much", "9111 5.2.1.2", CC "max-stale=10", 70.001, 'V'),
		ASK("max-stale=0", "9111 5.2.1.2", CC "max-stale=0", 60.001, 'V'),
		ASK("max-stale that can't be read", "9111 5.2.1.2", CC "max-stale=x", 61, 'V'),
		ASK("max-stale and min-fresh, stale", "9111 5.2.1.2", CC "max-stale=10, min-fresh=5", 65, 'A'),
		ASK("max-stale and min-fresh, nearly stale", "9111 5.2.1.3", CC "max-stale=10, min-fresh=5", 58, 'R'),
		ASK("only-if-cached is the caller's business", "9111 5.2.1.7", CC "only-if-cached", 1, 'F'),
		ASK("no-transform", "9111 5.2.1.6", CC "no-transform", 1, 'F'),
		ASK("an extension", "9111 5.2.3", CC "foo=bar", 1, 'F'),
		ASK("Pragma", "9111 5.4", "Pragma: no-cache", 1, 'R'),
		ASK("Pragma, in capitals", "9111 5.4", "Pragma: x, No-Cache", 1, 'R'),
		ASK("another Pragma", "9111 5.4", "Pragma: foo", 1, 'F'),
		ASK("Pragma beside Cache-Control", "9111 5.4", "Pragma: no-cache\n" CC "max-age=50", 1, 'F'),
		ASK("Pragma beside an empty Cache-Control", "9111 5.4", "Pragma: no-cache\n" CC, 1, 'F'),
		ASK("two lines", "9110 5.3", CC "foo\n" CC "no-cache", 1, 'R'),
		DEAF("no-cache where clients do not decide", "route", CC "no-cache", 1, 'F'),
		DEAF("max-age=0 where clients do not decide", "route", CC "max-age=0", 1, 'F'),
		DEAF("Pragma where clients do not decide", "route", "Pragma: no-cache", 1, 'F'),
		DEAF("min-fresh where clients do not decide", "route", CC "min-fresh=500", 1, 'F'),
		DEAF("max-stale where clients do not decide", "route", CC "max-stale", 61, 'V'),
	};
	RUN(rows);
}

static void responses_limit_what_requests_may_ask(void **state)
{
	(void)state;
	static const struct policy_row rows[] = {
		HELD("max-stale and must-revalidate", "9111 5.2.2.2", CC "max-stale", CC "max-age=60, must-revalidate", 60, MAX_AGE, 61, 61, 'V'),
		HELD("max-stale and proxy-revalidate", "9111 5.2.2.8", CC "max-stale", CC "max-age=60, proxy-revalidate", 60, MAX_AGE, 61, 61, 'V'),
		HELD("max-stale and s-maxage", "9111 5.2.2.10", CC "max-stale", CC "s-maxage=60", 60, S_MAXAGE, 61, 61, 'V'),
		HELD("max-stale and no-cache", "9111 5.2.2.4", CC "max-stale", CC "max-age=60, no-cache", 60, MAX_AGE, 1, 1, 'V'),
		HELD("max-stale and must-revalidate, fresh", "9111 5.2.2.2", CC "max-stale", CC "max-age=60, must-revalidate", 60, MAX_AGE, 59, 59, 'F'),
		HELD("max-stale on arrival", "9111 5.2.1.2", CC "max-stale=1000", CC "max-age=1500\nAge: 2000", 1500, MAX_AGE, 0, 2000, 'A'),
		HELD("max-stale and the upstream's window: in the background", "5861 3", CC "max-stale=100", CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 65, 65, 'W'),
		HELD("max-stale beyond the upstream's window", "9111 5.2.1.2", CC "max-stale=100", CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 75, 75, 'A'),
		HELD("max-age counts Age", "9111 5.2.1.1", CC "max-age=600", CC "max-age=3600\nAge: 1800", 3600, MAX_AGE, 0, 1800, 'R'),
		HELD("min-fresh counts Age", "9111 5.2.1.3", CC "min-fresh=1000", CC "max-age=1500\nAge: 1000", 1500, MAX_AGE, 0, 1000, 'R'),
		HELD("immutable and no-cache", "8246 2", CC "no-cache", CC "max-age=60, immutable", 60, MAX_AGE, 1, 1, 'R'),
		HELD("immutable and max-age=0", "8246 2", CC "max-age=0", CC "max-age=60, immutable", 60, MAX_AGE, 1, 1, 'R'),
		HELD("immutable and stale", "8246 2", NULL, CC "max-age=60, immutable", 60, MAX_AGE, 61, 61, 'V'),
		HELD("no-cache and no-cache", "9111 5.2.2.4", CC "no-cache", CC "max-age=60, no-cache", 60, MAX_AGE, 1, 1, 'V'),
		HELD("the window", "5861 3", NULL, CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 60, 60, 'W'),
		HELD("the window's last moment", "5861 3", NULL, CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 69, 69, 'W'),
		HELD("after the window", "5861 3", NULL, CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 69.001, 69.001, 'V'),
		HELD("the window does not delay the end", "5861 3", NULL, CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 59, 59, 'F'),
		HELD("the window and must-revalidate", "9111 4.2.4", NULL, CC "max-age=60, stale-while-revalidate=9, must-revalidate", 60, MAX_AGE, 61, 61, 'V'),
		HELD("the window and s-maxage", "9111 5.2.2.10", NULL, CC "s-maxage=60, stale-while-revalidate=9", 60, S_MAXAGE, 61, 61, 'V'),
		HELD("the window and no-cache", "9111 5.2.2.4", NULL, CC "max-age=60, stale-while-revalidate=9, no-cache", 60, MAX_AGE, 1, 1, 'V'),
		HELD("the window and a request's no-cache", "9111 5.2.1.4", CC "no-cache", CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 61, 61, 'V'),
		HELD("the window and a request's max-age", "9111 5.2.1.1", CC "max-age=500", CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 61, 61, 'V'),
		HELD("the window and a request's min-fresh", "9111 5.2.1.3", CC "min-fresh=1", CC "max-age=60, stale-while-revalidate=9", 60, MAX_AGE, 61, 61, 'V'),
		HELD("the window and Age", "5861 3", NULL, CC "max-age=60, stale-while-revalidate=9\nAge: 65", 60, MAX_AGE, 1, 66, 'W'),
		HELD("only for validation: not even with max-stale, age 0", "9111 5.2.1.2", CC "max-stale=0", "ETag: \"a\"", 0, NONE, 1, 1, 'V'),
	};
	RUN(rows);
}

static const struct {
	const char *response, *route;
	int status;
	bool soft;
	double at_s;
	bool allowed;
} on_error[] = {
	{CC "max-age=60, stale-if-error=9", NULL, 500, false, 65, true},
	{CC "max-age=60, stale-if-error=9", NULL, 502, false, 65, true},
	{CC "max-age=60, stale-if-error=9", NULL, 503, false, 65, true},
	{CC "max-age=60, stale-if-error=9", NULL, 504, false, 65, true},
	{CC "max-age=60, stale-if-error=9", NULL, 0, false, 65, true},
	{CC "max-age=60, stale-if-error=9", NULL, 501, false, 65, false},
	{CC "max-age=60, stale-if-error=9", NULL, 505, false, 65, false},
	{CC "max-age=60, stale-if-error=9", NULL, 404, false, 65, false},
	{CC "max-age=60, stale-if-error=9", NULL, 200, false, 65, false},
	{CC "max-age=60, stale-if-error=9", NULL, 499, false, 65, false},
	{CC "max-age=60, stale-if-error=9", NULL, 0, false, 69, true},
	{CC "max-age=60, stale-if-error=9", NULL, 0, false, 69.001, false},
	{CC "max-age=60, stale-if-error=9", NULL, 0, false, 10, true},
	{CC "max-age=60, stale-if-error=9", NULL, 0, true, 10, true},
	{CC "max-age=60, stale-if-error=9", NULL, 0, true, 70, false},
	{CC "max-age=60", NULL, 0, false, 61, false},
	{CC "max-age=60", NULL, 0, false, 10, false},
	{CC "max-age=60", "sie=9", 0, false, 65, true},
	{CC "max-age=60", "sie=9", 0, false, 70, false},
	/* RFC 9111 4.2.4: disconnected, where nothing forbids it */
	{CC "max-age=60", "unreachable=9", 0, false, 65, true},
	{CC "max-age=60", "unreachable=9", 0, false, 70, false},
	{CC "max-age=60", "unreachable=9", 503, false, 65, false},
	{CC "max-age=60", "sie=20 unreachable=9", 503, false, 75, true},
	{CC "max-age=60", "sie=20 unreachable=9", 0, false, 75, true},
	{CC "max-age=60, must-revalidate", "unreachable=9", 0, false, 65, false},
	{CC "max-age=60, proxy-revalidate", "unreachable=9", 0, false, 65, false},
	{CC "s-maxage=60", "unreachable=9", 0, false, 65, false},
	{CC "max-age=60, no-cache", "unreachable=9", 0, false, 65, false},
	{CC "max-age=60, stale-if-error=0", "sie=9", 0, false, 65, false},
	{CC "max-age=60, stale-if-error=9, must-revalidate", NULL, 0, false, 65, false},
	{CC "max-age=60, stale-if-error=9, must-revalidate", NULL, 0, false, 10, true},
	{CC "max-age=60, stale-if-error=9, must-revalidate", NULL, 0, true, 10, false},
	{CC "max-age=60, stale-if-error=9, proxy-revalidate", NULL, 0, false, 65, false},
	{CC "s-maxage=60, stale-if-error=9", NULL, 0, false, 65, false},
	{CC "s-maxage=60", "sie=9", 0, false, 65, false},
	{CC "max-age=60, stale-if-error=9, no-cache", NULL, 0, false, 10, false},
	{CC "max-age=60, stale-while-revalidate=9", NULL, 0, false, 65, false},
	{CC "no-cache", "force=60 sie=9", 0, false, 65, true},
	{CC "max-age=60\nAge: 65", "sie=9", 0, false, 1, true},
};
/* clang-format on */

static void stale_responses_stand_in_for_errors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(on_error); i++) {
		struct rows_exchange e;
		struct freshness f;
		rows_exchange_init(&e, "GET 200", NULL, on_error[i].response, on_error[i].route, 0);
		assert_int_equal(policy_store(&e.x, &f), POLICY_STORE);
		bool allowed =
			policy_stale_if_error(&f, on_error[i].status, on_error[i].soft, rows_at(on_error[i].at_s));
		if (allowed != on_error[i].allowed)
			fail_msg("row %u: %s, status %d at %g", i, on_error[i].response, on_error[i].status,
				on_error[i].at_s);
		rows_exchange_fini(&e);
	}
}

static enum policy_use purged_use(const char *request, const char *response, double at_s)
{
	struct rows_exchange e;
	struct freshness f;
	rows_exchange_init(&e, "GET 200", request, response, "refresh", 0);
	assert_int_equal(policy_store(&e.x, &f), POLICY_STORE);
	struct policy_reuse r = rows_reuse(&e, &f, true, rows_at(at_s));
	assert_false(r.by_request);
	rows_exchange_fini(&e);
	return r.use;
}

static void soft_purged_responses_are_stale_at_once(void **state)
{
	(void)state;
	assert_int_equal(purged_use(NULL, CC "max-age=60", 1), POLICY_VALIDATE);
	assert_int_equal(purged_use(CC "no-cache", CC "max-age=60", 1), POLICY_VALIDATE);
	assert_int_equal(purged_use(CC "max-stale", CC "max-age=60", 1), POLICY_STALE_ALLOWED);
	assert_int_equal(purged_use(NULL, CC "max-age=60, stale-while-revalidate=9", 1), POLICY_STALE_WHILE_REVALIDATE);
	assert_int_equal(
		purged_use(NULL, CC "max-age=60, stale-while-revalidate=9", 68), POLICY_STALE_WHILE_REVALIDATE);
	assert_int_equal(purged_use(NULL, CC "max-age=60, stale-while-revalidate=9", 70), POLICY_VALIDATE);
	assert_int_equal(
		purged_use(NULL, CC "max-age=60, stale-while-revalidate=9, must-revalidate", 1), POLICY_VALIDATE);
	assert_int_equal(purged_use(NULL, CC "s-maxage=60, stale-while-revalidate=9", 1), POLICY_VALIDATE);
}

static int64_t window_s(const char *response)
{
	struct rows_exchange e;
	struct freshness f;
	rows_exchange_init(&e, "GET 200", NULL, response, "sie=9 swr=7", 0);
	assert_int_equal(policy_store(&e.x, &f), POLICY_STORE);
	f.stale_if_unreachable_s = 3600;
	rows_exchange_fini(&e);
	return policy_stale_window_ms(&f) / 1000;
}

static void what_may_never_be_stale_has_no_window_whatever_the_route_says(void **state)
{
	(void)state;
	assert_int_equal(window_s(CC "max-age=60"), 3600);
	assert_int_equal(window_s(CC "max-age=60, must-revalidate"), 0);
	assert_int_equal(window_s(CC "max-age=60, proxy-revalidate, stale-if-error=50"), 0);
	assert_int_equal(window_s(CC "s-maxage=60"), 0);
	assert_int_equal(window_s(CC "no-cache"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_may_ask_for_more),
		cmocka_unit_test(responses_limit_what_requests_may_ask),
		cmocka_unit_test(stale_responses_stand_in_for_errors),
		cmocka_unit_test(soft_purged_responses_are_stale_at_once),
		cmocka_unit_test(what_may_never_be_stale_has_no_window_whatever_the_route_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
