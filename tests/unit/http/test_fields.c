/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "rows.h"

static void every_known_name_is_found_in_any_case(void **state)
{
	(void)state;
	for (unsigned id = 1; id < HF_COUNT; id++) {
		struct slice name = http_field_name((enum http_field_id)id);
		char upper[64], lower[64];
		assert_in_range(name.n, 1, sizeof(upper));
		for (size_t i = 0; i < name.n; i++) {
			upper[i] = (char)toupper(name.p[i]);
			lower[i] = (char)tolower(name.p[i]);
		}
		EXPECT_INT(name.p, http_field_id_of(name), id);
		EXPECT_INT(name.p, http_field_id_of((struct slice){upper, name.n}), id);
		EXPECT_INT(name.p, http_field_id_of((struct slice){lower, name.n}), id);
		/* one byte more, one less, one changed by the bit that folds case */
		EXPECT_INT(name.p, http_field_id_of((struct slice){name.p, name.n - 1}) == id, 0);
		lower[name.n / 2] ^= 0x40;
		EXPECT_INT(name.p, http_field_id_of((struct slice){lower, name.n}) == id, 0);
	}
}

static void unknown_names_are_other(void **state)
{
	static const struct slice rows[] = {
		ROW(""),
		ROW("X"),
		ROW("Hos"),
		ROW("Hostx"),
		ROW("Content_Length"),
		ROW("Content-Length\0"),
		ROW("Content\rLength"),
		ROW("H\x0fst"),
		ROW("\xff\xff"),
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		EXPECT_INT(rows[i].p, http_field_id_of(rows[i]), HF_OTHER);
}

static void a_field_is_found_by_id_and_by_name(void **state)
{
	struct http_fields f;
	uint32_t i = 0;
	(void)state;
	fields_from(&f, (const char *const[]){"X-Mine: 1", "cache-control: a", "x-mine: 2", "Cache-Control: b", NULL});
	EXPECT_SLICE("first line", http_fields_get(&f, HF_CACHE_CONTROL)->value, BYTES("a"));
	EXPECT_INT("lines", http_fields_count(&f, HF_CACHE_CONTROL), 2);
	EXPECT_SLICE("by name", http_fields_find(&f, BYTES("CACHE-control"))->value, BYTES("a"));
	EXPECT_SLICE("other", http_fields_find(&f, BYTES("X-MINE"))->value, BYTES("1"));
	EXPECT_SLICE("next", http_fields_find_next(&f, BYTES("X-Mine"), &i)->value, BYTES("1"));
	EXPECT_SLICE("next", http_fields_find_next(&f, BYTES("X-Mine"), &i)->value, BYTES("2"));
	assert_null(http_fields_find_next(&f, BYTES("X-Mine"), &i));
	assert_null(http_fields_get(&f, HF_AGE));
	assert_null(http_fields_find(&f, BYTES("X-Min")));
	http_fields_fini(&f);
}

static void removing_keeps_the_order_of_the_rest(void **state)
{
	struct http_fields f;
	(void)state;
	fields_from(&f, (const char *const[]){"Age: 1", "A: 2", "Age: 3", "B: 4", NULL});
	http_fields_remove(&f, HF_AGE);
	EXPECT_INT("left", f.n, 2);
	EXPECT_SLICE("first", f.v[0].value, BYTES("2"));
	http_fields_remove_at(&f, 0);
	EXPECT_SLICE("then", f.v[0].value, BYTES("4"));
	http_fields_clear(&f);
	EXPECT_INT("cleared", f.n, 0);
	assert_int_equal(http_fields_add_id(&f, HF_ETAG, BYTES("\"x\"")), 0);
	EXPECT_SLICE("canonical", f.v[0].name, BYTES("ETag"));
	http_fields_fini(&f);
}

static void one_field_too_many_is_enobufs(void **state)
{
	struct http_fields f;
	(void)state;
	http_fields_init(&f);
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
		assert_int_equal(http_fields_add(&f, BYTES("A"), BYTES("b")), 0);
	assert_int_equal(http_fields_add(&f, BYTES("A"), BYTES("b")), -ENOBUFS);
	EXPECT_INT("kept", f.n, HTTP_FIELDS_MAX);
	http_fields_fini(&f);
}

static void a_failed_allocation_is_enomem_and_keeps_the_list(void **state)
{
	struct http_fields f;
	(void)state;
	http_fields_init(&f);
	mem_fail_at(1, 0);
	assert_int_equal(http_fields_add(&f, BYTES("A"), BYTES("b")), -ENOMEM);
	mem_fail_at(0, 0);
	assert_int_equal(http_fields_add(&f, BYTES("A"), BYTES("b")), 0);
	EXPECT_INT("kept", f.n, 1);
	http_fields_fini(&f);
}

static void list_members_are_split_as_rfc_9110_5_6_1_says(void **state)
{
	static const struct {
		const char *value, *members; /* members joined by '|' */
	} rows[] = {
		{"", ""},
		{",", ""},
		{" , ,\t,", ""},
		{"a", "a"},
		{"a,b", "a|b"},
		{"a , b,\tc ", "a|b|c"},
		{", a,,b,", "a|b"},
		{"\"a,b\",c", "\"a,b\"|c"},
		{"x=\"a\\\",b\", c", "x=\"a\\\",b\"|c"},
		{"\"open, c", "\"open, c"},
		{"\"open\\", "\"open\\"},
		{"a b, c;q=\"1,2\"", "a b|c;q=\"1,2\""},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice copy = exact_copy(slice_of(rows[i].value)), rest = copy, member;
		char got[128] = "";
		while (http_list_next(&rest, &member)) {
			size_t n = strlen(got);
			snprintf(got + n, sizeof(got) - n, "%s%.*s", n ? "|" : "", SLICE_ARG(member));
		}
		EXPECT_SLICE(rows[i].value, slice_of(got), slice_of(rows[i].members));
		free_copy(copy);
	}
}

static void a_token_is_found_on_any_line_and_before_parameters(void **state)
{
	struct http_fields f;
	(void)state;
	fields_from(&f, (const char *const[]){"TE: gzip;q=1, \"trailers\"", "TE: , Trailers ;x", NULL});
	assert_true(http_fields_has_token(&f, HF_TE, BYTES("GZIP")));
	assert_true(http_fields_has_token(&f, HF_TE, BYTES("trailers")));
	assert_false(http_fields_has_token(&f, HF_TE, BYTES("gzi")));
	assert_false(http_fields_has_token(&f, HF_CONNECTION, BYTES("gzip")));
	http_fields_fini(&f);
}

static void media_type_is_that_of_the_only_content_type(void **state)
{
	static const struct {
		const char *lines[3];
		const char *type, *parameters;
		bool is_json;
	} rows[] = {
		{{"Accept: a/b"}, "", "", false},
		{{"Content-Type: text/html"}, "text/html", "", false},
		{{"Content-Type: Application/JSON ; a=b;c"}, "Application/JSON", " a=b;c", true},
		{{"Content-Type: a/b+json;"}, "a/b+json", "", true},
		{{"Content-Type: a/bjson"}, "a/bjson", "", false},
		{{"Content-Type: json"}, "json", "", false},
		{{"Content-Type:"}, "", "", false},
		{{"Content-Type: a/json", "Content-Type: a/json"}, "", "", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_fields f;
		struct slice parameters, type;
		fields_from(&f, rows[i].lines);
		type = http_media_type(&f, &parameters);
		EXPECT_SLICE(rows[i].lines[0], type, slice_of(rows[i].type));
		EXPECT_SLICE(rows[i].lines[0], parameters, slice_of(rows[i].parameters));
		EXPECT_SLICE(rows[i].lines[0], http_media_type(&f, NULL), slice_of(rows[i].type));
		EXPECT_INT(rows[i].lines[0], http_media_type_is_json(type), rows[i].is_json);
		http_fields_fini(&f);
	}
}

static void lines_are_joined_by_a_comma_and_a_space(void **state)
{
	struct http_fields f;
	struct buf b;
	(void)state;
	buf_init(&b, 8);
	fields_from(&f, (const char *const[]){"Vary: a", "Age: 1", "vary: b, c", NULL});
	assert_int_equal(http_fields_join(&f, HF_VARY, &b), 0);
	EXPECT_SLICE("joined", buf_slice(&b), BYTES("a, b, c"));
	assert_int_equal(http_fields_join(&f, HF_VARY, &b), -ENOBUFS);
	buf_fini(&b);
	http_fields_fini(&f);
}

static void expect_names(const char *row, const struct http_fields *f, const char *names)
{
	char got[256] = "";
	for (uint32_t i = 0; i < f->n; i++) {
		size_t n = strlen(got);
		snprintf(got + n, sizeof(got) - n, "%s%.*s", n ? " " : "", SLICE_ARG(f->v[i].name));
	}
	EXPECT_SLICE(row, slice_of(got), slice_of(names));
}

static void hop_by_hop_fields_and_what_connection_names_are_dropped(void **state)
{
	static const struct {
		const char *row;
		const char *lines[8];
		const char *left;
	} rows[] = {
		{"nothing to drop", {"Host: a", "X: b"}, "Host X"},
		{"the fixed list, RFC 9110 7.6.1",
			{"TE: a", "Keep-Alive: b", "Upgrade: c", "Transfer-Encoding: d", "Proxy-Connection: e", "A: f"},
			"A"},
		{"proxy authentication, RFC 9111 3.1",
			{"Proxy-Authenticate: a", "Proxy-Authorization: b", "WWW-Authenticate: c"}, "WWW-Authenticate"},
		{"a nominated unknown name, any case", {"Connection: close, x-FOO", "X-Foo: 1", "X-Fo: 2"}, "X-Fo"},
		{"a nominated known name", {"Connection: X-Real-IP", "X-Real-IP: 1", "Age: 2"}, "Age"},
		{"several Connection lines", {"Connection: a", "A: 1", "B: 2", "C: 3", "connection: ,c,,"}, "B"},
		{"each line of a nominated name", {"A: 1", "Connection: a", "a: 2"}, ""},
		{"end-to-end fields stay, RFC 9110 7.6.1",
			{"Connection: host, cache-control, Cookie", "Host: a", "Cache-Control: no-store", "Cookie: c"},
			"Host Cache-Control Cookie"},
		{"names of equal length", {"Connection: bbb, aaa, ccc", "aaa: 1", "ddd: 2", "ccc: 3", "aab: 4"},
			"ddd aab"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_fields f;
		fields_from(&f, rows[i].lines);
		assert_int_equal(http_fields_drop_hop_by_hop(&f), 0);
		expect_names(rows[i].row, &f, rows[i].left);
		http_fields_fini(&f);
	}
}

static void too_many_nominations_change_nothing(void **state)
{
	char value[2048] = "";
	struct http_fields f;
	(void)state;
	for (int i = 0; i < 257; i++)
		snprintf(value + strlen(value), sizeof(value) - strlen(value), "a%d,", i);
	http_fields_init(&f);
	assert_int_equal(http_fields_add(&f, BYTES("Connection"), slice_of(value)), 0);
	assert_int_equal(http_fields_drop_hop_by_hop(&f), -ENOBUFS);
	EXPECT_INT("kept", f.n, 1);
	value[strlen(value) - strlen("a256,")] = '\0';
	f.v[0].value = slice_of(value);
	assert_int_equal(http_fields_drop_hop_by_hop(&f), 0);
	http_fields_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_known_name_is_found_in_any_case),
		cmocka_unit_test(unknown_names_are_other),
		cmocka_unit_test(a_field_is_found_by_id_and_by_name),
		cmocka_unit_test(removing_keeps_the_order_of_the_rest),
		cmocka_unit_test(one_field_too_many_is_enobufs),
		cmocka_unit_test(a_failed_allocation_is_enomem_and_keeps_the_list),
		cmocka_unit_test(list_members_are_split_as_rfc_9110_5_6_1_says),
		cmocka_unit_test(a_token_is_found_on_any_line_and_before_parameters),
		cmocka_unit_test(media_type_is_that_of_the_only_content_type),
		cmocka_unit_test(lines_are_joined_by_a_comma_and_a_space),
		cmocka_unit_test(hop_by_hop_fields_and_what_connection_names_are_dropped),
		cmocka_unit_test(too_many_nominations_change_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
