/* SPDX-License-Identifier: MIT */
/* The admin listener: its calls one by one, which endpoint, which parameters. */
#include "proxy/admin/admin.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/syntax.h"
#include "proxy/admin/admin_internal.h"

#define TEXT_MAX (256 * 1024) /* a query and a form, each value in both its readings */
#define FORM_MAX (64 * 1024)
#define CONNECTIONS_MAX (ADMIN_CALLS_MAX + 16) /* a connection has one call at a time: some are left for /healthz */

/* ---- Endpoints ---- */

static const char alive[] = "{\n  \"status\": \"alive\"\n}\n";

static void healthz(struct admin_call *c)
{
	admin_answer_text(c, "application/json", SLICE_LIT(alive));
}

/* /healthz at once, where requests are parsed: it waits for no other call. */
static bool answer_health(void *arg, struct transport *t, struct now now)
{
	const struct admin *a = arg;
	int status;

	(void)now;
	if (!slice_equal(t->request->path, SLICE_LIT("/healthz")) || t->request->has_query ||
		admin_refusal(&a->service->snapshot->config->admin, t->request, &status))
		return false;
	admin_respond(t, 200, "", "application/json", SLICE_LIT(alive));
	return true;
}

/* While the lower tier is being read in, requests are served from memory and the upstream. */
static json_t *json_of_ready(const struct service *s)
{
	json_t *j = json_pack("{s:b}", "ready", 1);
	struct cache_stats stats;

	cache_stats(s->cache, &stats);
	if (!stats.has_tier)
		return j;
	json_object_set_new(j, "disk",
		json_pack("{s:b, s:I, s:I}", "ready", stats.tier.is_ready, "segments_read",
			(json_int_t)stats.tier.segments_read, "segments", (json_int_t)stats.tier.segments));
	return j;
}

static void readyz(struct admin_call *c)
{
	const struct service *s = c->service;

	if (s->state == SERVICE_READY)
		admin_answer(c, 200, json_of_ready(s));
	else
		admin_problem(c, 503, s->state == SERVICE_DRAINING ? "draining" : "starting");
}

struct endpoint {
	const char *path;
	enum http_method method; /* GET answers HEAD too */
	void (*run)(struct admin_call *c);
	const char *parameters; /* names it knows, each between spaces */
};

#define PURGE_PARAMETER(KIND, name) name " "

static const struct endpoint endpoints[] = {
	{"/healthz", HTTP_GET, healthz, " "},
	{"/readyz", HTTP_GET, readyz, " "},
	{"/stats", HTTP_GET, admin_stats, " "},
	{"/metrics", HTTP_GET, admin_metrics, " "},
	{"/entries", HTTP_GET, admin_entries, " prefix limit tier after "},
	{"/explain", HTTP_GET, admin_explain, " url path method header headers body scheme "},
	{"/purge", HTTP_POST, admin_purge, " " PURGE_KINDS(PURGE_PARAMETER) "soft "},
	{"/refresh", HTTP_POST, admin_refresh, " url "},
	{"/reload", HTTP_POST, admin_reload, " "},
};

static const struct endpoint *endpoint_of(struct slice path)
{
	for (unsigned i = 0; i < ARRAY_LEN(endpoints); i++)
		if (slice_equal(path, slice_of(endpoints[i].path)))
			return &endpoints[i];
	return NULL;
}

static bool knows(const struct endpoint *e, struct slice name)
{
	char wanted[32];

	if (name.n == 0 || name.n > sizeof(wanted) - 3 || memchr(name.p, ' ', name.n))
		return false;
	snprintf(wanted, sizeof(wanted), " %.*s ", SLICE_ARG(name));
	return strstr(e->parameters, wanted) != NULL;
}

/* Most often it is a part of the query of an url that was not encoded. */
static void refuse_parameter(struct admin_call *c, const struct endpoint *e, struct slice name)
{
	const char *hint = strstr(e->parameters, " url ") || strstr(e->parameters, " prefix ")
				   ? "; an & inside a URL is written %26"
				   : "";
	char why[128];

	snprintf(why, sizeof(why), "there is no parameter %.*s%s",
		(int)(http_is_token(name) && name.n < 64 ? name.n : 0), name.p, hint);
	admin_problem(c, 400, why);
}

static void refuse_path(struct admin_call *c)
{
	char why[256];
	size_t n = (size_t)snprintf(why, sizeof(why), "no such endpoint; there are");

	for (unsigned i = 0; i < ARRAY_LEN(endpoints) && n < sizeof(why); i++)
		n += (size_t)snprintf(why + n, sizeof(why) - n, "%s %s %s", i ? "," : "",
			endpoints[i].method == HTTP_GET ? "GET" : "POST", endpoints[i].path);
	admin_problem(c, 404, why);
}

static void run(struct admin_call *c, const struct endpoint *e)
{
	const char *why = admin_read_parameters(c);

	if (why) {
		admin_problem(c, 400, why);
		return;
	}
	for (unsigned i = 0; i < c->parameters_n; i++) {
		if (!knows(e, c->parameters[i].name)) {
			refuse_parameter(c, e, c->parameters[i].name);
			return;
		}
	}
	e->run(c);
}

static void dispatch(struct admin_call *c)
{
	const struct endpoint *e = endpoint_of(c->http->path);
	int status;
	const char *why = admin_refusal(&c->service->snapshot->config->admin, c->http, &status);

	if (why) {
		admin_problem(c, status, why);
	} else if (!e) {
		refuse_path(c);
	} else if (c->http->method != e->method && !(e->method == HTTP_GET && c->http->method == HTTP_HEAD)) {
		c->allow = e->method == HTTP_GET ? "Allow: GET, HEAD\r\n" : "Allow: POST\r\n";
		admin_problem(c, 405, e->method == HTTP_GET ? "use GET" : "use POST");
	} else {
		run(c, e);
	}
}

/* ---- Calls ---- */

static void on_gone(void *arg)
{
	struct admin_call *c = arg;

	c->is_gone = true;
}

static void on_request(void *arg, struct transport *t)
{
	struct admin *a = arg;
	struct admin_call *c = mem_zalloc(sizeof(*c));

	if (!c) {
		t->ops->refuse(t);
		return;
	}
	c->admin = a;
	c->service = a->service;
	c->transport = t;
	c->http = t->request;
	buf_init(&c->text, TEXT_MAX);
	transport_on_gone(t, on_gone, c);
	if (++a->calls > ADMIN_CALLS_MAX) {
		a->refused++;
		admin_problem(c, 503, "too many requests are under way");
		return;
	}
	admin_wait_turn(c);
}

/* ---- Start and stop ---- */

static int take_sockets(struct admin *a)
{
	int err = 0;

	for (unsigned i = 0; i < a->o.fds_n; i++) {
		if (!err)
			err = front_listen(a->front, a->o.fds[i]);
		if (err)
			close(a->o.fds[i]);
	}
	return err;
}

void admin_drain(struct admin *a)
{
	if (!a)
		return;
	front_drain(a->front);
}

bool admin_is_drained(const struct admin *a)
{
	return !a || a->gate_stats.open == 0;
}

void admin_reconfigure(struct admin *a)
{
	const struct config_proxy *p;

	if (!a)
		return;
	p = &a->service->snapshot->config->proxy;
	a->gate_options.max_header = p->max_header_bytes;
	a->gate_options.header_timeout_ms = p->client_header_timeout_ms;
	a->gate_options.body_timeout_ms = p->client_body_timeout_ms;
	a->gate_options.idle_timeout_ms = p->client_idle_timeout_ms;
	a->gate_options.write_timeout_ms = p->client_write_timeout_ms;
}

int admin_start(const struct admin_options *o, struct admin **out)
{
	struct admin *a = mem_zalloc(sizeof(*a));
	int err;

	*out = NULL;
	if (!a) {
		for (unsigned i = 0; i < o->fds_n; i++)
			close(o->fds[i]);
		return -ENOMEM;
	}
	a->o = *o;
	a->service = o->service;
	a->begin = dispatch;
	err = admin_turns_init(a, o->base);
	a->gate_options = (struct gate_options){
		.max_body = FORM_MAX,
		.high_water = 1 << 20,
		.answer = answer_health,
		.on_request = on_request,
		.arg = a,
		.most_open = CONNECTIONS_MAX,
		.stats = &a->gate_stats,
	};
	admin_reconfigure(a);
	if (!err)
		err = front_new(o->base, &a->gate_options, &a->front);
	if (!err)
		err = take_sockets(a);
	if (err) { /* nobody has connected: no gate is left */
		admin_stop(a);
		admin_free(&a);
	}
	*out = a;
	return err;
}

void admin_stop(struct admin *a)
{
	if (!a)
		return;
	front_free(&a->front);
	admin_turns_fini(a); /* the calls' clients are gone now */
}

void admin_free(struct admin **ap)
{
	struct admin *a = *ap;

	*ap = NULL;
	mem_free(a);
}
