/* SPDX-License-Identifier: MIT */
/* What the files of a lookup share: lookup.c decides, the others answer its questions. Private to cache/.
 * Thread: the one that looks up. `_locked`, and what takes an entry, wants the shard's mu. */
#ifndef CACHE_LOOKUP_INTERNAL_H
#define CACHE_LOOKUP_INTERNAL_H

#include "cache/flight_internal.h"
#include "cache/lower.h"
#include "cache/policy/vary.h"

struct lookup {
	struct cache *c;
	const struct cache_request *r;
	struct now now;
	const struct cache_control *client_cc; /* NULL: the route does not let clients decide */
	bool pragma_no_cache, only_if_cached;
	bool is_head, is_range;
	bool is_for_origin;     /* nothing that is stored can answer it */
	bool has_credential;    /* what its response says goes for nobody else, unless the origin says so */
	bool is_alone;          /* joins nothing and is not joined */
	bool is_forced;         /* cache_refresh, cache_fill */
	bool is_fill;           /* cache_fill */
	struct object *partial; /* a stored part that is not all that the request asks for; or NULL */
	bool is_withheld;       /* what is stored for it may not go to who bears a credential */
	struct shard *shard;
	struct cache_result *out;
	struct vary_wants *wants; /* the request's, against what it meets under the lock */
	/* made outside the lock where the request may come to lead */
	struct entry *spare_entry;
	struct markers *spare_markers;
	struct flight *spare_flight;
	bool asks_lower; /* decided: it comes first */
	bool lower_done; /* and it has come */
	bool from_lower;
	struct buf known_vary; /* names that responses of the key had in Vary */
	struct garbage garbage;
};

/* ---- Spares (lookup_spares.c) ---- */
/* Entry, markers and flight, made before the lock is taken, since nothing is allocated under it. What decides without them as long as
 * it can returns false where it needs them ("it needs spares"): the lock is let go, they are made, and all is decided anew. */
/* Under the lock: the Vary that the key's responses had, for the flight to be made; those of another class than this request's are
 * not made to wait for it. */
void lookup_note_vary(struct entry *e, struct buf *names);
/* Everything that leading takes, so that nothing is allocated while others wait for the lock. False: no memory. */
bool lookup_make_spares(struct lookup *l);
void lookup_free_spares(struct lookup *l);
/* The key's entry, with its markers, made of the spares where it is NULL; NULL: no memory. */
struct entry *lookup_ensure_entry(struct lookup *l, struct entry *e);

/* ---- Ranges (lookup_range.c) ---- */
/* Has a stored part all that is asked for? */
bool lookup_part_serves(struct lookup *l, const struct object *o);
/* Is the rest of the stored part to be asked for? */
bool lookup_has_use_of_tail(struct lookup *l);
bool lookup_is_whole(const struct object *o);
/* A range is cut out of the whole: it waits for a fetch of that. Else it goes to the origin as a range. `o`: what is stored that
 * answers it, were it fresh; a whole one is asked about for a range like for anything else. */
bool lookup_waits_for_whole(const struct lookup *l, const struct object *o);
/* And has it fetched. */
bool lookup_leads_to_whole(const struct lookup *l, const struct object *o);

/* ---- Waiting for others (lookup_join.c) ---- */
/* A fetch that the request may wait for; or NULL. */
struct flight *lookup_find_flight(struct lookup *l, struct entry *e);
void lookup_join(struct lookup *l, struct flight *f);
/* Is the whole being fetched, for whomever? */
bool lookup_is_whole_coming(const struct entry *e);
/* Is what is stored being validated already? */
bool lookup_is_being_fetched(struct lookup *l, struct entry *e, const struct object *o);
/* A response on its way to the lower tier can't be joined once its first bytes are gone, and one writer of it is enough. */
bool lookup_is_being_streamed(struct lookup *l, struct entry *e);

/* ---- The lower tier (lookup_lower.c) ---- */
/* With the entry, or NULL: true when the lower tier comes before the upstream; then the verdict is there, or asks_lower. */
bool lookup_turn_to_lower(struct lookup *l, struct entry *e);
/* After that, without the lock. True: the request waits for it. Else what was there, if anything, is in memory now. */
bool lookup_ask_lower(struct lookup *l);

#endif
