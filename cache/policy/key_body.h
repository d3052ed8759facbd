/* SPDX-License-Identifier: MIT */
/* What a request's body and its user add to a key: digests.
 * Thread: any. Bounds: bodies over KEY_JSON_MAX are not parsed. */
#ifndef CACHE_POLICY_KEY_BODY_H
#define CACHE_POLICY_KEY_BODY_H

#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

#define KEY_DIGEST_BYTES 32
/* jansson takes up to 40 bytes of memory for one of text. */
#define KEY_JSON_MAX (256 * 1024)

/* SHA-256: who can choose a body must not be able to find two that share a key. */
void key_digest(struct slice body, unsigned char out[KEY_DIGEST_BYTES]);
/* The digest of the body's canonical form: members sorted by name, no insignificant space, strings without needless
 * escapes. False, and out unchanged, for what has no form that every reader takes alike: no valid JSON, repeated names,
 * numbers with a fraction or an exponent or beyond 64 bits, -0, U+0000, more than KEY_JSON_MAX bytes. */
bool key_json_digest(struct slice body, unsigned char out[KEY_DIGEST_BYTES]) WARN_UNUSED;
/* What identities are hashed with: the lower tier's where there is one, as long as what is stored there is. Never to be shown. */
#define KEY_SECRET_BYTES 32
struct key_secret {
	unsigned char bytes[KEY_SECRET_BYTES];
};
/* A new one, for a process whose responses end with it. 0 or -EIO: there is no randomness. */
int key_secret_draw(struct key_secret *s) WARN_UNUSED;
/* HMAC-SHA-256 under the secret. False without one. */
bool key_identity_digest(
	const struct key_secret *secret, struct slice identity, unsigned char out[KEY_DIGEST_BYTES]) WARN_UNUSED;

#endif
