/* SPDX-License-Identifier: MIT */
/* Between the tiers, with a real directory: what memory stores is written, what it lacks is read, and whatever happens in
 * between (a purge, a newer response, a dropped write) holds for both. The device is as slow as a test wants it. */
#include "tier_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FRESH "Cache-Control: max-age=60\r\n"

static void restart_with(struct tiers *t, uint64_t memory_bytes)
{
	t->g.o.memory_bytes = memory_bytes;
	t->g.o.shards = 1;
	tiers_restart(t);
}

/* ---- What is asked ---- */

static void store(struct tiers *t, const char *target, const char *fields, const char *body)
{
	rig_store(&t->g, target, NULL, fields, body);
}

static void expect_body(struct tiers *t, const char *target, const char *fields, const char *body)
{
	struct ask a;

	ask_init(&t->g, &a, target, fields);
	assert_int_equal(tiers_look_up(t, &a), CACHE_HIT);
	rig_body_is(a.out.object, body);
	ask_fini(&a);
}

static void expect_miss(struct tiers *t, const char *target, const char *fields)
{
	struct ask a;

	ask_init(&t->g, &a, target, fields);
	assert_int_equal(tiers_look_up(t, &a), CACHE_LEAD);
	assert_null(flight_stored(a.out.flight));
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

/* A forced refresh: it asks no disk. */
static void refresh(struct tiers *t, const char *target, const char *body)
{
	struct ask a;

	ask_init(&t->g, &a, target, NULL);
	cache_refresh(t->g.c, &a.r, t->g.now, &a.out);
	assert_int_equal(a.out.verdict, CACHE_LEAD);
	assert_int_equal(rig_answer(&t->g, a.out.flight, 200, FRESH "ETag: \"new\"\r\n", (int64_t)strlen(body), NULL),
		FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, body, strlen(body)), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, t->g.now);
	ask_fini(&a);
}

static bool writer_is_blocked;

/* Makes memory forget all it has, by storing other things: for a memory of EVICTED_BY bytes. What waits to be written
 * stays in memory, so with a blocked writer the queue has to be full. */
#define EVICTED_BY (256 << 10)
static void evict(struct tiers *t)
{
	static unsigned round;
	char *body = test_calloc(1, 20001);

	memset(body, 'f', 20000);
	for (unsigned i = 0; i < 30; i++) {
		char target[40];

		snprintf(target, sizeof(target), "GET /filler/%u", round++);
		store(t, target, FRESH, body);
		if (!writer_is_blocked)
			tiers_written(t);
	}
	test_free(body);
}

static void block_writer(struct tiers *t)
{
	tiers_written(t);
	atomic_store(&tiers_device.writes_wait, true);
	store(t, "GET /blocks/the/writer", FRESH, "x");
	while (sem_wait(&tiers_device.writer_is_there) != 0)
		;
	writer_is_blocked = true;
}

static void free_writer(struct tiers *t)
{
	writer_is_blocked = false;
	sem_post(&tiers_device.writer_may_go);
	tiers_written(t);
}

static bool is_in_lower(struct tiers *t, const char *target)
{
	struct ask a;
	bool is;

	ask_init(&t->g, &a, target, NULL);
	is = cache_is_in_tier(t->g.c, &a.key);
	ask_fini(&a);
	return is;
}

/* ---- Writing through, coming back ---- */

static void what_memory_stores_comes_back_from_disk_and_then_from_memory(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	store(t, "GET /a", FRESH "X-Kind: one\r\n", "body of a");
	tiers_restart(t);
	assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_HIT);
	assert_true(a.out.from_lower);
	rig_body_is(a.out.object, "body of a");
	assert_true(rig_head_has(a.out.object, "X-Kind: one"));
	assert_int_equal(ask_lookup(&t->g, &a), CACHE_HIT);
	assert_false(a.out.from_lower);
	ask_fini(&a);
	assert_int_equal(tiers_counts(t).hits, 1);
}

static void an_absent_key_is_led_without_a_read(void **state)
{
	struct tiers *t = *state;

	store(t, "GET /a", FRESH, "a");
	tiers_restart(t);
	atomic_store(&tiers_device.is_cold, true);
	expect_miss(t, "GET /b", NULL);
	assert_int_equal(atomic_load(&tiers_device.reads), 0);
}

static void what_the_device_has_to_be_asked_for_is_read_once_for_all(void **state)
{
	struct tiers *t = *state;
	struct ask a, b;
	struct waiter wa, wb;

	store(t, "GET /a", FRESH, "body of a");
	tiers_restart(t);
	atomic_store(&tiers_device.is_cold, true);
	ask_init(&t->g, &a, "GET /a", NULL);
	ask_init(&t->g, &b, "GET /a", NULL);
	assert_int_equal(ask_lookup(&t->g, &a), CACHE_LOWER);
	assert_true(a.out.leads_read);
	waiter_join(&wa, &a, 0);
	assert_int_equal(ask_lookup(&t->g, &b), CACHE_LOWER);
	assert_false(b.out.leads_read);
	assert_ptr_equal(a.out.flight, b.out.flight);
	waiter_join(&wb, &b, 0);
	tiers_wait_for_message(t);
	while (wa.told == 0 || wb.told == 0)
		rig_deliver(&t->g);
	assert_int_equal(waiter_look(&wa).phase, FLIGHT_RETRY);
	flight_leave(&wa.w);
	flight_leave(&wb.w);
	a.r.skip_lower = true;
	assert_int_equal(ask_lookup(&t->g, &a), CACHE_HIT);
	assert_int_equal(ask_lookup(&t->g, &b), CACHE_HIT);
	rig_body_is(b.out.object, "body of a");
	assert_int_equal(tiers_counts(t).hits, 1);
	ask_fini(&a);
	ask_fini(&b);
}

static void the_fast_path_gets_from_disk_what_is_there_at_once(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	store(t, "GET /a", FRESH, "body of a");
	tiers_restart(t);
	ask_init(&t->g, &a, "GET /a", NULL);
	a.r.hit_only = true;
	assert_int_equal(ask_lookup(&t->g, &a), CACHE_HIT);
	assert_true(a.out.from_lower);
	rig_body_is(a.out.object, "body of a");
	ask_fini(&a);
}

static void a_read_that_the_fast_path_began_is_joined_on_the_other(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	store(t, "GET /a", FRESH, "body of a");
	tiers_restart(t);
	atomic_store(&tiers_device.is_cold, true);
	ask_init(&t->g, &a, "GET /a", NULL);
	a.r.hit_only = true;
	assert_int_equal(ask_lookup(&t->g, &a), CACHE_PASS);
	assert_null(a.out.flight);
	assert_int_equal(ask_lookup(&t->g, &a), CACHE_PASS);
	ask_fini(&a);
	expect_body(t, "GET /a", NULL, "body of a");
	assert_int_equal(tiers_counts(t).hits, 1);
}

static void all_who_wait_may_leave_before_the_disk_has_spoken(void **state)
{
	struct tiers *t = *state;
	struct ask a;
	struct waiter w;

	store(t, "GET /a", FRESH, "body of a");
	tiers_restart(t);
	atomic_store(&tiers_device.is_cold, true);
	assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_LOWER);
	waiter_join(&w, &a, 0);
	flight_leave(&w.w);
	ask_fini(&a);
	while (cache_tier_reads(t->g.c) > 0) {
		tiers_wait_for_message(t);
		rig_deliver(&t->g);
	}
	expect_body(t, "GET /a", NULL, "body of a");
}

static void variants_come_back_each_to_its_own(void **state)
{
	struct tiers *t = *state;
	static const char *const kinds[] = {"X-K: 1\r\n", "X-K: 2\r\n", "X-K: 3\r\n"};
	static const char *const bodies[] = {"one", "two", "three"};

	for (unsigned i = 0; i < 3; i++)
		rig_store(&t->g, "GET /v", kinds[i], FRESH "Vary: X-K\r\n", bodies[i]);
	for (unsigned cold = 0; cold < 2; cold++) {
		tiers_restart(t);
		atomic_store(&tiers_device.is_cold, cold == 1);
		for (unsigned i = 3; i-- > 0;)
			expect_body(t, "GET /v", kinds[i], bodies[i]);
		expect_miss(t, "GET /v", "X-K: 4\r\n");
	}
}

static void what_is_one_users_or_not_for_storing_is_not_written(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	assert_int_equal(ask_for(&t->g, &a, "GET /p", NULL), CACHE_LEAD);
	assert_int_equal(rig_answer(&t->g, a.out.flight, 200, "Cache-Control: no-store\r\n", 1, NULL), FLIGHT_PRIVATE);
	flight_end(a.out.flight, true, t->g.now);
	ask_fini(&a);
	assert_int_equal(tiers_counts(t).puts, 0);
}

/* ---- Renewing and forgetting ---- */

static void confirm(struct tiers *t, const char *target, const char *fields)
{
	struct ask a;

	ask_init(&t->g, &a, target, NULL);
	assert_int_equal(tiers_look_up(t, &a), CACHE_LEAD);
	assert_non_null(flight_stored(a.out.flight));
	assert_int_equal(rig_answer(&t->g, a.out.flight, 304, fields, 0, NULL), FLIGHT_REVALIDATED);
	ask_fini(&a);
}

static void a_304_renews_the_record_of_a_small_and_of_a_large_response(void **state)
{
	struct tiers *t = *state;
	char *large = test_calloc(1, 100001);

	memset(large, 'l', 100000);
	store(t, "GET /a", FRESH "ETag: \"1\"\r\n", "small");
	store(t, "GET /b", FRESH "ETag: \"1\"\r\n", large);
	tiers_written(t);
	t->g.now.mono_ms += 61000;
	t->g.now.wall_ms += 61000;
	confirm(t, "GET /a", FRESH "ETag: \"1\"\r\nX-New: 1\r\n");
	confirm(t, "GET /b", FRESH "ETag: \"1\"\r\nX-New: 1\r\n");
	tiers_restart(t);
	expect_body(t, "GET /a", NULL, "small");
	expect_body(t, "GET /b", NULL, large);
	assert_int_equal(tiers_counts(t).hits, 2);
	test_free(large);
}

static void what_comes_from_disk_stale_is_validated_not_fetched(void **state)
{
	struct tiers *t = *state;

	store(t, "GET /a", FRESH "ETag: \"1\"\r\n", "kept");
	tiers_restart(t);
	t->g.now.mono_ms += 61000;
	t->g.now.wall_ms += 61000;
	confirm(t, "GET /a", FRESH "ETag: \"1\"\r\n");
	tiers_restart(t);
	expect_body(t, "GET /a", NULL, "kept");
}

static void contradict(struct tiers *t)
{
	struct ask a;
	struct http_fields fields;

	http_fields_init(&fields);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("ETag"), SLICE_LIT("\"2\"")), 0);
	ask_init(&t->g, &a, "HEAD /a", NULL);
	cache_saw_head(t->g.c, &a.r, rig_asked(&t->g), 200, &fields, t->g.now, t->g.now);
	ask_fini(&a);
	http_fields_fini(&fields);
}

static void a_head_that_contradicts_forgets_both(void **state)
{
	struct tiers *t = *state;

	store(t, "GET /a", FRESH "ETag: \"1\"\r\n", "old");
	tiers_written(t);
	contradict(t);
	assert_false(is_in_lower(t, "GET /a"));
	tiers_restart(t);
	expect_miss(t, "GET /a", NULL);
}

/* ---- The newest counts ---- */

struct late_read {
	struct ask a;
};

/* A read of the record that lies there now, which has been done, but of which nobody has heard. */
static void begin_read(struct tiers *t, struct late_read *l)
{
	atomic_store(&tiers_device.is_cold, true);
	assert_int_equal(ask_for(&t->g, &l->a, "GET /a", NULL), CACHE_LOWER);
	tiers_wait_for_message(t);
}

static void end_read(struct tiers *t, struct late_read *l)
{
	rig_deliver(&t->g);
	assert_int_equal(cache_tier_reads(t->g.c), 0);
	ask_fini(&l->a);
}

static void what_was_stored_meanwhile_is_newer_than_what_the_disk_brings(void **state)
{
	struct tiers *t = *state;
	struct late_read l;

	store(t, "GET /a", FRESH, "old");
	tiers_restart(t);
	begin_read(t, &l);
	refresh(t, "GET /a", "new");
	end_read(t, &l);
	expect_body(t, "GET /a", NULL, "new");
	tiers_restart(t);
	expect_body(t, "GET /a", NULL, "new");
}

static void also_when_memory_has_it_no_more(void **state)
{
	struct tiers *t = *state;
	struct late_read l;

	restart_with(t, EVICTED_BY);
	store(t, "GET /a", FRESH, "old");
	tiers_restart(t);
	begin_read(t, &l);
	refresh(t, "GET /a", "new");
	tiers_written(t);
	evict(t);
	end_read(t, &l);
	expect_body(t, "GET /a", NULL, "new");
}

static void what_was_forgotten_meanwhile_does_not_come_back(void **state)
{
	struct tiers *t = *state;
	struct late_read l;

	restart_with(t, EVICTED_BY);
	store(t, "GET /a", FRESH "ETag: \"1\"\r\n", "old");
	tiers_restart(t);
	begin_read(t, &l);
	refresh(t, "GET /a", "new");
	contradict(t);
	end_read(t, &l);
	expect_miss(t, "GET /a", NULL);
}

static void what_waits_to_be_written_hides_what_it_will_replace(void **state)
{
	struct tiers *t = *state;

	restart_with(t, EVICTED_BY);
	t->o.queue_max = 2;
	tiers_restart(t);
	store(t, "GET /a", FRESH, "old");
	block_writer(t);
	refresh(t, "GET /a", "new");
	evict(t);
	expect_miss(t, "GET /a", NULL);
	free_writer(t);
	expect_body(t, "GET /a", NULL, "new");
}

static void a_renewed_head_that_waits_to_be_written_does_too(void **state)
{
	struct tiers *t = *state;

	restart_with(t, EVICTED_BY);
	t->o.queue_max = 2;
	tiers_restart(t);
	store(t, "GET /a", FRESH "ETag: \"1\"\r\n", "same");
	t->g.now.mono_ms += 61000;
	t->g.now.wall_ms += 61000;
	block_writer(t);
	confirm(t, "GET /a", FRESH "ETag: \"1\"\r\n");
	evict(t);
	expect_miss(t, "GET /a", NULL);
	free_writer(t);
	expect_body(t, "GET /a", NULL, "same");
}

/* ---- Purges ---- */

static void purge(struct tiers *t, enum purge_kind kind, const char *what, bool soft)
{
	uint64_t seq;

	assert_int_equal(
		cache_purge_soon(t->g.c, &(struct purge){.kind = kind, .what = slice_of(what), .soft = soft}, &seq), 0);
}

static void a_purge_counts_for_what_has_been_read_but_not_taken(void **state)
{
	static const struct {
		enum purge_kind kind;
		const char *what;
	} purges[] = {{PURGE_URL, "http://o/a"}, {PURGE_PREFIX, "http://o/"}, {PURGE_TAG, "news"}, {PURGE_ALL, ""}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(purges); i++) {
		struct tiers t;
		struct ask a;
		struct waiter w;

		tiers_begin(&t);
		store(&t, "GET /a", FRESH "Cache-Tag: news\r\nETag: \"1\"\r\n", "purged");
		tiers_restart(&t);
		atomic_store(&tiers_device.is_cold, true);
		assert_int_equal(ask_for(&t.g, &a, "GET /a", NULL), CACHE_LOWER);
		waiter_join(&w, &a, 0);
		tiers_wait_for_message(&t);
		purge(&t, purges[i].kind, purges[i].what, false);
		rig_deliver(&t.g);
		flight_leave(&w.w);
		ask_fini(&a);
		expect_miss(&t, "GET /a", NULL);
		tiers_restart(&t);
		expect_miss(&t, "GET /a", NULL);
		tiers_end(&t);
	}
}

static void a_soft_purge_leaves_what_is_read_for_validation_only(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	store(t, "GET /a", FRESH "ETag: \"1\"\r\n", "soft");
	tiers_restart(t);
	atomic_store(&tiers_device.is_cold, true);
	assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_LOWER);
	tiers_wait_for_message(t);
	purge(t, PURGE_URL, "http://o/a", true);
	rig_deliver(&t->g);
	ask_fini(&a);
	confirm(t, "GET /a", FRESH "ETag: \"1\"\r\n");
	expect_body(t, "GET /a", NULL, "soft");
	tiers_restart(t);
	expect_body(t, "GET /a", NULL, "soft");
}

static void what_was_asked_for_before_a_purge_is_written_for_nobody(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_LEAD);
	purge(t, PURGE_PREFIX, "http://o/", false);
	assert_int_equal(rig_answer(&t->g, a.out.flight, 200, FRESH, 3, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, "old", 3), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, t->g.now);
	ask_fini(&a);
	expect_miss(t, "GET /a", NULL);
	tiers_restart(t);
	expect_miss(t, "GET /a", NULL);
}

/* ---- Where there is no room ---- */

static void a_dropped_write_takes_what_it_would_have_replaced_along(void **state)
{
	struct tiers *t = *state;

	restart_with(t, EVICTED_BY);
	t->o.queue_max = 1;
	tiers_restart(t);
	store(t, "GET /a", FRESH, "old");
	tiers_written(t);
	assert_true(is_in_lower(t, "GET /a"));
	block_writer(t);
	refresh(t, "GET /a", "new");
	assert_int_equal(tiers_counts(t).dropped_queue, 1);
	assert_false(is_in_lower(t, "GET /a"));
	free_writer(t);
	expect_body(t, "GET /a", NULL, "new");
	evict(t);
	expect_miss(t, "GET /a", NULL);
}

static void a_dropped_renewal_takes_what_it_would_have_renewed_along(void **state)
{
	struct tiers *t = *state;

	restart_with(t, EVICTED_BY);
	t->o.queue_max = 1;
	tiers_restart(t);
	store(t, "GET /a", "Cache-Control: max-age=3600\r\nETag: \"1\"\r\n", "same");
	t->g.now.mono_ms += 3601000;
	t->g.now.wall_ms += 3601000;
	block_writer(t);
	confirm(t, "GET /a", "Cache-Control: max-age=1\r\nETag: \"1\"\r\n");
	assert_false(is_in_lower(t, "GET /a"));
	free_writer(t);
	evict(t);
	expect_miss(t, "GET /a", NULL);
}

static void confirm_kind(struct tiers *t, const char *kind)
{
	struct ask a;

	ask_init(&t->g, &a, "GET /v", kind);
	assert_int_equal(tiers_look_up(t, &a), CACHE_LEAD);
	assert_non_null(flight_stored(a.out.flight));
	assert_int_equal(rig_answer(&t->g, a.out.flight, 304, FRESH "ETag: \"1\"\r\nVary: X-K\r\n", 0, NULL),
		FLIGHT_REVALIDATED);
	ask_fini(&a);
}

/* A drop outdates all that is queued for the key, in whatever variant: then what that was to renew is out of date as well. */
static void a_drop_leaves_no_variant_with_an_older_response(void **state)
{
	struct tiers *t = *state;
	const char *const fields = FRESH "ETag: \"1\"\r\nVary: X-K\r\n";

	restart_with(t, EVICTED_BY);
	t->o.queue_max = 2;
	tiers_restart(t);
	rig_store(&t->g, "GET /v", "X-K: 1\r\n", fields, "one");
	tiers_written(t);
	rig_store(&t->g, "GET /v", "X-K: 2\r\n", fields, "two");
	t->g.now.mono_ms += 61000;
	t->g.now.wall_ms += 61000;
	block_writer(t);
	confirm_kind(t, "X-K: 1\r\n");
	confirm_kind(t, "X-K: 2\r\n");
	assert_int_equal(tiers_counts(t).dropped_queue, 1);
	free_writer(t);
	evict(t);
	expect_miss(t, "GET /v", "X-K: 1\r\n");
	expect_miss(t, "GET /v", "X-K: 2\r\n");
}

static void no_failed_allocation_keeps_a_lookup_from_a_response(void **state)
{
	struct tiers *t = *state;

	store(t, "GET /a", FRESH, "body of a");
	for (unsigned n = 1; n < 40; n++) {
		struct ask a;
		enum cache_verdict v;

		tiers_restart(t);
		ask_init(&t->g, &a, "GET /a", NULL);
		mem_fail_at(n, n % 2);
		v = ask_lookup(&t->g, &a);
		mem_fail_at(0, 0);
		assert_true(v == CACHE_HIT || v == CACHE_LEAD || v == CACHE_PASS);
		if (v == CACHE_HIT)
			rig_body_is(a.out.object, "body of a");
		if (v == CACHE_LEAD)
			flight_abandon(a.out.flight);
		ask_fini(&a);
	}
}

static void note_purge(void *arg, const struct purge *p)
{
	assert_int_equal(p->kind, PURGE_URL);
	++*(unsigned *)arg;
}

/* What is too long to be journalled is refused and purges nothing: another process must not purge in its place. */
static void nobody_is_told_of_a_purge_that_was_refused(void **state)
{
	struct tiers *t = *state;
	unsigned told = 0;
	uint64_t seq;
	char *url = test_calloc(1, 20000);

	t->g.o.on_purge = note_purge;
	t->g.o.on_purge_arg = &told;
	tiers_restart(t);
	memset(url, 'u', 19999);
	assert_int_equal(
		cache_purge_soon(t->g.c, &(struct purge){.kind = PURGE_URL, .what = slice_of(url)}, &seq), -EMSGSIZE);
	assert_int_equal(
		cache_purge_soon(t->g.c, &(struct purge){.kind = PURGE_URL, .what = slice_of(url)}, &seq), -EMSGSIZE);
	assert_int_equal(told, 0);
	assert_int_equal(
		cache_purge_soon(t->g.c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/a")}, &seq), 0);
	assert_int_equal(told, 1);
	test_free(url);
}

struct told_counts {
	unsigned n;
	uint64_t puts;
	const char *names[96];
};

static void note_count(void *arg, const struct tier_count *n)
{
	struct told_counts *told = arg;

	assert_true(told->n < ARRAY_LEN(told->names));
	assert_int_equal(strspn(n->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(n->name));
	assert_true(*n->name && *n->help);
	for (unsigned i = 0; i < told->n; i++)
		assert_string_not_equal(told->names[i], n->name);
	told->names[told->n++] = n->name;
	if (strcmp(n->name, "puts") == 0)
		told->puts = n->value;
}

/* Whoever shows a tier to operators asks the cache, and need not know which one it is. */
static void a_tier_tells_its_name_and_what_it_counts(void **state)
{
	struct tiers *t = *state;
	struct told_counts told = {0};

	assert_string_equal(cache_tier_name(t->g.c), t->table ? "table" : "disk");
	store(t, "GET /a", FRESH, "body");
	tiers_written(t);
	cache_tier_counts(t->g.c, note_count, &told);
	assert_int_equal(told.puts, 1);
}

static void a_cache_without_a_tier_tells_of_none(void **state)
{
	struct told_counts told = {0};
	struct rig *g = *state;

	assert_null(cache_tier_name(g->c));
	cache_tier_counts(g->c, note_count, &told);
	assert_int_equal(told.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TIERS_TEST(a_tier_tells_its_name_and_what_it_counts),
		RIG_TEST(a_cache_without_a_tier_tells_of_none),
		TIERS_TEST(nobody_is_told_of_a_purge_that_was_refused),
		TIERS_TEST(what_memory_stores_comes_back_from_disk_and_then_from_memory),
		TIERS_TEST(an_absent_key_is_led_without_a_read),
		TIERS_TEST(what_the_device_has_to_be_asked_for_is_read_once_for_all),
		TIERS_TEST(the_fast_path_gets_from_disk_what_is_there_at_once),
		TIERS_TEST(a_read_that_the_fast_path_began_is_joined_on_the_other),
		TIERS_TEST(all_who_wait_may_leave_before_the_disk_has_spoken),
		TIERS_TEST(variants_come_back_each_to_its_own),
		TIERS_TEST(what_is_one_users_or_not_for_storing_is_not_written),
		TIERS_TEST(a_304_renews_the_record_of_a_small_and_of_a_large_response),
		TIERS_TEST(what_comes_from_disk_stale_is_validated_not_fetched),
		TIERS_TEST(a_head_that_contradicts_forgets_both),
		TIERS_TEST(what_was_stored_meanwhile_is_newer_than_what_the_disk_brings),
		TIERS_TEST(also_when_memory_has_it_no_more),
		TIERS_TEST(what_was_forgotten_meanwhile_does_not_come_back),
		TIERS_TEST(what_waits_to_be_written_hides_what_it_will_replace),
		TIERS_TEST(a_renewed_head_that_waits_to_be_written_does_too),
		cmocka_unit_test(a_purge_counts_for_what_has_been_read_but_not_taken),
		TIERS_TEST(a_soft_purge_leaves_what_is_read_for_validation_only),
		TIERS_TEST(what_was_asked_for_before_a_purge_is_written_for_nobody),
		TIERS_TEST(a_dropped_write_takes_what_it_would_have_replaced_along),
		TIERS_TEST(a_dropped_renewal_takes_what_it_would_have_renewed_along),
		TIERS_TEST(a_drop_leaves_no_variant_with_an_older_response),
		TIERS_TEST(no_failed_allocation_keeps_a_lookup_from_a_response),
	};

	return TIERS_RUN_OVER_BOTH(tests);
}
