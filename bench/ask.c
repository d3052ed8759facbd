/* SPDX-License-Identifier: MIT */
/* Asks for keys one after the other: PREFIX1, PREFIX2 and so on, on several connections, each its next as soon as it has
 * a response.
 *
 *     ask PORT PREFIX FIRST N CONNECTIONS [SECONDS]
 *
 * prints: seconds, responses, and how many of them the server called a hit, and a hit of the disk tier. SECONDS ends it earlier.
 * A response other than 200, or of other than BODY_BYTES, is a failure.
 * Bounds: CONNECTIONS_MAX; a response of at most RESPONSE_MAX bytes. */
#include "net.h"

enum { CONNECTIONS_MAX = 1024, RESPONSE_MAX = 16384, EVENTS_MAX = 64, BODY_BYTES = 1024, PATIENCE_MS = 30000 };

struct connection {
	int fd;
	size_t got;
	char response[RESPONSE_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static const char *port, *prefix;
static unsigned long next_key, end_key;
static size_t waiting_n, responses_n, hits_n, disk_hits_n;
static int64_t stop_ns = INT64_MAX;

static void ask(struct connection *c)
{
	char request[1024];
	size_t n;

	if (next_key == end_key || now_ns(CLOCK_MONOTONIC) >= stop_ns)
		return;
	n = (size_t)snprintf(
		request, sizeof(request), "GET %s%lu HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", prefix, next_key++, port);
	c->got = 0;
	waiting_n++;
	if (send(c->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail("send");
}

static void check(const char *response, size_t whole)
{
	const char *body = strstr(response, "\r\n\r\n") + 4;

	if (is_ok(response) && whole - (size_t)(body - response) == BODY_BYTES)
		return;
	fprintf(stderr, "ask: %.60s\n", response);
	exit(1);
}

static void count(const char *response)
{
	responses_n++;
	hits_n += strstr(response, "; hit") || strstr(response, "X-Cache: HIT");
	disk_hits_n += strstr(response, "detail=disk") != NULL;
}

static void take_bytes(struct connection *c)
{
	ssize_t n = recv(c->fd, c->response + c->got, RESPONSE_MAX - 1 - c->got, 0);
	size_t whole;

	if (n <= 0)
		fail("ask: an answer broke off");
	c->got += (size_t)n;
	c->response[c->got] = '\0';
	whole = response_length(c->response);
	if (whole == 0 || c->got < whole)
		return;
	check(c->response, whole);
	count(c->response);
	waiting_n--;
	ask(c);
}

static void take_all(int loop_fd)
{
	struct epoll_event events[EVENTS_MAX];

	while (waiting_n > 0) {
		int n = epoll_wait(loop_fd, events, EVENTS_MAX, PATIENCE_MS);

		if (n <= 0)
			fail("ask: no answer");
		for (int i = 0; i < n; i++)
			take_bytes(events[i].data.ptr);
	}
}

int main(int argc, char **argv)
{
	int loop_fd = epoll_create1(0);
	int64_t start = now_ns(CLOCK_MONOTONIC);
	unsigned long connections_n;

	if (argc < 6 || argc > 7 || (connections_n = strtoul(argv[5], NULL, 10)) > CONNECTIONS_MAX) {
		fprintf(stderr, "ask PORT PREFIX FIRST N CONNECTIONS [SECONDS]\n");
		return 2;
	}
	port = argv[1];
	prefix = argv[2];
	next_key = strtoul(argv[3], NULL, 10);
	end_key = next_key + strtoul(argv[4], NULL, 10);
	if (argc == 7)
		stop_ns = start + (int64_t)(strtod(argv[6], NULL) * 1e9);
	for (unsigned long i = 0; i < connections_n; i++) {
		connections[i].fd = connect_to(port);
		watch(loop_fd, connections[i].fd, (epoll_data_t){.ptr = &connections[i]});
		ask(&connections[i]);
	}
	take_all(loop_fd);
	printf("%.3f %zu %zu %zu\n", (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9, responses_n, hits_n, disk_hits_n);
	return 0;
}
