/* SPDX-License-Identifier: MIT */
/* What a broken or hostile origin does, and what libcurl would make of it if it were left alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rig.h"

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define STRAY "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"

enum { SENT = 1, GO = 2, CLOSED = 4 };

/* ---- Stray bytes (the next response must never be the stray one) ---- */

/* Each connection: one good response; then, when told, a stray one; further requests get their target's last letter. */
static void stray_when_told(struct conn *c)
{
	if (!conn_read(c))
		return;
	conn_send(c, OK_2);
	if (c->index == 0) {
		server_wait(c->server, GO);
		conn_send(c, STRAY);
		server_raise(c->server, SENT);
	}
	while (conn_read(c))
		conn_send(c, OK_2);
}

static void stray_bytes_on_a_pooled_connection_are_never_a_response(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, stray_when_told);
	rig_fetch(&w.seen, "GET", "/1");
	server_raise(&w.server, GO);
	assert_true(server_wait(&w.server, SENT));
	for (unsigned i = 0; i < 3; i++) { /* no turn of the loop in between: found by the peek */
		rig_fetch_again(&w.seen, "GET", "/2");
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_true(seen_body_is(&w.seen, "ok"));
	}
	assert_int_equal(rig_stats(&w.rig).stale_connections, 1);
	assert_int_equal(rig_stats(&w.rig).retries, 0);
	assert_int_equal(atomic_load(&w.server.accepted), 2);
	scripted_close(&w);
}

static void stray_bytes_seen_while_idle_are_remembered(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, stray_when_told);
	w.rig.upstream.retries = 0;
	rig_fetch(&w.seen, "GET", "/1");
	server_raise(&w.server, GO);
	assert_true(server_wait(&w.server, SENT));
	event_base_loop(w.rig.base, EVLOOP_ONCE); /* the idle socket's own event */
	rig_fetch_again(&w.seen, "GET", "/2");
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_true(seen_body_is(&w.seen, "ok"));
	assert_int_equal(rig_stats(&w.rig).stale_connections, 1);
	scripted_close(&w);
}

/* What comes with the response in one piece, by target. The second request on the connection gets "ok". */
static void excess(struct conn *c)
{
	if (!conn_read(c))
		return;
	if (strstr(c->bytes, "/length"))
		conn_send(c, OK_2 STRAY);
	else if (strstr(c->bytes, "/zero"))
		conn_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" STRAY);
	else if (strstr(c->bytes, "/304"))
		conn_send(c, "HTTP/1.1 304 Not Modified\r\n\r\n" STRAY);
	else if (strstr(c->bytes, "/head"))
		conn_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnine byte");
	else
		conn_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" STRAY);
	while (conn_read(c))
		conn_send(c, STRAY);
}

static void a_connection_with_bytes_beyond_the_response_is_not_used_again(void **state)
{
	static const char *const targets[] = {"/length", "/zero", "/304", "/head", "/chunked"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
		struct scripted w;

		scripted_open(&w, excess);
		rig_fetch(&w.seen, i == 3 ? "HEAD" : "GET", targets[i]);
		assert_int_equal(w.seen.result, FETCH_OK);
		rig_fetch_again(&w.seen, "GET", "/length");
		assert_int_equal(w.seen.result, FETCH_OK);
		assert_true(seen_body_is(&w.seen, "ok"));
		assert_int_equal(atomic_load(&w.server.accepted), 2);
		scripted_close(&w);
	}
}

static void close_after_first(struct conn *c)
{
	if (!conn_read(c))
		return;
	conn_send(c, OK_2);
	if (c->index > 0) {
		while (conn_read(c))
			conn_send(c, OK_2);
		return;
	}
	server_wait(c->server, GO);
	shutdown(c->fd, SHUT_RDWR);
	server_raise(c->server, SENT);
}

static void a_connection_closed_while_idle_is_replaced(void **state)
{
	struct scripted w;

	(void)state;
	scripted_prepare(&w, close_after_first);
	w.rig.upstream.retries = 0;
	rig_open(&w.rig);
	seen_init(&w.seen, &w.rig);
	rig_fetch(&w.seen, "GET", "/");
	server_raise(&w.server, GO);
	assert_true(server_wait(&w.server, SENT));
	rig_fetch_again(&w.seen, "PUT", "/");
	assert_int_equal(w.seen.result, FETCH_OK);
	rig_fetch_again(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_int_equal(rig_stats(&w.rig).retries, 0);
	scripted_close(&w);
}

/* ---- Responses that break the rules ---- */

struct bad_answer {
	const char *name, *text;
	enum fetch_result result;
};

static const struct bad_answer *bad;

static void send_bad(struct conn *c)
{
	if (!conn_read(c))
		return;
	if (strstr(c->bytes, "/good")) {
		conn_send(c, "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok");
		if (!conn_read(c))
			return;
	}
	conn_send(c, bad->text);
}

#define HEAD_1_1 "HTTP/1.1 200 OK\r\n"
static const struct bad_answer bad_answers[] = {
	{"a fold in the first line", HEAD_1_1 " X: y\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a fold with a tab", HEAD_1_1 "\tX: y\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a later fold", HEAD_1_1 "X: y\r\n z: a\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a fold after a 1xx", "HTTP/1.1 103 E\r\nA: b\r\n\r\n" HEAD_1_1 " X: y\r\nContent-Length: 0\r\n\r\n",
		FETCH_BAD_RESPONSE},
	{"version 2 on the wire", "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"version 2.0 on the wire", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"version 1.2", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"no version", "hello\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a status past 599", "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a length with a sign", HEAD_1_1 "Content-Length: +2\r\n\r\nok", FETCH_BAD_RESPONSE},
	{"a length with letters", HEAD_1_1 "Content-Length: 2x\r\n\r\nok", FETCH_BAD_RESPONSE},
	{"two lengths in a list", HEAD_1_1 "Content-Length: 2, 3\r\n\r\nok", FETCH_BAD_RESPONSE},
	{"two lengths", HEAD_1_1 "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", FETCH_BAD_RESPONSE},
	{"a length that overflows", HEAD_1_1 "Content-Length: 99999999999999999999\r\n\r\nok", FETCH_BAD_RESPONSE},
	{"an empty length", HEAD_1_1 "Content-Length:\r\n\r\nok", FETCH_BAD_RESPONSE},
	{"length and chunks", HEAD_1_1 "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		FETCH_BAD_RESPONSE},
	{"another coding", HEAD_1_1 "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"an unknown coding", HEAD_1_1 "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"chunks in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a coding nobody knows", HEAD_1_1 "Transfer-Encoding: frob\r\n\r\nok", FETCH_BAD_RESPONSE},
	{"space before the colon", HEAD_1_1 "X : y\r\nContent-Length: 0\r\n\r\n", FETCH_OK},
	{"space before the length's colon", HEAD_1_1 "Content-Length : 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a field line without CR", HEAD_1_1 "X: y\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a head's end without CR", HEAD_1_1 "Content-Length: 0\r\n\n", FETCH_BAD_RESPONSE},
	{"an empty name", HEAD_1_1 ": y\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"no colon", HEAD_1_1 "Xy\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a bare CR that libcurl takes for the end", HEAD_1_1 "\rX: y\r\nContent-Length: 0\r\n\r\n",
		FETCH_BAD_RESPONSE},
	{"a bare CR in a value", HEAD_1_1 "X: a\rb\r\nContent-Length: 0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"101", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a chunk with a sign", HEAD_1_1 "Transfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n", FETCH_BAD_RESPONSE},
	{"a chunk too long for its size", HEAD_1_1 "Transfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n0\r\n\r\n",
		FETCH_BAD_RESPONSE},
	{"a chunk line without CR", HEAD_1_1 "Transfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
		FETCH_BAD_RESPONSE},
	{"an endless chunk size", HEAD_1_1 "Transfer-Encoding: chunked\r\n\r\n00000000000000002\r\nok\r\n0\r\n\r\n",
		FETCH_BAD_RESPONSE},
	{"an end inside chunks", HEAD_1_1 "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", FETCH_BROKEN},
	{"an end in the last chunk", HEAD_1_1 "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", FETCH_BROKEN},
	{"an end before the length", HEAD_1_1 "Content-Length: 3\r\n\r\nok", FETCH_BROKEN},
	{"an end inside the head", HEAD_1_1 "Content-Length: 2\r\n", FETCH_BROKEN},
	{"an end inside a line", HEAD_1_1 "Content-Le", FETCH_BROKEN},
	{"only a 1xx", "HTTP/1.1 103 Early\r\n\r\n", FETCH_BROKEN},
	{"nothing", "", FETCH_BROKEN},
};

static void try_bad(const struct bad_answer *b, const char *first, const char *method)
{
	struct scripted w;

	bad = b;
	scripted_open(&w, send_bad);
	if (first)
		rig_fetch(&w.seen, "GET", first);
	rig_fetch_again(&w.seen, method, "/bad");
	if (w.seen.result != b->result)
		fail_msg("%s: %s, not %s: %s", b->name, fetch_result_name(w.seen.result), fetch_result_name(b->result),
			w.seen.detail);
	assert_true(b->result == FETCH_OK || strlen(w.seen.detail) > 0);
	scripted_close(&w);
}

static void responses_that_break_the_rules_are_told_from_whole_ones(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad_answers); i++) {
		try_bad(&bad_answers[i], NULL, "GET");
		try_bad(&bad_answers[i], NULL, "POST");
	}
}

/* libcurl would join a fold to a freed line of the response before. */
static void they_are_told_on_reused_handles_and_connections_too(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad_answers); i++)
		try_bad(&bad_answers[i], "/good", "GET");
}

static void long_line_with_spaces(struct conn *c)
{
	char *line = malloc(40001);

	CHECK(line);
	memset(line, ' ', 40000);
	memcpy(line, "X:", 2);
	line[39999] = 'y';
	line[40000] = '\0';
	while (conn_read(c)) {
		conn_send(c, HEAD_1_1);
		conn_send(c, line);
		conn_send(c, "\r\nContent-Length: 2\r\n\r\nok");
	}
	free(line);
}

static void a_long_line_is_not_taken_for_a_fold(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, long_line_with_spaces);
	rig_fetch(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_true(slice_equal(buf_slice(&w.seen.fields), SLICE_LIT("X: y\nContent-Length: 2\n")));
	scripted_close(&w);
}

static void endless_head(struct conn *c)
{
	static const char field[] = "X-Filler: abcdefghijklmnopqrstuvwxyz\r\n";

	if (!conn_read(c))
		return;
	if (strstr(c->bytes, "/1xx")) {
		for (unsigned i = 0; i < 1000; i++)
			conn_send(c, "HTTP/1.1 103 Early Hints\r\n\r\n");
	} else if (strstr(c->bytes, "/big1xx")) {
		for (unsigned i = 0; i < 90; i++) {
			conn_send(c, "HTTP/1.1 103 Early Hints\r\n");
			for (unsigned k = 0; k < 40; k++)
				conn_send(c, field);
			conn_send(c, "\r\n");
		}
	} else if (strstr(c->bytes, "/line")) {
		conn_send(c, HEAD_1_1);
		for (unsigned i = 0; i < 10000; i++)
			conn_send(c, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	} else {
		conn_send(c, HEAD_1_1);
		for (unsigned i = 0; i < 100000; i++)
			conn_send(c, field);
	}
	conn_wait_eof(c);
}

static void endless_heads_are_cut_short(void **state)
{
	static const char *const targets[] = {"/1xx", "/big1xx", "/line", "/fields"};
	struct scripted w;

	(void)state;
	scripted_open(&w, endless_head);
	for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
		rig_fetch_again(&w.seen, "GET", targets[i]);
		assert_int_equal(w.seen.result, FETCH_BAD_RESPONSE);
		assert_int_equal(w.seen.heads, 0);
	}
	scripted_close(&w);
}

static void endless_framing(struct conn *c)
{
	bool trailers;

	if (!conn_read(c))
		return;
	trailers = strstr(c->bytes, "/trailers") != NULL;
	conn_send(c, HEAD_1_1 "Transfer-Encoding: chunked\r\n\r\n");
	if (strstr(c->bytes, "/tiny")) {
		for (unsigned i = 0; i < 5000; i++)
			conn_send(c, "1;extension\r\nx\r\n");
		conn_send(c, "0\r\n\r\n");
		return;
	}
	conn_send(c, trailers ? "2\r\nok\r\n0\r\n" : "2;");
	for (unsigned i = 0; i < 100000; i++)
		conn_send(c, trailers ? "X-Filler: abcdefghijklm\r\n" : "abcdefghijklmnopqrstuvwxyz");
	conn_wait_eof(c);
}

static void endless_chunk_framing_is_cut_short(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, endless_framing);
	rig_fetch_again(&w.seen, "GET", "/trailers");
	assert_int_equal(w.seen.result, FETCH_BAD_RESPONSE);
	rig_fetch_again(&w.seen, "GET", "/extension");
	assert_int_equal(w.seen.result, FETCH_BAD_RESPONSE);
	rig_fetch_again(&w.seen, "GET", "/tiny");
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_int_equal(w.seen.body.n, 5000);
	scripted_close(&w);
}

/* ---- Repeating requests ---- */

/* The first connection answers once, then dies on its second request; all others die on their first, but for "/good". */
static void die(struct conn *c)
{
	while (conn_read(c) && strstr(c->bytes, "/good"))
		conn_send(c, OK_2);
	conn_reset(c);
}

struct repeat_case {
	const char *method;
	unsigned retries, requests;
};

static void requests_are_repeated_only_as_often_as_allowed(void **state)
{
	static const struct repeat_case cases[] = {
		{"GET", 0, 1},
		{"GET", 1, 2},
		{"GET", 3, 4},
		{"HEAD", 1, 2},
		{"OPTIONS", 1, 2},
		{"POST", 3, 1},
		{"PUT", 3, 1},
		{"DELETE", 3, 1},
		{"FOO", 3, 1},
		{"PATCH", 3, 1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases) * 2; i++) {
		const struct repeat_case *k = &cases[i / 2];
		bool pooled = i % 2;
		struct scripted w;

		scripted_prepare(&w, die);
		w.rig.upstream.retries = k->retries;
		rig_open(&w.rig);
		seen_init(&w.seen, &w.rig);
		if (pooled)
			rig_fetch(&w.seen, "GET", "/good");
		rig_fetch_again(&w.seen, k->method, "/dies");
		assert_int_equal(w.seen.result, FETCH_BROKEN);
		assert_int_equal(atomic_load(&w.server.requests), k->requests + (pooled ? 1 : 0));
		assert_int_equal(rig_stats(&w.rig).retries, k->requests - 1);
		scripted_close(&w);
	}
}

static void die_once(struct conn *c)
{
	if (c->index == 0) {
		conn_read(c);
		return;
	}
	while (conn_read(c))
		conn_send(c, OK_2);
}

static void a_repeated_get_brings_the_response(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, die_once);
	rig_fetch(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_OK);
	assert_true(seen_body_is(&w.seen, "ok"));
	assert_int_equal(rig_stats(&w.rig).retries, 1);
	scripted_close(&w);
}

/* The request takes the origin with it: the second attempt finds nobody. */
static void die_for_good(struct conn *c)
{
	conn_read(c);
	(void)shutdown(c->server->listen_fd, SHUT_RDWR);
}

static void what_was_sent_once_was_sent_though_the_last_attempt_found_no_connection(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, die_for_good);
	rig_fetch(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_REFUSED);
	assert_int_equal(rig_stats(&w.rig).retries, 1);
	assert_true(w.seen.was_sent);
	rig_fetch_again(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_REFUSED);
	assert_false(w.seen.was_sent);
	scripted_close(&w);
}

static void half_then_die(struct conn *c)
{
	conn_read(c);
	conn_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
}

static void nothing_is_repeated_after_the_first_byte(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, half_then_die);
	rig_fetch(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_BROKEN);
	assert_int_equal(w.seen.heads, 1);
	assert_int_equal(atomic_load(&w.server.requests), 1);
	scripted_close(&w);
}

static void refused_connections_are_refused(void **state)
{
	struct scripted w;

	(void)state;
	scripted_open(&w, die);
	server_stop(&w.server);
	rig_fetch(&w.seen, "GET", "/");
	assert_int_equal(w.seen.result, FETCH_REFUSED);
	assert_int_equal(rig_stats(&w.rig).refused, 1);
	seen_fini(&w.seen);
	rig_close(&w.rig);
}

/* ---- Time-outs ---- */

static void hang(struct conn *c)
{
	if (!conn_read(c))
		return;
	if (strstr(c->bytes, "/1xx"))
		conn_send(c, "HTTP/1.1 103 Early Hints\r\n\r\n");
	else if (strstr(c->bytes, "/head"))
		conn_send(c, "HTTP/1.1 200 OK\r\nX: y\r\n");
	else if (strstr(c->bytes, "/body"))
		conn_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
	conn_wait_eof(c);
}

/* The server is a thread: what was sent to it is there, though it may not have read it yet. */
static void expect_requests(struct server *s, unsigned n)
{
	while (atomic_load(&s->requests) < n)
		sched_yield();
	assert_int_equal(atomic_load(&s->requests), n);
}

static void an_origin_that_hangs_times_out(void **state)
{
	static const char *const targets[] = {"/", "/1xx", "/head", "/body"};
	struct scripted w;

	(void)state;
	scripted_prepare(&w, hang);
	w.rig.upstream.first_byte_timeout_ms = 400; /* long enough to send the request on any machine */
	w.rig.upstream.stall_timeout_ms = 50;
	w.rig.upstream.retries = 3;
	rig_open(&w.rig);
	seen_init(&w.seen, &w.rig);
	for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
		rig_fetch_again(&w.seen, "GET", targets[i]);
		assert_int_equal(w.seen.result, FETCH_TIMEOUT);
		expect_requests(&w.server, i + 1);
	}
	assert_int_equal(rig_stats(&w.rig).timeouts, 4);
	assert_int_equal(rig_stats(&w.rig).active, 0);
	scripted_close(&w);
}

static void fail_as_told(struct conn *c)
{
	if (!conn_read(c))
		return;
	if (strstr(c->bytes, "/reset"))
		conn_reset(c);
	else if (strstr(c->bytes, "/half"))
		conn_send(c, "HTTP/1.1 200 OK\r\nX: y\r\n");
	else if (strstr(c->bytes, "/status"))
		conn_send(c, "HTTP/1.1 600 OK\r\n\r\n");
	else if (strstr(c->bytes, "/value"))
		conn_send(c, "HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nSet-Cookie: s3cret\x01\r\n\r\n");
	else if (strstr(c->bytes, "/end"))
		conn_send(c, "HTTP/1.1 200 OK\r\nA: b\n\r\n");
	else if (strstr(c->bytes, "/fold"))
		conn_send(c, "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n");
	else if (strstr(c->bytes, "/chunk"))
		conn_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
	else if (strstr(c->bytes, "/body"))
		conn_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
}

/* And none shows a value, which may be a secret. */
static void each_failure_has_its_cause_and_a_bad_head_its_line(void **state)
{
	static const struct {
		const char *target;
		enum fetch_cause cause;
		const char *detail; /* some of it */
	} rows[] = {
		{"/nothing", FETCH_CAUSE_TERMINATED, ""},
		{"/reset", FETCH_CAUSE_TERMINATED, ""},
		{"/half", FETCH_CAUSE_INCOMPLETE, "inside the answer"},
		{"/body", FETCH_CAUSE_INCOMPLETE, ""},
		{"/status", FETCH_CAUSE_PROTOCOL, "(line 1 of the head)"},
		{"/value", FETCH_CAUSE_PROTOCOL, "(line 3 of the head, Set-Cookie)"},
		{"/end", FETCH_CAUSE_PROTOCOL, "(line 2 of the head, A)"},
		{"/fold", FETCH_CAUSE_PROTOCOL, "(line 3 of the head)"},
		{"/chunk", FETCH_CAUSE_TRANSFER_CODING, "chunks"},
	};
	struct upstream_health h;
	struct scripted w;

	(void)state;
	scripted_prepare(&w, fail_as_told);
	w.rig.upstream.retries = 0;
	rig_open(&w.rig);
	seen_init(&w.seen, &w.rig);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		rig_fetch_again(&w.seen, "GET", rows[i].target);
		assert_string_equal(fetch_cause_name(w.seen.cause), fetch_cause_name(rows[i].cause));
		assert_non_null(strstr(w.seen.detail, rows[i].detail));
		assert_null(strstr(w.seen.detail, "s3cret"));
		assert_true(upstream_health(&w.rig.upstream, &h));
		assert_int_equal(h.origins[0].last_error.cause, rows[i].cause);
		assert_string_equal(h.origins[0].last_error.detail, w.seen.detail);
		assert_int_equal(strncmp(h.origins[0].last_error.address, "127.0.0.1:", 10), 0);
	}
	scripted_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stray_bytes_on_a_pooled_connection_are_never_a_response),
		cmocka_unit_test(stray_bytes_seen_while_idle_are_remembered),
		cmocka_unit_test(a_connection_with_bytes_beyond_the_response_is_not_used_again),
		cmocka_unit_test(a_connection_closed_while_idle_is_replaced),
		cmocka_unit_test(responses_that_break_the_rules_are_told_from_whole_ones),
		cmocka_unit_test(they_are_told_on_reused_handles_and_connections_too),
		cmocka_unit_test(a_long_line_is_not_taken_for_a_fold),
		cmocka_unit_test(endless_heads_are_cut_short),
		cmocka_unit_test(endless_chunk_framing_is_cut_short),
		cmocka_unit_test(requests_are_repeated_only_as_often_as_allowed),
		cmocka_unit_test(a_repeated_get_brings_the_response),
		cmocka_unit_test(what_was_sent_once_was_sent_though_the_last_attempt_found_no_connection),
		cmocka_unit_test(nothing_is_repeated_after_the_first_byte),
		cmocka_unit_test(refused_connections_are_refused),
		cmocka_unit_test(an_origin_that_hangs_times_out),
		cmocka_unit_test(each_failure_has_its_cause_and_a_bad_head_its_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
