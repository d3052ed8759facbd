/* SPDX-License-Identifier: MIT */
#include "cache/memory/encodings.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"

#define BROTLI_QUALITY 5
#define GZIP_LEVEL 6
#define ZSTD_LEVEL 6

struct encodings {
	_Atomic uint32_t refs;
	_Atomic bool is_made;           /* v does not change any more */
	struct block *v[CACHE_CODINGS]; /* NULL: there is none */
};

struct encodings *encodings_new(struct shard *s)
{
	struct encodings *e = memory_take(s, sizeof(*e));

	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	atomic_init(&e->refs, 1);
	return e;
}

struct encodings *encodings_ref(struct encodings *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

void encodings_unref(struct shard *s, struct encodings *e)
{
	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned c = 0; c < CACHE_CODINGS; c++)
		if (e->v[c])
			memory_give(s, e->v[c]);
	memory_give(s, e);
}

bool encodings_are_shared(const struct encodings *e)
{
	return atomic_load_explicit(&e->refs, memory_order_acquire) > 1;
}

/* ---- Making ---- */

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

void encodings_make(struct encodings *e, struct shard *s, struct slice body, unsigned codings)
{
	char *scratch = mem_alloc(body.n);

	for (unsigned c = 0; scratch && c < CACHE_CODINGS; c++)
		if (codings & (1U << c))
			e->v[c] = make(s, (enum cache_coding)c, body, scratch);
	/* Readers that see it see what it holds. */
	atomic_store_explicit(&e->is_made, true, memory_order_release);
	mem_free(scratch);
}

/* ---- Use ---- */

static bool is_made(const struct encodings *e)
{
	return atomic_load_explicit(&e->is_made, memory_order_acquire);
}

bool encodings_get(const struct encodings *e, enum cache_coding c, struct slice *bytes)
{
	if (!is_made(e) || !e->v[c])
		return false;
	*bytes = (struct slice){e->v[c]->bytes, e->v[c]->n};
	return true;
}

struct block **encodings_block(struct encodings *e, enum cache_coding c)
{
	return &e->v[c];
}

uint64_t encodings_bytes(const struct encodings *e)
{
	uint64_t n = e ? heap_size(e) : 0;

	for (unsigned c = 0; e && is_made(e) && c < CACHE_CODINGS; c++)
		n += e->v[c] ? heap_size(e->v[c]) : 0;
	return n;
}
