/* SPDX-License-Identifier: MIT */
/* Any bytes as a record: what is accepted lies within them. Sums are put right first, so that the rest is reached. */
#include "base/check.h"
#include "base/mem.h"
#include "cache/disk/log/record.h"

static void touch(struct slice s, const char *p, size_t n)
{
	CHECK(s.n == 0 || (s.p >= p && s.n <= n && (size_t)(s.p - p) <= n - s.n));
}

static void read_all(char *p, size_t n)
{
	struct record_header h;
	struct record_meta m;
	struct freshness f;

	if (record_read_header(p, 7, n, &h) != 0)
		return;
	CHECK(record_total(&h) <= n);
	h.meta_sum = XXH3_64bits(p + sizeof(h), record_meta_n(&h));
	CHECK(record_read_meta(&h, p + sizeof(h), &m) == 0);
	touch(m.key, p, n);
	touch(m.url, p, n);
	touch(m.names, p, n);
	touch(m.values, p, n);
	touch(m.head, p, n);
	for (uint32_t i = 0; i < h.tags_n; i++)
		CHECK((const char *)(m.tags + i + 1) <= p + n && m.tags[i] + 1 != m.tags[i]);
	(void)record_body_is_right(&h, p + sizeof(h) + record_meta_n(&h));
	record_freshness(&h, 5, (struct now){1000000, 1700000000000}, &f);
	CHECK(f.received_mono_ms <= 1000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_header h;
	char *p = mem_alloc(size + 8); /* aligned to 8 */

	CHECK(p);
	if (size > 0)
		memcpy(p, data, size);
	read_all(p, size);
	if (size >= sizeof(h)) {
		memcpy(&h, p, sizeof(h));
		h.magic = RECORD_MAGIC;
		h.generation = 7;
		h.kind = h.kind % 2 + 1;
		record_sign(&h);
		memcpy(p, &h, sizeof(h));
		read_all(p, size);
	}
	mem_free(p);
	return 0;
}
