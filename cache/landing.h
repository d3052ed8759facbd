/* SPDX-License-Identifier: MIT */
/* Order among the responses of one key. A response *lands* when it is stored, or when it is known that it will not be and what
 * it supersedes goes (RFC 9111 4.3.3: a full response below 500 takes the place of what is stored, whether or not it can be
 * kept itself). What was asked for before a response that has landed is *late*: it goes to those who wait for it, but neither
 * stores nor retires anything, in neither tier, and nobody joins it any more.
 * Order is by when the upstream was asked, not by when the response came.
 * Thread: any; `_locked` wants the mu of the key's shard. Private to cache/. */
#ifndef CACHE_LANDING_H
#define CACHE_LANDING_H

#include "cache/flight_internal.h"
#include "cache/lower.h"
#include "cache/policy/vary.h"

/* Whom it speaks for: what is stored, for all whom it serves; else those whose request can't be told from this one; without
 * either, everybody. */
struct landing {
	uint64_t order;
	const struct object *stored;       /* or NULL, and: */
	const struct http_fields *request; /* of the response that is not stored; or NULL */
	/* Not the whole of a response, or one that nobody looked at: an older fetch is late only where it brings another strong
	 * validator than this; empty: only where it is kept (a FLIGHT_KEPT), not where it is of the whole. */
	bool is_partial_evidence;
	struct slice validator;
};

/* A number for a request that goes upstream now. */
uint64_t landing_order(struct cache *c);
void landing_locked(struct cache *c, struct entry *e, const struct landing *l);
/* For requests that are in no list of flights: may a response of the key, or of one that shares its slot, have landed that was
 * asked for later? */
bool landing_is_past_locked(const struct cache *c, const struct entry *e, uint64_t order);
/* The same by the key, which may have no entry in memory. Without one no flight is under way that would have to be told, but a
 * request that is in no list may be. */
bool landing_key_is_past_locked(const struct cache *c, const struct cache_key *key, uint64_t order);
void landing_key_locked(struct cache *c, const struct cache_key *key, uint64_t order);

/* Has a response to a later request landed, so that `o` (NULL: a response that is not stored) comes too late? */
bool landing_is_late_locked(const struct flight *f, const struct object *o);
/* The flight's response is, or was, stored as `o`. */
void landing_stored_locked(struct flight *f, const struct object *o);
/* It is not: all that would have been selected for the flight's request goes, in the lower tier all of the key. Other variants stay
 * in memory: what one request is told says nothing about what others are shown, and they are asked about in their turn. */
void landing_retire_locked(struct flight *f, struct lower_write *w, struct garbage *g);

/* Is it stored for such a request? */
bool object_serves(const struct object *o, const struct http_fields *request);
/* The same for one request and many objects: its fields are normalised once. */
bool object_serves_wants(const struct object *o, struct vary_wants *w);

#endif
