/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "rows.h"

#include "http/message.h"

static void only_strict_status_lines_are_taken(void **state)
{
	static const struct {
		struct slice line;
		bool http1;
		int rc, status, minor;
	} rows[] = {
		{ROW("HTTP/1.1 200 OK"), true, 0, 200, 1},
		{ROW("HTTP/1.0 404 Not Found"), true, 0, 404, 0},
		{ROW("HTTP/1.1 200 "), true, 0, 200, 1},
		{ROW("HTTP/1.1 200"), true, 0, 200, 1},
		{ROW("HTTP/1.1 599 caf\xe9\tx"), true, 0, 599, 1},
		{ROW("HTTP/2 204 "), false, 0, 204, 2},
		{ROW("HTTP/3 503"), false, 0, 503, 3},
		{ROW("HTTP/2 200"), true, -EPROTO, 0, 0},
		{ROW("HTTP/2.0 200 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/2.0 200 OK"), false, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 200 OK"), false, -EPROTO, 0, 0},
		{ROW("HTTP/1.2 200 OK"), true, -EPROTO, 0, 0},
		{ROW("http/1.1 200 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1  200 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 20 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 2000 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 +20 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 2x0 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 200\tOK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 099 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 600 OK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 200 O\rK"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 200 O\0K"), true, -EPROTO, 0, 0},
		{ROW("HTTP/1.1 "), true, -EPROTO, 0, 0},
		{ROW(""), true, -EPROTO, 0, 0},
		{ROW("ICY 200 OK"), true, -EPROTO, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_response_head h;
		struct slice copy = exact_copy(rows[i].line);
		http_response_head_init(&h, 1024);
		EXPECT_INT(rows[i].line.p, http_response_head_status(&h, copy, rows[i].http1), rows[i].rc);
		EXPECT_INT(rows[i].line.p, h.status, rows[i].status);
		EXPECT_INT(rows[i].line.p, h.err.status, rows[i].rc == 0 ? 0 : 502);
		if (rows[i].rc == 0)
			EXPECT_INT(rows[i].line.p, h.minor, rows[i].minor);
		http_response_head_fini(&h);
		free_copy(copy);
	}
}

static void bad_field_lines_are_refused(void **state)
{
	static const struct slice rows[] = {
		ROW(""),
		ROW(":"),
		ROW(": x"),
		ROW(" A: b"),
		ROW("\tA: b"),
		ROW(" : b"),
		ROW("Content-Length : 5"),
		ROW("transfer-encoding\t: chunked"),
		ROW("A"),
		ROW("A b: c"),
		ROW("A\0: b"),
		ROW("A: \0"),
		ROW("A: b\rc"),
		ROW("A: b\nC: d"),
		ROW("A: b\r"),
		ROW("A: b\x7f"),
		ROW("\xe9: b"),
		ROW("A(b): c"),
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_response_head h;
		int64_t length;
		struct slice copy = exact_copy(rows[i]);
		http_response_head_init(&h, 1024);
		assert_int_equal(http_response_head_status(&h, BYTES("HTTP/1.1 200 OK"), true), 0);
		EXPECT_INT(rows[i].p, http_response_head_field(&h, copy), -EPROTO);
		EXPECT_INT("then", http_response_head_field(&h, BYTES("A: b")), -EPROTO);
		EXPECT_INT("at the end", http_response_head_end(&h, &length), -EPROTO);
		EXPECT_INT("status", h.err.status, 502);
		http_response_head_fini(&h);
		free_copy(copy);
	}
}

static void blanks_before_a_colon_are_taken_out(void **state)
{
	struct http_response_head h;
	int64_t length;
	(void)state;
	http_response_head_init(&h, 1024);
	assert_int_equal(http_response_head_status(&h, BYTES("HTTP/1.1 200 OK"), true), 0);
	assert_int_equal(http_response_head_field(&h, BYTES("Cache-Control : no-store")), 0);
	assert_int_equal(http_response_head_field(&h, BYTES("X-Own \t :")), 0);
	assert_int_equal(http_response_head_end(&h, &length), 0);
	EXPECT_SLICE("known", http_fields_get(&h.fields, HF_CACHE_CONTROL)->value, BYTES("no-store"));
	EXPECT_SLICE("other", h.fields.v[1].name, BYTES("X-Own"));
	EXPECT_INT("empty", h.fields.v[1].value.n, 0);
	http_response_head_fini(&h);
}

static void framing_is_checked_at_the_end(void **state)
{
	static const struct {
		const char *status_line;
		const char *lines[4];
		int rc;
		int64_t length;
		const char *kept; /* Content-Length afterwards */
	} rows[] = {
		{"HTTP/1.1 200 OK", {"A: b"}, 0, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: 5"}, 0, 5, "5"},
		{"HTTP/1.1 200 OK", {"Content-Length: 5", "A: b", "content-length: 5"}, 0, 5, "5"},
		{"HTTP/1.1 200 OK", {"Content-Length: 5, 5"}, 0, 5, "5"},
		{"HTTP/1.1 200 OK", {"Content-Length: 5, 6"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: 5", "Content-Length: 6"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: 5,"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: ,5"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length:"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: 5", "Content-Length:"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: +5"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: 5x"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: 0x5"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Content-Length: 9223372036854775808"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: CHUNKED"}, 0, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: gzip, chunked"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: identity"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: xchunked"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: frob, chunked"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: frob", "Content-Length: 5"}, -EPROTO, -1, NULL},
		{"HTTP/1.0 200 OK", {"Transfer-Encoding: frob"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: frob"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: br"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding:"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: chunked, chunked"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: chunked;q=1"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 304 Not Modified", {"Transfer-Encoding: br"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: chunked", "Transfer-Encoding: chunked"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 200 OK", {"Transfer-Encoding: chunked", "Content-Length: 5"}, -EPROTO, -1, NULL},
		{"HTTP/1.0 200 OK", {"Transfer-Encoding: chunked"}, -EPROTO, -1, NULL},
		{"HTTP/1.1 204 No Content", {"Content-Length: 5"}, 0, -1, "5"},
		{"HTTP/1.1 103 Early Hints", {"Content-Length: 5"}, 0, -1, "5"},
		{"HTTP/1.1 304 Not Modified", {"Content-Length: 5"}, 0, 5, "5"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_response_head h;
		int64_t length = 99;
		const char *row = rows[i].lines[0];
		http_response_head_init(&h, 1024);
		assert_int_equal(http_response_head_status(&h, slice_of(rows[i].status_line), true), 0);
		for (size_t k = 0; k < 4 && rows[i].lines[k]; k++)
			assert_int_equal(http_response_head_field(&h, slice_of(rows[i].lines[k])), 0);
		EXPECT_INT(row, http_response_head_end(&h, &length), rows[i].rc);
		EXPECT_INT(row, length, rows[i].length);
		if (rows[i].kept) {
			EXPECT_INT(row, http_fields_count(&h.fields, HF_CONTENT_LENGTH), 1);
			EXPECT_SLICE(row, http_fields_get(&h.fields, HF_CONTENT_LENGTH)->value, slice_of(rows[i].kept));
		}
		http_response_head_fini(&h);
	}
}

static void a_final_head_replaces_a_1xx(void **state)
{
	struct http_response_head h;
	int64_t length;
	(void)state;
	http_response_head_init(&h, 1024);
	assert_int_equal(http_response_head_field(&h, BYTES("A: before any status line")), -EPROTO);
	assert_int_equal(http_response_head_status(&h, BYTES("HTTP/1.1 103 Early Hints"), true), 0);
	assert_int_equal(http_response_head_field(&h, BYTES("Link: </a>")), 0);
	assert_int_equal(http_response_head_end(&h, &length), 0);
	EXPECT_INT("hints", h.fields.n, 1);
	assert_int_equal(http_response_head_status(&h, BYTES("HTTP/1.1 200 OK"), true), 0);
	assert_int_equal(http_response_head_field(&h, BYTES("ETag:  \"x\" ")), 0);
	assert_int_equal(http_response_head_end(&h, &length), 0);
	EXPECT_INT("final", h.fields.n, 1);
	EXPECT_SLICE("trimmed", http_fields_get(&h.fields, HF_ETAG)->value, BYTES("\"x\""));
	http_response_head_fini(&h);
}

static void many_fields_survive_the_growth_of_the_bytes(void **state)
{
	struct http_response_head h;
	int64_t length;
	char line[64];
	(void)state;
	http_response_head_init(&h, 64 * 1024);
	assert_int_equal(http_response_head_status(&h, BYTES("HTTP/1.1 200 OK"), true), 0);
	for (int i = 0; i < HTTP_FIELDS_MAX; i++) {
		snprintf(line, sizeof(line), "X-%d: value %d", i, i);
		assert_int_equal(http_response_head_field(&h, slice_of(line)), 0);
	}
	assert_int_equal(http_response_head_end(&h, &length), 0);
	EXPECT_SLICE("first", h.fields.v[0].value, BYTES("value 0"));
	EXPECT_SLICE("last", h.fields.v[999].value, BYTES("value 999"));
	assert_int_equal(http_response_head_field(&h, BYTES("One: more")), -ENOBUFS);
	http_response_head_fini(&h);
}

static void a_head_past_its_bytes_is_enobufs(void **state)
{
	struct http_response_head h;
	(void)state;
	http_response_head_init(&h, 10);
	assert_int_equal(http_response_head_status(&h, BYTES("HTTP/1.1 200 OK"), true), 0);
	assert_int_equal(http_response_head_field(&h, BYTES("abcde: fghij")), 0);
	assert_int_equal(http_response_head_field(&h, BYTES("a:")), -ENOBUFS);
	http_response_head_fini(&h);
}

static void each_failed_allocation_is_enomem(void **state)
{
	(void)state;
	for (unsigned long nth = 1; nth <= 3; nth++) {
		struct http_response_head h;
		int64_t length;
		http_response_head_init(&h, 1024);
		assert_int_equal(http_response_head_status(&h, BYTES("HTTP/1.1 200 OK"), true), 0);
		mem_fail_at(nth, 0);
		int rc = http_response_head_field(&h, BYTES("A: b"));
		if (rc == 0)
			rc = http_response_head_end(&h, &length);
		mem_fail_at(0, 0);
		EXPECT_INT("rc", rc, -ENOMEM);
		http_response_head_fini(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_strict_status_lines_are_taken),
		cmocka_unit_test(bad_field_lines_are_refused),
		cmocka_unit_test(blanks_before_a_colon_are_taken_out),
		cmocka_unit_test(framing_is_checked_at_the_end),
		cmocka_unit_test(a_final_head_replaces_a_1xx),
		cmocka_unit_test(many_fields_survive_the_growth_of_the_bytes),
		cmocka_unit_test(a_head_past_its_bytes_is_enobufs),
		cmocka_unit_test(each_failed_allocation_is_enomem),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
