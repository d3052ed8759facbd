/* SPDX-License-Identifier: MIT */
/* Which sockets the workers listen on: their own, or those that came with the process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/connection/listen.h"
#include "proxy/process/server.h"

/* One more socket listens; an upgrade passes it on. */
static int note_socket(struct server *s, int fd)
{
	int *more = mem_realloc(s->sockets, (s->sockets_n + 1) * sizeof(int));

	if (!more)
		return -ENOMEM;
	s->sockets = more;
	s->sockets[s->sockets_n++] = fd;
	return 0;
}

static int give_socket(struct server *s, struct worker *w, unsigned address, int fd)
{
	int *fds = mem_realloc(w->listen_fds, (w->listen_fds_n + 1) * sizeof(int));
	unsigned *addresses;

	if (fds)
		w->listen_fds = fds;
	addresses = fds ? mem_realloc(w->listen_addresses, (w->listen_fds_n + 1) * sizeof(unsigned)) : NULL;
	if (addresses)
		w->listen_addresses = addresses;
	if (!addresses || note_socket(s, fd)) {
		close(fd);
		return -ENOMEM;
	}
	fds[w->listen_fds_n] = fd;
	addresses[w->listen_fds_n++] = address;
	return 0;
}

/* Sockets that were passed: each of them is served by a worker, and each worker serves one, if they have to share. */
static int share_inherited(struct server *s, unsigned address, int first)
{
	const struct config_address *a = &s->service.snapshot->config->proxy.listen.v[address];
	unsigned n = 0;
	int err = 0;

	for (int fd = first; fd >= 0 && !err; fd = inherited_take(&s->inherited, a))
		err = give_socket(s, &s->service.workers[n++ % s->service.workers_n], address, fd);
	for (; n < s->service.workers_n && !err; n++) {
		int fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
		err = fd < 0 ? -errno : give_socket(s, &s->service.workers[n], address, fd);
	}
	return err;
}

/* SO_REUSEPORT: each worker accepts on its own. */
static int open_own(struct server *s, unsigned address)
{
	const struct config_address *a = &s->service.snapshot->config->proxy.listen.v[address];
	int fds[WORKERS_MAX];
	int err = inherited_makes_way(&s->inherited, a) ? listen_open_beside(a, s->service.workers_n, fds)
							: listen_open(a, s->service.workers_n, fds);

	for (unsigned i = 0; i < s->service.workers_n && !err; i++)
		err = give_socket(s, &s->service.workers[i], address, fds[i]);
	return err;
}

int server_open_listeners(struct server *s)
{
	const struct config_addresses *listen = &s->service.snapshot->config->proxy.listen;
	char name[64];

	for (unsigned a = 0; a < listen->n; a++) {
		int fd = inherited_take(&s->inherited, &listen->v[a]);
		int err = fd >= 0 ? share_inherited(s, a, fd) : open_own(s, a);

		if (err) {
			fprintf(stderr, "memoproxy: can't listen on %.*s: %s\n", SLICE_ARG(listen->v[a].text),
				strerror(-err));
			return err;
		}
		listen_name(s->sockets[s->sockets_n - 1], name, sizeof(name));
		log_info("listening on %s, %u worker%s%s", name, s->service.workers_n,
			s->service.workers_n == 1 ? "" : "s", fd >= 0 ? ", on sockets that were passed" : "");
	}
	return 0;
}

static int open_admin(struct server *s, const struct config_address *address, int *out)
{
	char name[64];
	int fd = inherited_take(&s->inherited, address);
	int err = 0;

	if (fd < 0)
		err = inherited_makes_way(&s->inherited, address) ? listen_open_beside(address, 1, &fd)
								  : listen_open_one(address, &fd);
	if (err) {
		fprintf(stderr, "memoproxy: can't listen on %.*s (admin): %s\n", SLICE_ARG(address->text),
			strerror(-err));
		return err;
	}
	if (note_socket(s, fd)) {
		close(fd);
		return -ENOMEM;
	}
	*out = fd;
	listen_name(fd, name, sizeof(name));
	log_info("admin on %s", name);
	/* Of an address that several sockets were passed for, one loop needs one. */
	while ((fd = inherited_take(&s->inherited, address)) >= 0)
		close(fd);
	return 0;
}

int server_open_admin(struct server *s, int *fds)
{
	const struct config_addresses *listen = &s->service.snapshot->config->admin.listen;
	int err = 0;

	for (unsigned i = 0; i < listen->n && !err; i++) {
		err = open_admin(s, &listen->v[i], &fds[i]);
		if (err)
			while (i--)
				close(fds[i]);
	}
	return err;
}
