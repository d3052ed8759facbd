/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "rows.h"

#include "http/uri.h"

static void absolute_urls_are_split(void **state)
{
	static const struct {
		const char *url, *scheme, *authority, *rest; /* scheme NULL: refused */
	} rows[] = {
		{"http://a", "http", "a", ""},
		{"HTTP://a:8/b?c", "HTTP", "a:8", "/b?c"},
		{"a+b-c.1://x?y/z", "a+b-c.1", "x", "?y/z"},
		{"file:///etc", "file", "", "/etc"},
		{"http://a/b?c://d", "http", "a", "/b?c://d"},
		{"http://a#b", NULL, NULL, NULL},
		{"http://a/b#", NULL, NULL, NULL},
		{"http:/a", NULL, NULL, NULL},
		{"http:", NULL, NULL, NULL},
		{"://a", NULL, NULL, NULL},
		{"1http://a", NULL, NULL, NULL},
		{"/a", NULL, NULL, NULL},
		{"", NULL, NULL, NULL},
		{"a b://c", NULL, NULL, NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice copy = exact_copy(slice_of(rows[i].url)), scheme, authority, rest;
		EXPECT_INT(rows[i].url, uri_split_absolute(copy, &scheme, &authority, &rest), rows[i].scheme != NULL);
		if (rows[i].scheme) {
			EXPECT_SLICE(rows[i].url, scheme, slice_of(rows[i].scheme));
			EXPECT_SLICE(rows[i].url, authority, slice_of(rows[i].authority));
			EXPECT_SLICE(rows[i].url, rest, slice_of(rows[i].rest));
		}
		free_copy(copy);
	}
}

static void authorities_are_checked(void **state)
{
	static const struct {
		const char *text, *host; /* host NULL: refused */
		int port;
	} rows[] = {
		{"a", "a", -1},
		{"a.b-c_d~1", "a.b-c_d~1", -1},
		{"a:80", "a", 80},
		{"a:", "a", -1},
		{"a:65535", "a", 65535},
		{"a%41", "a%41", -1},
		{"127.0.0.1:0", "127.0.0.1", 0},
		{"[::1]", "[::1]", -1},
		{"[::1]:8", "[::1]", 8},
		{"[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", -1},
		{"", NULL, 0},
		{":80", NULL, 0},
		{"a:65536", NULL, 0},
		{"a:000080", NULL, 0},
		{"a:x", NULL, 0},
		{"a:+1", NULL, 0},
		{"a b", NULL, 0},
		{"a@b", NULL, 0},
		{"a/b", NULL, 0},
		{"a,b", NULL, 0},
		{"a%4", NULL, 0},
		{"a%zz", NULL, 0},
		{"[::1", NULL, 0},
		{"[]", NULL, 0},
		{"[::1]8", NULL, 0},
		{"[fe80::1%25eth0]", NULL, 0},
		{"[v1.a]", NULL, 0},
		{"::1", NULL, 0},
		{"[1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3:4:5:6]", NULL, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice copy = exact_copy(slice_of(rows[i].text)), host;
		int port;
		EXPECT_INT(rows[i].text, uri_authority_parse(copy, &host, &port), rows[i].host != NULL);
		if (rows[i].host) {
			EXPECT_SLICE(rows[i].text, host, slice_of(rows[i].host));
			EXPECT_INT(rows[i].text, port, rows[i].port);
		}
		free_copy(copy);
	}
}

static void percent_encoding_is_decoded_where_it_is_valid(void **state)
{
	static const struct {
		const char *text, *want, *form; /* NULL: the same */
	} rows[] = {
		{"", "", NULL},
		{"a%20b", "a b", NULL},
		{"%41%6a%6A", "Ajj", NULL},
		{"%", "%", NULL},
		{"%4", "%4", NULL},
		{"%zz%41", "%zzA", NULL},
		{"a+b", "a+b", "a b"},
		{"++a%2B+%", "++a++%", "  a+ %"},
		{"%2+0", "%2+0", "%2 0"},
		{"%2541", "%41", NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b;
		struct slice copy = exact_copy(slice_of(rows[i].text));
		buf_init(&b, 100);
		assert_int_equal(uri_decode(copy, &b), 0);
		EXPECT_SLICE(rows[i].text, buf_slice(&b), slice_of(rows[i].want));
		buf_reset(&b);
		assert_int_equal(uri_decode_form(copy, &b), 0);
		EXPECT_SLICE(rows[i].text, buf_slice(&b), slice_of(rows[i].form ? rows[i].form : rows[i].want));
		buf_fini(&b);
		free_copy(copy);
	}
}

static void queries_are_walked(void **state)
{
	static const struct {
		const char *query, *want; /* name(=value) each in brackets */
	} rows[] = {
		{"", "[]"},
		{"a", "[a]"},
		{"a=", "[a=]"},
		{"a=b&c", "[a=b][c]"},
		{"a&&b", "[a][][b]"},
		{"&", "[][]"},
		{"a=b=c&", "[a=b=c][]"},
		{"=x", "[=x]"},
		{"a;b=1", "[a;b=1]"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char got[64] = "";
		struct uri_param p;
		struct slice copy = exact_copy(slice_of(rows[i].query)), rest = copy;
		bool at_end = false;
		while (uri_query_next(&rest, &at_end, &p))
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "[%.*s%s%.*s]", SLICE_ARG(p.name),
				p.whole.n > p.name.n ? "=" : "", SLICE_ARG(p.value));
		EXPECT_SLICE(rows[i].query, slice_of(got), slice_of(rows[i].want));
		free_copy(copy);
	}
}

static void names_match_patterns(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} rows[] = {
		{"a", "a", 1},
		{"a", "b", 0},
		{"a", "A", 0},
		{"", "", 1},
		{"*", "", 1},
		{"*", "abc", 1},
		{"utm_*", "utm_source", 1},
		{"utm_*", "utm", 0},
		{"*_id", "x_id", 1},
		{"*_id", "x_id_", 0},
		{"a*b*c", "aXbYbZc", 1},
		{"a*b*c", "aXc", 0},
		{"**", "x", 1},
		{"utm_*", "%75tm_x", 1},
		{"a b", "a%20b", 1},
		{"%75", "%75", 0},
		{"a*", "%61", 1},
		{"*a", "x%61", 1},
		{"/x/*/y", "/x/a/b/y", 1},
		{"a", "ab", 0},
		{"ab", "a", 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice copy = exact_copy(slice_of(rows[i].text));
		EXPECT_INT(rows[i].pattern, uri_name_matches(slice_of(rows[i].pattern), copy), rows[i].matches);
		free_copy(copy);
	}
}

static const struct {
	const char *reference, *want; /* want NULL: -EINVAL */
} reference_rows[] = {
	/* 5.4.1 */
	{"g", "http://a/b/c/g"},
	{"./g", "http://a/b/c/g"},
	{"g/", "http://a/b/c/g/"},
	{"/g", "http://a/g"},
	{"//g", "http://g/"},
	{"?y", "http://a/b/c/d;p?y"},
	{"g?y", "http://a/b/c/g?y"},
	{"#s", "http://a/b/c/d;p?q"},
	{"g#s", "http://a/b/c/g"},
	{"g?y#s", "http://a/b/c/g?y"},
	{";x", "http://a/b/c/;x"},
	{"g;x", "http://a/b/c/g;x"},
	{"", "http://a/b/c/d;p?q"},
	{".", "http://a/b/c/"},
	{"./", "http://a/b/c/"},
	{"..", "http://a/b/"},
	{"../", "http://a/b/"},
	{"../g", "http://a/b/g"},
	{"../..", "http://a/"},
	{"../../", "http://a/"},
	{"../../g", "http://a/g"},
	/* 5.4.2 */
	{"../../../g", "http://a/g"},
	{"../../../../g", "http://a/g"},
	{"/./g", "http://a/g"},
	{"/../g", "http://a/g"},
	{"g.", "http://a/b/c/g."},
	{".g", "http://a/b/c/.g"},
	{"g..", "http://a/b/c/g.."},
	{"..g", "http://a/b/c/..g"},
	{"./../g", "http://a/b/g"},
	{"./g/.", "http://a/b/c/g/"},
	{"g/./h", "http://a/b/c/g/h"},
	{"g/../h", "http://a/b/c/h"},
	{"g;x=1/../y", "http://a/b/c/y"},
	{"g?y/../x", "http://a/b/c/g?y/../x"},
	/* ours */
	{"https://x:8/y/../z?q", "https://x:8/z?q"},
	{"//x?y", "http://x/?y"},
	{"/a//b", "http://a/a//b"},
	{"/a/%2e%2e/b", "http://a/a/%2e%2e/b"},
	{"mailto:x", NULL},
	{"http:g", NULL},
	{"//", NULL},
	{"//u@x/", NULL},
	{"/a b", "http://a/a%20b"},
	{"/\xc3\xa9?\xff#\x01", "http://a/%C3%A9?%FF"},
	{"/a\tb", NULL},
	{"//\xc3\xa9\x7f/", NULL},
};

static void references_are_resolved_as_rfc_3986_5_4_shows(void **state)
{
	static const char base[] = "http://a/b/c/d;p?q";
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reference_rows); i++) {
		struct buf b;
		struct slice copy = exact_copy(slice_of(reference_rows[i].reference));
		buf_init(&b, 100);
		EXPECT_INT(reference_rows[i].reference, uri_resolve(BYTES(base), copy, &b),
			reference_rows[i].want ? 0 : -EINVAL);
		if (reference_rows[i].want)
			EXPECT_SLICE(reference_rows[i].reference, buf_slice(&b), slice_of(reference_rows[i].want));
		buf_fini(&b);
		free_copy(copy);
	}
}

static void a_normal_form_has_no_escape_that_is_not_needed_and_no_dot_segment(void **state)
{
	static const struct {
		const char *url, *whole, *beginning; /* NULL: the same as whole */
	} rows[] = {
		{"http://a/b?c", "http://a/b?c", NULL},
		{"http://a/%41%7A%30%2d%2E%5f%7e", "http://a/Az0-._~", NULL},
		{"http://a/%2f%3F%40%25%20%00%80%c3%A9", "http://a/%2f%3F%40%25%20%00%80%c3%A9", NULL},
		{"http://a/%2541%%341", "http://a/%2541%41", NULL},
		{"http://a/%4", "http://a/%4", NULL},
		{"http://a/%", "http://a/%", NULL},
		{"http://a/%zz%4g", "http://a/%zz%4g", NULL},
		{"http://%61?%62", "http://a?b", NULL},
		{"http://a", "http://a", NULL},
		{"http://a/b/./c/%2e%2e/d", "http://a/b/d", NULL},
		{"http://a/b/..", "http://a/", "http://a/b/.."},
		{"http://a/b/../c/.", "http://a/c/", "http://a/c/."},
		{"http://a/../../b", "http://a/b", NULL},
		{"http://a/b/..?c/../d", "http://a/?c/../d", NULL},
		{"http://a//b/.c/..d/...", "http://a//b/.c/..d/...", NULL},
		{"/%62/../c", "/b/../c", NULL},
		{"", "", NULL},
	};
	char out[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice copy = exact_copy(slice_of(rows[i].url));
		EXPECT_SLICE(
			rows[i].url, ((struct slice){out, uri_normalize(copy, true, out)}), slice_of(rows[i].whole));
		EXPECT_SLICE(rows[i].url, ((struct slice){out, uri_normalize(copy, false, out)}),
			slice_of(rows[i].beginning ? rows[i].beginning : rows[i].whole));
		free_copy(copy);
	}
}

static void a_base_without_path_or_host_is_no_trap(void **state)
{
	struct buf b;
	(void)state;
	buf_init(&b, 20);
	EXPECT_INT("no path", uri_resolve(BYTES("http://a?q"), BYTES("x"), &b), 0);
	EXPECT_SLICE("no path", buf_slice(&b), BYTES("http://a/x"));
	EXPECT_INT("not absolute", uri_resolve(BYTES("/a"), BYTES("x"), &b), -EINVAL);
	EXPECT_INT("too long", uri_resolve(BYTES("http://a/"), BYTES("12345678901234567890"), &b), -ENOBUFS);
	buf_fini(&b);
}

static void origins_are_compared_with_their_default_ports(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"http://a/x", "http://A:80/y?z", true},
		{"https://a", "HTTPS://a:443/", true},
		{"http://a:", "http://a", true},
		{"http://a", "https://a", false},
		{"http://a:443", "https://a", false},
		{"http://a", "http://a:81", false},
		{"http://a", "http://b", false},
		{"http://[::1]", "http://[::1]:80", true},
		{"ftp://a", "ftp://a", false},
		{"/a", "/a", false},
		{"http://u@a", "http://a", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		EXPECT_INT(rows[i].a, uri_same_origin(slice_of(rows[i].a), slice_of(rows[i].b)), rows[i].same);
		EXPECT_INT(rows[i].b, uri_same_origin(slice_of(rows[i].b), slice_of(rows[i].a)), rows[i].same);
	}
}

static const struct {
	const char *path;
	bool is_plain, is_unreadable; /* the latter with all escapes decoded */
} told_paths[] = {
	{"/", true, false},
	{"/a/b/", true, false},
	{"/a%20b/%C3%A9", false, false},
	{"/a..b/c.", true, false},
	{"/a%", false, false},
	{"/a%2", false, false},
	{"/a%zz", false, false},
	{"*", true, false},
	{"", true, false},
	{"/.well-known/x", false, false},
	{"/...", false, false},
	{"/..a/.b", false, false},
	{"//a", false, false},
	{"/a;v=1/b;w", false, false},
	{"/100%25", false, false},
	{"/x%252fy", false, false},
	{"/a%00", false, false},
	{"/a%0a", false, false},
	{"/a%0D", false, false},
	{"/a%23b", false, false},
	{"/a%3fb", false, false},
	{"/./a", false, true},
	{"/a/.", false, true},
	{"/a/..", false, true},
	{"/a/../b", false, true},
	{"/x/..%2fa", false, true},
	{"/x%2f%2E%2e/a", false, true},
	{"/x/.%2e/a", false, true},
	{"/x\\..\\a", false, true},
	{"/x%5c..", false, true},
	{"/x/..;/a", false, true},
	{"/x/.;v/a", false, true},
	{"/x/..%3bv/a", false, true},
	{"/x/%252e%252e/a", false, true},
	{"/x/..%00/a", false, true},
	{"/x/..%3fa", false, true},
	{"/x/..%c0%afa", false, true},
	{"/x%C0%AFa", false, true},
	{"/x%e0%80%afa", false, true},
	{"/x%f0%80%80%afa", false, true},
	{"/x%25c0%25afa", false, true},
	{"/x%u002fa", false, true},
	{"/x%25u002fa", false, true},
	{"/%c0", false, false},
	{"/%c0%", false, false},
	{"/%e0%a0%80/%f0%9f%98%80/%c3%af", false, false},
};

/* All that shapes a path decoded, again and again. */
static void decode(struct buf *path, struct buf *spare)
{
	const unsigned decodes = URI_DECODES_SLASH | URI_DECODES_BACKSLASH | URI_DECODES_DOT | URI_DECODES_SEMICOLON |
				 URI_DECODES_PERCENT;
	unsigned left;

	while ((left = uri_path_readings(buf_slice(path)) & decodes) != 0) {
		buf_reset(spare);
		assert_int_equal(uri_read_path(buf_slice(path), (enum uri_reading)(left & -left), spare), 0);
		buf_reset(path);
		assert_int_equal(buf_add_slice(path, buf_slice(spare)), 0);
	}
}

static void paths_that_servers_read_in_their_own_ways_are_told(void **state)
{
	struct buf out, spare;

	(void)state;
	buf_init(&out, 1000);
	buf_init(&spare, 1000);
	for (size_t i = 0; i < ARRAY_LEN(told_paths); i++) {
		struct slice path = exact_copy(slice_of(told_paths[i].path));

		buf_reset(&out);
		EXPECT_INT(told_paths[i].path, uri_path_is_plain(path), told_paths[i].is_plain);
		(void)uri_path_is_unreadable(path); /* looks at nothing beyond its end */
		(void)uri_path_readings(path);
		assert_int_equal(buf_add_slice(&out, path), 0);
		decode(&out, &spare);
		EXPECT_INT(told_paths[i].path, uri_path_is_unreadable(buf_slice(&out)), told_paths[i].is_unreadable);
		free_copy(path);
	}
	buf_fini(&spare);
	buf_fini(&out);
}

static void paths_are_read_as_servers_may(void **state)
{
	static const struct {
		const char *path;
		unsigned all;
		enum uri_reading reading;
		const char *as;
	} rows[] = {
		{"/a/b", 0, URI_MERGES, "/a/b"},
		{"/a///b//", URI_MERGES, URI_MERGES, "/a/b/"},
		{"/a;v=1/b;w", URI_STRIPS | URI_CUTS, URI_STRIPS, "/a/b"},
		{"/a;v=1/b;w", URI_STRIPS | URI_CUTS, URI_CUTS, "/a"},
		{"/u/;/7", URI_STRIPS | URI_CUTS, URI_STRIPS, "/u//7"},
		{"/a\\\\b", URI_REVERSES, URI_REVERSES, "/a//b"},
		{"/a;x\\b", URI_STRIPS | URI_CUTS | URI_REVERSES, URI_STRIPS, "/a"},
		{"/a;x\\b", URI_STRIPS | URI_CUTS | URI_REVERSES, URI_REVERSES, "/a;x/b"},
		{"/a%00b", URI_ENDS, URI_ENDS, "/a"},
		{"/a%3fx.css", URI_ENDS, URI_ENDS, "/a"},
		{"/a%2fb%2Fc", URI_DECODES_SLASH, URI_DECODES_SLASH, "/a/b/c"},
		{"/a%2f%3bb", URI_DECODES_SLASH | URI_DECODES_SEMICOLON, URI_DECODES_SEMICOLON, "/a%2f;b"},
		{"/a%252f", URI_DECODES_PERCENT, URI_DECODES_PERCENT, "/a%2f"},
		{"/a%25252f", URI_DECODES_PERCENT, URI_DECODES_PERCENT, "/a%252f"},
		{"/a%2e%5c", URI_DECODES_DOT | URI_DECODES_BACKSLASH, URI_DECODES_BACKSLASH, "/a%2e\\"},
		{"/a%41%2", 0, URI_DECODES_PERCENT, "/a%41%2"},
		{"", 0, URI_MERGES, ""},
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice path = exact_copy(slice_of(rows[i].path));

		buf_reset(&out);
		EXPECT_INT(rows[i].path, uri_path_readings(path), rows[i].all);
		assert_int_equal(uri_read_path(path, rows[i].reading, &out), 0);
		EXPECT_SLICE(rows[i].path, buf_slice(&out), slice_of(rows[i].as));
		free_copy(path);
	}
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absolute_urls_are_split),
		cmocka_unit_test(paths_that_servers_read_in_their_own_ways_are_told),
		cmocka_unit_test(paths_are_read_as_servers_may),
		cmocka_unit_test(authorities_are_checked),
		cmocka_unit_test(percent_encoding_is_decoded_where_it_is_valid),
		cmocka_unit_test(queries_are_walked),
		cmocka_unit_test(names_match_patterns),
		cmocka_unit_test(references_are_resolved_as_rfc_3986_5_4_shows),
		cmocka_unit_test(a_normal_form_has_no_escape_that_is_not_needed_and_no_dot_segment),
		cmocka_unit_test(a_base_without_path_or_host_is_no_trap),
		cmocka_unit_test(origins_are_compared_with_their_default_ports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
