/* SPDX-License-Identifier: MIT */
/* The admin listeners: health, purge, refresh, reload, stats, metrics, entries, explain. A front of their own on main's loop; what
 * needs a worker goes there and back by message.
 * Thread: main. Owns: its listeners and the messages under way. Bounds: ADMIN_CALLS_MAX calls
 * under way; CONNECTIONS_MAX connections, of which the longest idle one makes place for the next. */
#ifndef PROXY_ADMIN_ADMIN_H
#define PROXY_ADMIN_ADMIN_H

#include <stdbool.h>

#include "base/check.h"

struct admin;
struct buf;
struct event_base;
struct service;

struct admin_options {
	struct service *service;
	struct event_base *base; /* main's */
	const int *fds;          /* sockets that listen */
	unsigned fds_n;
	/* As server_reload: POST /reload. */
	int (*reload)(void *owner, struct buf *errors, struct buf *later);
	/* As server_reload_try: POST /reload?dry_run=1. */
	int (*reload_try)(void *owner, struct buf *errors, struct buf *differs, struct buf *later);
	uint64_t first_list; /* as warm_new's `first` */
	const char *file;    /* that is loaded: its path; NULL: options alone say what is served */
	void *owner;
};

/* Takes the sockets, even when it fails. 0 or negative errno. */
int admin_start(const struct admin_options *o, struct admin **out) WARN_UNUSED;
/* Its connections go; their last bytes, and the gates that read our options, with the event base. NULL is harmless. */
void admin_stop(struct admin *a);
/* What [warm] top and file name is warmed up, once the disk tier is open; a file that can't be read is told in the log. */
void admin_warm_at_start(struct admin *a);
/* After the event base. */
void admin_free(struct admin **a);
/* No further connections; those that are open go after the response to what was asked on them, idle ones now. NULL is harmless. */
void admin_drain(struct admin *a);
/* Is none left? */
bool admin_is_drained(const struct admin *a);
/* The service's snapshot is another one: its limits and time-outs count from now on. NULL is harmless. */
void admin_reconfigure(struct admin *a);

#endif
