/* SPDX-License-Identifier: MIT */
/* What comes before a connection's first request: bounds, the PROXY protocol, out of descriptors; and slow bodies. */
#include "gate_rig.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/connection/admission.h"

#define HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
#define HIT "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct config_network everybody_v[] = {{{[10] = 0xff, [11] = 0xff}, 96}};
static const struct config_networks everybody = {everybody_v, 1}, nobody = {everybody_v, 0};

static void connections_beyond_the_bound_are_turned_away(void **state)
{
	struct rig *r = *state;
	struct client *c[4];

	assert_int_equal(admission_new(2, 0, &r->admission), 0);
	r->options.admission = r->admission;
	for (unsigned i = 0; i < 4; i++)
		c[i] = client_new(r);
	wait_for(r, c[2]->eof && c[3]->eof);
	assert_has(c[2], "503 Service Unavailable");
	assert_int_equal(r->stats.refused_total_bound, 2);
	client_send(c[0], "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for(r, client_count(c[0], "[hit]") == 1);
	client_free(c[1]);
	client_free(c[2]);
	wait_for(r, r->stats.open == 1);
	c[1] = client_new(r);
	client_send(c[1], "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for(r, client_count(c[1], "[hit]") == 1);
	client_free(c[0]);
	client_free(c[1]);
	client_free(c[3]);
}

static void an_address_has_a_bound_of_its_own(void **state)
{
	struct rig *r = *state;
	struct client *c[3];

	assert_int_equal(admission_new(100, 2, &r->admission), 0);
	r->options.admission = r->admission;
	for (unsigned i = 0; i < 3; i++)
		c[i] = client_new(r);
	wait_for(r, c[2]->eof);
	assert_int_equal(r->stats.refused_address_bound, 1);
	assert_int_equal(r->stats.refused_total_bound, 0);
	for (unsigned i = 0; i < 3; i++)
		client_free(c[i]);
}

static void by_the_proxy_protocol_addresses_are_the_clients(void **state)
{
	struct rig *r = *state;
	struct client *c[3];

	assert_int_equal(admission_new(100, 1, &r->admission), 0);
	r->options.admission = r->admission;
	r->options.proxy_protocol = true;
	r->options.trusted = &everybody;
	for (unsigned i = 0; i < 3; i++) {
		c[i] = client_new(r);
		client_send(c[i],
			i == 1 ? "PROXY TCP4 192.0.2.2 192.0.2.9 1 80\r\n" : "PROXY TCP4 192.0.2.1 192.0.2.9 1 80\r\n");
		client_send(c[i], "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
		if (i < 2)
			wait_for(r, client_count(c[i], "[hit]") == 1);
	}
	wait_for(r, c[2]->eof || c[2]->failed);
	assert_int_equal(r->stats.refused_address_bound, 1);
	for (unsigned i = 0; i < 3; i++)
		client_free(c[i]);
}

static void a_header_byte_by_byte_then_requests(void **state)
{
	static const char header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x02\x30\x39\x01\xbb";
	struct rig *r = *state;
	struct client *c;
	uint16_t port;

	r->options.proxy_protocol = true;
	r->options.trusted = &everybody;
	c = client_new(r);
	for (unsigned i = 0; i < sizeof(header) - 1; i++) {
		client_send_bytes(c, header + i, 1);
		rig_settle(r);
	}
	client_send(c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for(r, r->held_n == 1);
	assert_string_equal(gate_peer(r->held[0].g, &port), "192.0.2.7");
	assert_int_equal(port, 12345);
	rig_release(r, 0, "held");
	wait_for(r, client_count(c, "[hit]") == 1);
	assert_int_equal(r->stats.proxy_refused, 0);
	client_free(c);
}

static void a_header_that_names_nobody_leaves_the_sockets_address(void **state)
{
	static const char *const headers[] = {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN x y z\r\n"};
	struct rig *r = *state;

	r->options.proxy_protocol = true;
	r->options.trusted = &everybody;
	for (unsigned i = 0; i < 2; i++) {
		struct client *c = client_new(r);
		client_send(c, headers[i]);
		client_send(c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
		wait_for(r, r->held_n == i + 1);
		assert_string_equal(gate_peer(r->held[i].g, NULL), "127.0.0.1");
		client_reset(c);
		wait_for(r, r->gone == i + 1);
	}
}

static void what_is_no_header_ends_the_connection_without_a_word(void **state)
{
	struct rig *r = *state;
	struct client *c;

	r->options.proxy_protocol = true;
	r->options.trusted = &everybody;
	c = client_new(r);
	client_send(c, "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for(r, c->eof || c->failed);
	assert_string_equal(client_text(c), "");
	assert_int_equal(r->stats.proxy_refused, 1);
	assert_int_equal(r->hits, 0);
	client_free(c);
	c = client_new(r); /* and one that ends in the middle */
	client_send(c, "PROXY TCP4 ");
	client_half_close(c);
	wait_for(r, c->eof || c->failed);
	client_free(c);
	wait_for(r, r->stats.open == 0);
}

static void nobody_else_may_send_a_header(void **state)
{
	struct rig *r = *state;
	struct client *c;

	r->options.proxy_protocol = true;
	r->options.trusted = &nobody;
	c = client_new(r);
	client_send(c, "PROXY TCP4 192.0.2.1 192.0.2.9 1 80\r\nGET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for(r, c->eof || c->failed);
	assert_int_equal(r->stats.proxy_refused, 1);
	assert_int_equal(r->hits, 0);
	client_free(c);
}

static void a_header_that_does_not_come_is_not_waited_for(void **state)
{
	struct rig *r = *state;
	struct client *silent, *half;

	r->options.proxy_protocol = true;
	r->options.trusted = &everybody;
	r->options.header_timeout_ms = 50;
	silent = client_new(r);
	half = client_new(r);
	client_send(half, "PROXY TCP4 192.0.2.1 ");
	wait_for(r, (silent->eof || silent->failed) && (half->eof || half->failed));
	assert_int_equal(r->stats.header_timeouts, 2);
	client_free(silent);
	client_free(half);
}

static void a_drain_ends_connections_that_have_not_begun(void **state)
{
	struct rig *r = *state;
	struct client *c;

	r->options.proxy_protocol = true;
	r->options.trusted = &everybody;
	c = client_new(r);
	wait_for(r, r->stats.open == 1);
	front_drain(r->front);
	wait_for(r, c->eof || c->failed);
	client_free(c);
}

/* A byte every few turns: never silent for body_timeout, but far below the rate. */
static void drip(struct rig *r, const char *head, const char *byte)
{
	struct client *c = client_new(r);
	int64_t sent_us = 0, give_up_us = clock_mono_us() + 20000000;
	bool was_silent = false; /* as the machine held this process up */

	r->options.body_timeout_ms = 200;
	r->options.body_rate = 1000;
	client_send(c, head);
	while (!c->eof && !c->failed) {
		struct timeval soon = {0, 5000};
		assert_true(clock_mono_us() < give_up_us);
		if (clock_mono_us() >= sent_us + 20000) {
			client_send(c, byte);
			sent_us = clock_mono_us();
		}
		event_base_loopexit(r->base, &soon);
		event_base_loop(r->base, 0);
		was_silent = was_silent || clock_mono_us() >= sent_us + 100000;
	}
	assert_has(c, "408 ");
	assert_int_equal(r->stats.slow_bodies + r->stats.body_timeouts, 1);
	assert_true(was_silent || r->stats.body_timeouts == 0);
	client_free(c);
}

/* What came fast before is no credit: the average is over the last body_timeout. */
static void a_body_that_comes_fast_and_then_drips_is_refused(void **state)
{
	static char head[70000];
	int n = snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n%60000s", "");

	assert_in_range(n, 60000, sizeof(head) - 1);
	drip(*state, head, "x");
}

static void a_body_that_drips_is_refused(void **state)
{
	drip(*state, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n", "x");
}

static void a_chunked_body_that_drips_is_refused(void **state)
{
	drip(*state, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n");
}

static void a_chunk_extension_that_drips_is_refused(void **state)
{
	drip(*state, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", "x");
}

/* Accepting stops for a while instead of coming back at once, and goes on by itself. */
static void out_of_descriptors_accepting_pauses(void **state)
{
	struct rig *r = *state;
	struct rlimit before, low;
	struct client *c = client_new(r);
	unsigned turns = 0;
	int last = dup(0);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)last;
	close(last);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	client_send(c, "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_start_watch(r);
	for (; r->stats.accept_pauses < 4; turns++)
		assert_true(rig_turn(r));
	assert_true(turns < 100);
	assert_int_equal(r->hits, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	wait_for(r, client_count(c, "[hit]") == 1);
	client_free(c);
}

/* However many come at once, those that are connected get their turn in between. */
static void a_herd_of_new_clients_does_not_hold_up_one_that_is_connected(void **state)
{
	struct client *herd[4 * GATE_ACCEPTS_PER_TURN];
	struct rig *r = *state;
	struct client *old = client_new(r);
	uint64_t before;

	wait_for(r, r->stats.accepted == 1);
	for (unsigned i = 0; i < ARRAY_LEN(herd); i++)
		herd[i] = client_new(r);
	client_send(old, "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_start_watch(r);
	do {
		before = r->stats.accepted;
		assert_true(rig_turn(r));
		assert_true(r->stats.accepted - before <= GATE_ACCEPTS_PER_TURN);
	} while (r->hits == 0);
	assert_true(r->stats.accepted <= 1 + 2 * GATE_ACCEPTS_PER_TURN);
	wait_for(r, r->stats.accepted == 1 + ARRAY_LEN(herd));
	for (unsigned i = 0; i < ARRAY_LEN(herd); i++)
		client_free(herd[i]);
	client_free(old);
}

/* Of those that are connected, hits go first; other requests are begun, and connections that their clients have left are ended, a
 * few in each turn, in the order in which they came. */
static void requests_that_are_no_hits_and_ends_take_turns(void **state)
{
	struct client *herd[8 * GATE_STEPS_PER_TURN];
	struct rig *r = *state;
	struct client *last;
	unsigned before, left;

	for (unsigned i = 0; i < ARRAY_LEN(herd); i++)
		herd[i] = client_new(r);
	last = client_new(r);
	wait_for(r, r->stats.accepted == ARRAY_LEN(herd) + 1);
	rig_settle(r);
	for (unsigned i = 0; i < ARRAY_LEN(herd); i++)
		assert_int_equal(send(bufferevent_getfd(herd[i]->bev), HOLD, sizeof(HOLD) - 1, 0), sizeof(HOLD) - 1);
	assert_int_equal(send(bufferevent_getfd(last->bev), HIT, sizeof(HIT) - 1, 0), sizeof(HIT) - 1);
	rig_start_watch(r);
	do {
		before = r->held_n;
		assert_true(rig_turn(r));
		assert_true(r->held_n - before <= GATE_STEPS_PER_TURN);
	} while (r->hits == 0);
	/* In its first turns libevent looks at 32 connections, then at 64 ... */
	assert_true(r->held_n <= ARRAY_LEN(herd) / 2);
	wait_for(r, r->held_n == ARRAY_LEN(herd));
	for (unsigned i = 0; i < ARRAY_LEN(herd); i++)
		rig_release(r, i, "[held]");
	wait_for(r, r->completed == ARRAY_LEN(herd));
	for (unsigned i = 0; i < ARRAY_LEN(herd); i++) /* some with a FIN, some with a RST */
		(i % 2 ? client_free : client_reset)(herd[i]);
	rig_start_watch(r);
	do {
		left = (unsigned)r->stats.open;
		assert_true(rig_turn(r));
		assert_true(left - r->stats.open <= 2 * GATE_STEPS_PER_TURN); /* libevent frees some a turn later */
	} while (r->stats.open > 1);
	client_free(last);
}

/* What a request with a large body takes is not known before it has been parsed. All of them are complete in one turn. */
static void large_bodies_are_handed_over_a_few_in_a_turn(void **state)
{
	enum { CLIENTS = 40, BODY = 4 * GATE_STEP_BYTES, COST = 1 + BODY / GATE_STEP_BYTES };
	static const char head[] = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n";
	struct client *herd[CLIENTS];
	struct rig *r = *state;
	char *text = test_calloc(1, sizeof(head) + BODY);
	unsigned before;

	assert_int_equal(BODY, 65536);
	r->options.max_body = 2 * BODY;
	memcpy(text, head, sizeof(head) - 1);
	memset(text + sizeof(head) - 1, 'x', BODY - 1);
	for (unsigned i = 0; i < CLIENTS; i++) {
		herd[i] = client_new(r);
		client_send(herd[i], text);
	}
	test_free(text);
	wait_for(r, r->stats.bytes_in == CLIENTS * (sizeof(head) - 1 + BODY - 1));
	rig_settle(r);
	assert_int_equal(r->held_n, 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(send(bufferevent_getfd(herd[i]->bev), "x", 1, 0), 1);
	rig_start_watch(r);
	do {
		before = r->held_n;
		assert_true(rig_turn(r));
		assert_true(r->held_n - before <= GATE_STEPS_PER_TURN / COST + 1);
	} while (r->held_n < CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++)
		rig_release(r, i, "[held]");
	wait_for(r, r->completed == CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_free(herd[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(requests_that_are_no_hits_and_ends_take_turns, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(large_bodies_are_handed_over_a_few_in_a_turn, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			a_herd_of_new_clients_does_not_hold_up_one_that_is_connected, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(connections_beyond_the_bound_are_turned_away, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(an_address_has_a_bound_of_its_own, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			by_the_proxy_protocol_addresses_are_the_clients, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_header_byte_by_byte_then_requests, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			a_header_that_names_nobody_leaves_the_sockets_address, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			what_is_no_header_ends_the_connection_without_a_word, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(nobody_else_may_send_a_header, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_header_that_does_not_come_is_not_waited_for, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_drain_ends_connections_that_have_not_begun, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_body_that_drips_is_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			a_body_that_comes_fast_and_then_drips_is_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_chunked_body_that_drips_is_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_chunk_extension_that_drips_is_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(out_of_descriptors_accepting_pauses, rig_setup, rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
