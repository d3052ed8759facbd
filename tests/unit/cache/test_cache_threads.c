/* SPDX-License-Identifier: MIT */
/* Workers that lead, join, stream, leave and store on a few keys, with purges and sweeps in between. Every byte that any
 * of them is given must belong to its key. Run under the thread sanitizer. */
#include "rig.h"

#include "cache/cache_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 6
#define CLIENTS 8
#ifndef ROUNDS
#define ROUNDS 4000
#endif

static struct rig rig;
static _Atomic int64_t mono_ms;
static _Atomic unsigned working;

struct client {
	struct flight_waiter w; /* first */
	struct worker *worker;
	struct ask a;
	struct flight *leads; /* NULL: it does not, or it is done */
	unsigned step, key;
	bool active, waits;
	uint64_t at;
};

struct worker {
	unsigned id, started, finished, hits, served, retried, dice;
	struct client clients[CLIENTS];
};

static struct now now_of(void)
{
	int64_t ms = atomic_load(&mono_ms);

	return (struct now){ms, 1700000000000 + ms};
}

static unsigned roll(struct worker *w, unsigned n)
{
	w->dice = w->dice * 1664525u + 1013904223u;
	return (w->dice >> 8) % n;
}

static bool body_is_of(const struct object *o, unsigned key, uint64_t *at)
{
	uint64_t n;

	(void)object_body_state(o, &n);
	while (*at < n) {
		struct slice run = object_body_at(o, *at);

		for (size_t i = 0; i < run.n; i += 97)
			if (run.p[i] != (char)('a' + key))
				return false;
		*at += run.n;
	}
	return true;
}

static void finish(struct client *c)
{
	flight_leave(&c->w);
	c->waits = false;
	if (!c->leads) {
		ask_fini(&c->a);
		c->active = false;
		c->worker->finished++;
	}
}

static void look(struct flight_waiter *w)
{
	struct client *c = (struct client *)(void *)w;
	struct flight_view v;
	uint64_t n;

	flight_look(w, &v);
	if (v.phase == FLIGHT_WAITING)
		return;
	if (v.phase == FLIGHT_RESPONSE) {
		enum body_state s = object_body_state(v.object, &n);

		if (!body_is_of(v.object, c->key, &c->at))
			abort();
		flight_advance(w, c->at);
		if (s == BODY_GROWING && roll(c->worker, 50) != 0)
			return;
		c->worker->served++;
	} else if (v.phase == FLIGHT_RETRY) {
		c->worker->retried++;
	}
	finish(c);
}

static void begin(struct worker *w, struct client *c)
{
	char target[16];

	c->worker = w;
	c->active = true;
	c->step = 0;
	c->at = 0;
	c->key = roll(w, KEYS);
	w->started++;
	snprintf(target, sizeof(target), "GET /%u", c->key);
	ask_init(&rig, &c->a, target, NULL);
	c->a.r.worker = w->id;
	cache_lookup(rig.c, &c->a.r, now_of(), &c->a.out);
	if (c->a.out.object) {
		w->hits++;
		if (!body_is_of(c->a.out.object, c->key, &c->at))
			abort();
		c->at = 0;
	}
	if (c->a.out.verdict == CACHE_LEAD || (c->a.out.verdict == CACHE_STALE && c->a.out.flight))
		c->leads = c->a.out.flight;
	if (c->a.out.verdict == CACHE_LEAD || c->a.out.verdict == CACHE_JOIN) {
		c->w.on_progress = look;
		c->waits = true;
		flight_wait(c->a.out.flight, w->id, &c->a.http.fields, &c->w);
		look(&c->w);
	} else if (!c->leads) {
		finish(c);
	}
}

/* The fetch, in steps. Some break off, some fail, some may not be stored, one outgrows the bound. */
static void lead_on(struct client *c)
{
	static const char *const fields = "Cache-Control: max-age=2, stale-while-revalidate=2\r\n";
	struct flight *f = c->leads;
	unsigned step = c->step++, fate = roll(c->worker, 40);
	struct flight_response a = {.status = 200, .content_length = c->key % 2 ? 30000 : -1};
	struct http_fields list;
	enum policy_store why;
	bool done = false;

	if (step == 0) {
		if (fate == 0) {
			flight_fail(f, 502, now_of());
			done = true;
		} else {
			struct slice cc = fate == 1 ? SLICE_LIT("no-store") : slice_of(fields + 15);

			cc.n -= fate == 1 ? 0 : 2;
			http_fields_init(&list);
			a.fields = &list;
			a.now = a.request_time = now_of();
			if (http_fields_add(&list, SLICE_LIT("Cache-Control"), cc) != 0)
				abort();
			done = flight_response(f, &a, &why) != FLIGHT_STORES;
			http_fields_fini(&list);
		}
	} else if (step <= 10) {
		char piece[3000];

		memset(piece, 'a' + (int)c->key, sizeof(piece));
		done = flight_body(f, piece, sizeof(piece)) == FLIGHT_BODY_NOBODY;
	} else {
		flight_end(f, fate != 2, now_of());
		done = true;
	}
	if (!done)
		return;
	c->leads = NULL;
	if (!c->waits)
		finish(c);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned busy = 1;

	while (busy) {
		busy = w->started < ROUNDS;
		for (unsigned i = 0; i < CLIENTS; i++) {
			struct client *c = &w->clients[i];

			if (!c->active && w->started < ROUNDS)
				begin(w, c);
			if (c->active && c->leads)
				lead_on(c);
			busy += c->active;
		}
		mailbox_deliver(&rig.mailboxes[w->id]);
	}
	atomic_fetch_sub(&working, 1);
	return NULL;
}

/* As if all were spread thinly: regions are left, and the walk that follows moves what is in them. */
static void begin_to_move(void)
{
	for (unsigned pool = 0; pool < HEAP_POOLS; pool++)
		(void)heap_leave(&rig.c->memory.heap, pool, 4);
	rig.c->memory.compacting = COMPACT_MOVE;
}

static void *disturb(void *arg)
{
	static const char *const urls[] = {"http://o/0", "http://o/1", "http://o/"};
	uint64_t seq;

	(void)arg;
	for (unsigned i = 0; atomic_load(&working) > 0; i++) {
		atomic_fetch_add(&mono_ms, 5);
		if (i % 7 == 0 && cache_purge_soon(rig.c,
					  &(struct purge){.kind = i % 3 == 2 ? PURGE_PREFIX : PURGE_URL,
						  .what = slice_of(urls[i % 3]),
						  .soft = i % 2 == 0},
					  &seq) != 0)
			abort();
		if (i % 5 == 0)
			begin_to_move();
		cache_sweep(rig.c, 4, now_of());
	}
	return NULL;
}

static void run(uint64_t memory_bytes, uint64_t max_object)
{
	static struct worker workers[RIG_WORKERS];
	pthread_t threads[RIG_WORKERS + 1];
	unsigned served = 0, finished = 0;

	memset(workers, 0, sizeof(workers));
	rig_options(&rig);
	rig.o.memory_bytes = memory_bytes;
	rig.o.max_object_bytes = max_object;
	rig.rules.coalesce_timeout_ms = 100;
	rig.o.pass_memory_ms = 50;
	rig.o.failure_memory_ms = 5;
	rig.o.max_invalidation_rules = 8;
	rig_start(&rig);
	rig.c->memory.heap.small_max = HEAP_SMALL_MAX; /* under ASan too */
	atomic_store(&mono_ms, 1000000);
	atomic_store(&working, RIG_WORKERS);
	for (unsigned i = 0; i < RIG_WORKERS; i++) {
		workers[i].id = i;
		workers[i].dice = i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	assert_int_equal(pthread_create(&threads[RIG_WORKERS], NULL, disturb, NULL), 0);
	for (unsigned i = 0; i <= RIG_WORKERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < RIG_WORKERS; i++) {
		finished += workers[i].finished;
		served += workers[i].served;
		print_message("worker %u: %u hits, %u streamed, %u retried\n", i, workers[i].hits, workers[i].served,
			workers[i].retried);
	}
	assert_int_equal(finished, RIG_WORKERS * ROUNDS);
	assert_true(served > 0);
	assert_int_equal(rig_stats(&rig).flights, 0);
	assert_int_equal(rig_stats(&rig).waiters, 0);
	assert_true(rig_stats(&rig).bytes <= memory_bytes);
	print_message("%llu moved\n", (unsigned long long)rig_stats(&rig).moved);
	rig_end(&rig);
}

static void nobody_gets_the_bytes_of_another_key(void **state)
{
	(void)state;
	run(8 << 20, 1 << 20);
}

static void nor_when_memory_is_short(void **state)
{
	(void)state;
	run(150000, 1 << 20);
}

static void nor_when_bodies_outgrow_the_bound(void **state)
{
	(void)state;
	run(8 << 20, 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_gets_the_bytes_of_another_key),
		cmocka_unit_test(nor_when_memory_is_short),
		cmocka_unit_test(nor_when_bodies_outgrow_the_bound),
	};

	return cmocka_run_group_tests_name("cache threads", tests, NULL, NULL);
}
