/* SPDX-License-Identifier: MIT */
/* Expiry that does not come all at once: jitter, refreshing ahead of it, and sparing an upstream. */
#include "rig.h"

#include "cache/flight_internal.h"

#define FRESH "Cache-Control: max-age=60\r\n"

static int64_t stored_lifetime(struct rig *g, const char *target)
{
	struct ask a;
	int64_t ms;

	assert_int_equal(ask_for(g, &a, target, NULL), CACHE_HIT);
	ms = object_freshness(a.out.object)->lifetime_ms;
	ask_fini(&a);
	return ms;
}

static void jitter_shortens_each_lifetime_differently_and_within_its_bound(void **state)
{
	struct rig *g = *state;
	int64_t least = INT64_MAX, most = 0;

	g->rules.ttl_jitter = 20;
	for (int i = 0; i < 50; i++) {
		char target[32];
		int64_t ms;

		snprintf(target, sizeof(target), "GET /%d", i);
		rig_store(g, target, NULL, FRESH, "x");
		ms = stored_lifetime(g, target);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	assert_in_range(least, 48000, 52000);
	assert_in_range(most, 56000, 60000);
}

static void begin_ahead(struct rig *g)
{
	g->rules.refresh_ahead.ms = 10000;
	g->rules.refresh_ahead_hits = 2;
	rig_store(g, "GET /a", NULL, FRESH "ETag: \"1\"\r\n", "old");
}

static void a_hot_response_is_fetched_anew_before_its_end_by_one(void **state)
{
	struct rig *g = *state;
	struct ask a, b;

	begin_ahead(g);
	for (int i = 0; i < 2; i++)
		assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	g->now.mono_ms += 51000;
	ask_init(g, &a, "GET /a", NULL);
	ask_init(g, &b, "GET /a", NULL);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	assert_non_null(a.out.flight);
	assert_int_equal(a.out.flight->kind, FLIGHT_BACKGROUND);
	assert_non_null(flight_stored(a.out.flight));
	assert_int_equal(ask_lookup(g, &b), CACHE_HIT);
	assert_null(b.out.flight);
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH, 3, NULL), FLIGHT_STORES);
	flight_body(a.out.flight, "new", 3);
	flight_end(a.out.flight, true, g->now);
	object_unref(&b.out.object);
	assert_int_equal(ask_lookup(g, &b), CACHE_HIT);
	rig_body_is(b.out.object, "new");
	assert_null(b.out.flight);
	ask_fini(&a);
	ask_fini(&b);
}

static void what_is_not_hot_or_not_near_its_end_is_left_alone(void **state)
{
	struct rig *g = *state;
	struct ask a;

	begin_ahead(g);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	g->now.mono_ms += 51000;
	ask_init(g, &a, "GET /a", NULL);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT); /* the second hit: one is too few */
	assert_null(a.out.flight);
	ask_fini(&a);
	rig_store(g, "GET /b", NULL, FRESH, "b");
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ask_for(g, &a, "GET /b", NULL), CACHE_HIT);
		assert_null(a.out.flight);
		ask_fini(&a);
	}
}

static void a_failed_refresh_ahead_leaves_the_response_and_is_not_tried_again_at_once(void **state)
{
	struct rig *g = *state;
	struct ask a;

	begin_ahead(g);
	for (int i = 0; i < 2; i++)
		assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	g->now.mono_ms += 51000;
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_HIT);
	assert_non_null(a.out.flight);
	flight_fail(a.out.flight, 502, g->now);
	ask_fini(&a);
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_HIT);
	assert_null(a.out.flight);
	ask_fini(&a);
}

static void the_fast_path_leaves_a_due_refresh_to_others(void **state)
{
	struct rig *g = *state;
	struct ask a;

	begin_ahead(g);
	for (int i = 0; i < 2; i++)
		assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	g->now.mono_ms += 51000;
	ask_init(g, &a, "GET /a", NULL);
	a.r.hit_only = true;
	assert_int_equal(ask_lookup(g, &a), CACHE_PASS);
	assert_null(a.out.flight);
	ask_fini(&a);
}

static enum cache_verdict spared(struct rig *g, const char *target, const char *fields)
{
	enum cache_verdict v;
	struct ask a;

	ask_init(g, &a, target, fields);
	a.r.spare_upstream = true;
	v = ask_lookup(g, &a);
	if (v == CACHE_LEAD)
		flight_abandon(a.out.flight);
	else
		assert_null(a.out.flight);
	ask_fini(&a);
	return v;
}

static void a_spared_upstream_is_asked_for_what_is_missing_only(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a", NULL, FRESH "ETag: \"1\"\r\n", "a");
	rig_store(g, "GET /swr", NULL, "Cache-Control: max-age=60, stale-while-revalidate=600\r\n", "s");
	rig_store(g, "GET /must", NULL, "Cache-Control: max-age=60, must-revalidate\r\nETag: \"1\"\r\n", "m");
	assert_int_equal(spared(g, "GET /a", "Cache-Control: no-cache\r\n"), CACHE_HIT);
	g->now.mono_ms += 120000;
	assert_int_equal(spared(g, "GET /a", NULL), CACHE_STALE);
	assert_int_equal(spared(g, "GET /a", "Cache-Control: no-cache\r\n"), CACHE_STALE);
	assert_int_equal(spared(g, "GET /swr", NULL), CACHE_STALE);
	assert_int_equal(spared(g, "GET /must", NULL), CACHE_LEAD);
	assert_int_equal(spared(g, "GET /other", NULL), CACHE_LEAD);
	g->now.mono_ms += 25LL * 3600 * 1000;
	assert_int_equal(spared(g, "GET /a", NULL), CACHE_LEAD);
}

static int64_t lifetime_stretched(const char *cache_control, int64_t ttl_max_ms)
{
	struct rig g;
	struct ask a;
	struct http_fields fields;
	struct flight_response response;
	enum policy_store why;
	int64_t ms;

	rig_options(&g);
	g.rules.ttl_max_ms = ttl_max_ms;
	rig_start(&g);
	assert_int_equal(ask_for(&g, &a, "GET /a", NULL), CACHE_LEAD);
	http_fields_init(&fields);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("Cache-Control"), slice_of(cache_control)), 0);
	response = (struct flight_response){.status = 200,
		.fields = &fields,
		.content_length = 0,
		.request_time = g.now,
		.now = g.now,
		.stretch = 4};
	assert_int_equal(flight_response(a.out.flight, &response, &why), FLIGHT_STORES);
	flight_end(a.out.flight, true, g.now);
	http_fields_fini(&fields);
	ms = stored_lifetime(&g, "GET /a");
	ask_fini(&a);
	rig_end(&g);
	return ms;
}

static void lifetimes_stretch_within_ttl_max_and_not_where_stale_is_forbidden(void **state)
{
	(void)state;
	assert_int_equal(lifetime_stretched("max-age=60", -1), 240000);
	assert_int_equal(lifetime_stretched("max-age=60", 100000), 100000);
	assert_int_equal(lifetime_stretched("max-age=60, must-revalidate", -1), 60000);
	assert_int_equal(lifetime_stretched("max-age=864000", -1), 864000000 + 86400000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(jitter_shortens_each_lifetime_differently_and_within_its_bound),
		RIG_TEST(a_hot_response_is_fetched_anew_before_its_end_by_one),
		RIG_TEST(what_is_not_hot_or_not_near_its_end_is_left_alone),
		RIG_TEST(a_failed_refresh_ahead_leaves_the_response_and_is_not_tried_again_at_once),
		RIG_TEST(the_fast_path_leaves_a_due_refresh_to_others),
		RIG_TEST(a_spared_upstream_is_asked_for_what_is_missing_only),
		cmocka_unit_test(lifetimes_stretch_within_ttl_max_and_not_where_stale_is_forbidden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
