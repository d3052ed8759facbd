/* SPDX-License-Identifier: MIT */
/* One timer a gate for all of its limits. It is moved only to an earlier time: bytes that push a limit back merely note
 * when they came, and a timer that fires too early is set again. So the usual request costs no timer operation. */
#include "proxy/front/gate_internal.h"

#include <poll.h>
#include <string.h>

#define NEVER INT64_MAX

static bool has_input(const struct gate *g)
{
	return evbuffer_get_length(g->in) > 0;
}

/* Of a response that has begun the next bytes show it, and HTTP/1.0 knows no interim responses (RFC 9110 15.2). */
static bool may_be_gone(const struct gate *g)
{
	return g->read_eof && !g->response_begun && g->view.minor != 0;
}

static int64_t phase_deadline(const struct gate *g)
{
	switch (g->phase) {
	case GATE_PROXY:
	case GATE_HANDSHAKE:
		return g->head_start_ms + g->o->header_timeout_ms;
	case GATE_HEAD:
		if (g->head_start_ms)
			return g->head_start_ms + g->o->header_timeout_ms;
		if (gate_unsent(g) > 0)
			return NEVER; /* the client has its turn: write_deadline */
		return (g->idle_since_ms > g->progress_ms ? g->idle_since_ms : g->progress_ms) + g->o->idle_timeout_ms;
	case GATE_BODY:
		return gate_body_deadline(g);
	case GATE_RESPONSE:
		return may_be_gone(g) ? g->looked_ms + GATE_LOOK_MS : NEVER;
	case GATE_LINGER:
		return g->linger_ms + GATE_LINGER_MS;
	default:
		return NEVER;
	}
}

/* What evhttp has made in this turn is passed on after it (gate_on_work): the client could not take any of it yet. */
static int64_t write_deadline(const struct gate *g)
{
	return gate_unsent(g) > evbuffer_get_length(g->filter_out) ? g->progress_ms + g->o->write_timeout_ms : NEVER;
}

static int64_t deadline(const struct gate *g)
{
	int64_t phase = phase_deadline(g), write = write_deadline(g);

	return phase < write ? phase : write;
}

/* A response has just left: every limit begins now, so none ends before the shortest of them. */
static bool begins_anew(const struct gate *g)
{
	return g->phase == GATE_HEAD && !g->head_start_ms && g->idle_since_ms == g->now_ms &&
	       g->progress_ms == g->now_ms;
}

void gate_arm_timer(struct gate *g)
{
	int64_t shortest =
		g->o->idle_timeout_ms < g->o->write_timeout_ms ? g->o->idle_timeout_ms : g->o->write_timeout_ms;
	int64_t at;

	if (g->timer_at_ms && g->timer_at_ms <= g->now_ms + shortest && begins_anew(g))
		return;
	at = deadline(g);
	if (at == NEVER || (g->timer_at_ms && g->timer_at_ms <= at))
		return;
	int64_t ms = at > g->now_ms ? at - g->now_ms : 0;
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
	g->timer_at_ms = at;
	(void)event_add(&g->timer, &tv);
}

static void head_is_late(struct gate *g)
{
	g->o->stats->header_timeouts++;
	if (!has_input(g)) { /* no part of a request: there is nothing to answer */
		gate_close(g);
		return;
	}
	gate_refuse(g, (struct http_error){408, "The request head was not complete in time."});
}

/* Whoever closes a connection sends the same FIN as one who has only sent everything. What the former is sent is answered by a reset.
 * So a client that waits is sent an interim response, which others skip: 100, because no client fails to (RFC 9110 15.2.1). */
static void look_for_client(struct gate *g)
{
	struct pollfd socket = {.fd = bufferevent_getfd(g->sock)};

	g->looked_ms = g->now_ms;
	if (poll(&socket, 1, 0) > 0 && socket.revents & (POLLERR | POLLHUP)) {
		gate_gone(g);
		return;
	}
	if (!g->was_probed)
		gate_write_informational(g, 100, NULL);
	g->was_probed = true;
}

static void phase_is_over(struct gate *g)
{
	switch (g->phase) {
	case GATE_PROXY:
	case GATE_HANDSHAKE:
		g->o->stats->header_timeouts++;
		g->at_once = g->told_end = true;
		gate_close(g);
		break;
	case GATE_HEAD:
		if (g->head_start_ms) {
			head_is_late(g);
			break;
		}
		g->o->stats->idle_timeouts++;
		gate_close(g);
		break;
	case GATE_BODY:
		gate_body_is_late(g);
		break;
	case GATE_RESPONSE:
		look_for_client(g);
		break;
	default:
		gate_end(g);
		break;
	}
}

bool gate_time_is_up(struct gate *g)
{
	if (write_deadline(g) <= g->now_ms) {
		g->o->stats->write_timeouts++;
		g->reset =
			true; /* else the kernel would keep what it has of the response for as long as the client likes */
		gate_gone(g);
		return false;
	}
	if (phase_deadline(g) <= g->now_ms)
		phase_is_over(g);
	return g->phase != GATE_DEAD;
}
