/* SPDX-License-Identifier: MIT */
/* What was found as a proxy.ini that says why it says what it says.
 * Thread: one at a time. Bounds: the buffer's. */
#ifndef PROXY_INIT_WRITE_H
#define PROXY_INIT_WRITE_H

#include "base/buf.h"
#include "proxy/init/found.h"

struct draft {
	const char *url;
	const char *document;   /* where the OpenAPI document was; empty: there was none */
	const char *credential; /* the name of the first field that calls bore; NULL: none */
	bool tls_verify;
	unsigned calls;
	struct found *found;
	unsigned kept; /* set: of how many routes something will be answered from the cache, as the file stands */
};

/* Appends the file; out's error. The routes stand in the order of `found`. */
int write_ini(struct draft *d, struct buf *out) WARN_UNUSED;

#endif
