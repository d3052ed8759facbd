/* SPDX-License-Identifier: MIT */
/* What the files of upstream/ share; nobody else includes it. Each uses those before it:
 *
 *      todo, deadline, result, report, socket, dispatch, request -> connection -> origin_response -> h2, upstream -> fetch -> check -> loop
 *
 * Thread: the loop's. Owns: see each struct. Bounds: as fetch.h says. */
#ifndef UPSTREAM_INTERNAL_H
#define UPSTREAM_INTERNAL_H

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "base/list.h"
#include "http/chunk.h"
#include "upstream/fetch.h"
#include "upstream/state.h"

enum { FETCH_MAGIC = 0x46455443, INFORMATIONAL_MAX = 100, OPENED_MAX = 8, PORT_BUCKETS = 256, ADDRESS_MAX = 46 };

/* ---- Sockets (socket.c): what we know of each file descriptor that libcurl uses ---- */

struct sock {
	struct upstream_loop *l;
	struct event ev;
	int fd;
	short wanted;       /* EV_READ, EV_WRITE as libcurl asked; 0: idle in its pool */
	short registered;   /* what ev was added with; 0: not added */
	bool is_connection; /* made by us for a connection; else a descriptor of libcurl's own, as its resolver's */
	bool established; /* identified: closed through our callback for certain, so its event may outlive a transfer */
	bool in_use;      /* by an HTTP/1 request; else what arrives is stray */
	bool stale;       /* bytes or EOF came that belong to no request: never to be used again */
	uint64_t serial;
	uint64_t wire_bytes; /* of responses, as received; HTTP/1 without TLS */
	struct sock *port_next;
	long local_port, peer_port;
	char local_ip[ADDRESS_MAX], peer_ip[ADDRESS_MAX];
};

/* The four numbers that tell a connection from all others. */
struct sock_address {
	const char *local_ip, *peer_ip;
	long local_port, peer_port;
};

struct sock *sock_get(struct upstream_loop *l, int fd);
/* Socket made for `f`, or negative errno. */
int sock_open(struct fetch *f, const struct curl_sockaddr *address);
int sock_close(struct upstream_loop *l, int fd);
/* libcurl wants EV_READ / EV_WRITE of it, or 0: nothing any more. 0 or -ENOMEM. */
int sock_want(struct upstream_loop *l, int fd, short wanted) WARN_UNUSED;
/* The connection that f is about to use; on a new one, gives it its address. NULL if it can't be told. */
struct sock *sock_identify(struct fetch *f, const struct sock_address *address);
/* Is there anything to read, bytes or EOF, before a request was sent? */
bool sock_has_unread(const struct sock *s);
/* More received than the responses so far account for? (RFC 9112 6.3: such bytes must not become a response.) */
bool sock_has_excess(const struct sock *s);
/* No connection that is open now serves another request. */
void sock_retire_all(struct upstream_loop *l);
void sock_free_all(struct upstream_loop *l);

/* ---- One fetch ---- */

enum fetch_state { FETCH_UNUSED, FETCH_QUEUED, FETCH_RUNNING, FETCH_REJECTING };

enum origin_response_phase {
	ORIGIN_RESPONSE_STATUS, /* a status line must come */
	ORIGIN_RESPONSE_FIELDS,
	ORIGIN_RESPONSE_BODY,
};

enum { TODO_BEGIN = 1, TODO_RESUME = 2, TODO_DROP = 4, TODO_FAIL = 8, TODO_COMPLETE = 16, TODO_WITHHOLD = 32 };

struct origin_response { /* of the present attempt */
	enum origin_response_phase phase;
	unsigned line;    /* of the head, that came last; the status line is 1 */
	bool mid_line;    /* libcurl gave the first part of a field line to the body callback */
	bool is_bodiless; /* HEAD, 204, 304, Content-Length: 0 */
	bool is_chunked;
	bool needs_tls_end; /* only the close ends the body, and TLS must say that it is one */
	bool has_tls_end;   /* close_notify came */
	bool any_byte;
	unsigned informational;
	size_t informational_bytes, head_bytes;
	int64_t content_length; /* -1: not announced */
	bool has_h2_end;        /* END_STREAM came */
	uint64_t h2_bytes;      /* of content in the DATA frames so far */
	uint64_t body_bytes, wire_bytes;
	size_t skip; /* bytes of the buffer that libcurl will offer again which were taken before a pause */
	struct chunk_decoder chunks;
};

struct fetch {
	uint32_t magic;
	enum fetch_state state;
	struct upstream_loop *l;
	struct upstream *u;
	struct origin *o; /* of the present attempt; NULL before the first */
	struct link link; /* in one of u's lists */
	struct link todo_link;
	unsigned todo;

	struct fetch_handler handler;
	void *arg;

	CURL *easy; /* owned, kept between requests */
	bool in_multi, has_custom_method;
	bool is_paused;
	bool discards; /* ending: what libcurl still hands over is for nobody */

	enum http_method method;
	struct buf text; /* owned: method, target and field lines, each ended by NUL */
	size_t target_at, lines_at;
	struct curl_slist *lines; /* owned array of lines_cap; the lines themselves are in text */
	unsigned lines_n, lines_cap;
	struct slice body;
	size_t body_read;
	bool has_body, is_safe;
	bool is_alone;  /* its connection is for no other */
	unsigned asked; /* what its fields ask for: enum http_asked */
	bool uploads;   /* the body is read piece by piece */

	uint64_t hash;
	unsigned tried;    /* bits: origins that failed it */
	bool is_check;     /* a health check: pinned to its origin, outside of bounds and counters */
	bool is_trial;     /* of an origin that was left out */
	bool is_probe;     /* of an open breaker */
	bool told_to_wait; /* its origin asked to be left alone */
	bool has_entered;  /* counted in its origin's active */
	bool has_place;    /* of max_connections */
	unsigned retries_left;
	bool fresh;     /* this attempt must not use a pooled connection */
	bool met_stale; /* this attempt ended because its pooled connection was stale */
	bool is_h2;     /* what the connection speaks */
	bool reused;
	bool is_looking_up; /* libcurl has begun to look a name up in this attempt; NAMELOOKUP_TIME says when that ended */
	unsigned prepared; /* times that libcurl was about to send the request in this attempt */
	bool was_sent;     /* in any attempt, as far as is known */
	int opened[OPENED_MAX];
	unsigned opened_n;
	int sock_fd;
	uint64_t sock_serial;

	bool has_verdict; /* decided by ourselves; libcurl's own result does not count then */
	enum fetch_result verdict;
	const char *verdict_detail;
	enum fetch_cause cause;     /* of the verdict, or of what ended it; NONE: not known yet */
	char why[FETCH_DETAIL_MAX]; /* a detail that had to be composed */
	char id[FETCH_ID_MAX + 1];
	bool is_traced;
	char address_ip[ADDRESS_MAX]; /* of this attempt's connection, or of the last that was tried; empty: none */
	int address_port;
	struct origin_response response;
	struct http_response_head head;

	struct event timer;
	int64_t deadline_ms, armed_ms; /* CLOCK_MONOTONIC; 0: none. armed_ms may be the earlier one */

	bool forgets_name;      /* the easy handle is told to drop its origin's address */
	struct origin *applied; /* what the easy handle is set up for */
	int64_t started_us, begun_us, first_byte_us;
	char error[CURL_ERROR_SIZE];
};

/* Out of one of u's lists; NULL: it is empty. */
static inline struct fetch *fetch_take_first(struct link *list)
{
	struct link *first = link_take_first(list);

	return first ? CONTAINER_OF(first, struct fetch, link) : NULL;
}

/* ---- Where requests go, and the loop ---- */

struct origin { /* one URL */
	struct upstream *u;
	struct origin_state *state;
	CURLU *url;
	struct slice text;
	struct curl_slist forget;   /* has libcurl drop the name's address; its data is owned */
	bool forgets_name;          /* the next request has it do so */
	bool is_https, knows_http1; /* a connection of ours settled on HTTP/1.1: no use to wait for multiplexing */
	struct fetch *check;        /* under way; or NULL */
	struct event check_timer;   /* that check's time is up */
	int check_status;           /* 0: no head yet */
	size_t check_bytes;
};

struct upstream { /* one [upstream]: its bounds, its queue, its origins */
	const struct upstream_options *options;
	struct upstream_loop *l;
	struct upstream_state *state;
	struct origin *origins; /* owned */
	unsigned origins_n;
	char *tls_ca;
	struct event checks; /* due every so often */
	unsigned share;      /* of max_connections, at least 1: what is kept for reuse, fetches and connections */
	unsigned queued, unused_n;
	struct places_waiter waiter;                  /* for the queue */
	struct link running, queue, withheld, unused; /* of fetches */
	unsigned lookups_given_up;                    /* since lookups_from_ms */
	int64_t lookups_from_ms;
	struct upstream_counts *counts; /* a reference */
	struct upstream_stats *stats;   /* in them */
};

/* Counters of an upstream, by name, which outlive the loop: the next one's upstream goes on with them, and fetches that still run on
 * the old loop count there, too. The loops' thread only. */
struct upstream_counts {
	unsigned refs;
	struct upstream_stats stats; /* its gauges as well */
};

/* What the files below fetch.c have it do. */
struct fetch_steps {
	void (*attempt)(struct fetch *f); /* begins one */
	void (*done)(struct fetch *f, CURLcode code);
	void (*todo)(struct fetch *f); /* what was posted for it */
	event_callback_fn timer;       /* its argument is the fetch */
};

struct upstream_loop {
	const struct fetch_steps *steps;
	struct event_base *base;
	CURLM *multi;
	CURLSH *tls_sessions;
	struct event timer, kick;
	bool in_curl; /* libcurl is on the stack: its multi interface must not be entered again */
	struct link todo;
	struct upstream *upstreams;
	unsigned upstreams_n;
	struct mailbox mailbox; /* other loops give places */
	struct event *mail;     /* NULL: there is no mailbox yet */
	size_t max_head_bytes;
	struct sock **socks; /* by descriptor */
	size_t socks_n;
	struct sock *by_port[PORT_BUCKETS];
	uint64_t next_serial;
};

/* dispatch.c: a fetch that is given up may leave a thread behind that still waits for DNS. */
void dispatch_record_lookup(struct fetch *f);

/* upstream.c */
/* `before` is as of struct upstream_loop_options. */
int upstream_init(struct upstream *u, struct upstream_loop *l, const struct upstream_options *options, unsigned loops,
	const struct upstream_loop *before) WARN_UNUSED;
void upstream_fini(struct upstream *u);
/* A fetch with an easy handle set up for this upstream, from the unused ones or new; NULL: out of memory. */
struct fetch *upstream_take_fetch(struct upstream *u);
void upstream_release_fetch(struct fetch *f);

/* origin.c */
int origin_init(struct origin *o, struct upstream *u, struct slice url) WARN_UNUSED;
void origin_fini(struct origin *o);
/* The easy handle goes to this origin from now on. 0 or -ENOMEM. */
int origin_apply(struct fetch *f) WARN_UNUSED;
/* CURLOPT_HTTP_VERSION of what shares its connections. */
long origin_http_version(const struct origin *o);

/* The address of its name is looked up anew for the next attempt. After an attempt
 * without a byte of a response, and after a reload. */
void origin_forget_name(struct origin *o);

/* dispatch.c: whether a fetch may go, when, and to which origin */
/* A new fetch: begun, queued or withheld. */
void dispatch_take(struct fetch *f);
/* Starts it at an origin, or withholds it. */
void dispatch_begin(struct fetch *f);
/* It needs no place any more. */
void dispatch_leave_place(struct fetch *f);
/* Begins what is queued, as far as there are places. */
void dispatch_run_queue(struct upstream *u);
/* on_message of its waiter: a place was given. */
void dispatch_on_place(struct message *m);
/* This attempt failed: where it may, the next goes to another origin. False: there is none, f stays where it is. */
bool dispatch_move_on(struct fetch *f, bool may);
/* The attempt is over. */
void dispatch_leave_origin(struct fetch *f);
/* Notes in the origin's and the upstream's state how the fetch ended. */
void dispatch_record_outcome(struct fetch *f, enum fetch_result result);
/* Counts a final response, and notes what its head says of the upstream: Retry-After, RateLimit. */
void dispatch_record_head(struct fetch *f, int status, const struct http_fields *fields);

/* check.c: active health checks */
int check_start(struct upstream *u) WARN_UNUSED;
void check_stop(struct upstream *u);

/* result.c */
void result_count(struct upstream_stats *s, enum fetch_result result);
/* It ends with this, whatever libcurl says; the first verdict counts. */
void result_judge(struct fetch *f, enum fetch_result verdict, enum fetch_cause cause, const char *detail);
/* What libcurl's word for the end of an attempt, which came to `result`, was caused by. */
enum fetch_cause result_cause(const struct fetch *f, enum fetch_result result, CURLcode code);

/* report.c */
/* What it does, in the log, where its request is traced. */
void report_step(const struct fetch *f, const char *step);
/* An attempt failed: its origin's last error. */
void report_attempt(struct fetch *f, const char *detail);
/* And so did the fetch: a line in the log, at most one a second for the upstream and the cause. */
void report_failure(const struct fetch *f, enum fetch_result result, const char *detail);

/* request.c */
int request_copy(struct fetch *f, const struct fetch_request *r) WARN_UNUSED;
/* Sets the easy handle up for one attempt. */
int request_apply(struct fetch *f) WARN_UNUSED;
size_t request_on_read(char *p, size_t size, size_t n, void *arg);

/* origin_response.c */
void origin_response_reset(struct fetch *f);
size_t origin_response_on_header(char *p, size_t size, size_t n, void *arg);
size_t origin_response_on_body(char *p, size_t size, size_t n, void *arg);
/* What the transfer's end amounts to. */
enum fetch_result origin_response_result(struct fetch *f, CURLcode code, const char **detail);
bool origin_response_is_framed(const struct fetch *f);
/* A frame of its HTTP/2 stream, with so many bytes of content, before libcurl sees it. */
void origin_response_on_frame(struct fetch *f, size_t content_bytes, bool ends_stream);

/* h2.c: any thread. Do frames pass by us? Else no HTTP/2 response without a length could be told from half of one. */
bool h2_sees_frames(void);

/* connection.c */
int connection_on_request(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port);
curl_socket_t connection_on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address);
/* While libcurl still has the connection: has TLS ended as it should? */
int connection_on_progress(void *arg, curl_off_t down_max, curl_off_t down, curl_off_t up_max, curl_off_t up);
int connection_on_close(void *arg, curl_socket_t fd);
void connection_check_excess(struct fetch *f);
/* Its handle leaves libcurl's multi handle. */
void connection_leave(struct fetch *f);
/* The socket that f used last, or NULL when it is closed. */
struct sock *connection_sock(const struct fetch *f);

/* fetch.c */
/* As fetch_start, to that origin and past all bounds: for health checks. */
int fetch_start_check(struct origin *o, const struct fetch_request *r, const struct fetch_handler *h, void *arg,
	struct fetch **out) WARN_UNUSED;
extern const struct fetch_steps fetch_steps;

/* deadline.c */
void deadline_set(struct fetch *f, int64_t ms); /* from now; 0: none */
void deadline_stop(struct fetch *f);
bool deadline_has_passed(struct fetch *f); /* when its timer fires, which may be too early */

/* todo.c */
void todo_post(struct fetch *f, unsigned todo);
void todo_unpost(struct fetch *f);
void todo_settle(struct upstream_loop *l);

#endif
