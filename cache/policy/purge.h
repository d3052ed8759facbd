/* SPDX-License-Identifier: MIT */
/* One purge, as everybody hands it on: operators, writes, the cache, its tiers, the journal, the other process of an upgrade. */
#ifndef CACHE_POLICY_PURGE_H
#define CACHE_POLICY_PURGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Every kind, once, and what operators call it. Its place is its number in journals and between processes: a new one comes last.
 * What it names of a response is said in invalidation.c, how an operator names that in proxy/admin/admin_cache.c: the
 * compiler asks for it in their two switches. */
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
};

/* A kind and its softness in a journal's entry and in a message to another process; `user` and `what` stand elsewhere in them. To
 * change this is to change both formats. */
struct purge_code {
	uint8_t kind, soft;
};
struct purge_code purge_encode(const struct purge *p);
/* Borrows `what`. False: there is no such kind. */
bool purge_decode(struct purge_code code, uint64_t user, struct slice what, struct purge *out);

#endif
