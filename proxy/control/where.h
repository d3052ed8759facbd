/* SPDX-License-Identifier: MIT */
/* Where the running proxy's admin side is, and what it asks of those who call.
 * Thread: main. */
#ifndef PROXY_CONTROL_WHERE_H
#define PROXY_CONTROL_WHERE_H

#include "base/buf.h"
#include "base/check.h"

enum { WHERE_URL_MAX = 128, WHERE_TOKEN_MAX = 8192 };

struct where {
	char url[WHERE_URL_MAX];  /* http://127.0.0.1:8081 */
	const char *said_by;      /* the file, or what else */
	struct buf authorization; /* a field line, a secret; empty: none is asked for */
};

/* file NULL: the one that the server would take, or, where there is none, what a server without one does. admin may be NULL. 0, or negative
 * errno after a sentence on standard error. where_fini is due either way. */
int where_find(const char *file, const char *admin, struct where *w) WARN_UNUSED;
void where_fini(struct where *w);

#endif
