/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

static void *run_conn(void *arg)
{
	struct conn *c = arg;

	c->server->script(c);
	shutdown(c->fd, SHUT_RDWR);
	return NULL;
}

static void *run_acceptor(void *arg)
{
	struct server *s = arg;
	int fd, one = 1;

	while ((fd = accept(s->listen_fd, NULL, NULL)) >= 0) {
		unsigned i = atomic_load(&s->accepted);
		struct conn *c = calloc(1, sizeof(*c));

		CHECK(c && i < SERVER_CONNECTIONS_MAX);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->server = s;
		c->fd = fd;
		c->index = i;
		s->conns[i] = c;
		atomic_store(&s->accepted, i + 1);
		CHECK(pthread_create(&c->thread, NULL, run_conn, c) == 0);
	}
	return NULL;
}

void server_start(struct server *s, script_fn *script)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	memset(s, 0, sizeof(*s));
	s->script = script;
	pthread_mutex_init(&s->mu, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(s->listen_fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(s->listen_fd, 64) == 0);
	CHECK(getsockname(s->listen_fd, (struct sockaddr *)&a, &n) == 0);
	s->port = ntohs(a.sin_port);
	CHECK(pthread_create(&s->acceptor, NULL, run_acceptor, s) == 0);
}

void server_stop(struct server *s)
{
	shutdown(s->listen_fd, SHUT_RDWR);
	pthread_join(s->acceptor, NULL);
	close(s->listen_fd);
	for (unsigned i = 0; i < atomic_load(&s->accepted); i++) {
		shutdown(s->conns[i]->fd, SHUT_RDWR);
		pthread_join(s->conns[i]->thread, NULL);
		close(s->conns[i]->fd);
		free(s->conns[i]);
	}
	pthread_mutex_destroy(&s->mu);
	pthread_cond_destroy(&s->changed);
}

void server_raise(struct server *s, unsigned flag)
{
	pthread_mutex_lock(&s->mu);
	s->flags |= flag;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
}

bool server_wait(struct server *s, unsigned flag)
{
	struct timespec until;
	bool raised;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&s->mu);
	while (!(s->flags & flag) && rc == 0)
		rc = pthread_cond_timedwait(&s->changed, &s->mu, &until);
	raised = (s->flags & flag) != 0;
	pthread_mutex_unlock(&s->mu);
	return raised;
}

static size_t body_length(const struct conn *c)
{
	const char *p = strcasestr(c->bytes, "\r\nContent-Length:");

	return p && p < c->bytes + c->head_n ? strtoul(p + 17, NULL, 10) : 0;
}

/* Bodies past the buffer are read and dropped. */
static bool read_body(struct conn *c)
{
	size_t left = body_length(c), have = c->n - c->head_n;
	char dump[4096];

	while (have < left) {
		bool fits = c->n + 1 < sizeof(c->bytes);
		size_t room = fits ? sizeof(c->bytes) - 1 - c->n : sizeof(dump);
		ssize_t n = recv(c->fd, fits ? c->bytes + c->n : dump, room, 0);

		if (n <= 0)
			return false;
		have += (size_t)n;
		if (fits)
			c->n += (size_t)n;
	}
	c->bytes[c->n] = '\0';
	return true;
}

bool server_was_asked(struct server *s, const char *beginning)
{
	bool was_asked;

	pthread_mutex_lock(&s->mu);
	was_asked = strncmp(s->last, beginning, strlen(beginning)) == 0;
	pthread_mutex_unlock(&s->mu);
	return was_asked;
}

bool conn_read(struct conn *c)
{
	char *end;

	c->n = 0;
	do {
		ssize_t n = recv(c->fd, c->bytes + c->n, sizeof(c->bytes) - 1 - c->n, 0);

		if (n <= 0)
			return false;
		c->n += (size_t)n;
		c->bytes[c->n] = '\0';
		end = strstr(c->bytes, "\r\n\r\n");
	} while (!end);
	c->head_n = (size_t)(end - c->bytes) + 4;
	if (!read_body(c))
		return false;
	pthread_mutex_lock(&c->server->mu);
	memcpy(c->server->last, c->bytes, c->n + 1);
	pthread_mutex_unlock(&c->server->mu);
	atomic_fetch_add(&c->server->requests, 1);
	return true;
}

void conn_send_n(struct conn *c, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		p += sent;
		n -= (size_t)sent;
	}
}

void conn_send(struct conn *c, const char *text)
{
	conn_send_n(c, text, strlen(text));
}

void conn_wait_eof(struct conn *c)
{
	char dump[4096];

	while (recv(c->fd, dump, sizeof(dump), 0) > 0)
		;
}

/* Disconnecting a TCP socket resets it, and keeps the descriptor ours. */
void conn_reset(struct conn *c)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct linger linger = {1, 0};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	connect(c->fd, &none, sizeof(none));
}
