/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/transaction/recorder.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "http/syntax.h"

/* The test's own memory is not the product's: malloc, so that allocations that are made to fail are those of the product. */
struct recorder_piece {
	struct recorder_piece *next;
	const char *p;
	size_t n, taken;
	bool is_flushed;
	void (*done)(const void *p, size_t n, void *arg); /* NULL: a copy */
	void *arg;
};

static struct recorder *of(const struct transport *t)
{
	return CONTAINER_OF(t, struct recorder, transport);
}

/* Growing a buf is an allocation of the product's kind: not while those are made to fail. */
static void append(struct buf *b, const char *p, size_t n)
{
	if (b->n + n > b->cap) {
		b->cap = 2 * (b->n + n) + 256;
		b->p = realloc(b->p, b->cap);
		assert_non_null(b->p);
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void note(struct recorder *r, const char *call)
{
	size_t n = strlen(call);

	if (r->calls.n >= n && memcmp(r->calls.p + r->calls.n - n, call, n) == 0)
		return;
	if (r->calls.n)
		append(&r->calls, " ", 1);
	append(&r->calls, call, n);
}

/* Nothing may be said to a client that has left, or of which the transaction has said the last word. */
static void is_open(const struct recorder *r)
{
	assert_int_equal(r->how, RECORDER_OPEN);
	assert_false(r->is_gone);
}

/* ---- What the transaction calls ---- */

static void informational(struct transport *t, int status, const struct http_fields *fields)
{
	struct recorder *r = of(t);
	char number[16];

	is_open(r);
	if (r->has_begun)
		return;
	note(r, "informational");
	append(&r->interim, number, (size_t)snprintf(number, sizeof(number), "%d", status));
	for (uint32_t i = 0; i < fields->n; i++) {
		append(&r->interim, " ", 1);
		append(&r->interim, fields->v[i].name.p, fields->v[i].name.n);
		append(&r->interim, ": ", 2);
		append(&r->interim, fields->v[i].value.p, fields->v[i].value.n);
	}
	append(&r->interim, "\r\n", 2);
}

static int begin(struct transport *t, const struct transport_head *head)
{
	struct recorder *r = of(t);

	is_open(r);
	assert_false(r->has_begun);
	note(r, "begin");
	if (r->is_deaf)
		return -1;
	if (head->text->err)
		return head->text->err;
	r->has_begun = true;
	r->status = head->status;
	r->is_unframed = head->is_unframed;
	append(&r->head, head->text->p, head->text->n);
	return 0;
}

static void add_piece(struct recorder *r, struct recorder_piece piece)
{
	struct recorder_piece *copy = malloc(sizeof(*copy));

	assert_non_null(copy);
	*copy = piece;
	*r->last = copy;
	r->last = &copy->next;
	r->unsent_n += piece.n;
}

static bool add_fails(struct recorder *r)
{
	is_open(r);
	assert_true(r->has_begun);
	note(r, "add");
	return ++r->adds_n == r->fails_at_add;
}

static int add(struct transport *t, const void *p, size_t n)
{
	struct recorder *r = of(t);
	char *copy;

	if (add_fails(r))
		return -1;
	copy = malloc(n + 1);
	assert_non_null(copy);
	if (n)
		memcpy(copy, p, n);
	add_piece(r, (struct recorder_piece){.p = copy, .n = n});
	return 0;
}

static int add_reference(
	struct transport *t, const void *p, size_t n, void (*done)(const void *p, size_t n, void *arg), void *arg)
{
	struct recorder *r = of(t);

	if (add_fails(r))
		return -1;
	add_piece(r, (struct recorder_piece){.p = p, .n = n, .done = done, .arg = arg});
	return 0;
}

static void free_piece(struct recorder *r)
{
	struct recorder_piece *piece = r->first;

	r->first = piece->next;
	if (!r->first)
		r->last = &r->first;
	if (piece->done)
		piece->done(piece->p, piece->n, piece->arg);
	else
		free((char *)piece->p);
	free(piece);
}

static void drop_pieces(struct recorder *r)
{
	while (r->first)
		free_piece(r);
}

static void send_pieces(struct recorder *r)
{
	for (struct recorder_piece *p = r->first; p; p = p->next)
		p->is_flushed = true;
}

static void flush(struct transport *t)
{
	struct recorder *r = of(t);

	is_open(r);
	assert_true(r->has_begun);
	note(r, "flush");
	r->has_flushed = true;
	send_pieces(r);
}

static void end(struct transport *t)
{
	struct recorder *r = of(t);

	is_open(r);
	assert_true(r->has_begun);
	note(r, "end");
	send_pieces(r);
	r->how = RECORDER_WHOLE;
}

static void refuse(struct transport *t)
{
	struct recorder *r = of(t);

	is_open(r);
	assert_false(r->has_flushed);
	note(r, "refuse");
	drop_pieces(r);
	r->unsent_n = 0;
	r->head.n = 0;
	r->status = 503;
	r->is_unframed = false;
	r->closes = true;
	r->how = RECORDER_REFUSED;
}

static void abort_response(struct transport *t)
{
	struct recorder *r = of(t);

	is_open(r);
	assert_true(r->has_begun);
	note(r, "abort");
	r->how = RECORDER_ABORTED;
	recorder_take(r, r->is_stuck ? 0 : SIZE_MAX); /* what is out stays */
	drop_pieces(r);
	r->unsent_n = 0;
}

static size_t room(struct transport *t, size_t mark)
{
	struct recorder *r = of(t);
	size_t most = r->mark && (!mark || r->mark < mark) ? r->mark : mark;
	size_t left = !most ? SIZE_MAX : most > r->unsent_n ? most - r->unsent_n : 0;

	is_open(r);
	r->wants_room |= left == 0;
	return left;
}

static size_t unsent(const struct transport *t)
{
	return of(t)->unsent_n;
}

static void close_after(struct transport *t)
{
	is_open(of(t));
	assert_false(of(t)->has_begun);
	of(t)->closes = true;
}

static struct evbuffer *body(struct transport *t)
{
	return of(t)->request_body;
}

static enum transport_purge purges(const struct transport *t)
{
	(void)t;
	return PURGE_IS_PASSED_ON;
}

static const struct transport_ops ops = {
	.purges = purges,
	.informational = informational,
	.begin = begin,
	.add = add,
	.add_reference = add_reference,
	.flush = flush,
	.end = end,
	.refuse = refuse,
	.abort = abort_response,
	.room = room,
	.unsent = unsent,
	.close_after = close_after,
	.body = body,
};

/* ---- What the test does ---- */

static void parse(struct recorder *r, const char *text)
{
	struct http_head_limits limits = {.max_head = 65536, .max_fields = 200};
	struct http_error err;
	size_t scanned = 0, n = strlen(text);

	r->text = strdup(text);
	http_request_init(&r->request);
	if (http_request_parse(r->text, n, &limits, &scanned, &r->request, &err) != HTTP_PARSE_DONE)
		fail_msg("not a request: %s", text);
}

struct recorder *recorder_new(const char *request, const char *body_text)
{
	struct recorder *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	parse(r, request);
	r->request_body = evbuffer_new();
	if (body_text)
		assert_int_equal(evbuffer_add(r->request_body, body_text, strlen(body_text)), 0);
	r->last = &r->first;
	r->transport = (struct transport){
		.ops = &ops,
		.request = &r->request,
		.peer = "192.0.2.7",
		.start_us = clock_mono_us(),
	};
	return r;
}

void recorder_free(struct recorder **rp)
{
	struct recorder *r = *rp;

	*rp = NULL;
	drop_pieces(r);
	evbuffer_free(r->request_body);
	http_request_fini(&r->request);
	free(r->text);
	free(r->head.p);
	free(r->body.p);
	free(r->calls.p);
	free(r->interim.p);
	free(r);
}

void recorder_take(struct recorder *r, size_t n)
{
	while (n && r->first && r->first->is_flushed) {
		struct recorder_piece *piece = r->first;
		size_t left = piece->n - piece->taken, now = n < left ? n : left;

		append(&r->body, piece->p + piece->taken, now);
		piece->taken += now;
		r->unsent_n -= now;
		n -= now;
		if (piece->taken == piece->n)
			free_piece(r);
	}
}

static bool has_flushed_bytes(const struct recorder *r)
{
	return r->first && r->first->is_flushed;
}

static bool say(const struct transport_callback *said)
{
	struct transport_callback c = *said;

	if (c.fn)
		c.fn(c.arg);
	return true;
}

/* The last word: both callbacks are the transaction's no more. */
static void close_callbacks(struct recorder *r, struct transport_callback *said)
{
	struct transport_callback c = *said;

	say(&c);
	r->transport.on_room = r->transport.on_complete = r->transport.on_gone = (struct transport_callback){0};
}

bool recorder_turn(struct recorder *r)
{
	bool moved = false;

	if (r->is_gone || r->is_complete || r->how == RECORDER_ABORTED)
		return false;
	if (!r->is_stuck && has_flushed_bytes(r)) {
		recorder_take(r, SIZE_MAX);
		moved = true;
	}
	if (r->wants_room && r->how == RECORDER_OPEN && r->unsent_n < r->mark / 2 + 1) {
		r->wants_room = false;
		return say(&r->transport.on_room);
	}
	if (r->how == RECORDER_OPEN || r->unsent_n)
		return moved;
	r->is_complete = true;
	close_callbacks(r, &r->transport.on_complete);
	return true;
}

void recorder_leave(struct recorder *r)
{
	assert_false(r->is_gone || r->is_complete || r->how == RECORDER_ABORTED);
	r->is_gone = true;
	close_callbacks(r, &r->transport.on_gone);
	drop_pieces(r);
}

bool recorder_is_done(const struct recorder *r)
{
	return r->is_complete && r->how == RECORDER_WHOLE;
}

const char *recorder_field(const struct recorder *r, const char *name)
{
	static char value[1024];
	const char *p = r->head.p, *end = p + r->head.n;
	size_t n = strlen(name);

	while (p && p < end) {
		const char *line_end = memmem(p, (size_t)(end - p), "\r\n", 2);
		size_t line_n = line_end ? (size_t)(line_end - p) : (size_t)(end - p);

		if (line_n > n + 1 && strncasecmp(p, name, n) == 0 && p[n] == ':') {
			struct slice v = slice_trim((struct slice){p + n + 1, line_n - n - 1});

			snprintf(value, sizeof(value), "%.*s", SLICE_ARG(v));
			return value;
		}
		p = line_end ? line_end + 2 : end;
	}
	return "";
}

bool recorder_has(const struct recorder *r, const char *in_body)
{
	return memmem(r->body.p, r->body.n, in_body, strlen(in_body)) != NULL;
}

/* What an HTTP client checks: a length that was announced is the body's. */
static void length_is_true(const struct recorder *r)
{
	const char *length = recorder_field(r, "Content-Length");

	if (r->request.method == HTTP_HEAD || r->status == 304 || !*length)
		return;
	assert_false(r->is_unframed);
	assert_int_equal(strtoul(length, NULL, 10), r->body.n);
}

void recorder_got(struct recorder *r, int status, const char *wanted)
{
	if (!recorder_is_done(r) || r->status != status)
		fail_msg("%.*s: %d wanted, %d came: %.*s\n%.*s%.*s", SLICE_ARG(r->request.target), status, r->status,
			SLICE_ARG(buf_slice(&r->calls)), SLICE_ARG(buf_slice(&r->head)),
			SLICE_ARG(buf_slice(&r->body)));
	length_is_true(r);
	if (!wanted)
		return;
	assert_int_equal(r->body.n, strlen(wanted));
	if (r->body.n)
		assert_memory_equal(r->body.p, wanted, r->body.n);
}
