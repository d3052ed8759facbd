/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proxy/record/purge_log.h"

static struct purge soft_tag(void)
{
	return (struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("t"), .soft = true};
}

static struct purge_log *begin(void)
{
	struct purge_log *log;

	assert_int_equal(purge_log_new(&log), 0);
	return log;
}

static void what_is_met_is_counted_with_the_call_whose_number_it_is(void **state)
{
	struct purge_log *log = begin();
	const struct purge tag = soft_tag();
	struct purge_logged v[3];
	uint64_t one, two;

	(void)state;
	purge_log_met(log, 7); /* of nobody's call */
	one = purge_log_begin(log, &tag, 3, false, "192.0.2.1", 10);
	purge_log_met(log, 11);
	purge_log_end(log, one, 13);
	two = purge_log_begin(log, &(struct purge){.kind = PURGE_ALL}, 1, true, NULL, 15);
	purge_log_end(log, two, 16);
	purge_log_met(log, 13);
	purge_log_met(log, 14); /* a client's write between the two */
	purge_log_met(log, 16);
	purge_log_met(log, 17);
	purge_log_met(log, 10);
	assert_int_equal(purge_log_read(log, UINT64_MAX, v, 3), 2);
	assert_int_equal(v[0].id, 2);
	assert_true(v[0].is_method && v[0].kind == PURGE_ALL && v[0].what[0] == '\0' && v[0].who[0] == '\0');
	assert_int_equal(v[0].met, 1);
	assert_int_equal(v[1].met, 2);
	assert_true(v[1].soft && v[1].names == 3 && v[1].first == 11 && v[1].last == 13);
	assert_string_equal(v[1].who, "192.0.2.1");
	assert_string_equal(v[1].what, "t");
	assert_int_equal(purge_log_read(log, 2, v, 3), 1);
	assert_int_equal(v[0].id, 1);
	purge_log_free(&log);
}

static void the_oldest_makes_room_and_what_it_met_counts_no_more(void **state)
{
	static struct purge_logged v[PURGE_LOG_MAX + 1];
	struct purge_log *log = begin();
	const struct purge tag = soft_tag();
	uint64_t first = 0, id;

	(void)state;
	for (unsigned i = 0; i <= PURGE_LOG_MAX; i++) {
		id = purge_log_begin(log, &tag, 1, false, "", 100 + i);
		first = first ? first : id;
		if (i > 0)
			purge_log_end(log, id, 101 + i);
	}
	purge_log_end(log, first, 101); /* it has gone meanwhile */
	purge_log_met(log, 101);
	purge_log_met(log, 102);
	purge_log_met(log, 101 + PURGE_LOG_MAX);
	assert_int_equal(purge_log_read(log, UINT64_MAX, v, PURGE_LOG_MAX + 1), PURGE_LOG_MAX);
	assert_int_equal(v[0].id, PURGE_LOG_MAX + 1);
	assert_int_equal(v[0].met, 1);
	assert_int_equal(v[PURGE_LOG_MAX - 1].id, 2);
	assert_int_equal(v[PURGE_LOG_MAX - 1].met, 1);
	purge_log_free(&log);
}

static void a_long_name_is_cut(void **state)
{
	static char name[4000];
	struct purge_log *log = begin();
	struct purge_logged v;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	purge_log_end(log,
		purge_log_begin(log, &(struct purge){.kind = PURGE_TAG, .what = slice_of(name)}, 1, false, "", 1), 2);
	assert_int_equal(purge_log_read(log, UINT64_MAX, &v, 1), 1);
	assert_int_equal(strlen(v.what), PURGE_LOG_WHAT - 1);
	memcpy(name + PURGE_LOG_WHAT - 3, "\xe2\x82\xac", 3);
	purge_log_end(log,
		purge_log_begin(log, &(struct purge){.kind = PURGE_TAG, .what = slice_of(name)}, 1, false, "", 2), 3);
	assert_int_equal(purge_log_read(log, UINT64_MAX, &v, 1), 1);
	assert_int_equal(strlen(v.what), PURGE_LOG_WHAT - 3); /* the character would end behind the room */
	purge_log_free(&log);
	mem_fail_at(1, true);
	assert_int_not_equal(purge_log_new(&log), 0);
	mem_fail_at(0, false);
	assert_null(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_met_is_counted_with_the_call_whose_number_it_is),
		cmocka_unit_test(the_oldest_makes_room_and_what_it_met_counts_no_more),
		cmocka_unit_test(a_long_name_is_cut),
	};

	return cmocka_run_group_tests_name("purge log", tests, NULL, NULL);
}
