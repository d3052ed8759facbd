/* SPDX-License-Identifier: MIT */
/* Rows for policy's tables: an exchange as text, and what policy must say of it. */
#ifndef TESTS_POLICY_ROWS_H
#define TESTS_POLICY_ROWS_H

#include "default_rules.h"

#include "cache/policy/policy.h"

/* Mon, 01 Jan 2024 00:00:00 GMT: the response's arrival. "@-60" in a field is the date a minute before it. */
#define ROWS_T0_S 1704067200LL

struct policy_row {
	const char *name;
	const char *section; /* of the RFC that says so, or "route" for a matter of the operator's */
	const char *what;    /* "GET 200": method and status */
	const char *request; /* field lines, each ended by '\n' but the last; NULL: none */
	const char *response;
	const char *
		route; /* "ttl=60 force=5 min= max= swr= sie= t404= t4xx= t5xx= t3xx= cookie=store|strip|pass scope=user
	                       * refresh off post query override=private,no-store jitter=PERCENT:PART targeted=A,B"; NULL: the default with
	                       * CDN-Cache-Control */
	double delay_s; /* from request to answer */
	enum policy_store store;
	double lifetime_s; /* the rest is looked at when it is stored */
	enum policy_source source;
	double at_s; /* after arrival */
	double age_s;
	char use; /* F fresh, W while revalidating, A stale allowed, V validate, R validate because of the request */
};

/* Everything that an exchange points to. */
struct rows_exchange {
	struct policy_exchange x;
	struct http_fields request, response;
	struct cache_rules rules;
	struct cache_status_ttl status_ttl[4];
	struct slice targeted[4];
	char text[16384];
	size_t text_n;
};

void rows_exchange_init(struct rows_exchange *e, const char *what, const char *request, const char *response,
	const char *route, double delay_s);
void rows_exchange_fini(struct rows_exchange *e);
void rows_fields(struct rows_exchange *e, struct http_fields *out, const char *text);
struct now rows_at(double seconds_after_arrival);
/* The reuse decision of this request on that freshness. */
struct policy_reuse rows_reuse(
	const struct rows_exchange *e, const struct freshness *f, bool soft_purged, struct now now);

/* Runs all rows, prints those that fail, and fails the test if any did. */
void policy_rows_run(const struct policy_row *rows, size_t n);

#endif
