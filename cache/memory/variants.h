/* SPDX-License-Identifier: MIT */
/* The variants of an entry that has many of them, by a hash of what their Vary names had: so a lookup visits those that may be what
 * it looks for, and not all. Whoever finds one compares in full. Few are looked through one after the other, and have no index.
 * Thread: any, under the shard's mu. Owns: the index, which lies with the entry's newest variant. Bounds: max_variants; 16 bytes a
 * variant, counted as the tier's. Where there is no memory for it, or Vary has named more than VARIANT_SETS sets of fields, there is no
 * index. Private to cache/. */
#ifndef CACHE_MEMORY_VARIANTS_H
#define CACHE_MEMORY_VARIANTS_H

#include "cache/memory/object_internal.h"
#include "cache/policy/vary.h"

#define VARIANTS_LISTED 8 /* up to here without an index */
#define VARIANT_SETS 8

/* `o` has become the newest variant, before which there were `others`; or goes, and is the list's still. */
void variants_added_locked(struct entry *e, struct object *o, unsigned others);
void variants_dropping_locked(struct entry *e, struct object *o);
/* Its objects lie somewhere else, in the same order. */
void variants_moved_locked(struct entry *e);

struct variant_seek {
	uint32_t hashes[2 * VARIANT_SETS]; /* that what is looked for may have */
	unsigned hashes_n;
	unsigned before; /* of the index, which is oldest first: those that are not visited yet */
};
static inline bool variants_have_index(const struct entry *e)
{
	return e->variants && object_extras(e->variants) && object_extras(e->variants)->index;
}
/* Of an entry that has an index. */
void variants_seek_locked(const struct entry *e, struct vary_wants *w, struct variant_seek *s);
/* The next older one that may serve the request, or NULL; the last one may be dropped meanwhile, and the index with it. */
struct object *variants_next_locked(const struct entry *e, struct variant_seek *s);

#endif
