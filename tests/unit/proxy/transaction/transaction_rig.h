/* SPDX-License-Identifier: MIT */
/* A proxy without sockets: real workers, routes and cache between recorders (recorder.h) and an upstream in the test's hand
 * (fake_upstream.h). All workers live on the test's thread, which turns their loops by hand: rig_turn.
 * rig_end checks that nothing was left behind: no transaction, no fetch job, no waiter, no flight, no object. */
#ifndef TESTS_UNIT_PROXY_TRANSACTION_RIG_H
#define TESTS_UNIT_PROXY_TRANSACTION_RIG_H

#include "tests/unit/proxy/transaction/fake_upstream.h"
#include "tests/unit/proxy/transaction/recorder.h"

#include <string.h>

#include "proxy/transaction/transaction.h"
#include "proxy/transaction/hit.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/worker.h"

enum { RIG_WORKERS = 2, RIG_CLIENTS_MAX = 128 };

struct rig {
	struct service service;
	struct worker workers[RIG_WORKERS];
	struct cache *cache;
	struct recorder *clients[RIG_CLIENTS_MAX];
	unsigned clients_n;
};

/* `routes`: the configuration's text after [proxy] and [upstream]; NULL: one route that caches all for a minute. */
void rig_begin(struct rig *g, const char *routes);
void rig_end(struct rig *g);
/* For tests that need only the rig. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Ways of a request: as the gate goes (hit_answer, and where that is not enough, transaction_begin), or one alone. */
enum rig_way { RIG_AS_GATE, RIG_BY_TRANSACTION, RIG_BY_HIT };
/* `request`: "GET /a\r\nName: value\r\n": HTTP/1.1, Host and the empty line are added. The recorder is the rig's. */
struct recorder *rig_send(struct rig *g, unsigned worker, enum rig_way way, const char *request, const char *body);
/* The same, as the gate, on worker 0, and turned. */
struct recorder *rig_ask(struct rig *g, const char *request);
/* A request that only waits to be begun: for tests that look at the transport or change it first. */
struct recorder *rig_client(struct rig *g, const char *request, const char *body);
void rig_begin_client(struct rig *g, struct recorder *r, unsigned worker, enum rig_way way);
/* Turns all loops until nothing more happens. */
void rig_turn(struct rig *g);
/* Asks, answers and turns: it is stored (or not) then. `fields` as in fake_answer, of status 200. */
void rig_store(struct rig *g, const char *request, const char *fields, const char *body);

uint64_t rig_responses(const struct rig *g, enum response_kind k); /* of all workers */
struct cache_stats rig_stats(struct rig *g);
void rig_purge(struct rig *g, const char *url, bool soft);

#endif
