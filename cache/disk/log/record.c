/* SPDX-License-Identifier: MIT */
#include "cache/disk/log/record.h"

#include <errno.h>

/* The clock was set back by more than a little: nobody knows how old the response is. */
#define CLOCK_SLACK_MS 2000

/* From the beginning of the meta. */
static size_t tags_at_of(const struct record_header *h)
{
	return (size_t)record_pad((uint64_t)h->key_n + h->names_n + h->values_n);
}

size_t record_meta_n(const struct record_header *h)
{
	return (size_t)record_pad(tags_at_of(h) + (uint64_t)h->tags_n * sizeof(uint64_t) + h->head_n);
}

uint64_t record_blocks(uint64_t body_n)
{
	return body_n / RECORD_BLOCK + (body_n % RECORD_BLOCK != 0);
}

uint64_t record_total(const struct record_header *h)
{
	uint64_t n = sizeof(*h) + record_meta_n(h);

	if (h->kind == RECORD_WHOLE)
		n += record_pad(h->body_n) + record_blocks(h->body_n) * sizeof(uint64_t);
	return n;
}

/* ---- Reading ---- */

static uint64_t header_sum(const struct record_header *h)
{
	return XXH3_64bits(h, offsetof(struct record_header, header_sum));
}

static bool part_fits(const struct record_header *h)
{
	if (h->part_total == 0)
		return h->part_first == 0;
	return h->part_first <= h->part_total && h->body_n <= h->part_total - h->part_first;
}

/* Each length alone, so that no sum of them can overflow. */
static bool lengths_fit(const struct record_header *h, uint64_t room)
{
	const uint32_t each[] = {h->key_n, h->names_n, h->values_n, h->head_n};

	for (unsigned i = 0; i < ARRAY_LEN(each); i++)
		if (each[i] > RECORD_META_MAX)
			return false;
	if (h->tags_n > RECORD_META_MAX / sizeof(uint64_t) || h->body_n > UINT64_MAX / 4)
		return false;
	if (h->url_off > h->key_n || h->url_n > h->key_n - h->url_off || !part_fits(h))
		return false;
	return record_meta_n(h) <= RECORD_META_MAX && record_total(h) <= room;
}

int record_read_header(const void *p, uint64_t generation, uint64_t room, struct record_header *out)
{
	if (room < sizeof(*out))
		return -EBADMSG;
	memcpy(out, p, sizeof(*out));
	if (out->magic != RECORD_MAGIC || out->generation != generation || out->header_sum != header_sum(out))
		return -EBADMSG;
	if (out->kind != RECORD_WHOLE && out->kind != RECORD_HEAD)
		return -EBADMSG;
	return lengths_fit(out, room) ? 0 : -EBADMSG;
}

int record_read_meta(const struct record_header *h, const void *meta, struct record_meta *out)
{
	const char *p = meta;
	size_t tags_at = tags_at_of(h);

	if (XXH3_64bits(meta, record_meta_n(h)) != h->meta_sum)
		return -EBADMSG;
	*out = (struct record_meta){
		.key = {p, h->key_n},
		.url = {p + h->url_off, h->url_n},
		.names = {p + h->key_n, h->names_n},
		.values = {p + h->key_n + h->names_n, h->values_n},
		.tags = (const uint64_t *)(const void *)(p + tags_at),
		.head = {p + tags_at + h->tags_n * sizeof(uint64_t), h->head_n},
	};
	return 0;
}

bool record_sums_are_right(const struct record_header *h, const uint64_t *sums)
{
	return XXH3_64bits(sums, record_blocks(h->body_n) * sizeof(*sums)) == h->sums_sum;
}

bool record_block_is_right(uint64_t sum, const void *p, size_t n)
{
	return XXH3_64bits(p, n) == sum;
}

bool record_body_is_right(const struct record_header *h, const char *body)
{
	const uint64_t *sums = (const uint64_t *)(const void *)(body + record_pad(h->body_n));

	if (h->kind == RECORD_HEAD)
		return true;
	if (!record_sums_are_right(h, sums))
		return false;
	for (uint64_t i = 0; i < record_blocks(h->body_n); i++) {
		uint64_t at = i * RECORD_BLOCK, left = h->body_n - at;

		if (!record_block_is_right(sums[i], body + at, left < RECORD_BLOCK ? (size_t)left : RECORD_BLOCK))
			return false;
	}
	return true;
}

/* Time since it was received. On the machine's same run the monotonic clock tells, whatever became of the other. */
static int64_t elapsed_ms(const struct record_header *h, uint64_t clock_id, struct now now)
{
	int64_t ms;

	if (h->clock_id == clock_id && h->received_mono_ms >= 0 && now.mono_ms >= h->received_mono_ms)
		return now.mono_ms - h->received_mono_ms;
	if (__builtin_sub_overflow(now.wall_ms, h->received_wall_ms, &ms) || ms < -CLOCK_SLACK_MS)
		return -1;
	return ms > 0 ? ms : 0;
}

/* Sums of a few of these can't overflow, whatever a record says. */
static int64_t sane_ms(int64_t ms)
{
	if (ms < 0)
		return 0;
	return ms < INT64_MAX / 8 ? ms : INT64_MAX / 8;
}

/* Long enough ago that only validation is left. */
static int64_t ago_of_useless_ms(const struct freshness *f)
{
	return f->lifetime_ms + policy_stale_window_ms(f) + 1;
}

void record_freshness(const struct record_header *h, uint64_t clock_id, struct now now, struct freshness *out)
{
	int64_t ms = elapsed_ms(h, clock_id, now);

	*out = (struct freshness){
		.lifetime_ms = sane_ms(h->lifetime_ms),
		.initial_age_ms = sane_ms(h->initial_age_ms),
		.received_wall_ms = h->received_wall_ms,
		.stale_while_revalidate_ms = sane_ms(h->stale_while_revalidate_ms),
		.stale_if_error_ms = sane_ms(h->stale_if_error_ms),
		.stale_if_unreachable_s = h->stale_if_unreachable_s,
		.flags = h->fresh_flags,
		.source = h->fresh_source,
		.fetch_time = h->fetch_time,
	};
	out->received_mono_ms = now.mono_ms - (ms >= 0 ? sane_ms(ms) : ago_of_useless_ms(out));
}

/* ---- Writing ---- */

void record_set_freshness(struct record_header *h, const struct freshness *f, uint64_t clock_id)
{
	h->lifetime_ms = f->lifetime_ms;
	h->initial_age_ms = f->initial_age_ms;
	h->received_mono_ms = f->received_mono_ms;
	h->received_wall_ms = f->received_wall_ms;
	h->stale_while_revalidate_ms = f->stale_while_revalidate_ms;
	h->stale_if_error_ms = f->stale_if_error_ms;
	h->stale_if_unreachable_s = f->stale_if_unreachable_s;
	h->fresh_flags = f->flags;
	h->fresh_source = f->source;
	h->fetch_time = f->fetch_time;
	h->clock_id = clock_id;
}

uint32_t record_variant(struct slice names, struct slice values)
{
	uint64_t h = XXH3_64bits(names.p, names.n);

	return (uint32_t)(h ^ XXH3_64bits_withSeed(values.p, values.n, h));
}

static char *put(char *p, const void *from, size_t n)
{
	if (n > 0)
		memcpy(p, from, n);
	return p + n;
}

static char *put_zeros(char *p, const char *end)
{
	memset(p, 0, (size_t)(end - p));
	return p + (end - p);
}

void record_write_meta(void *p, struct record_header *h, const struct record_parts *parts)
{
	char *meta = (char *)p + sizeof(*h), *at = meta;

	at = put(at, parts->key.p, parts->key.n);
	at = put(at, parts->names.p, parts->names.n);
	at = put(at, parts->values.p, parts->values.n);
	at = put_zeros(at, meta + tags_at_of(h));
	at = put(at, parts->tags, h->tags_n * sizeof(uint64_t));
	at = put(at, parts->head.p, parts->head.n);
	put_zeros(at, meta + record_meta_n(h));
	h->meta_sum = XXH3_64bits(meta, record_meta_n(h));
	record_sign(h);
	memcpy(p, h, sizeof(*h));
}

void record_sign(struct record_header *h)
{
	h->header_sum = header_sum(h);
}
