/* SPDX-License-Identifier: MIT */
/* A segment's header, footer and name: bytes only. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "cache/disk/log/record.h"
#include "cache/disk/log/segment.h"

static uint64_t header_sum(const struct segment_header *h)
{
	return XXH3_64bits(h, offsetof(struct segment_header, sum));
}

int segment_read_header(const void *p, uint64_t store, uint64_t file_size, struct segment_header *out)
{
	memcpy(out, p, sizeof(*out));
	if (out->magic != SEGMENT_MAGIC || out->sum != header_sum(out))
		return -EBADMSG;
	return out->store == store && out->size == file_size ? 0 : -EBADMSG;
}

void segment_write_header(struct segment_header *h)
{
	h->magic = SEGMENT_MAGIC;
	h->sum = header_sum(h);
}

static uint64_t trailer_sum(const struct segment_trailer *t)
{
	return XXH3_64bits(t, offsetof(struct segment_trailer, sum));
}

int segment_read_trailer(const void *p, uint64_t generation, uint64_t size, struct segment_trailer *out)
{
	uint64_t at = size - sizeof(*out);

	if (size < sizeof(struct segment_header) + sizeof(*out))
		return -EBADMSG;
	memcpy(out, p, sizeof(*out));
	if ((out->magic != TRAILER_MAGIC && out->magic != SETTLED_MAGIC) || out->generation != generation ||
		out->sum != trailer_sum(out))
		return -EBADMSG;
	if (out->end < sizeof(struct segment_header) || out->end > at || out->end % 8 != 0)
		return -EBADMSG;
	return out->entries <= (at - out->end) / sizeof(struct footer_entry) ? 0 : -EBADMSG;
}

static uint64_t entries_sum(const struct segment_trailer *t, const struct footer_entry *entries)
{
	return XXH3_64bits_withSeed(entries, t->entries * sizeof(*entries), t->generation);
}

void segment_write_trailer(struct segment_trailer *t, const struct footer_entry *entries)
{
	if (t->magic != SETTLED_MAGIC)
		t->magic = TRAILER_MAGIC;
	t->footer_sum = entries_sum(t, entries);
	t->sum = trailer_sum(t);
}

bool footer_is_right(const struct segment_trailer *t, const struct footer_entry *entries)
{
	return entries_sum(t, entries) == t->footer_sum;
}

struct footer_entry footer_entry_of(const struct record_header *h, uint64_t at, uint64_t n)
{
	return (struct footer_entry){
		.key_lo = h->key_lo,
		.key_hi = h->key_hi,
		.lsn = h->lsn,
		.base_lsn = h->base_lsn,
		.variant = h->variant,
		.off8 = (uint32_t)(at / 8),
		.n8 = (uint32_t)(n / 8),
		.kind = h->kind,
	};
}

bool footer_entry_fits(const struct footer_entry *e, uint64_t end)
{
	uint64_t at = (uint64_t)e->off8 * 8, n = (uint64_t)e->n8 * 8;

	return at >= sizeof(struct segment_header) && n > 0 && at <= end && n <= end - at;
}

void segment_name(uint64_t id, char out[SEGMENT_NAME_MAX])
{
	snprintf(out, SEGMENT_NAME_MAX, "seg-%016" PRIx64, id);
}

bool segment_name_read(const char *name, uint64_t *id)
{
	return io_number_in(name, "seg-", id);
}
