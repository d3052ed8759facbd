/* What the files of upstream/ share; nobody else includes it.
 * Thread: the loop's. Owns: see each struct. Bounds: as fetch.h says. */
#ifndef UPSTREAM_INTERNAL_H
#define UPSTREAM_INTERNAL_H

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "upstream/chunked.h"
#include "upstream/fetch.h"

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
	uint64_t wire_bytes; /* of answers, as received; HTTP/1 without TLS */
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
/* Socket made for `f`; -1 on failure. */
int sock_open(struct fetch *f, const struct curl_sockaddr *address);
int sock_close(struct upstream_loop *l, int fd);
/* libcurl wants EV_READ / EV_WRITE of it, or 0: nothing any more. 0 or -ENOMEM. */
int sock_want(struct upstream_loop *l, int fd, short wanted) WARN_UNUSED;
/* The connection that f is about to use; on a new one, gives it its address. NULL if it can't be told. */
struct sock *sock_identify(struct fetch *f, const struct sock_address *address);
/* Is there anything to read, bytes or EOF, before a request was sent? */
bool sock_has_unread(const struct sock *s);
/* More received than the answers so far account for? (RFC 9112 6.3: such bytes must not become an answer.) */
bool sock_has_excess(const struct sock *s);
void sock_free_all(struct upstream_loop *l);

/* ---- One fetch ---- */

TAILQ_HEAD(fetch_list, fetch);

enum fetch_state { FETCH_UNUSED, FETCH_QUEUED, FETCH_RUNNING };

enum answer_phase {
	ANSWER_STATUS, /* a status line must come */
	ANSWER_FIELDS,
	ANSWER_BODY,
};

enum { TODO_BEGIN = 1, TODO_RESUME = 2, TODO_DROP = 4, TODO_FAIL = 8, TODO_COMPLETE = 16 };

struct answer { /* of the present attempt */
	enum answer_phase phase;
	bool mid_line;    /* libcurl gave the first part of a field line to the body callback */
	bool is_bodiless; /* HEAD, 204, 304, Content-Length: 0 */
	bool is_chunked;
	bool needs_tls_end; /* only the close ends the body, and TLS must say that it is one */
	bool has_tls_end;   /* close_notify came */
	bool any_byte;
	unsigned informational;
	size_t informational_bytes, head_bytes;
	int64_t content_length; /* -1: not announced */
	uint64_t body_bytes, wire_bytes;
	size_t skip; /* bytes of the buffer that libcurl will offer again which were taken before a pause */
	struct chunk_decoder chunks;
};

struct fetch {
	uint32_t magic;
	enum fetch_state state;
	struct upstream_loop *l;
	struct origin *o;
	TAILQ_ENTRY(fetch) link; /* in o->queue, o->running or o->unused */
	TAILQ_ENTRY(fetch) todo_link;
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
	bool uploads; /* the body is read piece by piece */

	unsigned retries_left;
	bool fresh;     /* this attempt must not use a pooled connection */
	bool met_stale; /* this attempt ended because its pooled connection was stale */
	bool is_h2;     /* what the connection speaks */
	bool reused;
	unsigned prepared; /* times that libcurl was about to send the request in this attempt */
	int opened[OPENED_MAX];
	unsigned opened_n;
	int sock_fd;
	uint64_t sock_serial;

	bool has_verdict; /* decided by ourselves; libcurl's own result does not count then */
	enum fetch_result verdict;
	const char *verdict_detail;
	struct answer answer;
	struct http_response_head head;

	struct event timer;
	int64_t deadline_ms, armed_ms; /* CLOCK_MONOTONIC; 0: none. armed_ms may be the earlier one */

	int64_t started_us, begun_us, connected_us, first_byte_us, ended_us;
	char error[CURL_ERROR_SIZE];
};

/* ---- Where requests go, and the loop ---- */

struct origin {
	const struct upstream_options *options;
	struct upstream_loop *l;
	CURLU *url;
	char *tls_ca;
	bool is_https, knows_http1; /* a connection of ours settled on HTTP/1.1: no use to wait for multiplexing */
	unsigned share;             /* of max_connections */
	unsigned active, queued, unused_n;
	struct fetch_list running, queue, unused;
	struct upstream_stats stats;
};

struct upstream_loop {
	struct event_base *base;
	CURLM *multi;
	CURLSH *tls_sessions;
	struct event timer, kick;
	bool in_curl; /* libcurl is on the stack: its multi interface must not be entered again */
	struct fetch_list todo;
	struct origin *origins;
	unsigned origins_n;
	size_t max_head_bytes;
	struct sock **socks; /* by descriptor */
	size_t socks_n;
	struct sock *by_port[PORT_BUCKETS];
	uint64_t next_serial;
};

/* origin.c */
int origin_init(
	struct origin *o, struct upstream_loop *l, const struct upstream_options *options, unsigned loops) WARN_UNUSED;
void origin_fini(struct origin *o);
/* Where this request goes. The one place to look at several URLs and their health, once there are any. */
struct origin *origin_choose(struct upstream_loop *l, const struct fetch_request *r);
/* A fetch with an easy handle set up for this origin, from the unused ones or new; NULL: out of memory. */
struct fetch *origin_take_fetch(struct origin *o);
void origin_release_fetch(struct fetch *f);
int64_t upstream_now_ms(void);

/* request.c */
int request_copy(struct fetch *f, const struct fetch_request *r) WARN_UNUSED;
/* Sets the easy handle up for one attempt. */
int request_apply(struct fetch *f) WARN_UNUSED;
size_t request_on_read(char *p, size_t size, size_t n, void *arg);

/* answer.c */
void answer_reset(struct fetch *f);
size_t answer_on_header(char *p, size_t size, size_t n, void *arg);
size_t answer_on_body(char *p, size_t size, size_t n, void *arg);
/* What the transfer's end amounts to. */
enum fetch_result answer_result(struct fetch *f, CURLcode code, const char **detail);
bool answer_is_framed(const struct fetch *f);

/* connection.c */
int connection_on_request(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port);
curl_socket_t connection_on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address);
/* While libcurl still has the connection: has TLS ended as it should? */
int connection_on_progress(void *arg, curl_off_t down_max, curl_off_t down, curl_off_t up_max, curl_off_t up);
int connection_on_close(void *arg, curl_socket_t fd);
void connection_check_excess(struct fetch *f);
/* The socket that f used last, or NULL when it is closed. */
struct sock *connection_sock(const struct fetch *f);

/* fetch.c */
void fetch_judge(struct fetch *f, enum fetch_result verdict, const char *detail);
void fetch_set_deadline(struct fetch *f, int64_t ms); /* from now; 0: none */
void fetch_on_timer(evutil_socket_t fd, short what, void *arg);
void fetch_on_done(struct fetch *f, CURLcode code);
void fetch_do_todo(struct fetch *f);
void fetch_leave_multi(struct fetch *f);

/* loop.c */
void loop_post(struct fetch *f, unsigned todo);
void loop_unpost(struct fetch *f);
void loop_settle(struct upstream_loop *l);

#endif
