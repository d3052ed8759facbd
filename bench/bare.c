/* SPDX-License-Identifier: MIT */
/* The limit that a hit is measured against: one thread, one epoll, a recv and a send a request, and a response that was
 * made before the first request came. It knows no HTTP beyond the end of a head.
 *
 *     bare PORT BODY_BYTES [FIELD]
 *
 * FIELD, a whole line, stands in place of Last-Modified and Cache-Control.
 * Bounds: CONNECTIONS_MAX descriptors; a head of at most HEAD_MAX bytes. */
#include "net.h"

#include <errno.h>
#include <sys/resource.h>

#define LIFETIME "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nCache-Control: max-age=86400"

enum { CONNECTIONS_MAX = 65536, HEAD_MAX = 4096, EVENTS_MAX = 64 };

/* What a connection still has to get, when the socket's buffer was full. */
struct connection {
	size_t left; /* bytes of the responses under way; the last one ends at the response's end */
};

static struct connection connections[CONNECTIONS_MAX];
static char *response;
static size_t response_n;
static int loop_fd;

static void make_response(size_t body_n, const char *field)
{
	/* As long as what a proxy answers, so that the kernel has the same work. */
	static const char head[] = "HTTP/1.1 200 OK\r\n"
				   "Server: bare\r\n"
				   "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
				   "Content-Type: application/octet-stream\r\n"
				   "%s\r\n"
				   "Via: 1.1 bare\r\n"
				   "Age: 1\r\n"
				   "Cache-Status: bare; hit; ttl=86399\r\n"
				   "Content-Length: %zu\r\n\r\n";
	size_t room = sizeof(head) + strlen(field) + 32 + body_n;

	response = malloc(room);
	if (!response)
		fail("malloc");
	response_n = (size_t)snprintf(response, room, head, field, body_n);
	memset(response + response_n, 'x', body_n);
	response_n += body_n;
}

static void wait_for(int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (epoll_ctl(loop_fd, EPOLL_CTL_MOD, fd, &e) != 0)
		fail("epoll_ctl");
}

static void on_connection(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (fd >= CONNECTIONS_MAX) {
		close(fd);
		return;
	}
	without_delay(fd);
	connections[fd].left = 0;
	watch(loop_fd, fd, (epoll_data_t){.fd = fd});
}

/* True: all is written. */
static int write_left(int fd)
{
	struct connection *c = &connections[fd];

	while (c->left > 0) {
		size_t in_last = (c->left - 1) % response_n + 1;
		ssize_t n = send(fd, response + response_n - in_last, in_last, MSG_NOSIGNAL);

		if (n <= 0)
			return 0;
		c->left -= (size_t)n;
	}
	return 1;
}

static size_t heads_in(const char *p, size_t n)
{
	size_t heads = 0;

	for (const char *end = p + n; (p = memmem(p, (size_t)(end - p), "\r\n\r\n", 4)); p += 4)
		heads++;
	return heads;
}

static void on_readable(int fd)
{
	char head[HEAD_MAX];
	ssize_t n = recv(fd, head, sizeof(head), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(fd);
		return;
	}
	connections[fd].left += heads_in(head, (size_t)n) * response_n;
	if (!write_left(fd))
		wait_for(fd, EPOLLOUT);
}

static void on_writable(int fd)
{
	if (write_left(fd))
		wait_for(fd, EPOLLIN);
	else if (errno != EAGAIN)
		close(fd);
}

static void raise_files_limit(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int listen_fd;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "bare PORT BODY_BYTES [FIELD]\n");
		return 2;
	}
	raise_files_limit();
	make_response(strtoul(argv[2], NULL, 10), argc > 3 ? argv[3] : LIFETIME);
	loop_fd = epoll_create1(0);
	listen_fd = listen_on(argv[1]);
	watch(loop_fd, listen_fd, (epoll_data_t){.fd = listen_fd});
	for (;;) {
		int n = epoll_wait(loop_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listen_fd)
				on_connection(listen_fd);
			else if (events[i].events & EPOLLOUT)
				on_writable(events[i].data.fd);
			else
				on_readable(events[i].data.fd);
		}
	}
}
