/* SPDX-License-Identifier: MIT */
/* What a running proxy has, for those who serve with it: its workers, its admin side, and main, which makes and ends it.
 * Thread: main, but where a member says otherwise. Owns: nothing; proxy/process/server.h does. */
#ifndef PROXY_TRANSACTION_SERVICE_H
#define PROXY_TRANSACTION_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "cache/policy/key_body.h"

#define WORKERS_MAX 64

struct access_log;
struct admission;
struct bodies;
struct cache;
struct limits;
struct purge_log;
struct snapshot;
struct tls;
struct worker;

enum service_state { SERVICE_STARTING, SERVICE_READY, SERVICE_DRAINING };

struct service {
	/* set before the workers' threads start: any thread */
	struct cache *cache;
	struct key_secret secret; /* of users' identities: the lower tier's, or one of this process */
	struct purge_log *purge_log;
	struct admission *admission;
	struct bodies *bodies;
	struct limits *limits;
	struct tls *tls;                        /* NULL: no listener has it */
	struct mailbox mailbox;                 /* main's */
	struct mailbox *mailboxes[WORKERS_MAX]; /* the workers' own */
	struct worker *workers;
	unsigned workers_n;
	int64_t started_mono_ms, started_wall_ms;
	/* Calls fn(arg) from main's loop, or at once, when another process that takes over, if there is one, has heard all that it
	 * was told up to now. On main. */
	void (*when_heard)(const struct service *s, void (*fn)(void *arg), void *arg);
	bool is_ended; /* the workers' threads have been joined */
	/* main's */
	struct snapshot *snapshot; /* current; each worker has a reference of its own */
	struct access_log *access_log;
	enum service_state state;
	uint64_t reloads, reloads_failed;
};

#endif
