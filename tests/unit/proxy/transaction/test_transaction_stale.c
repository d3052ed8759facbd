/* SPDX-License-Identifier: MIT */
/* What is stored and old: served meanwhile, served instead of an error, confirmed, purged, refreshed, written over. */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#include "proxy/transaction/refresh.h"

/* It is older than its lifetime when it arrives. */
#define OLD "Age: 20\r\nETag: \"1\"\r\nCache-Control: max-age=10"

static void a_stale_response_serves_while_a_new_one_is_fetched(void **state)
{
	struct rig *g = *state;
	struct recorder *r;

	rig_store(g, "GET /a", OLD ", stale-while-revalidate=1000\r\n", "old");
	r = rig_ask(g, "GET /a");
	recorder_got(r, 200, "old");
	assert_int_equal(fake_fetches(), 2);
	recorder_got(rig_ask(g, "GET /a"), 200, "old");
	assert_int_equal(fake_fetches(), 2); /* one is enough */
	assert_true(fake_was_asked(fake_fetch(1), "If-None-Match: \"1\""));
	fake_answer(fake_fetch(1), 200, "ETag: \"2\"\r\n", "new");
	rig_turn(g);
	recorder_got(rig_ask(g, "GET /a"), 200, "new");
	assert_int_equal(fake_fetches(), 2);
	assert_int_equal(rig_responses(g, RESPONSE_STALE), 2);
	assert_int_equal(g->workers[0].stats.background_fetches, 1);
}

static void a_stale_response_may_be_confirmed(void **state)
{
	struct rig *g = *state;
	struct recorder *one, *two;

	rig_store(g, "GET /a", OLD ", must-revalidate\r\n", "old");
	one = rig_ask(g, "GET /a");
	two = rig_send(g, 1, RIG_AS_GATE, "GET /a\r\nIf-None-Match: \"1\"\r\n", NULL);
	assert_int_equal(fake_fetches(), 2);
	assert_true(fake_was_asked(fake_fetch(1), "If-None-Match: \"1\""));
	fake_head(fake_fetch(1), 304, "ETag: \"1\"\r\nCache-Control: max-age=100\r\n");
	fake_end(fake_fetch(1), FETCH_OK);
	rig_turn(g);
	recorder_got(one, 200, "old");
	recorder_got(two, 304, "");
	assert_non_null(strstr(recorder_field(one, "Cache-Status"), "fwd-status=304"));
	recorder_got(rig_ask(g, "GET /a"), 200, "old");
	assert_int_equal(fake_fetches(), 2);
	assert_true(rig_responses(g, RESPONSE_REVALIDATED) > 0);
}

static void a_stale_response_stands_in_for_an_error(void **state)
{
	static const int statuses[] = {0, 500, 502, 503, 504};
	struct rig *g = *state;

	for (unsigned i = 0; i < ARRAY_LEN(statuses); i++) {
		char request[32] = "GET /0";
		struct recorder *r, *other;
		unsigned n = fake_fetches();

		request[5] = (char)('0' + i);
		rig_store(g, request, OLD ", stale-if-error=1000\r\n", "old");
		r = rig_ask(g, request);
		other = rig_send(g, 1, RIG_AS_GATE, request, NULL);
		if (statuses[i])
			fake_answer(fake_fetch(n + 1), statuses[i], "", "broken");
		else
			fake_end(fake_fetch(n + 1), FETCH_REFUSED);
		rig_turn(g);
		recorder_got(r, 200, "old");
		recorder_got(other, 200, "old");
		assert_int_equal(fake_fetches(), n + 2);
	}
}

static void what_must_be_confirmed_does_not_stand_in(void **state)
{
	struct rig *g = *state;
	struct recorder *r;

	rig_store(g, "GET /a", OLD ", must-revalidate, stale-if-error=1000\r\n", "old");
	r = rig_ask(g, "GET /a");
	fake_end(fake_fetch(1), FETCH_TIMEOUT);
	rig_turn(g);
	recorder_got(r, 504, NULL);
}

static void a_spared_upstream_is_not_asked_for_what_may_be_stale(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a", OLD ", stale-while-revalidate=1000\r\n", "old");
	fake_upstream.is_spared = true;
	recorder_got(rig_ask(g, "GET /a"), 200, "old");
	assert_int_equal(fake_fetches(), 1);
	rig_ask(g, "GET /b");
	assert_int_equal(fake_fetches(), 2);
	fake_answer(fake_fetch(1), 200, "", "");
}

static void a_purge_takes_it_away(void **state)
{
	struct rig *g = *state;
	struct recorder *r;

	for (unsigned soft = 0; soft < 2; soft++) {
		unsigned n = fake_fetches();

		rig_store(g, soft ? "GET /soft" : "GET /hard", "ETag: \"1\"\r\n", "old");
		rig_purge(g, soft ? "http://o.example/soft" : "http://o.example/hard", soft);
		r = rig_ask(g, soft ? "GET /soft" : "GET /hard");
		assert_int_equal(fake_fetches(), n + 2);
		assert_int_equal(fake_was_asked(fake_fetch(n + 1), "If-None-Match: \"1\""), soft);
		fake_answer(fake_fetch(n + 1), 200, "", "new");
		rig_turn(g);
		recorder_got(r, 200, "new");
	}
}

static void a_purge_does_not_cut_who_is_served(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a");

	fake_head(fake_fetch(0), 200, "Content-Length: 6\r\n");
	fake_body_text(fake_fetch(0), "abc");
	rig_turn(g);
	rig_purge(g, "http://o.example/a", false);
	rig_turn(g);
	fake_body_text(fake_fetch(0), "def");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(r, 200, "abcdef");
	rig_ask(g, "GET /a");
	assert_int_equal(fake_fetches(), 2);
	fake_answer(fake_fetch(1), 200, "", "");
}

/* ---- Writes ---- */

static void a_write_makes_stale_what_it_changed(void **state)
{
	static const struct {
		const char *request, *fields;
		int status;
		bool a_goes, b_goes;
	} rows[] = {
		{"PUT /a", "", 204, true, false},
		{"DELETE /a", "", 200, true, false},
		{"POST /a", "Location: /b\r\n", 201, true, true},
		{"POST /a", "Content-Location: /b\r\n", 200, true, true},
		{"POST /a", "Location: http://other.example/b\r\n", 201, true, false},
		{"POST /a", "", 302, true, false},
		{"PUT /a", "Location: /b\r\n", 404, false, false},
		{"PUT /a", "", 500, false, false},
		{"OPTIONS /a", "", 200, false, false},
		{"POST /c", "", 200, false, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig g;

		rig_begin(&g, NULL);
		rig_store(&g, "GET /a", "", "a");
		rig_store(&g, "GET /b", "", "b");
		rig_ask(&g, rows[i].request);
		fake_answer(fake_fetch(2), rows[i].status, rows[i].fields, "");
		rig_turn(&g);
		recorder_got(g.clients[2], rows[i].status, "");
		rig_ask(&g, "GET /a");
		assert_int_equal(fake_fetches(), 3 + rows[i].a_goes);
		rig_ask(&g, "GET /b");
		assert_int_equal(fake_fetches(), 3 + rows[i].a_goes + rows[i].b_goes);
		for (unsigned k = 3; k < fake_fetches(); k++)
			fake_answer(fake_fetch(k), 200, "", "");
		rig_end(&g);
	}
}

/* The writer has left; what it wrote has happened. */
static void a_write_counts_without_its_client(void **state)
{
	struct rig *g = *state;
	struct recorder *r;

	rig_store(g, "GET /a", "", "old");
	r = rig_ask(g, "PUT /a");
	recorder_leave(r);
	fake_answer(fake_fetch(1), 204, "", "");
	rig_turn(g);
	assert_int_equal(g->workers[0].stats.invalidated_by_writes, 1);
	rig_ask(g, "GET /a");
	assert_int_equal(fake_fetches(), 3);
	fake_answer(fake_fetch(2), 200, "", "");
}

/* What was asked for before the write may be from before it. */
static void a_fetch_that_a_write_overtook_is_not_stored(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a");

	rig_ask(g, "PUT /a");
	fake_answer(fake_fetch(1), 204, "", "");
	rig_turn(g);
	fake_answer(fake_fetch(0), 200, "", "old");
	rig_turn(g);
	assert_int_equal(fake_fetches(), 3); /* its client is not told it either */
	fake_answer(fake_fetch(2), 200, "", "new");
	rig_turn(g);
	recorder_got(r, 200, "new");
	recorder_got(rig_ask(g, "GET /a"), 200, "new");
	assert_int_equal(fake_fetches(), 3);
}

static void a_method_that_the_route_caches_is_kept_by_its_content(void **state)
{
	struct rig g;
	struct recorder *r;

	(void)state;
	rig_begin(&g, "[route all]\nmatch = /*\nttl = 60s\nmethods = GET, POST\n");
	for (unsigned again = 0; again < 2; again++)
		for (unsigned i = 0; i < 2; i++) {
			unsigned n = fake_fetches();

			r = rig_send(&g, 0, RIG_AS_GATE, "POST /a\r\nContent-Length: 1\r\n", i ? "1" : "0");
			rig_turn(&g);
			if (!again) {
				assert_string_equal(fake_fetch(n)->body, i ? "1" : "0");
				fake_answer(fake_fetch(n), 200, "", i ? "one" : "zero");
				rig_turn(&g);
			}
			recorder_got(r, 200, i ? "one" : "zero");
		}
	assert_int_equal(fake_fetches(), 2);
	rig_end(&g);
}

/* ---- A refresh that an operator asks for ---- */

struct heard {
	unsigned n;
	struct refresh_result result;
};

static void on_refreshed(void *arg, const struct refresh_result *r)
{
	struct heard *h = arg;

	h->n++;
	h->result = *r;
}

static void a_refresh_replaces_what_is_stored(void **state)
{
	struct rig *g = *state;
	struct heard heard = {0};

	rig_store(g, "GET /a", "", "old");
	assert_int_equal(refresh_start(&g->service, SLICE_LIT("/a"), on_refreshed, &heard), 0);
	rig_turn(g);
	assert_int_equal(fake_fetches(), 2);
	recorder_got(rig_ask(g, "GET /a"), 200, "old"); /* nobody waits for it */
	fake_answer(fake_fetch(1), 200, "Cache-Control: max-age=100\r\n", "new");
	rig_turn(g);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.result.status, 200);
	assert_true(heard.result.stored);
	assert_int_equal(heard.result.lifetime_ms, 100000);
	recorder_got(rig_ask(g, "GET /a"), 200, "new");
}

static void a_refresh_that_fails_leaves_what_is_stored(void **state)
{
	static const enum fetch_result results[] = {FETCH_REFUSED, FETCH_TIMEOUT, FETCH_WITHHELD};
	static const int statuses[] = {502, 504, 503};
	struct rig *g = *state;

	rig_store(g, "GET /a", "", "old");
	for (unsigned i = 0; i < ARRAY_LEN(results); i++) {
		struct heard heard = {0};

		assert_int_equal(refresh_start(&g->service, SLICE_LIT("/a"), on_refreshed, &heard), 0);
		rig_turn(g);
		fake_end(fake_fetch(1 + i), results[i]);
		rig_turn(g);
		assert_int_equal(heard.n, 1);
		assert_int_equal(heard.result.status, statuses[i]);
		assert_false(heard.result.stored);
		recorder_got(rig_ask(g, "GET /a"), 200, "old");
	}
}

static void a_refresh_says_why_nothing_was_stored(void **state)
{
	struct rig *g = *state;
	struct heard heard = {0};

	assert_int_equal(refresh_start(&g->service, SLICE_LIT("/a"), on_refreshed, &heard), 0);
	rig_turn(g);
	fake_answer(fake_fetch(0), 200, "Cache-Control: no-store\r\n", "x");
	rig_turn(g);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.result.upstream_status, 200);
	assert_int_equal(heard.result.why, POLICY_NOT_NO_STORE);
}

/* Also of what the cache passes for want of memory: status 0 would be no response at all. */
static void a_refresh_says_how_it_ended_whatever_allocation_fails(void **state)
{
	struct rig *g = *state;

	for (long at = 1; at < 60; at++) {
		struct heard heard = {0};
		size_t before = fake_fetches();

		assert_int_equal(refresh_start(&g->service, SLICE_LIT("/a"), on_refreshed, &heard), 0);
		mem_fail_at(at, true);
		rig_turn(g);
		mem_fail_at(0, false);
		if (fake_fetches() > before)
			fake_answer(fake_fetch((unsigned)before), 200, "Cache-Control: max-age=100\r\n", "x");
		rig_turn(g);
		assert_int_equal(heard.n, 1);
		assert_true(heard.result.stored || heard.result.why || heard.result.status >= 500);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stale_response_serves_while_a_new_one_is_fetched),
		TEST(a_stale_response_may_be_confirmed),
		TEST(a_stale_response_stands_in_for_an_error),
		TEST(what_must_be_confirmed_does_not_stand_in),
		TEST(a_spared_upstream_is_not_asked_for_what_may_be_stale),
		TEST(a_purge_takes_it_away),
		TEST(a_purge_does_not_cut_who_is_served),
		cmocka_unit_test(a_write_makes_stale_what_it_changed),
		TEST(a_write_counts_without_its_client),
		TEST(a_fetch_that_a_write_overtook_is_not_stored),
		cmocka_unit_test(a_method_that_the_route_caches_is_kept_by_its_content),
		TEST(a_refresh_replaces_what_is_stored),
		TEST(a_refresh_that_fails_leaves_what_is_stored),
		TEST(a_refresh_says_how_it_ended_whatever_allocation_fails),
		TEST(a_refresh_says_why_nothing_was_stored),
	};

	return cmocka_run_group_tests_name("transaction_stale", tests, NULL, NULL);
}
