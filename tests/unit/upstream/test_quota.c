/* SPDX-License-Identifier: MIT */
/* What an upstream says about its budget, and what follows. The clock is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "upstream/state.h"

/* Sun, 06 Nov 1994 08:49:37 GMT */
#define WALL_S 784111777

/* "Name: value\n..." */
static struct quota_told told(int status, const char *text)
{
	struct quota_told t;
	struct http_fields fields;

	http_fields_init(&fields);
	while (*text) {
		const char *colon = strchr(text, ':'), *end = strchr(text, '\n');
		struct slice name = {text, (size_t)(colon - text)}, value = {colon + 1, (size_t)(end - colon - 1)};

		assert_int_equal(http_fields_add(&fields, name, slice_trim(value)), 0);
		text = end + 1;
	}
	quota_read(status, &fields, WALL_S, &t);
	http_fields_fini(&fields);
	return t;
}

static void retry_after_is_seconds_or_a_date_and_bounded(void **state)
{
	static const struct {
		int status;
		const char *fields;
		int64_t seconds;
	} cases[] = {
		{429, "Retry-After: 120\n", 120},
		{503, "Retry-After: 0\n", 0},
		{503, "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\n", 60},
		{503, "Retry-After: Sun, 06 Nov 1994 08:00:00 GMT\n", 0},
		{503, "Retry-After: Sun, 06 Nov 2033 08:00:00 GMT\n", 3600},
		{429, "Retry-After: 99999999999999999999999\n", 3600},
		{200, "Retry-After: 120\n", -1},
		{301, "Retry-After: 120\n", -1},
		{429, "", -1},
		{429, "Retry-After:\n", -1},
		{429, "Retry-After: -1\n", -1},
		{429, "Retry-After: +5\n", -1},
		{429, "Retry-After: 5.5\n", -1},
		{429, "Retry-After: 5s\n", -1},
		{429, "Retry-After: 0x10\n", -1},
		{429, "Retry-After: soon\n", -1},
		{429, "Retry-After: 5, 6\n", -1},
		{429, "Retry-After: 5\nRetry-After: 6\n", -1},
		{429, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 30\n", 30},
		{503, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 30\n", -1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		if (told(cases[i].status, cases[i].fields).retry_after_s != cases[i].seconds)
			fail_msg("%d %s", cases[i].status, cases[i].fields);
}

static void a_budget_is_read_in_each_of_its_spellings(void **state)
{
	static const struct {
		const char *fields;
		int64_t remaining, limit, reset_s;
	} cases[] = {
		{"RateLimit: \"default\";r=50;t=30\n", 50, -1, 30},
		{"RateLimit-Policy: \"default\";q=100;w=60\nRateLimit: \"default\";r=50;t=30\n", 50, 100, 30},
		{"RateLimit-Policy: \"day\";q=1000, \"second\";q=10\nRateLimit: \"day\";r=900;t=3000, "
		 "\"second\";r=1;t=1\n",
			1, 10, 1},
		{"RateLimit: \"a\";r=5;t=9999999\n", 5, -1, 3600},
		{"RateLimit: limit=100, remaining=50, reset=30\n", 50, 100, 30},
		{"RateLimit-Limit: 100\nRateLimit-Remaining: 50\nRateLimit-Reset: 30\n", 50, 100, 30},
		{"X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 50\nX-RateLimit-Reset: 30\n", 50, 100, 30},
		{"x-ratelimit-remaining: 0\n", 0, -1, -1},
		{"X-Rate-Limit-Remaining: 7\n", 7, -1, -1},
		{"X-RateLimit-Remaining: 7\nX-RateLimit-Reset: 1700000000\n", 7, -1, 3600},
		{"RateLimit: \"a\";r=1\nX-RateLimit-Remaining: 7\n", 1, -1, -1},
		{"RateLimit: \"a\";r=-1\n", -1, -1, -1},
		{"RateLimit: \"a\";r=1.5\n", -1, -1, -1},
		{"RateLimit: \"a\";r=1;;\n", -1, -1, -1},
		{"RateLimit: \"a;r=1\n", -1, -1, -1},
		{"X-RateLimit-Remaining: -1\n", -1, -1, -1},
		{"X-RateLimit-Remaining: 1e3\n", -1, -1, -1},
		{"X-RateLimit-Remaining: 5\nX-RateLimit-Remaining: 6\n", -1, -1, -1},
		{"X-RateLimit-Limit: 100\n", -1, -1, -1},
		{"", -1, -1, -1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct quota_told t = told(200, cases[i].fields);

		if (t.remaining != cases[i].remaining || t.limit != cases[i].limit || t.reset_s != cases[i].reset_s)
			fail_msg("%s: %lld of %lld until %lld", cases[i].fields, (long long)t.remaining,
				(long long)t.limit, (long long)t.reset_s);
	}
}

static const struct upstream_options guarded = {.quota_guard = true, .quota_reserve_percent = 10, .quota_stretch = 4};

static void a_low_budget_is_low_until_its_reset_or_a_better_response(void **state)
{
	struct quota q = {0};

	(void)state;
	quota_init(&q);
	assert_false(quota_is_low(&q, &guarded, 1000));
	quota_note(&q, &guarded, &(struct quota_told){11, 100, 30, -1}, 1000);
	assert_false(quota_is_low(&q, &guarded, 1000));
	quota_note(&q, &guarded, &(struct quota_told){10, 100, 30, -1}, 1000);
	assert_true(quota_is_low(&q, &guarded, 30999));
	assert_false(quota_is_blocked(&q, &guarded, 1000));
	assert_false(quota_is_low(&q, &guarded, 31000));
	quota_note(&q, &guarded, &(struct quota_told){5, 100, -1, -1}, 40000);
	assert_true(quota_is_low(&q, &guarded, 99999));
	quota_note(&q, &guarded, &(struct quota_told){100, 100, 30, -1}, 50000);
	assert_false(quota_is_low(&q, &guarded, 50000));
}

static void without_a_limit_the_most_that_was_told_is_it(void **state)
{
	struct quota q = {0};

	(void)state;
	quota_init(&q);
	quota_note(&q, &guarded, &(struct quota_told){200, -1, 30, -1}, 1000);
	quota_note(&q, &guarded, &(struct quota_told){21, -1, 30, -1}, 1000);
	assert_false(quota_is_low(&q, &guarded, 1000));
	quota_note(&q, &guarded, &(struct quota_told){20, -1, 30, -1}, 1000);
	assert_true(quota_is_low(&q, &guarded, 1000));
}

static void a_pause_is_kept_and_only_lengthened(void **state)
{
	struct upstream_options off = guarded;
	struct quota q = {0};

	(void)state;
	off.quota_guard = false;
	quota_init(&q);
	quota_note(&q, &off, &(struct quota_told){-1, -1, -1, 10}, 1000);
	assert_false(quota_is_blocked(&q, &guarded, 1000));
	quota_note(&q, &guarded, &(struct quota_told){-1, -1, -1, 10}, 1000);
	quota_note(&q, &guarded, &(struct quota_told){-1, -1, -1, 2}, 1000);
	assert_true(quota_is_blocked(&q, &guarded, 10999));
	assert_false(quota_is_blocked(&q, &off, 1000));
	assert_false(quota_is_blocked(&q, &guarded, 11000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retry_after_is_seconds_or_a_date_and_bounded),
		cmocka_unit_test(a_budget_is_read_in_each_of_its_spellings),
		cmocka_unit_test(a_low_budget_is_low_until_its_reset_or_a_better_response),
		cmocka_unit_test(without_a_limit_the_most_that_was_told_is_it),
		cmocka_unit_test(a_pause_is_kept_and_only_lengthened),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
