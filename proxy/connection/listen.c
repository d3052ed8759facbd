/* SPDX-License-Identifier: MIT */
#include "proxy/connection/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static int bind_socket(const struct sockaddr *sa, socklen_t n, bool reuse_port, int *out)
{
	int one = 1, err;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sa->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (reuse_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, sa, n)) {
		err = -errno;
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

static int open_socket(const struct sockaddr *sa, socklen_t n, bool reuse_port, int *out)
{
	int fd = -1, err = bind_socket(sa, n, reuse_port, &fd);

	if (!err && listen(fd, BACKLOG)) {
		err = -errno;
		close(fd);
	}
	if (!err)
		*out = fd;
	return err;
}

int listen_open_one(const struct config_address *a, int *fd)
{
	return open_socket((const struct sockaddr *)&a->sa, a->sa_bytes, false, fd);
}

/* SO_REUSEPORT would let a second memoproxy take half of the first one's clients: ask without it first. It must not listen:
 * who connected in that moment would be reset. */
static int probe(const struct config_address *a)
{
	int fd = -1, err = bind_socket((const struct sockaddr *)&a->sa, a->sa_bytes, false, &fd);

	if (!err)
		close(fd);
	return err;
}

int listen_open(const struct config_address *a, unsigned n, int *fds)
{
	int err = probe(a);

	return err ? err : listen_open_beside(a, n, fds);
}

int listen_open_beside(const struct config_address *a, unsigned n, int *fds)
{
	struct sockaddr_storage sa = a->sa;
	socklen_t sa_bytes = a->sa_bytes;
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++) {
		err = open_socket((const struct sockaddr *)&sa, sa_bytes, true, &fds[i]);
		if (err) {
			while (i--)
				close(fds[i]);
			return err;
		}
		if (i == 0 && getsockname(fds[0], (struct sockaddr *)&sa, &sa_bytes)) /* port 0 is a number now */
			err = -errno;
	}
	return err;
}

void listen_name(int fd, char *out, size_t n)
{
	struct sockaddr_storage sa = {0};
	socklen_t sa_bytes = sizeof(sa);
	char host[INET6_ADDRSTRLEN], port[8];

	if (getsockname(fd, (struct sockaddr *)&sa, &sa_bytes) ||
		getnameinfo((struct sockaddr *)&sa, sa_bytes, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(out, n, "?");
	else
		snprintf(out, n, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}
