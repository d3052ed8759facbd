/* SPDX-License-Identifier: MIT */
/* One worker: a thread with its event loop, its listeners with an evhttp each, and its upstream connections.
 * Thread: main until worker_start and after worker_join, and what says post_ at any time; else the worker's own.
 * Owns: its loop, everything accepted on its listeners, its fetch jobs. Shares: the cache, the snapshot (by reference). */
#ifndef PROXY_TRANSACTION_WORKER_H
#define PROXY_TRANSACTION_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/mailbox.h"
#include "cache/cache.h"
#include "proxy/front/bodies.h"
#include "proxy/request/forward.h"
#include "proxy/front/gate.h"
#include "proxy/request/response_head.h"
#include "proxy/record/stats.h"
#include "proxy/request/target.h"
#include "proxy/transaction/hit.h"
#include "upstream/fetch.h"

struct worker_update;
struct service;
struct access_log;
struct event;
struct event_base;
struct transport;

struct worker {
	/* set once, before the thread starts */
	unsigned index;
	struct cache *cache;
	struct service *service;
	int *listen_fds; /* this worker's own sockets, as the configuration at the start lists them; -1: taken by a gate */
	unsigned *listen_addresses; /* which of the configuration's addresses each is for */
	unsigned listen_fds_n;
	struct mailbox mailbox;
	pthread_t thread;

	/* the worker's own */
	struct access_log *access_log; /* NULL: off */
	struct snapshot
		*snapshot; /* current; replaced when a configuration is loaded. Transactions in progress keep theirs */
	struct route_stats *routes; /* of the current snapshot's routes */
	struct asker_stats *askers; /* of its upstreams */
	struct event_base *base;
	struct worker_listener *listeners;                      /* one a listen_fd */
	struct event *mailbox_event, *tick_event, *sweep_event; /* the last: of worker 0 only */
	struct gate_stats gate_stats;
	struct body_port bodies;
	struct worker_stats stats;
	struct link transactions, jobs; /* that live on this worker */
	struct link ranges;             /* of transactions that wait for a range's first byte, by since when */
	struct link ranges_alone;       /* and have turned to the origin for it meanwhile */
	unsigned transactions_n;
	uint64_t next_request_id;
	/* scratch, reused from request to request; never kept over a return to the loop */
	struct forward forward;
	struct target attempt_target; /* of the last first attempt (hit.h), and what it found */
	struct hit_attempt attempt;
	struct response hit_response;
	uint64_t bytes_in_at_tick, bytes_in_at_trim;
	bool draining;

	/* messages from main */
	struct message retire_message, drain_message, stop_message, update_message;
	_Atomic(struct worker_update *) update; /* the newest that the worker has not taken yet */
	struct message drained_message;         /* to main */
	_Atomic bool drained;                   /* no connection is left: the loop has ended */

	bool is_running; /* main's: the thread was started and not joined */
};

struct worker_options {
	unsigned index;
	struct service *service;
	struct access_log *access_log;
	struct snapshot *snapshot; /* a reference is taken */
};

/* `w` is zeroed but for its mailbox and listening sockets, which main has set up. On failure worker_fini is still due. */
int worker_init(struct worker *w, const struct worker_options *o) WARN_UNUSED;
int worker_start(struct worker *w) WARN_UNUSED;
/* What a reload tells a worker: requests that begin from then on go by `s`, of which a reference is taken. Main; NULL: out
 * of memory. */
struct worker_update *worker_update_new(struct snapshot *s) WARN_UNUSED;
void worker_update_free(struct worker_update **n);
/* Takes `n` over. What is answered from then on is logged to `log`, which outlives the worker. */
void post_worker_update(struct worker *w, struct worker_update *n, struct access_log *log);
/* Stops accepting; each connection may have one more request. */
void post_worker_retire(struct worker *w);
/* Stops accepting, closes idle connections, lets the others finish. */
void post_worker_drain(struct worker *w);
/* Ends the loop now, whatever runs. */
void post_worker_stop(struct worker *w);
/* Waits for the thread to end. */
void worker_join(struct worker *w);
/* After the join, in this order for all workers: ends all requests and fetches; then, once the messages that this caused
 * are delivered, frees all that the worker owns, its mailbox aside. */
void worker_drop_requests(struct worker *w);
/* All connections, and what their ends leave in the access log. */
void worker_close_front(struct worker *w);
/* The last of the snapshot: with it the upstream's connections go. */
void worker_drop_snapshot(struct worker *w);
void worker_fini(struct worker *w);

/* worker_front.c */
int worker_open_front(struct worker *w) WARN_UNUSED;
/* After a reload: connections that are open read these as they go. */
void worker_configure_front(struct worker *w);
void worker_retire_front(struct worker *w);
void worker_drain_front(struct worker *w);

/* ---- What is counted and logged (worker_log.c) ---- */

/* A request was answered, or its client left. */
struct worker_response {
	const struct transport *transport;
	const struct snapshot *snapshot; /* that the request went by */
	unsigned route;
	enum response_kind kind;
	int status;                    /* STATUS_CLIENT_GONE: the client left first */
	uint64_t body_bytes;           /* that it was sent */
	int64_t total_us, upstream_us; /* -1: no upstream was asked */
	uint64_t id;                   /* 0: one is drawn */
	const char *error;             /* a proxy error type (RFC 9209); NULL: none */
};
/* Of a request. */
uint64_t worker_new_id(struct worker *w);
#define STATUS_CLIENT_GONE 499 /* no status of HTTP: nginx's word for it, which log readers know */
/* Of that route of the snapshot; NULL when a reload has taken it away. */
struct route_stats *worker_route_stats(struct worker *w, const struct snapshot *s, unsigned route);
/* Counts it, and writes the line of the access log. */
void worker_note_response(struct worker *w, const struct worker_response *a);
/* gate_options.on_refused; arg is the worker. */
void worker_note_refused(void *arg, struct gate *g, const struct http_error *e, struct gate_refusal *out);

#endif
