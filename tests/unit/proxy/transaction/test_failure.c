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
		{FETCH_REFUSED, {502, -1, "the upstream could not be reached or broke off", "tls_alert_received"}},
		{FETCH_TIMEOUT, {504, -1, "the upstream did not answer in time", "tls_alert_received"}},
		{FETCH_BROKEN, {502, -1, "the upstream could not be reached or broke off", "tls_alert_received"}},
		{FETCH_BAD_RESPONSE, {502, -1, "the upstream's answer is not valid HTTP", "tls_alert_received"}},
		{FETCH_BUSY, {503, 1, "too many requests are waiting for the upstream", "tls_alert_received"}},
		{FETCH_CANCELLED, {502, -1, "the upstream could not be reached or broke off", "tls_alert_received"}},
		{FETCH_NO_MEMORY, {503, 1, "out of memory", "tls_alert_received"}},
		{FETCH_WITHHELD, {503, 1, "the upstream is given a pause", "tls_alert_received"}},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct failure f = failure_of_fetch(rows[i].result, FETCH_CAUSE_TLS_ALERT);

		assert_int_equal(f.status, rows[i].told.status);
		assert_int_equal(f.retry_after_s, rows[i].told.retry_after_s);
		assert_string_equal(f.detail, rows[i].told.detail);
		assert_string_equal(f.error, rows[i].told.error);
	}
}

/* The one who led and those who joined must not be told of different failures. */
static void those_who_waited_hear_the_same_status(void **state)
{
	(void)state;
	for (unsigned r = FETCH_REFUSED; r <= FETCH_WITHHELD; r++) {
		struct failure led = failure_of_fetch((enum fetch_result)r, FETCH_CAUSE_DNS_ERROR);
		struct failure joined = failure_of_flight(failure_for_flight(led), FETCH_CAUSE_DNS_ERROR);

		assert_int_equal(joined.status, led.status);
		assert_int_equal(joined.retry_after_s, led.retry_after_s);
		assert_string_equal(joined.error, led.error);
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

/* RFC 9209 2.3: what is the client's doing, what the proxy decided, and what no cause is known of. */
static void what_no_upstream_caused_has_an_error_of_its_own(void **state)
{
	(void)state;
	assert_string_equal(failure_of(412, "x").error, "http_request_error");
	assert_string_equal(failure_of(508, "x").error, "proxy_loop_detected");
	assert_string_equal(failure_of(504, "x").error, "proxy_internal_response");
	assert_string_equal(failure_no_memory().error, "proxy_internal_error");
	assert_string_equal(failure_of_start(-EBUSY).error, "connection_limit_reached");
	assert_string_equal(failure_of_flight(502, FETCH_CAUSE_NONE).error, "proxy_internal_response");
	assert_string_equal(failure_of_flight(502, 1000).error, "proxy_internal_response");
	for (unsigned c = FETCH_CAUSE_NONE + 1; c < FETCH_CAUSES; c++)
		assert_non_null(fetch_cause_name(c));
	assert_null(fetch_cause_name(FETCH_CAUSES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fetch_says_what_its_end_was),
		cmocka_unit_test(those_who_waited_hear_the_same_status),
		cmocka_unit_test(what_was_wrong_with_one_request_is_no_fault_of_others),
		cmocka_unit_test(what_no_upstream_caused_has_an_error_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
