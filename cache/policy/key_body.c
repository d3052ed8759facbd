/* SPDX-License-Identifier: MIT */
#include "cache/policy/key_body.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <sys/random.h>

#include "base/buf.h"

_Static_assert(KEY_DIGEST_BYTES == SHA256_DIGEST_LENGTH, "SHA-256 throughout");

void key_digest(struct slice body, unsigned char out[KEY_DIGEST_BYTES])
{
	SHA256((const unsigned char *)(body.n ? body.p : ""), body.n, out);
}

static bool has_real(const json_t *value)
{
	if (json_is_real(value))
		return true;
	if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value); i++) {
			if (has_real(json_array_get(value, i)))
				return true;
		}
		return false;
	}
	/* jansson's iterators take no const, yet change nothing. */
	json_t *object = (json_t *)(uintptr_t)value;
	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
		if (has_real(json_object_iter_value(at)))
			return true;
	}
	return false;
}

/* Of a body that is JSON. jansson reads -0 as 0, and not every origin does: in JavaScript they are two. */
static bool has_minus_zero(struct slice body)
{
	bool in_string = false;

	for (size_t i = 0; i < body.n; i++) {
		if (body.p[i] == '"')
			in_string = !in_string;
		else if (in_string && body.p[i] == '\\')
			i++;
		else if (!in_string && body.p[i] == '-' && i + 1 < body.n && body.p[i + 1] == '0')
			return true;
	}
	return false;
}

static int add_text(const char *text, size_t n, void *arg)
{
	return buf_add(arg, text, n) < 0 ? -1 : 0;
}

/* The parser's own limit on depth (2048) bounds the recursion here, in has_real and in jansson. */
bool key_json_digest(struct slice body, unsigned char out[KEY_DIGEST_BYTES])
{
	if (body.n == 0 || body.n > KEY_JSON_MAX)
		return false;
	json_error_t error;
	json_t *root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!root)
		return false;
	struct buf text;
	buf_init(&text, 2 * KEY_JSON_MAX);
	bool done = !has_real(root) && !has_minus_zero(body) &&
		    json_dump_callback(root, add_text, &text, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) == 0;
	if (done)
		key_digest(buf_slice(&text), out);
	buf_fini(&text);
	json_decref(root);
	return done;
}

int key_secret_draw(struct key_secret *s)
{
	return getrandom(s->bytes, sizeof(s->bytes), 0) == (ssize_t)sizeof(s->bytes) ? 0 : -EIO;
}

bool key_identity_digest(const struct key_secret *secret, struct slice identity, unsigned char out[KEY_DIGEST_BYTES])
{
	unsigned n = 0;

	return secret &&
	       HMAC(EVP_sha256(), secret->bytes, sizeof(secret->bytes),
		       (const unsigned char *)(identity.n ? identity.p : ""), identity.n, out, &n) &&
	       n == KEY_DIGEST_BYTES;
}
