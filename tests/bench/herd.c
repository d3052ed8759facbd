/* Many clients at once: N connections are made, then all ask for the same, then each reads its answer to the end.
 *
 *     herd PORT TARGET N
 *
 * prints, in seconds since the first request was sent: when the last request was sent, when the first answer was whole,
 * when the last one was; and the CPU seconds that this program took for sending and reading.
 * An answer other than 200 with BODY_BYTES of 'x', or none in PATIENCE_S, is a failure.
 * Bounds: CONNECTIONS_MAX; an answer of at most ANSWER_MAX bytes. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 20000, ANSWER_MAX = 4096, BODY_BYTES = 1024, EVENTS_MAX = 256, PATIENCE_S = 60 };

struct client {
	int fd;
	size_t got;
	char answer[ANSWER_MAX];
};

static struct client clients[CONNECTIONS_MAX];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void open_client(struct client *c, int loop_fd, unsigned short port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(loop_fd, EPOLL_CTL_ADD, c->fd, &e) != 0)
		fail("epoll_ctl");
}

static void check(const struct client *c, const char *body)
{
	if (strncmp(c->answer, "HTTP/1.1 200", 12) == 0 && strspn(body, "x") == BODY_BYTES)
		return;
	fprintf(stderr, "herd: %.60s\n", c->answer);
	exit(1);
}

/* 1: the answer is whole. */
static int take_bytes(struct client *c)
{
	ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MAX - 1 - c->got, 0);
	char *body;

	if (n <= 0)
		fail("herd: an answer broke off");
	c->got += (size_t)n;
	c->answer[c->got] = '\0';
	body = strstr(c->answer, "\r\n\r\n");
	if (!body || c->got - (size_t)(body + 4 - c->answer) < BODY_BYTES)
		return 0;
	check(c, body + 4);
	return 1;
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int loop_fd = epoll_create1(0);
	double start, sent, first = 0, cpu;
	char request[1024];
	size_t n, request_n, done = 0;

	if (argc != 4 || (n = strtoul(argv[3], NULL, 10)) > CONNECTIONS_MAX) {
		fprintf(stderr, "herd PORT TARGET N\n");
		return 2;
	}
	request_n = (size_t)snprintf(
		request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[2], argv[1]);
	for (size_t i = 0; i < n; i++)
		open_client(&clients[i], loop_fd, (unsigned short)strtoul(argv[1], NULL, 10));
	start = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < n; i++)
		if (send(clients[i].fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
			fail("send");
	sent = seconds(CLOCK_MONOTONIC);
	while (done < n) {
		int ready = epoll_wait(loop_fd, events, EVENTS_MAX, PATIENCE_S * 1000);

		if (ready <= 0)
			fail("herd: no answer");
		for (int i = 0; i < ready; i++)
			done += (size_t)take_bytes(events[i].data.ptr);
		if (first == 0 && done > 0)
			first = seconds(CLOCK_MONOTONIC);
	}
	printf("%.4f %.4f %.4f %.4f\n", sent - start, first - start, seconds(CLOCK_MONOTONIC) - start,
		seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return 0;
}
