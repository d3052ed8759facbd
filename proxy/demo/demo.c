/* SPDX-License-Identifier: MIT */
#include "proxy/demo/demo.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/thread.h"
#include "http/etag.h"
#include "proxy/demo/demo_api.h"

enum { IDLE_S = 60, HEAD_MAX = 64 * 1024 };

/* A call that waits for its time. Born in on_request, dies when it is answered or its client leaves. */
struct pending {
	struct demo *demo;
	struct evhttp_request *req;
	struct event *timer;
};

struct demo {
	/* set once */
	struct event_base *base;
	struct evhttp *http;
	struct event *stop_event;
	int stop_fd;
	uint16_t port;
	int64_t delay_ms;
	pthread_t thread;

	/* the thread's own */
	struct demo_api *api;
	unsigned calls_n;
};

static void pending_free(struct pending *p)
{
	p->demo->calls_n--;
	if (p->timer)
		event_free(p->timer);
	mem_free(p);
}

static struct pending *pending_new(struct demo *d, struct evhttp_request *req)
{
	struct pending *p = mem_zalloc(sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct pending){.demo = d, .req = req};
	d->calls_n++;
	return p;
}

/* ---- Requests ---- */

static enum http_method method_of(struct evhttp_request *req)
{
	switch (evhttp_request_get_command(req)) {
	case EVHTTP_REQ_GET:
		return HTTP_GET;
	case EVHTTP_REQ_HEAD:
		return HTTP_HEAD;
	case EVHTTP_REQ_POST:
		return HTTP_POST;
	case EVHTTP_REQ_PUT:
		return HTTP_PUT;
	case EVHTTP_REQ_PATCH:
		return HTTP_PATCH;
	case EVHTTP_REQ_DELETE:
		return HTTP_DELETE;
	case EVHTTP_REQ_OPTIONS:
		return HTTP_OPTIONS;
	default:
		return HTTP_OTHER;
	}
}

/* Borrows from req, whose body becomes one run of bytes. */
static struct demo_call call_of(struct evhttp_request *req)
{
	struct slice target = slice_of(evhttp_request_get_uri(req));
	struct evbuffer *body = evhttp_request_get_input_buffer(req);
	struct demo_call call = {.method = method_of(req)};

	(void)slice_cut(target, '?', &call.path, &call.query);
	call.body.p = (const char *)evbuffer_pullup(body, -1);
	call.body.n = call.body.p ? evbuffer_get_length(body) : 0;
	return call;
}

/* ---- Responses ---- */

static void add_field(struct evhttp_request *req, const char *name, const char *value)
{
	if (value && *value)
		evhttp_add_header(evhttp_request_get_output_headers(req), name, value);
}

/* RFC 9110 13.1.2: does an If-None-Match say that the client has this already? */
static bool client_has(struct evhttp_request *req, const char *etag)
{
	struct http_fields fields;
	struct evkeyval *line;
	bool has = false;

	http_fields_init(&fields);
	for (line = evhttp_request_get_input_headers(req)->tqh_first; line; line = line->next.tqe_next)
		if (http_fields_add(&fields, slice_of(line->key), slice_of(line->value)))
			goto out; /* without memory the whole response is sent */
	has = etag_if_none_match(&fields, slice_of(etag)) == ETAG_MATCHES;
out:
	http_fields_fini(&fields);
	return has;
}

/* Strong: the same bytes have the same tag, others another. */
static void put_etag(const struct buf *body, char etag[40])
{
	struct hash128 h = hash128_of(body->p, body->n);

	snprintf(etag, 40, "\"%016llx%016llx\"", (unsigned long long)h.hi, (unsigned long long)h.lo);
}

static void send_response(struct evhttp_request *req, const struct demo_response *a)
{
	bool is_read = method_of(req) == HTTP_GET || method_of(req) == HTTP_HEAD;
	struct evbuffer *out = evhttp_request_get_output_buffer(req);
	char etag[40] = "", length[24];
	int status = a->status;

	if (status == 200 && is_read) {
		put_etag(&a->body, etag);
		if (client_has(req, etag))
			status = 304;
	}
	add_field(req, "ETag", etag);
	add_field(req, "Cache-Control", a->cache_control);
	add_field(req, "Cache-Tag", a->cache_tag);
	add_field(req, "Location", a->location);
	add_field(req, "Allow", a->allow);
	if (status != 304 && a->body.n) {
		add_field(req, "Content-Type", status < 400 ? "application/json" : "application/problem+json");
		snprintf(length, sizeof(length), "%zu", a->body.n);
		add_field(req, "Content-Length", length);
		if (method_of(req) != HTTP_HEAD && evbuffer_add(out, a->body.p, a->body.n))
			status = 503;
	}
	evhttp_send_reply(req, status, http_reason(status), NULL);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct pending *p = arg;
	struct demo *d = p->demo;
	struct evhttp_request *req = p->req;
	struct demo_call call = call_of(req);
	struct demo_response a;

	(void)fd;
	(void)what;
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL, NULL);
	pending_free(p);
	demo_response_init(&a);
	demo_api_answer(d->api, &call, clock_now().wall_ms, &a);
	send_response(req, &a);
	demo_response_fini(&a);
}

/* evhttp frees the connection and the request with it: at the stop, or when it notices that the client left. */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
	(void)evcon;
	pending_free(arg);
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct demo *d = arg;
	struct demo_call call = call_of(req);
	int64_t ms = demo_api_delay_ms(&call, d->delay_ms);
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	struct pending *p = d->calls_n < DEMO_CALLS_MAX ? pending_new(d, req) : NULL;

	if (p)
		p->timer = evtimer_new(d->base, on_time, p);
	if (!p || !p->timer || evtimer_add(p->timer, &wait)) {
		if (p)
			pending_free(p);
		evhttp_send_reply(req, 503, http_reason(503), NULL);
		return;
	}
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_close, p);
}

/* ---- The thread ---- */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static void *demo_main(void *arg)
{
	struct demo *d = arg;

	event_base_dispatch(d->base);
	return NULL;
}

static uint16_t port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} sa = {.any = {0}};
	socklen_t n = sizeof(sa);

	if (getsockname(fd, &sa.any, &n))
		return 0;
	return ntohs(sa.any.sa_family == AF_INET6 ? sa.v6.sin6_port : sa.v4.sin_port);
}

/* evhttp, which would log why in words of its own, asks again. */
static bool is_known(const char *address)
{
	struct addrinfo *found = NULL;

	if (getaddrinfo(address, NULL, NULL, &found) != 0)
		return false;
	freeaddrinfo(found);
	return true;
}

static int set_up_http(struct demo *d, const char *address, uint16_t port)
{
	struct evhttp_bound_socket *bound;

	d->http = evhttp_new(d->base);
	if (!d->http)
		return -ENOMEM;
	evhttp_set_allowed_methods(d->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
						    EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS);
	evhttp_set_max_headers_size(d->http, HEAD_MAX);
	evhttp_set_max_body_size(d->http, DEMO_BODY_MAX);
	evhttp_set_timeout(d->http, IDLE_S);
	evhttp_set_gencb(d->http, on_request, d);
	if (!is_known(address))
		return -EADDRNOTAVAIL;
	errno = 0;
	bound = evhttp_bind_socket_with_handle(d->http, address, port);
	if (!bound)
		return errno ? -errno : -EADDRNOTAVAIL;
	d->port = port_of(evhttp_bound_socket_get_fd(bound));
	return 0;
}

static int set_up_stop(struct demo *d)
{
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->stop_fd < 0)
		return -errno;
	d->stop_event = event_new(d->base, d->stop_fd, EV_READ, on_stop, d->base);
	return d->stop_event && event_add(d->stop_event, NULL) == 0 ? 0 : -ENOMEM;
}

/* Frees what there is; no thread runs any more. evhttp closes its connections, and each one's on_close its call. */
static void free_demo(struct demo *d)
{
	if (d->http)
		evhttp_free(d->http);
	CHECK(d->calls_n == 0);
	if (d->stop_event)
		event_free(d->stop_event);
	if (d->stop_fd >= 0)
		close(d->stop_fd);
	if (d->base)
		event_base_free(d->base);
	demo_api_free(&d->api);
	mem_free(d);
}

int demo_start(const char *address, uint16_t port, int64_t delay_ms, struct demo **out)
{
	struct demo *d = mem_zalloc(sizeof(*d));
	int rc;

	*out = NULL;
	if (!d)
		return -ENOMEM;
	d->stop_fd = -1;
	d->delay_ms = delay_ms;
	rc = demo_api_new(&d->api);
	if (!rc)
		rc = (d->base = event_base_new()) ? 0 : -ENOMEM;
	if (!rc)
		rc = set_up_stop(d);
	if (!rc)
		rc = set_up_http(d, address, port);
	if (!rc)
		rc = thread_start(&d->thread, demo_main, d);
	if (rc) {
		free_demo(d);
		return rc;
	}
	*out = d;
	return 0;
}

void demo_stop(struct demo **dp)
{
	struct demo *d = *dp;

	if (!d)
		return;
	eventfd_write(d->stop_fd, 1);
	pthread_join(d->thread, NULL);
	free_demo(d);
	*dp = NULL;
}

uint16_t demo_port(const struct demo *d)
{
	return d->port;
}
