/* SPDX-License-Identifier: MIT */
/* Landing: what a response that is stored nowhere retires, and what comes too late, where the two tiers meet. */
#include "tier_rig.h"

#include <poll.h>
#include <string.h>

#define FRESH "Cache-Control: max-age=60\r\n"
#define GONE "Content-Type: text/plain\r\n"

static int set_up(void **state)
{
	struct tiers *t;

	tiers_set_up(state);
	t = *state;
	t->g.o.pass_memory_ms = 0; /* what is not stored is led by the next who asks */
	tiers_restart(t);
	return 0;
}

static struct flight *begin_refresh(struct tiers *t, struct ask *a, const char *target)
{
	ask_init(&t->g, a, target, NULL);
	cache_refresh(t->g.c, &a->r, t->g.now, &a->out);
	assert_int_equal(a->out.verdict, CACHE_LEAD);
	return a->out.flight;
}

static void refresh_finds_it_gone(struct tiers *t, const char *target)
{
	struct ask a;
	struct flight *f = begin_refresh(t, &a, target);

	assert_int_equal(
		rig_answer(&t->g, f, 404, GONE, 0, NULL), FLIGHT_STORES); /* for those who wait, and not kept */
	flight_end(f, true, t->g.now);
	ask_fini(&a);
}

static void fill(struct flight *f, size_t n)
{
	char *body = test_calloc(1, n);

	memset(body, 'n', n);
	(void)flight_body(f, body, n);
	test_free(body);
}

static void is_nowhere(struct tiers *t, const char *target)
{
	assert_int_equal(tiers_verdict(t, target, NULL, NULL), CACHE_LEAD);
	tiers_written(t);
	tiers_restart(t);
	assert_int_equal(tiers_verdict(t, target, NULL, NULL), CACHE_LEAD);
}

static void what_is_on_disk_only_is_retired_now_and_after_a_restart(void **state)
{
	struct tiers *t = *state;

	tiers_store(t, "GET /a", NULL, FRESH, "old");
	tiers_restart(t);
	refresh_finds_it_gone(t, "GET /a");
	is_nowhere(t, "GET /a");
}

static void what_is_on_its_way_to_the_disk_is_retired_too(void **state)
{
	struct tiers *t = *state;

	for (unsigned i = 0; i < 50; i++) { /* wherever the writer is by then */
		char target[30];

		snprintf(target, sizeof(target), "GET /%u", i);
		rig_store(&t->g, target, NULL, FRESH, "old");
		refresh_finds_it_gone(t, target);
		assert_int_equal(tiers_verdict(t, target, NULL, NULL), CACHE_LEAD);
	}
	tiers_written(t);
	tiers_restart(t);
	for (unsigned i = 0; i < 50; i++) {
		char target[30];

		snprintf(target, sizeof(target), "GET /%u", i);
		assert_int_equal(tiers_verdict(t, target, NULL, NULL), CACHE_LEAD);
	}
}

static void a_response_without_room_retires_what_it_would_have_replaced(void **state)
{
	static const int64_t lengths[] = {9 << 20, -1}; /* more than the disk takes: by its head, and in passing */
	struct tiers *t = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct ask a;
		struct flight *f;

		tiers_store(t, "GET /a", NULL, FRESH, "old");
		f = begin_refresh(t, &a, "GET /a");
		if (rig_answer(&t->g, f, 200, FRESH, lengths[i], NULL) == FLIGHT_STORES) {
			for (unsigned k = 0; k < 9; k++)
				fill(f, 1 << 20);
			flight_end(f, true, t->g.now);
		}
		ask_fini(&a);
		is_nowhere(t, "GET /a");
	}
}

static void what_was_read_before_it_was_retired_does_not_come_into_memory(void **state)
{
	struct tiers *t = *state;
	struct ask a;
	struct waiter w;

	tiers_store(t, "GET /a", NULL, FRESH, "old");
	atomic_store(&tiers_device.is_cold, true);
	tiers_restart(t);
	assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_LOWER);
	waiter_join(&w, &a, 0);
	refresh_finds_it_gone(t, "GET /a");
	while (waiter_look(&w).phase == FLIGHT_WAITING) {
		struct pollfd p = {.fd = t->g.mailboxes[0].event_fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 20000), 1);
		rig_deliver(&t->g);
	}
	flight_leave(&w.w);
	ask_fini(&a);
	is_nowhere(t, "GET /a");
}

/* The record stays, as the body of the new head. */
static void what_was_read_before_a_304_does_not_come_into_memory(void **state)
{
	char body[100001] = "";
	struct tiers *t = *state;
	struct ask a, refresh;
	struct waiter w;
	struct flight *f;

	memset(body, 'b', sizeof(body) - 1);
	t->g.rules.memory_idle_ms = 1000;
	tiers_store(t, "GET /a", NULL, FRESH "ETag: \"1\"\r\n", body);
	f = begin_refresh(t, &refresh, "GET /a");
	t->g.now.mono_ms += 5000;
	t->g.now.wall_ms += 5000;
	while (rig_stats(&t->g).objects > 0)
		(void)cache_sweep(t->g.c, 1000, t->g.now);
	atomic_store(&tiers_device.is_cold, true);
	assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_LOWER);
	waiter_join(&w, &a, 0);
	tiers_wait_for_message(t);
	assert_int_equal(rig_answer(&t->g, f, 304, FRESH "ETag: \"1\"\r\nX-New: 1\r\n", -1, NULL), FLIGHT_REVALIDATED);
	tiers_written(t);
	rig_deliver(&t->g);
	assert_int_equal(waiter_look(&w).phase, FLIGHT_RETRY);
	flight_leave(&w.w);
	ask_fini(&a);
	ask_fini(&refresh);
	assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_HIT);
	assert_true(rig_head_has(a.out.object, "X-New: 1"));
	ask_fini(&a);
}

/* The newer one has left memory, and only the disk has it, when the older one ends. */
static void an_older_fetch_does_not_replace_what_only_the_disk_has(void **state)
{
	struct tiers *t = *state;
	struct ask older, newer;
	struct flight *f;

	t->g.rules.memory_idle_ms = 1000;
	assert_int_equal(ask_for(&t->g, &older, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(rig_answer(&t->g, older.out.flight, 200, FRESH, 3, NULL), FLIGHT_STORES);
	f = begin_refresh(t, &newer, "GET /a");
	assert_int_equal(rig_answer(&t->g, f, 200, FRESH, 3, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(f, "new", 3), FLIGHT_BODY_OK);
	flight_end(f, true, t->g.now);
	ask_fini(&newer);
	tiers_written(t);
	t->g.now.mono_ms += 5000;
	t->g.now.wall_ms += 5000;
	while (rig_stats(&t->g).objects > 0)
		(void)cache_sweep(t->g.c, 1000, t->g.now);
	assert_int_equal(flight_body(older.out.flight, "old", 3), FLIGHT_BODY_OK);
	flight_end(older.out.flight, true, t->g.now);
	ask_fini(&older);
	tiers_written(t);
	tiers_disk_has(t, "GET /a", NULL, "new");
	tiers_restart(t);
	tiers_disk_has(t, "GET /a", NULL, "new");
}

/* That was sent earlier and answered later: what decides is when it was asked. */
static void the_one_that_was_asked_for_later_is_stored_though_it_was_answered_first(void **state)
{
	struct tiers *t = *state;
	struct ask older, newer;
	struct flight *f;

	assert_int_equal(ask_for(&t->g, &older, "GET /a", NULL), CACHE_LEAD);
	f = begin_refresh(t, &newer, "GET /a");
	assert_int_equal(rig_answer(&t->g, f, 200, FRESH, 3, NULL), FLIGHT_STORES);
	t->g.now.mono_ms += 10;
	t->g.now.wall_ms += 10;
	assert_int_equal(rig_answer(&t->g, older.out.flight, 200, FRESH, 3, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(older.out.flight, "old", 3), FLIGHT_BODY_OK);
	flight_end(older.out.flight, true, t->g.now);
	assert_int_equal(flight_body(f, "new", 3), FLIGHT_BODY_OK);
	flight_end(f, true, t->g.now);
	ask_fini(&older);
	ask_fini(&newer);
	tiers_written(t);
	tiers_restart(t);
	tiers_disk_has(t, "GET /a", NULL, "new");
}

static void what_has_been_replaced_stands_in_for_no_error(void **state)
{
	struct tiers *t = *state;
	struct ask first, second;
	struct waiter w;

	rig_store(&t->g, "GET /a", NULL, "Cache-Control: max-age=1, stale-if-error=600\r\n", "old");
	t->g.now.mono_ms += 10000;
	t->g.now.wall_ms += 10000;
	assert_int_equal(ask_for(&t->g, &first, "GET /a", NULL), CACHE_LEAD);
	(void)begin_refresh(t, &second, "GET /a");
	waiter_join(&w, &second, 0);
	assert_int_equal(rig_answer(&t->g, first.out.flight, 200, FRESH, 3, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(first.out.flight, "new", 3), FLIGHT_BODY_OK);
	flight_end(first.out.flight, true, t->g.now);
	flight_fail(second.out.flight, 502, t->g.now);
	assert_int_equal(waiter_look(&w).phase, FLIGHT_RETRY);
	flight_leave(&w.w);
	ask_fini(&first);
	ask_fini(&second);
	assert_int_equal(tiers_verdict(t, "GET /a", NULL, NULL), CACHE_HIT);
}

/* Else each validation would find it on disk again, and be told nothing again. */
static void what_a_304_does_not_confirm_goes_from_both_tiers(void **state)
{
	struct tiers *t = *state;
	struct ask a;

	for (unsigned i = 0; i < 2; i++) {
		tiers_store(t, "GET /a", NULL, FRESH "ETag: \"1\"\r\n", "old");
		t->g.now.mono_ms += 100000;
		t->g.now.wall_ms += 100000;
		ask_init(&t->g, &a, "GET /a", NULL);
		assert_int_equal(tiers_look_up(t, &a), CACHE_LEAD);
		assert_non_null(flight_stored(a.out.flight));
		assert_int_equal(
			rig_answer(&t->g, a.out.flight, 304, FRESH "ETag: \"2\"\r\n", -1, NULL), FLIGHT_REVALIDATED);
		ask_fini(&a);
		if (i > 0) {
			tiers_written(t);
			tiers_restart(t);
		}
		ask_init(&t->g, &a, "GET /a", NULL);
		assert_int_equal(tiers_look_up(t, &a), CACHE_LEAD);
		assert_null(flight_stored(a.out.flight));
		flight_abandon(a.out.flight);
		ask_fini(&a);
	}
}

/* What another process tells of a key is newer than all that was asked for here before, also by requests that are in no list of
 * flights, of a key that has no entry here (docs/invariants.md, Order). */
static void forget_as_told(struct tiers *t, const struct ask *a)
{
	cache_forget_as_told(t->g.c, (struct slice){a->key.bytes.p, a->key.bytes.n}, a->key.user);
}

static struct flight *begin_part(struct tiers *t, struct ask *a, const struct cache_asked *asked)
{
	struct flight *f = cache_keep(t->g.c, &a->r, asked, t->g.now);

	assert_non_null(f);
	assert_int_equal(rig_answer(&t->g, f, 206, FRESH "Content-Range: bytes 0-2/10\r\n", 3, NULL), FLIGHT_STORES);
	return f;
}

static void end_part(struct tiers *t, struct flight *f, const char *body)
{
	assert_int_equal(flight_body(f, body, 3), FLIGHT_BODY_OK);
	flight_end(f, true, t->g.now);
	flight_unref(&f);
	tiers_written(t);
}

static void keep_part(struct tiers *t, struct ask *a, const struct cache_asked *asked, const char *body)
{
	end_part(t, begin_part(t, a, asked), body);
}

/* Without a validator nothing says that the two are of the same bytes. */
static void of_two_parts_the_one_that_was_asked_for_later_stays(void **state)
{
	struct tiers *t = *state;
	struct flight *older;
	struct ask a;

	t->g.rules.range_fill = CACHE_RANGE_PASS;
	assert_int_equal(ask_for(&t->g, &a, "GET /a", "Range: bytes=0-2\r\n"), CACHE_PASS);
	older = begin_part(t, &a, rig_asked(&t->g));
	keep_part(t, &a, rig_asked(&t->g), "new");
	end_part(t, older, "old");
	for (unsigned i = 0; i < 2; i++) {
		struct ask again;

		ask_init(&t->g, &again, "GET /a", "Range: bytes=0-2\r\n");
		assert_int_equal(tiers_look_up(t, &again), CACHE_HIT);
		rig_body_is(again.out.object, "new");
		ask_fini(&again);
		tiers_restart(t);
	}
	ask_fini(&a);
}

/* RFC 9111 3.4: what is made of two parts has the fields of the one that was asked for last, whichever ends first. */
static void of_two_parts_the_newer_ones_fields_count(void **state)
{
	static const char *const heads[] = {"Content-Range: bytes 0-2/6\r\n", "Content-Range: bytes 3-5/6\r\n"},
				 *const bodies[] = {"abc", "def"};
	struct tiers *t = *state;

	t->g.rules.range_fill = CACHE_RANGE_PASS;
	for (unsigned newer_ends_first = 0; newer_ends_first < 2; newer_ends_first++) {
		struct flight *f[2];
		struct slice value;
		struct ask a, both;
		char target[20], head[200];

		snprintf(target, sizeof(target), "GET /%u", newer_ends_first);
		assert_int_equal(ask_for(&t->g, &a, target, "Range: bytes=0-2\r\n"), CACHE_PASS);
		for (unsigned i = 0; i < 2; i++) {
			f[i] = cache_keep(t->g.c, &a.r, rig_asked(&t->g), t->g.now);
			assert_non_null(f[i]);
			snprintf(head, sizeof(head), "Cache-Control: max-age=6%u\r\nETag: \"1\"\r\n%s", i, heads[i]);
			assert_int_equal(rig_answer(&t->g, f[i], 206, head, 3, NULL), FLIGHT_STORES);
		}
		for (unsigned k = 0; k < 2; k++) {
			unsigned i = k ^ newer_ends_first;

			end_part(t, f[i], bodies[i]);
		}
		ask_init(&t->g, &both, target, NULL);
		assert_int_equal(tiers_look_up(t, &both), CACHE_HIT);
		rig_body_is(both.out.object, "abcdef");
		assert_true(object_field(both.out.object, HF_CACHE_CONTROL, &value));
		assert_true(slice_equal(value, SLICE_LIT("max-age=61")));
		ask_fini(&both);
		ask_fini(&a);
	}
}

static void a_part_that_was_asked_for_before_another_process_had_a_newer_one_is_not_kept(void **state)
{
	struct tiers *t = *state;
	struct cache_asked older;
	struct ask a;

	t->g.rules.range_fill = CACHE_RANGE_PASS;
	assert_int_equal(ask_for(&t->g, &a, "GET /a", "Range: bytes=0-2\r\n"), CACHE_PASS);
	older = *rig_asked(&t->g);
	forget_as_told(t, &a);
	keep_part(t, &a, &older, "old");
	assert_int_equal(tiers_verdict(t, "GET /a", "Range: bytes=0-2\r\n", NULL), CACHE_PASS);
	tiers_restart(t);
	assert_int_equal(tiers_verdict(t, "GET /a", "Range: bytes=0-2\r\n", NULL), CACHE_PASS);
	keep_part(t, &a, rig_asked(&t->g), "new");
	tiers_restart(t);
	tiers_disk_has(t, "GET /a", "Range: bytes=0-2\r\n", "new");
	ask_fini(&a);
}

static unsigned told_older, told_any;

static void on_forget(void *arg, struct slice key, uint64_t user, bool had_older)
{
	(void)arg;
	(void)key;
	(void)user;
	told_older += had_older;
	told_any++;
}

/* What that process has may have been asked for before the operator asked for a new one. */
static void a_refresh_that_another_process_made_late_is_told_to_it(void **state)
{
	const struct {
		int status;
		const char *fields;
	} answers[] = {{200, FRESH}, {200, "Cache-Control: no-store\r\n"}, {404, GONE}};
	struct tiers *t = *state;

	t->g.o.on_forget = on_forget;
	tiers_restart(t);
	for (unsigned i = 0; i < 2 * ARRAY_LEN(answers); i++) {
		bool is_forced = i % 2 == 0;
		struct flight *f;
		struct ask a;

		if (is_forced)
			(void)begin_refresh(t, &a, "GET /a");
		else
			assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_LEAD);
		f = a.out.flight;
		forget_as_told(t, &a);
		told_older = told_any = 0;
		if (rig_answer(&t->g, f, answers[i / 2].status, answers[i / 2].fields, 0, NULL) == FLIGHT_STORES)
			flight_end(f, true, t->g.now);
		assert_int_equal(told_older, is_forced);
		assert_int_equal(told_any, is_forced);
		ask_fini(&a);
		is_nowhere(t, "GET /a");
	}
}

/* He would look for it there, where he had looked before: a look that reads would be the reason for the next one, for as long as the
 * fetch takes. */
static void who_waits_for_a_fetch_is_not_told_of_what_is_read_from_disk(void **state)
{
	struct tiers *t = *state;
	struct ask leader, a;
	struct flight *f;
	struct waiter w;

	tiers_store(t, "GET /a", NULL, "Cache-Control: max-age=6000\r\n", "old");
	tiers_restart(t);
	f = begin_refresh(t, &leader, "GET /a");
	waiter_join(&w, &leader, 0);
	ask_init(&t->g, &a, "GET /a", NULL);
	assert_int_equal(tiers_look_up(t, &a), CACHE_HIT);
	ask_fini(&a);
	rig_deliver(&t->g);
	assert_int_equal(w.told, 0);
	/* But of what another fetch stores. */
	(void)begin_refresh(t, &a, "GET /a");
	assert_int_equal(rig_answer(&t->g, a.out.flight, 200, FRESH, 0, NULL), FLIGHT_STORES);
	flight_end(a.out.flight, true, t->g.now);
	ask_fini(&a);
	rig_deliver(&t->g);
	assert_int_equal(w.told, 1);
	flight_leave(&w.w);
	flight_abandon(f);
	ask_fini(&leader);
}

/* A reader that says nothing for so long hangs: the origin is asked. */
static void who_comes_while_the_disk_hangs_asks_the_origin(void **state)
{
	struct tiers *t = *state;
	struct ask a;
	struct waiter w;

	tiers_store(t, "GET /a", NULL, "Cache-Control: max-age=6000\r\n", "old");
	atomic_store(&tiers_device.is_cold, true);
	tiers_restart(t);
	assert_int_equal(ask_for(&t->g, &a, "GET /a", NULL), CACHE_LOWER);
	waiter_join(&w, &a, 0);
	assert_int_equal(rig_verdict(&t->g, "GET /b", NULL), CACHE_LEAD);
	t->g.now.mono_ms += 11000;
	t->g.now.wall_ms += 11000;
	assert_int_equal(rig_verdict(&t->g, "GET /a", NULL), CACHE_LEAD); /* its message is not read */
	while (cache_tier_reads(t->g.c) > 0) {
		struct pollfd p = {.fd = t->g.mailboxes[0].event_fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 20000), 1);
		rig_deliver(&t->g);
	}
	flight_leave(&w.w);
	ask_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tiers_tear_down)
		CASE(what_has_been_replaced_stands_in_for_no_error),
		CASE(who_comes_while_the_disk_hangs_asks_the_origin),
		CASE(who_waits_for_a_fetch_is_not_told_of_what_is_read_from_disk),
		CASE(what_a_304_does_not_confirm_goes_from_both_tiers),
		CASE(what_is_on_disk_only_is_retired_now_and_after_a_restart),
		CASE(what_is_on_its_way_to_the_disk_is_retired_too),
		CASE(a_response_without_room_retires_what_it_would_have_replaced),
		CASE(what_was_read_before_it_was_retired_does_not_come_into_memory),
		CASE(what_was_read_before_a_304_does_not_come_into_memory),
		CASE(an_older_fetch_does_not_replace_what_only_the_disk_has),
		CASE(the_one_that_was_asked_for_later_is_stored_though_it_was_answered_first),
		CASE(of_two_parts_the_one_that_was_asked_for_later_stays),
		CASE(of_two_parts_the_newer_ones_fields_count),
		CASE(a_part_that_was_asked_for_before_another_process_had_a_newer_one_is_not_kept),
		CASE(a_refresh_that_another_process_made_late_is_told_to_it),
	};

	return TIERS_RUN_OVER_BOTH(tests);
}
