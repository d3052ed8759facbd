/* SPDX-License-Identifier: MIT */
#include "cache/memory/encode.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"
#include "cache/memory/encoder.h"
#include "http/cache_control.h"

#define BROTLI_QUALITY 5
#define GZIP_LEVEL 6
#define ZSTD_LEVEL 6

struct encodings {
	_Atomic uint32_t refs;
	_Atomic bool is_made;           /* v does not change any more */
	struct block *v[CACHE_CODINGS]; /* NULL: there is none */
};

static struct encodings *encodings_of(const struct object *o)
{
	_Atomic(struct encodings *) *at = object_encodings(o);

	return at ? atomic_load_explicit(at, memory_order_acquire) : NULL;
}

static bool is_made(const struct encodings *e)
{
	return atomic_load_explicit(&e->is_made, memory_order_acquire);
}

struct slice cache_coding_name(enum cache_coding c)
{
	static const char *const names[] = {[CACHE_BR] = "br", [CACHE_ZSTD] = "zstd", [CACHE_GZIP] = "gzip"};

	return c < CACHE_CODINGS ? slice_of(names[c]) : (struct slice){"", 0};
}

/* ---- What is encoded ---- */

static bool ends_with(struct slice s, struct slice end)
{
	return s.n >= end.n && slice_equal_nocase((struct slice){s.p + s.n - end.n, end.n}, end);
}

static bool is_text(const struct http_fields *fields)
{
	static const char *const ends[] = {"json", "xml", "javascript", "ecmascript", "yaml", "x-ndjson", "graphql",
		"wasm", "x-www-form-urlencoded"};
	const struct http_field *type = http_fields_get(fields, HF_CONTENT_TYPE);
	const char *semicolon;
	struct slice media;

	if (!type || type->value.n == 0 || http_fields_count(fields, HF_CONTENT_TYPE) != 1)
		return false;
	semicolon = memchr(type->value.p, ';', type->value.n);
	media = slice_trim(
		(struct slice){type->value.p, semicolon ? (size_t)(semicolon - type->value.p) : type->value.n});
	if (media.n > 5 && slice_equal_nocase((struct slice){media.p, 5}, SLICE_LIT("text/")))
		return !slice_equal_nocase(media, SLICE_LIT("text/event-stream"));
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		if (ends_with(media, slice_of(ends[i])))
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
	return !cache_control_of(&cc, fields, HF_CACHE_CONTROL) || !cc.no_transform; /* RFC 9111 5.2.2.6 */
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

static size_t make_br(struct slice in, char *out, size_t cap)
{
	size_t n = cap;

	return BrotliEncoderCompress(BROTLI_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT, in.n,
		       (const uint8_t *)in.p, &n, (uint8_t *)out)
		       ? n
		       : 0;
}

static size_t make_zstd(struct slice in, char *out, size_t cap)
{
	size_t n = ZSTD_compress(out, cap, in.p, in.n, ZSTD_LEVEL);

	return ZSTD_isError(n) ? 0 : n;
}

static size_t make_gzip(struct slice in, char *out, size_t cap)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n, .next_out = (Bytef *)out};
	int rc;

	z.avail_out = (uInt)cap;
	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	rc = deflate(&z, Z_FINISH);
	deflateEnd(&z);
	return rc == Z_STREAM_END ? cap - z.avail_out : 0;
}

/* NULL when it does not become a tenth shorter, or there is no room. */
static struct block *make(struct shard *s, enum cache_coding c, struct slice in, char *scratch)
{
	static size_t (*const makers[])(struct slice in, char *out, size_t cap) = {
		[CACHE_BR] = make_br, [CACHE_ZSTD] = make_zstd, [CACHE_GZIP] = make_gzip};
	size_t n = makers[c](in, scratch, in.n - in.n / 10);
	struct block *b = n > 0 ? memory_take(s, sizeof(*b) + n) : NULL;

	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->n = n;
	memcpy(b->bytes, scratch, n);
	return b;
}

void encode_run(struct object *o, unsigned codings)
{
	struct encodings *e = encodings_of(o);
	struct slice body = object_body_at(o, 0);
	char *scratch = mem_alloc(body.n);

	for (unsigned c = 0; scratch && c < CACHE_CODINGS; c++)
		if (codings & (1U << c))
			e->v[c] = make(o->entry->shard, (enum cache_coding)c, body, scratch);
	/* Readers that see it see what it holds. */
	atomic_store_explicit(&e->is_made, true, memory_order_release);
	mem_free(scratch);
}

/* A successor after a 304 shares what is to be made. */
bool encode_is_wanted(const struct object *o)
{
	const struct encodings *e = encodings_of(o);

	return atomic_load_explicit(&o->refs, memory_order_relaxed) > 1 ||
	       atomic_load_explicit(&e->refs, memory_order_relaxed) > 1;
}

void encode_object(struct encoder *encoder, struct object *o, const struct cache_rules *rules)
{
	_Atomic(struct encodings *) *at = object_encodings(o);
	struct slice body = object_body_at(o, 0);
	struct encodings *e;

	if (!at || !rules->compress || atomic_load(at) || body.n < ENCODE_MIN || body.n > ENCODE_MAX)
		return;
	e = memory_take(o->entry->shard, sizeof(*e));
	if (!e)
		return;
	memset(e, 0, sizeof(*e));
	atomic_init(&e->refs, 1);
	atomic_store_explicit(at, e, memory_order_release);
	if (body.n <= ENCODE_AT_ONCE)
		encode_run(o, rules->compress);
	else
		encoder_give(encoder, o, rules->compress);
}

/* ---- Use ---- */

bool object_encoded(const struct object *o, enum cache_coding c, struct slice *bytes)
{
	const struct encodings *e = c < CACHE_CODINGS ? encodings_of(o) : NULL;

	if (!e || !is_made(e) || !e->v[c])
		return false;
	*bytes = (struct slice){e->v[c]->bytes, e->v[c]->n};
	return true;
}

void encodings_share(struct object *to, const struct object *from)
{
	_Atomic(struct encodings *) *at = object_encodings(to);
	struct encodings *e = encodings_of(from);

	if (!at || !e)
		return;
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	atomic_store_explicit(at, e, memory_order_release);
}

void encodings_drop(struct object *o)
{
	struct encodings *e = encodings_of(o);
	struct shard *s = o->entry->shard;

	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned c = 0; c < CACHE_CODINGS; c++)
		if (e->v[c])
			memory_give(s, e->v[c]);
	memory_give(s, e);
}

uint64_t encodings_bytes(const struct object *o)
{
	const struct encodings *e = encodings_of(o);
	uint64_t n = e ? mem_size(e) : 0;

	for (unsigned c = 0; e && is_made(e) && c < CACHE_CODINGS; c++)
		n += e->v[c] ? mem_size(e->v[c]) : 0;
	return n;
}
