/* SPDX-License-Identifier: MIT */
/* Misses: one request, one fetch, and what becomes of each kind of response and of each way a fetch can end. */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#include <errno.h>
#include <stdio.h>

static void a_miss_is_one_fetch_that_flows_and_is_stored(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a?x=1\r\nAccept: text/plain\r\n");
	struct fetch *f = fake_fetch(0);

	assert_string_equal(f->method, "GET");
	assert_string_equal(f->target, "/a?x=1");
	assert_null(f->body);
	assert_true(fake_was_asked(f, "Accept: text/plain"));
	assert_int_equal(r->calls.n, 0);
	fake_head(f, 200, "Content-Length: 6\r\n");
	rig_turn(g);
	assert_int_equal(r->status, 200);
	fake_body_text(f, "abc");
	rig_turn(g);
	assert_int_equal(r->body.n, 3); /* it does not wait for the end */
	fake_body_text(f, "def");
	fake_end(f, FETCH_OK);
	rig_turn(g);
	recorder_got(r, 200, "abcdef");
	assert_non_null(strstr(recorder_field(r, "Cache-Status"), "fwd=uri-miss"));
	assert_non_null(strstr(recorder_field(r, "Cache-Status"), "stored"));
	assert_int_equal(rig_responses(g, RESPONSE_MISS), 1);
	recorder_got(rig_ask(g, "GET /a?x=1"), 200, "abcdef");
	assert_int_equal(fake_fetches(), 1);
}

static void a_length_that_is_not_known_is_framed_by_the_transport(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a");

	fake_head(fake_fetch(0), 200, "Transfer-Encoding: chunked\r\n");
	fake_body_text(fake_fetch(0), "abc");
	rig_turn(g);
	assert_true(r->is_unframed);
	assert_string_equal(recorder_field(r, "Content-Length"), "");
	assert_string_equal(recorder_field(r, "Transfer-Encoding"), "");
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(r, 200, "abc");
	r = rig_ask(g, "GET /a");
	recorder_got(r, 200, "abc");
	assert_string_equal(recorder_field(r, "Content-Length"), "3");
	assert_int_equal(fake_fetches(), 1);
}

static void a_body_may_be_empty(void **state)
{
	static const struct {
		int status;
		const char *fields;
	} rows[] = {{200, "Content-Length: 0\r\n"}, {200, ""}, {204, ""}, {404, "Content-Length: 0\r\n"},
		{301, "Location: /b\r\nContent-Length: 0\r\n"}};
	struct rig *g = *state;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char request[32] = "GET /0";
		struct recorder *r;

		request[5] = (char)('0' + i);
		r = rig_ask(g, request);
		fake_head(fake_fetch(i), rows[i].status, rows[i].fields);
		fake_end(fake_fetch(i), FETCH_OK);
		rig_turn(g);
		recorder_got(r, rows[i].status, "");
	}
}

static void head_asks_for_a_head(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "HEAD /a");

	assert_string_equal(fake_fetch(0)->method, "HEAD");
	fake_answer(fake_fetch(0), 200, "", "abc");
	rig_turn(g);
	recorder_got(r, 200, "");
	assert_string_equal(recorder_field(r, "Content-Length"), "3");
}

/* ---- What is not for others ---- */

static void a_response_that_is_not_for_others_is_not_stored(void **state)
{
	static const char *const fields[] = {"Cache-Control: private\r\n", "Cache-Control: no-store\r\n", "Vary: *\r\n",
		"Cache-Control: no-store, max-age=60\r\n"};
	struct rig *g = *state;

	for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
		char request[32] = "GET /0";

		request[5] = (char)('0' + i);
		for (unsigned again = 0; again < 2; again++) {
			unsigned n = fake_fetches();
			struct recorder *r = rig_ask(g, request);

			fake_answer(fake_fetch(n), 200, fields[i], again ? "second" : "first");
			rig_turn(g);
			recorder_got(r, 200, again ? "second" : "first");
			assert_null(strstr(recorder_field(r, "Cache-Status"), "stored"));
		}
	}
	assert_int_equal(rig_stats(g).stored, 0);
}

/* `set_cookie = auto`: the cookie goes to the client that fetched it alone. */
static void a_cookie_goes_to_one_client(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a");

	fake_answer(fake_fetch(0), 200, "Cache-Control: max-age=60\r\nSet-Cookie: sid=1\r\n", "abc");
	rig_turn(g);
	recorder_got(r, 200, "abc");
	assert_string_equal(recorder_field(r, "Set-Cookie"), "sid=1");
	r = rig_ask(g, "GET /a");
	recorder_got(r, 200, "abc");
	assert_string_equal(recorder_field(r, "Set-Cookie"), "");
	assert_int_equal(fake_fetches(), 1);
	r = rig_ask(g, "GET /b"); /* without a lifetime of its own it is that client's, whole */
	fake_answer(fake_fetch(1), 200, "Set-Cookie: sid=2\r\n", "abc");
	rig_turn(g);
	assert_string_equal(recorder_field(r, "Set-Cookie"), "sid=2");
	rig_ask(g, "GET /b");
	assert_int_equal(fake_fetches(), 3);
	fake_answer(fake_fetch(2), 200, "", "abc");
}

static void credentials_keep_a_response_from_others(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a\r\nAuthorization: Basic eDp5\r\n");

	fake_answer(fake_fetch(0), 200, "Cache-Control: max-age=60\r\n", "mine");
	rig_turn(g);
	recorder_got(r, 200, "mine");
	r = rig_ask(g, "GET /a");
	assert_int_equal(fake_fetches(), 2);
	fake_answer(fake_fetch(1), 200, "Cache-Control: max-age=60\r\n", "all's");
	rig_turn(g);
	recorder_got(r, 200, "all's");
}

/* A condition does not go with a fetch for all; its client is told 304 all the same where the response is for it alone. */
static void a_condition_is_judged_here(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a\r\nIf-None-Match: \"1\"\r\n");

	assert_false(fake_was_asked(fake_fetch(0), "If-None-Match: \"1\""));
	fake_answer(fake_fetch(0), 200, "ETag: \"1\"\r\n", "abc");
	rig_turn(g);
	recorder_got(r, 304, "");
	r = rig_ask(g, "GET /b\r\nIf-None-Match: \"1\"\r\n");
	fake_answer(fake_fetch(1), 200, "ETag: \"1\"\r\nCache-Control: private\r\n", "abc");
	rig_turn(g);
	recorder_got(r, 304, "");
	assert_int_equal(fake_running(), 0);
}

/* ---- How a fetch ends ---- */

static const struct {
	enum fetch_result result;
	int status;
} ends[] = {{FETCH_REFUSED, 502}, {FETCH_TIMEOUT, 504}, {FETCH_BROKEN, 502}, {FETCH_BAD_RESPONSE, 502},
	{FETCH_BUSY, 503}, {FETCH_NO_MEMORY, 503}, {FETCH_WITHHELD, 503}};
/* One that is led for others, one with credentials, one that no cache holds, one with content. */
static const char *const asking[] = {"GET /0", "GET /0\r\nAuthorization: Basic eDp5\r\n", "HEAD /0", "POST /0"};

static void a_fetch_that_fails_before_its_head_is_an_error(void **state)
{
	struct rig *g = *state;

	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		for (unsigned k = 0; k < ARRAY_LEN(asking); k++) {
			char request[64];
			struct recorder *r;
			unsigned n = fake_fetches();

			strcpy(request, asking[k]);
			*strchr(request, '0') = (char)('a' + i * ARRAY_LEN(asking) + k);
			r = rig_ask(g, request);
			fake_end(fake_fetch(n), ends[i].result);
			rig_turn(g);
			recorder_got(r, ends[i].status, k == 2 ? "" : NULL);
			assert_string_equal(recorder_field(r, "Content-Type"), "application/problem+json");
			assert_int_equal(*recorder_field(r, "Retry-After") != '\0', ends[i].status == 503);
		}
	assert_int_equal(rig_responses(g, RESPONSE_ERROR), ARRAY_LEN(ends) * ARRAY_LEN(asking));
}

static void a_fetch_that_fails_inside_its_body_cuts_the_response(void **state)
{
	/* Led, with a length and without; and alone. */
	static const char *const fields[] = {"Content-Length: 6\r\n", "Transfer-Encoding: chunked\r\n",
		"Content-Length: 6\r\nCache-Control: private\r\n"};
	struct rig *g = *state;

	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		for (unsigned k = 0; k < ARRAY_LEN(fields); k++) {
			char request[64] = "GET /0";
			struct recorder *r;
			unsigned n = fake_fetches();

			request[5] = (char)('a' + 3 * i + k);
			r = rig_ask(g, request);
			fake_head(fake_fetch(n), 200, fields[k]);
			fake_body_text(fake_fetch(n), "abc");
			rig_turn(g);
			fake_end(fake_fetch(n), ends[i].result);
			rig_turn(g);
			assert_int_equal(r->how, RECORDER_ABORTED);
			assert_int_equal(r->status, 200);
			assert_int_equal(r->body.n, 3);
		}
	assert_int_equal(rig_stats(g).stored, 0);
	assert_int_equal(g->workers[0].stats.aborted, ARRAY_LEN(fields) * ARRAY_LEN(ends));
}

static void a_failure_is_remembered_for_a_moment(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a");

	fake_end(fake_fetch(0), FETCH_REFUSED);
	rig_turn(g);
	recorder_got(r, 502, NULL);
	recorder_got(rig_ask(g, "GET /a"), 502, NULL);
	assert_int_equal(fake_fetches(), 1);
}

static void a_fetch_that_cannot_start_is_an_error(void **state)
{
	struct rig *g = *state;
	static const struct {
		int error, status;
	} rows[] = {{-EBUSY, 503}, {-ENOMEM, 503}};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		for (unsigned k = 0; k < ARRAY_LEN(asking); k++) {
			char request[64];

			fake_upstream.start_error = rows[i].error;
			strcpy(request, asking[k]);
			*strchr(request, '0') = (char)('a' + i * ARRAY_LEN(asking) + k);
			recorder_got(rig_ask(g, request), rows[i].status, NULL);
		}
	assert_int_equal(fake_fetches(), 0);
}

/* The client hears when it may come back, where the upstream has said so. */
static void a_pause_of_the_upstream_is_passed_on(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "POST /a");

	fake_upstream.retry_after_s = 17;
	fake_end(fake_fetch(0), FETCH_WITHHELD);
	rig_turn(g);
	recorder_got(r, 503, NULL);
	assert_string_equal(recorder_field(r, "Retry-After"), "17");
}

/* ---- Requests of other kinds ---- */

static void interim_responses_go_before_the_final_one(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_ask(g, "GET /a");

	fake_informational(fake_fetch(0), 103, "Link: </s.css>; rel=preload\r\nConnection: x\r\nContent-Length: 3\r\n");
	rig_turn(g);
	assert_int_equal(r->interim.n, strlen("103 Link: </s.css>; rel=preload\r\n"));
	assert_memory_equal(r->interim.p, "103 Link: </s.css>; rel=preload\r\n", r->interim.n);
	fake_answer(fake_fetch(0), 200, "", "abc");
	rig_turn(g);
	recorder_got(r, 200, "abc");
	assert_memory_equal(r->calls.p, "informational begin", 19);
}

static void content_goes_to_the_upstream_whole(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_send(g, 0, RIG_AS_GATE, "POST /a\r\nContent-Length: 5\r\n", "hello");

	assert_string_equal(fake_fetch(0)->method, "POST");
	assert_string_equal(fake_fetch(0)->body, "hello");
	assert_false(fake_was_asked(fake_fetch(0), "Content-Length: 5")); /* framing is the upstream's */
	fake_answer(fake_fetch(0), 201, "Location: /a/1\r\n", "made");
	rig_turn(g);
	recorder_got(r, 201, "made");
	assert_int_equal(rig_responses(g, RESPONSE_PASS), 1);
	r = rig_send(g, 0, RIG_AS_GATE, "PUT /a\r\nTransfer-Encoding: chunked\r\n", "");
	assert_string_equal(fake_fetch(1)->body, "");
	fake_answer(fake_fetch(1), 204, "", "");
	rig_turn(g);
	recorder_got(r, 204, "");
}

static void what_we_answer_ourselves_asks_nobody(void **state)
{
	struct rig *g = *state;

	recorder_got(rig_ask(g, "GET /a\r\nCache-Control: only-if-cached\r\n"), 504, NULL);
	recorder_got(rig_ask(g, "OPTIONS *\r\nMax-Forwards: 0\r\n"), 200, "");
	recorder_got(rig_ask(g, "HEAD /a\r\nContent-Length: 5\r\n"), 400, "");
	assert_int_equal(fake_fetches(), 0);
}

static void a_request_that_comes_back_is_stopped(void **state)
{
	struct rig *g = *state;
	struct recorder *r;
	const char *mark;
	char request[256];

	rig_ask(g, "GET /a");
	mark = strstr(fake_fetch(0)->fields, "CDN-Loop: ");
	assert_non_null(mark);
	snprintf(request, sizeof(request), "GET /b\r\n%.*s\r\n", (int)strcspn(mark, "\r"), mark);
	r = rig_ask(g, request);
	recorder_got(r, 508, NULL);
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(g->workers[0].stats.loops, 1);
	fake_answer(fake_fetch(0), 200, "", "");
}

static void a_client_without_a_transport_for_its_head_is_refused(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_client(g, "GET /a", NULL);

	r->is_deaf = true;
	rig_begin_client(g, r, 0, RIG_AS_GATE);
	fake_answer(fake_fetch(0), 200, "", "abc");
	rig_turn(g);
	assert_int_equal(r->how, RECORDER_REFUSED);
	recorder_got(rig_ask(g, "GET /a"), 200, "abc");
	assert_int_equal(fake_fetches(), 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_miss_is_one_fetch_that_flows_and_is_stored),
		TEST(a_length_that_is_not_known_is_framed_by_the_transport),
		TEST(a_body_may_be_empty),
		TEST(head_asks_for_a_head),
		TEST(a_response_that_is_not_for_others_is_not_stored),
		TEST(a_cookie_goes_to_one_client),
		TEST(credentials_keep_a_response_from_others),
		TEST(a_condition_is_judged_here),
		TEST(a_fetch_that_fails_before_its_head_is_an_error),
		TEST(a_fetch_that_fails_inside_its_body_cuts_the_response),
		TEST(a_failure_is_remembered_for_a_moment),
		TEST(a_fetch_that_cannot_start_is_an_error),
		TEST(a_pause_of_the_upstream_is_passed_on),
		TEST(interim_responses_go_before_the_final_one),
		TEST(content_goes_to_the_upstream_whole),
		TEST(what_we_answer_ourselves_asks_nobody),
		TEST(a_request_that_comes_back_is_stopped),
		TEST(a_client_without_a_transport_for_its_head_is_refused),
	};

	return cmocka_run_group_tests_name("transaction_miss", tests, NULL, NULL);
}
