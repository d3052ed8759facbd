/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"

static const char *program;

static void memory_of_zalloc_is_zero_and_of_strndup_is_terminated(void **state)
{
	unsigned char *zero = mem_zalloc(100);
	char *copy = mem_strndup("abcdef", 3);
	char *empty = mem_strndup(NULL, 0);

	(void)state;
	assert_non_null(zero);
	for (int i = 0; i < 100; i++)
		assert_int_equal(zero[i], 0);
	assert_string_equal(copy, "abc");
	assert_string_equal(empty, "");
	mem_free(zero);
	mem_free(copy);
	mem_free(empty);
	mem_free(NULL);
}

static void nothing_can_be_allocated_and_is_not_null(void **state)
{
	void *p = mem_alloc(0);

	(void)state;
	assert_non_null(p);
	p = mem_realloc(p, 0);
	assert_non_null(p);
	mem_free(p);
}

static void absurd_lengths_fail_without_wrapping_round(void **state)
{
	(void)state;
	assert_null(mem_strndup("a", SIZE_MAX));
}

static void size_counts_bookkeeping(void **state)
{
	void *p = mem_alloc(1000);

	(void)state;
	assert_in_range(mem_size(p), 1008, 1100);
	assert_int_equal(mem_size(NULL), 0);
	mem_free(p);
}

static void only_the_nth_allocation_fails(void **state)
{
	void *p[3];

	(void)state;
	mem_fail_at(2, 0);
	p[0] = mem_alloc(1);
	p[1] = mem_zalloc(1);
	p[2] = mem_strndup("x", 1);
	mem_fail_at(0, 0);
	assert_non_null(p[0]);
	assert_null(p[1]);
	assert_non_null(p[2]);
	mem_free(p[0]);
	mem_free(p[2]);
}

static void sticky_failure_lasts_until_it_is_ended(void **state)
{
	void *p = mem_alloc(1), *q;

	(void)state;
	mem_fail_at(1, 1);
	for (int i = 0; i < 3; i++)
		assert_null(mem_alloc(1));
	assert_null(mem_realloc(p, 10));
	mem_fail_at(0, 0);
	q = mem_realloc(p, 10);
	assert_non_null(q);
	mem_free(q);
}

static void every_allocation_is_counted_once(void **state)
{
	unsigned long before = mem_alloc_count();
	void *p = mem_alloc(1), *q = mem_zalloc(1), *r = mem_strndup("r", 1), *s = mem_realloc(NULL, 1);

	(void)state;
	assert_int_equal(mem_alloc_count() - before, 4);
	mem_free(p);
	mem_free(q);
	mem_free(r);
	mem_free(s);
}

struct named {
	int key;
	UT_hash_handle hh;
};

static void hash_insert_without_memory_leaves_the_element_out(void **state)
{
	struct named *table = NULL, one = {.key = 1}, *found;
	bool hash_ok = true;

	(void)state;
	for (unsigned long nth = 1; nth <= 2; nth++) {
		hash_ok = true;
		mem_fail_at(nth, 0);
		HASH_ADD_INT(table, key, &one);
		mem_fail_at(0, 0);
		assert_false(hash_ok);
		HASH_FIND_INT(table, &one.key, found);
		assert_null(found);
	}
	hash_ok = true;
	HASH_ADD_INT(table, key, &one);
	assert_true(hash_ok);
	HASH_FIND_INT(table, &one.key, found);
	assert_ptr_equal(found, &one);
	HASH_DEL(table, &one);
}

static void hash_of_128_bits_depends_on_every_byte(void **state)
{
	struct hash128 a = hash128_of("abc", 3), b = hash128_of("abd", 3), c = hash128_of("abc", 3);

	(void)state;
	assert_memory_equal(&a, &c, sizeof(a));
	assert_true(a.lo != b.lo && a.hi != b.hi);
}

/* Runs this program again as `mem probe` with the variable set and returns the exit status. */
static int status_of_probe(const char *fail_alloc)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("MEMOPROXY_FAIL_ALLOC", fail_alloc, 1);
		close(STDERR_FILENO);
		execl(program, program, "probe", (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Which of three allocations fail, as bits. */
static int probe(void)
{
	int failed = 0;

	for (int i = 0; i < 3; i++) {
		void *p = mem_alloc(1);

		failed |= p ? 0 : 1 << i;
		mem_free(p);
	}
	return failed;
}

static void environment_makes_allocations_fail_only_in_builds_with_hooks(void **state)
{
	(void)state;
#ifdef MEMOPROXY_HOOKS
	assert_int_equal(status_of_probe("2"), 2);
	assert_int_equal(status_of_probe("2:sticky"), 6);
	assert_int_equal(status_of_probe("0"), 0);
#else
	assert_int_equal(status_of_probe("1:sticky"), 0);
#endif
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_of_zalloc_is_zero_and_of_strndup_is_terminated),
		cmocka_unit_test(nothing_can_be_allocated_and_is_not_null),
		cmocka_unit_test(absurd_lengths_fail_without_wrapping_round),
		cmocka_unit_test(size_counts_bookkeeping),
		cmocka_unit_test(only_the_nth_allocation_fails),
		cmocka_unit_test(sticky_failure_lasts_until_it_is_ended),
		cmocka_unit_test(every_allocation_is_counted_once),
		cmocka_unit_test(hash_insert_without_memory_leaves_the_element_out),
		cmocka_unit_test(hash_of_128_bits_depends_on_every_byte),
		cmocka_unit_test(environment_makes_allocations_fail_only_in_builds_with_hooks),
	};

	if (argc > 1 && strcmp(argv[1], "probe") == 0)
		return probe();
	program = argv[0];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
