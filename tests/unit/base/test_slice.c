/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/slice.h"

static void equality_ignores_the_case_of_ascii_letters_only(void **state)
{
	(void)state;
	assert_true(slice_equal_nocase(SLICE_LIT("Cache-Control"), SLICE_LIT("cACHE-cONTROL")));
	assert_true(slice_equal_nocase((struct slice){NULL, 0}, SLICE_LIT("")));
	assert_false(slice_equal_nocase(SLICE_LIT("Age"), SLICE_LIT("Ages")));
	/* These differ in bit 5 alone and are no letters. */
	assert_false(slice_equal_nocase(SLICE_LIT("@"), SLICE_LIT("`")));
	assert_false(slice_equal_nocase(SLICE_LIT("["), SLICE_LIT("{")));
	assert_false(slice_equal_nocase(SLICE_LIT("\xc4"), SLICE_LIT("\xe4")));
}

static void equality_with_case_compares_bytes_and_length(void **state)
{
	(void)state;
	assert_true(slice_equal(SLICE_LIT("a\0b"), SLICE_LIT("a\0b")));
	assert_false(slice_equal(SLICE_LIT("a\0b"), SLICE_LIT("a\0c")));
	assert_false(slice_equal(SLICE_LIT("a"), SLICE_LIT("A")));
	assert_true(slice_equal((struct slice){NULL, 0}, (struct slice){NULL, 0}));
}

static void prefix_may_be_empty_or_the_whole_but_not_longer(void **state)
{
	(void)state;
	assert_true(slice_starts_with(SLICE_LIT("/items/1"), SLICE_LIT("/items/")));
	assert_true(slice_starts_with(SLICE_LIT("/items"), SLICE_LIT("/items")));
	assert_true(slice_starts_with(SLICE_LIT("/items"), SLICE_LIT("")));
	assert_false(slice_starts_with(SLICE_LIT("/items"), SLICE_LIT("/items/")));
	assert_false(slice_starts_with(SLICE_LIT("/items"), SLICE_LIT("/Items")));
}

static void beginning_and_end_are_found_whatever_their_case(void **state)
{
	(void)state;
	assert_true(slice_starts_with_nocase(SLICE_LIT("Text/html"), SLICE_LIT("text/")));
	assert_true(slice_starts_with_nocase(SLICE_LIT("a"), SLICE_LIT("")));
	assert_false(slice_starts_with_nocase(SLICE_LIT("text"), SLICE_LIT("text/")));
	assert_false(slice_starts_with_nocase(SLICE_LIT("-text/"), SLICE_LIT("text/")));
	assert_true(slice_ends_with_nocase(SLICE_LIT("a+JSON"), SLICE_LIT("+json")));
	assert_true(slice_ends_with_nocase((struct slice){NULL, 0}, SLICE_LIT("")));
	assert_false(slice_ends_with_nocase(SLICE_LIT("json"), SLICE_LIT("+json")));
	assert_false(slice_ends_with_nocase(SLICE_LIT("a+json;"), SLICE_LIT("+json")));
}

static void cut_is_made_at_the_first(void **state)
{
	struct slice before, behind = SLICE_LIT("a=b=c");

	(void)state;
	assert_true(slice_cut(behind, '=', &before, &behind));
	assert_true(slice_equal(before, SLICE_LIT("a")));
	assert_true(slice_equal(behind, SLICE_LIT("b=c")));
	assert_true(slice_cut(SLICE_LIT("="), '=', &before, &behind));
	assert_int_equal(before.n + behind.n, 0);
	assert_false(slice_cut(SLICE_LIT("abc"), '=', &before, &behind));
	assert_true(slice_equal(before, SLICE_LIT("abc")));
	assert_int_equal(behind.n, 0);
	assert_false(slice_cut((struct slice){NULL, 0}, '=', &before, &behind));
	assert_int_equal(before.n + behind.n, 0);
}

static void order_ignores_case_and_puts_the_shorter_first(void **state)
{
	static const char *const sorted[] = {"", "A", "aB", "ABC", "b", "\x80"};

	(void)state;
	for (int i = 0; i < (int)ARRAY_LEN(sorted); i++)
		for (int j = 0; j < (int)ARRAY_LEN(sorted); j++) {
			struct slice a = slice_of(sorted[i]), b = slice_of(sorted[j]);
			int order = slice_compare_nocase(&a, &b);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
}

static void trim_takes_spaces_and_tabs_from_both_ends_only(void **state)
{
	(void)state;
	assert_true(slice_equal(slice_trim(SLICE_LIT(" \t a b\t ")), SLICE_LIT("a b")));
	assert_true(slice_equal(slice_trim(SLICE_LIT("\r\na\v")), SLICE_LIT("\r\na\v")));
	assert_int_equal(slice_trim(SLICE_LIT(" \t ")).n, 0);
	assert_int_equal(slice_trim((struct slice){NULL, 0}).n, 0);
}

static void number_is_written_in_as_many_digits_as_it_has(void **state)
{
	char digits[SLICE_U64_DIGITS];

	(void)state;
	assert_true(slice_equal(slice_of_u64(digits, 0), SLICE_LIT("0")));
	assert_true(slice_equal(slice_of_u64(digits, 1024), SLICE_LIT("1024")));
	assert_true(slice_equal(slice_of_u64(digits, ULLONG_MAX), SLICE_LIT("18446744073709551615")));
}

static void number_of_digits_is_read(void **state)
{
	unsigned long long v = 7;

	(void)state;
	assert_true(slice_to_u64(SLICE_LIT("0"), 10, &v));
	assert_int_equal(v, 0);
	assert_true(slice_to_u64(SLICE_LIT("00042"), 100, &v));
	assert_int_equal(v, 42);
	assert_true(slice_to_u64(SLICE_LIT("18446744073709551615"), ULLONG_MAX, &v));
	assert_true(v == ULLONG_MAX);
}

static void number_past_max_saturates(void **state)
{
	unsigned long long v = 7;

	(void)state;
	assert_true(slice_to_u64(SLICE_LIT("18446744073709551616"), ULLONG_MAX, &v));
	assert_true(v == ULLONG_MAX);
	assert_true(slice_to_u64(SLICE_LIT("99999999999999999999999999999999"), INT32_MAX, &v));
	assert_int_equal(v, INT32_MAX);
	assert_true(slice_to_u64(SLICE_LIT("10"), 9, &v));
	assert_int_equal(v, 9);
	assert_true(slice_to_u64(SLICE_LIT("9"), 9, &v));
	assert_int_equal(v, 9);
	assert_true(slice_to_u64(SLICE_LIT("5"), 3, &v));
	assert_int_equal(v, 3);
	assert_true(slice_to_u64(SLICE_LIT("5"), 0, &v));
	assert_int_equal(v, 0);
}

static void number_with_any_other_byte_is_refused_and_leaves_out_alone(void **state)
{
	static const char *const bad[] = {"", "+1", "-1", " 1", "1 ", "1,2", "0x1", "1e3", "999999999999999999999x"};
	unsigned long long v = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(slice_to_u64(slice_of(bad[i]), 100, &v));
	assert_int_equal(v, 7);
}

static void one_of_several_is_found_whatever_its_case(void **state)
{
	static const struct slice v[] = {{"Accept", 6}, {"Host", 4}, {"", 0}};
	const struct slices all = {v, 3}, none = {NULL, 0}, first = {v, 1};

	(void)state;
	assert_true(slices_have_nocase(&all, slice_of("HOST")));
	assert_true(slices_have_nocase(&all, slice_of("")));
	assert_false(slices_have_nocase(&all, slice_of("Hos")));
	assert_false(slices_have_nocase(&all, slice_of("Hosts")));
	assert_false(slices_have_nocase(&first, slice_of("Host")));
	assert_false(slices_have_nocase(&none, slice_of("")));
}

static void secrets_are_equal_in_every_byte_or_not_at_all(void **state)
{
	(void)state;
	assert_true(slice_equal_secret(SLICE_LIT("s3cret"), SLICE_LIT("s3cret")));
	assert_false(slice_equal_secret(SLICE_LIT("s3cret"), SLICE_LIT("x3cret")));
	assert_false(slice_equal_secret(SLICE_LIT("s3cret"), SLICE_LIT("s3cres")));
	assert_false(slice_equal_secret(SLICE_LIT("s3cret"), SLICE_LIT("s3cre")));
	assert_false(slice_equal_secret(SLICE_LIT("a\x80"), SLICE_LIT("a\x00")));
	assert_true(slice_equal_secret(SLICE_LIT(""), SLICE_LIT("")));
}

/* The sanitizers of clang tell when something is added to NULL. */
static void rest_and_end_of_nothing_need_no_pointer(void **state)
{
	struct slice s = SLICE_LIT("abc"), none = {NULL, 0};

	(void)state;
	assert_true(slice_equal(slice_from(s, 1), SLICE_LIT("bc")));
	assert_ptr_equal(slice_end(s), s.p + 3);
	assert_ptr_equal(slice_from(s, 3).p, slice_end(s));
	assert_null(slice_from(none, 0).p);
	assert_null(slice_end(none));
	assert_true(slice_ends_with_nocase(none, none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equality_ignores_the_case_of_ascii_letters_only),
		cmocka_unit_test(equality_with_case_compares_bytes_and_length),
		cmocka_unit_test(one_of_several_is_found_whatever_its_case),
		cmocka_unit_test(prefix_may_be_empty_or_the_whole_but_not_longer),
		cmocka_unit_test(beginning_and_end_are_found_whatever_their_case),
		cmocka_unit_test(cut_is_made_at_the_first),
		cmocka_unit_test(order_ignores_case_and_puts_the_shorter_first),
		cmocka_unit_test(trim_takes_spaces_and_tabs_from_both_ends_only),
		cmocka_unit_test(number_is_written_in_as_many_digits_as_it_has),
		cmocka_unit_test(number_of_digits_is_read),
		cmocka_unit_test(number_past_max_saturates),
		cmocka_unit_test(number_with_any_other_byte_is_refused_and_leaves_out_alone),
		cmocka_unit_test(rest_and_end_of_nothing_need_no_pointer),
		cmocka_unit_test(secrets_are_equal_in_every_byte_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
