/* SPDX-License-Identifier: MIT */
/* What an API says and does at one path: two equal calls, and one without credentials where some were given.
 * Thread: one at a time; it blocks. */
#ifndef PROXY_INIT_STUDY_H
#define PROXY_INIT_STUDY_H

#include "cache/policy/rules.h"
#include "proxy/init/discover.h"

/* Fills r->study; with an example only. `rules` are those of a route that says nothing. 0, -EDQUOT when all calls were made, or -ENOMEM. */
int study(struct discovery *d, const struct cache_rules *rules, struct route *r) WARN_UNUSED;

#endif
