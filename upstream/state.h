/* SPDX-License-Identifier: MIT */
/* What all loops know together of one upstream: which of its origins answer, whether its breaker is open, what is left
 * of its quota. Found by name and URLs, so that a reload that changes neither forgets nothing.
 * Thread: any; what is read for every request is atomic. Time is a parameter: CLOCK_MONOTONIC in ms where it says now_ms.
 * Owns: itself, by reference count; the last loop that lets go frees it. Bounds: UPSTREAM_URLS_MAX origins. */
#ifndef UPSTREAM_STATE_H
#define UPSTREAM_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/log.h"
#include "upstream/fetch.h"

enum { BREAKER_SLOTS = 10 };

struct origin_state {
	/* set once */
	uint64_t seed; /* hash of its URL: its place in the balance by hash */
	/* atomic */
	_Atomic unsigned failures;       /* in a row, of requests */
	_Atomic int64_t out_until_ms;    /* left out; 0: not. From then on one request at a time may try it */
	_Atomic bool is_down;            /* so say the checks */
	_Atomic unsigned check_failures; /* in a row */
	_Atomic int64_t next_check_ms;   /* the loop that moves it on does the check */
	_Atomic unsigned active;         /* attempts, in all loops */
	/* guarded by the upstream's errors_mu */
	struct upstream_error last_error;
};

struct breaker {
	_Atomic int64_t open_until_ms; /* 0: closed. From then on one request at a time may try */
	pthread_mutex_t mu;
	struct { /* guarded by mu: the window, a tenth of it each */
		int64_t number;
		unsigned total, errors;
	} slots[BREAKER_SLOTS];
};

struct quota {
	_Atomic int64_t blocked_until_ms; /* no call before */
	_Atomic int64_t spare_until_ms;   /* the budget is low */
	_Atomic int64_t remaining, limit; /* as last told, the most ever told; -1: nothing was */
};

/* The places of max_connections, which all loops share. One that is given back goes to a loop that waits, if there is one, in the
 * order in which they came; so no loop's queue stands while places are free. */
struct places {
	pthread_mutex_t mu; /* a mailbox's lock is taken under it */
	/* guarded by mu */
	unsigned most; /* as the newest loop has it */
	unsigned taken;
	struct link waiting; /* of places_waiter */
};

struct places_waiter { /* a loop's, for all fetches in its queue */
	/* set once */
	struct mailbox *mailbox;
	struct message message; /* it was given a place: its on_message calls places_collect */
	/* guarded by the places' mu */
	struct link link; /* in waiting, while it waits */
	bool is_waiting;
	unsigned given; /* and not collected */
};

struct upstream_state {
	/* guarded by the registry */
	struct link link;
	unsigned refs;
	/* set once */
	char *identity; /* name and URLs, each ended by NUL */
	size_t identity_n;
	unsigned origins_n;
	/* atomic */
	_Atomic unsigned turn; /* of round robin */
	struct breaker breaker;
	struct quota quota;
	struct places places;
	struct log_limit limits[FETCH_CAUSES]; /* of lines that tell of a failure */
	pthread_mutex_t errors_mu;             /* a leaf */
	struct origin_state origins[];
};

/* state.c. A reference to the state of that name and those URLs, which is made if there is none. 0 or -ENOMEM. */
int upstream_state_get(const struct upstream_options *o, struct upstream_state **out) WARN_UNUSED;
void upstream_state_unref(struct upstream_state **s);

/* places.c */
void places_init(struct places *p);
void places_fini(struct places *p);
void places_set_most(struct places *p, unsigned most);
/* True: the caller has a place. */
bool places_take(struct places *p) WARN_UNUSED;
/* The same; false: w waits from now on, and its message is posted when it is given one. */
bool places_take_or_wait(struct places *p, struct places_waiter *w) WARN_UNUSED;
/* The caller has one, however many are taken. */
void places_force(struct places *p);
void places_give(struct places *p);
/* How many w was given since. They are the caller's. */
unsigned places_collect(struct places *p, struct places_waiter *w) WARN_UNUSED;
/* w waits no more, and what it was given goes on. After this its message is not posted any more. */
void places_forget(struct places *p, struct places_waiter *w);

/* health.c. These two: how a request to the origin ended. */
void health_ok(struct origin_state *o);
/* True: it is left out from now on and was not before. */
bool health_failed(struct origin_state *o, const struct upstream_options *options, int64_t now_ms);
/* Left out until then, because its Retry-After said so. */
void health_leave_out(struct origin_state *o, int64_t until_ms);
/* The trial of an origin that is left out ended without a result: the next request may try at once. */
void health_forget_try(struct origin_state *o, int64_t now_ms);
/* How a check ended. True: is_down changed. */
bool health_checked(struct origin_state *o, const struct upstream_options *options, bool is_ok);
/* Is it this caller's turn to check? Of all who ask, one gets it each interval. */
bool health_claim_check(struct origin_state *o, const struct upstream_options *options, int64_t now_ms);
bool health_is_out(const struct origin_state *o, const struct upstream_options *options, int64_t now_ms);

/* balance.c */
struct balance_request {
	uint64_t hash;
	unsigned tried; /* bits: not these again */
	bool may_probe; /* it can go elsewhere when an origin on trial fails it */
	int64_t now_ms;
};
/* Index, or -ENOENT when all were tried. When all are left out, the one that comes back first. *is_probe: it is on trial. */
int balance_choose(struct upstream_state *s, const struct upstream_options *options, const struct balance_request *r,
	bool *is_probe) WARN_UNUSED;

/* breaker.c */
enum breaker_say { BREAKER_CLOSED, BREAKER_PROBE /* this one may try */, BREAKER_OPEN };
void breaker_init(struct breaker *b);
void breaker_fini(struct breaker *b);
enum breaker_say breaker_admit(struct breaker *b, const struct upstream_options *o, int64_t now_ms) WARN_UNUSED;
/* Would breaker_admit refuse? Takes no probe. */
bool breaker_is_open(const struct breaker *b, const struct upstream_options *o, int64_t now_ms);
/* True: it opened. */
bool breaker_note(struct breaker *b, const struct upstream_options *o, bool failed, bool was_probe, int64_t now_ms);
/* The probe ended without a result: another one may go at once. */
void breaker_forget_probe(struct breaker *b, int64_t now_ms);

/* quota.c */
struct quota_told { /* by one response; -1: not */
	int64_t remaining, limit, reset_s, retry_after_s;
};
/* Retry-After of 429 and 503 (RFC 9110 10.2.3); RateLimit and RateLimit-Policy as structured fields, the earlier drafts'
 * RateLimit-Remaining and the like, X-RateLimit-*. What is not strictly valid was not told. Times at most QUOTA_MAX_S. */
enum { QUOTA_MAX_S = 3600 };
void quota_read(int status, const struct http_fields *fields, int64_t now_wall_s, struct quota_told *out);
void quota_init(struct quota *q);
void quota_note(struct quota *q, const struct upstream_options *o, const struct quota_told *t, int64_t now_ms);
bool quota_is_low(const struct quota *q, const struct upstream_options *o, int64_t now_ms);
bool quota_is_blocked(const struct quota *q, const struct upstream_options *o, int64_t now_ms);

#endif
