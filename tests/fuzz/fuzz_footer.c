/* SPDX-License-Identifier: MIT */
/* Any bytes as the end of a segment: entries that are accepted lie among the records. */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cache/disk/log/segment.h"

static void read_all(const char *p, size_t size)
{
	uint64_t file = 65536, at = file - sizeof(struct segment_trailer);
	struct segment_trailer t;
	struct footer_entry *v;
	size_t n;

	if (segment_read_trailer(p, 7, file, &t) != 0)
		return;
	n = t.entries * sizeof(*v);
	CHECK(t.end + n <= at);
	if (n > size - sizeof(t))
		return;
	v = mem_alloc(n);
	CHECK(v);
	if (n > 0)
		memcpy(v, p + sizeof(t), n);
	(void)footer_is_right(&t, v);
	for (uint64_t i = 0; i < t.entries; i++)
		if (footer_entry_fits(&v[i], t.end))
			CHECK((uint64_t)v[i].off8 * 8 >= 64 && ((uint64_t)v[i].off8 + v[i].n8) * 8 <= t.end);
	mem_free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct segment_trailer t;
	struct segment_header h;
	char *p;

	if (size < sizeof(t))
		return 0;
	p = mem_alloc(size);
	CHECK(p);
	memcpy(p, data, size);
	read_all(p, size);
	(void)segment_read_header(p, 1, 65536, &h);
	memcpy(&t, p, sizeof(t));
	t.generation = 7;
	t.magic = TRAILER_MAGIC;
	t.sum = XXH3_64bits(&t, offsetof(struct segment_trailer, sum));
	memcpy(p, &t, sizeof(t));
	read_all(p, size);
	mem_free(p);
	return 0;
}
