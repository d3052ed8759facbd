/* SPDX-License-Identifier: MIT */
/* One request to an origin and its response, streamed: libcurl's multi interface on a worker's event loop.
 * Thread: each upstream_loop and its fetches belong to one worker's thread. Owns: its connections and handles.
 * Bounds: max_connections per upstream in all loops together, queue_max per upstream and loop, max_head_bytes per response, nothing
 * buffered beyond one libcurl write (paused while the handler can't take more). */
#ifndef UPSTREAM_FETCH_H
#define UPSTREAM_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/fields.h"
#include "http/message.h"
#include "upstream/latency.h"

struct event_base;
struct upstream_loop;
struct fetch;

enum { UPSTREAM_URLS_MAX = 16, FETCH_ID_MAX = 128, FETCH_DETAIL_MAX = 256, FETCH_ADDRESS_MAX = 56 };
enum upstream_balance { UPSTREAM_ROUND_ROBIN, UPSTREAM_LEAST_CONNECTIONS, UPSTREAM_HASH };
enum upstream_http { UPSTREAM_HTTP_AUTO /* 2 over TLS where offered, else 1.1 */, UPSTREAM_HTTP_1_1, UPSTREAM_HTTP_2 };

struct upstream_options { /* one [upstream]; immutable, borrowed until upstream_loop_free */
	struct slice name;
	/* scheme://host[:port][/base], no final '/'. The base is not added to a fetch's target,
	 * which has it already, as the key has. */
	struct slice url;
	/* Further origins of the same content, at most UPSTREAM_URLS_MAX with the first; keys know the first only.
	 * Their health, breaker and quota are shared by all loops of the process with this name and these URLs. */
	const struct slice *more_urls;
	unsigned more_urls_n;
	enum upstream_balance balance;
	/* An origin is left out for fail_timeout_ms after max_fails failures in a row (no connection, time-outs, broken and malformed
	 * responses; with fail_on_5xx 502, 503 and 504 too); then one request tries it. 0: never. An upstream's only origin is
	 * never left out. */
	unsigned max_fails;
	int64_t fail_timeout_ms;
	bool fail_on_5xx;
	/* Active checks: one of the loops sends GET to each origin each interval; 2xx and 3xx are good. Empty: no checks. */
	struct slice health_path;
	int64_t health_interval_ms, health_timeout_ms;
	/* The breaker opens for breaker_open_ms when this share of at least breaker_requests fetches in the window failed, or
	 * took longer than breaker_slow_ms (0: any time) to their first byte. 0 percent: there is no breaker. */
	unsigned breaker_errors_percent, breaker_requests;
	int64_t breaker_window_ms, breaker_open_ms, breaker_slow_ms;
	/* Obeys Retry-After: no fetch before that time. Obeys RateLimit: while no more than quota_reserve_percent is left,
	 * upstream_is_spared is true and lifetimes count quota_stretch times. */
	bool quota_guard;
	unsigned quota_reserve_percent, quota_stretch;
	int64_t connect_timeout_ms, first_byte_timeout_ms, stall_timeout_ms;
	/* How long a name's address is used (0: once), and a connection kept (0: any time). libcurl counts seconds: rounded up. */
	int64_t dns_ttl_ms, connection_max_age_ms;
	/* Requests under way at one time, of all loops of the process with this name and these URLs together. A stream of an HTTP/2
	 * connection counts like a connection. A loop keeps its share of idle connections, at least 1. */
	unsigned max_connections;
	/* Requests waiting for a place, per loop, in order; each for queue_timeout_ms at most, then FETCH_BUSY. */
	unsigned queue_max;
	int64_t queue_timeout_ms;
	/* How often a fetch that got no byte of a response is tried again. Safe methods: on a fresh connection, to another origin if
	 * there is one. Others: only if no connection could be made, and to another origin. */
	unsigned retries;
	enum upstream_http http_version;
	struct slice tls_ca; /* path; empty: the system's */
	bool tls_verify;
};

struct upstream_loop_options {
	struct event_base *base;
	const struct upstream_options *upstreams;
	unsigned upstreams_n;
	unsigned loops;        /* how many share max_connections */
	size_t max_head_bytes; /* of a response; past it FETCH_BAD_RESPONSE */
	/* The same thread's loop before this one, or NULL: upstreams of a name that it has go on with its counters. */
	const struct upstream_loop *before;
};

int upstream_loop_new(const struct upstream_loop_options *o, struct upstream_loop **out) WARN_UNUSED;
void upstream_loop_free(struct upstream_loop **l); /* fetches still running end with FETCH_CANCELLED, unannounced */

/* Names are looked up anew, and no connection that is open now gets another request; those of HTTP/2 go once nothing runs on
 * them. Fetches that run are not touched. */
void upstream_loop_renew(struct upstream_loop *l);

enum fetch_result {
	FETCH_OK,      /* whole: the length that was announced arrived, or the end was framed: last chunk, END_STREAM */
	FETCH_REFUSED, /* no connection: refused, unreachable, DNS, TLS */
	FETCH_TIMEOUT, /* connect, first byte or stall */
	FETCH_BROKEN,  /* the connection ended before or inside the response */
	FETCH_BAD_RESPONSE, /* broke HTTP's rules, or its head was too large */
	FETCH_BUSY,         /* max_connections and the queue are full */
	FETCH_CANCELLED,
	FETCH_NO_MEMORY,
	FETCH_WITHHELD, /* not sent: the breaker is open, or the upstream asked for a pause: see upstream_retry_after_s */
};
const char *fetch_result_name(enum fetch_result r);

/* Why, where the result is none of OK and CANCELLED. */
enum fetch_cause {
	FETCH_CAUSE_NONE,
#define CAUSE(name, type) FETCH_CAUSE_##name,
#include "upstream/causes.def"
	FETCH_CAUSES
};
/* A proxy error type of RFC 9209; NULL for NONE and what is no cause. */
const char *fetch_cause_name(unsigned cause);

enum fetch_write {
	FETCH_WRITE_TAKEN,
	FETCH_WRITE_PAUSE /* not taken: offered again after fetch_resume */,
	FETCH_WRITE_CANCEL
};

/* Called from the loop, never from inside fetch_start. A handler may call fetch_cancel for its own fetch only by
 * returning FETCH_WRITE_CANCEL or false. */
struct fetch_handler {
	/* 1xx other than 100 and 101, hop-by-hop not dropped yet; fields as below. May be NULL. */
	void (*on_informational)(void *arg, int status, struct http_fields *fields);
	/* The final head, checked; hop-by-hop not dropped yet. fields are valid (and may be changed) during the call only.
	 * content_length is -1 when not announced. false cancels. */
	bool (*on_head)(void *arg, int status, struct http_fields *fields, int64_t content_length);
	enum fetch_write (*on_body)(void *arg, const void *p, size_t n);
	/* The end, exactly once unless fetch_cancel came first; the fetch is freed after it returns. `detail` is a short
	 * text for the log, never NULL. */
	void (*on_end)(void *arg, enum fetch_result result, const char *detail);
};

struct fetch_request {
	unsigned upstream; /* index */
	uint64_t hash;     /* of the cache key, for UPSTREAM_HASH */
	enum http_method method;
	struct slice method_token;
	struct slice target;              /* path and query, begins with '/' (or "*" for OPTIONS); sent byte for byte */
	struct slice host;                /* Host to send; empty: the upstream's own authority */
	const struct http_fields *fields; /* end-to-end fields to send, in order; no Host, framing or hop-by-hop (nor
	                                   * Expect: the body is here already; they are left out); copied */
	struct slice id;   /* of the request that causes it, for the log: at most FETCH_ID_MAX bytes of it; copied */
	bool is_traced;    /* what becomes of it is told in the log */
	struct slice body; /* borrowed until on_end; empty and !has_body: none */
	bool has_body;     /* sends Content-Length, 0 included */
	bool takes_part;   /* a 206 or 416 is no bad response, though no Range is sent */
};

/* 0 and *out, or negative errno: no callback follows then. -ENOMEM; -EBUSY when the queue is full; -EINVAL for an unknown
 * upstream, or a method, target or field that could not be sent as it is. May be called from inside callbacks. */
int fetch_start(struct upstream_loop *l, const struct fetch_request *r, const struct fetch_handler *h, void *arg,
	struct fetch **out) WARN_UNUSED;
/* What was not taken is offered again in a later turn of the loop, never from inside this call. Harmless if not paused. */
void fetch_resume(struct fetch *f);
/* In on_end: may an origin have seen any of the request? Else that is not what made the fetch fail. */
bool fetch_was_sent(const struct fetch *f);
/* In on_end. */
enum fetch_cause fetch_cause_of(const struct fetch *f);
/* Ends it without on_end; not from inside its own callbacks (those of other fetches are fine). Clears *f. */
void fetch_cancel(struct fetch **f);

struct upstream_stats { /* per upstream, this loop and those before it; plain counters: read from the loop's thread */
#define STAT(kind, name, help) uint64_t name;
#include "upstream/upstream_stats.def"
	int64_t time_us; /* sum of total times of finished fetches */
	/* Of what its origins sent, health checks aside. */
	uint64_t codes[HTTP_STATUS_SLOTS]; /* final responses, by status */
	struct latency first_byte; /* of these, from when the fetch had a place to their first line, retries included */
	struct latency whole;      /* of whole ones, to their last byte */
};
/* "libcurl/7.88.1 OpenSSL/3.0.17 ...", a constant. */
const char *upstream_library(void);

void upstream_stats(const struct upstream_loop *l, unsigned upstream, struct upstream_stats *out);

/* ---- What is known of an upstream, in all loops together. Cheap: asked for every request that is no hit. ---- */

/* Is its budget low, or did it ask for a pause? Then what is stale should serve and nothing be refreshed before its time. */
bool upstream_is_spared(const struct upstream_loop *l, unsigned upstream);
/* How many times a lifetime counts that is stored now; 1 but for a low budget. */
unsigned upstream_stretch(const struct upstream_loop *l, unsigned upstream);
/* Seconds until a fetch that is withheld now could be sent, at least 1; 0: none is withheld. */
unsigned upstream_retry_after_s(const struct upstream_loop *l, unsigned upstream);

/* The newest failure of an attempt at an origin, whether or not another attempt made good for it. */
struct upstream_error {
	int64_t wall_ms; /* 0: there was none */
	enum fetch_cause cause;
	char detail[FETCH_DETAIL_MAX];
	char address[FETCH_ADDRESS_MAX]; /* "10.0.0.1:80", "[::1]:80"; empty: it came to none */
	char id[FETCH_ID_MAX + 1];       /* of the request; empty: nobody's, as a health check */
};

struct upstream_health {
	bool is_breaker_open, is_spared;
	int64_t paused_ms;                    /* left of the pause that it asked for; 0: none */
	int64_t quota_remaining, quota_limit; /* -1: not told */
	unsigned origins_n;
	struct {
		bool is_out, is_down; /* by requests; by checks */
		unsigned failures, active;
		struct upstream_error last_error;
	} origins[UPSTREAM_URLS_MAX];
};
/* Any thread. False: no loop has such an upstream (by name and URLs). */
bool upstream_health(const struct upstream_options *o, struct upstream_health *out);

#endif
