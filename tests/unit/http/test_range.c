/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "http/range.h"

static const struct {
	const char *value;
	uint64_t length;
	const char *want; /* ranges, or "ignored", "416" */
} range_rows[] = {
	{"bytes=0-4", 10, "0-4"},
	{"BYTES=0-4", 10, "0-4"},
	{"bytes=5-", 10, "5-9"},
	{"bytes=-3", 10, "7-9"},
	{"bytes=-30", 10, "0-9"},
	{"bytes=0-99", 10, "0-9"},
	{"bytes=0-99999999999999999999999999", 10, "0-9"},
	{"bytes=9-9", 10, "9-9"},
	{"bytes=0-0,-1", 10, "0-0 9-9"},
	{"bytes= 0-1 ,\t4-5", 10, "0-1 4-5"},
	{"bytes=,0-1,,4-5,", 10, "0-1 4-5"},
	{"bytes=4-5,0-1", 10, "4-5 0-1"},
	{"bytes=0-1,20-30", 10, "0-1"},
	/* overlap, 14.2 */
	{"bytes=0-4,2-6", 10, "0-6"},
	{"bytes=2-6,0-4", 10, "0-6"},
	{"bytes=0-1,4-5,1-4", 10, "0-5"},
	{"bytes=0-1,2-3", 10, "0-1 2-3"},
	{"bytes=0-,0-,0-", 10, "0-9"},
	{"bytes=0-,0-,0-,0-", 10, "ignored"},
	{"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30", 99,
		"0-0 2-2 4-4 6-6 8-8 10-10 12-12 14-14 16-16 18-18 20-20 22-22 24-24 26-26 28-28 30-30"},
	{"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32", 99,
		"ignored"},
	/* unsatisfiable, 14.1.2 */
	{"bytes=10-", 10, "416"},
	{"bytes=10-20", 10, "416"},
	{"bytes=-0", 10, "416"},
	{"bytes=0-0", 0, "416"},
	{"bytes=-5", 0, "ignored"},
	{"bytes=99999999999999999999-", 10, "416"},
	/* not a Range */
	{"", 10, "ignored"},
	{"bytes", 10, "ignored"},
	{"bytes=", 10, "ignored"},
	{"bytes=,", 10, "ignored"},
	{"bytes=-", 10, "ignored"},
	{"bytes=a-b", 10, "ignored"},
	{"bytes=1", 10, "ignored"},
	{"bytes=4-3", 10, "ignored"},
	{"bytes=0-1,4-3", 10, "ignored"},
	{"bytes=0-1;2-3", 10, "ignored"},
	{"bytes=+0-1", 10, "ignored"},
	{"bytes=0--1", 10, "ignored"},
	{"bytes=0 - 1", 10, "ignored"},
	{"bytes =0-1", 10, "ignored"},
	{"bytes: 0-1", 10, "ignored"},
	{"items=0-1", 10, "ignored"},
	{"0-1", 10, "ignored"},
};

static void ranges_are_satisfied_ignored_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(range_rows); i++) {
		struct http_ranges r;
		char got[256] = "";
		struct slice copy = exact_copy(slice_of(range_rows[i].value));
		switch (http_range_parse(copy, range_rows[i].length, &r)) {
		case HTTP_RANGE_IGNORED:
			strcpy(got, "ignored");
			break;
		case HTTP_RANGE_UNSATISFIABLE:
			strcpy(got, "416");
			break;
		case HTTP_RANGE_SATISFIABLE:
			for (unsigned k = 0; k < r.n; k++)
				snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%llu-%llu", k ? " " : "",
					(unsigned long long)r.v[k].first, (unsigned long long)r.v[k].last);
			break;
		}
		EXPECT_SLICE(range_rows[i].value, slice_of(got), slice_of(range_rows[i].want));
		free_copy(copy);
	}
}

static void content_range_is_read_strictly_and_written_back(void **state)
{
	static const struct {
		const char *value;
		bool ok;
	} rows[] = {
		{"bytes 0-4/10", true},
		{"bytes 0-4/*", true},
		{"bytes */10", true},
		{"bytes 0-9/10", true},
		{"bytes 0-10/10", false},
		{"bytes 4-3/10", false},
		{"bytes */*", false},
		{"bytes 0-4", false},
		{"bytes 0-4/", false},
		{"bytes 0-/10", false},
		{"bytes -4/10", false},
		{"bytes=0-4/10", false},
		{"bytes  0-4/10", false},
		{"bytes 0-4/10 ", false},
		{"items 0-4/10", false},
		{"", false},
		{"bytes ", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_content_range r;
		struct buf b;
		struct slice copy = exact_copy(slice_of(rows[i].value));
		buf_init(&b, 100);
		EXPECT_INT(rows[i].value, http_content_range_parse(copy, &r), rows[i].ok);
		if (rows[i].ok) {
			assert_int_equal(http_content_range_add(&b, &r), 0);
			EXPECT_SLICE(rows[i].value, buf_slice(&b), slice_of(rows[i].value));
		}
		buf_fini(&b);
		free_copy(copy);
	}
}

static void multipart_bodies_are_framed_as_rfc_9110_14_6_says(void **state)
{
	struct buf b;
	(void)state;
	buf_init(&b, 1000);
	http_multipart_part_add(&b, BYTES("B"), true, BYTES("text/plain"), (struct http_range){0, 1}, 10);
	buf_add_str(&b, "ab");
	http_multipart_part_add(&b, BYTES("B"), false, BYTES(""), (struct http_range){8, 9}, 10);
	buf_add_str(&b, "ij");
	assert_int_equal(http_multipart_end_add(&b, BYTES("B")), 0);
	EXPECT_SLICE("body", buf_slice(&b),
		BYTES("--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\nab"
		      "\r\n--B\r\nContent-Range: bytes 8-9/10\r\n\r\nij\r\n--B--\r\n"));
	buf_fini(&b);
}

static void the_last_byte_is_the_last_there_is(void **state)
{
	static const char *const values[] = {"bytes=0-9", "bytes=0-10", "bytes=0-11", "bytes=0-"};
	struct http_ranges r;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(http_range_parse(slice_of(values[i]), 10, &r), HTTP_RANGE_SATISFIABLE);
		assert_int_equal(r.v[0].last, 9);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_satisfied_ignored_or_refused),
		cmocka_unit_test(content_range_is_read_strictly_and_written_back),
		cmocka_unit_test(multipart_bodies_are_framed_as_rfc_9110_14_6_says),
		cmocka_unit_test(the_last_byte_is_the_last_there_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
