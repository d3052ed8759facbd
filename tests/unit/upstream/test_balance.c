/* SPDX-License-Identifier: MIT */
/* Which origin is asked, and which ones are left out. The clock is a number. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "upstream/state.h"

enum { KEYS = 10000 };

static const struct slice more[] = {{"http://b", 8}, {"http://c", 8}, {"http://d", 8}};

static struct upstream_options options_of(enum upstream_balance balance)
{
	return (struct upstream_options){
		.name = SLICE_LIT("u"),
		.url = SLICE_LIT("http://a"),
		.more_urls = more,
		.more_urls_n = 3,
		.balance = balance,
		.max_fails = 2,
		.fail_timeout_ms = 1000,
	};
}

static struct upstream_state *state_of(const struct upstream_options *o)
{
	struct upstream_state *s;

	assert_int_equal(upstream_state_get(o, &s), 0);
	return s;
}

static int choose(struct upstream_state *s, const struct upstream_options *o, uint64_t hash, int64_t now_ms)
{
	struct balance_request r = {.hash = hash, .may_probe = true, .now_ms = now_ms};
	bool is_probe;

	return balance_choose(s, o, &r, &is_probe);
}

static void fail_until_out(struct upstream_state *s, const struct upstream_options *o, unsigned i, int64_t now_ms)
{
	assert_false(health_failed(&s->origins[i], o, now_ms));
	assert_true(health_failed(&s->origins[i], o, now_ms));
}

static void round_robin_asks_each_in_turn(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_ROUND_ROBIN);
	struct upstream_state *s = state_of(&o);
	unsigned asked[4] = {0};

	(void)state;
	for (int i = 0; i < 40; i++)
		asked[choose(s, &o, 0, 1)]++;
	for (int i = 0; i < 4; i++)
		assert_int_equal(asked[i], 10);
	upstream_state_unref(&s);
}

static void least_connections_asks_the_one_with_the_fewest(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_LEAST_CONNECTIONS);
	struct upstream_state *s = state_of(&o);

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		atomic_store(&s->origins[i].active, i == 2 ? 1 : 5);
	for (int i = 0; i < 8; i++)
		assert_int_equal(choose(s, &o, 0, 1), 2);
	atomic_store(&s->origins[2].active, 9);
	for (int i = 0; i < 8; i++)
		assert_int_not_equal(choose(s, &o, 0, 1), 2);
	upstream_state_unref(&s);
}

static void by_hash_an_origin_that_leaves_moves_its_own_share_and_no_other(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_HASH);
	struct upstream_state *s = state_of(&o);
	static int before[KEYS];
	unsigned share[4] = {0}, moved[4] = {0};

	(void)state;
	for (int i = 0; i < KEYS; i++)
		share[before[i] = choose(s, &o, (uint64_t)i, 1)]++;
	for (int i = 0; i < 4; i++)
		assert_in_range(share[i], KEYS / 4 - 300, KEYS / 4 + 300);
	fail_until_out(s, &o, 1, 1);
	for (int i = 0; i < KEYS; i++) {
		int now = choose(s, &o, (uint64_t)i, 2);

		assert_int_not_equal(now, 1);
		if (before[i] != 1)
			assert_int_equal(now, before[i]);
		else
			moved[now]++;
	}
	assert_in_range(moved[0], 600, 1100); /* spread over the others, not on a neighbour */
	assert_in_range(moved[2], 600, 1100);
	assert_in_range(moved[3], 600, 1100);
	health_ok(&s->origins[1]);
	for (int i = 0; i < KEYS; i++)
		assert_int_equal(choose(s, &o, (uint64_t)i, 3), before[i]);
	upstream_state_unref(&s);
}

static void after_fail_timeout_one_request_tries_and_the_others_stay_away(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_ROUND_ROBIN);
	struct upstream_state *s = state_of(&o);
	unsigned tries = 0;

	(void)state;
	fail_until_out(s, &o, 0, 100);
	for (int i = 0; i < 40; i++)
		assert_int_not_equal(choose(s, &o, 0, 1099), 0);
	for (int i = 0; i < 40; i++)
		tries += choose(s, &o, 0, 1100) == 0;
	assert_int_equal(tries, 1);
	assert_false(health_failed(&s->origins[0], &o, 1200)); /* it was out already */
	for (int i = 0; i < 40; i++)
		assert_int_not_equal(choose(s, &o, 0, 2199), 0);
	tries = 0;
	for (int i = 0; i < 40; i++)
		tries += choose(s, &o, 0, 2200) == 0;
	assert_int_equal(tries, 1);
	health_ok(&s->origins[0]);
	tries = 0;
	for (int i = 0; i < 40; i++)
		tries += choose(s, &o, 0, 2201) == 0;
	assert_int_equal(tries, 10);
	upstream_state_unref(&s);
}

static void a_request_that_can_not_be_repeated_is_no_trial(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_ROUND_ROBIN);
	struct upstream_state *s = state_of(&o);
	struct balance_request r = {.now_ms = 5000};
	bool is_probe;

	(void)state;
	fail_until_out(s, &o, 0, 1);
	for (int i = 0; i < 40; i++)
		assert_int_not_equal(balance_choose(s, &o, &r, &is_probe), 0);
	upstream_state_unref(&s);
}

static void when_all_are_out_the_first_to_come_back_is_asked(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_ROUND_ROBIN);
	struct upstream_state *s = state_of(&o);

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		fail_until_out(s, &o, i, i == 2 ? 1 : 50);
	for (int i = 0; i < 8; i++)
		assert_int_equal(choose(s, &o, 0, 60), 2);
	upstream_state_unref(&s);
}

static void what_was_tried_is_not_chosen_again(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_HASH);
	struct upstream_state *s = state_of(&o);
	struct balance_request r = {.hash = 7, .may_probe = true, .now_ms = 1};
	bool is_probe;

	(void)state;
	for (int i = 0; i < 4; i++) {
		int chosen = balance_choose(s, &o, &r, &is_probe);

		assert_in_range(chosen, 0, 3);
		assert_false(r.tried >> chosen & 1U);
		r.tried |= 1U << chosen;
	}
	assert_int_equal(balance_choose(s, &o, &r, &is_probe), -ENOENT);
	upstream_state_unref(&s);
}

static void checks_take_an_origin_out_and_bring_it_back(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_ROUND_ROBIN);
	struct upstream_state *s = state_of(&o);

	(void)state;
	o.health_path = SLICE_LIT("/up");
	o.health_interval_ms = 100;
	assert_true(health_claim_check(&s->origins[0], &o, 1000));
	assert_false(health_claim_check(&s->origins[0], &o, 1099));
	assert_true(health_claim_check(&s->origins[0], &o, 1100));
	assert_false(health_checked(&s->origins[0], &o, false));
	assert_true(health_checked(&s->origins[0], &o, false));
	for (int i = 0; i < 8; i++)
		assert_int_not_equal(choose(s, &o, 0, 1), 0);
	assert_true(health_checked(&s->origins[0], &o, true));
	assert_false(health_is_out(&s->origins[0], &o, 1));
	assert_false(health_checked(&s->origins[0], &o, true));
	health_checked(&s->origins[0], &o, false);
	health_checked(&s->origins[0], &o, false);
	o.health_path = SLICE_LIT(""); /* a configuration without checks does not believe old ones */
	assert_false(health_is_out(&s->origins[0], &o, 1));
	upstream_state_unref(&s);
}

static void state_is_shared_by_name_and_urls_and_goes_with_the_last(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_HASH), other = o;
	struct upstream_state *a = state_of(&o), *b = state_of(&o), *c;

	(void)state;
	assert_ptr_equal(a, b);
	other.more_urls_n = 2;
	c = state_of(&other);
	assert_ptr_not_equal(a, c);
	fail_until_out(a, &o, 0, 1);
	upstream_state_unref(&a);
	a = state_of(&o);
	assert_true(health_is_out(&a->origins[0], &o, 2));
	upstream_state_unref(&a);
	upstream_state_unref(&b);
	a = state_of(&o);
	assert_false(health_is_out(&a->origins[0], &o, 2));
	upstream_state_unref(&a);
	upstream_state_unref(&c);
}

static void bad_checks_count_in_a_row_only(void **state)
{
	struct upstream_options o = options_of(UPSTREAM_ROUND_ROBIN);
	struct upstream_state *s = state_of(&o);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_false(health_checked(&s->origins[0], &o, false));
		assert_false(health_checked(&s->origins[0], &o, true));
	}
	assert_false(health_checked(&s->origins[0], &o, false));
	assert_true(health_checked(&s->origins[0], &o, false));
	upstream_state_unref(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_robin_asks_each_in_turn),
		cmocka_unit_test(least_connections_asks_the_one_with_the_fewest),
		cmocka_unit_test(by_hash_an_origin_that_leaves_moves_its_own_share_and_no_other),
		cmocka_unit_test(after_fail_timeout_one_request_tries_and_the_others_stay_away),
		cmocka_unit_test(a_request_that_can_not_be_repeated_is_no_trial),
		cmocka_unit_test(when_all_are_out_the_first_to_come_back_is_asked),
		cmocka_unit_test(what_was_tried_is_not_chosen_again),
		cmocka_unit_test(checks_take_an_origin_out_and_bring_it_back),
		cmocka_unit_test(state_is_shared_by_name_and_urls_and_goes_with_the_last),
		cmocka_unit_test(bad_checks_count_in_a_row_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
