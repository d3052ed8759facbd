/* SPDX-License-Identifier: MIT */
/* An origin that says exactly what a test tells it to: a listening socket and a thread a connection.
 * Thread: server_* from the test's; conn_* from the script's. */
#ifndef TESTS_UPSTREAM_SERVER_H
#define TESTS_UPSTREAM_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { SERVER_CONNECTIONS_MAX = 64, CONN_BYTES_MAX = 65536 };

struct server;

struct conn {
	struct server *server;
	int fd;
	unsigned index; /* 0: the first that was accepted */
	pthread_t thread;
	char bytes[CONN_BYTES_MAX]; /* the last request read: head, then body; NUL-terminated */
	size_t n, head_n;
};

typedef void script_fn(struct conn *c);

struct server {
	int listen_fd, port;
	script_fn *script;
	pthread_t acceptor;
	struct conn *conns[SERVER_CONNECTIONS_MAX];
	atomic_uint accepted, requests;
	pthread_mutex_t mu;
	pthread_cond_t changed;
	unsigned flags;            /* guarded by mu: what server_raise was given */
	char last[CONN_BYTES_MAX]; /* guarded by mu: the request that was read last */
};

void server_start(struct server *s, script_fn *script);
void server_stop(struct server *s);
/* Events between the test's thread and scripts; waits give up after 10 s. */
void server_raise(struct server *s, unsigned flag);
bool server_wait(struct server *s, unsigned flag);

/* Does the request that was read last begin so? Also while more come. */
bool server_was_asked(struct server *s, const char *beginning);

/* Reads one request with its Content-Length body; false at EOF. */
bool conn_read(struct conn *c);
void conn_send(struct conn *c, const char *text);
void conn_send_n(struct conn *c, const char *p, size_t n);
/* Until the peer closes. */
void conn_wait_eof(struct conn *c);
/* Ends with a reset. */
void conn_reset(struct conn *c);

#endif
