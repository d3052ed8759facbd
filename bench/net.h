/* SPDX-License-Identifier: MIT */
/* What the programs of the benchmark share: sockets of this machine, an epoll, the end of a response. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline void fail(const char *what)
{
	perror(what);
	exit(1);
}

static inline int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline struct sockaddr_in here(const char *port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((unsigned short)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void without_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static inline int listen_on(const char *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	struct sockaddr_in at = here(port);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
		fail("listen");
	return fd;
}

static inline int connect_to(const char *port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = here(port);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail("connect");
	without_delay(fd);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static inline void watch(int loop_fd, int fd, epoll_data_t data)
{
	struct epoll_event e = {.events = EPOLLIN, .data = data};

	if (epoll_ctl(loop_fd, EPOLL_CTL_ADD, fd, &e) != 0)
		fail("epoll_ctl");
}

/* Bytes of the whole response that begins at this text, or 0 while its head is not complete. */
static inline size_t response_length(const char *text)
{
	static const char name[] = "content-length:";
	const char *end = strstr(text, "\r\n\r\n"), *length = end ? strcasestr(text, name) : NULL;

	if (!end)
		return 0;
	return (size_t)(end + 4 - text) + (length && length < end ? strtoul(length + sizeof(name) - 1, NULL, 10) : 0);
}

static inline int is_ok(const char *response)
{
	return strncmp(response, "HTTP/1.1 200", 12) == 0;
}

#endif
