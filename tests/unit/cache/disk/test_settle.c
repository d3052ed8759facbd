/* SPDX-License-Identifier: MIT */
/* Rules go although segments stay that are older than they: what was purged stays away, through restarts and crashes, and what was
 * not is found. */
#include "disk_rig.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/disk/store_internal.h"

#define RULES 8
#define OTHERS 40 /* purges of what is not stored: more than enough to have all judged anew */

static void set_up(struct rig *r)
{
	drig_init(r);
	r->o.settle_rules = RULES;
	drig_open(r);
}

static void purge_others(struct rig *r)
{
	for (unsigned i = 0; i < OTHERS; i++) {
		char url[40];

		snprintf(url, sizeof(url), "http://none/%u", i);
		drig_purge(r, PURGE_URL, url, false);
	}
}

/* The reclaimer would look once a second. */
static void wake_reclaimer(struct rig *r)
{
	struct segments *t = &disk_of(r->d)->segments;

	pthread_mutex_lock(&t->mu);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mu);
	sched_yield();
}

/* Nothing in the segments is older than what was purged up to now, and its rules are no more. */
static void settle(struct rig *r)
{
	uint64_t seq;

	purge_others(r);
	seq = invalidation_now(r->invalidation);
	while (disk_oldest_epoch(r->d) < seq - RULES)
		wake_reclaimer(r);
	while (!invalidation_retire(r->invalidation, disk_oldest_epoch(r->d), 1u << 20))
		continue;
	assert_true(invalidation_rules(r->invalidation) <= RULES);
}

/* With a checkpoint that knows no rule of what was purged. */
static void reopen(struct rig *r)
{
	assert_int_equal(disk_checkpoint(disk_of(r->d)), 0);
	drig_reopen(r);
}

static void rules_go_and_what_is_valid_stays(void **state)
{
	struct rig r;
	struct disk_stats s;

	(void)state;
	set_up(&r);
	drig_store(&r, &(struct response){.url = "http://o/a", .version = 1, .body_n = 300, .tag = "t"});
	drig_store(&r, &(struct response){.url = "http://o/b", .version = 2, .body_n = 300, .tag = "u"});
	drig_store(&r, &(struct response){.url = "http://o/c", .version = 3, .body_n = 70000});
	drig_store(&r, &(struct response){.url = "http://o/d", .version = 4, .body_n = 300});
	drig_purge(&r, PURGE_TAG, "t", false);
	drig_purge(&r, PURGE_URL, "http://o/d", true);
	settle(&r);
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(drig_find(&r, "http://o/a"), -1);
		assert_int_equal(drig_find(&r, "http://o/b"), 2);
		assert_int_equal(drig_find(&r, "http://o/c"), 3);
		assert_int_equal(drig_find(&r, "http://o/d"), -1);
		if (round < 2)
			reopen(&r);
	}
	/* What it costs: each record that there is, once in a round. */
	purge_others(&r);
	settle(&r);
	s = drig_stats(&r);
	assert_in_range(s.settled_records, 2, 2 * s.settled_segments);
	/* A purge that comes later finds them as before. */
	drig_purge(&r, PURGE_URL, "http://o/b", false);
	assert_int_equal(drig_find(&r, "http://o/b"), -1);
	reopen(&r);
	assert_int_equal(drig_find(&r, "http://o/b"), -1);
	assert_int_equal(drig_find(&r, "http://o/c"), 3);
	drig_fini(&r);
}

/* What it will take is valid now, and must not be noted as valid for good. */
static void a_purge_that_is_spread_takes_all_though_records_are_judged_meanwhile(void **state)
{
	struct now began = clock_now(), now;
	struct rig r;
	char url[40];
	uint64_t seq;

	(void)state;
	set_up(&r);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(url, sizeof(url), "http://o/%u", i);
		drig_store(&r, &(struct response){.url = url, .version = i, .body_n = 300, .tag = "t"});
	}
	assert_int_equal(
		disk_purge(r.d,
			&(struct purge){
				.kind = PURGE_TAG, .what = SLICE_LIT("t"), .spread = purge_spread(began.wall_ms, 500)},
			1, true, &seq),
		0);
	purge_others(&r);
	do
		wake_reclaimer(&r);
	while ((now = clock_now()).mono_ms - began.mono_ms < 600);
	now.mono_ms += 10000;
	while (invalidation_is_spreading(r.invalidation))
		invalidation_end_spreads(r.invalidation, now);
	settle(&r);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 20; i++) {
			snprintf(url, sizeof(url), "http://o/%u", i);
			assert_int_equal(drig_find(&r, url), -1);
		}
		if (round == 0)
			reopen(&r);
	}
	drig_fini(&r);
}

static void a_span_goes_on_in_the_next_run(void **state)
{
	struct rig r;
	uint64_t seq;

	(void)state;
	set_up(&r);
	drig_store(&r, &(struct response){.url = "http://o/a", .version = 1, .body_n = 300, .tag = "t"});
	assert_int_equal(
		disk_purge(r.d,
			&(struct purge){.kind = PURGE_ALL, .spread = purge_spread(clock_now().wall_ms, 86400000)}, 1,
			true, &seq),
		0);
	for (unsigned round = 0; round < 3; round++) {
		assert_true(invalidation_is_spreading(r.invalidation));
		if (round == 1)
			reopen(&r); /* from a checkpoint */
		else
			drig_reopen(&r); /* from the journal */
	}
	drig_fini(&r);
}

/* A record that was purged had taken the place of older ones, which no purge names. */
static void what_a_purged_one_had_replaced_stays_away(void **state)
{
	struct rig r;

	(void)state;
	set_up(&r);
	drig_store(&r,
		&(struct response){
			.url = "http://o/a", .version = 1, .body_n = 300, .names = "accept-language", .values = "en"});
	settle(&r); /* the first lies in a segment of its own */
	drig_store(&r, &(struct response){.url = "http://o/a", .version = 2, .body_n = 300, .tag = "t"});
	drig_purge(&r, PURGE_TAG, "t", false);
	settle(&r);
	assert_int_equal(drig_find_variant(&r, "http://o/a", "en", NULL), -1);
	reopen(&r);
	assert_int_equal(drig_find_variant(&r, "http://o/a", "en", NULL), -1);
	assert_int_equal(drig_find(&r, "http://o/a"), -1);
	drig_fini(&r);
}

static void store_with_new_head(struct rig *r, const char *url, const char *tag)
{
	drig_store(r, &(struct response){.url = url, .version = 1, .body_n = 70000});
	settle(r); /* body and head are in segments that are judged at different times */
	drig_store(r,
		&(struct response){
			.url = url, .version = 1, .body_n = 70000, .refresh = true, .is_new_head = true, .tag = tag});
	settle(r);
}

/* A body is there for its head alone. */
static void a_body_goes_with_its_head_and_stays_with_it(void **state)
{
	struct rig r;

	(void)state;
	set_up(&r);
	store_with_new_head(&r, "http://o/a", "t");
	store_with_new_head(&r, "http://o/b", "u");
	reopen(&r);
	assert_true(drig_has_new_head(&r, "http://o/a"));
	drig_purge(&r, PURGE_TAG, "t", false);
	settle(&r);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(drig_find(&r, "http://o/a"), -1);
		assert_true(drig_has_new_head(&r, "http://o/b"));
		reopen(&r);
	}
	drig_fini(&r);
}

static void remove_last(const char *path)
{
	struct dirent **v = NULL;
	char name[512];
	int n = scandir(path, &v, NULL, alphasort), last = n - 1;

	while (last > 0 && strncmp(v[last]->d_name, "seg-", 4) != 0)
		last--;
	snprintf(name, sizeof(name), "%s/%s", path, v[last]->d_name);
	assert_int_equal(unlink(name), 0);
	for (int i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

/* Its head's segment has been reclaimed: with the head that it had before, it would be an older response. */
static void a_body_without_its_head_is_nothing(void **state)
{
	struct rig r;

	(void)state;
	set_up(&r);
	store_with_new_head(&r, "http://o/a", "t");
	reopen(&r);
	assert_true(drig_has_new_head(&r, "http://o/a"));
	drig_close(&r);
	remove_last(r.path);
	drig_open(&r);
	assert_int_equal(drig_find(&r, "http://o/a"), -1);
	drig_fini(&r);
}

/* The process ends at a byte of a footer that is written anew: the rules are still there then. */
static void a_crash_in_between_brings_nothing_back(void **state)
{
	bool came = true;

	(void)state;
	for (long bytes = 0; came; bytes += 37) {
		struct rig r;
		int64_t until_ms;

		set_up(&r);
		drig_store(&r, &(struct response){.url = "http://o/a", .version = 1, .body_n = 300});
		drig_store(&r, &(struct response){.url = "http://o/b", .version = 2, .body_n = 300});
		drig_reopen(&r); /* sealed */
		drig_purge(&r, PURGE_URL, "http://o/a", false);
		for (unsigned i = 0; i < RULES; i++) {
			char url[40];

			snprintf(url, sizeof(url), "http://none/%u", i);
			drig_purge(&r, PURGE_URL, url, false);
		}
		atomic_store(&r.io.bytes_left, bytes);
		until_ms = clock_now().mono_ms + 20000;
		while (!atomic_load(&r.io.is_dead) && drig_stats(&r).settled_segments == 0 &&
			clock_now().mono_ms < until_ms)
			wake_reclaimer(&r);
		came = atomic_load(&r.io.is_dead);
		drig_reopen(&r);
		assert_int_equal(drig_find(&r, "http://o/a"), -1);
		assert_int_equal(drig_find(&r, "http://o/b"), 2);
		settle(&r);
		reopen(&r);
		assert_int_equal(drig_find(&r, "http://o/a"), -1);
		assert_int_equal(drig_find(&r, "http://o/b"), 2);
		drig_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_go_and_what_is_valid_stays),
		cmocka_unit_test(a_purge_that_is_spread_takes_all_though_records_are_judged_meanwhile),
		cmocka_unit_test(a_span_goes_on_in_the_next_run),
		cmocka_unit_test(what_a_purged_one_had_replaced_stays_away),
		cmocka_unit_test(a_body_goes_with_its_head_and_stays_with_it),
		cmocka_unit_test(a_body_without_its_head_is_nothing),
		cmocka_unit_test(a_crash_in_between_brings_nothing_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
