/* SPDX-License-Identifier: MIT */
#include "tests/unit/proxy/request/request_rig.h"

#include <errno.h>

#include "proxy/request/response_head.h"

#define CONFIG "[proxy]\nlisten = 127.0.0.1:1\n[upstream]\nurl = http://o.example\n[route all]\nmatch = /*\nttl = 60s\n"
#define FIELDS "ETag: \"1\"\r\nContent-Type: text/plain\r\nCache-Control: max-age=60\r\n"

/* The head is what the transport wants: a status line, lines with CRLF, no empty line, nothing of the connection. */
static bool has_line(const struct response *r, const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "\r\n%s\r\n", line);
	return memmem(r->head.p, r->head.n, text, strlen(text)) != NULL;
}

static void head_is_well_formed(const struct response *r)
{
	char line[32];

	snprintf(line, sizeof(line), "HTTP/1.1 %d ", r->status);
	assert_memory_equal(r->head.p, line, strlen(line));
	assert_memory_equal(r->head.p + r->head.n - 2, "\r\n", 2);
	assert_null(memmem(r->head.p, r->head.n, "\r\n\r\n", 4));
	assert_null(memmem(r->head.p, r->head.n, "\nConnection:", 12));
	assert_null(memmem(r->head.p, r->head.n, "\nTransfer-Encoding:", 19));
}

static void an_object_answers(void **state)
{
	static const struct {
		const char *request;
		int status;
		enum response_body body;
		int64_t content_length, offset;
	} rows[] = {
		{"GET /stored", 200, RESPONSE_OBJECT, 10, 0},
		{"HEAD /stored", 200, RESPONSE_EMPTY, 10, 0},
		{"GET /stored\r\nIf-None-Match: \"1\"\r\n", 304, RESPONSE_EMPTY, -1, 0},
		{"GET /stored\r\nRange: bytes=2-4\r\n", 206, RESPONSE_OBJECT, 3, 2},
		{"GET /stored\r\nRange: bytes=-1\r\n", 206, RESPONSE_OBJECT, 1, 9},
		{"GET /stored\r\nRange: bytes=10-\r\n", 416, RESPONSE_EMPTY, 0, 0},
		{"GET /stored\r\nRange: bytes=2-4\r\nRange: bytes=5-6\r\n", 200, RESPONSE_OBJECT, 10, 0},
	};
	const struct cache_status cache_status = {.hit = true, .has_ttl = true, .ttl_ms = 59900};
	struct snapshot *s = snapshot_of(CONFIG);
	struct stored o;
	struct response r;

	(void)state;
	stored_begin(&o, s, FIELDS, "0123456789");
	response_init(&r);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct request q;

		request_begin(&q, s, rows[i].request);
		assert_int_equal(response_from_object(&r, &q.target.sent.http, o.object, o.now, &cache_status), 0);
		head_is_well_formed(&r);
		assert_int_equal(r.status, rows[i].status);
		assert_int_equal(r.body, rows[i].body);
		assert_int_equal(r.content_length, rows[i].content_length);
		assert_int_equal(r.offset, rows[i].offset);
		assert_true(has_line(&r, "ETag: \"1\""));
		assert_true(has_line(&r, "Age: 0"));
		assert_true(has_line(&r, "Cache-Status: memoproxy; hit; ttl=59"));
		assert_int_equal(has_line(&r, "Content-Type: text/plain"), r.status != 304 && r.status != 416);
		assert_int_equal(has_line(&r, "Cache-Control: max-age=60"), r.status != 416);
		request_end(&q);
	}
	response_fini(&r);
	stored_end(&o);
	snapshot_unref(&s);
}

static void the_age_is_what_has_passed(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	struct request q;
	struct stored o;
	struct response r;
	struct now later;

	(void)state;
	stored_begin(&o, s, FIELDS "Age: 5\r\n", "abc");
	later = (struct now){o.now.mono_ms + 12345, o.now.wall_ms + 12345};
	request_begin(&q, s, "GET /stored");
	response_init(&r);
	assert_int_equal(response_from_object(&r, &q.target.sent.http, o.object, later,
				 &(struct cache_status){.hit = true, .has_ttl = true, .ttl_ms = -1}),
		0);
	assert_true(has_line(&r, "Age: 17"));
	assert_true(has_line(&r, "Cache-Status: memoproxy; hit; ttl=-1")); /* a stale response never shows 0 */
	response_fini(&r);
	request_end(&q);
	stored_end(&o);
	snapshot_unref(&s);
}

static void parts_add_up_to_the_length(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	int64_t n = 0;
	struct request q;
	struct stored o;
	struct response r;

	(void)state;
	stored_begin(&o, s, FIELDS, "0123456789");
	request_begin(&q, s, "GET /stored\r\nRange: bytes=0-1, 4-4, -2\r\n");
	response_init(&r);
	assert_int_equal(
		response_from_object(&r, &q.target.sent.http, o.object, o.now, &(struct cache_status){.hit = true}), 0);
	assert_int_equal(r.status, 206);
	assert_int_equal(r.body, RESPONSE_PARTS);
	assert_int_equal(r.parts_n, 4);
	for (unsigned i = 0; i < r.parts_n; i++)
		n += (int64_t)(r.parts[i].head_n + r.parts[i].length);
	assert_int_equal(n, r.content_length);
	assert_int_equal(r.parts[1].offset, 4);
	assert_int_equal(r.parts[2].length, 2);
	assert_int_equal(r.parts[3].length, 0);
	response_fini(&r);
	request_end(&q);
	stored_end(&o);
	snapshot_unref(&s);
}

/* Of what still arrives a range waits for its first byte, and where no length is known for the end. */
static void a_range_waits_for_what_it_needs(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	struct request whole, first, later, several;
	struct stored o;
	struct response r;

	(void)state;
	stored_begin(&o, s, FIELDS, NULL);
	response_init(&r);
	request_begin(&whole, s, "GET /stored");
	request_begin(&first, s, "GET /stored\r\nRange: bytes=0-\r\n");
	request_begin(&later, s, "GET /stored\r\nRange: bytes=5-6\r\n");
	request_begin(&several, s, "GET /stored\r\nRange: bytes=0-1, 5-6\r\n");
	stored_add(&o, "0123456789");
	assert_true(response_can_begin(&r, &whole.target.sent.http, o.object, false));
	assert_true(response_can_begin(&r, &first.target.sent.http, o.object, false));
	assert_false(response_can_begin(&r, &later.target.sent.http, o.object, false));
	assert_false(response_can_begin(&r, &several.target.sent.http, o.object, false));
	assert_int_equal(
		response_from_object(&r, &whole.target.sent.http, o.object, o.now, &(struct cache_status){0}), 0);
	assert_int_equal(r.content_length, -1);
	assert_int_equal(r.length, -1);
	head_is_well_formed(&r);
	stored_complete(&o);
	assert_true(response_can_begin(&r, &later.target.sent.http, o.object, false));
	assert_true(response_can_begin(&r, &several.target.sent.http, o.object, false));
	request_end(&several);
	request_end(&later);
	request_end(&first);
	request_end(&whole);
	response_fini(&r);
	stored_end(&o);
	snapshot_unref(&s);
}

static void an_upstreams_response_passes_with_via_and_date(void **state)
{
	static const struct {
		const char *request, *fields;
		int status;
		int64_t length;
		enum response_body body;
		bool shows_length;
	} rows[] = {
		{"GET /a", "X: 1\r\nContent-Length: 3\r\n", 200, 3, RESPONSE_STREAM, true},
		{"GET /a", "X: 1\r\n", 200, -1, RESPONSE_STREAM, false},
		{"HEAD /a", "X: 1\r\nContent-Length: 3\r\n", 200, 3, RESPONSE_EMPTY, true},
		{"GET /a", "X: 1\r\nDate: Tue, 14 Nov 2023 00:00:00 GMT\r\n", 304, -1, RESPONSE_EMPTY, false},
		{"DELETE /a", "X: 1\r\n", 204, 3, RESPONSE_EMPTY, false},
	};
	const struct now now = {1000, 1700000000000};
	struct snapshot *s = snapshot_of(CONFIG);
	struct response r;

	(void)state;
	response_init(&r);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_fields fields;
		struct request q;

		fields_parse(&fields, rows[i].fields);
		request_begin(&q, s, rows[i].request);
		assert_int_equal(
			response_from_fields(&r, &q.target.sent.http, rows[i].status, &fields, rows[i].length, now,
				&(struct cache_status){.forward = CACHE_FWD_BYPASS, .forward_status = rows[i].status}),
			0);
		head_is_well_formed(&r);
		assert_int_equal(r.body, rows[i].body);
		assert_true(has_line(&r, "X: 1"));
		assert_true(has_line(&r, "Via: 1.1 memoproxy"));
		assert_true(has_line(&r, strstr(rows[i].fields, "Date") ? "Date: Tue, 14 Nov 2023 00:00:00 GMT"
									: "Date: Tue, 14 Nov 2023 22:13:20 GMT"));
		assert_int_equal(has_line(&r, "Content-Length: 3"), rows[i].shows_length);
		request_end(&q);
		http_fields_fini(&fields);
	}
	response_fini(&r);
	snapshot_unref(&s);
}

#define PROBLEM(s, d, ...) (&(struct response_problem){.status = (s), .detail = (d), .error = "dns_error", __VA_ARGS__})

static void a_head_past_its_bound_is_none(void **state)
{
	struct snapshot *s = snapshot_of(CONFIG);
	static char value[RESPONSE_HEAD_MAX];
	struct http_fields fields;
	struct request q;
	struct response r;

	(void)state;
	memset(value, 'v', sizeof(value));
	http_fields_init(&fields);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("X"), (struct slice){value, sizeof(value)}), 0);
	request_begin(&q, s, "GET /a");
	response_init(&r);
	assert_int_equal(
		response_from_fields(&r, &q.target.sent.http, 200, &fields, -1, clock_now(), &(struct cache_status){0}),
		-ENOBUFS);
	assert_int_equal(
		response_problem(&r, &q.http, PROBLEM(502, "too large", .retry_after_s = -1), clock_now(), NULL),
		0); /* it serves again */
	head_is_well_formed(&r);
	response_fini(&r);
	request_end(&q);
	http_fields_fini(&fields);
	snapshot_unref(&s);
}

static void the_upstreams_name_is_told_where_that_is_wanted(void **state)
{
	struct request q;
	struct response r;

	(void)state;
	response_init(&r);
	request_parse(&q, "GET /a");
	assert_int_equal(
		response_problem(&r, &q.http,
			PROBLEM(502, "x", .proxy_status = CONFIG_PROXY_STATUS_FULL, .next_hop = SLICE_LIT("api")),
			clock_now(), NULL),
		0);
	assert_true(has_line(&r, "Proxy-Status: memoproxy; error=dns_error; next-hop=\"api\""));
	assert_null(memmem(r.head.p, r.head.n, "X-Request-ID", 12));
	assert_int_equal(
		response_problem(&r, &q.http,
			PROBLEM(502, "x", .proxy_status = CONFIG_PROXY_STATUS_FULL, .next_hop = SLICE_LIT("a\"b")),
			clock_now(), NULL),
		0);
	assert_true(has_line(&r, "Proxy-Status: memoproxy; error=dns_error"));
	request_end(&q);
	response_fini(&r);
}

static void a_problem_says_what_went_wrong(void **state)
{
	struct request q;
	struct response r;

	(void)state;
	response_init(&r);
	request_parse(&q, "GET /a");
	assert_int_equal(response_problem(&r, &q.http,
				 PROBLEM(503, "too much to do", .retry_after_s = 7, .id = SLICE_LIT("a-1"),
					 .proxy_status = CONFIG_PROXY_STATUS_ERROR, .next_hop = SLICE_LIT("api")),
				 (struct now){1000, 1700000000000}, NULL),
		0);
	head_is_well_formed(&r);
	assert_true(has_line(&r, "Content-Type: application/problem+json"));
	assert_true(has_line(&r, "Cache-Control: no-store"));
	assert_true(has_line(&r, "Retry-After: 7"));
	assert_int_equal(r.body, RESPONSE_BYTES);
	assert_int_equal(r.content_length, r.bytes.n);
	assert_non_null(memmem(r.bytes.p, r.bytes.n, "\"status\":503,\"detail\":\"too much to do\"", 38));
	assert_non_null(memmem(r.bytes.p, r.bytes.n, ",\"error\":\"dns_error\",\"id\":\"a-1\"}", 32));
	assert_true(has_line(&r, "Proxy-Status: memoproxy; error=dns_error"));
	assert_true(has_line(&r, "X-Request-ID: a-1"));
	request_end(&q);
	request_parse(&q, "HEAD /a");
	assert_int_equal(response_problem(&r, &q.http, PROBLEM(504, "late", .retry_after_s = -1),
				 (struct now){1000, 1700000000000}, NULL),
		0);
	assert_null(memmem(r.head.p, r.head.n, "Proxy-Status", 12));
	assert_int_equal(r.body, RESPONSE_EMPTY);
	assert_null(memmem(r.head.p, r.head.n, "Retry-After", 11));
	request_end(&q);
	response_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_answers),
		cmocka_unit_test(the_age_is_what_has_passed),
		cmocka_unit_test(parts_add_up_to_the_length),
		cmocka_unit_test(a_range_waits_for_what_it_needs),
		cmocka_unit_test(an_upstreams_response_passes_with_via_and_date),
		cmocka_unit_test(a_head_past_its_bound_is_none),
		cmocka_unit_test(a_problem_says_what_went_wrong),
		cmocka_unit_test(the_upstreams_name_is_told_where_that_is_wanted),
	};

	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
