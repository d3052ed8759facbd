/* SPDX-License-Identifier: MIT */
/* One fetch and where its response goes: into a flight (and so to the cache and to all who wait), or to one client alone.
 * The fetch job, not the client that caused it, owns the fetch: that client may leave.
 * Thread: the worker that started it. Owns: the fetch, the request body, a reference to the flight and to the snapshot.
 * Life: fetch_job_start to the fetch's end; freed by itself. Bounds: those of flights and of the upstream's queue. */
#ifndef PROXY_TRANSACTION_FETCH_JOB_H
#define PROXY_TRANSACTION_FETCH_JOB_H

#include "cache/cache.h"
#include "proxy/request/target.h"
#include "upstream/fetch.h"

struct worker;
struct fetch_job;
struct evbuffer;

/* The client that a response goes to directly; all calls on the fetch job's worker. */
struct fetch_job_client {
	void (*on_informational)(void *arg, int status, const struct http_fields *fields);
	/* A private response begins (without a flight, `why` is POLICY_STORE; or it is FLIGHT_PRIVATE, of which `why` speaks): fields
	 * are the client's to read now, hop-by-hop dropped. */
	void (*on_head)(
		void *arg, int status, struct http_fields *fields, int64_t content_length, enum policy_store why);
	enum fetch_write (*on_body)(void *arg, const void *p, size_t n);
	/* The private response has ended, or no response came (then on_head was not called). The fetch job is gone after it. */
	void (*on_end)(void *arg, enum fetch_result result);
};

struct fetch_job_request {
	struct worker *worker;
	const struct target *target;           /* copied as far as needed */
	struct slice id;                       /* of the request that causes it, for the log; copied */
	bool is_traced;                        /* as fetch_request has it */
	struct evbuffer *body;                 /* its bytes are referred to, and stay; NULL: no body */
	struct flight *flight;                 /* its reference is taken over; NULL: private from the start */
	const struct fetch_job_client *client; /* NULL: nobody waits (background, refresh) */
	void *client_arg;
};

/* 0 and *out. With a client, *out is cleared when the fetch job ends before the client lets go, so it must stay where it is.
 * On error the flight has failed and its reference is gone; no callback follows. */
int fetch_job_start(const struct fetch_job_request *r, struct fetch_job **out) WARN_UNUSED;
/* The client no longer wants it: a private fetch job of a safe method is cancelled, others go on alone. Not from inside the
 * client's callbacks. Clears *f. */
void fetch_job_detach(struct fetch_job **f);
/* From inside on_head: the client needs nothing more; what still comes is dropped. Clears *f. */
void fetch_job_release(struct fetch_job **f);
/* From inside on_head, before fetch_job_release: what of this response may serve others goes into the cache as well, under
 * r->key. POLICY_STORE: it does, so far. */
enum policy_store fetch_job_keep(struct fetch_job *f, const struct cache_request *r, int status,
	const struct http_fields *fields, int64_t content_length) WARN_UNUSED;
/* While on_end is called: was any of the request sent? And why was there no response? */
bool fetch_job_was_sent(const struct fetch_job *f);
enum fetch_cause fetch_job_cause(const struct fetch_job *f);
/* When the upstream was asked: by number, and by the clock. */
const struct cache_asked *fetch_job_asked(const struct fetch_job *f);
struct now fetch_job_request_time(const struct fetch_job *f);
/* on_body said PAUSE before; there is room again. */
void fetch_job_resume(struct fetch_job *f);
/* Ends all fetch jobs of a stopping worker. */
void fetch_job_cancel_all(struct worker *w);

#endif
