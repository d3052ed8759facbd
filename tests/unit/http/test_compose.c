/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "rows.h"

#include "http/compose.h"

static void a_head_is_status_line_and_fields(void **state)
{
	struct http_fields f;
	struct buf b;
	(void)state;
	buf_init(&b, 100);
	fields_from(&f, (const char *const[]){"x-a: b", "ETag: \"c\"", "Empty:", NULL});
	assert_int_equal(http_head_append(&b, 404, &f), 0);
	EXPECT_SLICE("head", buf_slice(&b), BYTES("HTTP/1.1 404 Not Found\r\nx-a: b\r\nETag: \"c\"\r\nEmpty: \r\n"));
	buf_reset(&b);
	assert_int_equal(http_status_line_append(&b, 299), 0);
	EXPECT_SLICE("no reason", buf_slice(&b), BYTES("HTTP/1.1 299 \r\n"));
	buf_fini(&b);
	http_fields_fini(&f);
}

static void a_head_past_the_buffers_bound_is_enobufs(void **state)
{
	struct http_fields f;
	struct buf b;
	(void)state;
	buf_init(&b, 30);
	fields_from(&f, (const char *const[]){"Some-Name: some value", NULL});
	assert_int_equal(http_head_append(&b, 200, &f), -ENOBUFS);
	buf_fini(&b);
	http_fields_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_status_line_and_fields),
		cmocka_unit_test(a_head_past_the_buffers_bound_is_enobufs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
