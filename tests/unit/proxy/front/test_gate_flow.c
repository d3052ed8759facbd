/* SPDX-License-Identifier: MIT */
/* How much is held in memory: responses to slow readers, requests of eager senders. */
#include "gate_rig.h"

#include <string.h>

#define HEAD_OF(method, target) method " " target " HTTP/1.1\r\nHost: a\r\n"
#define BULK_BYTES (50u * 1024 * 1024)

struct bulk {
	struct rig *r;
	uint64_t left;
	unsigned waits;
	size_t most_at_once;
};

/* As a program would: adds what gate_room allows, then waits to be called. */
static void feed(void *arg)
{
	struct bulk *b = arg;
	struct served *s = &b->r->held[0];
	static char block[16384];
	size_t room;

	memset(block, 'x', sizeof(block));
	while (b->left > 0 && (room = gate_room(s->g)) > 0) {
		size_t n = room < sizeof(block) ? room : sizeof(block);
		struct evbuffer *e = evbuffer_new();
		if (n > b->left)
			n = (size_t)b->left;
		evbuffer_add_reference(e, block, n, NULL, NULL);
		evhttp_send_reply_chunk(s->req, e);
		evbuffer_free(e);
		b->left -= n;
		size_t unsent = b->r->options.high_water - gate_room(s->g);
		if (unsent > b->most_at_once)
			b->most_at_once = unsent;
	}
	if (b->left > 0)
		b->waits++;
	else
		evhttp_send_reply_end(s->req);
}

static void run_bulk(struct rig *r, const char *content_length)
{
	struct client *c = client_with_buffer(r, 16384);
	struct bulk b = {.r = r, .left = BULK_BYTES};
	uint64_t got = 0;

	client_send(c, HEAD_OF("GET", "/hold") "\r\n");
	wait_for(r, r->held_n == 1);
	bufferevent_disable(c->bev, EV_READ);
	transport_on_room(&r->held[0].g->transport, feed, &b);
	rig_start(r, 0, content_length);
	feed(&b);
	rig_settle(r); /* the client does not read: the kernel's buffers and ours fill, and that is all */
	assert_true(b.left > BULK_BYTES / 2);
	bufferevent_enable(c->bev, EV_READ);
	while (!r->held[0].complete || evbuffer_get_length(c->in) > 0) {
		wait_for(r, evbuffer_get_length(c->in) > 0 || r->held[0].complete);
		got += evbuffer_get_length(c->in);
		client_forget(c);
	}
	wait_for(r, (got += evbuffer_get_length(c->in), client_forget(c), got >= BULK_BYTES));
	assert_true(b.waits > 10);
	assert_true(b.most_at_once <= r->options.high_water);
	client_send(c, HEAD_OF("GET", "/after") "\r\n");
	wait_for(r, strstr(client_text(c), "<GET /after >"));
	client_free(c);
}

static void slow_reader_of_a_chunked_response_holds_little_memory(void **state)
{
	run_bulk(*state, NULL);
}

static void slow_reader_of_a_sized_response_holds_little_memory(void **state)
{
	run_bulk(*state, "52428800");
}

static void sender_ahead_of_its_response_is_held_back(void **state)
{
	struct rig *r = *state;
	struct client *c = client_new(r);
	static char ahead[8 * 1024 * 1024];

	for (size_t i = 0; i + 64 <= sizeof(ahead); i += 64)
		memcpy(ahead + i, "GET /hit HTTP/1.1\r\nHost: a\r\nX-Pad: 0123456789012345678901234\r\n\r\n", 64);
	client_send(c, HEAD_OF("GET", "/hold") "\r\n");
	wait_for(r, r->held_n == 1);
	client_send_bytes(c, ahead, sizeof(ahead));
	rig_settle(r);
	assert_true(r->stats.bytes_in < r->options.max_header + 64 * 1024 + 32 * 1024);
	assert_int_equal(r->hits, 0);
	rig_release(r, 0, "[held]");
	wait_for(r, r->hits == sizeof(ahead) / 64);
	client_free(c);
}

static void hits_stop_for_a_client_that_does_not_read(void **state)
{
	struct rig *r = *state;
	r->options.high_water = 32 * 1024;
	r->options.write_timeout_ms = 100;
	struct client *c = client_with_buffer(r, 4096);
	static char requests[16 * 1024 * 1024];

	for (size_t i = 0; i + 32 <= sizeof(requests); i += 32)
		memcpy(requests + i, "GET /hit HTTP/1.1\r\nHost: abc\r\n\r\n", 32);
	bufferevent_disable(c->bev, EV_READ);
	client_send_bytes(c, requests, sizeof(requests));
	wait_for(r, r->stats.write_timeouts == 1);
	assert_true(r->hits < sizeof(requests) / 32);
	assert_true(r->most_unsent < r->options.high_water + 1024);
	wait_for(r, r->stats.open == 0);
	client_free(c);
}

/* What reaches the high-water mark and is then taken by the socket at once must not be waited for. */
static void hits_go_on_when_the_socket_takes_all_that_was_said(void **state)
{
	struct rig *r = *state;
	r->options.high_water = 64;
	struct client *c = client_new(r);

	for (unsigned i = 0; i < 10; i++)
		client_send(c, HEAD_OF("GET", "/hit") "\r\n");
	client_send(c, HEAD_OF("GET", "/after") "\r\n");
	wait_for(r, strstr(client_text(c), "<GET /after >"));
	assert_int_equal(r->hits, 10);
	client_free(c);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(slow_reader_of_a_chunked_response_holds_little_memory),
		RIG_TEST(slow_reader_of_a_sized_response_holds_little_memory),
		RIG_TEST(sender_ahead_of_its_response_is_held_back),
		RIG_TEST(hits_stop_for_a_client_that_does_not_read),
		RIG_TEST(hits_go_on_when_the_socket_takes_all_that_was_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
