/* SPDX-License-Identifier: MIT */
/* Buckets of clients, by a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/request/limits.h"

static struct config_route route_of(unsigned requests, unsigned seconds, unsigned burst)
{
	return (struct config_route){
		.rules.route = SLICE_LIT("r"), .client_rate = {requests, seconds}, .client_burst = burst};
}

static int64_t take(struct limits *l, uint64_t client, const struct config_route *r, int64_t now_ms)
{
	bool is_early;

	return limits_take(l, client, r, now_ms, &is_early);
}

static void a_bucket_empties_and_fills(void **state)
{
	struct config_route r = route_of(10, 1, 3);
	struct limits *l;

	(void)state;
	assert_int_equal(limits_new(&l), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(take(l, 1, &r, 1000), 0);
	assert_int_equal(take(l, 1, &r, 1000), 100);
	assert_int_equal(take(l, 1, &r, 1050), 50); /* a refusal costs nothing */
	assert_int_equal(take(l, 2, &r, 1050), 0);
	assert_int_equal(take(l, 1, &r, 1100), 0);
	assert_int_equal(take(l, 1, &r, 1100), 100);
	for (unsigned i = 0; i < 3; i++) /* never more than the burst, however long the pause */
		assert_int_equal(take(l, 1, &r, 1000000), 0);
	assert_int_equal(take(l, 1, &r, 1000000), 100);
	limits_free(&l);
}

/* Clients that hash to one set: what has been idle makes room, then what is full soonest. */
static void a_full_set_drives_out_what_is_full_soonest(void **state)
{
	struct config_route r = route_of(1, 1, 1);
	const uint64_t step = LIMITS_BUCKETS; /* a multiple of the number of sets */
	struct limits *l;
	bool is_early;

	(void)state;
	assert_int_equal(limits_new(&l), 0);
	for (uint64_t i = 1; i <= 4; i++)
		assert_int_equal(take(l, i * step, &r, 1000 + (int64_t)i), 0);
	assert_int_equal(limits_take(l, 5 * step, &r, 1500, &is_early), 0);
	assert_true(is_early);
	assert_true(take(l, 5 * step, &r, 1500) > 0);
	for (uint64_t i = 2; i <= 4; i++)
		assert_true(take(l, i * step, &r, 1500) > 0);
	assert_int_equal(limits_take(l, 6 * step, &r, 2003, &is_early), 0); /* 2 and 3 are full again */
	assert_false(is_early);
	assert_true(take(l, 4 * step, &r, 2003) > 0);
	limits_free(&l);
}

static void who_a_client_is(void **state)
{
	const uint8_t a[16] = {0x20, 1, [15] = 1}, b[16] = {0x20, 1, [15] = 2}, c[16] = {0x20, 1, [7] = 1},
		      four[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1},
		      next[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 2};
	struct config_route r = route_of(1, 1, 1), other = r, faster = r;
	struct http_fields none = {0};

	(void)state;
	other.rules.route = SLICE_LIT("s");
	faster.client_rate.requests = 2;
	assert_true(limits_client(&r, &none, a) == limits_client(&r, &none, b));
	assert_true(limits_client(&r, &none, a) != limits_client(&r, &none, c));
	assert_true(limits_client(&r, &none, four) != limits_client(&r, &none, next));
	assert_true(limits_client(&r, &none, four) != limits_client(&other, &none, four));
	assert_true(limits_client(&r, &none, four) != limits_client(&faster, &none, four));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_empties_and_fills),
		cmocka_unit_test(a_full_set_drives_out_what_is_full_soonest),
		cmocka_unit_test(who_a_client_is),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
