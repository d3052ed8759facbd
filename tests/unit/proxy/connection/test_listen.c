/* SPDX-License-Identifier: MIT */
/* Listening sockets: who can connect is served, and a port that another process serves is left to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/connection/listen.h"

enum { WORKERS = 3, CLIENTS_MAX = 8 };

static int clients[CLIENTS_MAX];
static unsigned clients_n;

/* In the place of libc's: a client connects as soon as anything listens. */
int listen(int fd, int backlog);
int listen(int fd, int backlog)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);
	int rc = (int)syscall(SYS_listen, fd, backlog), client;

	if (rc != 0)
		return rc;
	assert_true(clients_n < CLIENTS_MAX);
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&sa, n), 0);
	clients[clients_n++] = client;
	return 0;
}

static struct config_address local(uint16_t port)
{
	struct config_address a = {.sa_bytes = sizeof(struct sockaddr_in)};

	*(struct sockaddr_in *)&a.sa = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return a;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	return ntohs(sa.sin_port);
}

static void close_all(int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void who_connects_while_it_starts_is_not_cut_off(void **state)
{
	struct config_address a = local(0);
	int fds[WORKERS];
	char byte;

	(void)state;
	clients_n = 0;
	assert_int_equal(listen_open(&a, WORKERS, fds), 0);
	assert_int_equal(clients_n, WORKERS);
	for (unsigned i = 0; i < clients_n; i++) {
		assert_int_equal(recv(clients[i], &byte, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
	}
	close_all(clients, clients_n);
	close_all(fds, WORKERS);
}

static void a_port_that_is_served_is_left_to_who_serves_it(void **state)
{
	struct config_address a = local(0);
	int first[WORKERS], second[WORKERS];

	(void)state;
	clients_n = 0;
	assert_int_equal(listen_open(&a, WORKERS, first), 0);
	a = local(port_of(first[0]));
	assert_int_equal(port_of(first[WORKERS - 1]), port_of(first[0]));
	assert_int_equal(listen_open(&a, 1, second), -EADDRINUSE);
	assert_int_equal(listen_open_one(&a, second), -EADDRINUSE);
	assert_int_equal(listen_open_beside(&a, 1, second), 0);
	close_all(clients, clients_n);
	close_all(second, 1);
	close_all(first, WORKERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_connects_while_it_starts_is_not_cut_off),
		cmocka_unit_test(a_port_that_is_served_is_left_to_who_serves_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
