/* SPDX-License-Identifier: MIT */
/* Many who ask the same at once, on several workers: one fetch. */
#include "tests/unit/proxy/transaction/transaction_rig.h"

enum { HERD = 50 };

static void ask_all(struct rig *g, unsigned n, const char *request)
{
	for (unsigned i = 0; i < n; i++)
		rig_send(g, i % RIG_WORKERS, RIG_AS_GATE, request, NULL);
	rig_turn(g);
}

static void all_got(struct rig *g, unsigned from, int status, const char *body)
{
	for (unsigned i = from; i < g->clients_n; i++)
		if (!g->clients[i]->is_gone)
			recorder_got(g->clients[i], status, body);
}

static void a_herd_is_one_fetch(void **state)
{
	struct rig *g = *state;

	ask_all(g, HERD, "GET /a");
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(rig_stats(g).waiters, HERD);
	fake_head(fake_fetch(0), 200, "Content-Length: 6\r\n");
	fake_body_text(fake_fetch(0), "abc");
	rig_turn(g);
	for (unsigned i = 0; i < HERD; i++)
		assert_int_equal(g->clients[i]->body.n, 3);
	fake_body_text(fake_fetch(0), "def");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	all_got(g, 0, 200, "abcdef");
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(rig_responses(g, RESPONSE_MISS), 1);
	assert_int_equal(rig_responses(g, RESPONSE_COLLAPSED), HERD - 1);
	assert_non_null(strstr(recorder_field(g->clients[1], "Cache-Status"), "collapsed"));
}

static void who_comes_late_gets_it_from_its_beginning(void **state)
{
	struct rig *g = *state;

	ask_all(g, 1, "GET /a");
	fake_head(fake_fetch(0), 200, "Content-Length: 6\r\n");
	fake_body_text(fake_fetch(0), "abc");
	ask_all(g, 4, "GET /a");
	fake_body_text(fake_fetch(0), "def");
	ask_all(g, 4, "GET /a");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	all_got(g, 0, 200, "abcdef");
	assert_int_equal(fake_fetches(), 1);
}

static void the_fetch_goes_on_without_its_leader(void **state)
{
	struct rig *g = *state;

	ask_all(g, 4, "GET /a");
	recorder_leave(g->clients[0]);
	fake_head(fake_fetch(0), 200, "Content-Length: 3\r\n");
	rig_turn(g);
	recorder_leave(g->clients[2]); /* a waiter, on the leader's worker */
	fake_body_text(fake_fetch(0), "abc");
	recorder_leave(g->clients[1]); /* and one on the other */
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(g->clients[3], 200, "abc");
	recorder_got(rig_ask(g, "GET /a"), 200, "abc");
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(g->workers[0].stats.clients_gone + g->workers[1].stats.clients_gone, 3);
}

static void a_fetch_that_all_have_left_is_stored(void **state)
{
	struct rig *g = *state;

	ask_all(g, 3, "GET /a");
	for (unsigned i = 0; i < 3; i++)
		recorder_leave(g->clients[i]);
	fake_answer(fake_fetch(0), 200, "", "abc");
	rig_turn(g);
	recorder_got(rig_ask(g, "GET /a"), 200, "abc");
	assert_int_equal(fake_fetches(), 1);
}

/* What is for one client alone lets the others go, each to a fetch of its own. */
static void a_private_response_releases_the_herd(void **state)
{
	static const char *const bodies[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
	struct rig *g = *state;

	ask_all(g, ARRAY_LEN(bodies), "GET /a");
	for (unsigned i = 0; i < ARRAY_LEN(bodies); i++) {
		fake_answer(fake_fetch(i), 200, "Cache-Control: private\r\n", bodies[i]);
		rig_turn(g);
		assert_int_equal(fake_fetches(), ARRAY_LEN(bodies)); /* all at once, not one after the other */
	}
	for (unsigned i = 0; i < ARRAY_LEN(bodies); i++) {
		assert_true(recorder_is_done(g->clients[i]));
		for (unsigned k = 0; k < i; k++)
			assert_memory_not_equal(g->clients[i]->body.p, g->clients[k]->body.p, 1);
	}
	recorder_got(g->clients[0], 200, "0");
	assert_int_equal(rig_stats(g).stored, 0);
}

static void credentials_do_not_join(void **state)
{
	struct rig *g = *state;
	struct recorder *plain, *alone;

	plain = rig_ask(g, "GET /a");
	alone = rig_ask(g, "GET /a\r\nAuthorization: Basic eDp5\r\n");
	assert_int_equal(fake_fetches(), 2);
	assert_true(fake_was_asked(fake_fetch(1), "Authorization: Basic eDp5"));
	assert_false(fake_was_asked(fake_fetch(0), "Authorization: Basic eDp5"));
	fake_answer(fake_fetch(1), 200, "", "mine");
	fake_answer(fake_fetch(0), 200, "", "all's");
	rig_turn(g);
	recorder_got(plain, 200, "all's");
	recorder_got(alone, 200, "mine");
	recorder_got(rig_ask(g, "GET /a"), 200, "all's");
}

static void a_failure_is_told_to_all(void **state)
{
	struct rig *g = *state;

	ask_all(g, HERD, "GET /a");
	fake_end(fake_fetch(0), FETCH_TIMEOUT);
	rig_turn(g);
	all_got(g, 0, 504, NULL);
	assert_int_equal(fake_fetches(), 1);
}

static void a_cut_body_is_cut_for_all(void **state)
{
	struct rig *g = *state;

	ask_all(g, HERD, "GET /a");
	fake_head(fake_fetch(0), 200, "Content-Length: 6\r\n");
	fake_body_text(fake_fetch(0), "abc");
	rig_turn(g);
	fake_end(fake_fetch(0), FETCH_BROKEN);
	rig_turn(g);
	for (unsigned i = 0; i < HERD; i++) {
		assert_int_equal(g->clients[i]->how, RECORDER_ABORTED);
		assert_int_equal(g->clients[i]->body.n, 3);
	}
	assert_int_equal(rig_stats(g).stored, 0);
}

static void each_waits_for_its_own_variant(void **state)
{
	struct rig *g = *state;
	struct recorder *de, *en;

	de = rig_ask(g, "GET /a\r\nAccept-Language: de\r\n");
	en = rig_send(g, 1, RIG_AS_GATE, "GET /a\r\nAccept-Language: en\r\n", NULL);
	assert_int_equal(fake_fetches(), 1);
	fake_answer(fake_fetch(0), 200, "Vary: Accept-Language\r\n", "hallo");
	rig_turn(g);
	recorder_got(de, 200, "hallo");
	assert_int_equal(fake_fetches(), 2);
	assert_true(fake_was_asked(fake_fetch(1), "Accept-Language: en"));
	fake_answer(fake_fetch(1), 200, "Vary: Accept-Language\r\n", "hello");
	rig_turn(g);
	recorder_got(en, 200, "hello");
}

/* Who asks after the purge does not get a response that was asked for before it; who has waited since before may. */
static void a_purge_during_a_fetch_counts_for_those_who_come_later(void **state)
{
	struct rig *g = *state;
	struct recorder *late;

	ask_all(g, 3, "GET /a");
	rig_purge(g, "http://o.example/a", false);
	late = rig_ask(g, "GET /a");
	fake_answer(fake_fetch(0), 200, "", "old");
	rig_turn(g);
	if (!recorder_is_done(late)) {
		assert_int_equal(fake_fetches(), 2);
		fake_answer(fake_fetch(1), 200, "", "new");
		rig_turn(g);
	}
	recorder_got(late, 200, "new");
	recorder_got(rig_ask(g, "GET /a"), 200, "new");
	assert_int_equal(fake_fetches(), 2);
}

/* A purge sends the leader on too, and it leads again: two errors in a row, of one form. */
static void what_befell_one_form_twice_is_not_told_to_another(void **state)
{
	struct rig *g = *state;
	struct recorder *odd = rig_ask(g, "GET /a\r\nX-Odd: 1\r\n"), *plain;

	plain = rig_send(g, 1, RIG_AS_GATE, "GET /a", NULL);
	rig_turn(g);
	rig_purge(g, "http://o.example/a", false);
	fake_answer(fake_fetch(0), 500, "", "odd's");
	rig_turn(g);
	assert_int_equal(fake_fetches(), 2);
	assert_true(fake_was_asked(fake_fetch(1), "X-Odd: 1"));
	fake_answer(fake_fetch(1), 500, "", "odd's again");
	rig_turn(g);
	recorder_got(odd, 500, "odd's again");
	assert_int_equal(fake_fetches(), 3);
	fake_answer(fake_fetch(2), 200, "", "fine");
	rig_turn(g);
	recorder_got(plain, 200, "fine");
}

static void a_leader_that_is_silent_is_not_waited_for(void **state)
{
	struct rig *g = *state;
	struct now later = clock_now();

	ask_all(g, 3, "GET /a");
	later.mono_ms += 86400000;
	cache_sweep(g->cache, 1000, later);
	rig_turn(g);
	assert_true(fake_fetches() > 1);
	fake_answer(fake_fetch(1), 200, "", "second");
	rig_turn(g);
	all_got(g, 1, 200, "second");
	fake_answer(fake_fetch(0), 200, "", "first");
	rig_turn(g);
	assert_true(recorder_is_done(g->clients[0]));
	assert_int_equal(rig_stats(g).leader_timeouts, 1);
}

static void more_than_may_wait_are_told_so(void **state)
{
	struct rig g;

	(void)state;
	rig_begin(&g, "[cache]\nmax_waiters = 3\n[route all]\nmatch = /*\nttl = 60s\n");
	ask_all(&g, 5, "GET /a");
	assert_int_equal(fake_fetches(), 1);
	assert_true(rig_stats(&g).waiters_refused > 0);
	fake_answer(fake_fetch(0), 200, "", "abc");
	rig_turn(&g);
	for (unsigned i = 0; i < 5; i++)
		assert_true(g.clients[i]->status == 200 || g.clients[i]->status == 503);
	assert_int_equal(rig_responses(&g, RESPONSE_ERROR), rig_stats(&g).waiters_refused);
	rig_end(&g);
}

static void without_coalescing_each_fetches(void **state)
{
	struct rig g;

	(void)state;
	rig_begin(&g, "[cache]\ncoalesce = off\n[route all]\nmatch = /*\nttl = 60s\n");
	ask_all(&g, 5, "GET /a");
	assert_int_equal(fake_fetches(), 5);
	for (unsigned i = 0; i < 5; i++)
		fake_answer(fake_fetch(i), 200, "", "abc");
	rig_turn(&g);
	all_got(&g, 0, 200, "abc");
	rig_end(&g);
}

/* The client has left between its first attempt, which was to lead, and its transaction. */
static void an_attempt_that_nobody_goes_on_with_holds_nobody_up(void **state)
{
	struct rig *g = *state;
	struct recorder *r;

	rig_send(g, 0, RIG_BY_HIT, "GET /a", NULL);
	r = rig_send(g, 1, RIG_AS_GATE, "GET /a", NULL);
	rig_turn(g);
	recorder_got(
		rig_ask(g, "GET /b\r\nCache-Control: only-if-cached\r\n"), 504, NULL); /* the next one on that worker */
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(fake_fetch(0)->worker, 1);
	fake_answer(fake_fetch(0), 200, "", "abc");
	rig_turn(g);
	recorder_got(r, 200, "abc");
}

/* A worker that ends takes its fetches along; those who wait on another one ask anew. */
static void a_worker_that_ends_leaves_nobody_waiting(void **state)
{
	struct rig *g = *state;

	rig_send(g, 0, RIG_AS_GATE, "GET /a", NULL);
	rig_send(g, 1, RIG_AS_GATE, "GET /a", NULL);
	rig_turn(g);
	worker_drop_requests(&g->workers[0]);
	rig_turn(g);
	assert_int_equal(fake_fetch(0)->state, FAKE_CANCELLED);
	assert_int_equal(fake_fetches(), 2);
	assert_int_equal(fake_fetch(1)->worker, 1);
	fake_answer(fake_fetch(1), 200, "", "abc");
	rig_turn(g);
	recorder_got(g->clients[1], 200, "abc");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_herd_is_one_fetch),
		TEST(who_comes_late_gets_it_from_its_beginning),
		TEST(the_fetch_goes_on_without_its_leader),
		TEST(a_fetch_that_all_have_left_is_stored),
		TEST(a_private_response_releases_the_herd),
		TEST(credentials_do_not_join),
		TEST(a_failure_is_told_to_all),
		TEST(a_cut_body_is_cut_for_all),
		TEST(each_waits_for_its_own_variant),
		TEST(a_purge_during_a_fetch_counts_for_those_who_come_later),
		TEST(what_befell_one_form_twice_is_not_told_to_another),
		TEST(a_leader_that_is_silent_is_not_waited_for),
		cmocka_unit_test(more_than_may_wait_are_told_so),
		cmocka_unit_test(without_coalescing_each_fetches),
		TEST(an_attempt_that_nobody_goes_on_with_holds_nobody_up),
		TEST(a_worker_that_ends_leaves_nobody_waiting),
	};

	return cmocka_run_group_tests_name("transaction_herd", tests, NULL, NULL);
}
