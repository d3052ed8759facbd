/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proxy/transaction/write_purges.h"
#include "proxy/request/target.h"
#include "proxy/transaction/worker.h"

/* One write of /items/7, and what it makes stale, in a cache that has nothing stored: sequences tell it all. */
struct rig {
	struct cache *cache;
	struct worker worker;
	struct snapshot *snapshot;
	struct http_request request;
	struct target target;
	struct write_purges *invalidation;
	unsigned purges;
	unsigned stranger_after; /* somebody else purges when that many have been made; 0: never */
};

static void on_purge(void *arg, const struct purge *p)
{
	struct rig *r = arg;

	(void)p;
	if (++r->purges == r->stranger_after)
		cache_purge_as_told(
			r->cache, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o.example/stranger")});
}

static const char config_text[] = "[proxy]\nlisten = 127.0.0.1:1\n[upstream]\nurl = http://o.example\n"
				  "[route items]\nmatch = /items/{id}\nttl = 60s\ninvalidates = /items*, /totals\n";

static int setup(void **state)
{
	struct rig *r = mem_zalloc(sizeof(*r));
	struct cache_options o = {
		.memory_bytes = 1 << 20,
		.max_object_bytes = 1 << 16,
		.shards = 4,
		.max_invalidation_rules = 100,
		.via = SLICE_LIT("1.1 memoproxy"),
		.on_purge = on_purge,
		.on_purge_arg = r,
	};
	struct asked asked = {.http = &r->request, .peer = "192.0.2.7"};
	struct config *config;
	struct buf errors;

	assert_int_equal(cache_new(&o, &r->cache), 0);
	r->worker.cache = r->cache;
	buf_init(&errors, 4096);
	assert_int_equal(config_parse(SLICE_LIT(config_text), "test", &config, &errors), 0);
	buf_fini(&errors);
	assert_int_equal(snapshot_new(config, NULL, NULL, &r->snapshot), 0);
	http_request_init(&r->request);
	r->request.method = HTTP_PUT;
	r->request.method_token = SLICE_LIT("PUT");
	r->request.path = r->request.target = SLICE_LIT("/items/7");
	r->request.host = SLICE_LIT("front.example");
	r->request.minor = 1;
	target_init(&r->target);
	assert_int_equal(target_resolve(&r->target, r->snapshot, &asked, (struct slice){NULL, 0}), 0);
	assert_int_equal(write_purges_new(&r->target, &r->invalidation), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	write_purges_free(&r->invalidation);
	target_fini(&r->target);
	http_request_fini(&r->request);
	snapshot_unref(&r->snapshot);
	cache_free(&r->cache);
	mem_free(r);
	return 0;
}

/* Whether the write's own response counts as newer than all that was purged by its end. */
static bool apply(struct rig *r, int status, const char *name, const char *value)
{
	struct http_fields fields;
	uint64_t before = cache_sequence(r->cache), after;

	http_fields_init(&fields);
	if (name)
		assert_int_equal(http_fields_add(&fields, slice_of(name), slice_of(value)), 0);
	after = write_purges_apply(r->invalidation, &r->worker, r->snapshot, status, &fields, before);
	http_fields_fini(&fields);
	assert_true(after == before || after == cache_sequence(r->cache));
	return after > before;
}

static bool is_stale(const struct rig *r, const char *url)
{
	return cache_was_purged(r->cache, slice_of(url), 0);
}

static void its_own_purges_do_not_count_against_it(void **state)
{
	struct rig *r = *state;

	assert_true(apply(r, 200, NULL, NULL));
	assert_int_equal(r->purges, 3);
	assert_int_equal(r->worker.stats.invalidated_by_writes, 3);
	assert_true(is_stale(r, "http://o.example/items/7"));
	assert_true(is_stale(r, "http://o.example/items/8"));
	assert_true(is_stale(r, "http://o.example/totals"));
	assert_false(is_stale(r, "http://o.example/totals/1"));
}

static void a_strangers_purge_between_them_does(void **state)
{
	struct rig *r = *state;

	r->stranger_after = 1;
	assert_false(apply(r, 200, NULL, NULL));
	assert_int_equal(r->purges, 3);
	assert_true(is_stale(r, "http://o.example/stranger"));
}

static void a_redirect_counts_for_its_own_url_and_what_it_names(void **state)
{
	struct rig *r = *state;

	assert_true(apply(r, 303, "Location", "/totals/1"));
	assert_int_equal(r->purges, 2);
	assert_true(is_stale(r, "http://o.example/items/7"));
	assert_true(is_stale(r, "http://o.example/totals/1"));
	assert_false(is_stale(r, "http://o.example/items/8"));
}

static void what_is_elsewhere_is_left_alone(void **state)
{
	static const char *const elsewhere[] = {"http://other.example/x", "https://o.example/x",
		"http://o.example:81/x", "http://o.example.evil/x", "http://o.example@evil/x", "ftp://front.example/x",
		"//other.example/x"};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
		assert_true(apply(r, 200, "Content-Location", elsewhere[i]));
	assert_int_equal(r->purges, 3 * ARRAY_LEN(elsewhere));
	assert_false(is_stale(r, "http://o.example/x"));
}

static void where_clients_asked_counts_too(void **state)
{
	static const char *const there[] = {
		"http://front.example/x", "https://FRONT.example/x", "//front.example:80/x"};

	for (size_t i = 0; i < ARRAY_LEN(there); i++) {
		struct rig *r = *state;
		unsigned before = r->purges;

		assert_true(apply(r, 201, "Location", there[i]));
		assert_int_equal(r->purges - before, 4);
		assert_true(is_stale(r, "http://o.example/x"));
	}
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(its_own_purges_do_not_count_against_it),
		RIG_TEST(a_strangers_purge_between_them_does),
		RIG_TEST(a_redirect_counts_for_its_own_url_and_what_it_names),
		RIG_TEST(what_is_elsewhere_is_left_alone),
		RIG_TEST(where_clients_asked_counts_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
