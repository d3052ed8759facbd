/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include <stdlib.h>

#include "http/message.h"

static const struct http_head_limits limits = {.max_head = 4096, .max_fields = 20};

static enum http_parse parse(struct slice s, struct http_request *r, struct http_error *err)
{
	size_t scanned = 0;
	http_request_init(r);
	return http_request_parse(s.p, s.n, &limits, &scanned, r, err);
}

#define H "Host: a\r\n"

static void good_request_lines_are_taken_apart(void **state)
{
	static const struct {
		const char *line;
		enum http_method method;
		enum http_target_form form;
		const char *host, *path, *query; /* query NULL: none */
	} rows[] = {
		{"GET / HTTP/1.1", HTTP_GET, HTTP_TARGET_ORIGIN, "a", "/", NULL},
		{"GET /? HTTP/1.1", HTTP_GET, HTTP_TARGET_ORIGIN, "a", "/", ""},
		{"HEAD /x?y?z HTTP/1.1", HTTP_HEAD, HTTP_TARGET_ORIGIN, "a", "/x", "y?z"},
		{"POST //b/../c HTTP/1.1", HTTP_POST, HTTP_TARGET_ORIGIN, "a", "//b/../c", NULL},
		{"PUT /%zz HTTP/1.1", HTTP_PUT, HTTP_TARGET_ORIGIN, "a", "/%zz", NULL},
		{"DELETE /|\"[]{}\\^`<> HTTP/1.1", HTTP_DELETE, HTTP_TARGET_ORIGIN, "a", "/|\"[]{}\\^`<>", NULL},
		{"PATCH /a HTTP/1.2", HTTP_PATCH, HTTP_TARGET_ORIGIN, "a", "/a", NULL},
		{"QUERY /a HTTP/1.1", HTTP_QUERY, HTTP_TARGET_ORIGIN, "a", "/a", NULL},
		{"get /a HTTP/1.1", HTTP_OTHER, HTTP_TARGET_ORIGIN, "a", "/a", NULL},
		{"M-SEARCH /a HTTP/1.1", HTTP_OTHER, HTTP_TARGET_ORIGIN, "a", "/a", NULL},
		{"OPTIONS * HTTP/1.1", HTTP_OPTIONS, HTTP_TARGET_ASTERISK, "a", "*", NULL},
		{"OPTIONS /* HTTP/1.1", HTTP_OPTIONS, HTTP_TARGET_ORIGIN, "a", "/*", NULL},
		{"GET http://b HTTP/1.1", HTTP_GET, HTTP_TARGET_ABSOLUTE, "b", "/", NULL},
		{"GET HTTPS://b:1/c?d HTTP/1.1", HTTP_GET, HTTP_TARGET_ABSOLUTE, "b:1", "/c", "d"},
		{"GET http://b?c HTTP/1.1", HTTP_GET, HTTP_TARGET_ABSOLUTE, "b", "/", "c"},
		{"GET http://[::1]:80/@ HTTP/1.1", HTTP_GET, HTTP_TARGET_ABSOLUTE, "[::1]:80", "/@", NULL},
		{"OPTIONS http://b:8 HTTP/1.1", HTTP_OPTIONS, HTTP_TARGET_ASTERISK, "b:8", "*", NULL},
		{"OPTIONS http://b/ HTTP/1.1", HTTP_OPTIONS, HTTP_TARGET_ABSOLUTE, "b", "/", NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char head[256];
		struct http_request r;
		struct http_error err = {0};
		snprintf(head, sizeof(head), "%s\r\n" H "\r\n", rows[i].line);
		struct slice copy = exact_copy(slice_of(head));
		if (parse(copy, &r, &err) != HTTP_PARSE_DONE)
			fail_msg("%s: %d %s", rows[i].line, err.status, err.reason);
		EXPECT_INT(rows[i].line, r.method, rows[i].method);
		EXPECT_INT(rows[i].line, r.form, rows[i].form);
		EXPECT_SLICE(rows[i].line, r.host, slice_of(rows[i].host));
		EXPECT_SLICE(rows[i].line, http_fields_get(&r.fields, HF_HOST)->value, slice_of(rows[i].host));
		EXPECT_SLICE(rows[i].line, r.path, slice_of(rows[i].path));
		EXPECT_INT(rows[i].line, r.has_query, rows[i].query != NULL);
		EXPECT_SLICE(rows[i].line, r.query, slice_of(rows[i].query ? rows[i].query : ""));
		EXPECT_INT(rows[i].line, r.head_bytes, strlen(head));
		http_request_fini(&r);
		free_copy(copy);
	}
}

static const struct {
	int status;
	struct slice head;
} bad_heads[] = {
	/* request line, RFC 9112 3 */
	{400, ROW(" GET / HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("\rGET / HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("\nGET / HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("G@T / HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET\t/ HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET  / HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET /  HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET / HTTP/1.1 \r\n" H "\r\n")},
	{400, ROW("GET / HTTP/1.1\n" H "\r\n")},
	{400, ROW("GET / HTTP/1.1\rX\n" H "\r\n")},
	{400, ROW("GET /\r\n")},
	{400, ROW("GET / http/1.1\r\n" H "\r\n")},
	{400, ROW("GET / HTTP/1.10\r\n" H "\r\n")},
	{400, ROW("GET / HTTP/11\r\n" H "\r\n")},
	{400, ROW("GET / HTTP/+1.1\r\n" H "\r\n")},
	{400, ROW("GET / HTTPS/1.1\r\n" H "\r\n")},
	{505, ROW("GET / HTTP/2.0\r\n" H "\r\n")},
	{505, ROW("GET / HTTP/0.9\r\n" H "\r\n")},
	{505, ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	{400, ROW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
	/* methods */
	{405, ROW("CONNECT a:80 HTTP/1.1\r\n" H "\r\n")},
	{405, ROW("TRACE / HTTP/1.1\r\n" H "\r\n")},
	/* targets, RFC 9112 3.2 */
	{400, ROW("GET * HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("OPTIONS *x HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET a HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET ?a HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET a:80 HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET /a#b HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET /\x7f HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET /\x01 HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET /\0 HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET ftp://a/ HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET http:/a/ HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET http:///a HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET http://u@a/ HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET http://u:p@a/ HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET http://a:99999/ HTTP/1.1\r\n" H "\r\n")},
	{400, ROW("GET http://a\\b/ HTTP/1.1\r\n" H "\r\n")},
	/* field lines, RFC 9112 5, 5.1, 5.2 */
	{400, ROW("GET / HTTP/1.1\r\n " H "\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H " folded\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "\tfolded\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X : y\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X\t: y\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H ": y\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X y: z\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X(y): z\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X\xe9: z\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X\0: z\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X: a\x1f"
		  "b\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X: aaaaaaaaaaaaaaaaa\x7f\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "X: a\n\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "\rX")},
	{400, ROW("GET / HTTP/1.1\r\n" H "\r\rX")},
	/* Host, RFC 9112 3.2 */
	{400, ROW("GET / HTTP/1.1\r\n\r\n")},
	{400, ROW("GET http://a/ HTTP/1.1\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H H "\r\n")},
	{400, ROW("GET / HTTP/1.1\r\n" H "host: b\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost:\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: :80\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: a\xe9\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n")},
	{400, ROW("GET / HTTP/1.1\r\nHost: [a]\r\n\r\n")},
	{400, ROW("GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n")},
	{400, ROW("GET / HTTP/1.0\r\n" H H "\r\n")},
	/* framing, RFC 9112 6.1-6.3 */
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: -0\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: 5 \t5\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: 5.0\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;a=b\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,chunked\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{400, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{400, ROW("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n")},
	{501, ROW("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n")},
	/* Expect, RFC 9110 10.1.1 */
	{417, ROW("POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n")},
	{417, ROW("POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nExpect: x\r\n\r\n")},
};

static void what_is_not_a_request_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_heads); i++) {
		struct http_request r;
		struct http_error err = {0};
		struct slice copy = exact_copy(bad_heads[i].head);
		EXPECT_INT(bad_heads[i].head.p, parse(copy, &r, &err), HTTP_PARSE_BAD);
		EXPECT_INT(bad_heads[i].head.p, err.status, bad_heads[i].status);
		assert_non_null(err.reason);
		http_request_fini(&r);
		free_copy(copy);
	}
}

static void framing_and_connection_are_read_from_the_fields(void **state)
{
	static const struct {
		const char *rest; /* after "POST / HTTP/" */
		int minor;
		bool keep_alive, expect_continue;
		enum http_body_framing framing;
		uint64_t length;
	} rows[] = {
		{"1.1\r\n" H, 1, true, false, HTTP_BODY_NONE, 0},
		{"1.0\r\n", 0, false, false, HTTP_BODY_NONE, 0},
		{"1.9\r\n" H, 1, true, false, HTTP_BODY_NONE, 0},
		{"1.1\r\n" H "Connection: close\r\n", 1, false, false, HTTP_BODY_NONE, 0},
		{"1.1\r\n" H "Connection: foo, Close\r\n", 1, false, false, HTTP_BODY_NONE, 0},
		{"1.1\r\n" H "Connection: foo\r\nConnection: close\r\n", 1, false, false, HTTP_BODY_NONE, 0},
		{"1.1\r\n" H "Connection: closed\r\n", 1, true, false, HTTP_BODY_NONE, 0},
		{"1.0\r\nConnection: Keep-Alive\r\n", 0, true, false, HTTP_BODY_NONE, 0},
		{"1.0\r\nConnection: keep-alive, close\r\n", 0, false, false, HTTP_BODY_NONE, 0},
		{"1.1\r\n" H "Content-Length: 0\r\n", 1, true, false, HTTP_BODY_LENGTH, 0},
		{"1.1\r\n" H "content-LENGTH:\t0012 \r\n", 1, true, false, HTTP_BODY_LENGTH, 12},
		{"1.1\r\n" H "Content-Length: 9223372036854775807\r\n", 1, true, false, HTTP_BODY_LENGTH, INT64_MAX},
		{"1.1\r\n" H "Transfer-Encoding: Chunked\r\n", 1, true, false, HTTP_BODY_CHUNKED, 0},
		{"1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n", 1, true, true, HTTP_BODY_LENGTH, 1},
		{"1.1\r\n" H "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", 1, true, true, HTTP_BODY_CHUNKED,
			0},
		{"1.1\r\n" H "Expect: 100-continue\r\n", 1, true, false, HTTP_BODY_NONE, 0},
		{"1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n", 0, false, false, HTTP_BODY_LENGTH, 1},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char head[256];
		struct http_request r;
		struct http_error err = {0};
		snprintf(head, sizeof(head), "POST / HTTP/%s\r\n", rows[i].rest);
		struct slice copy = exact_copy(slice_of(head));
		if (parse(copy, &r, &err) != HTTP_PARSE_DONE)
			fail_msg("%s: %d %s", head, err.status, err.reason);
		EXPECT_INT(head, r.minor, rows[i].minor);
		EXPECT_INT(head, r.keep_alive, rows[i].keep_alive);
		EXPECT_INT(head, r.expect_continue, rows[i].expect_continue);
		EXPECT_INT(head, r.framing, rows[i].framing);
		EXPECT_INT(head, r.content_length, rows[i].length);
		http_request_fini(&r);
		free_copy(copy);
	}
}

static void values_are_trimmed_and_otherwise_kept(void **state)
{
	static const struct {
		const char *line, *value;
	} rows[] = {
		{"X:", ""},
		{"X: \t ", ""},
		{"X:a", "a"},
		{"X: \ta\tb  c \t", "a\tb  c"},
		{"X: caf\xc3\xa9 \xff", "caf\xc3\xa9 \xff"},
		{"X: 0123456\t89abcdef", "0123456\t89abcdef"},
		{"X: a:b", "a:b"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char head[128];
		struct http_request r;
		struct http_error err = {0};
		snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n%s\r\n" H "\r\n", rows[i].line);
		EXPECT_INT(rows[i].line, parse(slice_of(head), &r, &err), HTTP_PARSE_DONE);
		EXPECT_SLICE(rows[i].line, http_fields_find(&r.fields, BYTES("x"))->value, slice_of(rows[i].value));
		http_request_fini(&r);
	}
}

/* Eight bytes are looked at together, so every byte is tried at every place. */
static void a_value_holds_any_byte_but_control_characters(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\n" H "X: 0123456789abcdefghijklmnop\r\n\r\n";
	const size_t first = strlen("GET / HTTP/1.1\r\n" H "X: "), last = sizeof(head) - 1 - strlen("\r\n\r\n");
	(void)state;
	for (size_t at = first; at < last; at++) {
		for (int byte = 0; byte < 256; byte++) {
			char copy[sizeof(head)];
			struct http_request r;
			struct http_error err = {0};
			bool is_control = (byte < 0x20 && byte != '\t') || byte == 0x7F;
			memcpy(copy, head, sizeof(head));
			copy[at] = (char)byte;
			enum http_parse got = parse((struct slice){copy, sizeof(head) - 1}, &r, &err);
			EXPECT_INT(copy, got, is_control ? HTTP_PARSE_BAD : HTTP_PARSE_DONE);
			http_request_fini(&r);
		}
	}
}

static void one_empty_line_before_the_request_is_skipped(void **state)
{
	static const struct slice head = ROW("\r\nGET / HTTP/1.1\r\n" H "\r\nnext");
	struct http_request r;
	struct http_error err = {0};
	(void)state;
	EXPECT_INT("parse", parse(head, &r, &err), HTTP_PARSE_DONE);
	EXPECT_INT("counts as part of the head", r.head_bytes, head.n - strlen("next"));
	http_request_fini(&r);
}

/* Whatever the cuts, the response is the one that all bytes at once get, and no byte past what was given is read. */
static void a_head_in_pieces_gives_the_same_as_in_one(void **state)
{
	static const struct slice heads[] = {
		ROW("GET /a?b HTTP/1.1\r\n" H "X: y\r\nContent-Length: 3\r\n\r\nabc"),
		ROW("\r\nGET / HTTP/1.1\r\n" H "\r\n"),
		ROW("GET / HTTP/1.1\r\n" H "X: y\nZ: a\r\n\r\n"),
		ROW("GET / HTTP/1.1\nHost: a\n\n"),
		ROW("GET / HTTP/1.1\r\n" H "\r\r\n"),
		ROW("GET / HTTP/1.1\r\n folded\r\n\r\n"),
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct http_request whole, r;
		struct http_error whole_err = {0}, err = {0};
		enum http_parse want = parse(heads[i], &whole, &whole_err);
		assert_int_not_equal(want, HTTP_PARSE_MORE);
		for (size_t step = 1; step <= heads[i].n; step++) {
			size_t scanned = 0, n = 0;
			enum http_parse got = HTTP_PARSE_MORE;
			http_request_init(&r);
			while (got == HTTP_PARSE_MORE && n < heads[i].n) {
				n = n + step < heads[i].n ? n + step : heads[i].n;
				struct slice copy = exact_copy((struct slice){heads[i].p, n});
				got = http_request_parse(copy.p, copy.n, &limits, &scanned, &r, &err);
				free_copy(copy);
			}
			EXPECT_INT(heads[i].p, got, want);
			EXPECT_INT(heads[i].p, r.head_bytes, whole.head_bytes);
			EXPECT_INT(heads[i].p, err.status, whole_err.status);
			http_request_fini(&r);
		}
		http_request_fini(&whole);
	}
}

static void a_head_that_is_too_long_is_431_or_414(void **state)
{
	static const struct http_head_limits small = {.max_head = 64, .max_fields = 3};
	static const struct {
		struct slice head;
		enum http_parse parse;
		int status;
	} rows[] = {
		{ROW("GET /0123456789012345678901234567890123456789012345678901234567890123456789"), HTTP_PARSE_BAD,
			414},
		{ROW("\r\nGET /01234567890123456789012345678901234567890123456789012345678901234567"), HTTP_PARSE_BAD,
			414},
		{ROW("GET / HTTP/1.1\r\nHost: 012345678901234567890123456789012345678901234567890123456789\r\n\r\n"),
			HTTP_PARSE_BAD, 431},
		{ROW("GET / HTTP/1.1\r\nHost: 0123456789012345678901234567890123456789\r\n"), HTTP_PARSE_BAD, 431},
		{ROW("GET / HTTP/1.1\r\nHost: 01234567890123456789012345678901234567\r\n\r\n"), HTTP_PARSE_DONE, 0},
		{ROW("GET / HTTP/1.1\r\nHost: 01234567890123456789012345678901234567\r\n\r"), HTTP_PARSE_MORE, 0},
		{ROW("GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\r\n\r\n"), HTTP_PARSE_DONE, 0},
		{ROW("GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\r\nC:\r\n\r\n"), HTTP_PARSE_BAD, 431},
		{ROW(""), HTTP_PARSE_MORE, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_request r;
		struct http_error err = {0};
		for (size_t first = 0; first <= rows[i].head.n; first += 13) {
			size_t scanned = 0;
			enum http_parse got = HTTP_PARSE_MORE;
			http_request_init(&r);
			got = http_request_parse(rows[i].head.p, first, &small, &scanned, &r, &err);
			if (got == HTTP_PARSE_MORE)
				got = http_request_parse(rows[i].head.p, rows[i].head.n, &small, &scanned, &r, &err);
			EXPECT_INT(rows[i].head.p, got, rows[i].parse);
			EXPECT_INT(rows[i].head.p, err.status, rows[i].status);
			http_request_fini(&r);
			err.status = 0;
		}
	}
}

static void a_second_head_reuses_the_array_and_starts_clean(void **state)
{
	static const struct slice first = ROW("POST http://b/?q HTTP/1.1\r\n" H "Content-Length: 7\r\nA: b\r\n\r\n");
	static const struct slice second = ROW("GET / HTTP/1.0\r\n\r\n");
	struct http_request r;
	struct http_error err = {0};
	size_t scanned = 0;
	(void)state;
	http_request_init(&r);
	EXPECT_INT("first", http_request_parse(first.p, first.n, &limits, &scanned, &r, &err), HTTP_PARSE_DONE);
	unsigned long before = mem_alloc_count();
	EXPECT_INT("second", http_request_parse(second.p, second.n, &limits, &scanned, &r, &err), HTTP_PARSE_DONE);
	EXPECT_INT("allocations", mem_alloc_count() - before, 0);
	EXPECT_INT("fields", r.fields.n, 0);
	EXPECT_INT("host", r.host.n, 0);
	EXPECT_INT("framing", r.framing, HTTP_BODY_NONE);
	EXPECT_INT("query", r.has_query, 0);
	EXPECT_INT("length", r.content_length, 0);
	http_request_fini(&r);
}

static void out_of_memory_is_a_503(void **state)
{
	struct http_request r;
	struct http_error err = {0};
	(void)state;
	mem_fail_at(1, 0);
	EXPECT_INT("parse", parse(BYTES("GET / HTTP/1.1\r\n" H "\r\n"), &r, &err), HTTP_PARSE_BAD);
	mem_fail_at(0, 0);
	EXPECT_INT("status", err.status, 503);
	http_request_fini(&r);
}

static void methods_are_classed_as_rfc_9110_9_2_says(void **state)
{
	static const struct {
		const char *token;
		bool safe;
	} rows[] = {
		{"GET", 1},
		{"HEAD", 1},
		{"OPTIONS", 1},
		{"TRACE", 1},
		{"QUERY", 1},
		{"PUT", 0},
		{"DELETE", 0},
		{"POST", 0},
		{"PATCH", 0},
		{"CONNECT", 0},
		{"get", 0},
		{"PURGE", 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum http_method m = http_method_of(slice_of(rows[i].token));
		EXPECT_INT(rows[i].token, http_method_is_safe(m), rows[i].safe);
	}
	EXPECT_SLICE("reason", slice_of(http_reason(404)), BYTES("Not Found"));
	EXPECT_SLICE("no reason", slice_of(http_reason(299)), BYTES(""));
	EXPECT_SLICE("no status", slice_of(http_reason(-1)), BYTES(""));
	EXPECT_SLICE("no status", slice_of(http_reason(600)), BYTES(""));
}

/* Each status has one place, which its name or that of its class says; what an origin sends leads nowhere else. */
static void places_for_counting(void **state)
{
	static const struct {
		int status;
		const char *name;
	} rows[] = {
		{200, "200"},
		{206, "206"},
		{299, "2xx"},
		{304, "304"},
		{300, "3xx"},
		{404, "404"},
		{418, "4xx"},
		{499, "499"},
		{503, "503"},
		{599, "5xx"},
		{600, "other"},
		{999, "other"},
		{199, "other"},
		{100, "other"},
		{0, "other"},
		{-1, "other"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		EXPECT_SLICE("its place", slice_of(http_status_slot_name(http_status_slot(rows[i].status))),
			slice_of(rows[i].name));
	for (unsigned i = 0; i < HTTP_STATUS_SLOTS; i++)
		for (unsigned k = 0; k <= i; k++)
			assert_int_equal(strcmp(http_status_slot_name(i), http_status_slot_name(k)) == 0, i == k);
	for (int status = 200; status < 600; status++) {
		const char *name = http_status_slot_name(http_status_slot(status));

		assert_int_equal(name[0] - '0', status / 100);
		assert_true(strcmp(name + 1, "xx") == 0 || atoi(name) == status);
	}
	EXPECT_SLICE("no place", slice_of(http_status_slot_name(HTTP_STATUS_SLOTS)), BYTES(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_request_lines_are_taken_apart),
		cmocka_unit_test(what_is_not_a_request_is_refused),
		cmocka_unit_test(framing_and_connection_are_read_from_the_fields),
		cmocka_unit_test(values_are_trimmed_and_otherwise_kept),
		cmocka_unit_test(a_value_holds_any_byte_but_control_characters),
		cmocka_unit_test(one_empty_line_before_the_request_is_skipped),
		cmocka_unit_test(a_head_in_pieces_gives_the_same_as_in_one),
		cmocka_unit_test(a_head_that_is_too_long_is_431_or_414),
		cmocka_unit_test(a_second_head_reuses_the_array_and_starts_clean),
		cmocka_unit_test(out_of_memory_is_a_503),
		cmocka_unit_test(methods_are_classed_as_rfc_9110_9_2_says),
		cmocka_unit_test(places_for_counting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
