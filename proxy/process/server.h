/* SPDX-License-Identifier: MIT */
/* The whole program: configuration, cache, workers, admin side, from start to stop.
 * Thread: main. Owns: everything. Order of start: server_init; of stop: server_fini, with the reasons in docs/upgrade.md. */
#ifndef PROXY_PROCESS_SERVER_H
#define PROXY_PROCESS_SERVER_H

#include <stdbool.h>

#include "proxy/process/inherit.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/worker.h"

struct admin;
struct demo;
struct relay;
struct upgrade;

struct server {
	struct service service;
	/* set once */
	const struct config_source *source;
	struct event_base *base;     /* main's own loop: signals, admin, the drain's deadline */
	struct config *started_with; /* what a reload can't change is compared with */
	char *const *argv;
	struct inherited inherited;
	struct relay *relay;
	int *sockets; /* all that listen, clients' and operators', until the drain closes them: what an upgrade passes on */
	unsigned sockets_n;
	struct admin *admin;
	struct demo *demo;
	/* main's own */
	struct event *signal_events[6], *mailbox_event, *grace_event, *end_event;
	struct upgrade *upgrade; /* under way; or NULL */
	bool gave_disk;          /* to a new process */
	bool is_retiring; /* a new process has taken over: no new connections, those that are open may wait for their next request */
	bool is_draining;
};

/* 0, or 1 after one clear sentence on standard error. */
int server_run(const struct config_source *source, char *const *argv);
/* Each worker's, for every `listen` of [proxy]. 0, or negative errno after a sentence on standard error. */
int server_open_listeners(struct server *s) WARN_UNUSED;
/* Operators', for every `listen` of [admin]: `fds` has room for them. The same. */
int server_open_admin(struct server *s, int *fds) WARN_UNUSED;

#endif
