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
 * numbers with a fraction or an exponent or beyond 64 bits, U+0000, more than KEY_JSON_MAX bytes. */
bool key_json_digest(struct slice body, unsigned char out[KEY_DIGEST_BYTES]) WARN_UNUSED;
/* HMAC-SHA-256 under the secret below; without one, under one that is drawn at the first use. False when there is no
 * randomness to draw. */
bool key_identity_digest(struct slice identity, unsigned char out[KEY_DIGEST_BYTES]) WARN_UNUSED;
/* What identities are hashed with from now on: where answers outlive the process. Before any key is built. */
#define KEY_SECRET_BYTES 32
void key_identity_secret(const unsigned char bytes[KEY_SECRET_BYTES]);

#endif
