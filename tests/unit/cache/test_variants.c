/* SPDX-License-Identifier: MIT */
/* Many variants of one key: a lookup visits those that may be meant, and finds the one that looking through all would find. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "cache/cache_internal.h"
#include "cache/landing.h"
#include "cache/memory/move.h"
#include "cache/memory/variants.h"

#define FRESH "Cache-Control: max-age=60\r\n"
#define MANY 64
#define ROUNDS 6000
#define SETS 10

static void begin(struct rig *g)
{
	g->o.max_variants = MANY;
	g->o.shards = 1;
	rig_restart(g);
	g->c->memory.slack_bytes = 0;
	g->c->memory.heap.small_max = HEAP_SMALL_MAX; /* under ASan too */
}

/* Whatever is stored. */
static void store(struct rig *g, const char *request_fields, const char *fields)
{
	struct ask a;

	ask_init(g, &a, "GET /a", request_fields);
	cache_refresh(g->c, &a.r, g->now, &a.out);
	assert_int_equal(a.out.verdict, CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 200, fields, 1, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, "x", 1), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, g->now);
	ask_fini(&a);
}

static struct entry *entry_of(struct rig *g, const struct ask *a)
{
	return entry_find_locked(&g->c->memory.shards[0], &a->key);
}

/* How many variants a lookup for these fields visits; *found: the one that serves them. */
static unsigned visits(struct rig *g, const char *request_fields, struct object **found)
{
	struct ask a;
	struct vary_wants wants;
	struct variant_seek seek;
	struct object *o;
	struct entry *e;
	unsigned n = 0;

	*found = NULL;
	ask_init(g, &a, "GET /a", request_fields);
	vary_wants_init(&wants, &a.http.fields);
	pthread_mutex_lock(&g->c->memory.shards[0].mu);
	e = entry_of(g, &a);
	assert_true(e && variants_have_index(e));
	variants_seek_locked(e, &wants, &seek);
	for (; (o = variants_next_locked(e, &seek)); n++)
		if (!*found && object_serves(o, &a.http.fields))
			*found = o;
	pthread_mutex_unlock(&g->c->memory.shards[0].mu);
	ask_fini(&a);
	return n;
}

static void a_lookup_visits_one_of_many_variants(void **state)
{
	struct rig *g = *state;
	struct object *found;
	char fields[64];

	begin(g);
	for (int i = 0; i < MANY; i++) {
		snprintf(fields, sizeof(fields), "X: %d\r\n", i);
		store(g, fields, FRESH "Vary: X\r\n");
	}
	assert_int_equal(rig_stats(g).objects, MANY);
	for (int i = 0; i < MANY; i++) {
		snprintf(fields, sizeof(fields), "X: %d\r\n", i);
		assert_int_equal(visits(g, fields, &found), 1);
		assert_non_null(found);
		assert_int_equal(rig_verdict(g, "GET /a", fields), CACHE_HIT);
	}
	assert_int_equal(visits(g, "X: another\r\n", &found), 0);
}

static void a_lookup_visits_no_more_than_one_for_each_set_of_names(void **state)
{
	static const char *const names[] = {"X", "Y", "X, Y"};
	struct rig *g = *state;
	struct object *found;
	char fields[64], vary[64];

	begin(g);
	for (int i = 0; i < MANY; i++) {
		snprintf(fields, sizeof(fields), "X: %d\r\nY: %d\r\n", i, i / 2);
		snprintf(vary, sizeof(vary), FRESH "Vary: %s\r\n", names[i % 3]);
		store(g, fields, vary);
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(fields, sizeof(fields), "X: %d\r\nY: %d\r\n", i, i / 2);
		assert_in_range(visits(g, fields, &found), 1, 3);
		assert_non_null(found);
	}
}

static void a_language_that_is_wanted_most_is_found(void **state)
{
	struct rig *g = *state;
	struct object *found;
	char fields[64], answer[128];

	begin(g);
	for (int i = 0; i < 40; i++) {
		snprintf(fields, sizeof(fields), "Accept-Language: x-%d, *;q=0.1\r\n", i);
		snprintf(answer, sizeof(answer), FRESH "Vary: Accept-Language\r\nContent-Language: %s%d\r\n",
			i % 2 ? "x-" : "X-", i);
		store(g, fields, answer);
	}
	for (int i = 0; i < 40; i++) {
		snprintf(fields, sizeof(fields), "Accept-Language: fr;q=0.5, X-%d\r\n", i);
		assert_int_equal(visits(g, fields, &found), 1);
		assert_non_null(found);
		assert_int_equal(rig_verdict(g, "GET /a", fields), CACHE_HIT);
	}
	assert_int_equal(visits(g, "Accept-Language: x-1, x-2\r\n", &found), 0);
}

/* ---- Against looking through all ---- */

static unsigned roll(unsigned n)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned)(x % n);
}

static void random_request(char *out, size_t n)
{
	static const char *const languages[] = {"de", "en", "fr;q=0.5, en", "fr;q=0.2, de", "*;q=0.2, de"};
	static const char *const codings[] = {"gzip", "gzip, br", "br;q=0", "identity"};
	char padding[700];

	memset(padding, 'p', sizeof(padding));
	snprintf(out, n, "X: %u\r\nAccept-Language: %s%u\r\nAccept-Encoding: %s\r\nLong: %.*s%u\r\n", roll(90),
		languages[roll(ARRAY_LEN(languages))], roll(9), codings[roll(ARRAY_LEN(codings))],
		roll(2) ? (int)sizeof(padding) : 3, padding, roll(4));
	if (roll(2))
		snprintf(out + strlen(out), n - strlen(out), "Long: %u\r\n", roll(2));
}

/* Of the first so many sets of names. */
static void store_something(struct rig *g, unsigned sets)
{
	static const char *const names[SETS] = {"X", "Accept-Language", "Accept-Encoding, X", "Long, X",
		"Long, Accept-Language", "X, Accept-Language", "Accept-Language, Accept-Encoding", "Long", "X, Y",
		"Y, Long"};
	static const char *const languages[] = {"", "Content-Language: DE", "Content-Language: en"};
	const char *language = languages[roll(ARRAY_LEN(languages))];
	char request[2048], answer[256], digit[2] = {(char)('0' + roll(9)), '\0'};

	random_request(request, sizeof(request));
	snprintf(answer, sizeof(answer), FRESH "%s%.*s%sCache-Tag: t%u\r\nVary: %s\r\n", language, *language != 0,
		digit, *language ? "\r\n" : "", roll(12), names[roll(sets)]);
	store(g, request, answer);
}

static struct object *look_through_all(struct rig *g, const struct ask *a)
{
	struct entry *e;
	struct object *o;

	pthread_mutex_lock(&g->c->memory.shards[0].mu);
	e = entry_of(g, a);
	for (o = e ? e->variants : NULL; o; o = *object_next(o))
		if (object_check(o) != PURGED_HARD && object_serves(o, &a->http.fields))
			break;
	pthread_mutex_unlock(&g->c->memory.shards[0].mu);
	return o;
}

static bool look_up_something(struct rig *g)
{
	struct ask a;
	char request[2048];
	struct object *expected;
	bool is_hit;

	random_request(request, sizeof(request));
	ask_init(g, &a, "GET /a", request);
	expected = look_through_all(g, &a);
	is_hit = ask_lookup(g, &a) == CACHE_HIT;
	assert_ptr_equal(a.out.object, expected);
	assert_int_equal(is_hit, expected != NULL);
	if (a.out.verdict == CACHE_LEAD)
		flight_abandon(a.out.flight);
	ask_fini(&a);
	return is_hit;
}

static void purge_something(struct rig *g)
{
	char tag[8];
	uint64_t seq;

	snprintf(tag, sizeof(tag), "t%u", roll(12));
	assert_int_equal(cache_purge_soon(g->c, &(struct purge){.kind = PURGE_TAG, .what = slice_of(tag)}, &seq), 0);
	if (roll(2))
		(void)cache_sweep(g->c, 1000, g->now);
}

/* As if all were spread thinly. */
static void move(struct rig *g, const struct ask *a)
{
	struct memory *m = &g->c->memory;
	struct garbage garbage = {0};
	struct entry *e;

	for (unsigned pool = 0; pool < HEAP_POOLS; pool++)
		(void)heap_leave(&m->heap, pool, 4);
	m->compacting = COMPACT_MOVE;
	pthread_mutex_lock(&m->shards[0].mu);
	e = entry_of(g, a);
	if (e)
		(void)entry_move_locked(e, &garbage);
	pthread_mutex_unlock(&m->shards[0].mu);
	garbage_free(&garbage);
	m->compacting = COMPACT_IDLE;
	for (unsigned pool = 0; pool < HEAP_POOLS; pool++)
		heap_return(&m->heap, pool);
}

static void what_is_found_is_what_looking_through_all_finds(void **state)
{
	struct rig *g = *state;
	unsigned hits = 0, indexed = 0;
	uint64_t seq;
	struct ask a;

	begin(g);
	ask_init(g, &a, "GET /a", NULL);
	for (unsigned i = 0; i < ROUNDS; i++) {
		const struct entry *e;

		/* Now and then more than there is an index for. */
		store_something(g, i / 500 % 3 == 2 ? SETS : 1 + i / 500 % VARIANT_SETS);
		for (unsigned k = 0; k < 4; k++)
			hits += look_up_something(g);
		if (roll(60) == 0)
			purge_something(g);
		if (roll(60) == 0)
			move(g, &a);
		e = entry_of(g, &a);
		indexed += e && variants_have_index(e);
	}
	ask_fini(&a);
	print_message("%u hits, %u rounds with an index, %llu moves\n", hits, indexed,
		(unsigned long long)rig_stats(g).moved);
	assert_true(hits > ROUNDS && indexed > ROUNDS / 4 && indexed < ROUNDS && rig_stats(g).moved > 10);
	/* What the index took is counted, and comes back. */
	assert_int_equal(cache_purge_soon(g->c, &(struct purge){.kind = PURGE_ALL}, &seq), 0);
	for (unsigned i = 0; i < 10; i++)
		(void)cache_sweep(g->c, 1000, g->now);
	assert_int_equal(rig_stats(g).objects, 0);
	assert_int_equal(rig_stats(g).bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_lookup_visits_one_of_many_variants),
		RIG_TEST(a_lookup_visits_no_more_than_one_for_each_set_of_names),
		RIG_TEST(a_language_that_is_wanted_most_is_found),
		RIG_TEST(what_is_found_is_what_looking_through_all_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
