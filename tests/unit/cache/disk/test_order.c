/* SPDX-License-Identifier: MIT */
/* In whatever order segments are reclaimed, and whatever was kept meanwhile: no start brings back what has been replaced. */
#include "disk_rig.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/disk/store_internal.h"

#define A "http://o/a"
#define TURNS 12000
#define KEYS 12

static int setup(void **state)
{
	static struct rig rig;

	drig_init(&rig);
	rig.o.size = 1 << 20;
	rig.o.segment_bytes = 64 << 10;
	drig_open(&rig);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	drig_fini(*state);
	return 0;
}

static bool is_there(struct rig *r, const char *url)
{
	return index_has(&disk_of(r->d)->index, drig_hash(url));
}

static void store(struct rig *r, unsigned version, size_t n)
{
	drig_store(r, &(struct response){.url = A, .version = version, .body_n = n});
}

/* Others come, and A is asked for meanwhile, until `is_enough` says so. */
static void fill(struct rig *r, bool asked, bool (*is_enough)(struct rig *r))
{
	static unsigned last;
	char url[40];

	for (unsigned i = 0; !is_enough(r); i++) {
		assert_true(i < 5000);
		snprintf(url, sizeof(url), "http://o/fill/%u", ++last);
		drig_store(r, &(struct response){.url = url, .version = last, .body_n = 1000});
		if (asked)
			assert_int_equal(drig_find(r, A), 1);
		drig_wait_room(r);
	}
}

static bool has_copied(struct rig *r)
{
	return drig_stats(r).reinserted > 0;
}

static bool has_lost_it(struct rig *r)
{
	return !is_there(r, A);
}

static void assert_nothing_comes_back(struct rig *r)
{
	drig_reopen(r);
	assert_int_equal(drig_find(r, A), -1);
}

static void nor_what_was_copied_before_it_was_replaced(void **state)
{
	struct rig *r = *state;

	store(r, 1, 1000);
	fill(r, true, has_copied);
	store(r, 2, 1000);
	fill(r, false, has_lost_it);
	assert_nothing_comes_back(r);
}

/* Its copy's segment is not full for long. */
static void nor_what_was_copied_long_before_it_was_replaced(void **state)
{
	struct rig *r = *state;
	char url[40];

	store(r, 1, 1000);
	fill(r, true, has_copied);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(url, sizeof(url), "http://o/between/%u", i);
		drig_store(r, &(struct response){.url = url, .body_n = 1000});
	}
	drig_wait_room(r);
	store(r, 2, 1000);
	fill(r, false, has_lost_it);
	assert_nothing_comes_back(r);
}

static void nor_what_was_written_while_its_successor_arrived(void **state)
{
	struct rig *r = *state;
	const struct response v2 = {.url = A, .version = 2, .body_n = 150000};
	struct tier_stream *st;
	const char *body;

	assert_int_equal(drig_stream_begin(r, &v2, true, &st, &body), 0);
	assert_int_equal(disk_stream_write(st, body, 140000), TIER_FLOWS);
	while (drig_files(r, "seg-") == 0)
		sched_yield();
	for (unsigned i = 0; i < 100; i++) {
		char url[40];

		snprintf(url, sizeof(url), "http://o/meanwhile/%u", i);
		drig_store(r, &(struct response){.url = url, .body_n = 1000});
	}
	store(r, 1, 1000);
	assert_int_equal(disk_stream_write(st, body + 140000, 10000), TIER_FLOWS);
	disk_stream_end(&st, TIER_END_WHOLE);
	disk_flush(r->d);
	assert_int_equal(drig_find(r, A), 2);
	drig_reopen(r); /* which also forgets that it was asked for */
	assert_int_equal(drig_find(r, A), 2);
	drig_reopen(r);
	fill(r, false, has_lost_it);
	assert_nothing_comes_back(r);
}

static bool has_reclaimed(struct rig *r)
{
	return drig_stats(r).reclaimed_segments > 0;
}

/* What replaced it is purged: whole segments without a live record. Those go by their age, as a forgotten key each would be many. */
static void nor_much_that_was_purged(void **state)
{
	enum { MANY = 400 };
	struct rig *r = *state;
	char url[40];

	for (unsigned version = 1; version <= 2; version++)
		for (unsigned i = 0; i < MANY; i++) {
			snprintf(url, sizeof(url), "http://o/many/%u", i);
			drig_store(r, &(struct response){.url = url,
					      .version = version,
					      .body_n = 100,
					      .tag = version == 2 ? "second" : "first"});
			snprintf(url, sizeof(url), "http://o/live/%u", i);
			if (version == 1 && i % 20 == 0)
				drig_store(r, &(struct response){.url = url, .body_n = 100});
		}
	drig_purge(r, PURGE_TAG, "second", false);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(url, sizeof(url), "http://o/many/%u", i);
		assert_int_equal(drig_find(r, url), -1);
	}
	fill(r, false, has_reclaimed);
	assert_int_equal(drig_stats(r).forgets, 0);
	drig_reopen(r);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(url, sizeof(url), "http://o/many/%u", i);
		assert_int_equal(drig_find(r, url), -1);
	}
}

/* ---- Anything ---- */

static size_t some_size(void)
{
	return rand() % 4 ? 200 + (size_t)rand() % 3000 : 9000 + (size_t)rand() % 30000;
}

static void replace(struct rig *r, const char *url, unsigned version)
{
	struct response a = {.url = url, .version = version, .body_n = some_size()};

	a.tag = version % 3 ? NULL : version % 2 ? "odd" : "even";
	if (rand() % 4 == 0)
		assert_int_equal(drig_stream(r, &a, rand() % 2, 5000, true), 0);
	else
		drig_store(r, &a);
}

static void one_turn(struct rig *r, unsigned turn, unsigned newest[KEYS])
{
	unsigned key = (unsigned)rand() % KEYS, what = (unsigned)rand() % 100;
	char url[40];
	int found;

	snprintf(url, sizeof(url), "http://o/key/%u", key);
	if (what < 8) {
		replace(r, url, newest[key] = turn);
	} else if (what < 30) {
		found = drig_find(r, url);
		if (found != -1 && found != (int)newest[key])
			fail_msg("turn %u: %s is %d after it was %u", turn, url, found, newest[key]);
	} else if (what == 30) {
		drig_purge(r, PURGE_TAG, rand() % 2 ? "odd" : "even", false);
	} else if (what == 31 && rand() % 4 == 0) {
		drig_reopen(r);
	} else {
		snprintf(url, sizeof(url), "http://o/fill/%u", turn);
		drig_store(r, &(struct response){.url = url, .version = turn, .body_n = some_size()});
	}
}

static void nor_anything_else(void **state)
{
	struct rig *r = *state;
	unsigned newest[KEYS] = {0};

	for (unsigned seed = 1; seed <= 3; seed++) {
		srand(seed);
		for (unsigned turn = 1; turn <= TURNS; turn++)
			one_turn(r, turn + seed * TURNS, newest);
	}
	assert_true(drig_stats(r).dropped_error == 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(nor_what_was_copied_before_it_was_replaced),
		CASE(nor_what_was_copied_long_before_it_was_replaced),
		CASE(nor_what_was_written_while_its_successor_arrived),
		CASE(nor_much_that_was_purged),
		CASE(nor_anything_else),
	};
#undef CASE

	return cmocka_run_group_tests(tests, NULL, NULL);
}
