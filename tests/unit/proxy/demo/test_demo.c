/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proxy/demo/demo.h"
#include "proxy/demo/demo_data.h"

static struct demo *demo;

static int start(void **state)
{
	(void)state;
	return demo_start("127.0.0.1", 0, 0, &demo);
}

static int stop(void **state)
{
	(void)state;
	demo_stop(&demo);
	return demo ? -1 : 0;
}

/* ---- A client ---- */

struct response {
	int status;
	char text[512 * 1024]; /* head and body */
	const char *body;
};

static int connect_to_demo(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(demo_port(demo))};
	struct timeval limit = {.tv_sec = 30};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	return fd;
}

static void send_text(int fd, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* The whole response to one request, `head` being its line and fields without the last empty line. */
static const struct response *ask(const char *head, const char *body)
{
	static struct response a;
	static char request[DEMO_BODY_MAX + 1024];
	size_t got = 0;
	ssize_t n;
	int fd = connect_to_demo();

	snprintf(request, sizeof(request), "%sHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", head,
		strlen(body), body);
	send_text(fd, request);
	while ((n = recv(fd, a.text + got, sizeof(a.text) - 1 - got, 0)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	close(fd);
	a.text[got] = '\0';
	assert_int_equal(sscanf(a.text, "HTTP/1.1 %d ", &a.status), 1);
	a.body = strstr(a.text, "\r\n\r\n");
	assert_non_null(a.body);
	a.body += 4;
	return &a;
}

static const struct response *get(const char *target)
{
	char head[512];

	snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\n", target);
	return ask(head, "");
}

static const struct response *send_body(const char *method, const char *target, const char *body)
{
	char head[512];

	snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\n", method, target);
	return ask(head, body);
}

/* The field's value, or NULL. */
static const char *field(const struct response *a, const char *name)
{
	static char value[256];
	char wanted[64];
	const char *p;
	size_t n;

	snprintf(wanted, sizeof(wanted), "\r\n%s: ", name);
	p = strstr(a->text, wanted);
	if (!p || p >= a->body)
		return NULL;
	p += strlen(wanted);
	n = strcspn(p, "\r\n");
	assert_true(n < sizeof(value));
	memcpy(value, p, n);
	value[n] = '\0';
	return value;
}

static json_t *json_of(const struct response *a)
{
	json_t *j = json_loads(a->body, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(j);
	return j;
}

static void assert_list_size(const char *target, size_t n)
{
	json_t *j = json_of(get(target));

	assert_true(json_is_array(j));
	assert_int_equal(json_array_size(j), n);
	json_decref(j);
}

static void assert_member(const char *target, const char *name, const char *value)
{
	json_t *j = json_of(get(target));

	assert_string_equal(json_string_value(json_object_get(j, name)), value);
	json_decref(j);
}

/* ---- Reading ---- */

static void data_is_as_large_as_promised(void **state)
{
	(void)state;
	assert_list_size("/users", 10);
	assert_list_size("/posts", 50);
	assert_list_size("/comments", 200);
	assert_list_size("/users/3/posts", 5);
	assert_list_size("/posts?userId=3", 5);
	assert_list_size("/posts?x=1&userId=99", 0);
	assert_list_size("/posts/7/comments", 4);
	assert_list_size("/comments?postId=7", 4);
	assert_member("/users/1", "name", "Ada Moreau");
}

static void data_is_the_same_after_every_start(void **state)
{
	const struct response *a = get("/comments");
	char *before = mem_strndup(a->body, strlen(a->body));

	assert_non_null(before);
	assert_int_equal(stop(state), 0);
	assert_int_equal(start(state), 0);
	assert_string_equal(get("/comments")->body, before);
	mem_free(before);
}

static void responses_carry_tags_to_purge_by(void **state)
{
	(void)state;
	assert_string_equal(field(get("/users/3"), "Cache-Tag"), "user-3, users");
	assert_string_equal(field(get("/users"), "Cache-Tag"), "users");
	assert_string_equal(field(get("/posts/7"), "Cache-Tag"), "post-7, posts, user-2");
	assert_string_equal(field(get("/posts/7/comments"), "Cache-Tag"), "comments, post-7");
	assert_string_equal(field(get("/posts?userId=2"), "Cache-Tag"), "posts, user-2");
	assert_null(field(get("/time"), "Cache-Tag"));
}

static void few_responses_say_how_long_they_are_fresh(void **state)
{
	(void)state;
	assert_string_equal(field(get("/users/3/posts"), "Cache-Control"), "max-age=15");
	assert_string_equal(field(get("/time"), "Cache-Control"), "max-age=10");
	assert_null(field(get("/users/3"), "Cache-Control"));
	assert_null(field(get("/posts"), "Cache-Control"));
	assert_null(field(get("/users/99/posts"), "Cache-Control"));
}

static void what_is_not_there_is_a_404_in_json(void **state)
{
	static const char *const targets[] = {"/nothing", "/users/11", "/users/0", "/users/x", "/users/1/comments",
		"/users/1/posts/1", "/users/99/posts", "/users/", "/posts/99999999999999999999", "/users/1/posts/1/2"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		const struct response *a = get(targets[i]);
		json_t *j = json_of(a);

		assert_int_equal(a->status, 404);
		assert_string_equal(field(a, "Content-Type"), "application/problem+json");
		assert_int_equal(json_integer_value(json_object_get(j, "status")), 404);
		json_decref(j);
	}
	assert_int_equal(get("/posts?userId=x")->status, 400);
}

static void index_lists_the_endpoints(void **state)
{
	json_t *j = json_of(get("/"));

	(void)state;
	assert_non_null(json_object_get(json_object_get(j, "endpoints"), "/time"));
	json_decref(j);
}

static void head_is_get_without_the_body(void **state)
{
	const struct response *a = get("/users/3");
	char length[64], etag[64];

	(void)state;
	snprintf(length, sizeof(length), "%s", field(a, "Content-Length"));
	snprintf(etag, sizeof(etag), "%s", field(a, "ETag"));
	assert_int_equal(strtoul(length, NULL, 10), strlen(a->body));
	a = ask("HEAD /users/3 HTTP/1.1\r\n", "");
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "");
	assert_string_equal(field(a, "Content-Length"), length);
	assert_string_equal(field(a, "ETag"), etag);
}

static void known_etag_gets_a_304(void **state)
{
	const struct response *a = get("/users/3");
	char head[256], etag[64];

	(void)state;
	snprintf(etag, sizeof(etag), "%s", field(a, "ETag"));
	assert_true(etag[0] == '"');
	snprintf(head, sizeof(head), "GET /users/3 HTTP/1.1\r\nIf-None-Match: \"other\", W/%s\r\n", etag);
	a = ask(head, "");
	assert_int_equal(a->status, 304);
	assert_string_equal(a->body, "");
	assert_string_equal(field(a, "ETag"), etag);
	assert_string_equal(field(a, "Cache-Tag"), "user-3, users");
	assert_null(field(a, "Content-Length"));
	assert_int_equal(send_body("PATCH", "/users/3", "{\"city\":\"Oslo\"}")->status, 200);
	a = ask(head, "");
	assert_int_equal(a->status, 200);
	assert_string_not_equal(field(a, "ETag"), etag);
	assert_int_equal(ask("GET /users/3 HTTP/1.1\r\nIf-None-Match: \"other\"\r\n", "")->status, 200);
}

/* ---- Changing ---- */

static void created_item_is_at_its_location(void **state)
{
	const struct response *a = send_body("POST", "/posts", "{\"userId\":3,\"title\":\"new\"}");

	(void)state;
	assert_int_equal(a->status, 201);
	assert_string_equal(field(a, "Location"), "/posts/51");
	assert_member("/posts/51", "title", "new");
	assert_member("/posts/51", "body", "");
	assert_list_size("/users/3/posts", 6);
	a = send_body("POST", "/posts/51/comments", "{\"name\":\"n\",\"id\":5}");
	assert_string_equal(field(a, "Location"), "/comments/201");
	assert_list_size("/posts/51/comments", 1);
}

static void put_replaces_and_patch_keeps(void **state)
{
	(void)state;
	assert_int_equal(send_body("PATCH", "/posts/7", "{\"title\":\"t\",\"body\":\"b\"}")->status, 200);
	assert_int_equal(send_body("PATCH", "/posts/7", "{\"title\":\"u\"}")->status, 200);
	assert_member("/posts/7", "body", "b");
	assert_int_equal(send_body("PUT", "/posts/7", "{\"userId\":4,\"title\":\"v\"}")->status, 200);
	assert_member("/posts/7", "title", "v");
	assert_member("/posts/7", "body", "");
	assert_list_size("/users/4/posts", 6);
	assert_int_equal(send_body("PUT", "/posts/99", "{\"userId\":4}")->status, 404);
}

static void deleting_takes_the_children_along(void **state)
{
	const struct response *a = send_body("DELETE", "/users/3", "");

	(void)state;
	assert_int_equal(a->status, 204);
	assert_string_equal(a->body, "");
	assert_int_equal(get("/users/3")->status, 404);
	assert_int_equal(send_body("DELETE", "/users/3", "")->status, 404);
	assert_list_size("/users", 9);
	assert_list_size("/posts", 45);
	assert_list_size("/comments", 180);
	assert_int_equal(send_body("POST", "/users", "{}")->status, 201); /* ids are not given twice */
	assert_int_equal(get("/users/11")->status, 200);
}

static void bad_bodies_are_refused_and_change_nothing(void **state)
{
	static const struct {
		const char *body;
		int status;
	} rows[] = {
		{"", 400},
		{"{", 400},
		{"{\"userId\":1,\"userId\":2}", 400},
		{"{\"userId\":1,\"title\":\"\xff\"}", 400},
		{"[]", 422},
		{"{}", 422},
		{"{\"userId\":99}", 422},
		{"{\"userId\":\"1\"}", 422},
		{"{\"userId\":1,\"title\":1}", 422},
		{"{\"userId\":1,\"other\":\"x\"}", 422},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct response *a = send_body("POST", "/posts", rows[i].body);

		assert_int_equal(a->status, rows[i].status);
		assert_string_equal(field(a, "Content-Type"), "application/problem+json");
	}
	assert_list_size("/posts", 50);
}

static void other_methods_are_told_what_is_allowed(void **state)
{
	const struct response *a = send_body("DELETE", "/users", "");

	(void)state;
	assert_int_equal(a->status, 405);
	assert_string_equal(field(a, "Allow"), "GET, HEAD, POST, OPTIONS");
	a = send_body("POST", "/users/1", "{}");
	assert_int_equal(a->status, 405);
	a = ask("OPTIONS /users/1 HTTP/1.1\r\n", "");
	assert_int_equal(a->status, 204);
	assert_string_equal(field(a, "Allow"), "GET, HEAD, PUT, PATCH, DELETE, OPTIONS");
	assert_int_equal(send_body("PUT", "/time", "{}")->status, 405);
}

/* ---- Bounds ---- */

static void long_body_is_refused(void **state)
{
	static char body[DEMO_BODY_MAX + 2];

	(void)state;
	memset(body, ' ', sizeof(body) - 1);
	assert_int_equal(send_body("POST", "/posts", body)->status, 413);
}

static void items_are_bounded(void **state)
{
	json_t *body = json_pack("{si}", "postId", 1);
	struct demo_data *d;
	json_int_t id;
	int rc = 0;

	(void)state;
	assert_int_equal(demo_data_new(&d), 0);
	for (int i = 200; i < DEMO_ITEMS_MAX; i++)
		assert_int_equal(demo_insert(d, DEMO_COMMENTS, body, &id), 0);
	rc = demo_insert(d, DEMO_COMMENTS, body, &id);
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(demo_remove(d, DEMO_COMMENTS, 1), 0);
	assert_int_equal(demo_insert(d, DEMO_COMMENTS, body, &id), 0);
	assert_int_equal(id, DEMO_ITEMS_MAX + 1);
	json_decref(body);
	demo_data_free(&d);
}

/* ---- Slowness and failures ---- */

static void flaky_fails_every_third_time(void **state)
{
	(void)state;
	for (int i = 1; i <= 9; i++)
		assert_int_equal(get("/flaky")->status, i % 3 ? 200 : 500);
}

static void time_moves_and_counts_the_calls(void **state)
{
	json_t *first = json_of(get("/time")), *second;

	(void)state;
	assert_int_equal(get("/users")->status, 200);
	second = json_of(get("/time"));
	assert_int_equal(json_integer_value(json_object_get(first, "calls")), 1);
	assert_int_equal(json_integer_value(json_object_get(second, "calls")), 3);
	assert_int_equal(strlen(json_string_value(json_object_get(first, "time"))), 24);
	json_decref(first);
	json_decref(second);
}

static void calls_take_their_time_side_by_side(void **state)
{
	enum { CALLS = 8, DELAY_MS = 200 };
	int64_t begin_ms = clock_now().mono_ms;
	int fds[CALLS];
	char c;

	(void)state;
	for (int i = 0; i < CALLS; i++) {
		fds[i] = connect_to_demo();
		send_text(fds[i], i ? "GET /slow?ms=200 HTTP/1.1\r\nHost: x\r\n\r\n"
				    : "GET /slow?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	for (int i = 1; i < CALLS; i++)
		assert_int_equal(recv(fds[i], &c, 1, 0), 1);
	assert_true(clock_now().mono_ms - begin_ms >= DELAY_MS - 1);
	assert_int_equal(recv(fds[0], &c, 1, MSG_DONTWAIT), -1); /* the first one still waits */
	assert_int_equal(errno, EAGAIN);
	for (int i = 0; i < CALLS; i++)
		close(fds[i]);
}

static void delay_is_that_of_the_start(void **state)
{
	int64_t begin_ms;

	demo_stop(&demo);
	assert_int_equal(demo_start("127.0.0.1", 0, 100, &demo), 0);
	begin_ms = clock_now().mono_ms;
	assert_int_equal(get("/users/1")->status, 200);
	assert_true(clock_now().mono_ms - begin_ms >= 99);
	(void)state;
}

/* ---- Life ---- */

static void client_that_leaves_does_no_harm(void **state)
{
	struct linger reset = {.l_onoff = 1};
	int fd;

	(void)state;
	for (int i = 0; i < 20; i++) {
		fd = connect_to_demo();
		send_text(fd, "GET /slow?ms=20 HTTP/1.1\r\nHost: x\r\n\r\n");
		if (i % 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	assert_int_equal(get("/slow?ms=60")->status, 200); /* after all of them would have been answered */
	assert_int_equal(get("/users/1")->status, 200);
}

static void stop_does_not_wait_for_calls(void **state)
{
	int fd = connect_to_demo();
	int64_t begin_ms;
	char c;

	(void)state;
	send_text(fd, "GET /slow?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(get("/users/1")->status, 200); /* so the slow call has arrived */
	begin_ms = clock_now().mono_ms;
	demo_stop(&demo);
	assert_true(clock_now().mono_ms - begin_ms < 30000);
	assert_true(recv(fd, &c, 1, 0) <= 0);
	close(fd);
}

static void port_in_use_is_said(void **state)
{
	struct demo *second;

	(void)state;
	assert_int_equal(demo_start("127.0.0.1", demo_port(demo), 0, &second), -EADDRINUSE);
	assert_null(second);
}

static void start_without_memory_fails_and_leaks_nothing(void **state)
{
	struct demo *second = NULL;
	int rc = -ENOMEM;

	(void)state;
	for (unsigned long nth = 1; rc; nth++) {
		assert_true(nth < 20000);
		mem_fail_at(nth, 0);
		rc = demo_start("127.0.0.1", 0, 0, &second);
		mem_fail_at(0, 0);
		assert_true(rc == 0 || rc == -ENOMEM);
	}
	demo_stop(&second);
}

#define DEMO_TEST(t) cmocka_unit_test_setup_teardown(t, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEMO_TEST(data_is_as_large_as_promised),
		DEMO_TEST(data_is_the_same_after_every_start),
		DEMO_TEST(responses_carry_tags_to_purge_by),
		DEMO_TEST(few_responses_say_how_long_they_are_fresh),
		DEMO_TEST(what_is_not_there_is_a_404_in_json),
		DEMO_TEST(index_lists_the_endpoints),
		DEMO_TEST(head_is_get_without_the_body),
		DEMO_TEST(known_etag_gets_a_304),
		DEMO_TEST(created_item_is_at_its_location),
		DEMO_TEST(put_replaces_and_patch_keeps),
		DEMO_TEST(deleting_takes_the_children_along),
		DEMO_TEST(bad_bodies_are_refused_and_change_nothing),
		DEMO_TEST(other_methods_are_told_what_is_allowed),
		DEMO_TEST(long_body_is_refused),
		cmocka_unit_test(items_are_bounded),
		DEMO_TEST(flaky_fails_every_third_time),
		DEMO_TEST(time_moves_and_counts_the_calls),
		DEMO_TEST(calls_take_their_time_side_by_side),
		DEMO_TEST(delay_is_that_of_the_start),
		DEMO_TEST(client_that_leaves_does_no_harm),
		DEMO_TEST(stop_does_not_wait_for_calls),
		DEMO_TEST(port_in_use_is_said),
		DEMO_TEST(start_without_memory_fails_and_leaks_nothing),
	};

	/* So that the library's allocations can be made to fail too. */
	json_set_alloc_funcs(mem_alloc, mem_free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
