/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/transaction/failure.h"

static void a_fetch_says_what_its_end_was(void **state)
{
	static const struct {
		enum fetch_result result;
		struct failure told;
	} rows[] = {
		{FETCH_REFUSED, {502, -1, "the upstream could not be reached or broke off"}},
		{FETCH_TIMEOUT, {504, -1, "the upstream did not answer in time"}},
		{FETCH_BROKEN, {502, -1, "the upstream could not be reached or broke off"}},
		{FETCH_BAD_RESPONSE, {502, -1, "the upstream's answer is not valid HTTP"}},
		{FETCH_BUSY, {503, 1, "too many requests are waiting for the upstream"}},
		{FETCH_CANCELLED, {502, -1, "the upstream could not be reached or broke off"}},
		{FETCH_NO_MEMORY, {503, 1, "out of memory"}},
		{FETCH_WITHHELD, {503, 1, "the upstream is given a pause"}},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct failure f = failure_of_fetch(rows[i].result);

		assert_int_equal(f.status, rows[i].told.status);
		assert_int_equal(f.retry_after_s, rows[i].told.retry_after_s);
		assert_string_equal(f.detail, rows[i].told.detail);
	}
}

/* The one who led and those who joined must not be told of different failures. */
static void those_who_waited_hear_the_same_status(void **state)
{
	(void)state;
	for (unsigned r = FETCH_REFUSED; r <= FETCH_WITHHELD; r++) {
		struct failure led = failure_of_fetch((enum fetch_result)r);
		struct failure joined = failure_of_flight(failure_for_flight(led));

		assert_int_equal(joined.status, led.status);
		assert_int_equal(joined.retry_after_s, led.retry_after_s);
	}
}

static void what_was_wrong_with_one_request_is_no_fault_of_others(void **state)
{
	(void)state;
	assert_int_equal(failure_of_start(-ENOBUFS).status, 431);
	assert_int_equal(failure_for_flight(failure_of_start(-ENOBUFS)), 502);
	assert_int_equal(failure_for_flight(failure_of_start(-EBUSY)), 503);
	assert_int_equal(failure_for_flight(failure_of_start(-ENOMEM)), 503);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fetch_says_what_its_end_was),
		cmocka_unit_test(those_who_waited_hear_the_same_status),
		cmocka_unit_test(what_was_wrong_with_one_request_is_no_fault_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
