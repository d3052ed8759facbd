/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/policy/coarse.h"

static void every_byte_is_a_number_of_its_own(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		uint64_t n = coarse_value((uint8_t)c);

		assert_int_equal(coarse_floor(n), c);
		assert_int_equal(coarse_of(n), c);
		assert_true(c == 0 || n > coarse_value((uint8_t)(c - 1)));
	}
}

static void it_is_near(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 100; n++)
		assert_true(n > 15 || coarse_value(coarse_of(n)) == n);
	for (uint64_t n = 1; n <= COARSE_MAX; n += 1 + n / 37) {
		uint64_t is = coarse_value(coarse_of(n)), off = is > n ? is - n : n - is;

		assert_true(16 * off <= n);
		assert_true(coarse_value(coarse_floor(n)) <= n);
	}
	assert_int_equal(coarse_value(coarse_of(UINT64_MAX)), COARSE_MAX);
	assert_int_equal(coarse_add(255, UINT64_MAX, 0), 255);
}

/* Many steps, each far less than what a byte tells apart. */
static void many_small_numbers_come_to_their_sum(void **state)
{
	enum { RUNS = 200, STEPS = 3000, EACH = 3 };
	uint32_t dice = 1;
	double sum = 0;

	(void)state;
	for (unsigned run = 0; run < RUNS; run++) {
		uint8_t c = 0;

		for (unsigned i = 0; i < STEPS; i++) {
			dice = dice * 1664525u + 1013904223u;
			c = coarse_add(c, EACH, dice);
		}
		sum += (double)coarse_value(c);
	}
	assert_true(sum / RUNS > .95 * STEPS * EACH && sum / RUNS < 1.05 * STEPS * EACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_a_number_of_its_own),
		cmocka_unit_test(it_is_near),
		cmocka_unit_test(many_small_numbers_come_to_their_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
