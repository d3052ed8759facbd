/* SPDX-License-Identifier: MIT */
#include "cache/memory/encode.h"

#include "base/mem.h"
#include "cache/memory/encoder.h"
#include "cache/memory/encodings.h"
#include "http/cache_control.h"

struct slice cache_coding_name(enum cache_coding c)
{
	static const char *const names[] = {[CACHE_BR] = "br", [CACHE_ZSTD] = "zstd", [CACHE_GZIP] = "gzip"};

	return c < CACHE_CODINGS ? slice_of(names[c]) : (struct slice){"", 0};
}

/* ---- What is encoded ---- */

static bool is_text(const struct http_fields *fields)
{
	static const char *const ends[] = {"json", "xml", "javascript", "ecmascript", "yaml", "x-ndjson", "graphql",
		"wasm", "x-www-form-urlencoded"};
	struct slice media = http_media_type(fields, NULL);

	if (media.n > 5 && slice_starts_with_nocase(media, SLICE_LIT("text/")))
		return !slice_equal_nocase(media, SLICE_LIT("text/event-stream"));
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		if (slice_ends_with_nocase(media, slice_of(ends[i])))
			return true;
	return false;
}

/* Digests are of the bytes as the origin sent them (RFC 9530). */
static bool has_digest(const struct http_fields *fields)
{
	static const char *const names[] = {"Content-MD5", "Digest", "Content-Digest", "Repr-Digest"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (http_fields_find(fields, slice_of(names[i])))
			return true;
	return false;
}

bool encode_is_meant(const struct cache_rules *rules, int status, const struct http_fields *fields)
{
	struct cache_control cc;

	if (!rules->compress || status != 200 || !is_text(fields) || http_fields_get(fields, HF_CONTENT_ENCODING) ||
		has_digest(fields))
		return false;
	return !cache_control_of(&cc, fields) || !cc.no_transform; /* RFC 9111 5.2.2.6 */
}

int encode_announce(struct http_fields *fields)
{
	if (http_fields_has_token(fields, HF_VARY, SLICE_LIT("Accept-Encoding")))
		return 0;
	return http_fields_add_id(fields, HF_VARY, SLICE_LIT("Accept-Encoding"));
}

void encode_drop_name(struct buf *names)
{
	struct slice rest = buf_slice(names), member;
	size_t kept = 0;

	/* The list only gets shorter, so it is written over itself. */
	while (http_list_next(&rest, &member)) {
		if (slice_equal(member, SLICE_LIT("accept-encoding")))
			continue;
		if (kept > 0)
			names->p[kept++] = ',';
		memmove(names->p + kept, member.p, member.n);
		kept += member.n;
	}
	names->n = kept;
}

/* ---- Encoding ---- */

void encode_object(
	struct encoder *encoder, struct object *o, const struct cache_rules *rules, unsigned worker, int64_t now_ms)
{
	_Atomic(struct encodings *) *at = object_encodings_at(o);
	struct slice body = object_body_at(o, 0);
	struct encodings *e;

	if (!at || !rules->compress || atomic_load(at) || body.n < ENCODE_MIN || body.n > ENCODE_MAX)
		return;
	e = encodings_new(o->entry->shard);
	if (!e)
		return;
	atomic_store_explicit(at, e, memory_order_release);
	if (body.n <= ENCODE_AT_ONCE && encoder_allows_at_once(encoder, worker, now_ms, body.n))
		encodings_make(e, o->entry->shard, body, rules->compress);
	else
		encoder_give(encoder, o, rules->compress);
}

/* ---- Use ---- */

bool object_encoded(const struct object *o, enum cache_coding c, struct slice *bytes)
{
	const struct encodings *e = c < CACHE_CODINGS ? object_encodings(o) : NULL;

	return e && encodings_get(e, c, bytes);
}

void encode_share(struct object *to, const struct object *from)
{
	_Atomic(struct encodings *) *at = object_encodings_at(to);
	struct encodings *e = object_encodings(from);

	if (at && e)
		atomic_store_explicit(at, encodings_ref(e), memory_order_release);
}
