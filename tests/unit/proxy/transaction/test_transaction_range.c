/* SPDX-License-Identifier: MIT */
/* Ranges of what is not stored yet: the whole is fetched once for all, and each gets its part out of that. */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#include <errno.h>
#include <stdio.h>

#define TEXT "the quick brown fox"
#define QUICK "GET /a\r\nRange: bytes=4-8\r\n"

static void a_range_has_the_whole_fetched(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, QUICK);

	assert_false(fake_was_asked(fake_fetch(0), "Range: bytes=4-8"));
	fake_answer(fake_fetch(0), 200, "ETag: \"1\"\r\n", TEXT);
	rig_turn(g);
	recorder_got(r, 206, "quick");
	assert_string_equal(recorder_field(r, "Content-Range"), "bytes 4-8/19");
	recorder_got(rig_ask(g, "GET /a"), 200, TEXT);
	recorder_got(rig_ask(g, "GET /a\r\nRange: bytes=-3\r\n"), 206, "fox");
	assert_int_equal(fake_fetches(), 1);
}

static void a_range_does_not_wait_for_what_comes_after_it(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, QUICK);

	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
	fake_body_text(fake_fetch(0), "the ");
	rig_turn(g);
	assert_int_equal(r->status, 0); /* a fetch that fails now is an error, not a cut */
	fake_body_text(fake_fetch(0), "quick br");
	rig_turn(g);
	recorder_got(r, 206, "quick");
	assert_int_equal(fake_fetch(0)->state, FAKE_RUNNING);
	fake_body_text(fake_fetch(0), "own fox");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(rig_ask(g, "GET /a"), 200, TEXT);
	assert_int_equal(fake_fetches(), 1);
}

static void a_herd_of_ranges_is_one_fetch(void **state)
{
	static const struct {
		const char *request;
		int status;
		const char *body;
	} rows[] = {{QUICK, 206, "quick"}, {"GET /a", 200, TEXT}, {"GET /a\r\nRange: bytes=-3\r\n", 206, "fox"},
		{"GET /a\r\nRange: bytes=0-\r\n", 206, TEXT}, {"GET /a\r\nRange: bytes=19-\r\n", 416, NULL},
		{"GET /a\r\nRange: bytes=0-0, 2-2\r\n", 206, NULL}};
	/* With and without a length, which some of them wait for. */
	static const char *const framings[] = {"Content-Length: 19\r\n", "Transfer-Encoding: chunked\r\n"};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(framings); k++) {
		struct rig g;

		rig_begin(&g, NULL);
		for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
			rig_send(&g, i % RIG_WORKERS, RIG_AS_GATE, rows[i].request, NULL);
		rig_turn(&g);
		assert_int_equal(fake_fetches(), 1);
		fake_head(fake_fetch(0), 200, framings[k]);
		rig_turn(&g);
		for (unsigned i = 0; i < strlen(TEXT); i++) {
			fake_body(fake_fetch(0), &TEXT[i], 1);
			rig_turn(&g);
		}
		fake_end(fake_fetch(0), FETCH_OK);
		rig_turn(&g);
		for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
			/* "From 0 on" of an unknown length is the whole: to leave a Range unheeded is allowed. */
			bool is_whole = k == 1 && i == 3;

			recorder_got(g.clients[i], is_whole ? 200 : rows[i].status, rows[i].body);
		}
		recorder_got(g.clients[0], 206, "quick");
		assert_int_equal(fake_fetches(), 1);
		rig_end(&g);
	}
}

/* What is for one client alone is asked for again, by each for its own part. */
static void of_a_private_response_each_asks_for_its_part(void **state)
{
	struct rig *g = *state;
	struct recorder *quick = rig_ask(g, QUICK), *fox;

	fox = rig_send(g, 1, RIG_AS_GATE, "GET /a\r\nRange: bytes=-3\r\n", NULL);
	assert_int_equal(fake_fetches(), 1);
	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\nCache-Control: private\r\n");
	rig_turn(g);
	assert_int_equal(fake_fetches(), 3);
	for (unsigned i = 1; i < 3; i++) {
		bool is_quick = fake_was_asked(fake_fetch(i), "Range: bytes=4-8");

		assert_true(is_quick || fake_was_asked(fake_fetch(i), "Range: bytes=-3"));
		fake_answer(fake_fetch(i), 206,
			is_quick ? "Cache-Control: private\r\nContent-Range: bytes 4-8/19\r\n"
				 : "Cache-Control: private\r\nContent-Range: bytes 16-18/19\r\n",
			is_quick ? "quick" : "fox");
	}
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(quick, 206, "quick");
	recorder_got(fox, 206, "fox");
	assert_int_equal(rig_stats(g).stored, 0);
}

static void what_is_too_large_to_store_is_asked_for_in_part(void **state)
{
	struct rig g;
	struct recorder *r;

	(void)state;
	rig_begin(&g, "[cache]\nmemory = 1M\nmax_object = 64K\n[route all]\nmatch = /*\nttl = 60s\n");
	r = rig_ask(&g, QUICK);
	fake_head(fake_fetch(0), 200, "Content-Length: 4194304\r\n");
	rig_turn(&g);
	assert_int_equal(fake_fetches(), 2);
	assert_true(fake_was_asked(fake_fetch(1), "Range: bytes=4-8"));
	fake_answer(fake_fetch(1), 206, "Content-Range: bytes 4-8/4194304\r\n", "quick");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(&g);
	recorder_got(r, 206, "quick");
	rig_end(&g);
}

static void a_route_may_pass_ranges_on(void **state)
{
	struct rig g;
	struct recorder *r;

	(void)state;
	rig_begin(&g, "[route all]\nmatch = /*\nttl = 60s\nrange_fill = pass\n");
	r = rig_ask(&g, QUICK);
	assert_true(fake_was_asked(fake_fetch(0), "Range: bytes=4-8"));
	fake_answer(fake_fetch(0), 206, "ETag: \"1\"\r\nContent-Range: bytes 4-8/19\r\n", "quick");
	rig_turn(&g);
	recorder_got(r, 206, "quick");
	recorder_got(rig_ask(&g, QUICK), 206, "quick"); /* the part was kept */
	assert_int_equal(fake_fetches(), 1);
	rig_end(&g);
}

static void a_range_of_a_failure_is_an_error(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, QUICK);

	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
	fake_body_text(fake_fetch(0), "the");
	rig_turn(g);
	fake_end(fake_fetch(0), FETCH_BROKEN); /* before its first byte: it goes with its own Range, once */
	rig_turn(g);
	assert_non_null(strstr(fake_fetch(1)->fields, "Range: bytes="));
	fake_end(fake_fetch(1), FETCH_BROKEN);
	rig_turn(g);
	recorder_got(r, 502, NULL);
	r = rig_ask(g, "GET /b\r\nRange: bytes=1-8\r\n");
	fake_head(fake_fetch(2), 200, "Content-Length: 19\r\n");
	fake_body_text(fake_fetch(2), "the");
	rig_turn(g);
	fake_end(fake_fetch(2), FETCH_BROKEN); /* inside it */
	rig_turn(g);
	assert_int_equal(r->how, RECORDER_ABORTED);
	assert_int_equal(r->status, 206);
}

static void who_waits_for_a_part_may_leave(void **state)
{
	struct rig *g = *state;
	struct recorder *first = rig_ask(g, "GET /a\r\nRange: bytes=-3\r\n"), *second = rig_ask(g, QUICK);

	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
	fake_body_text(fake_fetch(0), "the quick ");
	rig_turn(g);
	recorder_got(second, 206, "quick");
	recorder_leave(first);
	fake_body_text(fake_fetch(0), "brown fox");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(rig_ask(g, "GET /a"), 200, TEXT);
	assert_int_equal(fake_fetches(), 1);
}

/* That long after now, on all workers. */
static void pass_ms(struct rig *g, int64_t ms)
{
	struct now later = clock_now();

	later.mono_ms += ms;
	for (unsigned i = 0; i < RIG_WORKERS; i++)
		transaction_send_overdue(&g->workers[i], later);
	rig_turn(g);
}

static uint64_t overdue(const struct rig *g)
{
	return g->workers[0].stats.ranges_overdue + g->workers[1].stats.ranges_overdue;
}

static void a_range_that_a_slow_whole_does_not_come_to_goes_alone(void **state)
{
	/* Without a length nobody knows where a suffix begins; with several ranges it is the end that is waited for. */
	static const struct {
		const char *range, *framing;
	} rows[] = {{"Range: bytes=10-14", "Content-Length: 19\r\n"}, {"Range: bytes=-3", "Content-Length: 19\r\n"},
		{"Range: bytes=0-2", "Transfer-Encoding: chunked\r\n"},
		{"Range: bytes=0-0, 2-2", "Content-Length: 19\r\n"}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		for (unsigned leads = 0; leads < 2; leads++) {
			struct rig g;
			struct recorder *whole, *part;
			char request[64];

			rig_begin(&g, NULL);
			snprintf(request, sizeof(request), "GET /a\r\n%s\r\n", rows[i].range);
			whole = leads ? NULL : rig_send(&g, 0, RIG_AS_GATE, "GET /a", NULL);
			part = rig_send(&g, 1, RIG_AS_GATE, request, NULL);
			whole = whole ? whole : rig_send(&g, 0, RIG_AS_GATE, "GET /a", NULL);
			pass_ms(&g, 60000); /* no head yet: the range alone would wait for that as well */
			fake_head(fake_fetch(0), 200, rows[i].framing);
			fake_body_text(fake_fetch(0), "the quick");
			rig_turn(&g);
			pass_ms(&g, 4000);
			assert_int_equal(fake_fetches(), 1);
			pass_ms(&g, 5000);
			assert_int_equal(fake_fetches(), 2);
			assert_true(fake_was_asked(fake_fetch(1), rows[i].range));
			fake_answer(fake_fetch(1), 206, "Content-Range: bytes 0-2/19\r\n", "fox");
			rig_turn(&g);
			recorder_got(part, 206, "fox");
			assert_int_equal(overdue(&g), 1);
			/* The whole comes for all others. */
			assert_int_equal(fake_fetch(0)->state, FAKE_RUNNING);
			fake_body_text(fake_fetch(0), " brown fox");
			fake_end(fake_fetch(0), FETCH_OK);
			rig_turn(&g);
			recorder_got(whole, 200, TEXT);
			recorder_got(rig_ask(&g, QUICK), 206, "quick");
			assert_int_equal(fake_fetches(), 2);
			rig_end(&g);
		}
}

static void what_is_held_back_for_its_tag_is_not_waited_for_either(void **state)
{
	struct rig g;
	struct recorder *r;

	(void)state;
	rig_begin(&g, "[route all]\nmatch = /*\nttl = 60s\netag = auto\n");
	r = rig_ask(&g, "GET /a\r\nRange: bytes=0-2\r\n");
	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
	fake_body_text(fake_fetch(0), "the quick");
	rig_turn(&g);
	assert_int_equal(r->status, 0);
	pass_ms(&g, 5000);
	fake_answer(fake_fetch(1), 206, "Content-Range: bytes 0-2/19\r\n", "the");
	rig_turn(&g);
	recorder_got(r, 206, "the");
	rig_end(&g);
}

static void a_range_that_has_begun_is_not_overdue(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, QUICK),
			*left = rig_send(g, 1, RIG_AS_GATE, "GET /a\r\nRange: bytes=-3\r\n", NULL);

	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
	fake_body_text(fake_fetch(0), "the ");
	rig_turn(g);
	fake_body_text(fake_fetch(0), "qu");
	rig_turn(g);
	recorder_leave(left);
	pass_ms(g, 5000);
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(overdue(g), 0);
	fake_body_text(fake_fetch(0), "ick brown fox");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(r, 206, "quick");
}

static void an_overdue_range_waits_on_where_the_origin_has_enough_to_do(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, QUICK);

	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
	rig_turn(g);
	fake_upstream.is_spared = true;
	pass_ms(g, 5000);
	fake_upstream.is_spared = false;
	fake_upstream.start_error = -EBUSY;
	pass_ms(g, 11000);
	fake_upstream.start_error = 0;
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(r->status, 0);
	assert_int_equal(overdue(g), 0);
	fake_body_text(fake_fetch(0), TEXT);
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(r, 206, "quick");
}

static void of_a_herd_of_overdue_ranges_one_goes_at_a_time(void **state)
{
	struct rig *g = *state;
	struct recorder *r[5];

	for (unsigned i = 0; i < ARRAY_LEN(r); i++)
		r[i] = rig_send(g, 1, RIG_AS_GATE, QUICK, NULL);
	rig_turn(g);
	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
	rig_turn(g);
	pass_ms(g, 5000);
	pass_ms(g, 6000);
	assert_int_equal(fake_fetches(), 2);
	fake_answer(fake_fetch(1), 206, "Content-Range: bytes 4-8/19\r\n", "quick");
	rig_turn(g);
	pass_ms(g, 6000);
	assert_int_equal(fake_fetches(), 3);
	/* The whole comes before its own part does. */
	fake_body_text(fake_fetch(0), TEXT);
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	for (unsigned i = 0; i < ARRAY_LEN(r); i++)
		recorder_got(r[i], 206, "quick");
	assert_int_equal(fake_fetches(), 3);
	assert_int_equal(fake_fetch(2)->state, FAKE_CANCELLED);
	assert_int_equal(overdue(g), 2);
}

/* An origin that knows no ranges, one that has too much to do, and one that does not answer. */
static void what_is_no_part_is_not_waited_for_by_an_overdue_range(void **state)
{
	static const struct {
		int status;
		enum fetch_result end;
	} rows[] = {{200, FETCH_OK}, {503, FETCH_OK}, {429, FETCH_OK}, {0, FETCH_TIMEOUT}, {0, FETCH_BROKEN}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig g;
		struct recorder *r, *other;

		rig_begin(&g, NULL);
		r = rig_send(&g, 0, RIG_AS_GATE, QUICK, NULL);
		other = rig_send(&g, 0, RIG_AS_GATE, QUICK, NULL);
		rig_turn(&g);
		fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
		rig_turn(&g);
		pass_ms(&g, 5000);
		if (rows[i].status)
			fake_head(fake_fetch(1), rows[i].status, "Content-Length: 0\r\n");
		fake_end(fake_fetch(1), rows[i].end);
		rig_turn(&g);
		pass_ms(&g, 12000);
		assert_int_equal(fake_fetches(), 2);
		assert_int_equal(r->status, 0);
		fake_body_text(fake_fetch(0), TEXT);
		fake_end(fake_fetch(0), FETCH_OK);
		rig_turn(&g);
		recorder_got(r, 206, "quick");
		recorder_got(other, 206, "quick");
		rig_end(&g);
	}
}

static void an_overdue_range_goes_on_alone_where_the_whole_breaks_off(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, QUICK);

	fake_head(fake_fetch(0), 200, "Content-Length: 19\r\n");
	rig_turn(g);
	pass_ms(g, 5000);
	fake_end(fake_fetch(0), FETCH_BROKEN);
	rig_turn(g);
	assert_int_equal(r->status, 0);
	fake_answer(fake_fetch(1), 206, "Content-Range: bytes 4-8/19\r\n", "quick");
	rig_turn(g);
	recorder_got(r, 206, "quick");
	assert_int_equal(fake_fetches(), 2);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_range_has_the_whole_fetched),
		TEST(a_range_does_not_wait_for_what_comes_after_it),
		cmocka_unit_test(a_herd_of_ranges_is_one_fetch),
		TEST(of_a_private_response_each_asks_for_its_part),
		cmocka_unit_test(what_is_too_large_to_store_is_asked_for_in_part),
		cmocka_unit_test(a_route_may_pass_ranges_on),
		TEST(a_range_of_a_failure_is_an_error),
		TEST(who_waits_for_a_part_may_leave),
		cmocka_unit_test(a_range_that_a_slow_whole_does_not_come_to_goes_alone),
		cmocka_unit_test(what_is_held_back_for_its_tag_is_not_waited_for_either),
		TEST(a_range_that_has_begun_is_not_overdue),
		TEST(an_overdue_range_waits_on_where_the_origin_has_enough_to_do),
		TEST(of_a_herd_of_overdue_ranges_one_goes_at_a_time),
		cmocka_unit_test(what_is_no_part_is_not_waited_for_by_an_overdue_range),
		TEST(an_overdue_range_goes_on_alone_where_the_whole_breaks_off),
	};

	return cmocka_run_group_tests_name("transaction_range", tests, NULL, NULL);
}
