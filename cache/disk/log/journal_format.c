/* SPDX-License-Identifier: MIT */
/* The journal's bytes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "cache/disk/log/journal.h"

#define TOP64 ((uint64_t)1 << 63)
#define TOP32 ((uint32_t)1 << 31)

static uint64_t header_sum(const struct journal_header *h)
{
	return XXH3_64bits(h, offsetof(struct journal_header, sum));
}

int journal_read_header(const void *p, size_t n, uint64_t store, uint64_t number, struct journal_header *out)
{
	if (n < sizeof(*out))
		return -EBADMSG;
	memcpy(out, p, sizeof(*out));
	if (out->magic != JOURNAL_MAGIC || out->sum != header_sum(out))
		return -EBADMSG;
	return out->store == store && out->number == number && out->size == n ? 0 : -EBADMSG;
}

void journal_write_header(struct journal_header *h)
{
	h->magic = JOURNAL_MAGIC;
	h->sum = header_sum(h);
}

size_t journal_entry_bytes(const struct journal_entry *e)
{
	return sizeof(struct journal_head) + 16 + ((e->what.n + 7) & ~(size_t)7) + 8;
}

static uint32_t head_sum(const struct journal_head *h)
{
	return (uint32_t)XXH3_64bits(h, offsetof(struct journal_head, sum)) | TOP32;
}

void journal_write_entry(void *p, const struct journal_entry *e, uint64_t generation, uint32_t ordinal)
{
	size_t n = journal_entry_bytes(e);
	struct journal_head h = {
		.magic = ENTRY_MAGIC,
		.bytes = (uint32_t)n,
		.generation = generation,
		.ordinal = ordinal,
		.kind = (uint16_t)e->kind,
		.purge = e->purge,
		.what_n = (uint32_t)e->what.n,
	};
	char *at = p;
	uint64_t sum;

	h.sum = head_sum(&h);
	memset(at, 0, n);
	memcpy(at, &h, sizeof(h));
	memcpy(at + sizeof(h), &e->a, 8);
	memcpy(at + sizeof(h) + 8, &e->b, 8);
	if (e->what.n > 0)
		memcpy(at + sizeof(h) + 16, e->what.p, e->what.n);
	sum = XXH3_64bits(at, n - 8) | TOP64;
	memcpy(at + n - 8, &sum, 8);
}

static bool all_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* What can't be read, and why: cut short by a crash, or spoilt. Behind a cut there are only zeros. */
static enum journal_end judge_head(const char *p, size_t room)
{
	size_t n = room < sizeof(struct journal_head) ? room : sizeof(struct journal_head);

	if (all_zero(p, room))
		return JOURNAL_CLEAN;
	return n > 0 && p[n - 1] == 0 && all_zero(p + n, room - n) ? JOURNAL_TORN : JOURNAL_DAMAGED;
}

static bool head_is_right(const struct journal_head *h, const struct journal_header *file, uint32_t ordinal)
{
	const struct journal_entry e = {.what = {"", h->what_n}};

	return h->magic == ENTRY_MAGIC && h->sum == head_sum(h) && h->generation == file->generation &&
	       h->ordinal == ordinal && h->what_n <= JOURNAL_WHAT_MAX && h->bytes == journal_entry_bytes(&e) &&
	       h->kind >= JOURNAL_PURGE && h->kind <= JOURNAL_NEXT;
}

static bool read_entry(const char *p, const struct journal_head *h, struct journal_entry *e)
{
	uint64_t sum;

	memcpy(&sum, p + h->bytes - 8, 8);
	if (sum != (XXH3_64bits(p, h->bytes - 8) | TOP64))
		return false;
	*e = (struct journal_entry){
		.kind = (enum journal_kind)h->kind,
		.purge = h->purge,
		.what = {p + sizeof(*h) + 16, h->what_n},
	};
	memcpy(&e->a, p + sizeof(*h), 8);
	memcpy(&e->b, p + sizeof(*h) + 8, 8);
	return true;
}

enum journal_end journal_scan(const void *p, size_t n, const struct journal_header *file,
	void (*each)(const struct journal_entry *e, void *arg), void *arg)
{
	const char *bytes = p;
	size_t at = sizeof(*file);
	struct journal_head h;
	struct journal_entry e;

	for (uint32_t ordinal = 0;; ordinal++, at += h.bytes) {
		if (n - at < sizeof(h))
			return judge_head(bytes + at, n - at);
		memcpy(&h, bytes + at, sizeof(h));
		if (!head_is_right(&h, file, ordinal))
			return judge_head(bytes + at, n - at);
		if (h.bytes > n - at)
			return JOURNAL_DAMAGED;
		if (!read_entry(bytes + at, &h, &e))
			return bytes[at + h.bytes - 1] == 0 && all_zero(bytes + at + h.bytes, n - at - h.bytes)
				       ? JOURNAL_TORN
				       : JOURNAL_DAMAGED;
		if (e.kind == JOURNAL_NEXT)
			return JOURNAL_CONTINUES;
		each(&e, arg);
	}
}

void journal_name(uint64_t number, char out[JOURNAL_NAME_MAX])
{
	snprintf(out, JOURNAL_NAME_MAX, "journal.%016" PRIx64, number);
}

bool journal_name_read(const char *name, uint64_t *number)
{
	return io_number_in(name, "journal.", number);
}
