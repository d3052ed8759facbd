/* SPDX-License-Identifier: MIT */
/* Who purged what by hand, and how many stored responses it has met since: the newest calls.
 * Thread: any. Bounds: PURGE_LOG_MAX calls; an older one makes room. Of this process: a restart begins anew. */
#ifndef PROXY_RECORD_PURGE_LOG_H
#define PROXY_RECORD_PURGE_LOG_H

#include "base/check.h"
#include "cache/policy/purge.h"
#include "proxy/connection/peer.h"

#define PURGE_LOG_MAX 1000
#define PURGE_LOG_WHAT 128

struct purge_log;

struct purge_logged {
	uint64_t id;          /* 1, 2, 3 .. */
	uint64_t first, last; /* the numbers of its purges */
	int64_t at_ms;        /* wall time */
	int64_t spread_ms;    /* 0: at once */
	enum purge_kind kind;
	bool soft, is_method; /* is_method: a PURGE request, else POST /purge */
	bool is_under_way;
	unsigned names;
	uint64_t met;              /* responses in memory */
	char who[PEER_TEXT_MAX];   /* the client's address; empty: not known */
	char what[PURGE_LOG_WHAT]; /* the first name, or its beginning; empty: it is not to be shown */
};

int purge_log_new(struct purge_log **out) WARN_UNUSED; /* 0 or -ENOMEM */
void purge_log_free(struct purge_log **log);
/* What is purged from number `after` on, exclusively, may be this call's until its end says up to which it was. `p` says the rest of it;
 * `names` purges have been asked for, the first of which is `what`. Returns its id. */
uint64_t purge_log_begin(struct purge_log *log, const struct purge *what, unsigned names, bool is_method,
	const char *who, uint64_t after);
void purge_log_end(struct purge_log *log, uint64_t id, uint64_t last);
/* A response was met by the purge with this number: cache_options.on_met. */
void purge_log_met(void *log, uint64_t seq);
/* The newest first, up to `max` of those with a lower id than `before`. Returns how many. */
unsigned purge_log_read(struct purge_log *log, uint64_t before, struct purge_logged *out, unsigned max);

#endif
