/* SPDX-License-Identifier: MIT */
/* Many clients that do anything at any moment, and a program that answers, streams, cuts or takes its time, by a fixed
 * sequence of random numbers. Nothing is left over, and every request ends exactly once. */
#include "gate_rig.h"

#include <string.h>
#include <sys/socket.h>

#define CLIENTS 24
#define STEPS 12000

static uint64_t seed;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static const char stream[] =
	"GET /hit HTTP/1.1\r\nHost: a\r\n\r\nGET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
	"POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n"
	"HEAD /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPUT /hint HTTP/1.1\r\nHost: a\r\nExpect: "
	"100-continue\r\n"
	"Content-Length: 4\r\n\r\nabcdGET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hit HTTP/1.1\r\nHost: "
	"a\r\n\r\n"
	"GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /hit HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

static void send_some(struct client *c, size_t *at)
{
	size_t n = 1 + pick(120);

	if (*at + n > sizeof(stream) - 1)
		n = sizeof(stream) - 1 - *at;
	client_send_bytes(c, stream + *at, n);
	*at = (*at + n) % (sizeof(stream) - 1);
	if (pick(200) == 0)
		client_send(c, "\r\nnonsense\r\n\r\n");
}

static void move_client(struct rig *r, struct client **c, size_t *at)
{
	if (!*c) {
		*c = client_with_buffer(r, pick(2) ? 4096 : 0);
		*at = 0;
		return;
	}
	switch (pick(12)) {
	case 0:
		client_reset(*c);
		*c = NULL;
		break;
	case 1:
		client_free(*c);
		*c = NULL;
		break;
	case 2:
		shutdown(bufferevent_getfd((*c)->bev), SHUT_WR);
		break;
	case 3:
		bufferevent_disable((*c)->bev, EV_READ);
		break;
	default:
		bufferevent_enable((*c)->bev, EV_READ);
		send_some(*c, at);
	}
}

enum stage { FRESH, STARTED, ENDED, CUT };

static enum stage stages[ARRAY_LEN(((struct rig *)0)->held)];

static void move_request(struct rig *r, unsigned i)
{
	static char big[100000];
	enum stage *stage = &stages[i];

	if (!r->held[i].g || *stage >= ENDED)
		return;
	if (*stage == FRESH) {
		if (pick(3) == 0) {
			rig_release(r, i, "[held]");
			*stage = ENDED;
			return;
		}
		if (gate_request(r->held[i].g)->minor == 0)
			gate_close_after_response(r->held[i].g);
		rig_start(r, i, NULL);
		*stage = STARTED;
	}
	memset(big, 'x', sizeof(big) - 1);
	switch (pick(5)) {
	case 0:
		rig_finish(r, i);
		*stage = ENDED;
		break;
	case 1:
		gate_abort_response(r->held[i].g, r->held[i].req);
		r->held[i].g = NULL;
		*stage = CUT;
		break;
	case 2:
		rig_chunk(r, i, big);
		break;
	default:
		rig_chunk(r, i, "part");
	}
}

static void answer_all(struct rig *r)
{
	for (unsigned i = 0; i < r->held_n; i++)
		move_request(r, i);
}

static void storm(struct rig *r, uint64_t with)
{
	struct client *clients[CLIENTS] = {0};
	size_t at[CLIENTS] = {0};

	seed = with;
	memset(stages, 0, sizeof(stages));
	for (unsigned step = 0; step < STEPS && r->held_n < ARRAY_LEN(r->held) - 200; step++) {
		unsigned i = pick(CLIENTS);
		move_client(r, &clients[i], &at[i]);
		if (r->held_n > 0)
			move_request(r, r->held_n > 30 ? r->held_n - 1 - pick(30) : pick(r->held_n));
		for (unsigned turns = pick(4); turns > 0; turns--)
			event_base_loop(r->base, EVLOOP_NONBLOCK);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		if (clients[i])
			client_reset(clients[i]);
	/* Those who had closed their sending side before they were reset are noticed only when something is sent. */
	wait_for(r, (answer_all(r), r->stats.open == 0));
	for (unsigned i = 0; i < r->held_n; i++)
		assert_int_equal(r->held[i].gone + r->held[i].complete + (stages[i] == CUT), 1);
	assert_true(r->hits > 100 && r->held_n > 100);
}

static void storm_of_clients_leaves_nothing_behind(void **state)
{
	struct rig *r = *state;

	r->options.high_water = 64 * 1024;
	storm(r, 1);
}

static void storm_with_short_limits_leaves_nothing_behind(void **state)
{
	struct rig *r = *state;

	r->options.header_timeout_ms = r->options.body_timeout_ms = r->options.idle_timeout_ms = 5;
	r->options.write_timeout_ms = 5;
	storm(r, 2);
}

static void storm_ended_by_the_front_leaves_nothing_behind(void **state)
{
	struct rig *r = *state;
	struct client *clients[CLIENTS] = {0};
	size_t at[CLIENTS] = {0};

	seed = 3;
	memset(stages, 0, sizeof(stages));
	for (unsigned step = 0; step < 600; step++) {
		unsigned i = pick(CLIENTS);
		move_client(r, &clients[i], &at[i]);
		event_base_loop(r->base, EVLOOP_NONBLOCK);
	}
	front_free(&r->front);
	for (unsigned i = 0; i < r->held_n; i++)
		assert_true(r->held[i].gone);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (clients[i])
			client_free(clients[i]);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(storm_of_clients_leaves_nothing_behind),
		RIG_TEST(storm_with_short_limits_leaves_nothing_behind),
		RIG_TEST(storm_ended_by_the_front_leaves_nothing_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
