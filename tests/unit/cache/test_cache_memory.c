/* SPDX-License-Identifier: MIT */
/* Out of memory at every single allocation, and bodies when the budget is small. */
#include "rig.h"

#include <string.h>

#include "base/mem.h"

#define FRESH "Cache-Control: max-age=60\r\n"

/* ---- A script in which any allocation may fail ---- */

enum { ASK_GET, ASK_GET_2, ASK_VARIANT, ASK_OTHER, ASK_HEAD, ASKS };

struct script {
	struct rig g;
	struct ask a[ASKS];
	struct http_fields first, varied, not_modified;
	char body[30000];
};

static void list(struct http_fields *f, const char *const *pairs)
{
	http_fields_init(f);
	for (; pairs[0]; pairs += 2)
		assert_int_equal(http_fields_add(f, slice_of(pairs[0]), slice_of(pairs[1])), 0);
}

static void script_begin(struct script *s)
{
	static const char *const first[] = {
		"Cache-Control", "max-age=10, stale-if-error=100", "ETag", "\"1\"", "Cache-Tag", "t", NULL};
	static const char *const varied[] = {"Cache-Control", "max-age=10", "Vary", "X-V", NULL};
	static const char *const not_modified[] = {"Cache-Control", "max-age=20", "ETag", "\"1\"", NULL};

	rig_begin(&s->g);
	memset(s->body, 'b', sizeof(s->body));
	ask_init(&s->g, &s->a[ASK_GET], "GET /a", NULL);
	ask_init(&s->g, &s->a[ASK_GET_2], "GET /a", NULL);
	ask_init(&s->g, &s->a[ASK_VARIANT], "GET /v", "X-V: 1\r\n");
	ask_init(&s->g, &s->a[ASK_OTHER], "GET /b", NULL);
	ask_init(&s->g, &s->a[ASK_HEAD], "HEAD /a", NULL);
	list(&s->first, first);
	list(&s->varied, varied);
	list(&s->not_modified, not_modified);
}

static void script_end(struct script *s)
{
	for (int i = 0; i < ASKS; i++)
		ask_fini(&s->a[i]);
	http_fields_fini(&s->first);
	http_fields_fini(&s->varied);
	http_fields_fini(&s->not_modified);
	rig_end(&s->g);
}

static bool leads(struct script *s, int i)
{
	enum cache_verdict v = ask_lookup(&s->g, &s->a[i]);

	return v == CACHE_LEAD || (v == CACHE_STALE && s->a[i].out.flight);
}

static void answer(struct script *s, int i, int status, struct http_fields *fields, int64_t length)
{
	struct flight_response a = {
		.status = status, .content_length = length, .request_time = s->g.now, .now = s->g.now};
	struct http_fields copy;
	enum policy_store why;

	/* The call may change the list: it gets a copy, where there is memory for one. */
	http_fields_init(&copy);
	for (uint32_t i2 = 0; i2 < fields->n; i2++)
		if (http_fields_add(&copy, fields->v[i2].name, fields->v[i2].value) != 0)
			break;
	a.fields = &copy;
	if (flight_response(s->a[i].out.flight, &a, &why) == FLIGHT_STORES) {
		for (size_t at = 0; at < sizeof(s->body); at += 6000)
			if (flight_body(s->a[i].out.flight, s->body + at, 6000) == FLIGHT_BODY_NOBODY)
				break;
		flight_end(s->a[i].out.flight, true, s->g.now);
	}
	http_fields_fini(&copy);
}

static void ignore_entry(const struct cache_entry_info *info, void *arg)
{
	(void)info;
	(void)arg;
}

static void play(struct script *s)
{
	struct waiter w;
	uint64_t seq;

	for (int round = 0; round < 3; round++) {
		if (leads(s, ASK_GET)) {
			bool joined = ask_lookup(&s->g, &s->a[ASK_GET_2]) == CACHE_JOIN;

			if (!joined && s->a[ASK_GET_2].out.flight)
				flight_abandon(s->a[ASK_GET_2].out.flight);
			if (joined)
				waiter_join(&w, &s->a[ASK_GET_2], 1);
			answer(s, ASK_GET, round == 1 ? 304 : 200, round == 1 ? &s->not_modified : &s->first,
				round == 2 ? (int64_t)sizeof(s->body) : -1);
			if (joined) {
				(void)waiter_look(&w);
				flight_leave(&w.w);
			}
		}
		rig_deliver(&s->g);
		if (leads(s, ASK_GET))
			flight_abandon(s->a[ASK_GET].out.flight);
		if (leads(s, ASK_VARIANT))
			answer(s, ASK_VARIANT, 200, &s->varied, -1);
		if (leads(s, ASK_OTHER))
			flight_fail(s->a[ASK_OTHER].out.flight, 502, s->g.now);
		cache_list(s->g.c,
			&(struct cache_listing){
				.prefix = SLICE_LIT("http://o/"), .limit = 10, .now = s->g.now, .each = ignore_entry},
			UINT_MAX);
		cache_saw_head(s->g.c, &s->a[ASK_HEAD].r, rig_asked(&s->g), 200, &s->not_modified, s->g.now, s->g.now);
		s->g.now.mono_ms += 15000;
	}
	assert_int_equal(cache_purge_soon(s->g.c, &(struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("t")}, &seq), 0);
	object_unref(&s->a[ASK_GET].out.object);
	flight_unref(&s->a[ASK_GET].out.flight);
	cache_refresh(s->g.c, &s->a[ASK_GET].r, s->g.now, &s->a[ASK_GET].out);
	if (s->a[ASK_GET].out.verdict == CACHE_LEAD)
		flight_abandon(s->a[ASK_GET].out.flight);
	s->g.now.mono_ms += 10000000;
	for (int i = 0; i < 20; i++)
		cache_sweep(s->g.c, 100, s->g.now);
}

static void no_allocation_that_fails_crashes_or_leaks(void **state)
{
	static struct script s;
	unsigned long all, before;

	(void)state;
	for (int sticky = 0; sticky < 2; sticky++) {
		script_begin(&s);
		before = mem_alloc_count();
		play(&s);
		all = mem_alloc_count() - before;
		script_end(&s);
		assert_true(all > 50);
		for (unsigned long n = 1; n <= all; n++) {
			script_begin(&s);
			mem_fail_at(n, sticky);
			play(&s);
			mem_fail_at(0, 0);
			for (int i = 0; i < ASKS; i++)
				object_unref(&s.a[i].out.object);
			for (int i = 0; i < ASKS; i++)
				flight_unref(&s.a[i].out.flight);
			rig_deliver(&s.g);
			for (int i = 0; i < 20; i++)
				cache_sweep(s.g.c, 1000, s.g.now);
			assert_int_equal(rig_stats(&s.g).flights, 0);
			assert_int_equal(rig_stats(&s.g).bytes, 0);
			script_end(&s);
		}
		print_message("%lu allocations, %s\n", all, sticky ? "all failing from there on" : "one failing");
	}
}

/* ---- A small budget ---- */

static void what_does_not_fit_is_passed_through_and_counted(void **state)
{
	static char body[60001];
	struct rig *g = *state;
	struct ask a;
	struct waiter w;
	enum policy_store why;

	memset(body, 'b', sizeof(body) - 1);
	g->o.memory_bytes = 50000;
	rig_restart(g);
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH, 60000, &why), FLIGHT_PRIVATE);
	assert_int_equal(why, POLICY_NOT_NO_ROOM);
	assert_int_equal(rig_stats(g).refused_memory, 1);
	/* No marker: there may be room the next time. Of unknown length it goes through a window. */
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	waiter_join(&w, &a, 0);
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH, -1, NULL), FLIGHT_STORES);
	for (int i = 0; i < 6; i++)
		assert_int_equal(flight_body(a.out.flight, body, 10000), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, g->now);
	rig_body_is(waiter_look(&w).object, body);
	flight_leave(&w.w);
	assert_int_equal(rig_stats(g).objects, 0);
	assert_int_equal(rig_stats(g).refused_memory, 2);
	ask_fini(&a);
}

static void who_could_lead_but_for_room_passes_and_is_counted(void **state)
{
	enum cache_verdict verdict;
	struct rig *g = *state;
	struct ask a;

	ask_init(g, &a, "GET /a", NULL);
	mem_fail_at(1, 1);
	verdict = ask_lookup(g, &a);
	mem_fail_at(0, 0);
	assert_int_equal(verdict, CACHE_PASS);
	ask_fini(&a);
	assert_int_equal(rig_stats(g).refused_memory, 1);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_stats(g).refused_memory, 1);
}

static void a_hot_shard_may_use_what_the_others_do_not(void **state)
{
	static char body[1025];
	struct rig *g = *state;
	char target[32];

	memset(body, 'b', 1024);
	g->o.shards = 16;
	g->o.memory_bytes = 400000;
	rig_restart(g);
	/* All keys in one shard, by force. */
	for (int i = 0; i < 250; i++) {
		struct ask a;

		snprintf(target, sizeof(target), "GET /%d", i);
		ask_init(g, &a, target, NULL);
		a.key.hash.hi = 0;
		assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
		rig_answer(g, a.out.flight, 200, FRESH, 1024, NULL);
		flight_body(a.out.flight, body, 1024);
		flight_end(a.out.flight, true, g->now);
		ask_fini(&a);
	}
	assert_int_equal(rig_stats(g).objects, 250);
	/* And another one takes from it when it needs room. */
	for (int i = 0; i < 250; i++) {
		snprintf(target, sizeof(target), "GET /x/%d", i);
		rig_store(g, target, NULL, FRESH, body);
		assert_true(rig_stats(g).bytes <= 400000);
	}
	assert_true(rig_stats(g).evicted_lru >= 200);
}

static void an_evicted_object_counts_until_its_last_reader_has_gone(void **state)
{
	struct rig *g = *state;
	struct ask a;
	uint64_t seq;

	rig_store(g, "GET /a", NULL, FRESH, "hello");
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_HIT);
	assert_int_equal(cache_purge_soon(g->c, &(struct purge){.kind = PURGE_ALL}, &seq), 0);
	for (int i = 0; i < 10; i++)
		cache_sweep(g->c, 100, g->now);
	assert_int_equal(rig_stats(g).objects, 0);
	assert_true(rig_stats(g).bytes > 0);
	rig_body_is(a.out.object, "hello");
	object_unref(&a.out.object);
	assert_int_equal(rig_stats(g).bytes, 0);
	ask_fini(&a);
}

static void shards_do_not_grow_with_memory(void **state)
{
	(void)state;
	assert_int_equal(cache_shards(1 << 20), 1);
	for (uint64_t bytes = 16ull << 20; bytes < 32ull << 30; bytes += bytes / 3) {
		uint64_t each = bytes / cache_shards(bytes);

		assert_in_range(each, 16ull << 20, (32ull << 20) - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_allocation_that_fails_crashes_or_leaks),
		cmocka_unit_test(shards_do_not_grow_with_memory),
		RIG_TEST(what_does_not_fit_is_passed_through_and_counted),
		RIG_TEST(who_could_lead_but_for_room_passes_and_is_counted),
		RIG_TEST(a_hot_shard_may_use_what_the_others_do_not),
		RIG_TEST(an_evicted_object_counts_until_its_last_reader_has_gone),
	};

	return cmocka_run_group_tests_name("cache memory", tests, NULL, NULL);
}
