/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "http/negotiate.h"

/* RFC 9110 12.5.1 */
static void the_closest_media_range_says_how_much_a_type_is_wanted(void **state)
{
	static const struct {
		const char *accept; /* NULL: no field */
		int html, json;
	} rows[] = {
		{NULL, 1000, 1000},
		{"", 0, 0},
		{"*/*", 1000, 1000},
		{"text/html", 1000, 0},
		{"TEXT/HTML;Q=0.5", 500, 0},
		{"text/*", 1000, 0},
		{"text/*;q=0.3, text/html;q=0.7, */*;q=0.5", 700, 500},
		{"*/*;q=0.8, text/html;q=0", 0, 800},
		{"text/html;level=1", 0, 0},
		{"text/html;level=1, text/*;q=0.4", 400, 0},
		{"text/html;q=0.4;level=1", 400, 0},
		{"text/html;q=2", 0, 0},
		{"text/html;q=2, */*;q=0.1", 100, 100},
		{"text/htmlx, texts/*, t/*, */html, *", 0, 0},
		{"application/*;q=0.2", 0, 200},
		{"text/html , application/json ; q=0.9", 1000, 900},
		{"text/x;a=\",text/html,\", application/json", 0, 1000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_fields f;

		http_fields_init(&f);
		if (rows[i].accept)
			assert_int_equal(http_fields_add(&f, SLICE_LIT("Accept"), slice_of(rows[i].accept)), 0);
		EXPECT_INT(rows[i].accept ? rows[i].accept : "none", http_accept_q(&f, SLICE_LIT("text/html")),
			rows[i].html);
		EXPECT_INT(rows[i].accept ? rows[i].accept : "none", http_accept_q(&f, SLICE_LIT("application/json")),
			rows[i].json);
		http_fields_fini(&f);
	}
}

static void qvalues_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		int q; /* -1: refused */
	} rows[] = {
		{"0", 0},
		{"1", 1000},
		{"0.5", 500},
		{"0.", 0},
		{"1.", 1000},
		{"0.125", 125},
		{"1.000", 1000},
		{"0.1234", -1},
		{"1.001", -1},
		{"1.1", -1},
		{"2", -1},
		{"", -1},
		{".5", -1},
		{"-0", -1},
		{"00", -1},
		{"0,5", -1},
		{"0.x", -1},
		{"0.5 ", -1},
		{"01", -1},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int q = -1;
		struct slice copy = exact_copy(slice_of(rows[i].text));
		EXPECT_INT(rows[i].text, http_qvalue_parse(copy, &q), rows[i].q >= 0);
		EXPECT_INT(rows[i].text, q, rows[i].q);
		free_copy(copy);
	}
}

struct q_row {
	const char *field; /* NULL: absent; '\n' separates lines */
	const char *what;
	int q;
};

static void check_rows(const struct q_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct http_fields f;
		const char *line = rows[i].field;
		http_fields_init(&f);
		while (line) {
			const char *end = strchr(line, '\n');
			struct slice value = {line, end ? (size_t)(end - line) : strlen(line)};
			assert_int_equal(http_fields_add_id(&f, HF_ACCEPT_ENCODING, value), 0);
			line = end ? end + 1 : NULL;
		}
		int got = http_accept_encoding_q(&f, slice_of(rows[i].what));
		if (got != rows[i].q)
			fail_msg("%s for %s: got %d, want %d", rows[i].field, rows[i].what, got, rows[i].q);
		http_fields_fini(&f);
	}
}

static void accept_encoding_follows_rfc_9110_12_5_3(void **state)
{
	static const struct q_row rows[] = {
		{NULL, "gzip", 1000},
		{NULL, "identity", 1000},
		{"", "identity", 1},
		{"", "gzip", 0},
		{"gzip", "gzip", 1000},
		{"gzip", "GZIP", 1000},
		{"gzip", "br", 0},
		{"gzip", "identity", 1},
		{"gzip;q=0.5, br;q=0.8", "gzip", 500},
		{"gzip;Q=0.5", "gzip", 500},
		{"gzip ; q=0.5", "gzip", 500},
		{"gzip;q=0", "gzip", 0},
		{"*", "br", 1000},
		{"*;q=0.2, gzip", "br", 200},
		{"*;q=0", "identity", 0},
		{"*;q=0, identity;q=0.1", "identity", 100},
		{"identity;q=0", "identity", 0},
		{"*;q=0.5", "identity", 500},
		{"gzip;q=0, *", "gzip", 0},
		{"x-gzip", "gzip", 1000},
		{"gzip", "x-gzip", 1000},
		{"gzip;q=2", "gzip", 0},
		{"gzip;q=0.1234, br", "gzip", 0},
		{"gzip\nbr;q=0.3", "br", 300},
		{"gzipped", "gzip", 0},
		{" , gzip,,", "gzip", 1000},
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qvalues_are_read_strictly),
		cmocka_unit_test(the_closest_media_range_says_how_much_a_type_is_wanted),
		cmocka_unit_test(accept_encoding_follows_rfc_9110_12_5_3),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
