/* SPDX-License-Identifier: MIT */
#include "gate_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/connection/admission.h"
#include "proxy/front/transport.h"

static struct rig *the_rig;
static int64_t watch_until_us;

/* ---- The server ---- */

static struct served *served_of(struct rig *r, void *arg)
{
	return &r->held[(uintptr_t)arg];
}

static void on_gone(void *arg)
{
	struct served *s = served_of(the_rig, arg);
	s->gone = true;
	s->req = NULL;
	s->g = NULL;
	the_rig->gone++;
}

static void on_complete(void *arg)
{
	struct served *s = served_of(the_rig, arg);
	s->complete = true;
	s->req = NULL;
	s->g = NULL;
	the_rig->completed++;
}

static void on_immediate_complete(void *arg)
{
	(void)arg;
	the_rig->completed++;
}

static void remember(struct rig *r, struct evhttp_request *req, const struct http_request *view)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(req);

	r->requests++;
	snprintf(r->last_method, sizeof(r->last_method), "%.*s", SLICE_ARG(view->method_token));
	snprintf(r->last_target, sizeof(r->last_target), "%.*s", SLICE_ARG(view->target));
	r->last_body_n = evbuffer_get_length(body);
	ev_ssize_t n = evbuffer_copyout(body, r->last_body, sizeof(r->last_body) - 1);
	r->last_body[n > 0 ? n : 0] = '\0';
}

static void respond_now(struct rig *r, struct evhttp_request *req, struct gate *g)
{
	struct evbuffer *b = evbuffer_new();

	if (gate_request(g)->method != HTTP_HEAD) /* evhttp would send it all the same */
		evbuffer_add_printf(b, "<%s %s %s>", r->last_method, r->last_target, r->last_body);
	if (strcmp(r->last_target, "/hint") == 0) {
		struct http_fields f;
		http_fields_init(&f);
		assert_int_equal(http_fields_add(&f, SLICE_LIT("Link"), SLICE_LIT("</a>; rel=preload")), 0);
		gate_write_informational(g, 103, &f);
		http_fields_fini(&f);
	}
	if (strcmp(r->last_target, "/last") == 0)
		gate_close_after_response(g);
	transport_on_complete(&g->transport, on_immediate_complete, NULL);
	evhttp_send_reply(req, 200, "OK", b);
	evbuffer_free(b);
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct rig *r = arg;
	struct gate *g = gate_of(req);
	const struct http_request *view = gate_request(g);

	assert_string_equal(evhttp_request_get_uri(req), "/");
	remember(r, req, view);
	if (!slice_starts_with(view->target, SLICE_LIT("/hold"))) {
		respond_now(r, req, g);
		return;
	}
	uintptr_t i = r->held_n++;
	assert_true(i < ARRAY_LEN(r->held));
	r->held[i] = (struct served){.req = req, .g = g};
	transport_on_gone(&g->transport, on_gone, (void *)i);
	transport_on_complete(&g->transport, on_complete, (void *)i);
}

static bool answer(void *arg, struct transport *t, struct now now)
{
	struct rig *r = arg;
	struct buf head;
	bool is_answered;

	(void)now;
	if (!slice_starts_with(t->request->target, SLICE_LIT("/hit")))
		return false;
	r->hits++;
	buf_init(&head, 1024);
	buf_add_str(&head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n");
	is_answered = t->ops->begin(t, &(struct transport_head){200, &head, false}) == 0 &&
		      (t->request->method == HTTP_HEAD || t->ops->add(t, "[hit]", 5) == 0);
	t->ops->end(t);
	buf_fini(&head);
	if (t->ops->unsent(t) > r->most_unsent)
		r->most_unsent = t->ops->unsent(t);
	return is_answered;
}

static void on_refused(void *arg, struct gate *g, const struct http_error *e, struct gate_refusal *out)
{
	struct rig *r = arg;

	(void)out;
	(void)gate_peer(g, NULL);
	(void)gate_request(g)->fields.n;
	r->refused++;
	r->refused_status = (unsigned)e->status;
}

void rig_listen(struct rig *r)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(listen(fd, 4096), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	assert_int_equal(front_listen(r->front, fd), 0);
	r->port = ntohs(sin.sin_port);
}

int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	signal(SIGPIPE, SIG_IGN);
	the_rig = r;
	r->base = event_base_new();
	r->options = (struct gate_options){
		.max_header = 4096,
		.max_body = 100000,
		.header_timeout_ms = 60000,
		.body_timeout_ms = 60000,
		.idle_timeout_ms = 60000,
		.write_timeout_ms = 60000,
		.high_water = 256 * 1024,
		.answer = answer,
		.on_refused = on_refused,
		.arg = r,
		.stats = &r->stats,
	};
	assert_int_equal(front_new(r->base, &r->options, &r->front), 0);
	evhttp_set_gencb(r->front->http, on_request, r);
	rig_listen(r);
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	front_free(&r->front);
	event_base_free(r->base);
	assert_int_equal(r->stats.open, 0);
	admission_free(&r->admission);
	free(r);
	return 0;
}

/* ---- The loop ---- */

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

void rig_start_watch(struct rig *r)
{
	static const struct timeval later = {20, 0};

	watch_until_us = clock_mono_us() + 20 * 1000000;
	event_base_once(r->base, -1, EV_TIMEOUT, on_watch, NULL, &later);
}

bool rig_turn(struct rig *r)
{
	event_base_loop(r->base, EVLOOP_ONCE);
	return clock_mono_us() < watch_until_us;
}

void rig_settle(struct rig *r)
{
	unsigned quiet = 0;

	while (quiet < 20)
		quiet = event_base_loop(r->base, EVLOOP_NONBLOCK) == 0 &&
					event_base_get_num_events(r->base, EVENT_BASE_COUNT_ACTIVE) == 0
				? quiet + 1
				: 0;
}

/* ---- Clients ---- */

static void on_client_read(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;
	evbuffer_add_buffer(c->in, bufferevent_get_input(bev));
}

static void on_client_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;
	on_client_read(bev, c);
	if (what & BEV_EVENT_EOF)
		c->eof = true;
	if (what & BEV_EVENT_ERROR)
		c->failed = true;
}

struct client *client_with_buffer(struct rig *r, int receive_bytes)
{
	struct client *c = calloc(1, sizeof(*c));
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(r->port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (receive_bytes)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	evutil_make_socket_nonblocking(fd);
	c->bev = bufferevent_socket_new(r->base, fd, BEV_OPT_CLOSE_ON_FREE);
	c->in = evbuffer_new();
	bufferevent_setcb(c->bev, on_client_read, NULL, on_client_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return c;
}

struct client *client_new(struct rig *r)
{
	return client_with_buffer(r, 0);
}

void client_free(struct client *c)
{
	bufferevent_free(c->bev);
	evbuffer_free(c->in);
	free(c->text);
	free(c);
}

void client_reset(struct client *c)
{
	struct linger hard = {1, 0};
	setsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	client_free(c);
}

void client_send_bytes(struct client *c, const char *p, size_t n)
{
	bufferevent_write(c->bev, p, n);
}

void client_send(struct client *c, const char *text)
{
	client_send_bytes(c, text, strlen(text));
}

void client_half_close(struct client *c)
{
	while (evbuffer_get_length(bufferevent_get_output(c->bev)) > 0)
		event_base_loop(bufferevent_get_base(c->bev), EVLOOP_ONCE);
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
}

const char *client_text(struct client *c)
{
	size_t n = evbuffer_get_length(c->in);

	c->text = realloc(c->text, n + 1);
	assert_int_equal(evbuffer_copyout(c->in, c->text, n), n);
	c->text[n] = '\0';
	return c->text;
}

unsigned client_count(struct client *c, const char *needle)
{
	unsigned n = 0;
	for (const char *p = client_text(c); (p = strstr(p, needle)) != NULL; p += strlen(needle))
		n++;
	return n;
}

void client_forget(struct client *c)
{
	evbuffer_drain(c->in, evbuffer_get_length(c->in));
}

/* ---- Held requests ---- */

void rig_release(struct rig *r, unsigned i, const char *text)
{
	struct evbuffer *b = evbuffer_new();
	evbuffer_add(b, text, strlen(text));
	evhttp_send_reply(r->held[i].req, 200, "OK", b);
	evbuffer_free(b);
}

void rig_start(struct rig *r, unsigned i, const char *content_length)
{
	struct evhttp_request *req = r->held[i].req;
	if (content_length)
		evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Length", content_length);
	evhttp_send_reply_start(req, 200, "OK");
}

void rig_chunk(struct rig *r, unsigned i, const char *text)
{
	struct evbuffer *b = evbuffer_new();
	evbuffer_add(b, text, strlen(text));
	evhttp_send_reply_chunk(r->held[i].req, b);
	evbuffer_free(b);
}

void rig_finish(struct rig *r, unsigned i)
{
	evhttp_send_reply_end(r->held[i].req);
}
