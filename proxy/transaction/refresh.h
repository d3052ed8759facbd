/* SPDX-License-Identifier: MIT */
/* A forced refresh: a fetch on a worker for a URL that an operator names, by each scheme that there are
 * listeners for (the result is the last one's); readers keep the old response until the new one
 * has landed, and keep it if the refresh fails.
 * Thread: refresh_start and `done` on main; the rest on the worker. Owns: a reference to the snapshot. */
#ifndef PROXY_TRANSACTION_REFRESH_H
#define PROXY_TRANSACTION_REFRESH_H

#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"
#include "cache/policy/policy.h"

struct service;
struct config;
struct config_route;

struct refresh_result {
	int status; /* of the response that is stored now; 502, 503, 504: none came that could be, and the old one stays */
	int upstream_status; /* of the upstream's response; 0: none came */
	bool stored;
	unsigned calls; /* that it made; others' it may have waited for */
	/* Of refresh_start_missing: it was stored already; or the upstream is to be spared now, and nothing was asked. */
	bool was_there, is_spared;
	const struct config *config; /* by which it was asked, and its route; until `done` returns */
	const struct config_route *route;
	unsigned cause;        /* of 502, 503 and 504: as fetch_cause_name takes it; 0: not known */
	enum policy_store why; /* not stored, and the upstream has not failed; else POLICY_STORE */
	int64_t lifetime_ms, age_ms;
	enum policy_source source;
};

/* url is copied. */
int refresh_start(struct service *s, struct slice url, void (*done)(void *arg, const struct refresh_result *r),
	void *arg) WARN_UNUSED;
/* The same of what is not stored, or not fresh any more, and while the upstream need not be spared: its quota lasts, and its breaker or a pause
 * that it asked for holds nothing back. */
int refresh_start_missing(struct service *s, struct slice url, void (*done)(void *arg, const struct refresh_result *r),
	void *arg) WARN_UNUSED;

#endif
