/* SPDX-License-Identifier: MIT */
/* The sweeper works in bounded steps, whatever there is to do, and says when there is more. */
#include "rig.h"

#include <string.h>

#include "cache/flight_internal.h"

#define MANY 3000
#define STEPS 64

static void store_many(struct rig *g, const char *folder, unsigned n, const char *fields)
{
	char target[48];

	for (unsigned i = 0; i < n; i++) {
		snprintf(target, sizeof(target), "GET /%s/%u", folder, i);
		rig_store(g, target, NULL, fields, "x");
	}
}

static void what_expires_together_goes_in_bounded_steps_and_is_not_served_meanwhile(void **state)
{
	struct cache_swept did;
	struct rig *g = *state;
	unsigned calls = 0;

	store_many(g, "a", MANY, "Cache-Control: max-age=60\r\n");
	g->now.mono_ms += 64000;
	do {
		uint64_t before = rig_stats(g).objects;

		did = cache_sweep(g->c, STEPS, g->now);
		assert_in_range(before - rig_stats(g).objects, 0, STEPS);
		assert_int_equal(did.is_behind, rig_stats(g).objects > 0 || did.gone == STEPS);
		assert_int_not_equal(rig_verdict(g, "GET /a/2999", NULL), CACHE_HIT);
		calls++;
	} while (did.is_behind);
	assert_in_range(calls, MANY / STEPS, MANY / STEPS + 2);
	assert_int_equal(rig_stats(g).evicted_expired, MANY);
}

static void purge(struct rig *g, const char *prefix)
{
	uint64_t seq;

	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_PREFIX, .what = {prefix, strlen(prefix)}}, &seq),
		0);
}

static void what_was_purged_is_freed_without_a_pause_and_what_was_not_with_pauses(void **state)
{
	struct cache_swept did;
	struct rig *g = *state;
	unsigned calls = 0;

	store_many(g, "a", MANY, "Cache-Control: max-age=60\r\n");
	did = cache_sweep(g->c, STEPS, g->now);
	assert_false(did.is_behind);
	assert_in_range(did.looked, STEPS / 2, 4 * STEPS);
	while (!cache_sweep(g->c, STEPS, g->now).has_seen_all)
		;
	purge(g, "http://o/a/");
	for (; !did.has_seen_all; calls++) {
		did = cache_sweep(g->c, STEPS, g->now);
		assert_true(did.is_behind || did.has_seen_all);
	}
	assert_in_range(calls, 10, MANY / 10);
	assert_int_equal(rig_stats(g).objects, 0);
}

static void a_purge_of_few_is_worth_going_on_for(void **state)
{
	struct rig *g = *state;
	unsigned behind = 0, calls = 0;

	store_many(g, "a", MANY, "Cache-Control: max-age=60\r\n");
	store_many(g, "b", MANY / 10, "Cache-Control: max-age=60\r\n");
	purge(g, "http://o/b/");
	for (struct cache_swept did = {0}; !did.has_seen_all; calls++) {
		did = cache_sweep(g->c, STEPS, g->now);
		behind += did.is_behind;
	}
	assert_true(behind > calls / 2);
	assert_int_equal(rig_stats(g).objects, MANY);
}

/* The table is as large as it ever was. */
static void a_table_that_is_nearly_empty_is_looked_through_in_bounded_steps_too(void **state)
{
	struct rig *g = *state;
	unsigned rounds = 0;

	store_many(g, "a", MANY, "Cache-Control: max-age=60\r\n");
	store_many(g, "b", 4, "Cache-Control: max-age=6000\r\n");
	purge(g, "http://o/a/");
	while (rounds < 2)
		rounds += cache_sweep(g->c, STEPS, g->now).has_seen_all;
	assert_int_equal(rig_stats(g).objects, 4);
	for (struct cache_swept did = {0}; !did.has_seen_all;) {
		did = cache_sweep(g->c, STEPS, g->now);
		assert_in_range(did.looked, 1, 2 * STEPS);
	}
}

/* Of each: how long it is kept, in seconds from when it was stored; 0: not at all. */
static void what_is_of_no_use_any_more_goes(void **state)
{
	static const struct {
		const char *fields;
		int64_t kept_s;
	} rows[] = {
		{"Cache-Control: max-age=60\r\n", 60 + 1800},
		{"Cache-Control: max-age=60, must-revalidate\r\n", 60},
		{"Cache-Control: s-maxage=60\r\n", 60},
		{"Cache-Control: max-age=60, must-revalidate\r\nETag: \"1\"\r\n", 60 + 3600},
		{"Cache-Control: max-age=60, no-cache\r\n", 0},
		{"Cache-Control: max-age=60, no-cache\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n", 60 + 3600},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig g;

		rig_options(&g);
		g.rules.stale_if_unreachable_ms = 1800000;
		rig_start(&g);
		rig_store(&g, "GET /a", NULL, rows[i].fields, "x");
		if (rows[i].kept_s > 0) {
			g.now.mono_ms += rows[i].kept_s * 1000 - 2000;
			cache_sweep(g.c, STEPS, g.now);
			assert_int_equal(rig_stats(&g).objects, 1);
		}
		g.now.mono_ms += 4000 + rows[i].kept_s * 1000 / 30;
		cache_sweep(g.c, STEPS, g.now);
		assert_int_equal(rig_stats(&g).objects, 0);
		assert_int_equal(rig_stats(&g).bytes, 0);
		rig_end(&g);
	}
}

/* So many that others might have to make room for them are forgotten soon; and nothing is lost to them that they don't name. */
static void after_many_purges_of_nothing_a_round_has_no_pauses_and_their_rules_go(void **state)
{
	struct rig *g = *state;
	unsigned calls = 0;
	bool is_behind;

	store_many(g, "a", MANY, "Cache-Control: max-age=6000\r\n");
	while (!cache_sweep(g->c, STEPS, g->now).has_seen_all)
		;
	for (unsigned i = 0; i < 20000; i++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "http://o/none/%u/", i);
		purge(g, prefix);
		if (i % 10 > 0)
			continue;
		do { /* what the worker does at once, without a pause */
			is_behind = cache_sweep(g->c, STEPS, g->now).is_behind;
			calls += is_behind;
		} while (is_behind);
		assert_in_range(rig_stats(g).invalidation.rules, 0, 1000 / 4 + 100);
	}
	assert_int_equal(rig_stats(g).invalidation.rules_folded, 0);
	assert_int_equal(rig_stats(g).objects, MANY);
	/* For each eighth of the table one round or two, however large the cache is. */
	assert_in_range(calls, 1, 2 * (20000 / 125) * (2 * MANY / STEPS));
}

static void lead_one(struct rig *g, struct ask *a, unsigned i)
{
	char target[48];

	snprintf(target, sizeof(target), "GET /f/%u", i);
	ask_init(g, a, target, NULL);
	assert_int_equal(ask_lookup(g, a), CACHE_LEAD);
}

static void give_up(struct ask *a)
{
	flight_abandon(a->out.flight);
	ask_fini(a);
}

/* Of the shard that the sweeper comes to last. */
static void lead_in_last_shard(struct rig *g, struct ask *a)
{
	for (unsigned i = 0;; i++) {
		lead_one(g, a, i);
		if (a->out.flight->entry->shard == &g->c->memory.shards[g->c->memory.shards_n - 1])
			return;
		give_up(a);
	}
}

/* However many fetches are under way, a turn looks at some of them; and a round has seen all of them before it lets a rule go. */
static void flights_are_looked_at_in_bounded_steps(void **state)
{
	static struct ask asks[MANY / 3], old;
	struct rig *g = *state;
	struct cache_swept did = {0};
	unsigned turns = 0;

	g->rules.coalesce_timeout_ms = 1000;
	g->c->o.max_flights = MANY;
	lead_in_last_shard(g, &old);
	purge(g, "http://o/f/");
	for (unsigned i = 0; i < ARRAY_LEN(asks); i++)
		lead_one(g, &asks[i], MANY + i);
	while (!did.has_seen_all)
		did = cache_sweep(g->c, 100 * MANY, g->now);
	assert_int_equal(rig_stats(g).invalidation.rules, 1);
	(void)cache_sweep(g->c, STEPS, g->now); /* which would let it go */
	assert_int_equal(rig_stats(g).invalidation.rules, 1);
	while (cache_sweep(g->c, STEPS, g->now).flights > 0)
		;
	g->now.mono_ms += 2000;
	for (; rig_stats(g).leader_timeouts < ARRAY_LEN(asks) + 1; turns++) {
		assert_in_range(cache_sweep(g->c, STEPS, g->now).flights, 0, 320);
		assert_true(turns < 100);
	}
	assert_in_range(turns, ARRAY_LEN(asks) / 320, ARRAY_LEN(asks) / 64);
	for (unsigned i = 0; i < ARRAY_LEN(asks); i++)
		give_up(&asks[i]);
	give_up(&old);
	for (unsigned rounds = 0; rounds < 3;)
		rounds += cache_sweep(g->c, STEPS, g->now).has_seen_all;
	assert_int_equal(rig_stats(g).invalidation.rules, 0);
}

/* ---- What purges have met ---- */

static void note_met(void *arg, uint64_t seq)
{
	unsigned *met = arg;

	assert_in_range(seq, 0, 7);
	met[seq]++;
}

static uint64_t purge_by(struct rig *g, const char *prefix, bool soft)
{
	uint64_t seq = 0;

	assert_int_equal(cache_purge_soon(g->c,
				 &(struct purge){.kind = PURGE_PREFIX, .what = slice_of(prefix), .soft = soft}, &seq),
		0);
	return seq;
}

static void each_response_that_a_purge_has_met_is_told_once(void **state)
{
	struct rig *g = *state;
	unsigned met[8] = {0}, rounds = 0;
	uint64_t hard, soft;

	g->c->o.on_met = note_met;
	g->c->o.on_met_arg = met;
	store_many(g, "hard", 30, "Cache-Control: max-age=600\r\n");
	store_many(g, "soft", 20, "Cache-Control: max-age=600\r\n");
	store_many(g, "none", 10, "Cache-Control: max-age=600\r\n");
	(void)cache_sweep(g->c, STEPS, g->now); /* in the midst of a round */
	hard = purge_by(g, "http://o/hard/", false);
	soft = purge_by(g, "http://o/soft/", true);
	assert_int_equal(rig_verdict(g, "GET /hard/3", NULL), CACHE_LEAD); /* a request may find it first */
	while (rounds < 5)
		rounds += cache_sweep(g->c, STEPS, g->now).has_seen_all;
	for (unsigned i = 0; i < ARRAY_LEN(met); i++)
		assert_int_equal(met[i], i == hard ? 30 : i == soft ? 20 : 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(what_expires_together_goes_in_bounded_steps_and_is_not_served_meanwhile),
		RIG_TEST(after_many_purges_of_nothing_a_round_has_no_pauses_and_their_rules_go),
		RIG_TEST(what_was_purged_is_freed_without_a_pause_and_what_was_not_with_pauses),
		RIG_TEST(a_purge_of_few_is_worth_going_on_for),
		RIG_TEST(flights_are_looked_at_in_bounded_steps),
		cmocka_unit_test(what_is_of_no_use_any_more_goes),
		RIG_TEST(a_table_that_is_nearly_empty_is_looked_through_in_bounded_steps_too),
		RIG_TEST(each_response_that_a_purge_has_met_is_told_once),
	};

	return cmocka_run_group_tests_name("cache sweep", tests, NULL, NULL);
}
