/* SPDX-License-Identifier: MIT */
/* A request's body: framed, bounded, kept in memory that all bodies share (bodies.h), and its client's pace. */
#include <errno.h>

#include "proxy/front/gate_internal.h"

/* Bytes a second that a body must reach on average while others wait for memory. */
#define PRESSED_RATE (16 * 1024)
#define PRESSED_LOOK_MS 1000

static const struct http_error out_of_memory = {503, "Out of memory."};
static const struct http_error too_large = {413, "The request body is larger than is accepted here."};
static const struct http_error bad_chunks = {400, "The chunked request body is malformed."};

/* ---- Pace ---- */

/* Each byte buys the time that it may take at `rate`, and `most_ms` is the most that can be in store: so the average holds
 * over any such span, however fast the bytes before it came. */
static void buy_time(int64_t *until_us, uint64_t n, uint64_t rate, int64_t most_ms, int64_t now_ms)
{
	int64_t most = (now_ms + most_ms) * 1000;

	*until_us += (int64_t)(n * 1000000 / rate);
	if (*until_us > most)
		*until_us = most;
}

static int64_t pressed_ms(const struct gate *g)
{
	return g->o->body_timeout_ms / 3;
}

static void begin_pace(struct gate *g)
{
	g->body_ms = g->now_ms;
	g->body_slow_us = (g->now_ms + g->o->body_timeout_ms) * 1000;
	g->body_pressed_us = (g->now_ms + pressed_ms(g)) * 1000;
}

static void keep_pace(struct gate *g, uint64_t n)
{
	g->body_ms = g->now_ms;
	if (g->o->body_rate)
		buy_time(&g->body_slow_us, n, g->o->body_rate, g->o->body_timeout_ms, g->now_ms);
	buy_time(&g->body_pressed_us, n, PRESSED_RATE, pressed_ms(g), g->now_ms);
}

static int64_t slow_deadline(const struct gate *g)
{
	return g->o->body_rate ? g->body_slow_us / 1000 : INT64_MAX;
}

/* Slow bodies may take their time as long as nobody waits for the memory that they hold. */
static int64_t pressed_deadline(const struct gate *g)
{
	int64_t at = g->body_pressed_us / 1000;

	if (!g->o->body_rate || !g->o->bodies)
		return INT64_MAX;
	return at > g->now_ms || bodies_are_short(g->o->bodies->bodies) ? at : g->now_ms + PRESSED_LOOK_MS;
}

int64_t gate_body_deadline(const struct gate *g)
{
	int64_t silent = g->body_ms + g->o->body_timeout_ms, slow = slow_deadline(g), pressed = pressed_deadline(g);

	if (g->room_wait_ms)
		return g->room_wait_ms + g->o->body_timeout_ms;
	if (slow > pressed)
		slow = pressed;
	return silent < slow ? silent : slow;
}

void gate_body_is_late(struct gate *g)
{
	if (g->room_wait_ms) {
		g->o->stats->bodies_refused++;
		gate_refuse(g, (struct http_error){503, "There was no memory for the request body in time."});
	} else if (g->body_ms + g->o->body_timeout_ms <= g->now_ms) {
		g->o->stats->body_timeouts++;
		gate_refuse(g, (struct http_error){408, "The request body stopped arriving."});
	} else {
		g->o->stats->slow_bodies++;
		gate_refuse(g, (struct http_error){408, "The request body arrived too slowly."});
	}
}

/* ---- Memory ---- */

static void on_room(void *arg)
{
	gate_schedule(gate_from(arg));
}

static void begin_wait(struct gate *g)
{
	if (g->room_wait_ms)
		return;
	g->room_wait_ms = g->now_ms;
	g->o->stats->bodies_waiting++;
	g->o->stats->bodies_waited++;
}

static size_t longest(const struct gate *g)
{
	return g->view.framing == HTTP_BODY_LENGTH ? g->view.content_length : g->body_most;
}

/* False: there is no memory for n bytes more. The gate goes on when there is, or has refused the request. */
static bool has_room(struct gate *g, size_t n)
{
	int err = g->body ? 0 : body_new(g->o->bodies, longest(g), on_room, g, &g->body);

	if (!err)
		err = body_make_room(&g->body, n);
	if (err == -EAGAIN)
		begin_wait(g);
	else if (err)
		gate_refuse(g, out_of_memory);
	else if (g->room_wait_ms) { /* the time of waiting was not the client's */
		gate_end_wait(g);
		begin_pace(g);
	}
	return err == 0;
}

/* ---- Framing ---- */

/* The body of a HEAD request has no meaning (RFC 9110 9.3.2), and evhttp can't read it. */
static bool drops_body(const struct gate *g)
{
	return g->view.method == HTTP_HEAD;
}

static void end_body(struct gate *g)
{
	if (g->body_bytes > GATE_STEP_BYTES)
		g->phase = GATE_WHOLE;
	else
		gate_hand_over(g);
}

static bool read_length(struct gate *g)
{
	size_t n = evbuffer_get_length(g->in);

	if (n > g->body_left)
		n = (size_t)g->body_left;
	if (!drops_body(g) && !has_room(g, n))
		return g->phase != GATE_BODY;
	keep_pace(g, n);
	g->body_left -= n;
	g->body_bytes += n;
	if (drops_body(g))
		evbuffer_drain(g->in, n);
	else
		body_take(g->body, g->in, n);
	if (g->body_left == 0)
		end_body(g);
	return true;
}

/* False: refused. */
static bool keep_chunk_data(struct gate *g, struct slice data)
{
	g->body_bytes += data.n;
	if (g->body_bytes > g->body_most) {
		gate_refuse(g, too_large);
		return false;
	}
	if (!drops_body(g))
		body_add(g->body, data.p, data.n);
	return true;
}

/* Decodes one piece of the input. Trailers are dropped: nothing downstream asks for them (RFC 9110 6.5.1). */
static bool read_chunks(struct gate *g)
{
	size_t n = evbuffer_get_contiguous_space(g->in), at = 0, used = 0;
	uint64_t most = g->body_most - g->body_bytes;
	const char *p = (const char *)evbuffer_pullup(g->in, (ev_ssize_t)n);
	enum chunk_result got;
	struct slice data;

	if (!drops_body(g) && !has_room(g, n < most ? n : (size_t)most))
		return g->phase != GATE_BODY;
	keep_pace(g, n);
	do {
		got = chunk_decode(&g->chunk, p + at, n - at, &used, &data);
		at += used;
	} while (got == CHUNK_DATA && keep_chunk_data(g, data));
	evbuffer_drain(g->in, at);
	if (got == CHUNK_END)
		end_body(g);
	else if (got == CHUNK_BAD)
		gate_refuse(g, bad_chunks);
	else if (got == CHUNK_MORE && chunk_expects(&g->chunk) > g->body_most - g->body_bytes)
		gate_refuse(g, too_large);
	return true;
}

bool gate_read_body(struct gate *g)
{
	if (evbuffer_get_length(g->in) > 0)
		return g->view.framing == HTTP_BODY_CHUNKED ? read_chunks(g) : read_length(g);
	if (!g->read_eof)
		return false;
	gate_refuse(g, (struct http_error){400, "The connection ended inside the request body."});
	return true;
}

void gate_begin_body(struct gate *g)
{
	const struct http_request *r = &g->view;

	g->phase = GATE_BODY;
	begin_pace(g);
	g->body_bytes = 0;
	g->body_most = g->o->max_body;
	g->body_left = r->framing == HTTP_BODY_LENGTH ? r->content_length : 0;
	if (g->body_left > g->body_most) {
		gate_refuse(g, too_large);
	} else if (r->framing != HTTP_BODY_CHUNKED && g->body_left == 0) {
		gate_hand_over(g);
	} else {
		chunk_decoder_init(&g->chunk, CHUNK_STRICT);
		/* Bytes that are here already say that the client does not wait (RFC 9110 10.1.1). */
		if (r->expect_continue && r->minor == 1 && evbuffer_get_length(g->in) == 0)
			evbuffer_add_printf(g->out, "HTTP/1.1 100 Continue\r\n\r\n");
	}
}
