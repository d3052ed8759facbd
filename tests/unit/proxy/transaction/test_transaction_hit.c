/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#define TEXT "the quick brown fox"

static void a_hit_is_whole_and_asks_nobody(void **state)
{
	struct rig *g = *state;
	struct recorder *r;

	rig_store(g, "GET /a", "ETag: \"1\"\r\nContent-Type: text/plain\r\n", TEXT);
	r = rig_ask(g, "GET /a");
	recorder_got(r, 200, TEXT);
	assert_string_equal(recorder_field(r, "ETag"), "\"1\"");
	assert_string_equal(recorder_field(r, "Age"), "0");
	assert_non_null(strstr(recorder_field(r, "Cache-Status"), "hit"));
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(rig_answers(g, ANSWER_HIT), 1);
	assert_int_equal(rig_answers(g, ANSWER_MISS), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_hit_is_whole_and_asks_nobody, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("transaction_hit", tests, NULL, NULL);
}
