/* SPDX-License-Identifier: MIT */
/* How connections end: the client leaves, one of the limits of time runs out, a response is cut, the server drains. */
#include "gate_rig.h"

#include <string.h>
#include <sys/socket.h>

#define HEAD_OF(method, target) method " " target " HTTP/1.1\r\nHost: a\r\n"

static struct client *hold_one(struct rig *r, const char *request)
{
	struct client *c = client_new(r);
	unsigned before = r->held_n;

	client_send(c, request);
	wait_for(r, r->held_n == before + 1);
	return c;
}

/* ---- The client ---- */

static void half_closed_client_gets_its_response(void **state)
{
	struct rig *r = *state;
	struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n" HEAD_OF("GET", "/more") "\r\n");

	client_half_close(c);
	rig_settle(r);
	assert_int_equal(r->gone, 0);
	rig_start(r, 0, NULL);
	rig_chunk(r, 0, "first");
	wait_for(r, strstr(client_text(c), "first"));
	rig_finish(r, 0);
	wait_for(r, c->eof);
	assert_has(c, "0\r\n\r\n");
	assert_has(c, "<GET /more >");
	assert_int_equal(r->completed, 2);
	client_free(c);
	rig_settle(r);
	assert_int_equal(r->stats.open, 0);
}

/* A close looks like a half-close, until something is sent: an interim response, which those who wait skip. */
static void client_that_closes_while_it_waits_is_gone(void **state)
{
	struct rig *r = *state;
	struct client *left = hold_one(r, HEAD_OF("GET", "/hold") "\r\n");
	struct client *old = hold_one(r, "GET /hold HTTP/1.0\r\n\r\n");
	struct client *half = hold_one(r, HEAD_OF("GET", "/hold") "\r\n");

	client_half_close(old);
	client_half_close(half);
	client_free(left);
	wait_for(r, r->held[0].gone && strstr(client_text(half), "HTTP/1.1 100 Continue\r\n\r\n"));
	wait_for(r, r->stats.open == 2);
	rig_release(r, 1, "yes");
	rig_release(r, 2, "yes");
	wait_for(r, half->eof && old->eof);
	assert_has(half, "yes");
	assert_has(old, "yes");
	assert_null(strstr(client_text(old), " 100 ")); /* HTTP/1.0 does not know it (RFC 9110 15.2) */
	assert_int_equal(r->gone, 1);
	client_free(old), client_free(half);
}

static void client_that_closes_between_requests_is_let_go(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("GET", "/x") "\r\n");
	wait_for(r, r->completed == 1);
	client_free(c);
	wait_for(r, r->stats.open == 0);
	assert_int_equal(r->stats.bad_requests, 0);
}

static void requests_cut_short_by_a_half_close_are_refused(void **state)
{
	static const char *const parts[] = {"GET /x HTT", HEAD_OF("POST", "/x") "Content-Length: 5\r\n\r\nabc",
		HEAD_OF("POST", "/x") "Transfer-Encoding: chunked\r\n\r\n5\r\nab"};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct client *c = client_new(r);
		client_send(c, parts[i]);
		client_half_close(c);
		wait_for(r, c->eof);
		assert_has(c, "HTTP/1.1 400 ");
		client_free(c);
	}
	assert_int_equal(r->requests, 0);
}

static void reset_at_any_stage_of_a_request_frees_everything(void **state)
{
	static const char *const parts[] = {"", "G", HEAD_OF("GET", "/x"),
		HEAD_OF("POST", "/x") "Content-Length: 5\r\n\r\n", HEAD_OF("POST", "/x") "Content-Length: 5\r\n\r\nab",
		HEAD_OF("POST", "/x") "Transfer-Encoding: chunked\r\n\r\n5\r\nab", HEAD_OF("GET", "/hit") "\r\n",
		HEAD_OF("GET", "/x") "\r\n", HEAD_OF("GET", "/x") "\r\n" HEAD_OF("GET", "/x"), "bad\r\n\r\n"};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct client *c = client_new(r);
		uint64_t want = r->stats.bytes_in + strlen(parts[i]);
		client_send(c, parts[i]);
		wait_for(r, r->stats.open == 1 && r->stats.bytes_in == want);
		client_reset(c);
		wait_for(r, r->stats.open == 0);
	}
	assert_int_equal(r->gone, 0);
}

static void reset_while_a_response_is_awaited_tells_the_program(void **state)
{
	struct rig *r = *state;
	struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n");

	client_reset(c);
	wait_for(r, r->held[0].gone);
	wait_for(r, r->stats.open == 0);
	assert_int_equal(r->completed, 0);
}

static void reset_in_the_middle_of_a_response_tells_the_program(void **state)
{
	struct rig *r = *state;
	for (unsigned i = 0; i < 3; i++) {
		struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n" HEAD_OF("GET", "/x") "\r\n");
		rig_start(r, i, i == 1 ? "1000" : NULL);
		rig_chunk(r, i, "part");
		if (i < 2)
			wait_for(r, strstr(client_text(c), "part"));
		client_reset(c);
		wait_for(r, r->held[i].gone);
		wait_for(r, r->stats.open == 0);
	}
	assert_int_equal(r->requests, 3);
}

static void reset_after_the_half_close_shows_when_writing(void **state)
{
	struct rig *r = *state;
	struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n");

	client_half_close(c);
	rig_settle(r);
	client_reset(c);
	rig_settle(r);
	rig_start(r, 0, NULL);
	for (int i = 0; i < 100 && !r->held[0].gone; i++) {
		rig_chunk(r, 0, "more and more");
		rig_settle(r);
	}
	assert_true(r->held[0].gone);
}

static void reset_before_the_last_bytes_are_out_is_gone_not_complete(void **state)
{
	struct rig *r = *state;
	struct client *c = client_with_buffer(r, 4096);
	static char big[4 * 1024 * 1024 + 1];

	client_send(c, HEAD_OF("GET", "/hold") "\r\n");
	wait_for(r, r->held_n == 1);
	bufferevent_disable(c->bev, EV_READ);
	memset(big, 'x', sizeof(big) - 1);
	rig_release(r, 0, big);
	rig_settle(r);
	assert_false(r->held[0].complete);
	client_reset(c);
	wait_for(r, r->held[0].gone);
	assert_int_equal(r->completed, 0);
	wait_for(r, r->stats.open == 0);
}

static void close_delimited_end_while_bytes_wait_in_the_socket(void **state)
{
	struct rig *r = *state;
	struct client *c = client_with_buffer(r, 4096);
	static char big[4 * 1024 * 1024 + 1];

	client_send(c, "GET /hold HTTP/1.0\r\n\r\n");
	wait_for(r, r->held_n == 1);
	bufferevent_disable(c->bev, EV_READ);
	memset(big, 'x', sizeof(big) - 1);
	rig_start(r, 0, NULL);
	rig_chunk(r, 0, big);
	rig_settle(r);
	rig_finish(r, 0); /* evhttp sees its own output empty and ends the request within this call */
	assert_false(r->held[0].complete);
	bufferevent_enable(c->bev, EV_READ);
	wait_for(r, c->eof);
	assert_true(r->held[0].complete);
	const char *text = client_text(c);
	assert_int_equal(strlen(strstr(text, "\r\n\r\n") + 4), 4 * 1024 * 1024);
	client_free(c);
}

/* ---- Time ---- */

static void silent_connection_is_closed_without_a_response(void **state)
{
	struct rig *r = *state;
	r->options.header_timeout_ms = 30;
	struct client *c = client_new(r);

	wait_for(r, c->eof);
	assert_string_equal(client_text(c), "");
	assert_int_equal(r->stats.header_timeouts, 1);
	client_free(c);
}

static void slow_head_gets_408(void **state)
{
	struct rig *r = *state;
	r->options.header_timeout_ms = 30;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("GET", "/x"));
	wait_for(r, c->eof);
	assert_has(c, "HTTP/1.1 408 ");
	assert_int_equal(r->refused_status, 408);
	client_free(c);
}

static void slow_second_head_gets_408(void **state)
{
	struct rig *r = *state;
	r->options.header_timeout_ms = 40;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("GET", "/x") "\r\nGET /");
	wait_for(r, c->eof);
	assert_has(c, "<GET /x >");
	assert_has(c, "HTTP/1.1 408 ");
	client_free(c);
}

static void idle_connection_is_closed_silently(void **state)
{
	struct rig *r = *state;
	r->options.idle_timeout_ms = 30;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("GET", "/x") "\r\n");
	wait_for(r, c->eof);
	assert_int_equal(client_count(c, "HTTP/1.1"), 1);
	assert_int_equal(r->stats.idle_timeouts, 1);
	client_free(c);
	c = client_new(r);
	client_send(c, HEAD_OF("GET", "/hit") "\r\n");
	wait_for(r, c->eof);
	assert_int_equal(r->stats.idle_timeouts, 2);
	client_free(c);
}

static void silent_body_gets_408(void **state)
{
	struct rig *r = *state;
	r->options.body_timeout_ms = 30;
	struct client *c = client_new(r);

	client_send(c, HEAD_OF("POST", "/x") "Content-Length: 10\r\n\r\nabc");
	wait_for(r, c->eof);
	assert_has(c, "HTTP/1.1 408 ");
	assert_int_equal(r->stats.body_timeouts, 1);
	assert_int_equal(r->requests, 0);
	client_free(c);
}

static void held_response_is_not_timed_by_the_gate(void **state)
{
	struct rig *r = *state;
	r->options.header_timeout_ms = r->options.idle_timeout_ms = r->options.body_timeout_ms = 20;
	r->options.write_timeout_ms = 20;
	struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n");
	struct client *other = client_new(r); /* its limits run out after all of the first one's could have */

	wait_for(r, other->eof);
	client_free(other);
	other = client_new(r);
	wait_for(r, other->eof);
	client_free(other);
	rig_release(r, 0, "[held]");
	wait_for(r, strstr(client_text(c), "[held]"));
	client_free(c);
}

/* A client for which more waits than there is room for on the way, with a short limit for writing. */
static struct client *take_nothing(struct rig *r)
{
	static char big[8 * 1024 * 1024 + 1];
	struct client *c;

	r->options.write_timeout_ms = 50;
	c = client_with_buffer(r, 4096);
	bufferevent_disable(c->bev, EV_READ);
	client_send(c, HEAD_OF("GET", "/hold") "\r\n");
	wait_for(r, r->held_n == 1);
	memset(big, 'x', sizeof(big) - 1);
	rig_start(r, 0, NULL);
	rig_chunk(r, 0, big);
	return c;
}

static void client_that_takes_nothing_is_gone(void **state)
{
	struct rig *r = *state;
	struct client *c = take_nothing(r);

	wait_for(r, r->held[0].gone);
	assert_int_equal(r->stats.write_timeouts, 1);
	client_free(c);
	wait_for(r, r->stats.open == 0);
}

/* ---- Cut responses ---- */

static void aborted_chunked_response_has_no_last_chunk(void **state)
{
	struct rig *r = *state;
	struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n" HEAD_OF("GET", "/x") "\r\n");

	rig_start(r, 0, NULL);
	rig_chunk(r, 0, "part");
	gate_abort_response(r->held[0].g, r->held[0].req);
	wait_for(r, c->eof || c->failed);
	assert_has(c, "4\r\npart\r\n");
	assert_lacks(c, "0\r\n\r\n");
	assert_int_equal(client_count(c, "HTTP/1.1"), 1);
	assert_false(r->held[0].gone || r->held[0].complete);
	client_free(c);
	wait_for(r, r->stats.open == 0);
}

static void aborted_response_of_known_length_is_short(void **state)
{
	struct rig *r = *state;
	struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n");

	rig_start(r, 0, "100");
	rig_chunk(r, 0, "part");
	wait_for(r, strstr(client_text(c), "part"));
	gate_abort_response(r->held[0].g, r->held[0].req);
	wait_for(r, c->eof || c->failed);
	assert_has(c, "\r\n\r\npart");
	client_free(c);
	wait_for(r, r->stats.open == 0);
}

static void aborted_response_that_ends_with_the_connection_is_reset(void **state)
{
	struct rig *r = *state;
	struct client *c = hold_one(r, "GET /hold HTTP/1.0\r\n\r\n");

	rig_start(r, 0, NULL);
	rig_chunk(r, 0, "part");
	wait_for(r, strstr(client_text(c), "part"));
	gate_abort_response(r->held[0].g, r->held[0].req);
	wait_for(r, c->eof || c->failed);
	assert_true(c->failed);
	assert_false(c->eof);
	client_free(c);
}

static void aborted_response_to_a_stuck_client_ends_with_the_write_limit(void **state)
{
	struct rig *r = *state;
	struct client *c = take_nothing(r);

	gate_abort_response(r->held[0].g, r->held[0].req);
	wait_for(r, r->stats.open == 0);
	assert_int_equal(r->gone, 0);
	client_free(c);
}

/* ---- The server ---- */

static void drain_closes_the_idle_and_lets_the_others_finish(void **state)
{
	struct rig *r = *state;
	struct client *fresh = client_new(r), *idle = client_new(r), *half = client_new(r);
	struct client *busy = hold_one(r, HEAD_OF("GET", "/hold") "\r\n" HEAD_OF("GET", "/x") "\r\n");

	client_send(idle, HEAD_OF("GET", "/idle") "\r\n");
	client_send(half, HEAD_OF("GET", "/half"));
	wait_for(r, r->completed == 1 && r->stats.open == 4);
	rig_settle(r);
	front_drain(r->front);
	wait_for(r, fresh->eof && idle->eof);
	assert_false(busy->eof || half->eof);
	rig_release(r, 0, "[held]");
	client_send(half, "\r\n");
	wait_for(r, busy->eof && half->eof);
	assert_has(busy, "[held]");
	assert_has(busy, "Connection: close\r\n");
	assert_lacks(busy, "<GET /x >");
	assert_has(half, "<GET /half >");
	assert_has(half, "Connection: close\r\n");
	rig_listen(r);
	struct client *late = client_new(r);
	client_send(late, HEAD_OF("GET", "/hit") "\r\n");
	wait_for(r, late->eof);
	assert_has(late, "Connection: close\r\n");
	client_free(fresh), client_free(idle), client_free(half), client_free(busy), client_free(late);
	wait_for(r, r->stats.open == 0);
}

static void the_end_tells_those_who_are_being_served(void **state)
{
	struct rig *r = *state;
	struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n");
	struct client *d = hold_one(r, HEAD_OF("GET", "/hold2") "\r\n"), *e = client_new(r);

	rig_start(r, 1, NULL);
	rig_chunk(r, 1, "part");
	client_send(e, HEAD_OF("POST", "/x") "Content-Length: 5\r\n\r\nab");
	wait_for(r, r->stats.open == 3);
	front_free(&r->front);
	assert_int_equal(r->gone, 2);
	client_free(c), client_free(d), client_free(e);
}

static void lingering_close_is_bounded_in_time(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);

	client_send(c, "bad\r\n\r\n");
	wait_for(r, c->eof);
	rig_settle(r);
	assert_int_equal(r->stats.open, 1); /* the client has not closed */
	client_send(c, "and more");
	wait_for(r, r->stats.open == 0);
	client_free(c);
}

static struct event *drain_event;

static void drain(evutil_socket_t fd, short what, void *arg)
{
	struct rig *r = arg;

	(void)fd;
	(void)what;
	front_drain(r->front);
	r->gone++;
}

static void drain_next(void *arg)
{
	(void)arg;
	event_active(drain_event, 0, 0);
}

/* The gate is there for a moment longer than its request. */
static void draining_just_when_a_client_left_touches_nothing_of_it(void **state)
{
	struct rig *r = *state;
	struct client *c = hold_one(r, HEAD_OF("GET", "/hold") "\r\n");

	drain_event = event_new(r->base, -1, 0, drain, r);
	transport_on_gone(&r->held[0].g->transport, drain_next, NULL);
	r->held[0].req = NULL;
	r->held[0].g = NULL;
	client_reset(c);
	wait_for(r, r->gone == 1 && r->stats.open == 0);
	event_free(drain_event);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(draining_just_when_a_client_left_touches_nothing_of_it),
		RIG_TEST(half_closed_client_gets_its_response),
		RIG_TEST(client_that_closes_while_it_waits_is_gone),
		RIG_TEST(client_that_closes_between_requests_is_let_go),
		RIG_TEST(requests_cut_short_by_a_half_close_are_refused),
		RIG_TEST(reset_at_any_stage_of_a_request_frees_everything),
		RIG_TEST(reset_while_a_response_is_awaited_tells_the_program),
		RIG_TEST(reset_in_the_middle_of_a_response_tells_the_program),
		RIG_TEST(reset_after_the_half_close_shows_when_writing),
		RIG_TEST(reset_before_the_last_bytes_are_out_is_gone_not_complete),
		RIG_TEST(close_delimited_end_while_bytes_wait_in_the_socket),
		RIG_TEST(silent_connection_is_closed_without_a_response),
		RIG_TEST(slow_head_gets_408),
		RIG_TEST(slow_second_head_gets_408),
		RIG_TEST(idle_connection_is_closed_silently),
		RIG_TEST(silent_body_gets_408),
		RIG_TEST(held_response_is_not_timed_by_the_gate),
		RIG_TEST(client_that_takes_nothing_is_gone),
		RIG_TEST(aborted_chunked_response_has_no_last_chunk),
		RIG_TEST(aborted_response_of_known_length_is_short),
		RIG_TEST(aborted_response_that_ends_with_the_connection_is_reset),
		RIG_TEST(aborted_response_to_a_stuck_client_ends_with_the_write_limit),
		RIG_TEST(drain_closes_the_idle_and_lets_the_others_finish),
		RIG_TEST(the_end_tells_those_who_are_being_served),
		RIG_TEST(lingering_close_is_bounded_in_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
