/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>

#include "base/mem.h"
#include "cache/disk/forgets.h"
#include "cache/disk/index.h"

#define PLAIN 2 /* the variant of what has no Vary */

static int64_t live[64];

static void on_count(void *arg, uint32_t seg, int change)
{
	(void)arg;
	live[seg] += change;
	assert_true(live[seg] >= 0);
}

static int setup(void **state)
{
	static struct index ix;

	memset(live, 0, sizeof(live));
	assert_int_equal(index_init(&ix, PLAIN, on_count, NULL), 0);
	*state = &ix;
	return 0;
}

static int teardown(void **state)
{
	index_fini(*state);
	return 0;
}

static struct index_slot slot(uint64_t key, uint64_t lsn, uint32_t variant, uint32_t seg, uint32_t off8, int kind)
{
	return (struct index_slot){
		.key = key, .lsn = lsn, .variant = variant, .seg = seg, .off8 = off8, .len8 = 1, .kind = (uint8_t)kind};
}

static int add(struct index *ix, struct hash128 h, uint64_t lsn, uint32_t variant, uint32_t seg, uint32_t off8)
{
	struct index_slot s = slot(h.lo, lsn, variant, seg, off8, INDEX_WHOLE);

	return index_add(ix, h, &s, 0);
}

static void an_object_takes_at_most_48_bytes_however_many_there_are(void **state)
{
	struct index *ix = *state;
	struct index_stats s;

	for (uint64_t i = 0; i < 300000; i++) {
		struct hash128 h = hash128_of(&i, sizeof(i));

		assert_int_equal(add(ix, h, i + 1, 0, (uint32_t)i % 64, (uint32_t)i), 0);
		if (i > 50000 && i % 5000 == 0) {
			index_stats(ix, &s);
			assert_int_equal(s.records, i + 1);
			assert_true(s.bytes <= 48 * s.records);
		}
	}
}

static bool exclude(unsigned a, unsigned b)
{
	return a == b || a == PLAIN || b == PLAIN;
}

/* What is older than lsn, and a record of variant v excludes, leaves the row; false: something newer excludes that record. */
static bool supersede(uint64_t row[3], unsigned v, uint64_t lsn)
{
	for (unsigned i = 0; i < 3; i++)
		if (exclude(i, v) && row[i] > lsn)
			return false;
	for (unsigned i = 0; i < 3; i++)
		if (exclude(i, v))
			row[i] = 0;
	return true;
}

/* Against a table that only knows: for key k and variant v, the newest lsn. Few homes, so that runs collide and wrap. */
static void it_agrees_with_a_plain_table_through_random_changes(void **state)
{
	struct index *ix = *state;
	static uint64_t model[400][3];
	uint64_t rng = 99;

	memset(model, 0, sizeof(model));
	for (uint64_t step = 1; step < 60000; step++) {
		struct index_slot found[INDEX_FOUND_MAX];
		unsigned k, v, op, n, want = 0;
		struct hash128 h;

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		k = (unsigned)(rng >> 33) % 400;
		v = (unsigned)(rng >> 50) % 3;
		op = (unsigned)(rng >> 57) % 8;
		h = (struct hash128){(uint64_t)(k % 7) << 61 | (uint64_t)k << 32, 5};
		if (op < 5) {
			uint64_t lsn = 2 * step - (op == 0 && step > 300 ? 601 : 0); /* no number comes twice */
			bool is_newest = supersede(model[k], v, lsn);

			assert_int_equal(add(ix, h, lsn, v, k % 64, (uint32_t)lsn * 4 + v), is_newest ? 0 : -ESTALE);
			if (is_newest)
				model[k][v] = lsn;
		} else if (op == 5) {
			(void)index_drop_variant(ix, h, v, 2 * step);
			assert_true(supersede(model[k], v, 2 * step));
		} else if (op == 6) {
			(void)index_drop_key(ix, h, 2 * step);
			memset(model[k], 0, sizeof(model[k]));
		} else if (model[k][v]) {
			assert_true(index_drop_at(ix, h, k % 64, (uint32_t)model[k][v] * 4 + v));
			model[k][v] = 0;
		}
		n = index_find(ix, h, false, found);
		for (unsigned i = 0; i < 3; i++)
			want += model[k][i] != 0;
		assert_int_equal(n, want);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(found[i].lsn, model[k][found[i].variant]);
			assert_true(i == 0 || found[i].lsn <= found[i - 1].lsn);
		}
	}
	for (unsigned k = 0; k < 64; k++) {
		int64_t want = 0;

		for (unsigned i = k; i < 400; i += 64)
			for (unsigned v = 0; v < 3; v++)
				want += model[i][v] != 0;
		assert_int_equal(live[k], want);
		index_drop_segment(ix, k);
		assert_int_equal(live[k], 0);
	}
}

static void a_head_keeps_its_body_and_goes_with_it(void **state)
{
	struct index *ix = *state;
	struct hash128 h = {5, 5};
	struct index_slot found[INDEX_FOUND_MAX], head = slot(5, 9, 0, 2, 200, INDEX_HEAD);

	assert_int_equal(index_add(ix, h, &head, 3), -ENOENT);
	assert_int_equal(add(ix, h, 3, 0, 1, 100), 0);
	assert_int_equal(index_add(ix, h, &head, 3), 0);
	assert_int_equal(index_find(ix, h, false, found), 2);
	assert_int_equal(found[0].kind, INDEX_HEAD);
	assert_int_equal(found[1].kind, INDEX_BODY);
	/* A copy of the body moves it; an older or equal head changes nothing. */
	assert_int_equal(add(ix, h, 3, 0, 4, 400), 0);
	assert_int_equal(live[1], 0);
	assert_int_equal(live[4], 1);
	head = slot(5, 8, 0, 2, 300, INDEX_HEAD);
	assert_int_equal(index_add(ix, h, &head, 3), -ESTALE);
	/* Nor does a record between the two, as recovery comes upon it after both. */
	assert_int_equal(add(ix, h, 5, 0, 6, 600), -ESTALE);
	assert_int_equal(index_find(ix, h, false, found), 2);
	head = slot(5, 12, 0, 3, 300, INDEX_HEAD);
	assert_int_equal(index_add(ix, h, &head, 3), 0);
	assert_int_equal(live[2], 0);
	assert_true(index_drop_at(ix, h, 4, 400));
	assert_int_equal(index_find(ix, h, false, found), 0);
	assert_int_equal(live[3] + live[4], 0);
}

/* In whatever order recovery comes upon them. */
static void a_response_without_vary_excludes_all_others(void **state)
{
	struct index *ix = *state;
	struct index_slot found[INDEX_FOUND_MAX], head;
	struct hash128 h = {7, 7};

	assert_int_equal(add(ix, h, 3, 1, 1, 100), 0);
	head = slot(7, 4, 1, 1, 150, INDEX_HEAD);
	assert_int_equal(index_add(ix, h, &head, 3), 0);
	assert_int_equal(add(ix, h, 5, 3, 1, 200), 0);
	assert_int_equal(add(ix, h, 2, PLAIN, 1, 300), -ESTALE);
	assert_int_equal(add(ix, h, 6, PLAIN, 2, 400), 0);
	assert_int_equal(index_find(ix, h, false, found), 1);
	assert_int_equal(found[0].lsn, 6);
	assert_int_equal(live[1], 0);
	assert_int_equal(add(ix, h, 5, 3, 1, 200), -ESTALE);
	head = slot(7, 5, 1, 1, 150, INDEX_HEAD);
	assert_int_equal(index_add(ix, h, &head, 3), -ESTALE);
	head = slot(7, 8, PLAIN, 3, 500, INDEX_HEAD);
	assert_int_equal(index_add(ix, h, &head, 6), 0);
	assert_int_equal(add(ix, h, 7, 1, 1, 600), -ESTALE);
	assert_int_equal(add(ix, h, 9, 1, 4, 700), 0);
	assert_int_equal(index_find(ix, h, false, found), 1);
	assert_int_equal(found[0].lsn, 9);
	assert_int_equal(live[2] + live[3], 0);
	assert_int_equal(index_drop_variant(ix, h, PLAIN, 10), 1);
}

static void only_what_is_still_there_is_moved(void **state)
{
	struct index *ix = *state;
	struct hash128 h = {5, 5};
	struct index_slot from = slot(5, 3, 0, 1, 100, INDEX_WHOLE), found[INDEX_FOUND_MAX];

	assert_false(index_move(ix, h, &from, 2, 8));
	assert_int_equal(add(ix, h, 3, 0, 1, 100), 0);
	assert_int_equal(index_find(ix, h, true, found), 1);
	assert_true(index_get_at(ix, h, 1, 100, &from));
	assert_true(from.hit);
	assert_true(index_move(ix, h, &from, 2, 8));
	assert_false(index_move(ix, h, &from, 3, 8));
	assert_true(index_get_at(ix, h, 2, 8, &from));
	/* The place is another record's by now. */
	from.lsn++;
	assert_false(index_move(ix, h, &from, 3, 8));
	assert_false(index_get_at(ix, h, 3, 8, &from));
	assert_true(index_get_at(ix, h, 2, 8, &from));
	assert_false(from.hit);
}

static void without_memory_it_says_so_and_stays_as_it_was(void **state)
{
	struct index *ix = *state;
	struct index_slot found[INDEX_FOUND_MAX];
	struct hash128 h = {5, 5};

	mem_fail_at(1, 1);
	assert_int_equal(add(ix, h, 3, 0, 1, 100), -ENOMEM);
	mem_fail_at(0, 0);
	assert_int_equal(index_find(ix, h, false, found), 0);
	assert_int_equal(add(ix, h, 3, 0, 1, 100), 0);
}

static void forgotten_keys_beyond_the_bound_are_covered_by_a_floor(void **state)
{
	struct forgets f = {0};

	(void)state;
	assert_int_equal(forgets_init(&f, 100), 0);
	for (uint64_t i = 1; i <= 1000; i++) {
		forgets_add(&f, i * 0x9e3779b97f4a7c15u, i);
		assert_true(f.used <= 100);
		for (uint64_t k = 1; k <= i; k += 13) {
			assert_true(forgets_covers(&f, k * 0x9e3779b97f4a7c15u, k - 1));
			assert_false(forgets_covers(&f, k * 0x9e3779b97f4a7c15u, i));
		}
	}
	forgets_retire(&f, 1000);
	assert_int_equal(f.used, 0);
	forgets_fini(&f);
}

static void without_memory_all_that_was_forgotten_is_below_the_floor(void **state)
{
	struct forgets f = {0};

	(void)state;
	assert_int_equal(forgets_init(&f, 8), 0);
	for (uint64_t i = 1; i <= 8; i++)
		forgets_add(&f, i << 7, 10 * i);
	mem_fail_at(1, 1);
	forgets_add(&f, 100 << 7, 1000);
	mem_fail_at(0, 0);
	for (uint64_t i = 1; i <= 8; i++)
		assert_true(forgets_covers(&f, i << 7, 10 * i - 1));
	assert_true(forgets_covers(&f, 100 << 7, 999));
	assert_false(forgets_covers(&f, 1 << 7, 1000));
	forgets_fini(&f);
}

static void bounds_are_exact(void **state)
{
	struct index *ix = *state;
	struct index_slot found[INDEX_FOUND_MAX];
	struct hash128 h = {5, 5}, many = {6, 6};
	struct index_stats stats;
	struct forgets f = {0};

	assert_int_equal(add(ix, h, 3, 0, 1, 100), 0);
	assert_int_equal(index_drop_variant(ix, h, 0, 3), 0); /* not itself */
	assert_int_equal(index_find(ix, h, false, found), 1);
	assert_int_equal(index_drop_variant(ix, h, 0, 4), 1);
	for (uint32_t v = 0; v <= INDEX_VARIANTS; v++)
		assert_int_equal(add(ix, many, 10 + v, 10 + v, 1, 8 * (v + 1)), 0);
	index_stats(ix, &stats);
	assert_int_equal(stats.records, INDEX_VARIANTS);
	assert_int_equal(stats.dropped_variants, 1);
	assert_int_equal(forgets_init(&f, 8), 0);
	forgets_add(&f, 1 << 7, 5);
	forgets_add(&f, 1 << 7, 11);
	forgets_add(&f, 1 << 7, 7);
	forgets_retire(&f, 10);
	assert_true(forgets_covers(&f, 1 << 7, 10));
	assert_false(forgets_covers(&f, 1 << 7, 11));
	forgets_fini(&f);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(an_object_takes_at_most_48_bytes_however_many_there_are),
		CASE(it_agrees_with_a_plain_table_through_random_changes),
		CASE(a_head_keeps_its_body_and_goes_with_it),
		CASE(a_response_without_vary_excludes_all_others),
		CASE(only_what_is_still_there_is_moved),
		CASE(without_memory_it_says_so_and_stays_as_it_was),
		CASE(forgotten_keys_beyond_the_bound_are_covered_by_a_floor),
		CASE(without_memory_all_that_was_forgotten_is_below_the_floor),
		CASE(bounds_are_exact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
