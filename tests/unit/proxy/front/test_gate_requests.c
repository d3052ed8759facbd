/* SPDX-License-Identifier: MIT */
/* What the gate takes from a client, what it refuses, and what evhttp and the program get to see of it. */
#include "gate_rig.h"

#include <stdio.h>
#include <string.h>

#define HEAD_OF(method, target) method " " target " HTTP/1.1\r\nHost: a\r\n"

static void transaction(struct rig *r, const char *request, const char *expected)
{
	struct client *c = client_new(r);

	client_send(c, request);
	wait_for(r, strstr(client_text(c), expected) || c->eof || c->failed);
	assert_has(c, expected);
	client_free(c);
}

static void plain_get_is_served_and_kept_alive(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("GET", "/one?x") "\r\n");
	wait_for(r, strstr(client_text(c), "<GET /one?x >"));
	assert_has(c, "HTTP/1.1 200 OK\r\n");
	assert_lacks(c, "Connection");
	assert_lacks(c, "Content-Type");
	client_send(c, HEAD_OF("GET", "/two") "\r\n");
	wait_for(r, strstr(client_text(c), "<GET /two >"));
	assert_int_equal(r->stats.accepted, 1);
	assert_int_equal(r->completed, 2);
	client_free(c);
}

static void bad_requests_are_refused_by_the_gate_and_closed(void **state)
{
	static const struct {
		const char *request, *status;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", "400"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", "400"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"400"},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501"},
		{"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "405"},
		{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
		{"GET / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n", "417"},
		{"nonsense\r\n\r\n", "400"},
		{"\x16\x03\x01\x02\r\n\r\n", "400"},
	};
	struct rig *r = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client *c = client_new(r);
		char line[32];
		snprintf(line, sizeof(line), "HTTP/1.1 %s ", rows[i].status);
		client_send(c, rows[i].request);
		wait_for(r, c->eof);
		assert_has(c, line);
		assert_has(c, "Connection: close\r\n");
		assert_has(c, "application/problem+json");
		assert_int_equal(client_count(c, "Connection: close"), 1);
		client_free(c);
	}
	assert_int_equal(r->requests, 0);
	assert_int_equal(r->refused, ARRAY_LEN(rows));
	rig_settle(r);
	assert_int_equal(r->stats.open, 0);
}

static void nul_in_a_head_is_refused(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send_bytes(c, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 36);
	wait_for(r, c->eof);
	assert_has(c, "HTTP/1.1 400 ");
	client_free(c);
}

static void heads_past_the_limit_are_refused_while_they_grow(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);
	char many[8000];

	client_send(c, HEAD_OF("GET", "/"));
	memset(many, 'x', sizeof(many));
	client_send(c, "X: ");
	client_send_bytes(c, many, sizeof(many));
	wait_for(r, c->eof);
	assert_has(c, "HTTP/1.1 431 ");
	client_free(c);
}

static void pipelined_requests_of_both_paths_are_answered_in_order(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(
		c, HEAD_OF("GET", "/hit") "\r\n" HEAD_OF("GET", "/slow1") "\r\n" HEAD_OF("GET", "/hit") "\r\n" HEAD_OF(
			   "GET", "/hold") "\r\n" HEAD_OF("POST", "/two") "Content-Length: 3\r\n\r\nabc" HEAD_OF("GET",
			   "/hit") "\r\n" HEAD_OF("HEAD", "/hit") "\r\n" HEAD_OF("GET", "/end") "\r\n");
	wait_for(r, r->held_n == 1);
	rig_settle(r);
	assert_int_equal(r->requests, 2);
	rig_release(r, 0, "[held]");
	wait_for(r, strstr(client_text(c), "<GET /end >"));
	const char *p = client_text(c);
	static const char *const order[] = {"[hit]", "<GET /slow1 >", "[hit]", "[held]", "<POST /two abc>", "[hit]",
		"\r\n\r\nHTTP/1.1", "<GET /end >"};
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		p = strstr(p, order[i]);
		assert_non_null(p);
		p += strlen(order[i]) - (i == 6 ? 8 : 0);
	}
	assert_int_equal(r->hits, 4);
	assert_true(r->held[0].complete);
	client_free(c);
}

static void refusal_waits_for_earlier_responses(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);
	const char *text, *held;

	client_send(c, HEAD_OF("GET", "/hold") "\r\nbad\r\n\r\n");
	wait_for(r, r->held_n == 1);
	rig_settle(r);
	assert_string_equal(client_text(c), "");
	rig_release(r, 0, "[held]");
	wait_for(r, c->eof);
	text = client_text(c); /* once: each call may move it */
	held = strstr(text, "[held]");
	assert_non_null(held);
	assert_non_null(strstr(held, "HTTP/1.1 400"));
	client_free(c);
}

static void many_pipelined_hits_are_all_answered(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	for (int i = 0; i < 1000; i++)
		client_send(c, HEAD_OF("GET", "/hit") "\r\n");
	client_send(c, HEAD_OF("GET", "/end") "Connection: close\r\n\r\n");
	wait_for(r, c->eof);
	assert_int_equal(client_count(c, "[hit]"), 1000);
	assert_has(c, "<GET /end >");
	client_free(c);
}

static void a_request_with_content_is_never_a_hit(void **state)
{
	struct rig *r = *state;

	transaction(r, HEAD_OF("GET", "/hit") "Content-Length: 5\r\n\r\nhello", "<GET /hit hello>");
	transaction(
		r, HEAD_OF("GET", "/hit") "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "<GET /hit ab>");
	assert_int_equal(r->hits, 0);
	transaction(r, HEAD_OF("GET", "/hit") "\r\n", "[hit]");
}

static void interim_responses_come_before_the_response_on_a_reused_connection(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	for (int i = 0; i < 3; i++) {
		client_forget(c);
		client_send(c, HEAD_OF("GET", "/hint") "\r\n");
		wait_for(r, strstr(client_text(c), "<GET /hint >"));
		assert_int_equal(
			strncmp(client_text(c),
				"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n", 68),
			0);
	}
	client_send(c, "GET /hint HTTP/1.0\r\n\r\n");
	wait_for(r, c->eof);
	assert_int_equal(client_count(c, "103 Early"), 1);
	client_free(c);
}

static void any_method_may_have_a_body(void **state)
{
	static const char *const methods[] = {"GET", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "M-SEARCH", "FOO"};
	struct rig *r = *state;
	struct client *c = client_new(r);

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		char request[200], expected[64];
		snprintf(request, sizeof(request),
			"%s /m HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nGET /x HTTP/1.1\r\n\r\n!%s /n "
			"HTTP/1.1\r\nHost: a\r\n\r\n",
			methods[i], methods[i]);
		client_forget(c);
		client_send(c, request);
		snprintf(expected, sizeof(expected), "<%s /n >", methods[i]);
		wait_for(r, strstr(client_text(c), expected));
		snprintf(expected, sizeof(expected), "<%s /m GET /x HTTP/1.1\r\n\r\n!>", methods[i]);
		assert_has(c, expected);
	}
	assert_int_equal(r->requests, 2 * ARRAY_LEN(methods));
	client_free(c);
}

static void head_with_a_body_does_not_disturb_the_next_request(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("HEAD", "/h") "Content-Length: 9\r\n\r\nGET /evil" HEAD_OF(
			       "HEAD", "/c") "Transfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n" HEAD_OF("GET",
			       "/after") "\r\n");
	wait_for(r, strstr(client_text(c), "<GET /after >"));
	assert_int_equal(client_count(c, "HTTP/1.1 200"), 3);
	assert_int_equal(client_count(c, "<"), 1);
	assert_int_equal(r->requests, 3);
	client_free(c);
}

static void chunked_body_is_decoded_wherever_it_is_split(void **state)
{
	static const char request[] =
		HEAD_OF("POST", "/c") "Transfer-Encoding: chunked\r\n\r\n"
				      "5;a=b;c=\"d;\\\"\"\r\nhello\r\n1\r\n,\r\n00a\r\n0123456789\r\n0\r\nX-T: y\r\nZ: "
				      "1\r\n\r\n" HEAD_OF("GET", "/next") "\r\n";
	struct rig *r = *state;
	for (size_t at = 1; at < sizeof(request) - 1; at++) {
		struct client *c = client_new(r);
		uint64_t before = r->stats.bytes_in;
		client_send_bytes(c, request, at);
		wait_for(r, r->stats.bytes_in == before + at);
		client_send_bytes(c, request + at, sizeof(request) - 1 - at);
		wait_for(r, strstr(client_text(c), "<GET /next >"));
		assert_has(c, "<POST /c hello,0123456789>");
		client_free(c);
	}
}

static void bad_chunking_is_refused(void **state)
{
	static const char *const bodies[] = {"0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
		" 5\r\nhello\r\n0\r\n\r\n", "5 x\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n",
		"5\nhello\r\n0\r\n\r\n", "\r\n5\r\nhello\r\n0\r\n\r\n"};
	struct rig *r = *state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct client *c = client_new(r);
		client_send(c, HEAD_OF("POST", "/c") "Transfer-Encoding: chunked\r\n\r\n");
		client_send(c, bodies[i]);
		wait_for(r, c->eof);
		assert_has(c, "HTTP/1.1 400 ");
		client_free(c);
	}
	assert_int_equal(r->requests, 0);
}

static void continue_is_sent_to_who_waits_for_it_and_only_then(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	for (int i = 0; i < 2; i++) {
		client_forget(c);
		client_send(c, HEAD_OF("PUT", "/e") "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
		wait_for(r, evbuffer_get_length(c->in) > 0);
		assert_string_equal(client_text(c), "HTTP/1.1 100 Continue\r\n\r\n");
		client_send(c, "abc");
		wait_for(r, strstr(client_text(c), "<PUT /e abc>"));
	}
	client_forget(c);
	client_send(c, HEAD_OF("PUT", "/e") "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
	wait_for(r, strstr(client_text(c), "<PUT /e abc>"));
	assert_lacks(c, "100 Continue");
	client_free(c);
	transaction(r, "PUT /e HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.0 200");
	transaction(r, HEAD_OF("PUT", "/e") "Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n", "HTTP/1.1 413 ");
}

static void announced_body_past_the_limit_is_413_at_once(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("POST", "/big") "Content-Length: 100001\r\n\r\n");
	wait_for(r, c->eof);
	assert_has(c, "HTTP/1.1 413 ");
	assert_int_equal(r->refused_status, 413);
	assert_int_equal(r->requests, 0);
	client_free(c);
}

static void chunked_body_past_the_limit_is_413_and_the_client_can_read_it(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);
	char data[0x4000];

	memset(data, 'x', sizeof(data));
	client_send(c, HEAD_OF("POST", "/big") "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 200; i++) {
		client_send(c, "4000\r\n");
		client_send_bytes(c, data, sizeof(data));
		client_send(c, "\r\n");
	}
	wait_for(r, c->eof || c->failed);
	assert_false(c->failed);
	assert_has(c, "HTTP/1.1 413 ");
	assert_int_equal(r->requests, 0);
	client_free(c);
}

static void body_of_exactly_the_limit_is_served(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);
	static char data[100000];

	memset(data, 'x', sizeof(data));
	client_send(c, HEAD_OF("POST", "/limit") "Content-Length: 100000\r\n\r\n");
	client_send_bytes(c, data, sizeof(data));
	wait_for(r, r->requests == 1);
	assert_int_equal(r->last_body_n, 100000);
	wait_for(r, r->completed == 1);
	client_free(c);
}

static void chunked_body_of_exactly_the_limit_is_served(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);
	static char data[100000];

	memset(data, 'x', sizeof(data));
	client_send(c, HEAD_OF("POST", "/limit") "Transfer-Encoding: chunked\r\n\r\n186a0\r\n");
	client_send_bytes(c, data, sizeof(data));
	client_send(c, "\r\n0\r\n\r\n");
	wait_for(r, r->requests == 1 || r->refused);
	assert_int_equal(r->last_body_n, 100000);
	wait_for(r, r->completed == 1);
	client_free(c);
}

static void chunk_that_announces_too_much_is_413_before_it_comes(void **state)
{
	transaction(*state, HEAD_OF("POST", "/big") "Transfer-Encoding: chunked\r\n\r\n186a1\r\n", "HTTP/1.1 413 ");
}

static void http10_is_closed_unless_it_asks(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(c, "GET /ten HTTP/1.0\r\n\r\n");
	wait_for(r, c->eof);
	assert_has(c, "HTTP/1.0 200 OK\r\n");
	assert_has(c, "Connection: close\r\n");
	assert_has(c, "<GET /ten >");
	client_free(c);
	c = client_new(r);
	for (int i = 0; i < 2; i++) {
		client_forget(c);
		client_send(c, "GET /ka HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
		wait_for(r, strstr(client_text(c), "<GET /ka >"));
		assert_has(c, "Connection: keep-alive\r\n");
		assert_has(c, "Content-Length: ");
	}
	client_free(c);
}

static void http10_response_of_unknown_length_ends_with_the_connection(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(c, "GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	wait_for(r, r->held_n == 1);
	gate_close_after_response(r->held[0].g);
	rig_start(r, 0, NULL);
	rig_chunk(r, 0, "part1,");
	wait_for(r, strstr(client_text(c), "part1,"));
	rig_chunk(r, 0, "part2");
	rig_finish(r, 0);
	wait_for(r, c->eof);
	assert_has(c, "\r\n\r\npart1,part2");
	assert_lacks(c, "Content-Length");
	assert_lacks(c, "keep-alive");
	assert_true(r->held[0].complete);
	client_free(c);
}

static void close_is_obeyed_in_any_spelling(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("GET", "/x") "Connection: foo, Close\r\n\r\n" HEAD_OF("GET", "/y") "\r\n");
	wait_for(r, c->eof);
	assert_has(c, "Connection: close\r\n");
	assert_int_equal(r->requests, 1);
	client_free(c);
	transaction(r, HEAD_OF("GET", "/last") "\r\n", "Connection: close\r\n");
	c = client_new(r);
	client_send(c, HEAD_OF("GET", "/hit") "Connection: close\r\n\r\n");
	wait_for(r, c->eof);
	assert_has(c, "Connection: close\r\n");
	client_free(c);
}

static void peer_is_told_as_text(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);
	uint16_t port = 0;

	client_send(c, HEAD_OF("GET", "/hold") "\r\n");
	wait_for(r, r->held_n == 1);
	assert_string_equal(gate_peer(r->held[0].g, &port), "127.0.0.1");
	assert_true(port > 0);
	rig_release(r, 0, "x");
	wait_for(r, r->held[0].complete);
	client_free(c);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(plain_get_is_served_and_kept_alive),
		RIG_TEST(bad_requests_are_refused_by_the_gate_and_closed),
		RIG_TEST(nul_in_a_head_is_refused),
		RIG_TEST(heads_past_the_limit_are_refused_while_they_grow),
		RIG_TEST(pipelined_requests_of_both_paths_are_answered_in_order),
		RIG_TEST(refusal_waits_for_earlier_responses),
		RIG_TEST(many_pipelined_hits_are_all_answered),
		RIG_TEST(a_request_with_content_is_never_a_hit),
		RIG_TEST(interim_responses_come_before_the_response_on_a_reused_connection),
		RIG_TEST(any_method_may_have_a_body),
		RIG_TEST(head_with_a_body_does_not_disturb_the_next_request),
		RIG_TEST(chunked_body_is_decoded_wherever_it_is_split),
		RIG_TEST(bad_chunking_is_refused),
		RIG_TEST(continue_is_sent_to_who_waits_for_it_and_only_then),
		RIG_TEST(announced_body_past_the_limit_is_413_at_once),
		RIG_TEST(chunked_body_past_the_limit_is_413_and_the_client_can_read_it),
		RIG_TEST(body_of_exactly_the_limit_is_served),
		RIG_TEST(chunked_body_of_exactly_the_limit_is_served),
		RIG_TEST(chunk_that_announces_too_much_is_413_before_it_comes),
		RIG_TEST(http10_is_closed_unless_it_asks),
		RIG_TEST(http10_response_of_unknown_length_ends_with_the_connection),
		RIG_TEST(close_is_obeyed_in_any_spelling),
		RIG_TEST(peer_is_told_as_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
