/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "cache/flight_internal.h"

#define FRESH "Cache-Control: max-age=60\r\n"

static void a_response_is_stored_and_hit_until_it_is_stale(void **state)
{
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, FRESH "ETag: \"1\"\r\nAge: 3\r\nCache-Status: x\r\nVia: 1.0 up\r\n", "hello");
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_HIT);
	rig_body_is(a.out.object, "hello");
	assert_true(rig_head_has(a.out.object, "HTTP/1.1 200 OK\r\n"));
	assert_true(rig_head_has(a.out.object, "Content-Length: 5\r\n"));
	assert_true(rig_head_has(a.out.object, "Via: 1.0 up, 1.1 memoproxy\r\n"));
	assert_true(rig_head_has(a.out.object, "Date: "));
	assert_false(rig_head_has(a.out.object, "Age:"));
	assert_true(rig_head_has(a.out.object, "Cache-Status: x\r\n"));
	assert_int_equal(object_body_length(a.out.object), 5);
	assert_true(slice_equal(object_url(a.out.object), SLICE_LIT("http://o/a")));
	g->now.mono_ms += 58000;
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_int_equal(a.out.forward, CACHE_FWD_STALE);
	assert_non_null(flight_stored(a.out.flight));
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

static void the_full_key_decides_and_not_its_hash(void **state)
{
	struct rig *g = *state;
	struct ask a, b;

	rig_store(g, "GET /a", NULL, FRESH, "A");
	ask_init(g, &a, "GET /a", NULL);
	ask_init(g, &b, "GET /b", NULL);
	b.key.hash = a.key.hash;
	assert_int_equal(ask_lookup(g, &b), CACHE_LEAD);
	assert_int_equal(rig_answer(g, b.out.flight, 200, FRESH, 1, NULL), FLIGHT_STORES);
	flight_body(b.out.flight, "B", 1);
	flight_end(b.out.flight, true, g->now);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	rig_body_is(a.out.object, "A");
	assert_int_equal(ask_lookup(g, &b), CACHE_HIT);
	rig_body_is(b.out.object, "B");
	ask_fini(&a);
	ask_fini(&b);
}

static void variants_are_kept_apart_and_bounded(void **state)
{
	struct rig *g = *state;
	char fields[64], body[16];

	for (int i = 0; i < 6; i++) {
		snprintf(fields, sizeof(fields), "X-V: %d\r\n", i);
		snprintf(body, sizeof(body), "v%d", i);
		rig_store(g, "GET /a", fields, FRESH "Vary: X-V\r\n", body);
	}
	assert_int_equal(rig_stats(g).objects, 4);
	assert_int_equal(rig_verdict(g, "GET /a", "X-V: 1\r\n"), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
	for (int i = 2; i < 6; i++) {
		struct ask a;

		snprintf(fields, sizeof(fields), "X-V: %d\r\n", i);
		snprintf(body, sizeof(body), "v%d", i);
		assert_int_equal(ask_for(g, &a, "GET /a", fields), CACHE_HIT);
		rig_body_is(a.out.object, body);
		ask_fini(&a);
	}
}

static void head_and_range_are_answered_from_a_stored_get(void **state)
{
	struct rig *g = *state;
	struct ask a;

	assert_int_equal(ask_for(g, &a, "HEAD /a", NULL), CACHE_LEAD);
	assert_int_equal(a.out.forward, CACHE_FWD_URI_MISS);
	assert_int_equal(rig_verdict(g, "HEAD /a", NULL), CACHE_JOIN);
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH, 1000000, NULL), FLIGHT_REVALIDATED);
	rig_store(g, "GET /a", NULL, FRESH, "hello");
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	ask_fini(&a);
	assert_int_equal(rig_verdict(g, "GET /a", "Range: bytes=0-1\r\n"), CACHE_HIT);
	assert_int_equal(rig_verdict(g, "GET /b", "Range: bytes=0-1\r\n"), CACHE_PASS);
	assert_int_equal(rig_stats(g).flights, 0);
}

static void head_joins_a_get_whether_its_response_has_begun_or_not(void **state)
{
	struct rig *g = *state;
	struct ask a;

	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "HEAD /a", NULL), CACHE_JOIN);
	rig_answer(g, a.out.flight, 200, FRESH, 5, NULL);
	assert_int_equal(rig_verdict(g, "HEAD /a", NULL), CACHE_JOIN);
	flight_end(a.out.flight, false, g->now);
	ask_fini(&a);
}

static void what_the_route_or_the_method_forbids_passes(void **state)
{
	struct rig *g = *state;
	struct ask a;

	assert_int_equal(ask_for(g, &a, "PUT /a", "Content-Length: 0\r\n"), CACHE_PASS);
	assert_int_equal(a.out.forward, CACHE_FWD_METHOD);
	ask_fini(&a);
	assert_int_equal(rig_verdict(g, "POST /a", "Content-Length: 0\r\n"), CACHE_PASS);
	assert_int_equal(rig_verdict(g, "GET /a", "Content-Length: 3\r\n"), CACHE_PASS);
	g->rules.methods |= 1U << HTTP_POST;
	assert_int_equal(rig_verdict(g, "POST /a", "Content-Length: 0\r\n"), CACHE_LEAD);
	g->rules.cache = false;
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_PASS);
	assert_int_equal(a.out.forward, CACHE_FWD_BYPASS);
	ask_fini(&a);
}

static void only_if_cached_never_asks_the_origin(void **state)
{
	struct rig *g = *state;

	g->rules.client_refresh = false;
	assert_int_equal(rig_verdict(g, "GET /a", "Cache-Control: only-if-cached\r\n"), CACHE_ONLY_CACHED);
	rig_store(g, "GET /a", NULL, FRESH, "x");
	assert_int_equal(rig_verdict(g, "GET /a", "Cache-Control: only-if-cached\r\n"), CACHE_HIT);
	g->now.mono_ms += 61000;
	assert_int_equal(rig_verdict(g, "GET /a", "Cache-Control: only-if-cached\r\n"), CACHE_ONLY_CACHED);
}

static void no_cache_of_a_client_counts_only_where_the_route_lets_it(void **state)
{
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, FRESH "ETag: \"1\"\r\n", "x");
	assert_int_equal(ask_for(g, &a, "GET /a", "Cache-Control: no-cache\r\n"), CACHE_LEAD);
	assert_int_equal(a.out.forward, CACHE_FWD_REQUEST);
	assert_non_null(flight_stored(a.out.flight));
	flight_abandon(a.out.flight);
	g->rules.client_refresh = false;
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	ask_fini(&a);
}

static void the_fast_path_gets_hits_and_changes_nothing_else(void **state)
{
	struct rig *g = *state;
	struct ask a;

	ask_init(g, &a, "GET /a", NULL);
	a.r.hit_only = true;
	assert_int_equal(ask_lookup(g, &a), CACHE_PASS);
	assert_int_equal(rig_stats(g).flights, 0);
	assert_int_equal(rig_stats(g).bytes, 0);
	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=60, stale-while-revalidate=60\r\n", "x");
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	g->now.mono_ms += 61000;
	assert_int_equal(ask_lookup(g, &a), CACHE_PASS);
	assert_int_equal(rig_stats(g).flights, 0);
	ask_fini(&a);
}

static void one_background_fetch_runs_while_stale_is_served(void **state)
{
	struct rig *g = *state;
	struct ask a, b;

	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=10, stale-while-revalidate=60\r\n", "old");
	g->now.mono_ms += 20000;
	ask_init(g, &a, "GET /a", NULL);
	ask_init(g, &b, "GET /a", NULL);
	assert_int_equal(ask_lookup(g, &a), CACHE_STALE);
	assert_non_null(a.out.flight);
	assert_int_equal(a.out.flight->kind, FLIGHT_BACKGROUND);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask_lookup(g, &b), CACHE_STALE);
		assert_null(b.out.flight);
	}
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH, 3, NULL), FLIGHT_STORES);
	flight_body(a.out.flight, "new", 3);
	flight_end(a.out.flight, true, g->now);
	assert_int_equal(ask_lookup(g, &b), CACHE_HIT);
	rig_body_is(b.out.object, "new");
	ask_fini(&a);
	ask_fini(&b);
}

static void a_304_renews_the_head_and_keeps_the_body(void **state)
{
	static char body[40000];
	struct rig *g = *state;
	struct ask a;

	memset(body, 'b', sizeof(body) - 1);
	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=10\r\nETag: \"1\"\r\nX-Old: 1\r\nX-Both: old\r\n", body);
	g->now.mono_ms += 20000;
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(
		rig_answer(g, a.out.flight, 304,
			FRESH "ETag: \"1\"\r\nX-Both: new\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n", 0, NULL),
		FLIGHT_REVALIDATED);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	assert_true(rig_head_has(a.out.object, "X-Old: 1\r\n"));
	assert_true(rig_head_has(a.out.object, "X-Both: new\r\n"));
	assert_false(rig_head_has(a.out.object, "X-Both: old\r\n"));
	assert_false(rig_head_has(a.out.object, "Set-Cookie"));
	assert_true(rig_head_has(a.out.object, "Content-Length: 39999\r\n"));
	assert_true(rig_head_has(a.out.object, "Via: 1.1 memoproxy\r\n"));
	rig_body_is(a.out.object, body);
	assert_int_equal(rig_stats(g).revalidated, 1);
	assert_int_equal(rig_stats(g).objects, 1);
	ask_fini(&a);
}

/* Where the route stores cookies they are fields like any other. */
static void a_304_renews_cookies_where_the_route_stores_them(void **state)
{
	struct rig *g = *state;
	struct ask a;

	g->rules.set_cookie = CACHE_COOKIE_STORE;
	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=10\r\nETag: \"1\"\r\nSet-Cookie: old=1\r\n", "x");
	g->now.mono_ms += 20000;
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(
		rig_answer(g, a.out.flight, 304, "X-New: 1\r\nSet-Cookie: new=1\r\n", 0, NULL), FLIGHT_REVALIDATED);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	assert_true(rig_head_has(a.out.object, "X-New: 1\r\n"));
	assert_true(rig_head_has(a.out.object, "Set-Cookie: new=1\r\n"));
	assert_false(rig_head_has(a.out.object, "old=1"));
	ask_fini(&a);
}

static void a_304_about_something_else_makes_all_fetch_anew(void **state)
{
	struct rig *g = *state;
	struct ask a;
	struct waiter w;

	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=10\r\nETag: \"1\"\r\n", "x");
	g->now.mono_ms += 20000;
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	waiter_join(&w, &a, 0);
	rig_answer(g, a.out.flight, 304, FRESH "ETag: \"2\"\r\n", 0, NULL);
	assert_int_equal(waiter_look(&w).phase, FLIGHT_RETRY);
	flight_leave(&w.w);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_null(flight_stored(a.out.flight));
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

static void an_error_on_validation_lets_stale_stand_in(void **state)
{
	struct rig *g = *state;
	struct ask a;
	struct waiter w;

	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=10, stale-if-error=100\r\n", "x");
	g->now.mono_ms += 20000;
	ask_init(g, &a, "GET /a", NULL);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
		waiter_join(&w, &a, 0);
		if (round == 0)
			assert_int_equal(rig_answer(g, a.out.flight, 503, "", 0, NULL), FLIGHT_REVALIDATED);
		else
			flight_fail(a.out.flight, 504, g->now);
		assert_int_equal(waiter_look(&w).phase, FLIGHT_STALE);
		rig_body_is(waiter_look(&w).object, "x");
		flight_leave(&w.w);
		/* For a second nobody asks again. */
		assert_int_equal(ask_lookup(g, &a), CACHE_STALE);
		assert_null(a.out.flight);
		g->now.mono_ms += 1001;
	}
	ask_fini(&a);
}

static void a_failure_is_remembered_for_a_moment(void **state)
{
	struct rig *g = *state;
	struct ask a;

	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	flight_fail(a.out.flight, 504, g->now);
	assert_int_equal(ask_lookup(g, &a), CACHE_FAILED);
	assert_int_equal(a.out.status, 504);
	assert_int_equal(rig_verdict(g, "GET /b", NULL), CACHE_LEAD);
	g->now.mono_ms += 1001;
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	flight_abandon(a.out.flight);
	assert_int_equal(rig_stats(g).failures_remembered, 1);
	assert_int_equal(rig_stats(g).errors_without_body, 0);
	ask_fini(&a);
}

static void a_purge_is_seen_by_hits_and_soft_ones_leave_something_to_validate(void **state)
{
	struct rig *g = *state;
	struct ask a;
	uint64_t seq;

	rig_store(g, "GET /a", NULL, FRESH "ETag: \"1\"\r\nCache-Tag: news, x\r\n", "x");
	ask_init(g, &a, "GET /a", NULL);
	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("other")}, &seq), 0);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	assert_int_equal(cache_purge_soon(g->c,
				 &(struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("news"), .soft = true}, &seq),
		0);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_non_null(flight_stored(a.out.flight));
	rig_answer(g, a.out.flight, 304, FRESH "ETag: \"1\"\r\n", -1, NULL);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_PREFIX, .what = SLICE_LIT("http://o/")}, &seq), 0);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_null(flight_stored(a.out.flight));
	flight_abandon(a.out.flight);
	assert_int_equal(rig_stats(g).objects, 0);
	ask_fini(&a);
}

static void sweeping_frees_the_purged_and_the_useless_and_retires_rules(void **state)
{
	struct rig *g = *state;
	char target[32];
	uint64_t seq;
	unsigned gone = 0;

	for (int i = 0; i < 300; i++) {
		snprintf(target, sizeof(target), i % 3 ? "GET /a/%d" : "GET /b/%d", i);
		rig_store(g, target, NULL, FRESH, "x");
	}
	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_PREFIX, .what = SLICE_LIT("http://o/b/")}, &seq),
		0);
	for (int i = 0; i < 1000 && rig_stats(g).invalidation.rules > 0; i++)
		gone += cache_sweep(g->c, 20, g->now).gone;
	assert_int_equal(gone, 100);
	assert_int_equal(rig_stats(g).entries, 200);
	assert_int_equal(rig_stats(g).evicted_purged, 100);
	assert_int_equal(rig_stats(g).invalidation.rules, 0);
	assert_int_equal(rig_verdict(g, "GET /b/0", NULL), CACHE_LEAD);
	g->now.mono_ms += 120000;
	for (int i = 0; i < 100; i++)
		cache_sweep(g->c, 20, g->now);
	assert_int_equal(rig_stats(g).entries, 0);
	assert_int_equal(rig_stats(g).bytes, 0);
}

static void memory_is_bounded_to_the_byte_and_the_oldest_go_first(void **state)
{
	static char body[1025];
	struct rig *g = *state;
	char target[32];

	memset(body, 'b', 1024);
	g->o.memory_bytes = 300000;
	rig_restart(g);
	for (int i = 0; i < 1000; i++) {
		snprintf(target, sizeof(target), "GET /%d", i);
		rig_store(g, target, NULL, "Cache-Control: max-age=6000\r\n", body);
		assert_true(rig_stats(g).bytes <= 300000);
		g->now.mono_ms += 3;
		/* Used now and then, so it stays. */
		if (i == 0 || i % 20 == 0) {
			g->now.mono_ms += 2000;
			assert_int_equal(rig_verdict(g, "GET /0", NULL), CACHE_HIT);
		}
	}
	assert_true(rig_stats(g).bytes > 250000);
	assert_true(rig_stats(g).evicted_lru > 500);
	assert_int_equal(rig_verdict(g, "GET /999", NULL), CACHE_HIT);
	assert_int_equal(rig_verdict(g, "GET /1", NULL), CACHE_LEAD);
}

static void the_useless_go_before_the_old(void **state)
{
	static char body[1025];
	struct rig *g = *state;
	char target[32];
	int kept = 0;

	memset(body, 'b', 1024);
	g->o.memory_bytes = 300000;
	g->o.shards = 4;
	rig_restart(g);
	for (int i = 0; i < 100; i++) {
		snprintf(target, sizeof(target), "GET /old/%d", i);
		rig_store(g, target, NULL, "Cache-Control: max-age=1000\r\n", body);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(target, sizeof(target), "GET /short/%d", i);
		rig_store(g, target, NULL, "Cache-Control: max-age=1\r\n", body);
	}
	assert_int_equal(rig_stats(g).objects, 200);
	g->now.mono_ms += 5000;
	for (int i = 0; i < 90; i++) {
		snprintf(target, sizeof(target), "GET /new/%d", i);
		rig_store(g, target, NULL, FRESH, body);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(target, sizeof(target), "GET /old/%d", i);
		kept += rig_verdict(g, target, NULL) == CACHE_HIT;
	}
	assert_int_equal(kept, 100);
	assert_int_equal(rig_stats(g).evicted_lru, 0);
}

static void an_object_costs_little_beyond_its_bytes(void **state)
{
	static char body[1025];
	struct rig *g = *state;
	struct ask a;
	uint64_t payload = 0, entries;
	char target[64];

	memset(body, 'b', 1024);
	g->o.memory_bytes = 64 << 20;
	rig_restart(g);
	g->c->memory.heap.small_max = HEAP_SMALL_MAX; /* under ASan too */
	for (int i = 0; i < 20000; i++) {
		snprintf(target, sizeof(target), "GET /api/v1/users/%d", i);
		rig_store(g, target, NULL, FRESH "Content-Type: application/json\r\n", body);
		assert_int_equal(ask_for(g, &a, target, NULL), CACHE_HIT);
		payload += a.key.bytes.n + object_head(a.out.object).n + 1024;
		ask_fini(&a);
	}
	entries = rig_stats(g).entries;
	assert_int_equal(entries, 20000);
	print_message(
		"overhead: %llu bytes an object\n", (unsigned long long)((rig_stats(g).bytes - payload) / entries));
	assert_true((rig_stats(g).bytes - payload) / entries <= 256);
}

static void a_head_response_updates_or_invalidates(void **state)
{
	struct rig *g = *state;
	struct ask a;
	struct http_fields f;

	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=10\r\nETag: \"1\"\r\n", "x");
	g->now.mono_ms += 11000;
	ask_init(g, &a, "HEAD /a", NULL);
	http_fields_init(&f);
	assert_int_equal(http_fields_add(&f, SLICE_LIT("ETag"), SLICE_LIT("\"1\"")), 0);
	assert_int_equal(http_fields_add(&f, SLICE_LIT("Cache-Control"), SLICE_LIT("max-age=10")), 0);
	cache_saw_head(g->c, &a.r, rig_asked(g), 200, &f, g->now, g->now);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	f.v[0].value = SLICE_LIT("\"2\"");
	cache_saw_head(g->c, &a.r, rig_asked(g), 200, &f, g->now, g->now);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
	http_fields_fini(&f);
	ask_fini(&a);
}

/* Time on the way counts as age (RFC 9111 4.2.3). */
static void a_head_response_is_as_old_as_its_request(void **state)
{
	struct rig *g = *state;
	struct ask a;
	struct http_fields f;
	struct now asked_at;

	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=10\r\nETag: \"1\"\r\n", "x");
	ask_init(g, &a, "HEAD /a", NULL);
	http_fields_init(&f);
	assert_int_equal(http_fields_add(&f, SLICE_LIT("Cache-Control"), SLICE_LIT("max-age=10")), 0);
	asked_at = g->now;
	g->now.mono_ms += 8000;
	g->now.wall_ms += 8000;
	cache_saw_head(g->c, &a.r, rig_asked(g), 200, &f, asked_at, g->now);
	g->now.mono_ms += 1000;
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	g->now.mono_ms += 2000;
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
	http_fields_fini(&f);
	ask_fini(&a);
}

static void note_entry(const struct cache_entry_info *info, void *arg)
{
	unsigned *n = arg;

	assert_int_equal(info->status, 200);
	assert_int_equal(info->body_bytes, 1);
	assert_true(info->ttl_ms > 0 && info->total_bytes > 1);
	(*n)++;
}

static void entries_are_listed_by_prefix_and_peeked_at(void **state)
{
	struct rig *g = *state;
	struct ask a;
	struct cache_sight sight;
	char target[32];
	unsigned shown = 0;
	struct cache_listing l = {.prefix = SLICE_LIT("http://o/a/"), .limit = 1000, .each = note_entry, .arg = &shown};

	for (int i = 0; i < 300; i++) {
		snprintf(target, sizeof(target), "GET /%c/%d", "ab"[i % 2], i);
		rig_store(g, target, NULL, FRESH, "x");
	}
	l.now = g->now;
	cache_list(g->c, &l, UINT_MAX);
	assert_int_equal(l.told, 150);
	assert_int_equal(shown, 150);
	assert_int_equal(l.cursor.shard, TIER_CURSOR_END);
	shown = 0;
	ask_init(g, &a, "GET /a/0", NULL);
	cache_see(g->c, &a.r, g->now, &sight, note_entry, &shown);
	assert_true(sight.is_answer);
	assert_int_equal(sight.reuse.use, POLICY_FRESH);
	assert_int_equal(shown, 1);
	ask_fini(&a);
	ask_init(g, &a, "GET /none", NULL);
	cache_see(g->c, &a.r, g->now, &sight, note_entry, &shown);
	assert_false(sight.is_stored || sight.is_answer);
	assert_int_equal(shown, 1);
	ask_fini(&a);
}

static void purges_are_counted_before_they_are_made_and_change_nothing(void **state)
{
	struct rig *g = *state;
	const struct purge v[] = {
		{.kind = PURGE_TAG, .what = SLICE_LIT("one")},
		{.kind = PURGE_PREFIX, .what = SLICE_LIT("http://o/a/2")},
		{.kind = PURGE_URL, .what = SLICE_LIT("http://o/none")},
	};
	struct cache_met met;
	uint64_t seq;
	struct ask a;

	rig_store(g, "GET /a/1", NULL, FRESH "Cache-Tag: one\r\n", "x");
	rig_store(g, "GET /a/2", NULL, FRESH "Cache-Tag: one\r\n", "x");
	rig_store(g, "GET /a/3", NULL, FRESH, "x");
	assert_int_equal(cache_count_met(g->c, v, 3, &met), 0);
	assert_true(met.is_all);
	assert_int_equal(met.met, 2);
	assert_int_equal(met.looked_at, 3);
	ask_init(g, &a, "GET /a/1", NULL);
	assert_int_equal(cache_count_key(g->c, &a.key, true), 1);
	assert_int_equal(rig_verdict(g, "GET /a/1", NULL), CACHE_HIT);
	assert_int_equal(cache_purge_soon(g->c,
				 &(struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("one"), .soft = true}, &seq),
		0);
	/* Softly they have been met, but not yet as hard. */
	assert_int_equal(cache_count_met(g->c, &(struct purge){.kind = PURGE_ALL, .soft = true}, 1, &met), 0);
	assert_int_equal(met.met, 1);
	assert_int_equal(cache_count_key(g->c, &a.key, true), 0);
	assert_int_equal(cache_count_key(g->c, &a.key, false), 1);
	ask_fini(&a);
	mem_fail_at(1, true);
	assert_int_equal(cache_count_met(g->c, v, 3, &met), -ENOMEM);
	mem_fail_at(0, false);
}

/* ---- Listing in parts ---- */

#define LISTED 2000

struct told {
	unsigned times[LISTED], all;
};

static void note_number(const struct cache_entry_info *info, void *arg)
{
	struct told *t = arg;
	unsigned i = (unsigned)strtoul(info->url.p + strlen("http://o/"), NULL, 10);

	assert_true(i < LISTED);
	t->times[i]++;
	t->all++;
}

static void store_numbers(struct rig *g, unsigned from, unsigned to)
{
	char target[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(target, sizeof(target), "GET /%u", i);
		rig_store(g, target, NULL, FRESH, "x");
	}
}

static void a_listing_looks_no_further_than_its_limit(void **state)
{
	struct rig *g = *state;
	struct told t = {.all = 0};
	struct cache_listing l = {.prefix = SLICE_LIT("http://o/"), .limit = 7, .each = note_number, .arg = &t};

	store_numbers(g, 0, LISTED);
	l.now = g->now;
	cache_list(g->c, &l, UINT_MAX);
	assert_int_equal(l.told, 7);
	assert_int_equal(t.all, 7);
	/* Of 2000. Chains that are empty are looked at too. */
	assert_in_range(l.looked, 7, 100);
	/* A prefix that nothing has: the steps bound it. */
	l.prefix = SLICE_LIT("http://nobody/");
	cache_list(g->c, &l, 50);
	assert_int_equal(l.told, 0);
	assert_in_range(l.looked, 1, 50);
}

/* Each once, the table growing by the factor four meanwhile. */
static void what_stays_is_listed_once_in_parts_of_any_size(void **state)
{
	static const unsigned limits[] = {1, 3, 64, 100};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(limits); k++) {
		struct rig g;
		struct told t = {.all = 0};
		struct cache_listing l = {
			.prefix = SLICE_LIT("http://o/"), .limit = limits[k], .each = note_number, .arg = &t};
		unsigned stored = LISTED / 4;

		rig_begin(&g);
		store_numbers(&g, 0, stored);
		l.now = g.now;
		while (l.cursor.shard < TIER_CURSOR_END) {
			cache_list(g.c, &l, 40);
			assert_true(l.told <= limits[k] && l.looked <= 40);
			if (stored < LISTED)
				store_numbers(&g, stored, stored + 50);
			stored += stored < LISTED ? 50 : 0;
		}
		for (unsigned i = 0; i < LISTED / 4; i++)
			assert_int_equal(t.times[i], 1);
		for (unsigned i = LISTED / 4; i < LISTED; i++)
			assert_true(t.times[i] <= 1);
		rig_end(&g);
	}
}

static void note_vary(const struct cache_entry_info *info, void *arg)
{
	assert_true(slice_equal(info->vary_names, SLICE_LIT("x")));
	++*(unsigned *)arg;
}

/* What one key has may be more than a part takes; what is stored between two parts comes before those that are left. */
static void the_variants_of_a_key_are_listed_in_parts(void **state)
{
	struct rig *g = *state;
	unsigned shown = 0;
	char field[32];
	struct cache_listing l = {.prefix = SLICE_LIT("http://o/"), .limit = 2, .each = note_vary, .arg = &shown};

	g->o.max_variants = 100;
	rig_restart(g);
	for (int i = 0; i < 80; i++) {
		snprintf(field, sizeof(field), "X: %d\r\n", i);
		rig_store(g, "GET /a", field, FRESH "Vary: x\r\n", "x");
	}
	l.now = g->now;
	cache_list(g->c, &l, UINT_MAX);
	assert_int_equal(shown, 2);
	rig_store(g, "GET /a", "X: another\r\n", FRESH "Vary: x\r\n", "x");
	for (unsigned parts = 1; l.cursor.shard < TIER_CURSOR_END; parts++) {
		cache_list(g->c, &l, UINT_MAX);
		assert_true(l.told <= 2 && parts <= 41);
	}
	assert_int_equal(shown, 80);
}

static void all_variants_of_a_key_are_peeked_at(void **state)
{
	struct rig *g = *state;
	struct ask a;
	struct cache_sight sight;
	unsigned shown = 0;
	char field[32];

	g->o.max_variants = 200;
	rig_restart(g);
	for (int i = 0; i < 150; i++) {
		snprintf(field, sizeof(field), "X: %d\r\n", i);
		rig_store(g, "GET /a", field, FRESH "Vary: x\r\n", "x");
	}
	ask_init(g, &a, "GET /a", NULL);
	cache_see(g->c, &a.r, g->now, &sight, note_vary, &shown);
	assert_true(sight.is_stored);
	assert_false(sight.is_answer);
	assert_int_equal(shown, 150);
	ask_fini(&a);
}

static void markers_are_bounded(void **state)
{
	struct rig *g = *state;
	char target[32];

	for (int i = 0; i < 500; i++) {
		struct ask a;

		snprintf(target, sizeof(target), "GET /%d", i);
		assert_int_equal(ask_for(g, &a, target, NULL), CACHE_LEAD);
		assert_int_equal(
			rig_answer(g, a.out.flight, 200, "Cache-Control: no-store\r\n", 1, NULL), FLIGHT_PRIVATE);
		ask_fini(&a);
	}
	assert_true(rig_stats(g).markers <= 64);
	assert_true(rig_stats(g).markers_evicted >= 436);
	assert_int_equal(rig_stats(g).entries, rig_stats(g).markers);
	assert_int_equal(rig_verdict(g, "GET /499", NULL), CACHE_PASS);
	g->now.mono_ms += 200000;
	for (int i = 0; i < 100; i++)
		cache_sweep(g->c, 100, g->now);
	assert_int_equal(rig_stats(g).entries, 0);
}

static void a_refresh_leads_though_the_stored_response_is_fresh(void **state)
{
	struct rig *g = *state;
	struct ask a;

	rig_store(g, "GET /a", NULL, FRESH, "old");
	ask_init(g, &a, "GET /a", NULL);
	cache_refresh(g->c, &a.r, g->now, &a.out);
	assert_int_equal(a.out.verdict, CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_HIT);
	rig_answer(g, a.out.flight, 200, FRESH, 3, NULL);
	flight_body(a.out.flight, "new", 3);
	flight_end(a.out.flight, true, g->now);
	assert_int_equal(ask_lookup(g, &a), CACHE_HIT);
	rig_body_is(a.out.object, "new");
	ask_fini(&a);
}

static void a_purge_is_not_forgotten_while_somebody_who_may_keep_the_response_asks(void **state)
{
	struct rig *g = *state;
	struct cache_hold early, late;
	uint64_t seq;

	cache_hold_begin(g->c, &early);
	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/x")}, &seq), 0);
	cache_hold_begin(g->c, &late);
	for (int i = 0; i < 1000; i++)
		cache_sweep(g->c, 20, g->now);
	assert_true(cache_was_purged(g->c, SLICE_LIT("http://o/x"), early.asked.sequence));
	assert_false(cache_was_purged(g->c, SLICE_LIT("http://o/x"), late.asked.sequence));
	cache_hold_end(g->c, &early);
	for (int i = 0; i < 1000; i++)
		cache_sweep(g->c, 20, g->now);
	assert_int_equal(rig_stats(g).invalidation.rules, 0);
	cache_hold_end(g->c, &late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_response_is_stored_and_hit_until_it_is_stale),
		RIG_TEST(a_purge_is_not_forgotten_while_somebody_who_may_keep_the_response_asks),
		RIG_TEST(the_full_key_decides_and_not_its_hash),
		RIG_TEST(variants_are_kept_apart_and_bounded),
		RIG_TEST(head_and_range_are_answered_from_a_stored_get),
		RIG_TEST(head_joins_a_get_whether_its_response_has_begun_or_not),
		RIG_TEST(what_the_route_or_the_method_forbids_passes),
		RIG_TEST(only_if_cached_never_asks_the_origin),
		RIG_TEST(no_cache_of_a_client_counts_only_where_the_route_lets_it),
		RIG_TEST(the_fast_path_gets_hits_and_changes_nothing_else),
		RIG_TEST(one_background_fetch_runs_while_stale_is_served),
		RIG_TEST(a_304_renews_the_head_and_keeps_the_body),
		RIG_TEST(a_304_renews_cookies_where_the_route_stores_them),
		RIG_TEST(a_304_about_something_else_makes_all_fetch_anew),
		RIG_TEST(an_error_on_validation_lets_stale_stand_in),
		RIG_TEST(a_failure_is_remembered_for_a_moment),
		RIG_TEST(a_purge_is_seen_by_hits_and_soft_ones_leave_something_to_validate),
		RIG_TEST(sweeping_frees_the_purged_and_the_useless_and_retires_rules),
		RIG_TEST(memory_is_bounded_to_the_byte_and_the_oldest_go_first),
		RIG_TEST(the_useless_go_before_the_old),
		RIG_TEST(an_object_costs_little_beyond_its_bytes),
		RIG_TEST(a_head_response_updates_or_invalidates),
		RIG_TEST(a_head_response_is_as_old_as_its_request),
		RIG_TEST(entries_are_listed_by_prefix_and_peeked_at),
		RIG_TEST(purges_are_counted_before_they_are_made_and_change_nothing),
		RIG_TEST(a_listing_looks_no_further_than_its_limit),
		cmocka_unit_test(what_stays_is_listed_once_in_parts_of_any_size),
		RIG_TEST(the_variants_of_a_key_are_listed_in_parts),
		RIG_TEST(all_variants_of_a_key_are_peeked_at),
		RIG_TEST(markers_are_bounded),
		RIG_TEST(a_refresh_leads_though_the_stored_response_is_fresh),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
