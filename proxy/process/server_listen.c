/* Which sockets the workers listen on: their own, or those that came with the process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/front/listen.h"
#include "proxy/process/server.h"

int server_note_socket(struct server *s, int fd)
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
	if (!addresses || server_note_socket(s, fd)) {
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
	const struct config_address *a = &s->snapshot->config->proxy.listen.v[address];
	unsigned n = 0;
	int err = 0;

	for (int fd = first; fd >= 0 && !err; fd = inherited_take(&s->inherited, a))
		err = give_socket(s, &s->workers[n++ % s->workers_n], address, fd);
	for (; n < s->workers_n && !err; n++) {
		int fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
		err = fd < 0 ? -errno : give_socket(s, &s->workers[n], address, fd);
	}
	return err;
}

/* SO_REUSEPORT: each worker accepts on its own. */
static int open_own(struct server *s, unsigned address)
{
	const struct config_address *a = &s->snapshot->config->proxy.listen.v[address];
	int fds[WORKERS_MAX];
	int err = inherited_makes_way(&s->inherited, a) ? listen_open_beside(a, s->workers_n, fds)
							: listen_open(a, s->workers_n, fds);

	for (unsigned i = 0; i < s->workers_n && !err; i++)
		err = give_socket(s, &s->workers[i], address, fds[i]);
	return err;
}

int server_open_listeners(struct server *s)
{
	const struct config_addresses *listen = &s->snapshot->config->proxy.listen;
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
		log_info("listening on %s, %u workers%s", name, s->workers_n,
			fd >= 0 ? ", on sockets that were passed" : "");
	}
	return 0;
}
