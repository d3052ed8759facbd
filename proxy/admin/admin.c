/* SPDX-License-Identifier: MIT */
/* The admin listener: its calls one by one, which endpoint, which parameters. */
#include "proxy/admin/admin.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/admin/admin_internal.h"
#include "proxy/admin/warm.h"
#include "proxy/record/purge_log.h"

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

/* What it is asked for as it stands here: the description of the API is made of it, and every parameter is checked by it. */
static const struct admin_rule of_entries[] = {
	{"prefix", VALUE_URL, .help = "URLs that begin so: a path, or an absolute URL of an origin"},
	{"limit", VALUE_NUMBER, .low = 1, .high = ADMIN_ENTRIES_MAX,
		.help = "How many at most; 100 if it is not given"},
	{"tier", VALUE_WORDS, .words = "memory|disk", .help = "Where they are stored; memory if it is not given"},
	{"after", VALUE_TEXT, .help = "What `next` said of the page before"},
};
static const struct admin_rule of_explain[] = {
	{"url", VALUE_URL, .help = "A path as a client asks it, or an absolute URL"},
	{"path", VALUE_URL, .help = "Another name of url"},
	{"method", VALUE_TEXT, .help = "GET if it is not given"},
	{"header", VALUE_TEXT, .is_repeated = true, .help = "A field of the request: \"Name: value\""},
	{"headers", VALUE_TEXT, .help = "The same, one a line"},
	{"body", VALUE_TEXT, .help = "The request's content"},
	{"scheme", VALUE_WORDS, .words = "http|https", .help = "https: as a client of a tls listener"},
};
static const struct admin_rule of_purge[] = {
	{"url", VALUE_URL, .is_repeated = true, .help = "One URL, with its query"},
	{"prefix", VALUE_URL, .is_repeated = true, .help = "All URLs that begin so"},
	{"tag", VALUE_TEXT, .is_repeated = true, .help = "All responses with this tag"},
	{"user", VALUE_TEXT, .is_repeated = true,
		.help = "All responses of this identity, on routes with scope = user"},
	{"all", VALUE_FLAG, .help = "1: everything"},
	{"soft", VALUE_FLAG, .help = "1: stale instead of absent"},
	{"count", VALUE_FLAG, .help = "1: says what was met"},
	{"dry_run", VALUE_FLAG, .help = "1: says what would be met, and purges nothing"},
	{"spread", VALUE_TEXT, .help = "A duration like 10m: each URL goes at a time of its own within it"},
};
static const struct admin_rule of_purges[] = {
	{"limit", VALUE_NUMBER, .low = 1, .high = PURGE_LOG_MAX, .help = "How many at most; 100 if it is not given"},
	{"before", VALUE_TEXT, .help = "Those with a lower id"},
};
static const struct admin_rule of_refresh[] = {
	{"url", VALUE_URL, .is_required = true, .help = "A path as a client asks it, or an absolute URL"},
};
static const struct admin_rule of_reload[] = {
	{"dry_run", VALUE_FLAG, .help = "1: says what a reload would change, and changes nothing"},
};
static const struct admin_rule of_warm[] = {
	{"url", VALUE_URL, .is_repeated = true, .help = "A path as a client asks it, or an absolute URL"},
	{"urls", VALUE_URL, .help = "The same, one a line"},
	{"cancel", VALUE_TEXT, .help = "The id of a list of which nothing more is to be fetched"},
};
_Static_assert(ARRAY_LEN(of_purge) >= PURGE_KINDS_N, "a row for each kind");

static void openapi(struct admin_call *c);

#define NO_RULES NULL, 0
#define RULES(r) r, ARRAY_LEN(r)

static const struct admin_endpoint endpoints[] = {
	{"/healthz", HTTP_GET, healthz, NO_RULES, "Is the process alive? Waits for no other call"},
	{"/readyz", HTTP_GET, readyz, NO_RULES, "Does it serve, rather than start or stop?"},
	{"/stats", HTTP_GET, admin_stats, NO_RULES, "All counters"},
	{"/metrics", HTTP_GET, admin_metrics, NO_RULES, "The same, for Prometheus"},
	{"/entries", HTTP_GET, admin_entries, RULES(of_entries), "What is stored, page by page, in no order"},
	{"/explain", HTTP_GET, admin_explain, RULES(of_explain),
		"Would a request be answered from the cache, or why not? Asks nothing"},
	{"/openapi.json", HTTP_GET, openapi, NO_RULES, "This description"},
	{"/purge", HTTP_POST, admin_purge, RULES(of_purge), "Makes what is stored unusable at once"},
	{"/purges", HTTP_GET, admin_purges, RULES(of_purges), "Who purged what, the newest first"},
	{"/refresh", HTTP_POST, admin_refresh, RULES(of_refresh), "Fetches now, and replaces what is stored"},
	{"/reload", HTTP_POST, admin_reload, RULES(of_reload),
		"Reads the configuration anew; a mistake changes nothing"},
	{"/warm", HTTP_POST, admin_warm, RULES(of_warm), "Fetches what is missing of a list of URLs, little by little"},
	{"/warmups", HTTP_GET, admin_warmups, NO_RULES, "How far such lists are, the newest first"},
};

static void openapi(struct admin_call *c)
{
	admin_answer(c, 200, admin_openapi(endpoints, ARRAY_LEN(endpoints)));
}

static const struct admin_endpoint *endpoint_of(struct slice path)
{
	for (unsigned i = 0; i < ARRAY_LEN(endpoints); i++)
		if (slice_equal(path, slice_of(endpoints[i].path)))
			return &endpoints[i];
	return NULL;
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

static void run(struct admin_call *c, const struct admin_endpoint *e)
{
	char refusal[ADMIN_WHY_MAX];
	const char *why = admin_read_parameters(c);

	if (!why)
		why = admin_check_parameters(c, e, refusal);
	if (why)
		admin_problem(c, 400, why);
	else
		e->run(c);
}

static void dispatch(struct admin_call *c)
{
	const struct admin_endpoint *e = endpoint_of(c->http->path);
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
	warm_stop(a->warm);
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
	if (!err)
		err = warm_new(o->service, o->base, o->first_list, &a->warm);
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
	warm_stop(a->warm);
	front_free(&a->front);
	admin_turns_fini(a); /* the calls' clients are gone now */
}

void admin_free(struct admin **ap)
{
	struct admin *a = *ap;

	*ap = NULL;
	if (a)
		warm_free(&a->warm);
	mem_free(a);
}
