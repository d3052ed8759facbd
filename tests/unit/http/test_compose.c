/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "rows.h"

#include "http/compose.h"

static void a_head_is_status_line_and_fields(void **state)
{
	struct buf b;
	(void)state;
	buf_init(&b, 100);
	assert_int_equal(http_status_line_append(&b, 404), 0);
	assert_int_equal(http_field_append(&b, BYTES("x-a"), BYTES("b")), 0);
	assert_int_equal(http_field_append(&b, BYTES("Empty"), BYTES("")), 0);
	EXPECT_SLICE("head", buf_slice(&b), BYTES("HTTP/1.1 404 Not Found\r\nx-a: b\r\nEmpty: \r\n"));
	buf_reset(&b);
	assert_int_equal(http_status_line_append(&b, 299), 0);
	EXPECT_SLICE("no reason", buf_slice(&b), BYTES("HTTP/1.1 299 \r\n"));
	buf_fini(&b);
}

static void a_head_past_the_buffers_bound_is_enobufs(void **state)
{
	struct buf b;
	(void)state;
	buf_init(&b, 30);
	assert_int_equal(http_field_append(&b, BYTES("Some-Name"), BYTES("some value, of some length")), -ENOBUFS);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_status_line_and_fields),
		cmocka_unit_test(a_head_past_the_buffers_bound_is_enobufs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
