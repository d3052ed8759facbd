/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "upstream/internal.h"

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	fprintf(stderr, "a fetch did not end\n");
	abort();
}

void rig_defaults(struct rig *r, int port)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->url, sizeof(r->url), "http://127.0.0.1:%d", port);
	/* No timeout is to come by itself, in whatever time a loaded machine takes: tests of timeouts set their own, and the
	 * watchdog ends what hangs. To load the system's certificates under TSan alone takes seconds. */
	r->upstream = (struct upstream_options){
		.name = SLICE_LIT("test"),
		.url = slice_of(r->url),
		.connect_timeout_ms = 120000,
		.first_byte_timeout_ms = 120000,
		.stall_timeout_ms = 120000,
		.max_connections = 8,
		.queue_max = 8,
		.queue_timeout_ms = 120000,
		.retries = 1,
		.tls_verify = true,
	};
}

void rig_open(struct rig *r)
{
	r->base = event_base_new();
	assert_non_null(r->base);
	r->options = (struct upstream_loop_options){r->base, &r->upstream, 1, 1, 65536, NULL};
	r->watchdog = evtimer_new(r->base, on_watchdog, NULL);
	assert_int_equal(upstream_loop_new(&r->options, &r->loop), 0);
}

void rig_close(struct rig *r)
{
	upstream_loop_free(&r->loop);
	event_free(r->watchdog);
	event_base_free(r->base);
}

void seen_init(struct seen *s, struct rig *r)
{
	memset(s, 0, sizeof(*s));
	s->rig = r;
	buf_init(&s->fields, 1 << 20);
	buf_init(&s->body, 64 << 20);
}

void seen_fini(struct seen *s)
{
	buf_fini(&s->fields);
	buf_fini(&s->body);
}

static void on_informational(void *arg, int status, struct http_fields *fields)
{
	struct seen *s = arg;

	(void)fields;
	s->informational = status;
}

static bool on_head(void *arg, int status, struct http_fields *fields, int64_t content_length)
{
	struct seen *s = arg;

	s->status = status;
	s->heads++;
	s->content_length = content_length;
	for (uint32_t i = 0; i < fields->n; i++)
		buf_addf(&s->fields, "%.*s: %.*s\n", SLICE_ARG(fields->v[i].name), SLICE_ARG(fields->v[i].value));
	if (s->start_other) {
		struct fetch_request q = rig_request("GET", "/started-inside");

		assert_int_equal(rig_start(s->start_other, &q), 0);
	}
	return !s->refuse_head;
}

static enum fetch_write on_body(void *arg, const void *p, size_t n)
{
	struct seen *s = arg;

	s->offers++;
	if (s->cancel_other) {
		fetch_cancel(&s->cancel_other->fetch);
		s->cancel_other = NULL;
	}
	if (s->cancel_body)
		return FETCH_WRITE_CANCEL;
	if (s->pause_each && s->offers % s->pause_each == 0) {
		s->pauses++;
		if (s->resume_at_once)
			fetch_resume(s->fetch);
		return FETCH_WRITE_PAUSE;
	}
	buf_add(&s->body, p, n);
	return FETCH_WRITE_TAKEN;
}

static void on_end(void *arg, enum fetch_result result, const char *detail)
{
	struct seen *s = arg;

	s->ends++;
	s->result = result;
	snprintf(s->detail, sizeof(s->detail), "%s", detail);
	s->reused = s->fetch->reused;
	s->was_sent = fetch_was_sent(s->fetch);
	s->cause = fetch_cause_of(s->fetch);
	s->framed = origin_response_is_framed(s->fetch);
	s->queued = s->fetch->begun_us > s->fetch->started_us;
	s->fetch = NULL;
	event_base_loopbreak(s->rig->base);
}

struct fetch_request rig_request(const char *method, const char *target)
{
	return (struct fetch_request){
		.method = http_method_of(slice_of(method)),
		.method_token = slice_of(method),
		.target = slice_of(target),
	};
}

int rig_start(struct seen *s, const struct fetch_request *q)
{
	static const struct fetch_handler handler = {on_informational, on_head, on_body, on_end};

	return fetch_start(s->rig->loop, q, &handler, s, &s->fetch);
}

static void watch(struct rig *r)
{
	struct timeval tv = {60, 0};

	evtimer_add(r->watchdog, &tv);
}

void rig_wait(struct seen *s)
{
	watch(s->rig);
	while (s->ends == 0)
		event_base_loop(s->rig->base, EVLOOP_ONCE);
	evtimer_del(s->rig->watchdog);
}

void rig_wait_flag(struct rig *r, const bool *flag)
{
	watch(r);
	while (!*flag)
		event_base_loop(r->base, EVLOOP_ONCE);
	evtimer_del(r->watchdog);
}

void rig_turn(struct rig *r)
{
	event_base_loop(r->base, EVLOOP_NONBLOCK);
}

void rig_fetch(struct seen *s, const char *method, const char *target)
{
	struct fetch_request q = rig_request(method, target);
	struct http_fields fields;

	http_fields_init(&fields);
	if (strstr(target, "/304")) /* that is a response to a condition only */
		assert_int_equal(http_fields_add(&fields, SLICE_LIT("If-None-Match"), SLICE_LIT("\"a\"")), 0);
	q.fields = &fields;
	assert_int_equal(rig_start(s, &q), 0);
	http_fields_fini(&fields);
	rig_wait(s);
}

void rig_fetch_again(struct seen *s, const char *method, const char *target)
{
	struct rig *r = s->rig;

	seen_fini(s);
	seen_init(s, r);
	rig_fetch(s, method, target);
}

struct upstream_stats rig_stats(const struct rig *r)
{
	struct upstream_stats stats;

	upstream_stats(r->loop, 0, &stats);
	return stats;
}

bool seen_body_is(const struct seen *s, const char *text)
{
	return slice_equal(buf_slice(&s->body), slice_of(text));
}

void scripted_prepare(struct scripted *w, script_fn *script)
{
	server_start(&w->server, script);
	rig_defaults(&w->rig, w->server.port);
}

void scripted_open(struct scripted *w, script_fn *script)
{
	scripted_prepare(w, script);
	rig_open(&w->rig);
	seen_init(&w->seen, &w->rig);
}

void scripted_close(struct scripted *w)
{
	seen_fini(&w->seen);
	rig_close(&w->rig);
	server_stop(&w->server);
}
