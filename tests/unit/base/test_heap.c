/* SPDX-License-Identifier: MIT */
/* The tier's heap beside what was written into its blocks; what goes back to the system; regions that are emptied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/heap.h"

#define BLOCKS 4000

struct taken {
	unsigned char *p;
	size_t n;
	unsigned char mark;
};

static struct heap heap;
static struct taken taken[BLOCKS];
static uint32_t dice = 3;

static uint32_t roll(uint32_t n)
{
	dice = dice * 1664525u + 1013904223u;
	return (dice >> 4) % n;
}

static void take(struct taken *t, unsigned pool, size_t n)
{
	t->p = heap_take(&heap, pool, n);
	assert_non_null(t->p);
	assert_int_equal((uintptr_t)t->p % 16, 0);
	assert_in_range(heap_size(t->p), n, heap_size_at_most(n));
	t->n = n;
	t->mark = (unsigned char)roll(256);
	memset(t->p, t->mark, n);
}

static void give(struct taken *t)
{
	for (size_t i = 0; i < t->n; i++)
		assert_int_equal(t->p[i], t->mark);
	heap_give(&heap, t->p);
	t->p = NULL;
}

static void give_all(void)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		if (taken[i].p)
			give(&taken[i]);
}

static size_t some_size(void)
{
	static const uint32_t sizes[] = {1, 40, 300, 3000, 20000, 120u << 10, 300000};

	return roll(sizes[roll(roll(20) == 0 ? 7 : 4)]) + 1;
}

static uint64_t small_bytes(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < BLOCKS; i++)
		n += taken[i].p && taken[i].n <= HEAP_SMALL_MAX ? heap_size(taken[i].p) : 0;
	return n;
}

static void blocks_keep_what_is_in_them_whatever_is_taken_given_and_left(void **state)
{
	(void)state;
	assert_int_equal(heap_init(&heap, HEAP_SMALL_MAX), 0);
	for (unsigned round = 0; round < 200000; round++) {
		struct taken *t = &taken[roll(BLOCKS)];

		if (t->p)
			give(t);
		else
			take(t, roll(2), some_size());
		if (roll(100) == 0)
			(void)heap_give_back(&heap, roll(2));
		if (roll(200) == 0)
			(void)heap_leave(&heap, roll(2), 1 + roll(30));
		if (roll(2000) == 0)
			(void)heap_return(&heap, roll(2));
		if (round % 10000 == 0)
			assert_int_equal(heap.used, small_bytes());
	}
	give_all();
	while (heap_return(&heap, 0) || heap_return(&heap, 1))
		;
	while (heap_give_back(&heap, 0) || heap_give_back(&heap, 1))
		;
	assert_int_equal(heap.used, 0);
	assert_int_equal(heap.leaving, 0);
	assert_int_equal(heap.leaving_used, 0);
	/* But for a page of each region, in which it begins, and perhaps the one in which it ends. */
	assert_in_range(heap_resident(&heap), 0, heap.regions * 8192);
	heap_fini(&heap);
}

/* Pages of the regions that the kernel has in memory. */
static size_t pages_in_memory(void)
{
	static unsigned char in[HEAP_REGION / 4096];
	uintptr_t seen[64] = {0};
	size_t n = 0, seen_n = 0;

	for (unsigned i = 0; i < BLOCKS; i++) {
		uintptr_t at = (uintptr_t)taken[i].p & ~(uintptr_t)(HEAP_REGION - 1);
		size_t k = 0;

		while (k < seen_n && seen[k] != at)
			k++;
		if (!taken[i].p || k < seen_n)
			continue;
		assert_true(seen_n < ARRAY_LEN(seen));
		seen[seen_n++] = at;
		assert_int_equal(mincore((void *)at, HEAP_REGION, in), 0);
		for (size_t page = 0; page < sizeof(in); page++)
			n += in[page] & 1;
	}
	return n;
}

static void what_is_free_goes_back_to_the_system_in_steps_of_a_region_at_most(void **state)
{
	size_t before, n, all = 0;

	(void)state;
	assert_int_equal(heap_init(&heap, HEAP_SMALL_MAX), 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		take(&taken[i], 0, 2000);
	before = pages_in_memory();
	assert_in_range(before * 4096, heap_resident(&heap) - heap.regions * 8192, heap_resident(&heap));
	for (unsigned i = 0; i < BLOCKS; i++)
		if (i % 50 != 0)
			give(&taken[i]);
	while ((n = heap_give_back(&heap, 0)) > 0) {
		assert_in_range(n, 4096, HEAP_REGION);
		all += n;
	}
	assert_true(all > before * 4096 * 9 / 10);
	assert_true(pages_in_memory() <= before / 10);
	assert_in_range(pages_in_memory() * 4096, 0, heap_resident(&heap));
	give_all();
	heap_fini(&heap);
}

/* Each look is at as many regions as were allowed; nothing new comes into one that is left. */
static void a_region_that_is_left_takes_nothing_and_is_as_new_when_it_is_empty(void **state)
{
	unsigned left = 0;
	struct taken t;

	(void)state;
	assert_int_equal(heap_init(&heap, HEAP_SMALL_MAX), 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		take(&taken[i], 0, 2000);
	/* But for the one that is being filled there is none. */
	while (heap_leave(&heap, 0, 100))
		;
	assert_in_range(heap.leaving, 0, 1);
	while (heap_return(&heap, 0))
		;
	for (unsigned i = 0; i < BLOCKS; i++)
		if (i % 50 != 0)
			give(&taken[i]);
	for (unsigned i = 0; i < heap.regions; i++)
		left += heap_leave(&heap, 0, 1);
	assert_true(left >= BLOCKS * 2000 / HEAP_REGION);
	assert_int_equal(heap.leaving, left);
	assert_int_equal(heap.leaving_used, heap.used);
	for (unsigned i = 0; i < BLOCKS; i += 50) {
		assert_true(heap_is_leaving(&heap, taken[i].p));
		take(&t, 0, taken[i].n);
		assert_false(heap_is_leaving(&heap, t.p));
		give(&taken[i]);
		taken[i] = t;
	}
	assert_int_equal(heap.leaving, 0);
	assert_int_equal(heap.leaving_used, 0);
	assert_in_range(heap_resident(&heap), heap.used, heap.used + heap.regions * 8192 + HEAP_REGION);
	give_all();
	heap_fini(&heap);
}

static unsigned mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned n = 0;

	assert_non_null(f);
	for (int c; (c = fgetc(f)) != EOF;)
		n += c == '\n';
	fclose(f);
	return n;
}

/* Whatever free block it finds, of a few units more: what is copied again and again takes no more each time. */
static void a_copy_of_a_block_has_the_room_of_the_block(void **state)
{
	size_t room, least;
	char *p;

	(void)state;
	assert_int_equal(heap_init(&heap, HEAP_SMALL_MAX), 0);
	p = heap_take(&heap, 0, 1000);
	assert_non_null(p);
	least = room = heap_room(p);
	for (unsigned i = 0; i < 100; i++) {
		char *copy;

		take(&taken[0], 0, room + 48); /* the place that is found for it */
		take(&taken[1], 0, 40);
		give(&taken[0]);
		copy = heap_take(&heap, 0, room);
		assert_non_null(copy);
		heap_give(&heap, p);
		give(&taken[1]);
		p = copy;
		room = heap_room(p);
	}
	assert_int_equal(room, least);
	heap_give(&heap, p);
	heap_fini(&heap);
}

static void regions_are_few_mappings(void **state)
{
	unsigned before = mappings();

	(void)state;
	assert_int_equal(heap_init(&heap, HEAP_SMALL_MAX), 0);
	for (unsigned i = 0; i < 2000; i++)
		take(&taken[i], i, HEAP_SMALL_MAX);
	assert_true(heap.regions >= 200);
	assert_in_range(mappings(), 0, before + heap.regions / 4);
	give_all();
	heap_fini(&heap);
}

static void without_memory_there_is_none(void **state)
{
	(void)state;
	assert_int_equal(heap_init(&heap, HEAP_SMALL_MAX), 0);
	for (unsigned long nth = 1; nth <= 2; nth++) { /* the block, then its region */
		mem_fail_at(nth, 1);
		assert_null(heap_take(&heap, 0, 100));
	}
	assert_null(heap_take(&heap, 0, 1000000));
	mem_fail_at(0, 0);
	take(&taken[0], 0, 100);
	give(&taken[0]);
	heap_fini(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_keep_what_is_in_them_whatever_is_taken_given_and_left),
		cmocka_unit_test(what_is_free_goes_back_to_the_system_in_steps_of_a_region_at_most),
		cmocka_unit_test(a_region_that_is_left_takes_nothing_and_is_as_new_when_it_is_empty),
		cmocka_unit_test(a_copy_of_a_block_has_the_room_of_the_block),
		cmocka_unit_test(regions_are_few_mappings),
		cmocka_unit_test(without_memory_there_is_none),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
