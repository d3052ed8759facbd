/* SPDX-License-Identifier: MIT */
/* Any bytes as a journal: entries lie within them, and a invalidation table takes them. Sums of the first entries are put right,
 * so that what is behind them is reached. */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cache/disk/log/journal.h"
#include "cache/policy/invalidation.h"

struct run {
	const char *p;
	size_t n;
	struct invalidation_table *t;
};

static void on_entry(const struct journal_entry *e, void *arg)
{
	const struct run *r = arg;
	struct purge p;

	CHECK(e->what.n <= JOURNAL_WHAT_MAX);
	CHECK(e->what.p >= r->p && e->what.p + e->what.n <= r->p + r->n);
	if (e->kind == JOURNAL_PURGE && purge_decode(e->purge, e->b, e->what, &p))
		invalidation_replay(r->t, &p, e->a);
}

static void scan(char *p, size_t n)
{
	struct run r = {.p = p, .n = n};
	struct journal_header h;

	CHECK(invalidation_table_new(8, &r.t) == 0);
	if (journal_read_header(p, n, 1, 1, &h) == 0)
		(void)journal_scan(p, n, &h, on_entry, &r);
	invalidation_table_free(&r.t);
}

static void put_right(char *p, size_t n)
{
	struct journal_header file = {.store = 1, .number = 1, .generation = 7, .size = n};
	size_t at = sizeof(file);

	journal_write_header(&file);
	memcpy(p, &file, sizeof(file));
	for (uint32_t i = 0; n - at >= 64; i++) {
		struct journal_entry e = {.kind = (enum journal_kind)((unsigned char)p[at] % 4),
			.purge = {(uint8_t)p[at + 1], p[at + 2] & 1},
			.what = {p + at + 48, (unsigned char)p[at + 3]}};

		memcpy(&e.a, p + at + 8, 8);
		if (journal_entry_bytes(&e) > n - at || (p[at + 4] & 15) == 15)
			return;
		char *entry = mem_alloc(journal_entry_bytes(&e));

		CHECK(entry);
		journal_write_entry(entry, &e, 7, i);
		memcpy(p + at, entry, journal_entry_bytes(&e));
		mem_free(entry);
		at += journal_entry_bytes(&e);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *p;

	if (size < sizeof(struct journal_header))
		return 0;
	p = mem_alloc(size);
	CHECK(p);
	memcpy(p, data, size);
	scan(p, size);
	put_right(p, size);
	scan(p, size);
	mem_free(p);
	return 0;
}
