/* SPDX-License-Identifier: MIT */
/* Any bytes as a checkpoint: what is accepted is written again as the same bytes, and a invalidation table takes it. */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cache/disk/log/checkpoint.h"

static void read_all(const char *p, size_t size)
{
	struct invalidation_table *t = NULL;
	struct invalidation_image image;
	struct checkpoint c;
	void *again = NULL;
	size_t n = 0;

	if (checkpoint_read(p, size, 1, &c) != 0)
		return;
	CHECK(checkpoint_write(&c, &again, &n) == 0);
	CHECK(n == size && memcmp(p, again, n) == 0);
	mem_free(again);
	CHECK(invalidation_table_new(16, &t) == 0);
	image = (struct invalidation_image){
		c.h.floor_seq, c.h.all_hard_seq, c.h.all_soft_seq, c.rules, (unsigned)c.h.rules_n};
	invalidation_import(t, &image);
	for (uint64_t i = 0; i < c.h.rules_n; i++) {
		_Atomic uint64_t checked = 0;
		struct purgeable set = {.url = SLICE_LIT("http://o/a/b/c")};

		(void)invalidation_check(t, &set, i, &checked);
	}
	CHECK(invalidation_export(t, &image) == 0);
	c.h.zero[0] = 0;
	for (unsigned i = 0; i < image.rules_n; i++)
		c.h.zero[0] += image.rules[i].prefix_n != UINT32_MAX;
	CHECK(c.h.zero[0] <= 16);
	mem_free(image.rules);
	invalidation_table_free(&t);
	checkpoint_fini(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct checkpoint_header h;
	uint64_t sum;
	char *p;

	if (size < sizeof(h) + 8)
		return 0;
	p = mem_alloc(size);
	CHECK(p);
	memcpy(p, data, size);
	read_all(p, size);
	memcpy(&h, p, sizeof(h));
	h.magic = CHECKPOINT_MAGIC;
	h.store = 1;
	memcpy(p, &h, sizeof(h));
	sum = XXH3_64bits(p, size - 8);
	memcpy(p + size - 8, &sum, 8);
	read_all(p, size);
	mem_free(p);
	return 0;
}
