/* SPDX-License-Identifier: MIT */
/* The ways in which an origin may read a path, and whether it is of the same route in all of them.
 * Servers decode once or twice, all escapes or some, fold slashes before or after, strip parameters, turn backslashes round: in
 * which order, nobody in front of them can know.
 * Thread: a worker's. Owns: its bytes, kept for the next path. Bounds: READINGS_SPELLINGS_MAX spellings, READINGS_BYTES_MAX in all,
 * of a path of READINGS_PATH_MAX; what has more counts as of another route. */
#ifndef PROXY_REQUEST_READINGS_H
#define PROXY_REQUEST_READINGS_H

#include "base/buf.h"
#include "config/config.h"
#include "http/message.h"
#include "proxy/request/sent.h"

enum { READINGS_SPELLINGS_MAX = 32, READINGS_PATH_MAX = 2048, READINGS_BYTES_MAX = 16 * 1024 };

struct readings {
	struct buf text; /* one spelling behind the other */
	size_t ends[READINGS_SPELLINGS_MAX];
	unsigned n;
	struct buf next;
};

void readings_init(struct readings *all);
void readings_fini(struct readings *all);
/* What follows from the route that the request's path matches as it is written, and from all others that an origin may read it as one of.
 * Where nobody can say which these are, all routes count. */
struct readings_verdict {
	bool is_ambiguous; /* there is another route, or a reading has dot segments */
	bool is_denied;    /* one of the routes refuses the client */
	const struct config_route
		*limited_by; /* the one with the slowest client_rate; NULL: none has one, or it is denied */
};
/* 0 or -ENOMEM. */
int readings_look(struct readings *all, const struct config *c, const struct asked *asked,
	const struct config_route *route, struct readings_verdict *out) WARN_UNUSED;

#endif
