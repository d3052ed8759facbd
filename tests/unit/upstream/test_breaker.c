/* SPDX-License-Identifier: MIT */
/* The circuit breaker. The clock is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "upstream/state.h"

static const struct upstream_options options = {
	.breaker_errors_percent = 50,
	.breaker_requests = 10,
	.breaker_window_ms = 1000,
	.breaker_open_ms = 500,
};

/* How many of these opened it. */
static unsigned note(struct breaker *b, bool failed, unsigned n, int64_t now_ms)
{
	unsigned opened = 0;

	for (unsigned i = 0; i < n; i++)
		opened += breaker_note(b, &options, failed, false, now_ms);
	return opened;
}

static void begin(struct breaker *b)
{
	*b = (struct breaker){0};
	breaker_init(b);
}

static void it_opens_when_the_share_of_failures_is_reached(void **state)
{
	struct breaker b;

	(void)state;
	begin(&b);
	assert_int_equal(note(&b, false, 6, 5000), 0);
	assert_int_equal(note(&b, true, 5, 5100), 0);
	assert_int_equal(breaker_admit(&b, &options, 5100), BREAKER_CLOSED);
	assert_int_equal(note(&b, true, 1, 5100), 1);
	assert_int_equal(breaker_admit(&b, &options, 5100), BREAKER_OPEN);
	assert_true(breaker_is_open(&b, &options, 5599));
	breaker_fini(&b);
}

static void few_requests_do_not_open_it(void **state)
{
	struct breaker b;

	(void)state;
	begin(&b);
	assert_int_equal(note(&b, true, 9, 5000), 0);
	assert_int_equal(breaker_admit(&b, &options, 5000), BREAKER_CLOSED);
	breaker_fini(&b);
}

static void what_is_older_than_the_window_does_not_count(void **state)
{
	struct breaker b;

	(void)state;
	begin(&b);
	assert_int_equal(note(&b, true, 9, 5000), 0);
	assert_int_equal(note(&b, true, 9, 6000), 0);
	assert_int_equal(note(&b, true, 1, 6900), 1);
	breaker_fini(&b);
	begin(&b);
	assert_int_equal(note(&b, true, 9, 5000), 0);
	assert_int_equal(note(&b, true, 9, 6100), 0); /* nobody has come to its place since */
	assert_int_equal(note(&b, true, 1, 6100), 1);
	breaker_fini(&b);
}

static void one_probe_goes_through_and_closes_it(void **state)
{
	struct breaker b;

	(void)state;
	begin(&b);
	assert_int_equal(note(&b, true, 10, 5000), 1);
	assert_int_equal(breaker_admit(&b, &options, 5499), BREAKER_OPEN);
	assert_int_equal(breaker_admit(&b, &options, 5500), BREAKER_PROBE);
	assert_int_equal(breaker_admit(&b, &options, 5501), BREAKER_OPEN);
	assert_int_equal(note(&b, false, 5, 5502), 0); /* of before: says nothing */
	assert_int_equal(breaker_admit(&b, &options, 5503), BREAKER_OPEN);
	assert_false(breaker_note(&b, &options, false, true, 5600));
	assert_int_equal(breaker_admit(&b, &options, 5600), BREAKER_CLOSED);
	assert_int_equal(note(&b, true, 9, 5601), 0); /* the window began anew */
	breaker_fini(&b);
}

static void a_probe_that_fails_leaves_it_open_and_a_lost_one_is_followed_by_another(void **state)
{
	struct breaker b;

	(void)state;
	begin(&b);
	assert_int_equal(note(&b, true, 10, 5000), 1);
	assert_int_equal(breaker_admit(&b, &options, 5500), BREAKER_PROBE);
	assert_true(breaker_note(&b, &options, true, true, 5600));
	assert_int_equal(breaker_admit(&b, &options, 6099), BREAKER_OPEN);
	assert_int_equal(breaker_admit(&b, &options, 6100), BREAKER_PROBE);
	breaker_forget_probe(&b, 6200); /* its client left */
	assert_int_equal(breaker_admit(&b, &options, 6200), BREAKER_PROBE);
	assert_int_equal(breaker_admit(&b, &options, 6699), BREAKER_OPEN);
	assert_int_equal(breaker_admit(&b, &options, 6700), BREAKER_PROBE);
	breaker_fini(&b);
}

static void without_breaker_errors_it_stays_closed(void **state)
{
	struct upstream_options off = options;
	struct breaker b;

	(void)state;
	begin(&b);
	off.breaker_errors_percent = 0;
	for (int i = 0; i < 100; i++)
		assert_false(breaker_note(&b, &off, true, false, 5000));
	assert_int_equal(breaker_admit(&b, &off, 5000), BREAKER_CLOSED);
	breaker_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_when_the_share_of_failures_is_reached),
		cmocka_unit_test(few_requests_do_not_open_it),
		cmocka_unit_test(what_is_older_than_the_window_does_not_count),
		cmocka_unit_test(one_probe_goes_through_and_closes_it),
		cmocka_unit_test(a_probe_that_fails_leaves_it_open_and_a_lost_one_is_followed_by_another),
		cmocka_unit_test(without_breaker_errors_it_stays_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
