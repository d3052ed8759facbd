/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

static void assert_holds(const struct buf *b, const char *z)
{
	assert_int_equal(b->n, strlen(z));
	assert_memory_equal(b->p, z, b->n);
}

static void appends_come_one_after_the_other(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_add(&b, "ab", 2), 0);
	assert_int_equal(buf_add_slice(&b, SLICE_LIT("cd")), 0);
	assert_int_equal(buf_add_str(&b, "ef"), 0);
	assert_int_equal(buf_add_char(&b, ' '), 0);
	assert_int_equal(buf_add_u64(&b, 0), 0);
	assert_int_equal(buf_add_u64(&b, ULLONG_MAX), 0);
	assert_int_equal(buf_addf(&b, "%s=%d", "x", -5), 0);
	assert_int_equal(buf_add_lower(&b, SLICE_LIT("X-Ab[\xc4")), 0);
	assert_holds(&b, "abcdef 018446744073709551615x=-5x-ab[\xc4");
	buf_fini(&b);
}

static void append_of_nothing_to_an_empty_buffer_is_no_error(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	assert_int_equal(buf_add_str(&b, ""), 0);
	assert_int_equal(buf_addf(&b, "%s", ""), 0);
	assert_int_equal(b.n, 0);
	buf_fini(&b);
}

static void exactly_max_bytes_fit_and_one_more_changes_nothing(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	assert_int_equal(buf_add_str(&b, "1234"), 0);
	assert_int_equal(buf_add_str(&b, "56"), -ENOBUFS);
	assert_holds(&b, "1234");
	buf_reset(&b);
	assert_int_equal(buf_add_str(&b, "12345"), 0);
	assert_true(b.cap <= 5);
	assert_int_equal(buf_add_char(&b, '6'), -ENOBUFS);
	assert_holds(&b, "12345");
	buf_fini(&b);
}

static void length_that_overflows_is_refused(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX - 1);
	assert_int_equal(buf_add_str(&b, "x"), 0);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_int_equal(b.err, -ENOBUFS);
	buf_fini(&b);
}

static void error_is_sticky_until_reset(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 3);
	assert_int_equal(buf_add_str(&b, "1234"), -ENOBUFS);
	assert_int_equal(buf_add_str(&b, "1"), -ENOBUFS);
	assert_int_equal(buf_addf(&b, "%d", 1), -ENOBUFS);
	assert_null(buf_reserve(&b, 0));
	assert_int_equal(buf_add(&b, NULL, 0), -ENOBUFS);
	assert_int_equal(b.n, 0);
	buf_reset(&b);
	assert_int_equal(buf_add_str(&b, "1"), 0);
	assert_holds(&b, "1");
	buf_fini(&b);
}

static void failed_allocation_keeps_what_was_there(void **state)
{
	struct buf b;
	char big[4096] = {0};

	(void)state;
	buf_init(&b, sizeof(big) * 2);
	assert_int_equal(buf_add_str(&b, "kept"), 0);
	mem_fail_at(1, 0);
	assert_int_equal(buf_add(&b, big, sizeof(big)), -ENOMEM);
	mem_fail_at(0, 0);
	assert_holds(&b, "kept");
	assert_int_equal(buf_add_str(&b, "x"), -ENOMEM);
	buf_fini(&b);
}

static void formatted_text_may_be_longer_than_the_stack_buffer(void **state)
{
	struct buf b;
	char expected[1000];

	(void)state;
	memset(expected, 'y', sizeof(expected));
	expected[sizeof(expected) - 1] = '\0';
	/* 255 and 256: on both sides of the stack buffer's end. */
	for (int n = 254; n < 258; n++) {
		buf_init(&b, (size_t)n);
		assert_int_equal(buf_addf(&b, "%.*s", n, expected), 0);
		assert_int_equal(b.n, n);
		assert_memory_equal(b.p, expected, b.n);
		buf_fini(&b);
	}
	buf_init(&b, 999);
	assert_int_equal(buf_addf(&b, "%s", expected), 0);
	assert_holds(&b, expected);
	buf_fini(&b);
	buf_init(&b, 998);
	assert_int_equal(buf_addf(&b, "%s", expected), -ENOBUFS);
	assert_int_equal(b.n, 0);
	buf_fini(&b);
}

static void long_format_reports_each_failed_allocation(void **state)
{
	struct buf b;

	(void)state;
	for (unsigned long nth = 1; nth <= 2; nth++) {
		buf_init(&b, 1000);
		mem_fail_at(nth, 0);
		assert_int_equal(buf_addf(&b, "%300d", 1), -ENOMEM);
		mem_fail_at(0, 0);
		assert_int_equal(b.n, 0);
		buf_fini(&b);
	}
}

static void reserved_room_is_used_by_adding_to_n(void **state)
{
	struct buf b;
	char *p;

	(void)state;
	buf_init(&b, 10000);
	assert_int_equal(buf_add_str(&b, "head"), 0);
	p = buf_reserve(&b, 9996);
	assert_non_null(p);
	memset(p, 'z', 9996);
	b.n += 9996;
	assert_int_equal(buf_slice(&b).n, 10000);
	assert_memory_equal(b.p, "headz", 5);
	assert_null(buf_reserve(&b, 1));
	buf_fini(&b);
	assert_null(b.p);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.max, 10000);
}

static void storage_at_least_doubles_so_appends_stay_linear(void **state)
{
	struct buf b;
	unsigned long before, allocations;

	(void)state;
	buf_init(&b, 1 << 20);
	before = mem_alloc_count();
	for (int i = 0; i < 1 << 20; i++)
		assert_int_equal(buf_add_char(&b, 'c'), 0);
	allocations = mem_alloc_count() - before;
	assert_in_range(allocations, 1, 16);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_come_one_after_the_other),
		cmocka_unit_test(append_of_nothing_to_an_empty_buffer_is_no_error),
		cmocka_unit_test(exactly_max_bytes_fit_and_one_more_changes_nothing),
		cmocka_unit_test(length_that_overflows_is_refused),
		cmocka_unit_test(error_is_sticky_until_reset),
		cmocka_unit_test(failed_allocation_keeps_what_was_there),
		cmocka_unit_test(formatted_text_may_be_longer_than_the_stack_buffer),
		cmocka_unit_test(long_format_reports_each_failed_allocation),
		cmocka_unit_test(reserved_room_is_used_by_adding_to_n),
		cmocka_unit_test(storage_at_least_doubles_so_appends_stay_linear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
