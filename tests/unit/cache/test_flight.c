/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache_internal.h"

#define FRESH "Cache-Control: max-age=60\r\n"

static void all_see(struct herd *h, enum flight_phase phase)
{
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(waiter_look(&h->w[i]).phase, phase);
}

static void waiters_on_all_workers_are_told_of_head_data_and_end(void **state)
{
	struct herd h;
	uint64_t n;

	(void)state;
	herd_begin(&h);
	rig_answer(&h.g, h.f, 200, FRESH, -1, NULL);
	assert_int_equal(h.w[1].told, 0);
	rig_deliver(&h.g);
	all_see(&h, FLIGHT_RESPONSE);
	assert_false(rig_head_has(waiter_look(&h.w[1]).object, "Content-Length"));
	/* News are one message however many there are. */
	flight_body(h.f, "ab", 2);
	flight_body(h.f, "cd", 2);
	rig_deliver(&h.g);
	rig_body_is(waiter_look(&h.w[2]).object, "abcd");
	flight_end(h.f, true, h.g.now);
	rig_deliver(&h.g);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(h.w[i].told, 3);
		assert_int_equal(object_body_state(waiter_look(&h.w[i]).object, &n), BODY_COMPLETE);
	}
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_HIT);
	assert_true(rig_head_has(h.a[1].out.object, "Content-Length: 4\r\n"));
	assert_int_equal(rig_stats(&h.g).collapsed, 2);
	herd_end(&h);
}

static void a_long_body_of_unknown_length_is_stored_in_one_piece(void **state)
{
	static char body[900001];
	struct herd h;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(body); i++)
		body[i] = (char)('a' + i % 26);
	herd_begin(&h);
	rig_answer(&h.g, h.f, 200, FRESH, -1, NULL);
	for (size_t at = 0; at < 900000; at += 9000)
		assert_int_equal(flight_body(h.f, body + at, 9000), FLIGHT_BODY_OK);
	flight_end(h.f, true, h.g.now);
	rig_body_is(waiter_look(&h.w[2]).object, body);
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_HIT);
	assert_int_equal(object_body_at(h.a[1].out.object, 0).n, 900000);
	rig_body_is(h.a[1].out.object, body);
	herd_end(&h);
}

static void an_uncacheable_response_releases_all_and_is_remembered(void **state)
{
	struct herd h;
	enum policy_store why;

	(void)state;
	herd_begin(&h);
	assert_int_equal(rig_answer(&h.g, h.f, 200, "Cache-Control: private\r\n", 5, &why), FLIGHT_PRIVATE);
	assert_int_equal(why, POLICY_NOT_PRIVATE);
	all_see(&h, FLIGHT_RELEASED);
	assert_int_equal(flight_body(h.f, "x", 1), FLIGHT_BODY_NOBODY);
	h.a[1].r.no_join = true;
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_PASS);
	assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_PASS);
	assert_int_equal(rig_stats(&h.g).released, 3);
	herd_end(&h);
}

/* A HEAD leads, alone or for others, and is answered with those fields. */
static void answer_head(struct rig *g, enum cache_verdict of_others, int status, const char *fields)
{
	struct ask a;

	assert_int_equal(ask_for(g, &a, "HEAD /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "HEAD /a", NULL), of_others);
	rig_answer(g, a.out.flight, status, fields, -1, NULL);
	ask_fini(&a);
}

static void heads_that_may_not_be_shared_do_not_wait_for_each_other(void **state)
{
	static const char private[] = "Cache-Control: private\r\n";
	struct rig *g = *state;

	answer_head(g, CACHE_JOIN, 200, private);
	assert_int_equal(rig_stats(g).markers, 1);
	assert_int_equal(rig_verdict(g, "HEAD /a", NULL), CACHE_PASS);
	/* Each second one finds out again. That it meets an error says nothing of what is usual. */
	g->now.mono_ms += 1000;
	answer_head(g, CACHE_PASS, 503, private);
	g->now.mono_ms += 118999;
	cache_sweep(g->c, 100, g->now);
	answer_head(g, CACHE_PASS, 200, FRESH); /* it is for all now */
	answer_head(g, CACHE_JOIN, 500, private);
	assert_int_equal(rig_verdict(g, "HEAD /a", NULL), CACHE_PASS);
	g->now.mono_ms += g->o.failure_memory_ms;
	answer_head(g, CACHE_JOIN, 200, private);
	g->now.mono_ms += 120000;
	cache_sweep(g->c, 100, g->now);
	assert_int_equal(rig_stats(g).markers, 0);
}

static void what_a_head_is_told_keeps_no_get_from_waiting(void **state)
{
	struct rig *g = *state;
	struct ask a;

	answer_head(g, CACHE_JOIN, 200, "Cache-Control: private\r\n");
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_JOIN);
	rig_answer(g, a.out.flight, 200, FRESH, 0, NULL);
	flight_end(a.out.flight, true, g->now);
	assert_int_equal(rig_stats(g).markers, 0);
	ask_fini(&a);
}

static void a_purge_undoes_what_heads_were_told(void **state)
{
	struct rig *g = *state;
	uint64_t seq;

	answer_head(g, CACHE_JOIN, 200, "Cache-Control: private\r\n");
	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/b")}, &seq), 0);
	assert_int_equal(rig_verdict(g, "HEAD /a", NULL), CACHE_PASS);
	assert_int_equal(
		cache_purge_soon(g->c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/a")}, &seq), 0);
	for (unsigned i = 0; i < 1000; i++) /* the rule is not forgotten before the marker is */
		cache_sweep(g->c, 100, g->now);
	answer_head(g, CACHE_JOIN, 200, FRESH);
}

static void a_later_cacheable_response_clears_the_pass_marker(void **state)
{
	struct herd h;

	(void)state;
	herd_begin(&h);
	rig_answer(&h.g, h.f, 200, "Cache-Control: no-store\r\n", 1, NULL);
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_PASS);
	h.g.now.mono_ms += 1000;
	/* One finds out again, alone; the others go on as before. */
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_LEAD);
	assert_int_equal(ask_lookup(&h.g, &h.a[2]), CACHE_PASS);
	rig_answer(&h.g, h.a[1].out.flight, 200, FRESH, 0, NULL);
	flight_end(h.a[1].out.flight, true, h.g.now);
	assert_int_equal(ask_lookup(&h.g, &h.a[2]), CACHE_HIT);
	assert_int_equal(rig_stats(&h.g).markers, 0);
	herd_end(&h);
}

static void event_streams_and_bodies_known_to_be_too_large_are_private(void **state)
{
	struct herd h;
	enum policy_store why;

	(void)state;
	herd_begin(&h);
	assert_int_equal(
		rig_answer(&h.g, h.f, 200, FRESH "Content-Type: text/event-stream; x\r\n", -1, &why), FLIGHT_PRIVATE);
	herd_end(&h);
	herd_begin(&h);
	assert_int_equal(rig_answer(&h.g, h.f, 200, FRESH, (1 << 20) + 1, &why), FLIGHT_PRIVATE);
	assert_int_equal(why, POLICY_NOT_TOO_LARGE);
	assert_int_equal(rig_stats(&h.g).refused_too_large, 1);
	all_see(&h, FLIGHT_RELEASED);
	herd_end(&h);
}

static void a_failed_fetch_fails_all_who_wait(void **state)
{
	struct herd h;

	(void)state;
	herd_begin(&h);
	flight_fail(h.f, 504, h.g.now);
	all_see(&h, FLIGHT_FAILED);
	assert_int_equal(waiter_look(&h.w[1]).status, 504);
	rig_deliver(&h.g);
	assert_int_equal(h.w[2].told, 1);
	herd_end(&h);
}

static void a_short_or_broken_transfer_is_never_stored(void **state)
{
	uint64_t n;

	(void)state;
	for (int round = 0; round < 3; round++) {
		struct herd h;

		herd_begin(&h);
		rig_answer(&h.g, h.f, 200, FRESH, round == 2 ? -1 : 5, NULL);
		flight_body(h.f, round == 1 ? "123456" : "123", round == 1 ? 6 : 3);
		flight_end(h.f, round != 2, h.g.now);
		assert_int_equal(object_body_state(waiter_look(&h.w[1]).object, &n), BODY_BROKEN);
		assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_LEAD);
		flight_abandon(h.a[1].out.flight);
		assert_int_equal(rig_stats(&h.g).objects, 0);
		herd_end(&h);
	}
}

static void an_abandoned_flight_makes_waiters_look_up_again(void **state)
{
	struct herd h;

	(void)state;
	herd_begin(&h);
	flight_abandon(h.f);
	all_see(&h, FLIGHT_RETRY);
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_LEAD);
	flight_abandon(h.a[1].out.flight);
	herd_end(&h);
}

static void waiters_whom_vary_tells_apart_look_up_again_into_a_flight_of_their_own(void **state)
{
	static const char *const fields[3] = {"X-V: 1\r\n", "X-V: 2\r\n", "X-V: 2\r\n"};
	struct herd h;

	(void)state;
	rig_begin(&h.g);
	herd_begin_with(&h, fields[0], fields[1], fields[2]);
	rig_answer(&h.g, h.f, 200, FRESH "Vary: X-V\r\n", 1, NULL);
	assert_int_equal(waiter_look(&h.w[0]).phase, FLIGHT_RESPONSE);
	assert_int_equal(waiter_look(&h.w[1]).phase, FLIGHT_RETRY);
	assert_int_equal(waiter_look(&h.w[2]).phase, FLIGHT_RETRY);
	flight_leave(&h.w[1].w);
	flight_leave(&h.w[2].w);
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_LEAD);
	assert_int_equal(ask_lookup(&h.g, &h.a[2]), CACHE_JOIN);
	assert_ptr_equal(h.a[1].out.flight, h.a[2].out.flight);
	flight_body(h.f, "1", 1);
	flight_end(h.f, true, h.g.now);
	rig_answer(&h.g, h.a[1].out.flight, 200, FRESH "Vary: X-V\r\n", 1, NULL);
	flight_body(h.a[1].out.flight, "2", 1);
	flight_end(h.a[1].out.flight, true, h.g.now);
	/* Vary is known now: classes fly side by side from the start. */
	h.g.now.mono_ms += 100000;
	assert_int_equal(ask_lookup(&h.g, &h.a[0]), CACHE_LEAD);
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_LEAD);
	assert_int_equal(ask_lookup(&h.g, &h.a[2]), CACHE_JOIN);
	flight_abandon(h.a[0].out.flight);
	flight_abandon(h.a[1].out.flight);
	herd_end(&h);
}

static void a_silent_leader_is_not_joined_and_its_waiters_look_up_again(void **state)
{
	struct herd h;

	(void)state;
	herd_begin(&h);
	h.g.now.mono_ms += 5001;
	cache_sweep(h.g.c, 10, h.g.now);
	rig_deliver(&h.g);
	assert_int_equal(h.w[1].told, 1);
	/* The client that led stays with its fetch; the others start one more, together. */
	assert_int_equal(waiter_look(&h.w[0]).phase, FLIGHT_WAITING);
	assert_int_equal(waiter_look(&h.w[1]).phase, FLIGHT_RETRY);
	assert_int_equal(waiter_look(&h.w[2]).phase, FLIGHT_RETRY);
	flight_leave(&h.w[1].w);
	flight_leave(&h.w[2].w);
	assert_int_equal(ask_lookup(&h.g, &h.a[1]), CACHE_LEAD);
	assert_int_equal(ask_lookup(&h.g, &h.a[2]), CACHE_JOIN);
	assert_int_equal(rig_stats(&h.g).leader_timeouts, 1);
	/* The silent one may still come in and be of use. */
	rig_answer(&h.g, h.f, 200, FRESH, 0, NULL);
	flight_end(h.f, true, h.g.now);
	assert_int_equal(waiter_look(&h.w[0]).phase, FLIGHT_RESPONSE);
	assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_HIT);
	flight_abandon(h.a[1].out.flight);
	herd_end(&h);
}

static void bytes_keep_a_leader_from_being_silent(void **state)
{
	struct herd h;

	(void)state;
	herd_begin(&h);
	rig_answer(&h.g, h.f, 200, FRESH, -1, NULL);
	for (int i = 0; i < 5; i++) {
		h.g.now.mono_ms += 3000;
		flight_body(h.f, "x", 1);
		cache_sweep(h.g.c, 10, h.g.now);
		assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_JOIN);
	}
	h.g.now.mono_ms += 6000;
	assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_LEAD);
	flight_end(h.f, false, h.g.now);
	herd_end(&h);
}

static void a_purge_catches_what_is_in_flight(void **state)
{
	struct herd h;
	uint64_t seq;

	(void)state;
	herd_begin(&h);
	assert_int_equal(
		cache_purge_soon(h.g.c, &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/a")}, &seq), 0);
	assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_LEAD);
	rig_answer(&h.g, h.f, 200, FRESH, 1, NULL);
	all_see(&h, FLIGHT_RETRY);
	flight_body(h.f, "x", 1);
	flight_end(h.f, true, h.g.now);
	assert_int_equal(rig_stats(&h.g).objects, 0);
	herd_end(&h);
}

static void who_has_begun_before_a_purge_goes_on(void **state)
{
	struct herd h;
	uint64_t seq;

	(void)state;
	herd_begin(&h);
	rig_answer(&h.g, h.f, 200, FRESH "Cache-Tag: t\r\n", 1, NULL);
	assert_int_equal(waiter_look(&h.w[1]).phase, FLIGHT_RESPONSE);
	assert_int_equal(cache_purge_soon(h.g.c, &(struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("t")}, &seq), 0);
	assert_int_equal(waiter_look(&h.w[1]).phase, FLIGHT_RESPONSE);
	assert_int_equal(waiter_look(&h.w[2]).phase, FLIGHT_RETRY);
	assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_LEAD);
	flight_body(h.f, "x", 1);
	flight_end(h.f, true, h.g.now);
	assert_int_equal(rig_stats(&h.g).objects, 0);
	herd_end(&h);
}

static unsigned resumed;
static void on_resume(void *arg)
{
	(void)arg;
	resumed++;
}

static void pass_on(struct waiter *w, uint64_t *at)
{
	struct object *o = waiter_look(w).object;
	uint64_t n;

	(void)object_body_state(o, &n);
	while (*at < n) {
		struct slice run = object_body_at(o, *at);

		assert_true(run.n > 0);
		assert_int_equal(run.p[0], (char)('a' + *at / 65536 % 26));
		*at += run.n;
	}
	flight_advance(&w->w, *at);
}

static void a_body_that_outgrows_the_bound_goes_through_a_window(void **state)
{
	static char piece[65536];
	struct herd h;
	uint64_t at[3] = {0}, n;
	unsigned pauses = 0;

	(void)state;
	resumed = 0;
	herd_begin(&h);
	flight_on_resume(h.f, on_resume, NULL);
	rig_answer(&h.g, h.f, 200, FRESH, -1, NULL);
	for (int i = 0; i < 100; i++) {
		enum flight_body result;

		memset(piece, 'a' + i % 26, sizeof(piece));
		result = flight_body(h.f, piece, sizeof(piece));
		if (result == FLIGHT_BODY_PAUSE) {
			unsigned before = resumed;

			pauses++;
			pass_on(&h.w[0], &at[0]);
			pass_on(&h.w[1], &at[1]);
			rig_deliver(&h.g);
			assert_int_equal(resumed, before); /* the slowest holds it */
			pass_on(&h.w[2], &at[2]);
			rig_deliver(&h.g);
			assert_int_equal(resumed, before + 1);
			assert_true(rig_stats(&h.g).bytes < 1 << 20);
		}
	}
	assert_true(pauses > 3);
	assert_true(rig_stats(&h.g).bytes < 2 << 20);
	assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_PASS);
	flight_end(h.f, true, h.g.now);
	assert_int_equal(object_body_state(waiter_look(&h.w[1]).object, &n), BODY_COMPLETE);
	assert_int_equal(rig_stats(&h.g).objects, 0);
	herd_end(&h);
}

static void a_windowed_body_that_nobody_reads_is_cancelled(void **state)
{
	static char piece[65536];
	struct herd h;
	enum flight_body result = FLIGHT_BODY_OK;

	(void)state;
	resumed = 0;
	herd_begin(&h);
	flight_on_resume(h.f, on_resume, NULL);
	rig_answer(&h.g, h.f, 200, FRESH, -1, NULL);
	while (result == FLIGHT_BODY_OK)
		result = flight_body(h.f, piece, sizeof(piece));
	assert_int_equal(result, FLIGHT_BODY_PAUSE);
	for (int i = 0; i < 3; i++)
		flight_leave(&h.w[i].w);
	rig_deliver(&h.g);
	assert_int_equal(resumed, 1);
	assert_int_equal(flight_body(h.f, piece, sizeof(piece)), FLIGHT_BODY_NOBODY);
	assert_int_equal(rig_stats(&h.g).flights, 0);
	herd_end(&h);
}

static void the_fill_goes_on_when_all_clients_have_left(void **state)
{
	struct herd h;

	(void)state;
	herd_begin(&h);
	rig_answer(&h.g, h.f, 200, FRESH, -1, NULL);
	for (int i = 0; i < 3; i++)
		flight_leave(&h.w[i].w);
	assert_int_equal(flight_body(h.f, "x", 1), FLIGHT_BODY_OK);
	flight_end(h.f, true, h.g.now);
	assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_HIT);
	herd_end(&h);
}

static void credentials_and_no_join_lead_alone_but_may_store(void **state)
{
	struct rig *g = *state;
	struct ask a, b;

	ask_init(g, &a, "GET /a", "Authorization: x\r\n");
	ask_init(g, &b, "GET /a", NULL);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_int_equal(ask_lookup(g, &b), CACHE_LEAD);
	flight_abandon(b.out.flight);
	rig_answer(g, a.out.flight, 200, FRESH, 1, NULL); /* not to be shared: no marker for the others */
	assert_int_equal(rig_stats(g).markers, 0);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	rig_answer(g, a.out.flight, 200, "Cache-Control: public, max-age=60\r\n", 0, NULL);
	flight_end(a.out.flight, true, g->now);
	assert_int_equal(ask_lookup(g, &b), CACHE_HIT);
	g->now.mono_ms += 100000;
	b.r.no_join = true;
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_int_equal(ask_lookup(g, &b), CACHE_LEAD);
	flight_abandon(a.out.flight);
	flight_abandon(b.out.flight);
	ask_fini(&a);
	ask_fini(&b);
}

static void without_coalescing_everyone_leads(void **state)
{
	struct rig *g = *state;
	struct ask a;

	g->o.coalesce = false;
	rig_restart(g);
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
	flight_abandon(a.out.flight);
	ask_fini(&a);
}

static void waiters_and_flights_are_bounded(void **state)
{
	struct rig *g = *state;
	struct ask a, b;
	struct waiter w;

	g->o.max_waiters = 1;
	g->o.max_flights = 1;
	rig_restart(g);
	ask_init(g, &a, "GET /a", NULL);
	ask_init(g, &b, "GET /b", NULL);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	waiter_join(&w, &a, 0);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_BUSY);
	assert_int_equal(ask_lookup(g, &b), CACHE_BUSY);
	assert_int_equal(rig_stats(g).waiters_refused, 1);
	assert_int_equal(rig_stats(g).flights_refused, 1);
	flight_leave(&w.w);
	flight_leave(&w.w);
	flight_abandon(a.out.flight);
	ask_fini(&a);
	ask_fini(&b);
}

struct quitter {
	struct flight_waiter w;
	struct quitter *other;
	unsigned told;
};

static void quit_both(struct flight_waiter *w)
{
	struct quitter *q = CONTAINER_OF(w, struct quitter, w);

	q->told++;
	flight_leave(&q->other->w);
	flight_leave(w);
}

static void a_waiter_may_make_itself_and_others_leave_while_it_is_told(void **state)
{
	struct quitter q[4] = {{.told = 0}};
	struct rig *g = *state;
	struct ask a;
	unsigned told = 0;

	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	for (int i = 0; i < 4; i++) {
		q[i].w.on_progress = quit_both;
		q[i].other = &q[i ^ 1];
		flight_wait(a.out.flight, 1, NULL, &q[i].w);
	}
	flight_fail(a.out.flight, 502, g->now);
	rig_deliver(g);
	for (int i = 0; i < 4; i++)
		told += q[i].told;
	assert_int_equal(told, 2);
	assert_int_equal(rig_stats(g).waiters, 0);
	ask_fini(&a);
}

struct ender {
	struct flight *flight;
	struct now now;
	_Atomic pid_t tid;
};

static void *end_flight(void *arg)
{
	struct ender *e = arg;

	atomic_store(&e->tid, gettid());
	flight_end(e->flight, true, e->now);
	return NULL;
}

/* Until the kernel says that the thread sleeps: it wants a lock. */
static void wait_until_asleep(struct ender *e)
{
	char path[64], line[256] = "";

	while (!strstr(line, ") S ")) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)atomic_load(&e->tid));
		f = atomic_load(&e->tid) ? fopen(path, "r") : NULL;
		if (f && !fgets(line, sizeof(line), f))
			line[0] = '\0';
		if (f)
			fclose(f);
	}
}

static void who_sees_a_response_whole_finds_nothing_older(void **state)
{
	struct rig g;
	struct ask a;
	struct waiter w;
	struct ender e = {0};
	struct shard *s;
	uint64_t n;
	pthread_t thread;

	(void)state;
	rig_begin(&g);
	rig_store(&g, "GET /a", NULL, FRESH, "old");
	ask_init(&g, &a, "GET /a", NULL);
	cache_refresh(g.c, &a.r, g.now, &a.out);
	waiter_join(&w, &a, 0);
	rig_answer(&g, a.out.flight, 200, FRESH, 3, NULL);
	assert_int_equal(flight_body(a.out.flight, "new", 3), FLIGHT_BODY_OK);
	e.flight = a.out.flight;
	e.now = g.now;
	s = memory_shard(&g.c->memory, &a.key);
	pthread_mutex_lock(&s->mu); /* nothing is stored or looked up now */
	assert_int_equal(pthread_create(&thread, NULL, end_flight, &e), 0);
	wait_until_asleep(&e);
	assert_int_equal(object_body_state(waiter_look(&w).object, &n), BODY_GROWING);
	pthread_mutex_unlock(&s->mu);
	pthread_join(thread, NULL);
	assert_int_equal(object_body_state(waiter_look(&w).object, &n), BODY_COMPLETE);
	flight_leave(&w.w);
	assert_int_equal(ask_lookup(&g, &a), CACHE_HIT);
	rig_body_is(a.out.object, "new");
	ask_fini(&a);
	rig_end(&g);
}

#define PRIVATE "Cache-Control: private\r\nVary: X-V\r\n"
#define PUBLIC "Cache-Control: max-age=1\r\nVary: X-V\r\n"

/* One leads, whoever else may join it, and is answered so. */
static void answer_variant(struct rig *g, const char *what, unsigned v, enum cache_verdict of_others, const char *with)
{
	struct ask a;
	char fields[32];

	snprintf(fields, sizeof(fields), "X-V: %u\r\n", v);
	assert_int_equal(ask_for(g, &a, what, fields), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, what, fields), of_others);
	if (rig_answer(g, a.out.flight, 200, with, 0, NULL) == FLIGHT_STORES)
		flight_end(a.out.flight, true, g->now);
	ask_fini(&a);
}

static void pass_2s(struct rig *g)
{
	g->now.mono_ms += 2001;
	g->now.wall_ms += 2001;
	cache_sweep(g->c, 1000, g->now);
	assert_int_equal(rig_stats(g).objects, 0); /* what is stale and can't be validated has gone */
}

static void a_private_variant_keeps_no_other_from_waiting(void **state)
{
	struct rig *g = *state;

	answer_variant(g, "GET /a", 1, CACHE_JOIN, PRIVATE);
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(rig_verdict(g, "GET /a", "X-V: 1\r\n"), CACHE_PASS);
		answer_variant(g, "GET /a", 2, CACHE_JOIN, PUBLIC);
		/* That one may be stored says nothing of the other either. */
		assert_int_equal(rig_verdict(g, "GET /a", "X-V: 1\r\n"), CACHE_PASS);
		assert_int_equal(rig_verdict(g, "GET /a", "X-V: 2\r\n"), CACHE_HIT);
		pass_2s(g);
		answer_variant(g, "GET /a", 1, CACHE_PASS, PRIVATE); /* finds out again */
	}
	/* What was private is for all now. */
	pass_2s(g);
	answer_variant(g, "GET /a", 1, CACHE_PASS, PUBLIC);
	pass_2s(g);
	answer_variant(g, "GET /a", 1, CACHE_JOIN, PUBLIC);
}

/* Some origins name Vary where they may be stored only. */
static void a_private_response_without_vary_is_of_a_variant_where_others_are(void **state)
{
	struct rig *g = *state;

	answer_variant(g, "GET /a", 2, CACHE_JOIN, PUBLIC);
	answer_variant(g, "GET /a", 1, CACHE_JOIN, "Cache-Control: private\r\n");
	pass_2s(g);
	answer_variant(g, "GET /a", 2, CACHE_JOIN, PUBLIC);
	answer_variant(g, "GET /a", 1, CACHE_PASS, "Cache-Control: private\r\n"); /* finds out again */
}

static void a_page_of_which_each_variant_is_private_is_nobodys_to_wait_for(void **state)
{
	struct rig *g = *state;

	for (unsigned v = 0; v < 9; v++)
		answer_variant(g, "GET /a", v, CACHE_JOIN, PRIVATE);
	assert_int_equal(rig_verdict(g, "GET /a", "X-V: 100\r\n"), CACHE_PASS);
	/* Until one proves to be for all: then it can't be made so again by many that are not. */
	pass_2s(g);
	answer_variant(g, "GET /a", 100, CACHE_PASS, PUBLIC);
	for (unsigned v = 0; v < 100; v++)
		answer_variant(g, "GET /a", v, CACHE_JOIN, PRIVATE);
	assert_int_equal(rig_verdict(g, "GET /a", "X-V: 99\r\n"), CACHE_PASS);
	assert_int_equal(rig_verdict(g, "GET /a", "X-V: 92\r\n"), CACHE_PASS);
	pass_2s(g);
	answer_variant(g, "GET /a", 100, CACHE_JOIN, PUBLIC);
}

static void a_head_of_a_private_variant_keeps_no_other_from_waiting(void **state)
{
	struct rig *g = *state;

	answer_variant(g, "HEAD /a", 1, CACHE_JOIN, PRIVATE);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(rig_verdict(g, "HEAD /a", "X-V: 1\r\n"), CACHE_PASS);
		answer_variant(g, "HEAD /a", 2, CACHE_JOIN, PUBLIC);
	}
}

/* Nobody knew that they were of several variants when they began to wait. */
static void who_waits_for_what_is_another_variants_alone_looks_up_again(void **state)
{
	static const char *const fields[3] = {"X-V: 1\r\n", "X-V: 2\r\n", "X-V: 1\r\n"};
	struct herd h;

	(void)state;
	rig_begin(&h.g);
	herd_begin_with(&h, fields[0], fields[1], fields[2]);
	rig_answer(&h.g, h.f, 200, PRIVATE, 0, NULL);
	assert_int_equal(waiter_look(&h.w[0]).phase, FLIGHT_RELEASED);
	assert_int_equal(waiter_look(&h.w[1]).phase, FLIGHT_RETRY);
	assert_int_equal(waiter_look(&h.w[2]).phase, FLIGHT_RELEASED);
	answer_variant(&h.g, "GET /a", 2, CACHE_JOIN, PUBLIC);
	herd_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiters_on_all_workers_are_told_of_head_data_and_end),
		cmocka_unit_test(a_long_body_of_unknown_length_is_stored_in_one_piece),
		cmocka_unit_test(an_uncacheable_response_releases_all_and_is_remembered),
		RIG_TEST(heads_that_may_not_be_shared_do_not_wait_for_each_other),
		RIG_TEST(what_a_head_is_told_keeps_no_get_from_waiting),
		RIG_TEST(a_purge_undoes_what_heads_were_told),
		cmocka_unit_test(a_later_cacheable_response_clears_the_pass_marker),
		RIG_TEST(a_private_variant_keeps_no_other_from_waiting),
		RIG_TEST(a_private_response_without_vary_is_of_a_variant_where_others_are),
		RIG_TEST(a_page_of_which_each_variant_is_private_is_nobodys_to_wait_for),
		RIG_TEST(a_head_of_a_private_variant_keeps_no_other_from_waiting),
		cmocka_unit_test(who_waits_for_what_is_another_variants_alone_looks_up_again),
		cmocka_unit_test(event_streams_and_bodies_known_to_be_too_large_are_private),
		cmocka_unit_test(a_failed_fetch_fails_all_who_wait),
		cmocka_unit_test(a_short_or_broken_transfer_is_never_stored),
		cmocka_unit_test(an_abandoned_flight_makes_waiters_look_up_again),
		cmocka_unit_test(waiters_whom_vary_tells_apart_look_up_again_into_a_flight_of_their_own),
		cmocka_unit_test(a_silent_leader_is_not_joined_and_its_waiters_look_up_again),
		cmocka_unit_test(bytes_keep_a_leader_from_being_silent),
		cmocka_unit_test(a_purge_catches_what_is_in_flight),
		cmocka_unit_test(who_has_begun_before_a_purge_goes_on),
		cmocka_unit_test(a_body_that_outgrows_the_bound_goes_through_a_window),
		cmocka_unit_test(a_windowed_body_that_nobody_reads_is_cancelled),
		cmocka_unit_test(the_fill_goes_on_when_all_clients_have_left),
		RIG_TEST(credentials_and_no_join_lead_alone_but_may_store),
		RIG_TEST(without_coalescing_everyone_leads),
		RIG_TEST(waiters_and_flights_are_bounded),
		RIG_TEST(a_waiter_may_make_itself_and_others_leave_while_it_is_told),
		cmocka_unit_test(who_sees_a_response_whole_finds_nothing_older),
	};

	return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
