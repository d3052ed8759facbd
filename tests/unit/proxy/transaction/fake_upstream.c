/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/transaction/fake_upstream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* malloc: allocations that are made to fail are those of the product. */
struct upstream_loop {
	unsigned upstreams_n, index;
};

struct fake_upstream fake_upstream;

void fake_upstream_begin(void)
{
	fake_upstream = (struct fake_upstream){.stretch = 1, .last = &fake_upstream.first};
}

static void free_fetch(struct fetch *f)
{
	free(f->method);
	free(f->target);
	free(f->host);
	free(f->fields);
	free(f->body);
	free(f->waiting);
	free(f);
}

void fake_upstream_end(void)
{
	assert_int_equal(fake_upstream.loops_n, 0);
	while (fake_upstream.first) {
		struct fetch *f = fake_upstream.first;

		fake_upstream.first = f->next;
		free_fetch(f);
	}
}

/* ---- What the test does ---- */

unsigned fake_fetches(void)
{
	return fake_upstream.fetches_n;
}

struct fetch *fake_fetch(unsigned n)
{
	struct fetch *f = fake_upstream.first;

	while (f && n--)
		f = f->next;
	assert_non_null(f);
	return f;
}

unsigned fake_running(void)
{
	unsigned n = 0;

	for (const struct fetch *f = fake_upstream.first; f; f = f->next)
		n += f->state == FAKE_RUNNING;
	return n;
}

bool fake_was_asked(const struct fetch *f, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = f->fields; (p = strstr(p, line)); p += n)
		if ((p == f->fields || p[-1] == '\n') && p[n] == '\r')
			return true;
	return false;
}

static void finish(struct fetch *f, enum fetch_result result)
{
	assert_int_equal(f->state, FAKE_RUNNING);
	f->state = FAKE_ENDED;
	f->result = result;
	f->handler->on_end(f->arg, result, "as the test says");
}

/* 0 or negative errno. */
static int parse_head(struct http_response_head *h, int status, const char *fields, int64_t *content_length)
{
	char line[64];
	int err;

	snprintf(line, sizeof(line), "HTTP/1.1 %d X", status);
	http_response_head_init(h, 65536);
	err = http_response_head_status(h, slice_of(line), true);
	while (!err && *fields) {
		const char *end = strstr(fields, "\r\n");

		assert_non_null(end);
		err = http_response_head_field(h, (struct slice){fields, (size_t)(end - fields)});
		fields = end + 2;
	}
	return err ? err : http_response_head_end(h, content_length);
}

void fake_informational(struct fetch *f, int status, const char *fields)
{
	struct http_response_head h;
	int64_t unused;

	assert_int_equal(f->state, FAKE_RUNNING);
	assert_int_equal(parse_head(&h, status, fields, &unused), 0);
	f->handler->on_informational(f->arg, status, &h.fields);
	http_response_head_fini(&h);
}

void fake_head(struct fetch *f, int status, const char *fields)
{
	struct http_response_head h;
	int64_t content_length;
	bool goes_on;
	int err;

	assert_int_equal(f->state, FAKE_RUNNING);
	assert_false(f->has_head);
	f->has_head = true;
	err = parse_head(&h, status, fields, &content_length);
	if (err) {
		if (err != -ENOMEM)
			fail_msg("not a head: %s", fields);
		http_response_head_fini(&h);
		finish(f, FETCH_NO_MEMORY);
		return;
	}
	f->in_handler = true;
	goes_on = f->handler->on_head(f->arg, status, &h.fields, content_length);
	f->in_handler = false;
	http_response_head_fini(&h);
	if (!goes_on)
		finish(f, FETCH_CANCELLED);
}

static void keep(struct fetch *f, const char *p, size_t n)
{
	f->waiting = realloc(f->waiting, f->waiting_n + n + 1);
	assert_non_null(f->waiting);
	memcpy(f->waiting + f->waiting_n, p, n);
	f->waiting_n += n;
}

static void offer(struct fetch *f, const char *p, size_t n)
{
	enum fetch_write how;

	f->in_handler = true;
	how = f->handler->on_body(f->arg, p, n);
	f->in_handler = false;
	if (how == FETCH_WRITE_CANCEL) {
		finish(f, FETCH_CANCELLED);
	} else if (how == FETCH_WRITE_PAUSE) {
		f->is_paused = true;
		keep(f, p, n);
	}
}

/* What comes after an end that the product made is nobody's. */
void fake_body(struct fetch *f, const char *p, size_t n)
{
	if (f->state != FAKE_RUNNING)
		return;
	assert_true(f->has_head);
	if (f->is_paused)
		keep(f, p, n);
	else
		offer(f, p, n);
}

void fake_body_text(struct fetch *f, const char *text)
{
	fake_body(f, text, strlen(text));
}

void fake_end(struct fetch *f, enum fetch_result result)
{
	if (f->state != FAKE_RUNNING)
		return;
	if (f->is_paused) {
		f->ends_after = true;
		f->result = result;
	} else {
		finish(f, result);
	}
}

void fake_answer(struct fetch *f, int status, const char *fields, const char *body)
{
	char all[4096];

	snprintf(all, sizeof(all), "%sContent-Length: %zu\r\n", fields, strlen(body));
	fake_head(f, status, all);
	if (*body && strcmp(f->method, "HEAD") != 0)
		fake_body_text(f, body);
	fake_end(f, FETCH_OK);
}

static void offer_again(struct fetch *f)
{
	char *p = f->waiting;
	size_t n = f->waiting_n;

	f->is_paused = f->is_resumed = false;
	f->waiting = NULL;
	f->waiting_n = 0;
	offer(f, p, n);
	free(p);
	if (f->state == FAKE_RUNNING && !f->is_paused && f->ends_after)
		finish(f, f->result);
}

bool fake_turn(void)
{
	bool moved = false;

	for (struct fetch *f = fake_upstream.first; f; f = f->next) {
		if (f->state != FAKE_RUNNING || !f->is_paused || !f->is_resumed)
			continue;
		offer_again(f);
		moved = true;
	}
	return moved;
}

/* ---- What the product calls ---- */

int upstream_loop_new(const struct upstream_loop_options *o, struct upstream_loop **out)
{
	*out = calloc(1, sizeof(**out));
	assert_non_null(*out);
	(*out)->upstreams_n = o->upstreams_n;
	(*out)->index = fake_upstream.loops_n++;
	return 0;
}

void upstream_loop_free(struct upstream_loop **lp)
{
	struct upstream_loop *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	for (struct fetch *f = fake_upstream.first; f; f = f->next)
		if (f->loop == l && f->state == FAKE_RUNNING)
			f->state = FAKE_CANCELLED;
	fake_upstream.loops_n--;
	free(l);
}

void upstream_loop_renew(struct upstream_loop *l)
{
	(void)l;
	fake_upstream.renewals++;
}

static char *copy(struct slice s)
{
	char *p = malloc(s.n + 1);

	assert_non_null(p);
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

static char *copy_fields(const struct http_fields *fields)
{
	size_t n = 1, at = 0;
	char *p;

	for (uint32_t i = 0; i < fields->n; i++)
		n += fields->v[i].name.n + fields->v[i].value.n + 4;
	p = malloc(n);
	assert_non_null(p);
	p[0] = '\0';
	for (uint32_t i = 0; i < fields->n; i++)
		at += (size_t)snprintf(
			p + at, n - at, "%.*s: %.*s\r\n", SLICE_ARG(fields->v[i].name), SLICE_ARG(fields->v[i].value));
	return p;
}

int fetch_start(struct upstream_loop *l, const struct fetch_request *r, const struct fetch_handler *h, void *arg,
	struct fetch **out)
{
	struct fetch *f;

	*out = NULL;
	assert_true(r->upstream < l->upstreams_n);
	if (fake_upstream.start_error)
		return fake_upstream.start_error;
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->method = copy(r->method_token);
	f->target = copy(r->target);
	f->host = copy(r->host);
	f->fields = copy_fields(r->fields);
	f->body = r->has_body ? copy(r->body) : NULL;
	f->worker = l->index;
	f->loop = l;
	f->handler = h;
	f->arg = arg;
	*fake_upstream.last = f;
	fake_upstream.last = &f->next;
	fake_upstream.fetches_n++;
	*out = f;
	return 0;
}

bool fetch_was_sent(const struct fetch *f)
{
	(void)f;
	return true;
}

void fetch_resume(struct fetch *f)
{
	assert_int_equal(f->state, FAKE_RUNNING);
	f->is_resumed = true;
}

void fetch_cancel(struct fetch **fp)
{
	struct fetch *f = *fp;

	*fp = NULL;
	if (!f)
		return;
	assert_int_equal(f->state, FAKE_RUNNING);
	assert_false(f->in_handler);
	f->state = FAKE_CANCELLED;
}

enum fetch_cause fetch_cause_of(const struct fetch *f)
{
	(void)f;
	return FETCH_CAUSE_TERMINATED;
}

const char *fetch_cause_name(unsigned cause)
{
	static const char *const names[] = {
#define CAUSE(name, type) [FETCH_CAUSE_##name] = type,
#include "upstream/causes.def"
	};
	return cause < ARRAY_LEN(names) ? names[cause] : NULL;
}

const char *fetch_result_name(enum fetch_result r)
{
	return r == FETCH_OK ? "ok" : "failed";
}

const char *upstream_library(void)
{
	return "none";
}

void upstream_stats(const struct upstream_loop *l, unsigned upstream, struct upstream_stats *out)
{
	(void)l;
	(void)upstream;
	*out = (struct upstream_stats){0};
}

bool upstream_is_spared(const struct upstream_loop *l, unsigned upstream)
{
	(void)l;
	(void)upstream;
	return fake_upstream.is_spared;
}

unsigned upstream_stretch(const struct upstream_loop *l, unsigned upstream)
{
	(void)l;
	(void)upstream;
	return fake_upstream.stretch;
}

unsigned upstream_retry_after_s(const struct upstream_loop *l, unsigned upstream)
{
	(void)l;
	(void)upstream;
	return fake_upstream.retry_after_s;
}

bool upstream_health(const struct upstream_options *o, struct upstream_health *out)
{
	(void)o;
	*out = (struct upstream_health){0};
	return false;
}
