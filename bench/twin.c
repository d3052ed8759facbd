/* SPDX-License-Identifier: MIT */
/* How long a response takes, beside the same probe of a control at the same moment: what the machine does to both is no server's doing.
 * At even intervals one request goes to each, on a connection of its own, whether or not earlier ones are answered.
 *
 *     twin PORT CONTROL_PORT PREFIX N REQUESTS_PER_SECOND SECONDS [FIELD]
 *
 * Targets are PREFIX and a number of ten digits below N. SIGTERM ends it earlier; then it prints for the server, and for the control:
 * responses, those that were none or other than 200, p50, p99 and the worst, in microseconds since the request was sent.
 * Bounds: WAITING_MAX requests without a response on a connection, as the bare loop takes no more than 4 KiB of heads at once (a probe
 * that would be one more is left out: the stall is in the earlier ones' times); PATIENCE_S for the last ones; a response of less than
 * RESPONSE_MAX bytes. */
#include "net.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

enum { WAITING_MAX = 48, RESPONSE_MAX = 1 << 16, PATIENCE_S = 60, STEP = 7919 };

struct lane {
	int fd;
	int64_t sent_ns[WAITING_MAX]; /* a ring, in order */
	size_t asked_n, responses_n, failures_n, got;
	int64_t *taken_ns;
	char response[RESPONSE_MAX];
};

static struct lane lanes[2];
static const char *prefix, *field = "";
static unsigned long targets_n;
static volatile sig_atomic_t ends;

static void on_term(int sig)
{
	(void)sig;
	ends = 1;
}

static void ask(struct lane *l, size_t turn)
{
	char request[1024];
	size_t n = (size_t)snprintf(request, sizeof(request), "GET %s%010lu HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s\r\n",
		prefix, turn * STEP % targets_n, field, *field ? "\r\n" : "");

	if (l->asked_n - l->responses_n >= WAITING_MAX)
		return;
	l->sent_ns[l->asked_n++ % WAITING_MAX] = now_ns(CLOCK_MONOTONIC);
	if (send(l->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail("twin: send");
}

static void take_bytes(struct lane *l)
{
	ssize_t n = recv(l->fd, l->response + l->got, RESPONSE_MAX - 1 - l->got, 0);
	size_t done = 0, whole;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail("twin: a connection broke off");
	l->got += (size_t)n;
	l->response[l->got] = '\0';
	while ((whole = response_length(l->response + done)) > 0 && whole <= l->got - done) {
		l->taken_ns[l->responses_n] = now_ns(CLOCK_MONOTONIC) - l->sent_ns[l->responses_n % WAITING_MAX];
		l->failures_n += !is_ok(l->response + done);
		l->responses_n++;
		done += whole;
	}
	memmove(l->response, l->response + done, l->got - done);
	l->got -= done;
}

static void take_responses(int loop_fd, int64_t until_ns)
{
	struct epoll_event events[2];
	int64_t left_ns = until_ns - now_ns(CLOCK_MONOTONIC);
	struct timespec patience = {left_ns > 0 ? left_ns / 1000000000 : 0, left_ns > 0 ? left_ns % 1000000000 : 0};
	int n = epoll_pwait2(loop_fd, events, 2, &patience, NULL);

	for (int i = 0; i < n; i++)
		take_bytes(events[i].data.ptr);
}

static int all_are_answered(void)
{
	return lanes[0].responses_n == lanes[0].asked_n && lanes[1].responses_n == lanes[1].asked_n;
}

static void run(int loop_fd, double rate, size_t wanted)
{
	int64_t start_ns = now_ns(CLOCK_MONOTONIC), last_ns;

	for (size_t turn = 0; turn < wanted && !ends; turn++) {
		int64_t due_ns = start_ns + (int64_t)((double)turn / rate * 1e9);

		do
			take_responses(loop_fd, due_ns);
		while (now_ns(CLOCK_MONOTONIC) < due_ns && !ends);
		ask(&lanes[turn % 2], turn);
		ask(&lanes[1 - turn % 2], turn);
	}
	last_ns = now_ns(CLOCK_MONOTONIC) + PATIENCE_S * 1000000000LL;
	while (!all_are_answered() && now_ns(CLOCK_MONOTONIC) < last_ns)
		take_responses(loop_fd, last_ns);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double at_us(const struct lane *l, double part)
{
	return (double)l->taken_ns[(size_t)(part * (double)(l->responses_n - 1))] / 1000;
}

static void tell(struct lane *l)
{
	if (l->responses_n == 0) {
		fprintf(stderr, "twin: no answer\n");
		exit(1);
	}
	qsort(l->taken_ns, l->responses_n, sizeof(*l->taken_ns), by_value);
	printf("%zu %zu %.1f %.1f %.1f\n", l->responses_n, l->failures_n + l->asked_n - l->responses_n, at_us(l, 0.5),
		at_us(l, 0.99), at_us(l, 1));
}

int main(int argc, char **argv)
{
	int loop_fd = epoll_create1(0);

	if (argc != 7 && argc != 8) {
		fprintf(stderr, "twin PORT CONTROL_PORT PREFIX N REQUESTS_PER_SECOND SECONDS [FIELD]\n");
		return 2;
	}
	double rate = strtod(argv[5], NULL);
	size_t wanted = (size_t)(rate * strtod(argv[6], NULL));

	prefix = argv[3];
	targets_n = strtoul(argv[4], NULL, 10);
	field = argc == 8 ? argv[7] : "";
	prctl(PR_SET_TIMERSLACK, 1UL);
	signal(SIGTERM, on_term);
	for (int i = 0; i < 2; i++) {
		lanes[i].fd = connect_to(argv[1 + i]);
		lanes[i].taken_ns = calloc(wanted + 1, sizeof(*lanes[i].taken_ns));
		if (!lanes[i].taken_ns || targets_n == 0)
			fail("twin");
		watch(loop_fd, lanes[i].fd, (epoll_data_t){.ptr = &lanes[i]});
	}
	run(loop_fd, rate, wanted);
	tell(&lanes[0]);
	tell(&lanes[1]);
	return 0;
}
