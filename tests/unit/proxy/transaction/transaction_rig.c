/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/front/bodies.h"
#include "proxy/request/origins.h"

#define SITE "[proxy]\nlisten = 127.0.0.1:1\n[upstream]\nurl = http://o.example\n[defaults]\nclient_refresh = on\n"
#define ROUTES "[route all]\nmatch = /*\nttl = 60s\n"

enum { ERRORS_MAX = 65536, TURNS_MAX = 10000 };

static void heard_at_once(const struct service *s, void (*fn)(void *arg), void *arg)
{
	(void)s;
	fn(arg);
}

static void on_drained(struct message *m)
{
	(void)m;
}

static struct config *parse(const char *routes)
{
	struct config *c = NULL;
	struct buf errors;
	char *text;

	assert_true(asprintf(&text, "%s%s", SITE, routes ? routes : ROUTES) > 0);
	buf_init(&errors, ERRORS_MAX);
	if (config_parse(slice_of(text), "test", &c, &errors))
		fail_msg("%.*s\nof\n%s", SLICE_ARG(buf_slice(&errors)), text);
	buf_fini(&errors);
	free(text);
	return c;
}

static void make_snapshot(struct rig *g, const char *routes)
{
	struct origins_workers workers = {g->service.mailboxes, RIG_WORKERS, &g->service.is_ended};
	struct config *c = parse(routes);
	struct origins *origins;

	assert_int_equal(origins_new(&workers, c, &origins), 0);
	assert_int_equal(snapshot_new(c, origins, &g->service.secret, &g->service.snapshot), 0);
}

static void make_cache(struct rig *g)
{
	const struct config_cache *c = &g->service.snapshot->config->cache;
	struct cache_options o = {
		.memory_bytes = c->memory_bytes,
		.max_object_bytes = c->max_object_bytes,
		.shards = 4,
		.coalesce = c->coalesce,
		.failure_memory_ms = c->failure_memory_ms,
		.pass_memory_ms = c->pass_memory_ms,
		.max_waiters = c->max_waiters,
		.max_flights = 1000,
		.max_markers = 1000,
		.max_variants = 16,
		.max_invalidation_rules = 1000,
		.via = SLICE_LIT("1.1 memoproxy"),
		.mailboxes = g->service.mailboxes,
		.workers = RIG_WORKERS,
	};

	assert_int_equal(cache_new(&o, &g->service.cache), 0);
	g->cache = g->service.cache;
}

void rig_begin(struct rig *g, const char *routes)
{
	memset(g, 0, sizeof(*g));
	fake_upstream_begin();
	g->service.workers = g->workers;
	g->service.workers_n = RIG_WORKERS;
	g->service.when_heard = heard_at_once;
	assert_int_equal(mailbox_init(&g->service.mailbox), 0);
	for (unsigned i = 0; i < RIG_WORKERS; i++) {
		assert_int_equal(mailbox_init(&g->workers[i].mailbox), 0);
		g->service.mailboxes[i] = &g->workers[i].mailbox;
	}
	make_snapshot(g, routes);
	make_cache(g);
	assert_int_equal(bodies_new(1 << 20, 1 << 16, &g->service.bodies), 0);
	for (unsigned i = 0; i < RIG_WORKERS; i++) {
		g->workers[i].drained_message.on_message = on_drained;
		assert_int_equal(worker_init(&g->workers[i],
					 &(struct worker_options){
						 .index = i,
						 .service = &g->service,
						 .snapshot = g->service.snapshot,
					 }),
			0);
	}
}

/* ---- Turning ---- */

static bool deliver(struct mailbox *mb)
{
	bool has_messages;

	pthread_mutex_lock(&mb->mu);
	has_messages = mb->head != NULL;
	pthread_mutex_unlock(&mb->mu);
	if (has_messages)
		mailbox_deliver(mb);
	return has_messages;
}

static bool turn(struct rig *g)
{
	bool moved = false;

	for (unsigned i = 0; i < RIG_WORKERS; i++)
		moved |= deliver(&g->workers[i].mailbox);
	moved |= deliver(&g->service.mailbox);
	moved |= fake_turn();
	for (unsigned i = 0; i < g->clients_n; i++)
		moved |= recorder_turn(g->clients[i]);
	return moved;
}

void rig_turn(struct rig *g)
{
	for (unsigned n = 0; turn(g); n++)
		assert_true(n < TURNS_MAX);
}

/* ---- The end ---- */

static void nothing_is_left(struct rig *g)
{
	struct cache_stats s = rig_stats(g);

	for (unsigned i = 0; i < RIG_WORKERS; i++) {
		assert_int_equal(g->workers[i].transactions_n, 0);
		assert_int_equal(g->workers[i].stats.fills_active, 0);
	}
	assert_int_equal(s.flights, 0);
	assert_int_equal(s.waiters, 0);
	assert_int_equal(fake_running(), 0);
}

static void free_clients(struct rig *g)
{
	for (unsigned i = 0; i < g->clients_n; i++)
		recorder_free(&g->clients[i]);
	g->clients_n = 0;
}

void rig_end(struct rig *g)
{
	rig_turn(g);
	g->service.is_ended = true;
	for (unsigned i = 0; i < RIG_WORKERS; i++)
		worker_drop_requests(&g->workers[i]);
	rig_turn(g);
	nothing_is_left(g);
	for (unsigned i = 0; i < g->clients_n; i++) /* the connections go: whoever waits for a last byte hears of it */
		if (g->clients[i]->transport.on_gone.fn)
			recorder_leave(g->clients[i]);
	free_clients(g);
	for (unsigned i = 0; i < RIG_WORKERS; i++) {
		worker_close_front(&g->workers[i]);
		worker_drop_snapshot(&g->workers[i]);
	}
	snapshot_unref(&g->service.snapshot);
	for (unsigned i = 0; i < RIG_WORKERS; i++)
		worker_fini(&g->workers[i]);
	bodies_free(&g->service.bodies);
	cache_free(&g->service.cache);
	for (unsigned i = 0; i < RIG_WORKERS; i++)
		mailbox_fini(&g->workers[i].mailbox);
	mailbox_fini(&g->service.mailbox);
	fake_upstream_end();
}

int rig_setup(void **state)
{
	*state = malloc(sizeof(struct rig));
	assert_non_null(*state);
	rig_begin(*state, NULL);
	return 0;
}

int rig_teardown(void **state)
{
	rig_end(*state);
	free(*state);
	return 0;
}

/* ---- Requests ---- */

struct recorder *rig_client(struct rig *g, const char *request, const char *body)
{
	const char *line_end = strstr(request, "\r\n");
	char text[8192];

	assert_true(g->clients_n < RIG_CLIENTS_MAX);
	snprintf(text, sizeof(text), "%.*s HTTP/1.1\r\nHost: h\r\n%s\r\n",
		line_end ? (int)(line_end - request) : (int)strlen(request), request, line_end ? line_end + 2 : "");
	g->clients[g->clients_n] = recorder_new(text, body);
	return g->clients[g->clients_n++];
}

/* As the gate's. */
static bool may_be_hit(const struct http_request *r)
{
	return r->framing == HTTP_BODY_NONE && (r->method == HTTP_GET || r->method == HTTP_HEAD);
}

void rig_begin_client(struct rig *g, struct recorder *r, unsigned worker, enum rig_way way)
{
	struct worker *w = &g->workers[worker];

	if (way != RIG_BY_TRANSACTION && may_be_hit(&r->request) && hit_answer(w, &r->transport, clock_now()))
		return;
	if (way != RIG_BY_HIT)
		transaction_begin(w, &r->transport);
}

struct recorder *rig_send(struct rig *g, unsigned worker, enum rig_way way, const char *request, const char *body)
{
	struct recorder *r = rig_client(g, request, body);

	rig_begin_client(g, r, worker, way);
	return r;
}

struct recorder *rig_ask(struct rig *g, const char *request)
{
	struct recorder *r = rig_send(g, 0, RIG_AS_GATE, request, NULL);

	rig_turn(g);
	return r;
}

void rig_store(struct rig *g, const char *request, const char *fields, const char *body)
{
	unsigned n = fake_fetches();
	struct recorder *r = rig_ask(g, request);

	fake_answer(fake_fetch(n), 200, fields, body);
	rig_turn(g);
	recorder_got(r, 200, body);
}

uint64_t rig_responses(const struct rig *g, enum response_kind k)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < RIG_WORKERS; i++)
		n += g->workers[i].stats.responses[k];
	return n;
}

struct cache_stats rig_stats(struct rig *g)
{
	struct cache_stats s;

	cache_stats(g->cache, &s);
	return s;
}

void rig_purge(struct rig *g, const char *url, bool soft)
{
	uint64_t seq;

	assert_int_equal(cache_purge_soon(g->cache,
				 &(struct purge){.kind = PURGE_URL, .what = slice_of(url), .soft = soft}, &seq),
		0);
}
