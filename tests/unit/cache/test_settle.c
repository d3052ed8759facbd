/* SPDX-License-Identifier: MIT */
/* After much has gone, memory goes back: free pages, and regions of which little is left. What is moved stays what it was. */
#include "rig.h"

#include <string.h>

#include "base/mem.h"
#include "cache/cache_internal.h"
#include "cache/memory/move.h"

#define KEYS 6000
#define KEEP 20 /* one of so many stays */
#define MARK 500
#define STEPS 64
#define FRESH "Cache-Control: max-age=60\r\n"

static char bodies[3][40001]; /* inline, and in blocks of their own */
static char many[1501];       /* no whole page is free where some are gone */

static void begin_with(struct rig *g, uint64_t memory_bytes, unsigned shards)
{
	rig_options(g);
	g->o.memory_bytes = memory_bytes;
	g->o.shards = shards;
	rig_start(g);
	g->c->memory.slack_bytes = 0;
	g->c->memory.heap.small_max = HEAP_SMALL_MAX; /* under ASan too */
	for (unsigned i = 0; i < ARRAY_LEN(bodies); i++)
		memset(bodies[i], 'a' + (int)i, i == 0 ? 600 : i == 1 ? 5000 : 40000);
	memset(many, 'm', sizeof(many) - 1);
}

static void begin(struct rig *g)
{
	begin_with(g, 256 << 20, 4);
}

static const char *body_of(unsigned i)
{
	return bodies[i % 200 < 3 ? i % 200 : 0];
}

static void target_of(unsigned i, char text[48])
{
	snprintf(text, 48, "GET /%s/%u", i % KEEP ? "gone" : "kept", i);
}

static void store(struct rig *g, unsigned i)
{
	char target[48];

	target_of(i, target);
	if (i % 300)
		rig_store(g, target, NULL, FRESH "ETag: \"1\"\r\n", body_of(i));
	else {
		rig_store(g, target, "Accept: x\r\n", FRESH "Vary: Accept\r\n", "variant x");
		rig_store(g, target, "Accept: y\r\n", FRESH "Vary: Accept\r\n", "variant y");
	}
}

/* Of twenty so many go, and then so many more, from wherever they lie. */
struct going {
	unsigned first, then;
};

static void store_of_many(struct rig *g, const struct going *of_twenty, unsigned i)
{
	unsigned k = i % 20;
	const char *folder = k < of_twenty->first ? "gone" : k < of_twenty->first + of_twenty->then ? "then" : "many";
	char target[48];

	snprintf(target, sizeof(target), "GET /%s/%u", folder, i);
	rig_store(g, target, NULL, FRESH "ETag: \"1\"\r\n", many);
}

/* A key whose responses, or those of one variant, are known not to be for sharing. */
static void mark(struct rig *g, unsigned i)
{
	char target[48];
	struct ask a;

	snprintf(target, sizeof(target), "GET /pass/%u", i);
	assert_int_equal(ask_for(g, &a, target, NULL), CACHE_LEAD);
	assert_int_equal(
		rig_answer(g, a.out.flight, 200,
			i % (2 * MARK) ? "Cache-Control: no-store\r\n" : "Cache-Control: no-store\r\nVary: X\r\n", 1,
			NULL),
		FLIGHT_PRIVATE);
	ask_fini(&a);
}

static void purge(struct rig *g, const char *prefix)
{
	uint64_t seq;

	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_PREFIX, .what = slice_of(prefix)}, &seq), 0);
}

static void purge_most(struct rig *g)
{
	purge(g, "http://o/gone/");
}

/* Until there is nothing more to do; each turn takes a bounded part of it. */
static unsigned settle(struct rig *g)
{
	struct cache_swept did;
	unsigned turns = 0;

	do {
		did = cache_sweep(g->c, STEPS, g->now);
		assert_in_range(did.looked, 0, 4 * STEPS);
		turns++;
		assert_in_range(turns, 0, 10000);
	} while (did.is_behind || !did.has_seen_all);
	return turns;
}

static void check_marked(struct rig *g)
{
	char target[48];

	for (unsigned i = 0; i < KEYS; i += MARK) {
		snprintf(target, sizeof(target), "GET /pass/%u", i);
		assert_int_equal(rig_verdict(g, target, NULL), CACHE_PASS);
	}
}

/* The bound on marks still finds what belongs to the oldest of them. */
static void check_bound_of_marks(struct rig *g)
{
	for (unsigned i = KEYS; i < KEYS + 300; i++)
		mark(g, i);
	assert_in_range(rig_stats(g).markers, 1, 64);
	assert_int_equal(rig_stats(g).entries, KEYS / KEEP + rig_stats(g).markers);
}

/* It is where it was, and whole. */
static void check_held(struct rig *g, struct ask *held)
{
	struct ask again;

	assert_int_equal(ask_for(g, &again, "GET /kept/20", NULL), CACHE_HIT);
	assert_ptr_equal(again.out.object, held->out.object);
	rig_body_is(held->out.object, body_of(20));
	ask_fini(&again);
	ask_fini(held);
}

static void check_kept(struct rig *g)
{
	char target[48];

	for (unsigned i = 0; i < KEYS; i += KEEP) {
		struct ask a;

		target_of(i, target);
		assert_int_equal(ask_for(g, &a, target, i % 300 ? NULL : "Accept: x\r\n"), CACHE_HIT);
		rig_body_is(a.out.object, i % 300 ? body_of(i) : "variant x");
		ask_fini(&a);
	}
}

static void what_is_left_of_much_takes_little_and_is_whole(void **state)
{
	struct rig g;
	struct ask held;
	const struct heap *h;
	uint64_t before;

	(void)state;
	begin(&g);
	h = &g.c->memory.heap;
	for (unsigned i = 0; i < KEYS; i++) {
		store(&g, i);
		if (i % MARK == 0)
			mark(&g, i);
	}
	ask_init(&g, &held, "GET /kept/20", NULL); /* which can't be moved meanwhile */
	assert_int_equal(ask_lookup(&g, &held), CACHE_HIT);
	before = heap_resident(h);
	purge_most(&g);
	for (unsigned round = 0; round < 4; round++)
		settle(&g);
	assert_int_equal(rig_stats(&g).evicted_purged, KEYS - KEYS / KEEP);
	assert_int_equal(g.c->memory.compacting, COMPACT_IDLE);
	assert_true(heap_resident(h) < before / 4);
	assert_in_range(rig_stats(&g).moved, 1,
		3 * KEYS / KEEP); /* each a few times at most, though nothing is left as slack */
	/* Each of the four shards has a pool, in which a region is in use; and there is the one that is held. */
	assert_in_range(heap_resident(h), h->used, h->used + h->used / 5 + 5 * HEAP_REGION);
	check_held(&g, &held);
	check_marked(&g);
	check_kept(&g);
	check_bound_of_marks(&g);
	/* All that links it links it still: by age, by use, by time. */
	g.now.mono_ms += 61000;
	for (unsigned i = 0; i < KEYS; i += KEEP)
		store(&g, i);
	check_kept(&g);
	g.now.mono_ms += 3900000;
	settle(&g);
	settle(&g);
	assert_int_equal(rig_stats(&g).objects, 0);
	assert_int_equal(rig_stats(&g).bytes, 0);
	rig_end(&g);
}

/* Nothing is taken from the budget for it beyond the bound, and where there is no memory it stays where it is. */
static void without_memory_nothing_is_moved_and_nothing_is_lost(void **state)
{
	struct rig g;

	(void)state;
	begin(&g);
	for (unsigned i = 0; i < KEYS; i++)
		store(&g, i);
	purge_most(&g);
	mem_fail_at(1, 1);
	for (unsigned round = 0; round < 4; round++)
		settle(&g);
	mem_fail_at(0, 0);
	assert_int_equal(rig_stats(&g).moved, 0);
	check_kept(&g);
	rig_end(&g);
}

/* A step of the sweeper; true: a round has ended. */
static bool step(struct rig *g, uint64_t *most)
{
	bool has_ended = cache_sweep(g->c, STEPS, g->now).has_seen_all;

	if (heap_resident(&g->c->memory.heap) > *most)
		*most = heap_resident(&g->c->memory.heap);
	return has_ended;
}

/* With as many stores meanwhile. What is moved is there twice until the regions that it lay in are empty, most of them at the walk's
 * end. */
static void settles_within_the_bound(const struct going *of_twenty, bool with_stores)
{
	const uint64_t limit = 64 << 20;
	const struct heap *h;
	struct rig g;
	unsigned n = 0, stores;
	uint64_t most = 0;

	begin_with(&g, limit, 64);
	h = &g.c->memory.heap;
	while (rig_stats(&g).bytes < limit / 100 * 99)
		store_of_many(&g, of_twenty, n++);
	stores = with_stores ? n / 4 : 0;
	purge_most(&g);
	while (g.c->memory.compacting != COMPACT_MOVE)
		(void)step(&g, &most);
	purge(&g, "http://o/then/");
	for (unsigned rounds = 0; rounds < 12; rounds += step(&g, &most))
		if (stores > 0)
			store_of_many(&g, of_twenty, n + stores--);
	assert_in_range(most, limit / 2, limit + limit / 4);
	assert_in_range(heap_resident(h), h->used, h->used + h->used / 5 + HEAP_POOLS * HEAP_REGION);
	rig_end(&g);
}

static void what_is_moved_stays_within_the_bound_and_is_moved_until_little_is_left_over(void **state)
{
	static const struct going rows[] = {{6, 0}, {9, 0}, {11, 0}, {7, 7}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		settles_within_the_bound(&rows[i], i % 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_of_much_takes_little_and_is_whole),
		cmocka_unit_test(what_is_moved_stays_within_the_bound_and_is_moved_until_little_is_left_over),
		cmocka_unit_test(without_memory_nothing_is_moved_and_nothing_is_lost),
	};

	return cmocka_run_group_tests_name("cache settle", tests, NULL, NULL);
}
