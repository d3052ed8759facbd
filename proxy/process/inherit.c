/* SPDX-License-Identifier: MIT */
#include "proxy/process/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/connection/listen.h"

#define SOCKETS_MAX 65536

/* ---- The environment ---- */

static bool number_of(const char *text, unsigned long long *out)
{
	return text && slice_to_u64(slice_of(text), 1ULL << 31, out);
}

/* The variables are for this process only, not for what it may start. */
static void read_environment(struct inherited *in)
{
	unsigned long long pid, n;

	if (number_of(getenv(INHERIT_VARIABLE), &n)) {
		in->n = (unsigned)n;
		in->is_upgrade = true;
		in->relay_fd = INHERIT_FIRST_FD + (int)n;
	} else if (number_of(getenv("LISTEN_PID"), &pid) && pid == (unsigned long long)getpid() &&
		   number_of(getenv("LISTEN_FDS"), &n)) {
		in->n = (unsigned)n;
	}
	unsetenv(INHERIT_VARIABLE);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

static int adopt(int fd)
{
	int is_listening = 0, type = 0;
	socklen_t n = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) || type != SOCK_STREAM ||
		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &n) || !is_listening)
		return -EINVAL;
	return fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) ? -errno : 0;
}

int inherited_init(struct inherited *in)
{
	*in = (struct inherited){.relay_fd = -1};
	read_environment(in);
	if (in->relay_fd >= 0)
		(void)fcntl(in->relay_fd, F_SETFD, FD_CLOEXEC);
	if (in->n == 0)
		return 0;
	in->fds = in->n <= SOCKETS_MAX ? mem_zalloc(in->n * sizeof(int)) : NULL;
	if (!in->fds) {
		in->n = 0;
		return -ENOMEM;
	}
	for (unsigned i = 0; i < in->n; i++) {
		in->fds[i] = INHERIT_FIRST_FD + (int)i;
		if (adopt(in->fds[i])) {
			fprintf(stderr, "memoproxy: descriptor %d that was passed is not a listening TCP socket\n",
				in->fds[i]);
			in->n = i;
			return -EINVAL;
		}
	}
	return 0;
}

/* ---- Which socket is whose ---- */

static bool listens_on(int fd, const struct config_address *a)
{
	struct sockaddr_storage bound = {0};
	socklen_t n = sizeof(bound);
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&bound, *want4 = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&bound,
				  *want6 = (const struct sockaddr_in6 *)&a->sa;

	if (getsockname(fd, (struct sockaddr *)&bound, &n) || bound.ss_family != a->sa.ss_family)
		return false;
	if (bound.ss_family == AF_INET)
		return in4->sin_addr.s_addr == want4->sin_addr.s_addr && in4->sin_port == want4->sin_port;
	return bound.ss_family == AF_INET6 && memcmp(&in6->sin6_addr, &want6->sin6_addr, sizeof(in6->sin6_addr)) == 0 &&
	       in6->sin6_port == want6->sin6_port;
}

int inherited_take(struct inherited *in, const struct config_address *a)
{
	for (unsigned i = 0; i < in->n; i++) {
		int fd = in->fds[i];

		if (fd < 0 || !listens_on(fd, a))
			continue;
		in->fds[i] = -1;
		return fd;
	}
	return -ENOENT;
}

/* At one place in both families. */
static in_port_t port_of(const struct sockaddr_storage *sa)
{
	in_port_t port;

	memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in, sin_port), sizeof(port));
	return port;
}

bool inherited_makes_way(struct inherited *in, const struct config_address *a)
{
	bool found = false;
	int one = 1;

	for (unsigned i = 0; in->is_upgrade && i < in->n; i++) {
		struct sockaddr_storage bound = {0};
		socklen_t n = sizeof(bound);

		if (in->fds[i] < 0 || getsockname(in->fds[i], (struct sockaddr *)&bound, &n) ||
			port_of(&bound) != port_of(&a->sa))
			continue;
		found = setsockopt(in->fds[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 || found;
	}
	return found;
}

int inherited_check(struct inherited *in)
{
	char name[64];

	for (unsigned i = 0; i < in->n; i++) {
		if (in->fds[i] < 0)
			continue;
		listen_name(in->fds[i], name, sizeof(name));
		if (!in->is_upgrade) {
			fprintf(stderr,
				"memoproxy: a socket that listens on %s was passed, but no `listen` names that "
				"address\n",
				name);
			return -EINVAL;
		}
		log_info("no longer listening on %s", name);
		close(in->fds[i]);
		in->fds[i] = -1;
	}
	return 0;
}

void inherited_fini(struct inherited *in)
{
	for (unsigned i = 0; i < in->n; i++)
		if (in->fds[i] >= 0)
			close(in->fds[i]);
	if (in->relay_fd >= 0)
		close(in->relay_fd);
	mem_free(in->fds);
	*in = (struct inherited){.relay_fd = -1};
}
