/* SPDX-License-Identifier: MIT */
/* Requests and responses as they should be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "rig.h"

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void always_ok(struct conn *c)
{
	while (conn_read(c))
		conn_send(c, OK_2);
}

static void a_get_sends_nothing_but_host_and_brings_head_and_body(void **state)
{
	struct scripted w;
	char expected[128];

	(void)state;
	scripted_open(&w, always_ok);
	rig_fetch(&w.seen, "GET", "/a?b=c");
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_int_equal(w.seen.status, 200);
	assert_int_equal(w.seen.content_length, 2);
	assert_true(seen_body_is(&w.seen, "ok"));
	assert_true(w.seen.framed);
	assert_false(w.seen.reused);
	snprintf(expected, sizeof(expected), "GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", w.server.port);
	assert_string_equal(w.server.last, expected);
	scripted_close(&w);
}

static void targets_pass_byte_for_byte(void **state)
{
	static const char *const targets[] = {"/../a/./b//c", "/|\"{[<>\\^`]}", "/%7e%2F?a=b c", "/?", "/a?b#",
		"/a;p=1?x=%zz&&", "/@user:pw/:80/http://x/"};
	struct scripted w;

	(void)state;
	scripted_open(&w, always_ok);
	for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
		struct fetch_request q = rig_request("GET", targets[i]);
		char expected[128];
		int n;

		if (strpbrk(targets[i], " #")) {
			assert_int_equal(rig_start(&w.seen, &q), -EINVAL);
			continue;
		}
		rig_fetch_again(&w.seen, "GET", targets[i]);
		n = snprintf(expected, sizeof(expected), "GET %s HTTP/1.1\r\n", targets[i]);
		assert_memory_equal(w.server.last, expected, (size_t)n);
	}
	rig_fetch_again(&w.seen, "OPTIONS", "*");
	assert_memory_equal(w.server.last, "OPTIONS * HTTP/1.1\r\n", 20);
	scripted_close(&w);
}

static void any_method_carries_a_body_with_its_length(void **state)
{
	static const char *const methods[] = {"GET", "DELETE", "QUERY", "POST", "PUT", "FOO", "get"};
	struct scripted w;

	(void)state;
	scripted_open(&w, always_ok);
	for (unsigned i = 0; i < ARRAY_LEN(methods); i++) {
		struct fetch_request q = rig_request(methods[i], "/b");
		char expected[256];

		q.body = SLICE_LIT("x=1\0y");
		q.has_body = true;
		seen_fini(&w.seen);
		seen_init(&w.seen, &w.rig);
		assert_int_equal(rig_start(&w.seen, &q), 0);
		rig_wait(&w.seen);
		assert_int_equal(w.seen.result, FETCH_OK);
		snprintf(expected, sizeof(expected),
			"%s /b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 5\r\n\r\nx=1", methods[i],
			w.server.port);
		assert_string_equal(w.server.last, expected);
		q.body.n = 0;
		seen_fini(&w.seen);
		seen_init(&w.seen, &w.rig);
		assert_int_equal(rig_start(&w.seen, &q), 0);
		rig_wait(&w.seen);
		assert_non_null(strstr(w.server.last, "\r\nContent-Length: 0\r\n"));
		rig_fetch_again(&w.seen, methods[i], "/b");
		assert_null(strstr(w.server.last, "Content-Length"));
	}
	scripted_close(&w);
}

static void a_large_body_goes_without_expect(void **state)
{
	struct fetch_request q = rig_request("PUT", "/large");
	size_t n = 3 << 20;
	char *body = calloc(1, n);
	struct scripted w;

	(void)state;
	scripted_open(&w, always_ok);
	q.body = (struct slice){body, n};
	q.has_body = true;
	assert_int_equal(rig_start(&w.seen, &q), 0);
	rig_wait(&w.seen);
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_non_null(strstr(w.server.last, "\r\nContent-Length: 3145728\r\n"));
	assert_null(strstr(w.server.last, "Expect"));
	free(body);
	scripted_close(&w);
}

static void fields_go_in_order_and_empty_ones_too(void **state)
{
	struct fetch_request q = rig_request("POST", "/f");
	struct http_fields fields;
	struct scripted w;
	const char *host;

	(void)state;
	scripted_open(&w, always_ok);
	http_fields_init(&fields);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("X-Empty"), SLICE_LIT("")), 0);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("accept"), SLICE_LIT("a/b")), 0);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("Expect"), SLICE_LIT("100-continue")), 0);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("X-Semi"), SLICE_LIT(";")), 0);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("X-Odd"), SLICE_LIT("\xff:a\tb\x80")), 0);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("User-Agent"), SLICE_LIT("")), 0);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("Content-Type"), SLICE_LIT("t/u")), 0);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("TE"), SLICE_LIT("trailers")), 0);
	q.fields = &fields;
	q.host = SLICE_LIT("example.org:8");
	q.has_body = true;
	assert_int_equal(rig_start(&w.seen, &q), 0);
	rig_wait(&w.seen);
	host = strstr(w.server.last, "Host:");
	assert_non_null(host);
	assert_string_equal(host,
		"Host: example.org:8\r\nX-Empty:\r\naccept: a/b\r\nX-Semi: ;\r\nX-Odd: \xff:a\tb\x80\r\nUser-Agent:\r\n"
		"Content-Type: t/u\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n");
	http_fields_fini(&fields);
	scripted_close(&w);
}

static void what_cannot_be_sent_as_it_is_is_refused(void **state)
{
	struct fetch_request q = rig_request("GET", "/");
	struct http_fields fields;
	struct scripted w;

	(void)state;
	scripted_open(&w, always_ok);
	q.method_token = SLICE_LIT("GE T");
	assert_int_equal(rig_start(&w.seen, &q), -EINVAL);
	q = rig_request("GET", "http://other/");
	assert_int_equal(rig_start(&w.seen, &q), -EINVAL);
	q = rig_request("GET", "/");
	q.upstream = 1;
	assert_int_equal(rig_start(&w.seen, &q), -EINVAL);
	q.upstream = 0;
	q.host = SLICE_LIT("a\r\nX: y");
	assert_int_equal(rig_start(&w.seen, &q), -EINVAL);
	q.host.n = 0;
	http_fields_init(&fields);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("X"), SLICE_LIT("a\r\nB: c")), 0);
	q.fields = &fields;
	assert_int_equal(rig_start(&w.seen, &q), -EINVAL);
	http_fields_fini(&fields);
	assert_int_equal(rig_stats(&w.rig).started, 0);
	scripted_close(&w);
}

static void all_ok_by_method(struct conn *c)
{
	while (conn_read(c))
		conn_send(c, strncmp(c->bytes, "HEAD", 4) == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" : OK_2);
}

static void post_goes_on_a_fresh_connection_which_the_pool_gets(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, all_ok_by_method);
	rig_fetch_again(&w.seen, "GET", "/");
	rig_fetch_again(&w.seen, "POST", "/");
	assert_false(w.seen.reused);
	rig_fetch_again(&w.seen, "PUT", "/");
	assert_false(w.seen.reused);
	assert_int_equal(atomic_load(&w.server.accepted), 3);
	for (unsigned i = 0; i < 10; i++) {
		rig_fetch_again(&w.seen, i % 2 ? "GET" : "HEAD", "/");
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_true(w.seen.reused);
	}
	assert_int_equal(atomic_load(&w.server.accepted), 3);
	assert_int_equal(rig_stats(&w.rig).connections_opened, 3);
	assert_int_equal(rig_stats(&w.rig).connections_reused, 10);
	scripted_close(&w);
}

static void no_content(struct conn *c)
{
	while (conn_read(c)) {
		if (strstr(c->bytes, "/304"))
			conn_send(c, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a\"\r\n\r\n");
		else if (strstr(c->bytes, "/204"))
			conn_send(c, "HTTP/1.1 204 No Content\r\n\r\n");
		else if (strstr(c->bytes, "/0"))
			conn_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		else
			conn_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
	}
}

static void responses_without_content_are_whole(void **state)
{
	static const char *const targets[] = {"/304", "/204", "/0", "/head"};
	struct scripted w;

	(void)state;
	scripted_open(&w, no_content);
	for (unsigned i = 0; i < 8; i++) {
		rig_fetch_again(&w.seen, i % 4 == 3 ? "HEAD" : "GET", targets[i % 4]);
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_true(w.seen.framed);
		assert_int_equal(w.seen.offers, 0);
	}
	assert_int_equal(atomic_load(&w.server.accepted), 1);
	scripted_close(&w);
}

static void redirect(struct conn *c)
{
	while (conn_read(c))
		conn_send(c, "HTTP/1.1 302 Found\r\nLocation: http://[::1/bad url\r\nSet-Cookie: a=b; path=/\r\n"
			     "WWW-Authenticate: Basic\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw");
}

static void redirects_cookies_and_codings_pass_through(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, redirect);
	for (unsigned i = 0; i < 2; i++) {
		rig_fetch_again(&w.seen, "GET", "/");
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_int_equal(w.seen.status, 302);
		assert_true(seen_body_is(&w.seen, "raw"));
		assert_null(strstr(w.server.last, "Cookie"));
	}
	assert_int_equal(atomic_load(&w.server.requests), 2);
	scripted_close(&w);
}

static void informational(struct conn *c)
{
	while (conn_read(c))
		conn_send(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
			     "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\nok");
}

static void informational_responses_come_before_the_final_one(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, informational);
	rig_fetch(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_int_equal(w.seen.informational, 103);
	assert_int_equal(w.seen.heads, 1);
	assert_true(slice_equal(buf_slice(&w.seen.fields), SLICE_LIT("X: y\nContent-Length: 2\n")));
	scripted_close(&w);
}

static void chunked(struct conn *c)
{
	while (conn_read(c)) {
		const char *text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=\"v\"\r\nhello\r\n"
				   "1 \r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: t\r\n\r\n";

		if (strstr(c->bytes, "/bytes")) {
			for (; *text; text++)
				conn_send_n(c, text, 1);
		} else {
			conn_send(c, text);
		}
	}
}

static void chunks_are_decoded_and_trailers_dropped(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, chunked);
	for (unsigned i = 0; i < 4; i++) {
		rig_fetch_again(&w.seen, "GET", i % 2 ? "/bytes" : "/");
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_true(w.seen.framed);
		assert_true(seen_body_is(&w.seen, "hello world"));
		assert_true(slice_equal(buf_slice(&w.seen.fields), SLICE_LIT("Transfer-Encoding: chunked\n")));
	}
	assert_int_equal(atomic_load(&w.server.accepted), 1);
	scripted_close(&w);
}

static void until_close(struct conn *c)
{
	conn_read(c);
	conn_send(c, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
}

static void a_body_that_the_close_ends_is_ok_but_not_framed(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, until_close);
	for (unsigned i = 0; i < 2; i++) {
		rig_fetch_again(&w.seen, "GET", "/");
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_false(w.seen.framed);
		assert_int_equal(w.seen.content_length, -1);
		assert_true(seen_body_is(&w.seen, "until the end"));
	}
	assert_int_equal(atomic_load(&w.server.accepted), 2);
	scripted_close(&w);
}

/* Reads the head only, answers, and takes no more. */
static void answer_early(struct conn *c)
{
	char head[1024];

	CHECK(recv(c->fd, head, sizeof(head), 0) > 0);
	conn_send(c, strstr(head, "/chunked")
			     ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
			     : OK_2);
	server_wait(c->server, 1);
}

static void a_response_before_the_body_was_read_is_whole(void **state)
{
	static const char *const targets[] = {"/", "/chunked"};
	size_t n = 8 << 20;
	char *body = calloc(1, n);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
		struct fetch_request q = rig_request("POST", targets[i]);
		struct scripted w;

		scripted_open(&w, answer_early);
		q.body = (struct slice){body, n};
		q.has_body = true;
		assert_int_equal(rig_start(&w.seen, &q), 0);
		rig_wait(&w.seen);
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_true(seen_body_is(&w.seen, "ok"));
		server_raise(&w.server, 1);
		scripted_close(&w);
	}
	free(body);
}

static void send_filler(struct conn *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		conn_send(c, "X-Filler: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr\r\n");
}

/* 40 KiB of hints, and a head of 40 KiB: each is bounded by 64 KiB, not both together. */
static void long_hints(struct conn *c)
{
	while (conn_read(c)) {
		conn_send(c, "HTTP/1.1 103 Early Hints\r\n");
		send_filler(c, 450);
		conn_send(c, "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
		send_filler(c, 450);
		conn_send(c, "\r\nok");
	}
}

static void hints_do_not_count_against_the_final_head(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, long_hints);
	rig_fetch(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_int_equal(w.seen.informational, 103);
	assert_true(seen_body_is(&w.seen, "ok"));
	scripted_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_get_sends_nothing_but_host_and_brings_head_and_body),
		cmocka_unit_test(targets_pass_byte_for_byte),
		cmocka_unit_test(any_method_carries_a_body_with_its_length),
		cmocka_unit_test(a_large_body_goes_without_expect),
		cmocka_unit_test(a_response_before_the_body_was_read_is_whole),
		cmocka_unit_test(fields_go_in_order_and_empty_ones_too),
		cmocka_unit_test(what_cannot_be_sent_as_it_is_is_refused),
		cmocka_unit_test(post_goes_on_a_fresh_connection_which_the_pool_gets),
		cmocka_unit_test(responses_without_content_are_whole),
		cmocka_unit_test(redirects_cookies_and_codings_pass_through),
		cmocka_unit_test(informational_responses_come_before_the_final_one),
		cmocka_unit_test(chunks_are_decoded_and_trailers_dropped),
		cmocka_unit_test(a_body_that_the_close_ends_is_ok_but_not_framed),
		cmocka_unit_test(hints_do_not_count_against_the_final_head),
	};
	/* A proxy of the environment is none of ours. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
