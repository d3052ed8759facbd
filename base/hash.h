/* SPDX-License-Identifier: MIT */
/* uthash set up once (keyed, out of memory is an error and not an exit), and the hashes that the project uses: tables whose
 * keys clients or origins choose use hash_keyed, for which nobody outside can find collisions. XXH3 is for numbers that
 * must be the same in other processes.
 * Thread: any. Include this, never <uthash.h>. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

/* With HASH_NONFATAL_OOM an insert that fails leaves the element out: set `ok` to true before HASH_ADD and test it
 * after. The variable that HASH_ADD clears must be named `hash_ok` in the calling scope. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(elt) (hash_ok = false)
#define uthash_malloc(n) mem_alloc(n)
#define uthash_free(p, n) mem_free(p)
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = (unsigned)hash_keyed((keyptr), (keylen)))
#include <uthash.h>

/* SipHash-1-3 with a secret of this process; little-endian machines only. */
uint64_t hash_keyed(const void *p, size_t n);
uint64_t hash_keyed_with(const uint64_t key[2], const void *p, size_t n); /* the same with another */

/* For numbers that are hashes already, but not keyed ones: somebody may have chosen many that collide. */
static inline uint64_t hash_keyed_u64(uint64_t x)
{
	return hash_keyed(&x, sizeof(x));
}

struct hash128 {
	uint64_t lo, hi;
};

static inline struct hash128 hash128_of(const void *p, size_t n)
{
	XXH128_hash_t h = XXH3_128bits(p, n);
	return (struct hash128){h.low64, h.high64};
}

static inline uint64_t hash64_of(const void *p, size_t n)
{
	return XXH3_64bits(p, n);
}

#endif
