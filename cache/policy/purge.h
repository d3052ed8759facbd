/* SPDX-License-Identifier: MIT */
/* One purge, as everybody hands it on: operators, writes, the cache, its tiers, the journal, the other process of an upgrade. */
#ifndef CACHE_POLICY_PURGE_H
#define CACHE_POLICY_PURGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Every kind, once, and what operators call it. Its place is its number in journals and between processes: a new one comes last.
 * What it names of a response is said in invalidation.c, how an operator names that in proxy/admin/admin_purge.c: the
 * compiler asks for it in their switches. */
#define PURGE_KINDS(KIND) KIND(URL, "url") KIND(PREFIX, "prefix") KIND(TAG, "tag") KIND(USER, "user") KIND(ALL, "all")
#define PURGE_KINDS_IN_WORDS "url, prefix, tag, user and all"

#define PURGE_KIND(KIND, name) PURGE_##KIND,
enum purge_kind { PURGE_KINDS(PURGE_KIND) };
#undef PURGE_KIND
#define PURGE_KIND(KIND, name) +1
enum { PURGE_KINDS_N = PURGE_KINDS(PURGE_KIND) };
#undef PURGE_KIND
extern const char *const purge_kind_names[PURGE_KINDS_N];

struct purge {
	enum purge_kind kind;
	bool soft;         /* stale instead of absent */
	struct slice what; /* borrowed: the URL, its beginning, or the tag */
	uint64_t user;     /* of USER: cache_user_hash */
	uint64_t spread;   /* 0: at once; else purge_spread, and each key goes at a time of its own within the span */
};

/* From when (wall time) and for how long, at most PURGE_SPREAD_MAX_MS, in steps of 100 ms; 0 for no span. */
#define PURGE_SPREAD_MAX_MS (24 * 60 * 60 * 1000)
uint64_t purge_spread(int64_t from_wall_ms, int64_t span_ms);
int64_t purge_spread_ms(uint64_t spread); /* the span */

/* A purge in a journal's entry and in a message to another process. To change this is to change both formats. Who does not know of
 * spreads does not look at where one stands (the number, or of a user `what`), and purges at once. */
struct purge_code {
	uint8_t kind, soft;
};
struct purge_coded {
	struct purge_code code;
	uint64_t number;   /* the user, or else the spread */
	struct slice what; /* borrowed from the purge */
};
struct purge_coded purge_encode(const struct purge *p);
/* Borrows `what`. False: there is no such kind. */
bool purge_decode(struct purge_code code, uint64_t number, struct slice what, struct purge *out);

#endif
