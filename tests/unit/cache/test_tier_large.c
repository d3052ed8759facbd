/* SPDX-License-Identifier: MIT */
/* Responses larger than memory is to hold: a flight that writes them to disk while they pass, and what reads them from there. */
#include "tier_rig.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "base/mem.h"
#include "cache/body_reader.h"

#define FRESH "Cache-Control: max-age=60\r\nETag: \"a\"\r\n"
#define BODY_N 300001
#define PIECE 10007

struct large {
	struct tiers t;
	char *body;
	struct ask a; /* the leader's */
	struct waiter w;
	unsigned resumed;
};

static int setup(void **state)
{
	struct large *l = mem_zalloc(sizeof(*l));

	assert_non_null(l);
	l->body = mem_alloc(BODY_N);
	assert_non_null(l->body);
	for (size_t i = 0; i < BODY_N; i++)
		l->body[i] = (char)(i * 2654435761u >> 13);
	tiers_begin(&l->t);
	l->t.o.queue_bytes = 512 * 1024;
	l->t.g.o.max_object_bytes = 65536;
	tiers_restart(&l->t);
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	struct large *l = *state;

	atomic_store(&tiers_device.is_held, false); /* of a test that failed */
	tiers_end(&l->t);
	mem_free(l->body);
	mem_free(l);
	return 0;
}

static void on_resume(void *arg)
{
	((struct large *)arg)->resumed++;
}

/* A flight with that response's head; with a client that waits, or none. */
static struct flight *begin(struct large *l, int64_t length, bool has_client)
{
	struct flight *f;

	ask_init(&l->t.g, &l->a, "GET /large", NULL);
	assert_int_equal(tiers_look_up(&l->t, &l->a), CACHE_LEAD);
	f = l->a.out.flight;
	flight_on_resume(f, on_resume, l);
	memset(&l->w, 0, sizeof(l->w));
	if (has_client)
		waiter_join(&l->w, &l->a, 0);
	assert_int_equal(rig_answer(&l->t.g, f, 200, FRESH, length, NULL), FLIGHT_STORES);
	return f;
}

static void finish(struct large *l)
{
	flight_leave(&l->w.w);
	ask_fini(&l->a);
}

static void deliver_until_written(struct large *l)
{
	tiers_written(&l->t);
	while (cache_tier_reads(l->t.g.c) > 0)
		rig_deliver(&l->t.g);
}

/* All of the body; the client takes it as it comes, and the leader waits where it is told to. */
static void feed(struct large *l, struct flight *f, size_t from, size_t to)
{
	for (size_t at = from, n; at < to; at += n) {
		unsigned before = l->resumed;
		enum flight_body how;

		n = to - at < PIECE ? to - at : PIECE;
		how = flight_body(f, l->body + at, n);
		assert_int_not_equal(how, FLIGHT_BODY_NOBODY);
		while (how == FLIGHT_BODY_PAUSE && l->resumed == before)
			rig_deliver(&l->t.g);
		if (l->w.w.flight && waiter_look(&l->w).phase == FLIGHT_RESPONSE)
			flight_advance(&l->w.w, at + n);
	}
}

static void store(struct large *l, int64_t length)
{
	struct flight *f = begin(l, length, false);

	feed(l, f, 0, BODY_N);
	flight_end(f, true, l->t.g.now);
	deliver_until_written(l);
	finish(l);
}

static void purge(struct large *l)
{
	uint64_t seq;

	assert_int_equal(cache_purge_soon(l->t.g.c,
				 &(struct purge){.kind = PURGE_URL, .what = SLICE_LIT("http://o/large")}, &seq),
		0);
}

static void on_ready(void *arg)
{
	*(bool *)arg = true;
}

static void wait_for(struct large *l, const bool *is_ready)
{
	while (!*is_ready) {
		struct pollfd p = {.fd = l->t.g.mailboxes[0].event_fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 20000), 1);
		rig_deliver(&l->t.g);
	}
}

/* Whether or not the device has to be waited for. */
static void read_at(struct large *l, struct body_reader *r, uint64_t at, bool *is_ready, struct slice *run)
{
	int err = body_reader_at(r, at, run);

	if (err == -EINPROGRESS) {
		wait_for(l, is_ready);
		*is_ready = false;
		err = body_reader_at(r, at, run);
	}
	assert_int_equal(err, 0);
}

static void read_and_compare(struct large *l, struct object *o, uint64_t from, uint64_t to)
{
	struct body_reader *r;
	struct slice run;
	bool is_ready = false;

	assert_int_equal(body_reader_new(l->t.g.c, o, 0, on_ready, &is_ready, &r), 0);
	for (uint64_t at = from; at < to; at += run.n) {
		read_at(l, r, at, &is_ready, &run);
		assert_true(run.n > 0 && run.n <= BODY_N - at);
		assert_memory_equal(run.p, l->body + at, run.n);
	}
	body_reader_free(&r);
}

static void it_is_there(struct large *l)
{
	struct ask a;

	rig_deliver(&l->t.g); /* what is left holds the flight, and its bytes */
	ask_init(&l->t.g, &a, "GET /large", NULL);
	assert_int_equal(tiers_look_up(&l->t, &a), CACHE_HIT);
	assert_true(object_body_is_in_lower(a.out.object));
	assert_int_equal(object_body_length(a.out.object), BODY_N);
	assert_true(rig_head_has(a.out.object, "Content-Length: 300001\r\n"));
	assert_true(rig_stats(&l->t.g).bytes < 16384);
	read_and_compare(l, a.out.object, 0, BODY_N);
	read_and_compare(l, a.out.object, 200000, 200001);
	ask_fini(&a);
}

/* Who has all the bytes that were announced may ask again before the leader hears of the end, on another worker. */
static void who_asks_between_the_last_byte_and_the_end_waits_for_it(void **state)
{
	struct large *l = *state;
	struct ask late;

	for (int ends_well = 0; ends_well < 2; ends_well++) {
		struct flight *f = begin(l, BODY_N, false);
		struct waiter w = {0};

		feed(l, f, 0, BODY_N);
		assert_int_equal(ask_for(&l->t.g, &late, "GET /large", NULL), CACHE_LOWER);
		waiter_join(&w, &late, 1);
		assert_int_equal(waiter_look(&w).phase, FLIGHT_WAITING);
		flight_end(f, ends_well, l->t.g.now);
		deliver_until_written(l);
		rig_deliver(&l->t.g);
		assert_true(w.told > 0);
		assert_int_equal(waiter_look(&w).phase, FLIGHT_RETRY);
		flight_leave(&w.w);
		assert_int_equal(tiers_look_up(&l->t, &late), ends_well ? CACHE_HIT : CACHE_LEAD);
		if (late.out.flight)
			flight_abandon(late.out.flight);
		ask_fini(&late);
		finish(l);
	}
}

static void a_large_response_is_written_while_it_passes_and_found_at_once(void **state)
{
	struct large *l = *state;

	for (int known = 0; known < 2; known++) {
		struct flight *f = begin(l, known ? BODY_N : -1, true);
		struct ask late;

		feed(l, f, 0, BODY_N);
		flight_end(f, true, l->t.g.now);
		assert_int_equal(waiter_look(&l->w).phase, FLIGHT_RESPONSE);
		/* Nobody's message has come yet: who asks now waits for it. */
		assert_int_equal(ask_for(&l->t.g, &late, "GET /large", NULL), CACHE_LOWER);
		assert_int_equal(tiers_look_up(&l->t, &late), CACHE_HIT);
		ask_fini(&late);
		finish(l);
		it_is_there(l);
		tiers_restart(&l->t);
		it_is_there(l);
		purge(l);
		assert_int_equal(tiers_verdict(&l->t, "GET /large", NULL, NULL), CACHE_LEAD);
	}
}

static void who_asks_while_it_passes_goes_alone(void **state)
{
	struct large *l = *state;
	struct flight *f = begin(l, BODY_N, true);

	feed(l, f, 0, BODY_N / 2);
	assert_int_equal(tiers_verdict(&l->t, "GET /large", NULL, NULL), CACHE_PASS);
	feed(l, f, BODY_N / 2, BODY_N);
	flight_end(f, true, l->t.g.now);
	deliver_until_written(l);
	finish(l);
	it_is_there(l);
}

static void what_breaks_off_is_not_there(void **state)
{
	struct large *l = *state;

	for (int how = 0; how < 4; how++) {
		struct flight *f = begin(l, how % 2 ? BODY_N : -1, how < 2);

		feed(l, f, 0, BODY_N / 2);
		if (how < 2)
			flight_end(f, how == 1, l->t.g.now); /* complete, but short of what was announced */
		else
			flight_abandon(f);
		finish(l);
		tiers_written(&l->t);
		assert_int_equal(rig_stats(&l->t.g).tier.objects, 0);
		l->t.g.now.mono_ms += 2000;
		assert_int_equal(tiers_verdict(&l->t, "GET /large", NULL, NULL), CACHE_LEAD);
	}
}

static void a_purge_ends_what_nobody_waits_for(void **state)
{
	struct large *l = *state;
	struct flight *f = begin(l, BODY_N, false);

	feed(l, f, 0, BODY_N / 2);
	purge(l);
	assert_int_equal(flight_body(f, l->body, PIECE), FLIGHT_BODY_NOBODY);
	finish(l);
	tiers_written(&l->t);
	assert_int_equal(rig_stats(&l->t.g).tier.objects, 0);
}

/* ---- A device that hangs ---- */

/* The client takes all that comes. Returns where the leader was asked to wait. */
static size_t feed_until_paused(struct large *l, struct flight *f)
{
	for (size_t at = 0; at + PIECE < BODY_N; at += PIECE) {
		enum flight_body how = flight_body(f, l->body + at, PIECE);

		if (l->w.w.flight && waiter_look(&l->w).phase == FLIGHT_RESPONSE)
			flight_advance(&l->w.w, at + PIECE);
		assert_int_not_equal(how, FLIGHT_BODY_NOBODY);
		if (how == FLIGHT_BODY_PAUSE)
			return at + PIECE;
	}
	fail();
	return 0;
}

static void sweep_after(struct large *l, int64_t ms)
{
	cache_sweep(l->t.g.c, 10, l->t.g.now);
	l->t.g.now.mono_ms += ms;
	cache_sweep(l->t.g.c, 10, l->t.g.now);
	rig_deliver(&l->t.g);
}

static void a_hanging_disk_holds_a_client_up_for_three_seconds(void **state)
{
	struct large *l = *state;
	struct flight *f = begin(l, BODY_N, true);
	size_t at;

	atomic_store(&tiers_device.is_held, true);
	at = feed_until_paused(l, f);
	sweep_after(l, 2900);
	assert_int_equal(l->resumed, 0);
	sweep_after(l, 200);
	assert_int_equal(l->resumed, 1);
	feed(l, f, at, BODY_N);
	flight_end(f, true, l->t.g.now);
	assert_int_equal(waiter_look(&l->w).phase, FLIGHT_RESPONSE);
	assert_int_equal(tiers_counts(&l->t).dropped_slow, 1);
	atomic_store(&tiers_device.is_held, false);
	finish(l);
	tiers_written(&l->t);
	rig_deliver(&l->t.g);
	assert_int_equal(rig_stats(&l->t.g).tier.objects, 0);
	assert_int_equal(tiers_counts(&l->t).queue_bytes, 0);
}

static void where_nobody_waits_it_has_longer(void **state)
{
	struct large *l = *state;
	struct flight *f = begin(l, BODY_N, false);
	size_t at;

	atomic_store(&tiers_device.is_held, true);
	at = feed_until_paused(l, f);
	sweep_after(l, 5000);
	assert_int_equal(l->resumed, 0);
	atomic_store(&tiers_device.is_held, false);
	while (l->resumed == 0)
		rig_deliver(&l->t.g);
	feed(l, f, at, BODY_N);
	flight_end(f, true, l->t.g.now);
	deliver_until_written(l);
	finish(l);
	it_is_there(l);
}

/* It is the disk that waits: whoever led it works. */
static void a_leader_that_waits_for_the_disk_is_not_silent(void **state)
{
	struct large *l = *state;
	struct flight *f;
	size_t at;

	l->t.g.rules.coalesce_timeout_ms = 1000;
	f = begin(l, BODY_N, true);
	atomic_store(&tiers_device.is_held, true);
	at = feed_until_paused(l, f);
	sweep_after(l, 1500);
	sweep_after(l, 1100);
	assert_int_equal(rig_stats(&l->t.g).leader_timeouts, 0);
	atomic_store(&tiers_device.is_held, false);
	while (l->resumed == 0)
		rig_deliver(&l->t.g);
	feed(l, f, at, BODY_N);
	flight_end(f, true, l->t.g.now);
	deliver_until_written(l);
	finish(l);
}

static void a_disk_that_never_comes_back_ends_what_nobody_waits_for(void **state)
{
	struct large *l = *state;
	struct flight *f = begin(l, BODY_N, false);

	atomic_store(&tiers_device.is_held, true);
	(void)feed_until_paused(l, f);
	sweep_after(l, 11000);
	assert_int_equal(l->resumed, 1);
	assert_int_equal(flight_body(f, l->body, PIECE), FLIGHT_BODY_NOBODY);
	atomic_store(&tiers_device.is_held, false);
	finish(l);
	tiers_written(&l->t);
	rig_deliver(&l->t.g);
}

/* ---- Reading ---- */

static void a_device_that_has_to_be_waited_for_is_read_by_letter(void **state)
{
	struct large *l = *state;

	store(l, -1);
	atomic_store(&tiers_device.is_cold, true);
	it_is_there(l);
	atomic_store(&tiers_device.is_cold, false);
}

static void a_reader_may_be_let_go_while_it_reads(void **state)
{
	struct large *l = *state;
	struct body_reader *r;
	bool is_ready = false;
	struct slice run;
	struct ask a;

	store(l, BODY_N);
	ask_init(&l->t.g, &a, "GET /large", NULL);
	assert_int_equal(tiers_look_up(&l->t, &a), CACHE_HIT);
	atomic_store(&tiers_device.is_cold, true);
	assert_int_equal(body_reader_new(l->t.g.c, a.out.object, 0, on_ready, &is_ready, &r), 0);
	assert_int_equal(body_reader_at(r, 70000, &run), -EINPROGRESS);
	body_reader_free(&r);
	ask_fini(&a);
	while (cache_tier_reads(l->t.g.c) > 0)
		rig_deliver(&l->t.g);
	assert_false(is_ready);
	assert_int_equal(rig_stats(&l->t.g).large_readers, 0);
	assert_int_equal(rig_stats(&l->t.g).large_read_bytes, 0);
}

static void a_block_that_is_sent_from_stays(void **state)
{
	struct large *l = *state;
	struct body_block *block;
	struct body_reader *r;
	bool is_ready = false;
	struct slice first, second;
	struct ask a;

	store(l, BODY_N);
	ask_init(&l->t.g, &a, "GET /large", NULL);
	assert_int_equal(tiers_look_up(&l->t, &a), CACHE_HIT);
	assert_int_equal(body_reader_new(l->t.g.c, a.out.object, 0, on_ready, &is_ready, &r), 0);
	read_at(l, r, 0, &is_ready, &first);
	block = body_reader_block(r);
	read_at(l, r, 65536, &is_ready, &second);
	assert_memory_equal(first.p, l->body, first.n);
	assert_memory_equal(second.p, l->body + 65536, second.n);
	assert_true(rig_stats(&l->t.g).large_read_bytes > 2 * 65536);
	body_reader_free(&r);
	assert_memory_equal(first.p, l->body, first.n);
	body_block_unref(block);
	assert_int_equal(rig_stats(&l->t.g).large_read_bytes, 0);
	ask_fini(&a);
}

static void after_a_304_it_has_another_head_and_the_same_body(void **state)
{
	struct large *l = *state;
	struct ask a;

	store(l, BODY_N);
	it_is_there(l);
	l->t.g.now.mono_ms += 61000;
	l->t.g.now.wall_ms += 61000;
	ask_init(&l->t.g, &a, "GET /large", NULL);
	assert_int_equal(tiers_look_up(&l->t, &a), CACHE_LEAD);
	assert_non_null(flight_stored(a.out.flight));
	assert_int_equal(rig_answer(&l->t.g, a.out.flight, 304, FRESH "X-New: 1\r\n", -1, NULL), FLIGHT_REVALIDATED);
	ask_fini(&a);
	it_is_there(l);
	tiers_written(&l->t);
	assert_int_equal(tiers_counts(&l->t).heads_written, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_large_response_is_written_while_it_passes_and_found_at_once),
		CASE(who_asks_while_it_passes_goes_alone),
		CASE(who_asks_between_the_last_byte_and_the_end_waits_for_it),
		CASE(what_breaks_off_is_not_there),
		CASE(a_purge_ends_what_nobody_waits_for),
		CASE(a_device_that_has_to_be_waited_for_is_read_by_letter),
		CASE(a_reader_may_be_let_go_while_it_reads),
		CASE(a_block_that_is_sent_from_stays),
	};
	const struct CMUnitTest of_the_disk[] = {
		CASE(a_hanging_disk_holds_a_client_up_for_three_seconds),
		CASE(where_nobody_waits_it_has_longer),
		CASE(a_leader_that_waits_for_the_disk_is_not_silent),
		CASE(a_disk_that_never_comes_back_ends_what_nobody_waits_for),
		CASE(after_a_304_it_has_another_head_and_the_same_body),
	};

	return TIERS_RUN_OVER_BOTH(tests) + TIERS_RUN_OVER_DISK(of_the_disk);
}
