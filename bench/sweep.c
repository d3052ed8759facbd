/* SPDX-License-Identifier: MIT */
/* Many requests with as little work of the load's own as can be: COUNT of the N targets PREFIX and a number of ten digits, several at
 * a time on each connection.
 *
 *     sweep PORT METHOD PREFIX FIRST N COUNT CONNECTIONS DEPTH [FIELD [EACH]]
 *
 * Numbers are FIRST to FIRST + N - 1, each at most once in N requests; with a COUNT below N they lie all over them, in an order that
 * is not that in which they were stored. FIELD is a whole line, X-User: a say; with EACH it
 * gets a number at its end, another one after so many requests.
 * prints: seconds, responses, and how many of them were a hit, and a hit of the disk tier.
 * A response other than 200 is a failure. Bounds: CONNECTIONS_MAX; DEPTH_MAX; a response of less than RESPONSES_MAX bytes. */
#include "net.h"

enum {
	CONNECTIONS_MAX = 256,
	DEPTH_MAX = 64,
	REQUEST_MAX = 1024,
	RESPONSES_MAX = 1 << 16,
	EVENTS_MAX = 64,
	PATIENCE_MS = 60000
};
/* No number of targets that is asked for is a multiple of it, so each step leads to another target. */
#define STEP 7919

struct connection {
	int fd;
	unsigned waiting_n;
	size_t got;
	char responses[RESPONSES_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static const char *port, *method, *prefix, *field = "";
static unsigned long first, targets_n, left_n, asked_n, each;
static unsigned depth;
static size_t responses_n, hits_n, disk_hits_n;

static size_t put_request(char *out)
{
	unsigned long target = first + asked_n * STEP % targets_n;
	size_t n = (size_t)snprintf(
		out, REQUEST_MAX, "%s %s%010lu HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n", method, prefix, target, port);

	if (each)
		n += (size_t)snprintf(out + n, REQUEST_MAX - n, "%s%lu\r\n", field, asked_n / each);
	else if (*field)
		n += (size_t)snprintf(out + n, REQUEST_MAX - n, "%s\r\n", field);
	asked_n++;
	left_n--;
	return n + (size_t)snprintf(out + n, REQUEST_MAX - n, "%s\r\n",
			   strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
}

/* Requests of one turn are sent together, and responses are small, so the socket's buffer has room for both. */
static void ask(struct connection *c)
{
	static char requests[DEPTH_MAX * REQUEST_MAX];
	size_t n = 0;

	for (; c->waiting_n < depth && left_n > 0; c->waiting_n++)
		n += put_request(requests + n);
	if (n > 0 && send(c->fd, requests, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail("sweep: send");
}

static void count(char *response)
{
	char *end = strstr(response, "\r\n\r\n");

	if (!is_ok(response)) {
		fprintf(stderr, "sweep: %.300s\n", response);
		exit(1);
	}
	*end = '\0';
	responses_n++;
	hits_n += strstr(response, "memoproxy; hit") != NULL;
	disk_hits_n += strstr(response, "detail=disk") != NULL;
	*end = '\r';
}

static void take_bytes(struct connection *c)
{
	ssize_t n = recv(c->fd, c->responses + c->got, RESPONSES_MAX - 1 - c->got, 0);
	size_t done = 0, whole;

	if (n <= 0)
		fail("sweep: an answer broke off");
	c->got += (size_t)n;
	c->responses[c->got] = '\0';
	while ((whole = response_length(c->responses + done)) > 0 && whole <= c->got - done) {
		count(c->responses + done);
		done += whole;
		c->waiting_n--;
	}
	memmove(c->responses, c->responses + done, c->got - done);
	c->got -= done;
	ask(c);
}

static void take_all(int loop_fd, unsigned long wanted)
{
	struct epoll_event events[EVENTS_MAX];

	while (responses_n < wanted) {
		int n = epoll_wait(loop_fd, events, EVENTS_MAX, PATIENCE_MS);

		if (n <= 0)
			fail("sweep: no answer");
		for (int i = 0; i < n; i++)
			take_bytes(events[i].data.ptr);
	}
}

int main(int argc, char **argv)
{
	int loop_fd = epoll_create1(0);
	int64_t start = now_ns(CLOCK_MONOTONIC);
	unsigned long connections_n, wanted;

	if (argc < 9 || argc > 11) {
		fprintf(stderr, "sweep PORT METHOD PREFIX FIRST N COUNT CONNECTIONS DEPTH [FIELD [EACH]]\n");
		return 2;
	}
	port = argv[1];
	method = argv[2];
	prefix = argv[3];
	first = strtoul(argv[4], NULL, 10);
	targets_n = strtoul(argv[5], NULL, 10);
	wanted = left_n = strtoul(argv[6], NULL, 10);
	connections_n = strtoul(argv[7], NULL, 10);
	depth = (unsigned)strtoul(argv[8], NULL, 10);
	field = argc > 9 ? argv[9] : "";
	each = argc > 10 ? strtoul(argv[10], NULL, 10) : 0;
	if (connections_n > CONNECTIONS_MAX || depth > DEPTH_MAX || targets_n == 0 ||
		strlen(prefix) + strlen(field) > REQUEST_MAX / 2)
		fail("sweep: bounds");
	for (unsigned long i = 0; i < connections_n; i++) {
		connections[i].fd = connect_to(port);
		watch(loop_fd, connections[i].fd, (epoll_data_t){.ptr = &connections[i]});
		ask(&connections[i]);
	}
	take_all(loop_fd, wanted);
	printf("%.6f %zu %zu %zu\n", (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9, responses_n, hits_n, disk_hits_n);
	return 0;
}
