/* SPDX-License-Identifier: MIT */
/* Latency at a fixed rate: requests are due at even intervals whatever the responses do, and a response's time counts from
 * when its request was due, so that a server that stalls is charged for those who would have waited.
 *
 *     pace PORT TARGET REQUESTS_PER_SECOND SECONDS CONNECTIONS [sleep]
 *
 * prints: responses, those that were none, p50, p99, p99.9 and the worst, in microseconds.
 * Bounds: CONNECTIONS_MAX; a response of at most RESPONSE_MAX bytes. It spins and wants a core of
 * its own; with `sleep` it leaves the core to others while it has nothing to do, and is the less exact for it. */
#include "net.h"

#include <errno.h>
#include <sys/prctl.h>

enum { CONNECTIONS_MAX = 1024, RESPONSE_MAX = 16384, EVENTS_MAX = 64, GRACE_S = 2 };

struct connection {
	int fd;
	int64_t due_ns;
	size_t got;
	char response[RESPONSE_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static struct connection *idle[CONNECTIONS_MAX];
static unsigned idle_n;
static char request[4096];
static size_t request_n;
static int64_t *taken_ns;
static size_t responses_n, failures_n;
static int loop_fd, sleeps;

static void open_connection(struct connection *c, const char *port)
{
	c->fd = connect_to(port);
	watch(loop_fd, c->fd, (epoll_data_t){.ptr = c});
	idle[idle_n++] = c;
}

static void ask(int64_t due_ns)
{
	struct connection *c = idle[--idle_n];

	c->due_ns = due_ns;
	c->got = 0;
	if (send(c->fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
		fail("send");
}

static void take_bytes(struct connection *c)
{
	ssize_t n = recv(c->fd, c->response + c->got, sizeof(c->response) - 1 - c->got, 0);
	size_t whole;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fprintf(stderr, "pace: the server closed a connection\n");
		exit(1);
	}
	c->got += (size_t)n;
	c->response[c->got] = '\0';
	whole = response_length(c->response);
	if (whole == 0 || c->got < whole)
		return;
	taken_ns[responses_n++] = now_ns(CLOCK_MONOTONIC) - c->due_ns;
	failures_n += !is_ok(c->response);
	idle[idle_n++] = c;
}

/* due_ns: of the next request, 0 if that waits for a connection. */
static void take_responses(int64_t due_ns)
{
	struct epoll_event events[EVENTS_MAX];
	int64_t left_ns = !sleeps ? 0 : due_ns ? due_ns - now_ns(CLOCK_MONOTONIC) : 1000000;
	struct timespec patience = {left_ns > 0 ? left_ns / 1000000000 : 0, left_ns > 0 ? left_ns % 1000000000 : 0};
	int n = epoll_pwait2(loop_fd, events, EVENTS_MAX, &patience, NULL);

	for (int i = 0; i < n; i++)
		take_bytes(events[i].data.ptr);
}

static void run(double rate, size_t wanted)
{
	int64_t start_ns = now_ns(CLOCK_MONOTONIC),
		last_ns = start_ns + (int64_t)((double)wanted / rate * 1e9) + GRACE_S * 1000000000LL;
	size_t asked = 0;

	while (responses_n < wanted && now_ns(CLOCK_MONOTONIC) < last_ns) {
		int64_t due_ns = start_ns + (int64_t)((double)asked / rate * 1e9);

		if (asked < wanted && idle_n > 0 && now_ns(CLOCK_MONOTONIC) >= due_ns) {
			ask(due_ns);
			asked++;
		} else {
			take_responses(asked < wanted && idle_n > 0 ? due_ns : 0);
		}
	}
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double at_us(double part)
{
	return (double)taken_ns[(size_t)(part * (double)(responses_n - 1))] / 1000;
}

int main(int argc, char **argv)
{
	if (argc != 6 && argc != 7) {
		fprintf(stderr, "pace PORT TARGET REQUESTS_PER_SECOND SECONDS CONNECTIONS [sleep]\n");
		return 2;
	}
	double rate = strtod(argv[3], NULL);
	size_t wanted = (size_t)(rate * strtod(argv[4], NULL)), n = strtoul(argv[5], NULL, 10);

	sleeps = argc == 7;
	prctl(PR_SET_TIMERSLACK, 1UL);
	loop_fd = epoll_create1(0);
	taken_ns = calloc(wanted + 1, sizeof(*taken_ns));
	if (!taken_ns || n > CONNECTIONS_MAX)
		fail("pace");
	request_n = (size_t)snprintf(
		request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[2], argv[1]);
	for (size_t i = 0; i < n; i++)
		open_connection(&connections[i], argv[1]);
	run(rate, wanted);
	if (responses_n == 0) {
		fprintf(stderr, "pace: no answer\n");
		return 1;
	}
	qsort(taken_ns, responses_n, sizeof(*taken_ns), by_value);
	printf("%zu %zu %.1f %.1f %.1f %.1f\n", responses_n, failures_n + (wanted - responses_n), at_us(0.5), at_us(0.99),
		at_us(0.999), at_us(1));
	return 0;
}
