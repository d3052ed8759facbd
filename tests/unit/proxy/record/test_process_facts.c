/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/record/process_facts.h"

enum { MORE = 1500 };

static int64_t open_files(void)
{
	struct process_facts f;

	process_facts_init(&f, true);
	while (process_facts_go_on(&f))
		;
	process_facts_fini(&f);
	return f.open_files;
}

/* Of a kernel that does not know the number itself. */
static int64_t counted_files(unsigned *steps)
{
	struct process_facts f;

	process_facts_init(&f, false);
	for (*steps = 1; process_facts_go_on(&f); ++*steps)
		;
	process_facts_fini(&f);
	return f.open_files;
}

static void descriptors_are_counted_either_way(void **state)
{
	struct rlimit room = {MORE + 100, MORE + 100};
	int64_t before;
	int fds[MORE];
	unsigned steps;

	(void)state;
	(void)getrlimit(RLIMIT_NOFILE, &room);
	room.rlim_cur = MORE + 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &room), 0);
	before = open_files();
	assert_true(before >= 3);
	assert_int_equal(counted_files(&steps), before);
	assert_int_equal(steps, 1);
	for (unsigned i = 0; i < MORE; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
	assert_int_equal(open_files(), before + MORE);
	assert_int_equal(counted_files(&steps), before + MORE);
	assert_int_equal(steps, 1 + MORE / PROCESS_FILES_STEP);
	for (unsigned i = 0; i < MORE; i++)
		close(fds[i]);
	assert_int_equal(open_files(), before);
}

/* A call may be given up between two steps. */
static void a_count_that_is_given_up_leaves_nothing_open(void **state)
{
	struct process_facts f;
	int64_t before = open_files();

	(void)state;
	process_facts_init(&f, false);
	process_facts_fini(&f);
	assert_int_equal(open_files(), before);
}

static void what_the_kernel_says(void **state)
{
	struct process_facts f;
	struct rlimit r;

	(void)state;
	process_facts_init(&f, true);
	assert_true(f.cpu_s > 0);
	assert_true(f.resident_bytes >= 4096);
	assert_true(f.virtual_bytes > f.resident_bytes);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
	assert_int_equal(f.max_files, r.rlim_cur);
	process_facts_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_counted_either_way),
		cmocka_unit_test(a_count_that_is_given_up_leaves_nothing_open),
		cmocka_unit_test(what_the_kernel_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
