/* SPDX-License-Identifier: MIT */
/* What users' identities are hashed with: as long as it is the same, a user's responses are found again after a restart.
 * Thread: at opening. Owns: nothing.
 *
 * The file "secret", 64 bytes, mode 0600: valid if and only if magic and sum are right and store is the FORMAT's. It is
 * written before the FORMAT that it belongs to. Without a valid one the store starts empty: what was purged by user is
 * known by hashes only. */
#ifndef CACHE_DISK_SECRET_H
#define CACHE_DISK_SECRET_H

#include <stdint.h>

#include "base/check.h"
#include "cache/disk/store.h"

#define SECRET_MAGIC 0x3143455358504d4du /* "MMPXSEC1" */
#define SECRET_BYTES TIER_SECRET_BYTES

struct secret_file {
	uint64_t magic, store;
	unsigned char secret[SECRET_BYTES];
	uint64_t zero, sum; /* XXH3-64 of the 56 bytes before */
};
_Static_assert(sizeof(struct secret_file) == 64, "the secret is 64 bytes");

/* 0; -EPERM: not a regular file of this process's user that nobody else may read or write; -EBADMSG: missing or not valid;
 * else what kept it from being read. */
int secret_load(const struct disk_io *io, int dir, uint64_t store, unsigned char out[SECRET_BYTES]) WARN_UNUSED;
/* Draws one and puts it on the device, but for the directory's entry, which the caller syncs. */
int secret_make(const struct disk_io *io, int dir, uint64_t store, unsigned char out[SECRET_BYTES]) WARN_UNUSED;

#endif
