/* SPDX-License-Identifier: MIT */
/* An origin that takes its time: each request is answered DELAY_MS after it came, all alike and side by side.
 *
 *     slow PORT DELAY_MS
 *
 * Paths that begin with /private are not to be stored, all others are for a minute. GET /count tells at once how many
 * requests came since it was last asked. One request at a time on a connection.
 * Bounds: CONNECTIONS_MAX descriptors; a head of at most HEAD_MAX bytes, in one piece. */
#include "net.h"

enum { CONNECTIONS_MAX = 65536, HEAD_MAX = 4096, EVENTS_MAX = 256, BODY_BYTES = 1024 };

/* In order of arrival, which is also the order in which they are due: a ring, as no descriptor waits twice. */
struct waiting {
	int fd;
	int64_t due_ms;
	int is_private;
};

static struct waiting ring[CONNECTIONS_MAX];
static size_t first, waiting_n, asked_n;
static int64_t delay_ms;
static int loop_fd;

static int64_t now_ms(void)
{
	return now_ns(CLOCK_MONOTONIC) / 1000000;
}

static void accept_all(int listen_fd)
{
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		if (fd >= CONNECTIONS_MAX)
			fail("descriptors");
		without_delay(fd);
		watch(loop_fd, fd, (epoll_data_t){.fd = fd});
	}
}

static void answer(int fd, const char *control, const char *body, size_t body_n)
{
	char text[512 + BODY_BYTES];
	size_t n = (size_t)snprintf(text, sizeof(text),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: %s\r\nContent-Length: %zu\r\n\r\n",
		control, body_n);

	memcpy(text + n, body, body_n);
	if (send(fd, text, n + body_n, MSG_NOSIGNAL) < 0)
		close(fd);
}

static void tell_count(int fd)
{
	char text[32];

	answer(fd, "no-store", text, (size_t)snprintf(text, sizeof(text), "%zu\n", asked_n));
	asked_n = 0;
}

static void on_readable(int fd)
{
	static const char count[] = "GET /count ", private[] = "GET /private";
	char head[HEAD_MAX] = "";
	ssize_t n = recv(fd, head, sizeof(head) - 1, 0);

	if (n <= 0) {
		close(fd);
		return;
	}
	if (strncmp(head, count, sizeof(count) - 1) == 0) {
		tell_count(fd);
		return;
	}
	asked_n++;
	ring[(first + waiting_n++) % CONNECTIONS_MAX] = (struct waiting){.fd = fd,
		.due_ms = now_ms() + delay_ms,
		.is_private = strncmp(head, private, sizeof(private) - 1) == 0};
}

static void answer_due(void)
{
	static char body[BODY_BYTES];
	int64_t now = now_ms();

	memset(body, 'x', sizeof(body));
	for (; waiting_n > 0 && ring[first].due_ms <= now; first = (first + 1) % CONNECTIONS_MAX, waiting_n--)
		answer(ring[first].fd, ring[first].is_private ? "no-store" : "max-age=60", body, sizeof(body));
}

static int patience_ms(void)
{
	int64_t left = waiting_n > 0 ? ring[first].due_ms - now_ms() : -1;

	return waiting_n > 0 && left < 0 ? 0 : (int)left;
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int listen_fd;

	if (argc != 3) {
		fprintf(stderr, "slow PORT DELAY_MS\n");
		return 2;
	}
	delay_ms = strtol(argv[2], NULL, 10);
	loop_fd = epoll_create1(0);
	listen_fd = listen_on(argv[1]);
	watch(loop_fd, listen_fd, (epoll_data_t){.fd = listen_fd});
	for (;;) {
		int n = epoll_wait(loop_fd, events, EVENTS_MAX, patience_ms());

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listen_fd)
				accept_all(listen_fd);
			else
				on_readable(events[i].data.fd);
		}
		answer_due();
	}
}
