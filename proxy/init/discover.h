/* SPDX-License-Identifier: MIT */
/* Which routes has an API? Its OpenAPI document, its sitemap, the links of its root and of what they lead to say so.
 * Thread: one at a time; it blocks. Bounds: those of struct ask and struct found. */
#ifndef PROXY_INIT_DISCOVER_H
#define PROXY_INIT_DISCOVER_H

#include <stdio.h>

#include "config/config.h"
#include "proxy/init/ask.h"
#include "proxy/init/found.h"

struct discovery {
	struct ask *ask;
	const struct config_url *api;
	bool with_fields; /* calls bear the user's own fields */
	struct found *found;
	char document[200]; /* set: where the OpenAPI document was; empty: there is none */
};

/* 0; -ECONNREFUSED when the API does not answer at all, and *why; or -ENOMEM. */
int discover(struct discovery *d, char why[ASK_WHY_MAX]) WARN_UNUSED;
/* The URL of a path of the API, in `out`, which is emptied first and ends with a NUL byte. 0 or out's error. */
int discover_url(const struct config_url *api, struct slice path, struct buf *out) WARN_UNUSED;

#endif
