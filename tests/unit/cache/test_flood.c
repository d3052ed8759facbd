/* SPDX-License-Identifier: MIT */
/* Keys, rules and records that somebody chose so that they would fall together in a table of known hash. */
#include "rig.h"

#include <time.h>

#include "base/mem.h"
#include "cache/disk/forgets.h"
#include "cache/disk/index.h"
#include "cache/memory/memory.h"

static int64_t cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- Memory ---- */

#define URLS 1500
#define SAME_BITS 0x3ffu /* of the hash without a key: more than as many chains as a table for them has */

static struct cache_key next_colliding(struct rig *g, unsigned *i)
{
	struct http_request http;
	struct http_error err;
	struct cache_key key;
	size_t scanned = 0;
	char text[96];

	http_request_init(&http);
	cache_key_init(&key);
	for (;; ++*i) {
		const struct http_head_limits limits = {4096, 16};
		int n = snprintf(text, sizeof(text), "GET /%u HTTP/1.1\r\nHost: a\r\n\r\n", *i);

		scanned = 0;
		assert_int_equal(http_request_parse(text, (size_t)n, &limits, &scanned, &http, &err), HTTP_PARSE_DONE);
		struct cache_key_input in = {.http = &http, .origin = SLICE_LIT("http://o")};
		assert_int_equal(cache_key_build(&key, &g->rules, &in), 0);
		if ((key.hash.lo & SAME_BITS) == 0)
			break;
	}
	++*i;
	http_request_fini(&http);
	return key;
}

static unsigned longest_chain(const struct shard *s)
{
	const UT_hash_table *t = s->index->hh.tbl;
	unsigned longest = 0;

	for (unsigned i = 0; i < t->num_buckets; i++)
		longest = t->buckets[i].count > longest ? t->buckets[i].count : longest;
	return longest;
}

static void urls_of_one_hash_do_not_share_a_chain(void **state)
{
	struct rig g;
	struct memory m = {0};
	struct invalidation_table *invalidation;
	unsigned at = 0;

	(void)state;
	rig_options(&g);
	assert_int_equal(invalidation_table_new(10, &invalidation), 0);
	assert_int_equal(memory_init(&m, 64 << 20, 1, 4, 10, invalidation), 0);
	for (unsigned i = 0; i < URLS; i++) {
		struct cache_key key = next_colliding(&g, &at);
		struct shard *s = memory_shard(&m, &key);
		struct entry *e = entry_new(s, &key);

		assert_non_null(e);
		pthread_mutex_lock(&s->mu);
		assert_null(entry_find_locked(s, &key));
		assert_int_equal(entry_link_locked(s, e), 0);
		assert_ptr_equal(entry_find_locked(s, &key), e);
		pthread_mutex_unlock(&s->mu);
		cache_key_fini(&key);
	}
	assert_in_range(longest_chain(&m.shards[0]), 1, 32);
	memory_fini(&m);
	invalidation_table_free(&invalidation);
}

/* A chain that no doubling shortens must not end all doubling. */
static void a_table_grows_though_doubling_did_not_help_before(void **state)
{
	struct memory m = {0};
	struct invalidation_table *invalidation;
	char bytes[16];

	(void)state;
	assert_int_equal(invalidation_table_new(10, &invalidation), 0);
	assert_int_equal(memory_init(&m, 64 << 20, 1, 4, 10, invalidation), 0);
	for (unsigned i = 0; i < 20000; i++) {
		struct cache_key key = {.url_off = 0, .url_n = 1};
		struct shard *s = &m.shards[0];
		struct entry *e;

		key.bytes.p = bytes;
		key.bytes.n = (size_t)snprintf(bytes, sizeof(bytes), "%u", i);
		/* As if the key were known: the first thousand are one chain. */
		key.place = i < 1000 ? 0 : hash_keyed(bytes, key.bytes.n);
		e = entry_new(s, &key);
		assert_non_null(e);
		pthread_mutex_lock(&s->mu);
		assert_int_equal(entry_link_locked(s, e), 0);
		pthread_mutex_unlock(&s->mu);
		if (i == 999) /* nor may it make the table grow without end */
			assert_in_range(s->index->hh.tbl->num_buckets, 32, 2048);
	}
	assert_in_range(m.shards[0].index->hh.tbl->num_buckets, 2048, 65536);
	memory_fini(&m);
	invalidation_table_free(&invalidation);
}

/* ---- Rules ---- */

#define RULES 8000

static int64_t time_of_checks(bool chosen)
{
	struct invalidation_table *t;
	struct invalidation_image image = {.rules = mem_zalloc(RULES * sizeof(*image.rules)), .rules_n = RULES};
	int64_t began;

	assert_non_null(image.rules);
	assert_int_equal(invalidation_table_new(100000, &t), 0);
	for (unsigned i = 0; i < RULES; i++)
		image.rules[i] = (struct invalidation_rule){
			.id = chosen ? (uint64_t)(i + 1) << 32 : hash64_of(&i, sizeof(i)), .hard_seq = i + 1};
	invalidation_start_at(t, RULES + 1);
	began = cpu_us();
	invalidation_import(t, &image);
	for (unsigned i = 0; i < 20000; i++) {
		char url[32];
		_Atomic uint64_t checked = 0;
		struct purgeable set = {.url = {url, (size_t)snprintf(url, sizeof(url), "http://o/%u", i)}};

		assert_int_equal(invalidation_check(t, &set, 1, &checked), NOT_PURGED);
	}
	began = cpu_us() - began;
	invalidation_table_free(&t);
	mem_free(image.rules);
	return began;
}

static void rules_of_one_slot_cost_no_more_than_others(void **state)
{
	int64_t others = time_of_checks(false), chosen = time_of_checks(true);

	(void)state;
	assert_in_range(chosen, 0, 10 * others + 10000);
}

/* ---- The disk tier's tables ---- */

static void on_count(void *arg, uint32_t seg, int change)
{
	(void)arg;
	(void)seg;
	(void)change;
}

static unsigned longest_run(const struct index_shard *s)
{
	unsigned longest = 0, run = 0;

	for (uint32_t i = 0; i < s->slots_n; i++) {
		run = s->slots[i].kind == INDEX_EMPTY ? 0 : run + 1;
		longest = run > longest ? run : longest;
	}
	return longest;
}

#define RECORDS 10000

static void records_of_one_home_do_not_make_a_run(void **state)
{
	struct index ix;

	(void)state;
	assert_int_equal(index_init(&ix, 0, on_count, NULL), 0);
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct hash128 hash = {.lo = i, .hi = 0}; /* the upper half of lo, and the shard, are the same */
		struct index_slot slot = {.key = i, .lsn = i + 1, .seg = 1, .off8 = i, .len8 = 1, .kind = INDEX_WHOLE};

		assert_int_equal(index_add(&ix, hash, &slot, 0), 0);
		assert_true(index_has(&ix, hash));
	}
	assert_in_range(longest_run(&ix.shards[0]), 1, RECORDS / 4);
	index_fini(&ix);
}

static int64_t time_of_forgets(bool chosen)
{
	struct forgets f = {0};
	int64_t began;

	assert_int_equal(forgets_init(&f, 20000), 0);
	began = cpu_us();
	for (uint64_t i = 0; i < 8000; i++)
		forgets_add(&f, chosen ? i << 40 : hash64_of(&i, sizeof(i)), 1000);
	for (uint64_t i = 0; i < 8000; i++)
		assert_true(forgets_covers(&f, chosen ? i << 40 : hash64_of(&i, sizeof(i)), 10));
	began = cpu_us() - began;
	forgets_fini(&f);
	return began;
}

static void forgotten_keys_of_one_slot_cost_no_more_than_others(void **state)
{
	int64_t others = time_of_forgets(false), chosen = time_of_forgets(true);

	(void)state;
	assert_in_range(chosen, 0, 10 * others + 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_of_one_hash_do_not_share_a_chain),
		cmocka_unit_test(a_table_grows_though_doubling_did_not_help_before),
		cmocka_unit_test(rules_of_one_slot_cost_no_more_than_others),
		cmocka_unit_test(records_of_one_home_do_not_make_a_run),
		cmocka_unit_test(forgotten_keys_of_one_slot_cost_no_more_than_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
