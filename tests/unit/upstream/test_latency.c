/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upstream/latency.h"

static void a_bound_is_inside_its_bucket(void **state)
{
	(void)state;
	for (unsigned i = 0; i < LATENCY_BOUNDS; i++) {
		struct latency l = {{0}, 0};

		latency_add(&l, latency_bounds_us[i]);
		latency_add(&l, latency_bounds_us[i] + 1);
		assert_int_equal(l.buckets[i], 1);
		assert_int_equal(l.buckets[i + 1], 1);
		assert_int_equal(latency_count(&l), 2);
		assert_int_equal(l.sum_us, 2 * latency_bounds_us[i] + 1);
	}
}

static void bounds_ascend_from_50_us_to_a_minute(void **state)
{
	(void)state;
	assert_int_equal(latency_bounds_us[0], 50);
	for (unsigned i = 1; i < LATENCY_BOUNDS; i++)
		assert_true(latency_bounds_us[i] > latency_bounds_us[i - 1]);
	assert_int_equal(latency_bounds_us[LATENCY_BOUNDS - 1], 60000000);
}

/* A sum that went down would look like a restart. */
static void a_time_below_0_counts_as_0(void **state)
{
	struct latency l = {{0}, 0};

	(void)state;
	latency_add(&l, 10);
	latency_add(&l, -5);
	assert_int_equal(l.buckets[0], 2);
	assert_int_equal(l.sum_us, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bound_is_inside_its_bucket),
		cmocka_unit_test(bounds_ascend_from_50_us_to_a_minute),
		cmocka_unit_test(a_time_below_0_counts_as_0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
