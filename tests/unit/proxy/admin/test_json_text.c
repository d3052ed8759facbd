/* SPDX-License-Identifier: MIT */
/* An object that was written member by member reads as if jansson had printed it whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "proxy/admin/json_text.h"

#define WHOLE                                                                                                         \
	"{s:i, s:[], s:{}, s:{s:f, s:{s:b, s:s, s:[i, i]}}, s:[{s:s}, {s:s, s:n}], s:s}", "one", 1, "empty",          \
		"nothing", "object", "third", 0.3, "inner", "yes", 1, "quoted\"", "a\nb", "list", 1, 2, "array", "k", \
		"v\\", "l", "\n", "none", "last", "é"

static void add(struct json_text *t, const json_t *whole, const char *name)
{
	json_text_add(t, name, json_incref(json_object_get(whole, name)));
}

static void it_reads_as_if_it_was_printed_whole_and_ends_its_line(void **state)
{
	json_t *whole = json_pack(WHOLE), *j;
	char *expected = json_dumps(whole, JSON_INDENT(2) | JSON_REAL_PRECISION(JSON_TEXT_DIGITS));
	struct json_text t;
	struct buf out;
	size_t i;
	const char *name;

	(void)state;
	assert_non_null(expected);
	buf_init(&out, 4096);
	json_text_begin(&t, &out);
	add(&t, whole, "one");
	json_text_open_array(&t, "empty");
	json_text_close(&t);
	json_text_open_object(&t, "nothing");
	json_text_close(&t);
	json_text_open_object(&t, "object");
	json_object_foreach(json_object_get(whole, "object"), name, j) json_text_add(&t, name, json_incref(j));
	json_text_close(&t);
	json_text_open_array(&t, "array");
	json_array_foreach(json_object_get(whole, "array"), i, j) json_text_add(&t, NULL, json_incref(j));
	json_text_close(&t);
	add(&t, whole, "last");
	json_text_close(&t);
	assert_int_equal(out.err, 0);
	assert_int_equal(out.p[out.n - 1], '\n');
	out.p[out.n - 1] = '\0';
	assert_string_equal(out.p, expected);
	buf_fini(&out);
	free(expected);
	json_decref(whole);
}

static void a_name_that_is_not_utf8_is_left_out_with_its_value(void **state)
{
	struct json_text t;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	json_text_begin(&t, &out);
	json_text_add(&t, "a\xff", json_integer(1));
	json_text_add(&t, "b", json_integer(2));
	json_text_close(&t);
	buf_add_char(&out, '\0');
	assert_int_equal(out.err, 0);
	assert_string_equal(out.p, "{\n  \"b\": 2\n}\n");
	buf_fini(&out);
}

static void what_is_missing_is_said(void **state)
{
	struct json_text t;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	json_text_begin(&t, &out);
	json_text_add(&t, "a", NULL);
	assert_int_equal(out.err, -ENOMEM);
	json_text_close(&t);
	buf_fini(&out);
	buf_init(&out, 8);
	json_text_begin(&t, &out);
	json_text_add(&t, "a", json_string("too long for it"));
	json_text_close(&t);
	assert_int_equal(out.err, -ENOBUFS);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_reads_as_if_it_was_printed_whole_and_ends_its_line),
		cmocka_unit_test(a_name_that_is_not_utf8_is_left_out_with_its_value),
		cmocka_unit_test(what_is_missing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
