/* SPDX-License-Identifier: MIT */
/* Puts, gets, purges, forgetting and reclaim at the same time: no response from before a purge that was answered. */
#include "disk_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS 24
#define ROUNDS 1500

struct shared {
	struct rig r;
	_Atomic unsigned version;
	_Atomic uint64_t floor[KEYS]; /* the last purge of it that was answered */
};

static void name_of(unsigned k, char url[40])
{
	snprintf(url, 40, "http://o/%u/%u", k % 3, k);
}

static void *putter(void *arg)
{
	struct shared *s = arg;
	char url[40];

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned version = atomic_fetch_add(&s->version, 1) + 1;
		size_t n = version % 97 == 0 ? 20000 : version % 2000;

		name_of(version % KEYS, url);
		(void)drig_put(&s->r,
			&(struct response){.url = url, .version = version, .body_n = n, .refresh = version % 11 == 0});
	}
	return NULL;
}

static void *getter(void *arg)
{
	struct shared *s = arg;
	char url[40];

	for (unsigned i = 0; i < 2 * ROUNDS; i++) {
		unsigned k = i % KEYS;
		uint64_t floor = atomic_load(&s->floor[k]);
		int found;

		name_of(k, url);
		found = i % 2 ? drig_find(&s->r, url) : drig_find_by_message(&s->r, url);
		if (found < 0)
			continue;
		if (drig_epoch < floor)
			abort(); /* cmocka's own way out is for the first thread only */
	}
	return NULL;
}

static void *purger(void *arg)
{
	struct shared *s = arg;
	char url[40];
	uint64_t seq;

	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		bool prefix = i % 4 == 0;
		unsigned k = i % KEYS;

		name_of(k, url);
		if (i % 7 == 0)
			drig_forget(s->r.d, drig_hash(url));
		if (disk_purge(s->r.d,
			    &(struct purge){.kind = prefix ? PURGE_PREFIX : PURGE_URL,
				    .what = prefix ? SLICE_LIT("http://o/1/") : slice_of(url)},
			    1, i % 2, &seq) != 0)
			abort();
		for (unsigned j = 0; j < KEYS; j++)
			if (prefix ? j % 3 == 1 : j == k)
				atomic_store(&s->floor[j], seq);
		(void)drig_find(&s->r, url);
	}
	return NULL;
}

static void threads_in_all_parts_at_once_agree(void **state)
{
	static struct shared s;
	void *(*const roles[])(void *) = {putter, putter, getter, getter, purger};
	pthread_t threads[ARRAY_LEN(roles)];

	(void)state;
	drig_init(&s.r);
	drig_open(&s.r);
	for (unsigned i = 0; i < ARRAY_LEN(roles); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, roles[i], &s), 0);
	for (unsigned i = 0; i < ARRAY_LEN(roles); i++)
		pthread_join(threads[i], NULL);
	disk_flush(s.r.d);
	assert_true(drig_stats(&s.r).bytes <= s.r.o.size);
	drig_reopen(&s.r);
	assert_true(drig_stats(&s.r).objects > 0);
	drig_fini(&s.r);
}

/* One after the other, so that the order of things is known, over threads that work in the background. */
static void what_was_purged_never_returns_while_segments_come_and_go(void **state)
{
	static struct shared s;
	static int newest[KEYS], allowed[KEYS];
	uint64_t rng = 7;
	char url[40];

	(void)state;
	drig_init(&s.r);
	drig_open(&s.r);
	for (unsigned i = 1; i < 6000; i++) {
		unsigned k, op;
		int found;

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		k = (unsigned)(rng >> 33) % KEYS;
		op = (unsigned)(rng >> 50) % 16;
		name_of(k, url);
		if (op < 6) {
			newest[k] = (int)i;
			(void)drig_put(&s.r, &(struct response){.url = url, .version = i, .body_n = 500 + i % 5000});
		} else if (op == 6) {
			drig_purge(&s.r, PURGE_URL, url, false);
			allowed[k] = (int)i;
		} else if (op == 7 && i % 8 == 0) {
			drig_purge(&s.r, PURGE_PREFIX, "http://o/2/", false);
			for (unsigned j = 2; j < KEYS; j += 3)
				allowed[j] = (int)i;
		} else if (op == 8 && i % 50 == 0) {
			drig_reopen(&s.r);
		} else {
			found = op % 2 ? drig_find(&s.r, url) : drig_find_by_message(&s.r, url);
			assert_true(found == -1 || (found >= allowed[k] && found <= newest[k]));
		}
	}
	assert_true(drig_stats(&s.r).bytes <= s.r.o.size);
	drig_fini(&s.r);
}

static void closing_answers_what_is_under_way(void **state)
{
	struct rig r;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		drig_init(&r);
		drig_open(&r);
		for (unsigned k = 0; k < 20; k++)
			(void)drig_put(&r, &(struct response){.url = "http://o/a", .version = k, .body_n = 500});
		drig_close(&r); /* writes what is queued */
		drig_open(&r);
		assert_int_equal(drig_find(&r, "http://o/a"), 19);
		drig_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_in_all_parts_at_once_agree),
		cmocka_unit_test(what_was_purged_never_returns_while_segments_come_and_go),
		cmocka_unit_test(closing_answers_what_is_under_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
