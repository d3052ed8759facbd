/* SPDX-License-Identifier: MIT */
/* Many clients at once: N connections are made, then all ask for the same, then each reads its response to the end.
 *
 *     herd PORT TARGET N
 *
 * prints, in seconds since the first request was sent: when the last request was sent, when the first response was whole,
 * when the last one was; and the CPU seconds that this program took for sending and reading.
 * A response other than 200, or none in PATIENCE_S, is a failure.
 * Bounds: CONNECTIONS_MAX; a response of at most RESPONSE_MAX bytes. */
#include "net.h"

enum { CONNECTIONS_MAX = 20000, RESPONSE_MAX = 4096, EVENTS_MAX = 256, PATIENCE_S = 60 };

struct client {
	int fd;
	size_t got;
	char response[RESPONSE_MAX];
};

static struct client clients[CONNECTIONS_MAX];

static void send_all(size_t n, const char *target, const char *port)
{
	char request[1024];
	size_t request_n = (size_t)snprintf(
		request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", target, port);

	for (size_t i = 0; i < n; i++)
		if (send(clients[i].fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
			fail("send");
}

/* 1: the response is whole. */
static size_t take_bytes(struct client *c)
{
	ssize_t n = recv(c->fd, c->response + c->got, RESPONSE_MAX - 1 - c->got, 0);
	size_t whole;

	if (n <= 0)
		fail("herd: an answer broke off");
	c->got += (size_t)n;
	c->response[c->got] = '\0';
	whole = response_length(c->response);
	if (whole == 0 || c->got < whole)
		return 0;
	if (is_ok(c->response))
		return 1;
	fprintf(stderr, "herd: %.60s\n", c->response);
	exit(1);
}

/* Returns when the first response was whole. */
static int64_t take_all(int loop_fd, size_t n)
{
	struct epoll_event events[EVENTS_MAX];
	int64_t first_ns = 0;

	for (size_t done = 0; done < n;) {
		int ready = epoll_wait(loop_fd, events, EVENTS_MAX, PATIENCE_S * 1000);

		if (ready <= 0)
			fail("herd: no answer");
		for (int i = 0; i < ready; i++)
			done += take_bytes(events[i].data.ptr);
		if (first_ns == 0 && done > 0)
			first_ns = now_ns(CLOCK_MONOTONIC);
	}
	return first_ns;
}

int main(int argc, char **argv)
{
	int loop_fd = epoll_create1(0);
	int64_t start, sent, first, cpu;
	size_t n;

	if (argc != 4 || (n = strtoul(argv[3], NULL, 10)) > CONNECTIONS_MAX) {
		fprintf(stderr, "herd PORT TARGET N\n");
		return 2;
	}
	for (size_t i = 0; i < n; i++) {
		clients[i].fd = connect_to(argv[1]);
		watch(loop_fd, clients[i].fd, (epoll_data_t){.ptr = &clients[i]});
	}
	start = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	send_all(n, argv[2], argv[1]);
	sent = now_ns(CLOCK_MONOTONIC);
	first = take_all(loop_fd, n);
	printf("%.4f %.4f %.4f %.4f\n", (double)(sent - start) / 1e9, (double)(first - start) / 1e9,
		(double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9,
		(double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9);
	return 0;
}
