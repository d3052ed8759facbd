/* SPDX-License-Identifier: MIT */
/* What a lookup makes of what is stored, what was remembered and what is being fetched; and who gets which cookie. */
#include "rig.h"

#include <string.h>

#include "cache/cache_internal.h"

#define FRESH "Cache-Control: max-age=60\r\n"
#define TAGGED FRESH "ETag: \"1\"\r\n"

static void pass_ms(struct rig *g, int64_t ms)
{
	g->now.mono_ms += ms;
	g->now.wall_ms += ms;
}

static void pass_s(struct rig *g, int64_t s)
{
	pass_ms(g, s * 1000);
}

/* As a transaction does with the response to a Range request that it passed on. */
static void store_part_with(struct rig *g, const char *head, int64_t length, const char *body)
{
	struct flight *f;
	struct ask a;

	ask_init(g, &a, "GET /a", "Range: bytes=0-\r\n");
	f = cache_keep(g->c, &a.r, rig_asked(g), g->now);
	assert_non_null(f);
	assert_int_equal(rig_answer(g, f, 206, head, length, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(f, body, strlen(body)), FLIGHT_BODY_OK);
	flight_end(f, true, g->now);
	flight_unref(&f);
	ask_fini(&a);
}

static void store_part(struct rig *g, const char *content_range, int64_t length, const char *body)
{
	char head[300];

	snprintf(head, sizeof(head), "Content-Range: bytes %s\r\n" TAGGED, content_range);
	store_part_with(g, head, length, body);
}

/* ---- What is remembered ---- */

static void a_forced_refresh_asks_in_spite_of_a_failure_a_moment_ago(void **state)
{
	struct rig *g = *state;
	struct ask a;

	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	flight_fail(a.out.flight, 504, g->now);
	assert_int_equal(ask_lookup(g, &a), CACHE_FAILED);
	cache_refresh(g->c, &a.r, g->now, &a.out);
	assert_int_equal(a.out.verdict, CACHE_LEAD);
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

static void a_forced_refresh_asks_though_the_upstream_is_to_be_spared(void **state)
{
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, FRESH, "x");
	ask_init(g, &a, "GET /a", NULL);
	a.r.spare_upstream = true;
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	object_unref(&a.out.object);
	cache_refresh(g->c, &a.r, g->now, &a.out);
	assert_int_equal(a.out.verdict, CACHE_LEAD);
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

/* Its window ends while the failure is still remembered. */
static void the_origins_second_503_is_remembered_as_a_503(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 2; n++) {
		struct rig g;
		struct ask a;

		rig_begin(&g);
		rig_store(&g, "GET /a", NULL, "Cache-Control: max-age=1, stale-if-error=50\r\n", "x");
		ask_init(&g, &a, "GET /a", NULL);
		pass_ms(&g, 50700 - 1100 * n);
		for (unsigned i = 0; i < n; i++) {
			pass_ms(&g, 1100);
			assert_int_equal(ask_lookup(&g, &a), CACHE_LEAD);
			assert_int_equal(rig_answer(&g, a.out.flight, 503, "", 0, NULL), FLIGHT_REVALIDATED);
			assert_int_equal(ask_lookup(&g, &a), CACHE_STALE);
		}
		pass_ms(&g, 500);
		assert_int_equal(ask_lookup(&g, &a), n == 1 ? CACHE_LEAD : CACHE_FAILED);
		if (n == 1)
			flight_abandon(a.out.flight);
		else
			assert_int_equal(a.out.status, 503);
		ask_fini(&a);
		rig_end(&g);
	}
}

/* Another variant was private, with or without a word of which: this one may be waited for, as it was before. */
static void what_is_stored_is_validated_though_the_key_is_marked(void **state)
{
	struct rig *g = *state;
	struct ask one, other;

	rig_store(g, "GET /a", "X-V: 1\r\n", TAGGED "Vary: X-V\r\n", "x");
	assert_int_equal(ask_for(g, &other, "GET /a", "X-V: 2\r\n"), CACHE_LEAD);
	pass_s(g, 100);
	assert_int_equal(rig_answer(g, other.out.flight, 200, "Cache-Control: private\r\nVary: X-V\r\n", 0, NULL),
		FLIGHT_PRIVATE);
	assert_int_equal(ask_lookup(g, &other), CACHE_PASS);
	assert_int_equal(ask_for(g, &one, "GET /a", "X-V: 1\r\n"), CACHE_LEAD);
	assert_non_null(flight_stored(one.out.flight));
	assert_int_equal(rig_verdict(g, "GET /a", "X-V: 1\r\n"), CACHE_JOIN);
	flight_abandon(one.out.flight);
	ask_fini(&one);
	ask_fini(&other);
}

/* A marker that says something of every request. */
static void what_is_stored_is_waited_for_though_the_key_is_marked(void **state)
{
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, TAGGED, "x");
	pass_s(g, 100);
	assert_int_equal(ask_for(g, &a, "GET /a", "X-V: 2\r\n"), CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 431, "Cache-Control: no-store\r\n", 0, NULL), FLIGHT_PRIVATE);
	ask_fini(&a);
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_JOIN);
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

static void a_206_that_nobody_asked_for_marks_the_key_for_a_moment_only(void **state)
{
	struct rig *g = *state;
	struct ask a;

	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(
		rig_answer(g, a.out.flight, 206, "Content-Range: bytes 0-4/20\r\n" TAGGED, 5, NULL), FLIGHT_PRIVATE);
	assert_int_equal(ask_lookup(g, &a), CACHE_PASS);
	pass_s(g, 2);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_JOIN);
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

/* Errors about the one request, or of the moment. */
static void what_is_no_response_about_the_resource_leaves_the_stored_one(void **state)
{
	static const int statuses[] = {406, 408, 411, 412, 413, 414, 415, 416, 417, 421, 425, 429, 431, 500, 503};
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, TAGGED, "x");
	for (unsigned i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		ask_init(g, &a, "GET /a", NULL);
		cache_refresh(g->c, &a.r, g->now, &a.out);
		assert_int_equal(a.out.verdict, CACHE_LEAD);
		if (rig_answer(g, a.out.flight, statuses[i], "", 0, NULL) == FLIGHT_STORES)
			flight_end(a.out.flight, true, g->now);
		ask_fini(&a);
		assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	}
}

static void what_one_who_is_logged_in_is_told_leaves_what_all_others_get(void **state)
{
	static const char *const fields[] = {"Cookie: session=1\r\n", "Authorization: x\r\n"};
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, TAGGED, "x");
	for (unsigned i = 0; i < 2; i++) {
		ask_init(g, &a, "GET /a", fields[i]);
		cache_refresh(g->c, &a.r, g->now, &a.out);
		assert_int_equal(a.out.verdict, CACHE_LEAD);
		assert_int_equal(rig_answer(g, a.out.flight, 404, "", 0, NULL), FLIGHT_PRIVATE);
		ask_fini(&a);
		assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	}
}

/* ---- Fetching in the background ---- */

static bool fetches_ahead(struct rig *g)
{
	struct ask a;
	bool fetches;

	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_HIT);
	fetches = a.out.flight != NULL;
	if (fetches)
		flight_abandon(a.out.flight);
	ask_fini(&a);
	return fetches;
}

static void refreshing_ahead_counts_from_the_lifetime_that_was_left_on_arrival(void **state)
{
	struct rig *g = *state;

	g->rules.refresh_ahead.percent = 20;
	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=100\r\nAge: 50\r\n", "x");
	pass_s(g, 39);
	assert_false(fetches_ahead(g));
	pass_s(g, 2);
	assert_true(fetches_ahead(g));
}

static void what_bears_credentials_is_validated_in_the_background_once(void **state)
{
	struct rig *g = *state;
	struct ask a[2];

	rig_store(g, "GET /a", NULL, "Cache-Control: public, max-age=60, stale-while-revalidate=600\r\n", "x");
	pass_s(g, 100);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ask_for(g, &a[i], "GET /a", "Authorization: x\r\n"), CACHE_STALE);
		assert_int_equal(a[i].out.flight != NULL, i == 0);
	}
	flight_abandon(a[0].out.flight);
	ask_fini(&a[0]);
	ask_fini(&a[1]);
}

/* ---- Parts ---- */

static void only_a_get_is_answered_from_a_part(void **state)
{
	struct rig *g = *state;

	store_part(g, "0-4/20", 5, "ABCDE");
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=1-2\r\n"), CACHE_HIT);
	assert_int_equal(rig_verdict(g, "HEAD /a", "Range: bytes=1-2\r\n"), CACHE_PASS);
	assert_int_equal(rig_verdict(g, "HEAD /a", NULL), CACHE_PASS);
}

static void a_forced_refresh_asks_for_all_of_it(void **state)
{
	struct slice validator;
	struct rig *g = *state;
	struct ask a;
	uint64_t from;

	store_part(g, "0-4/20", 5, "ABCDE");
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_true(flight_tail(a.out.flight, &from, &validator));
	assert_int_equal(from, 5);
	flight_abandon(a.out.flight);
	flight_unref(&a.out.flight);
	cache_refresh(g->c, &a.r, g->now, &a.out);
	assert_int_equal(a.out.verdict, CACHE_LEAD);
	assert_false(flight_tail(a.out.flight, &from, &validator));
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

/* An origin that announces one byte too many at the end of what it has; its framing is whole. */
static void a_tail_that_ends_earlier_than_it_says_is_kept(void **state)
{
	static const int64_t lengths[] = {10, -1};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct rig g;
		struct ask a;
		uint64_t first, total;

		rig_begin(&g);
		store_part(&g, "10-20/21", lengths[i], "ABCDEFGHIJ");
		assert_int_equal(ask_for(&g, &a, "GET /a", "Range: bytes=10-19\r\n"), CACHE_HIT);
		assert_true(object_part(a.out.object, &first, &total));
		assert_int_equal(first, 10);
		assert_int_equal(total, 20);
		rig_body_is(a.out.object, "ABCDEFGHIJ");
		ask_fini(&a);
		rig_end(&g);
	}
}

static void a_part_serves_what_lies_within_it_while_it_is_fresh(void **state)
{
	struct rig *g = *state;

	store_part(g, "5-9/20", 5, "ABCDE");
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=5-9\r\n"), CACHE_HIT);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=5-10\r\n"), CACHE_PASS);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=4-9\r\n"), CACHE_PASS);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=5-5, 10-10\r\n"), CACHE_PASS);
	pass_s(g, 100);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=5-9\r\n"), CACHE_PASS);
}

/* Two newer parts of two versions: what was asked for before both may be of either, or of neither. */
static void an_older_fetch_lands_on_none_of_two_versions(void **state)
{
	struct rig *g = *state;
	struct ask a;

	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	store_part_with(g, "Content-Range: bytes 0-4/20\r\n" FRESH "ETag: \"1\"\r\n", 5, "ABCDE");
	store_part_with(g, "Content-Range: bytes 0-4/20\r\n" FRESH "ETag: \"2\"\r\n", 5, "abcde");
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH "ETag: \"2\"\r\n", 1, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, "x", 1), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, g->now);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
	ask_fini(&a);
}

/* ---- Joining ---- */

static void who_comes_after_a_soft_purge_or_reloads_does_not_join(void **state)
{
	struct rig *g = *state;
	struct ask a;
	uint64_t seq;

	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	rig_answer(g, a.out.flight, 200, FRESH, 1, NULL);
	pass_s(g, 3);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_JOIN);
	assert_int_equal(rig_verdict(g, "GET /a", "Cache-Control: no-cache\r\n"), CACHE_LEAD);
	flight_end(a.out.flight, false, g->now);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_JOIN);
	assert_int_equal(
		cache_purge_soon(
			g->c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/a"), .soft = true}, &seq),
		0);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

static void a_fill_asks_whatever_is_stored_but_joins(void **state)
{
	struct rig *g = *state;
	struct ask a, b;

	rig_store(g, "GET /a", NULL, FRESH, "x");
	ask_init(g, &a, "GET /a", NULL);
	ask_init(g, &b, "GET /a", NULL);
	cache_fill(g->c, &a.r, g->now, &a.out);
	assert_int_equal(a.out.verdict, CACHE_LEAD);
	cache_fill(g->c, &b.r, g->now, &b.out);
	assert_int_equal(b.out.verdict, CACHE_JOIN);
	assert_ptr_equal(a.out.flight, b.out.flight);
	flight_abandon(a.out.flight);
	ask_fini(&a);
	ask_fini(&b);
}

static void who_comes_after_a_newer_response_does_not_wait_for_an_older_one(void **state)
{
	struct rig *g = *state;
	struct ask older, newer;

	g->o.pass_memory_ms = 0;
	rig_restart(g);
	assert_int_equal(ask_for(g, &older, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_JOIN);
	ask_init(g, &newer, "GET /a", NULL);
	cache_refresh(g->c, &newer.r, g->now, &newer.out);
	assert_int_equal(rig_answer(g, newer.out.flight, 404, "", 0, NULL), FLIGHT_STORES);
	flight_end(newer.out.flight, true, g->now);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
	flight_abandon(older.out.flight);
	ask_fini(&older);
	ask_fini(&newer);
}

/* ---- Ranges that have the whole fetched ---- */

static void begin_filling(struct rig *g)
{
	g->o.max_object_bytes = 1000;
	g->rules.range_fill = CACHE_RANGE_WHOLE;
	rig_restart(g);
}

static void a_range_leads_to_the_whole_and_others_join(void **state)
{
	struct rig *g = *state;
	struct ask a;

	begin_filling(g);
	assert_int_equal(ask_for(g, &a, "GET /a", "Range: bytes=5-6\r\n"), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=900-\r\n"), CACHE_JOIN);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=-5\r\n"), CACHE_JOIN);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_JOIN);
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH, 1000, NULL), FLIGHT_STORES);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=5-6\r\n"), CACHE_JOIN);
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

static void a_range_that_no_whole_is_for_passes(void **state)
{
	static const char *const fields[] = {
		"Range: bytes=1000-1001\r\n",
		"Range: bytes=1000-, 2000-2001\r\n",
		"Range: items=0-1\r\n",
		"Range: bytes=0-1\r\nRange: bytes=2-3\r\n",
		"Range: bytes=0-1\r\nAuthorization: x\r\n",
		"Range: bytes=0-1\r\nCache-Control: no-store\r\n",
	};
	struct rig *g = *state;

	for (unsigned led = 0; led < 2; led++) {
		struct ask a;

		begin_filling(g);
		ask_init(g, &a, "GET /a", NULL);
		if (led)
			assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
		for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
			assert_int_equal(rig_verdict(g, "GET /a", fields[i]), CACHE_PASS);
		if (led)
			flight_abandon(a.out.flight);
		ask_fini(&a);
	}
}

static void what_is_too_large_is_not_fetched_for_ranges_alone(void **state)
{
	struct rig *g = *state;
	struct ask a, b;

	begin_filling(g);
	assert_int_equal(ask_for(g, &a, "GET /a", "Range: bytes=5-6\r\n"), CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH, 1001, NULL), FLIGHT_PRIVATE);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=5-6\r\n"), CACHE_PASS);
	pass_s(g, 2);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=5-6\r\n"), CACHE_PASS);
	ask_init(g, &b, "GET /a", NULL); /* who wants all of it finds out whether that is still so */
	assert_int_equal(ask_lookup(g, &b), CACHE_LEAD);
	flight_abandon(b.out.flight);
	ask_fini(&a);
	ask_fini(&b);
}

static void a_stored_part_says_whether_a_whole_is_for_it(void **state)
{
	struct slice validator;
	struct rig *g = *state;
	struct ask a;
	uint64_t from;

	begin_filling(g);
	store_part(g, "0-4/1000", 5, "ABCDE");
	assert_int_equal(ask_for(g, &a, "GET /a", "Range: bytes=5-6\r\n"), CACHE_LEAD);
	assert_true(flight_tail(a.out.flight, &from, &validator));
	flight_abandon(a.out.flight);
	ask_fini(&a);
	store_part_with(g, "Content-Range: bytes 0-4/1001\r\n" FRESH "ETag: \"2\"\r\n", 5, "ABCDE");
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=5-6\r\n"), CACHE_PASS);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=3-4\r\n"), CACHE_HIT);
	pass_s(g, 1000); /* its validator is the whole's, which is too large to be fetched for it */
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=3-4\r\n"), CACHE_PASS);
}

static void a_part_beyond_max_object_is_not_stored(void **state)
{
	static const char *const too_large[] = {"0-1000/1001", "1-1001/1002"};
	struct rig *g = *state;
	enum policy_store why;
	struct flight *f;
	struct ask a;

	begin_filling(g);
	for (unsigned i = 0; i < 4; i++) { /* with and without Content-Length */
		char head[300];

		snprintf(head, sizeof(head), "Content-Range: bytes %s\r\n" TAGGED, too_large[i / 2]);
		ask_init(g, &a, "GET /a", "Range: bytes=0-\r\n");
		f = cache_keep(g->c, &a.r, rig_asked(g), g->now);
		assert_non_null(f);
		assert_int_equal(rig_answer(g, f, 206, head, i % 2 ? 1001 : -1, &why), FLIGHT_PRIVATE);
		assert_int_equal(why, POLICY_NOT_TOO_LARGE);
		flight_unref(&f);
		ask_fini(&a);
	}
}

static void what_is_too_large_is_not_made_of_a_part_and_its_rest(void **state)
{
	struct slice validator;
	struct rig *g = *state;
	struct ask a;
	uint64_t from;

	begin_filling(g);
	store_part(g, "0-4/1001", 5, "ABCDE");
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_false(flight_tail(a.out.flight, &from, &validator));
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

/* A stale part is not validated, nor stands in for the whole. */
static void of_a_stale_part_the_whole_is_fetched(void **state)
{
	struct rig *g = *state;
	struct ask a;

	begin_filling(g);
	store_part_with(g,
		"Content-Range: bytes 0-4/20\r\nETag: \"1\"\r\n"
		"Cache-Control: max-age=10, stale-while-revalidate=10, stale-if-error=1000\r\n",
		5, "ABCDE");
	pass_s(g, 15);
	assert_int_equal(ask_for(g, &a, "GET /a", "Range: bytes=3-4\r\n"), CACHE_STALE);
	assert_non_null(a.out.flight);
	assert_null(flight_stored(a.out.flight));
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=3-4\r\n"), CACHE_STALE);
	assert_int_equal(rig_stats(g).flights, 1);
	flight_fail(a.out.flight, 504, g->now);
	ask_fini(&a);
	pass_s(g, 15);
	assert_int_equal(ask_for(g, &a, "GET /a", "Range: bytes=3-4\r\n"), CACHE_LEAD);
	assert_null(flight_stored(a.out.flight));
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH, 20, NULL), FLIGHT_STORES);
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

/* Whose bytes are still to come must not hold the window, or be held by it. */
static void a_range_leaves_what_outgrows_max_object(void **state)
{
	static char block[600];
	struct rig *g = *state;
	struct ask a[2];
	struct waiter w[2];

	begin_filling(g);
	for (unsigned i = 0; i < 2; i++) {
		ask_init(g, &a[i], "GET /a", i ? "Range: bytes=5-6\r\n" : NULL);
		assert_int_equal(ask_lookup(g, &a[i]), i ? CACHE_JOIN : CACHE_LEAD);
		waiter_join(&w[i], &a[i], i);
		w[i].w.wants_part = i == 1;
	}
	assert_int_equal(rig_answer(g, a[0].out.flight, 200, FRESH, -1, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a[0].out.flight, block, sizeof(block)), FLIGHT_BODY_OK);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(waiter_look(&w[i]).phase, FLIGHT_RESPONSE);
	flight_put_off(&w[1].w);
	assert_int_equal(waiter_look(&w[1]).phase, FLIGHT_RESPONSE);
	flight_put_off(&w[1].w);
	assert_int_equal(flight_body(a[0].out.flight, block, sizeof(block)), FLIGHT_BODY_OK);
	assert_int_equal(waiter_look(&w[0]).phase, FLIGHT_RESPONSE);
	assert_int_equal(waiter_look(&w[1]).phase, FLIGHT_RETRY);
	flight_end(a[0].out.flight, true, g->now);
	for (unsigned i = 0; i < 2; i++) {
		flight_leave(&w[i].w);
		ask_fini(&a[i]);
	}
}

/* ---- Soft purges of what is being fetched ---- */

static void a_soft_purge_binds_only_those_who_come_after_it(void **state)
{
	struct rig *g = *state;
	struct ask a[3];
	struct waiter w[3];
	uint64_t seq;

	for (unsigned i = 0; i < 3; i++) {
		ask_init(g, &a[i], "GET /a", NULL);
		a[i].r.worker = i;
		/* That it will have the tag, nobody knows yet. */
		if (i == 2)
			assert_int_equal(
				cache_purge_soon(g->c,
					&(struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("t"), .soft = true}, &seq),
				0);
		assert_int_equal(ask_lookup(g, &a[i]), i == 0 ? CACHE_LEAD : CACHE_JOIN);
		waiter_join(&w[i], &a[i], i);
	}
	rig_answer(g, a[0].out.flight, 200, FRESH "Cache-Tag: t\r\n", 1, NULL);
	assert_int_equal(waiter_look(&w[0]).phase, FLIGHT_RESPONSE);
	assert_int_equal(waiter_look(&w[1]).phase, FLIGHT_RESPONSE);
	assert_int_equal(waiter_look(&w[2]).phase, FLIGHT_RETRY);
	flight_body(a[0].out.flight, "x", 1);
	flight_end(a[0].out.flight, true, g->now);
	for (unsigned i = 0; i < 3; i++) {
		flight_leave(&w[i].w);
		ask_fini(&a[i]);
	}
}

/* ---- Whose cookie ---- */

struct own {
	struct rig g;
	struct ask a[2];
	struct waiter w[2];
};

/* Two who wait for one fetch, which is answered so. */
static void answer_both(struct own *o, int status, const char *fields)
{
	for (unsigned i = 0; i < 2; i++) {
		ask_init(&o->g, &o->a[i], "GET /a", NULL);
		o->a[i].r.worker = i;
		assert_int_equal(ask_lookup(&o->g, &o->a[i]), i == 0 ? CACHE_LEAD : CACHE_JOIN);
		waiter_join(&o->w[i], &o->a[i], i);
	}
	if (rig_answer(&o->g, o->a[0].out.flight, status, fields, status == 304 ? -1 : 0, NULL) == FLIGHT_STORES)
		flight_end(o->a[0].out.flight, true, o->g.now);
}

static bool has_cookie(struct flight_view v)
{
	static const char line[] = "Set-Cookie: a=b\r\n";

	assert_int_equal(v.phase, FLIGHT_RESPONSE);
	return (v.own_lines.n > 0 && memmem(v.own_lines.p, v.own_lines.n, line, sizeof(line) - 1)) ||
	       rig_head_has(v.object, line);
}

static void both_leave(struct own *o)
{
	for (unsigned i = 0; i < 2; i++) {
		flight_leave(&o->w[i].w);
		ask_fini(&o->a[i]);
	}
}

static void the_cookie_of_a_response_is_for_whom_the_route_says(void **state)
{
	static const struct {
		enum cache_set_cookie rule;
		bool leader, other;
	} rows[] = {
		{CACHE_COOKIE_AUTO, true, false}, {CACHE_COOKIE_STRIP, false, false}, {CACHE_COOKIE_STORE, true, true}};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned is_304 = 0; is_304 < 2; is_304++) {
			struct own o;

			rig_options(&o.g);
			o.g.rules.set_cookie = rows[i].rule;
			rig_start(&o.g);
			if (is_304)
				rig_store(&o.g, "GET /a", NULL, TAGGED, "x");
			pass_s(&o.g, 100);
			answer_both(&o, is_304 ? 304 : 200, TAGGED "Set-Cookie: a=b\r\n");
			assert_int_equal(has_cookie(waiter_look(&o.w[0])), rows[i].leader);
			assert_int_equal(has_cookie(waiter_look(&o.w[1])), rows[i].other);
			both_leave(&o);
			rig_end(&o.g);
		}
}

static void a_304_without_a_lifetime_leaves_no_cookie_behind(void **state)
{
	struct own o;

	(void)state;
	rig_begin(&o.g);
	rig_store(&o.g, "GET /a", NULL, TAGGED, "x");
	pass_s(&o.g, 100);
	answer_both(&o, 304, "Cache-Control: max-age=0\r\nETag: \"1\"\r\nSet-Cookie: a=b\r\n");
	assert_true(has_cookie(waiter_look(&o.w[0])));
	assert_false(has_cookie(waiter_look(&o.w[1])));
	both_leave(&o);
	/* And the next validation hands it to nobody. */
	answer_both(&o, 304, TAGGED);
	assert_false(has_cookie(waiter_look(&o.w[0])));
	assert_false(has_cookie(waiter_look(&o.w[1])));
	both_leave(&o);
	rig_end(&o.g);
}

/* The rest of what is stored comes with a cookie and no lifetime: alone it would not be stored. */
static void a_tail_with_a_cookie_completes_what_is_stored(void **state)
{
	static const char head[] = "ETag: \"1\"\r\nLast-Modified: Tue, 14 Nov 2023 20:00:00 GMT\r\n";
	struct waiter w;
	struct rig *g = *state;
	struct ask a;
	char fields[300];

	snprintf(fields, sizeof(fields), "Content-Range: bytes 0-4/10\r\n%s", head);
	store_part_with(g, fields, 5, "ABCDE");
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	waiter_join(&w, &a, 0);
	snprintf(fields, sizeof(fields), "Content-Range: bytes 5-9/10\r\nSet-Cookie: a=b\r\n%s", head);
	assert_int_equal(rig_answer(g, a.out.flight, 206, fields, 5, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, "FGHIJ", 5), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, g->now);
	assert_true(has_cookie(waiter_look(&w)));
	flight_leave(&w.w);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	rig_body_is(a.out.object, "ABCDEFGHIJ");
	assert_false(rig_head_has(a.out.object, "Set-Cookie"));
	ask_fini(&a);
}

/* ---- 304 ---- */

static void a_304_without_a_date_was_made_when_it_came(void **state)
{
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, TAGGED "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n", "x");
	pass_s(g, 100);
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 304, "ETag: \"1\"\r\n", -1, NULL), FLIGHT_REVALIDATED);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	assert_true(rig_head_has(a.out.object, "Date: Tue, 14 Nov 2023 22:15:00 GMT\r\n"));
	ask_fini(&a);
}

static void a_304_confirms_to_nobody_what_was_purged_meanwhile(void **state)
{
	struct rig *g = *state;
	struct ask a;
	struct waiter w;
	uint64_t seq;

	rig_store(g, "GET /a", NULL, TAGGED, "x");
	pass_s(g, 100);
	ask_init(g, &a, "GET /a", NULL);
	a.r.no_join = true;
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	waiter_join(&w, &a, 0);
	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/a")}, &seq), 0);
	assert_int_equal(rig_answer(g, a.out.flight, 304, TAGGED, -1, NULL), FLIGHT_REVALIDATED);
	assert_int_equal(waiter_look(&w).phase, FLIGHT_RETRY);
	flight_leave(&w.w);
	ask_fini(&a);
}

static void a_304_does_not_make_a_weak_tag_strong(void **state)
{
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, FRESH "ETag: W/\"1\"\r\n", "x");
	pass_s(g, 100);
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 304, TAGGED, -1, NULL), FLIGHT_REVALIDATED);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	assert_true(rig_head_has(a.out.object, "ETag: W/\"1\"\r\n"));
	ask_fini(&a);
}

/* ---- Tags of our own ---- */

static void a_tag_that_a_304_brings_is_the_origins(void **state)
{
	struct rig *g = *state;
	struct ask a;

	g->rules.etag = CACHE_ETAG_AUTO;
	rig_store(g, "GET /a", NULL, FRESH "Last-Modified: Tue, 14 Nov 2023 20:00:00 GMT\r\n", "x");
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_HIT);
	assert_true(object_etag_is_ours(a.out.object));
	pass_s(g, 100);
	for (unsigned i = 0; i < 2; i++) { /* a 304 without one leaves ours, one with it brings the origin's */
		assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
		assert_int_equal(rig_answer(g, a.out.flight, 304, i ? FRESH "ETag: \"o\"\r\n" : FRESH, -1, NULL),
			FLIGHT_REVALIDATED);
		assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
		assert_int_equal(object_etag_is_ours(a.out.object), i == 0);
		assert_int_equal(rig_head_has(a.out.object, "ETag: \"o\"\r\n"), i == 1);
		pass_s(g, 100);
	}
	ask_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_forced_refresh_asks_in_spite_of_a_failure_a_moment_ago),
		RIG_TEST(what_is_stored_is_validated_though_the_key_is_marked),
		RIG_TEST(what_is_stored_is_waited_for_though_the_key_is_marked),
		RIG_TEST(a_206_that_nobody_asked_for_marks_the_key_for_a_moment_only),
		RIG_TEST(what_is_no_response_about_the_resource_leaves_the_stored_one),
		RIG_TEST(a_forced_refresh_asks_though_the_upstream_is_to_be_spared),
		cmocka_unit_test(the_origins_second_503_is_remembered_as_a_503),
		RIG_TEST(what_one_who_is_logged_in_is_told_leaves_what_all_others_get),
		RIG_TEST(who_comes_after_a_newer_response_does_not_wait_for_an_older_one),
		RIG_TEST(a_304_confirms_to_nobody_what_was_purged_meanwhile),
		RIG_TEST(refreshing_ahead_counts_from_the_lifetime_that_was_left_on_arrival),
		RIG_TEST(what_bears_credentials_is_validated_in_the_background_once),
		RIG_TEST(only_a_get_is_answered_from_a_part),
		RIG_TEST(a_forced_refresh_asks_for_all_of_it),
		RIG_TEST(a_fill_asks_whatever_is_stored_but_joins),
		cmocka_unit_test(a_tail_that_ends_earlier_than_it_says_is_kept),
		RIG_TEST(a_part_serves_what_lies_within_it_while_it_is_fresh),
		RIG_TEST(an_older_fetch_lands_on_none_of_two_versions),
		RIG_TEST(who_comes_after_a_soft_purge_or_reloads_does_not_join),
		RIG_TEST(a_304_without_a_date_was_made_when_it_came),
		RIG_TEST(a_soft_purge_binds_only_those_who_come_after_it),
		cmocka_unit_test(the_cookie_of_a_response_is_for_whom_the_route_says),
		cmocka_unit_test(a_304_without_a_lifetime_leaves_no_cookie_behind),
		RIG_TEST(a_304_does_not_make_a_weak_tag_strong),
		RIG_TEST(a_tail_with_a_cookie_completes_what_is_stored),
		RIG_TEST(a_tag_that_a_304_brings_is_the_origins),
		RIG_TEST(a_range_leads_to_the_whole_and_others_join),
		RIG_TEST(a_range_that_no_whole_is_for_passes),
		RIG_TEST(what_is_too_large_is_not_fetched_for_ranges_alone),
		RIG_TEST(a_stored_part_says_whether_a_whole_is_for_it),
		RIG_TEST(a_part_beyond_max_object_is_not_stored),
		RIG_TEST(what_is_too_large_is_not_made_of_a_part_and_its_rest),
		RIG_TEST(of_a_stale_part_the_whole_is_fetched),
		RIG_TEST(a_range_leaves_what_outgrows_max_object),
	};
	return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
