/* SPDX-License-Identifier: MIT */
/* The encodings of one body, shared by the responses that share it.
 * Thread: any; what is made does not change. Owns: its bytes, out of the budget of the shard that each call names.
 * Private to cache/. */
#ifndef CACHE_MEMORY_ENCODINGS_H
#define CACHE_MEMORY_ENCODINGS_H

#include "cache/memory/object_internal.h"

struct encodings;

/* Without any yet; or NULL. */
struct encodings *encodings_new(struct shard *s) WARN_UNUSED;
struct encodings *encodings_ref(struct encodings *e);
void encodings_unref(struct shard *s, struct encodings *e); /* which may be NULL */
bool encodings_are_shared(const struct encodings *e);
/* Makes them, as far as there is room and they are shorter; once. codings: bits 1u << enum cache_coding. */
void encodings_make(struct encodings *e, struct shard *s, struct slice body, unsigned codings);
/* False: there is none, or not yet. */
bool encodings_get(const struct encodings *e, enum cache_coding c, struct slice *bytes);
/* Where that one is, or NULL: to be changed by the only one who refers to e. */
struct block **encodings_block(struct encodings *e, enum cache_coding c);
uint64_t encodings_bytes(const struct encodings *e); /* which may be NULL */

#endif
