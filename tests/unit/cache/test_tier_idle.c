/* SPDX-License-Identifier: MIT */
/* What nobody asks for leaves memory (memory_idle), if the disk has it, and comes back from there. */
#include "tier_rig.h"

#define FRESH "Cache-Control: max-age=600\r\n"

static int set_up(void **state)
{
	struct tiers *t;

	tiers_set_up(state);
	t = *state;
	t->g.rules.memory_idle_ms = 10000;
	return 0;
}

static void wait_and_sweep(struct tiers *t, int64_t ms)
{
	t->g.now.mono_ms += ms;
	t->g.now.wall_ms += ms;
	for (int i = 0; i < 100; i++)
		cache_sweep(t->g.c, 1000, t->g.now);
}

static void what_is_idle_leaves_and_comes_back_from_disk(void **state)
{
	struct tiers *t = *state;

	tiers_store(t, "GET /a", NULL, FRESH, "a");
	wait_and_sweep(t, 9000);
	assert_int_equal(rig_stats(&t->g).objects, 1);
	wait_and_sweep(t, 4000);
	assert_int_equal(rig_stats(&t->g).objects, 0);
	assert_int_equal(rig_stats(&t->g).entries, 0);
	assert_int_equal(rig_stats(&t->g).evicted_idle, 1);
	tiers_disk_has(t, "GET /a", NULL, "a");
	assert_int_equal(rig_stats(&t->g).objects, 1);
	wait_and_sweep(t, 13000);
	assert_int_equal(rig_stats(&t->g).evicted_idle, 2);
}

static void what_is_asked_for_stays(void **state)
{
	struct tiers *t = *state;

	tiers_store(t, "GET /a", NULL, FRESH, "a");
	for (int i = 0; i < 10; i++) {
		wait_and_sweep(t, 8000);
		assert_int_equal(rig_verdict(&t->g, "GET /a", NULL), CACHE_HIT);
	}
	assert_int_equal(rig_stats(&t->g).evicted_idle, 0);
}

static void what_the_disk_has_not_stays(void **state)
{
	struct tiers *t = *state;

	t->o.admit_second_hit = true;
	tiers_restart(t);
	tiers_store(t, "GET /a", NULL, FRESH, "a");
	wait_and_sweep(t, 60000);
	assert_int_equal(rig_stats(&t->g).objects, 1);
	assert_int_equal(rig_verdict(&t->g, "GET /a", NULL), CACHE_HIT);
}

static void of_variants_only_those_on_disk_leave(void **state)
{
	struct tiers *t = *state;

	tiers_store(t, "GET /v", "X-Kind: 1\r\n", "Vary: X-Kind\r\n" FRESH, "one");
	tiers_restart(t);
	tiers_disk_has(t, "GET /v", "X-Kind: 1\r\n", "one");
	tiers_store(t, "GET /v", "X-Kind: 2\r\n", "Vary: X-Kind\r\n" FRESH, "two");
	wait_and_sweep(t, 13000);
	assert_int_equal(rig_stats(&t->g).objects, 0);
	tiers_disk_has(t, "GET /v", "X-Kind: 2\r\n", "two");
	tiers_disk_has(t, "GET /v", "X-Kind: 1\r\n", "one");
}

static void a_route_without_it_keeps_all(void **state)
{
	struct tiers *t = *state;

	t->g.rules.memory_idle_ms = -1;
	tiers_store(t, "GET /a", NULL, FRESH, "a");
	wait_and_sweep(t, 590000);
	assert_int_equal(rig_stats(&t->g).objects, 1);
}

static void long_times_count_to_the_hour_and_never_too_early(void **state)
{
	const int64_t hour = 3600000;
	struct tiers *t = *state;

	t->g.rules.memory_idle_ms = 30 * hour + 1;
	tiers_store(t, "GET /a", NULL, "Cache-Control: max-age=1000000\r\n", "a");
	wait_and_sweep(t, 30 * hour);
	assert_int_equal(rig_stats(&t->g).objects, 1);
	wait_and_sweep(t, hour + 3000);
	assert_int_equal(rig_stats(&t->g).objects, 0);
}

static void a_purge_reaches_what_left_memory(void **state)
{
	struct tiers *t = *state;
	uint64_t seq;

	tiers_store(t, "GET /a", NULL, FRESH, "a");
	wait_and_sweep(t, 13000);
	assert_int_equal(
		cache_purge_soon(t->g.c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/a")}, &seq), 0);
	wait_and_sweep(t, 1000);
	assert_int_equal(tiers_verdict(t, "GET /a", NULL, NULL), CACHE_LEAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tiers_tear_down)
		CASE(what_is_idle_leaves_and_comes_back_from_disk),
		CASE(what_is_asked_for_stays),
		CASE(of_variants_only_those_on_disk_leave),
		CASE(a_route_without_it_keeps_all),
		CASE(long_times_count_to_the_hour_and_never_too_early),
		CASE(a_purge_reaches_what_left_memory),
	};
	const struct CMUnitTest of_the_disk[] = {
		CASE(what_the_disk_has_not_stays),
	};

	return TIERS_RUN_OVER_BOTH(tests) + TIERS_RUN_OVER_DISK(of_the_disk);
}
