/* SPDX-License-Identifier: MIT */
/* The descriptors behind libcurl's handles. An established connection's read event stays registered while it idles in the
 * pool: the next request finds it in place (no epoll_ctl), and what arrives meanwhile proves the connection stale. */
#include <errno.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "upstream/internal.h"

struct sock *sock_get(struct upstream_loop *l, int fd)
{
	return fd >= 0 && (size_t)fd < l->socks_n ? l->socks[fd] : NULL;
}

static void unregister(struct sock *s)
{
	if (s->registered != 0)
		event_del(&s->ev);
	s->registered = 0;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct sock *s = arg;
	struct upstream_loop *l = s->l;
	int running, bits = ((what & EV_READ) ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0);

	if (s->wanted == 0) { /* paused, or idle: then these are bytes or EOF that nobody asked for */
		s->stale |= !s->in_use;
		unregister(s);
		return;
	}
	l->in_curl = true;
	curl_multi_socket_action(l->multi, fd, bits, &running);
	l->in_curl = false;
	todo_settle(l);
}

static int grow(struct upstream_loop *l, int fd)
{
	size_t n = l->socks_n == 0 ? 64 : l->socks_n;
	struct sock **socks;

	while (n <= (size_t)fd)
		n *= 2;
	if (n == l->socks_n)
		return 0;
	socks = mem_realloc(l->socks, n * sizeof(struct sock *));
	if (!socks)
		return -ENOMEM;
	memset(socks + l->socks_n, 0, (n - l->socks_n) * sizeof(struct sock *));
	l->socks = socks;
	l->socks_n = n;
	return 0;
}

static struct sock *sock_new(struct upstream_loop *l, int fd)
{
	struct sock *s;

	if (grow(l, fd) < 0)
		return NULL;
	s = mem_zalloc(sizeof(*s));
	if (!s)
		return NULL;
	s->l = l;
	s->fd = fd;
	s->serial = ++l->next_serial;
	l->socks[fd] = s;
	return s;
}

static struct sock **bucket_of(struct upstream_loop *l, long local_port)
{
	return &l->by_port[(unsigned long)local_port % PORT_BUCKETS];
}

static void sock_free(struct sock *s)
{
	struct sock **at;

	unregister(s);
	for (at = bucket_of(s->l, s->local_port); *at; at = &(*at)->port_next) {
		if (*at == s) {
			*at = s->port_next;
			break;
		}
	}
	s->l->socks[s->fd] = NULL;
	mem_free(s);
}

static int set_registered(struct sock *s, short what)
{
	if (s->registered == what)
		return 0;
	unregister(s);
	if (what == 0)
		return 0;
	event_assign(&s->ev, s->l->base, s->fd, what | EV_PERSIST, on_event, s);
	if (event_add(&s->ev, NULL) < 0)
		return -ENOMEM;
	s->registered = what;
	return 0;
}

/* libcurl closes the loser of two connection attempts without a word, and may get the same number for its next socket
 * while it believes that we watch it still: what was wanted of the old one is then wanted of the new. */
int sock_open(struct fetch *f, const struct curl_sockaddr *address)
{
	struct upstream_loop *l = f->l;
	short wanted = 0;
	struct sock *s;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol), err;

	if (fd < 0)
		return -errno;
	s = sock_get(l, fd);
	if (s) {
		wanted = s->wanted;
		sock_free(s);
	}
	s = sock_new(l, fd);
	if (s)
		s->is_connection = true;
	err = s ? sock_want(l, fd, wanted) : -ENOMEM;
	if (err) {
		sock_close(l, fd);
		return err;
	}
	if (f->opened_n < OPENED_MAX)
		f->opened[f->opened_n++] = fd;
	return fd;
}

int sock_close(struct upstream_loop *l, int fd)
{
	struct sock *s = sock_get(l, fd);

	if (s)
		sock_free(s);
	return close(fd);
}

int sock_want(struct upstream_loop *l, int fd, short wanted)
{
	struct sock *s = sock_get(l, fd);

	if (!s) {
		if (wanted == 0)
			return 0;
		s = sock_new(l, fd);
		if (!s)
			return -ENOMEM;
	}
	s->wanted = wanted;
	if (wanted != 0)
		return set_registered(s, wanted);
	if (s->established && s->registered == EV_READ)
		return 0;
	unregister(s);
	if (!s->is_connection)
		sock_free(s);
	return 0;
}

static bool has_address(const struct sock *s, const struct sock_address *a)
{
	return s->established && s->local_port == a->local_port && s->peer_port == a->peer_port &&
	       strcmp(s->local_ip, a->local_ip) == 0 && strcmp(s->peer_ip, a->peer_ip) == 0;
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool has_port(const union address *a, long port)
{
	return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port) == port;
}

/* Of the sockets that f opened, is it the one that got connected? */
static bool is_winner(int fd, const struct sock_address *a)
{
	union address local = {.v6 = {0}}, peer = {.v6 = {0}};
	socklen_t local_n = sizeof(local), peer_n = sizeof(peer);

	if (getsockname(fd, &local.any, &local_n) < 0 || getpeername(fd, &peer.any, &peer_n) < 0)
		return false;
	return has_port(&local, a->local_port) && has_port(&peer, a->peer_port) &&
	       (local.any.sa_family == AF_INET6) == (strchr(a->local_ip, ':') != NULL);
}

static void establish(struct sock *s, const struct sock_address *a)
{
	struct sock **bucket = bucket_of(s->l, a->local_port);

	s->established = true;
	s->local_port = a->local_port;
	s->peer_port = a->peer_port;
	strncpy(s->local_ip, a->local_ip, ADDRESS_MAX - 1);
	strncpy(s->peer_ip, a->peer_ip, ADDRESS_MAX - 1);
	s->port_next = *bucket;
	*bucket = s;
}

struct sock *sock_identify(struct fetch *f, const struct sock_address *address)
{
	struct upstream_loop *l = f->l;
	struct sock *s;

	for (unsigned i = 0; i < f->opened_n; i++) {
		s = sock_get(l, f->opened[i]);
		if (s && s->is_connection && !s->established && is_winner(s->fd, address)) {
			establish(s, address);
			return s;
		}
	}
	for (s = *bucket_of(l, address->local_port); s; s = s->port_next) {
		if (has_address(s, address))
			return s;
	}
	return NULL;
}

bool sock_has_unread(const struct sock *s)
{
	char byte;
	ssize_t n = recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool sock_has_excess(const struct sock *s)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);

	if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 ||
		n < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
		return false;
	return info.tcpi_bytes_received > s->wire_bytes;
}

void sock_retire_all(struct upstream_loop *l)
{
	for (size_t fd = 0; fd < l->socks_n; fd++)
		if (l->socks[fd] && l->socks[fd]->established)
			l->socks[fd]->stale = true;
}

void sock_free_all(struct upstream_loop *l)
{
	for (size_t fd = 0; fd < l->socks_n; fd++) {
		if (l->socks[fd])
			sock_free(l->socks[fd]);
	}
	mem_free(l->socks);
	l->socks = NULL;
	l->socks_n = 0;
}
