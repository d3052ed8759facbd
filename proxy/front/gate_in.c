/* SPDX-License-Identifier: MIT */
/* The way in: a request's head off the socket, the fast path. */
#include "proxy/front/gate_internal.h"

#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/mem.h"

static const struct http_error out_of_memory = {503, "Out of memory."};

/* Heads longer than max_header are refused by the parser, which must see that they are. */
#define PAST_MAX_HEADER 64
/* Most heads fit, so that places of this size are not made anew for each that is a little longer than the one before. */
#define HEAD_ROOM 1024

/* ---- Heads ---- */

static size_t input_length(const struct gate *g)
{
	return g->l->ahead.n ? g->l->ahead.n : evbuffer_get_length(g->in);
}

static void take_input(struct gate *g, size_t n)
{
	struct slice *ahead = &g->l->ahead;

	if (ahead->n)
		*ahead = slice_from(*ahead, n);
	else
		evbuffer_drain(g->in, n);
}

static enum http_parse parse(struct gate *g, const char *p, size_t n, struct http_error *err)
{
	const struct http_head_limits limits = {g->o->max_header, HTTP_FIELDS_MAX};
	enum http_parse got = http_request_parse(p, n, &limits, &g->scanned, &g->view, err);

	if (got != HTTP_PARSE_MORE)
		g->scanned = 0;
	return got;
}

/* Parses where the bytes are; moves them together only when the head is spread over several pieces. */
static enum http_parse parse_buffer(struct gate *g, const char **p, struct http_error *err)
{
	struct evbuffer *input = g->in;
	size_t all = evbuffer_get_length(input), n = evbuffer_get_contiguous_space(input);

	if (all > g->o->max_header + PAST_MAX_HEADER)
		all = g->o->max_header + PAST_MAX_HEADER;
	if (n > all)
		n = all;
	*p = (const char *)evbuffer_pullup(input, (ev_ssize_t)n);
	enum http_parse got = parse(g, *p, n, err);
	if (got != HTTP_PARSE_MORE || n == all)
		return got;
	*p = (const char *)evbuffer_pullup(input, (ev_ssize_t)all);
	if (*p)
		return parse(g, *p, all, err);
	*err = out_of_memory;
	return HTTP_PARSE_BAD;
}

static enum http_parse parse_input(struct gate *g, const char **p, struct http_error *err)
{
	if (!g->l->ahead.n)
		return parse_buffer(g, p, err);
	*p = g->l->ahead.p;
	return parse(g, *p, g->l->ahead.n, err);
}

static bool head_is_incomplete(struct gate *g)
{
	if (!g->read_eof) {
		if (!g->head_start_ms)
			g->head_start_ms = g->now_ms;
		return false;
	}
	(void)gate_keep_said(g);
	gate_refuse(g, (struct http_error){400, "The connection ended inside the request head."});
	return true;
}

/* What has come and was not read yet would be lost, and its sender would not know whether it was carried out. */
static bool has_unread(struct gate *g)
{
	int n = 0;

	return ioctl(bufferevent_getfd(g->sock), FIONREAD, &n) == 0 && n > 0;
}

static bool no_head_begun(struct gate *g)
{
	if (!g->read_eof && (!g->close_idle || has_unread(g)))
		return false;
	if (!gate_takes_step(g)) /* nobody waits for it */
		return false;
	gate_close(g);
	return true;
}

static bool make_place(char **place, size_t *cap, size_t n)
{
	char *bigger = n > *cap ? mem_realloc(*place, n) : *place;

	if (!bigger)
		return false;
	*place = bigger;
	*cap = n > *cap ? n : *cap;
	return true;
}

/* The head's bytes go to a place where they stay for as long as the request lasts: the listener's, until the request turns out to
 * last; a long one to a place of its gate's own, so that what one client needs is not given to others. False: refused. */
static bool take_head(struct gate *g, const char *p)
{
	struct front *l = g->l;
	size_t n = g->view.head_bytes;
	bool is_long = n > HEAD_ROOM;
	char *to;

	if (!(is_long ? make_place(&g->head, &g->head_cap, n) : make_place(&l->head, &l->head_cap, HEAD_ROOM))) {
		(void)gate_keep_said(g);
		gate_refuse(g, out_of_memory);
		return false;
	}
	to = is_long ? g->head : l->head;
	memcpy(to, p, n);
	http_request_moved(&g->view, p, n, to);
	g->transport.was_tried = g->transport.was_charged = g->transport.is_limited = false;
	take_input(g, n);
	return true;
}

/* An idle connection holds no long head. */
void gate_drop_long_head(struct gate *g)
{
	if (g->head_cap <= HEAD_ROOM)
		return;
	mem_free(g->head);
	g->head = NULL;
	g->head_cap = 0;
}

/* The view stays as it is: its bytes are the gate's now. */
static void keep_head(struct gate *g)
{
	struct front *l = g->l;
	char *spare;
	size_t spare_cap;

	if (g->view.head_bytes > HEAD_ROOM)
		return;
	gate_drop_long_head(g);
	spare = g->head;
	spare_cap = g->head_cap;
	g->head = l->head;
	g->head_cap = l->head_cap;
	l->head = spare;
	l->head_cap = spare_cap;
}

static bool may_be_hit(const struct gate *g)
{
	return g->o->answer && g->view.framing == HTTP_BODY_NONE &&
	       (g->view.method == HTTP_GET || g->view.method == HTTP_HEAD);
}

/* The fast path: answered from the head alone. */
static bool answer_here(struct gate *g)
{
	if (!may_be_hit(g))
		return false;
	g->closes_direct = g->close_after || !g->view.keep_alive;
	gate_fill_transport(g, &gate_direct_ops);
	g->transport.hit_only = !gate_has_step(g);
	if (!g->o->answer(g->o->arg, &g->transport, gate_now(g)))
		return false;
	http_fields_clear(&g->view.fields);
	gate_drop_long_head(g);
	g->o->stats->answered_here++;
	g->head_start_ms = 0;
	g->idle_since_ms = g->now_ms;
	if (g->closes_direct) {
		g->linger = g->view.keep_alive;
		gate_close(g);
	}
	return true;
}

static void begin_request(struct gate *g)
{
	keep_head(g);
	gate_keep_ahead(g);
	if (!g->view.keep_alive)
		g->close_after = true;
	if (gate_takes_step(g))
		gate_begin_body(g);
	else
		g->phase = GATE_TURN;
}

static bool read_heads(struct gate *g)
{
	for (unsigned hits = 0; g->phase == GATE_HEAD; hits++) {
		struct http_error err;
		const char *p;

		if (input_length(g) == 0)
			return no_head_begun(g);
		if (gate_unsent(g) >= g->o->high_water) {
			gate_send(g);
			if (gate_unsent(g) >= g->o->high_water)
				return false; /* on_writable comes back here: the socket has not taken all of it */
		}
		if (g->broken)
			return false;
		if (hits == GATE_HITS_PER_TURN) {
			gate_schedule_later(g);
			return false;
		}
		switch (parse_input(g, &p, &err)) {
		case HTTP_PARSE_MORE:
			return head_is_incomplete(g);
		case HTTP_PARSE_BAD:
			(void)gate_keep_said(g);
			gate_refuse(g, err);
			return true;
		case HTTP_PARSE_DONE:
			g->head_done_us = g->l->now_us;
			if (!take_head(g, p) || answer_here(g))
				break;
			(void)gate_keep_said(g);
			begin_request(g);
		}
	}
	return true;
}

bool gate_read_head(struct gate *g)
{
	bool goes_on = read_heads(g);

	gate_keep_ahead(g);
	return goes_on;
}
