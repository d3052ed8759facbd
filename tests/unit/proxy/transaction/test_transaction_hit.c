/* SPDX-License-Identifier: MIT */
/* Hits: what a stored response gives, on every worker, and by both ways a request may go. */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <zlib.h>

#define TEXT "the quick brown fox"
#define FIELDS "ETag: \"1\"\r\nLast-Modified: Tue, 14 Nov 2023 00:00:00 GMT\r\nContent-Type: text/plain\r\n"

static void a_hit_is_whole_and_asks_nobody(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a", FIELDS, TEXT);
	for (unsigned worker = 0; worker < RIG_WORKERS; worker++) {
		struct recorder *r = rig_send(g, worker, RIG_AS_GATE, "GET /a", NULL);

		rig_turn(g);
		recorder_got(r, 200, TEXT);
		assert_string_equal(recorder_field(r, "ETag"), "\"1\"");
		assert_non_null(strstr(recorder_field(r, "Cache-Status"), "hit"));
		assert_string_not_equal(recorder_field(r, "Age"), "");
		assert_false(r->closes);
	}
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(rig_responses(g, RESPONSE_MISS), 1);
	assert_int_equal(rig_responses(g, RESPONSE_HIT), RIG_WORKERS);
}

/* Where many came at once: what is no hit is looked up when its turn comes, so the first try led nothing. */
static void a_try_for_a_hit_alone_has_no_effect(void **state)
{
	struct rig *g = *state;
	struct recorder *hit, *first, *second;

	rig_store(g, "GET /a", FIELDS, TEXT);
	first = rig_client(g, "GET /b", NULL);
	second = rig_client(g, "GET /b", NULL);
	hit = rig_client(g, "GET /a", NULL);
	first->transport.hit_only = second->transport.hit_only = hit->transport.hit_only = true;
	rig_begin_client(g, first, 0, RIG_BY_HIT);
	assert_int_equal(rig_stats(g).flights, 0);
	rig_begin_client(g, second, 0, RIG_AS_GATE);
	rig_begin_client(g, hit, 0, RIG_BY_HIT);
	assert_int_equal(hit->status, 200);
	rig_begin_client(g, first, 0, RIG_BY_TRANSACTION);
	rig_turn(g);
	assert_int_equal(fake_fetches(), 2);
	fake_answer(fake_fetch(1), 200, FIELDS, TEXT);
	rig_turn(g);
	recorder_got(first, 200, TEXT);
	recorder_got(second, 200, TEXT);
}

/* ---- What a stored response gives to each request ---- */

struct row {
	const char *request;
	int status;
	const char *body;          /* NULL: not looked at */
	const char *field, *value; /* NULL: not looked at */
};

static const struct row rows[] = {
	{"GET /a", 200, TEXT, "Content-Length", "19"},
	{"HEAD /a", 200, "", "Content-Length", "19"},
	{"GET /a\r\nIf-None-Match: \"1\"\r\n", 304, "", "ETag", "\"1\""},
	{"GET /a\r\nIf-None-Match: W/\"1\"\r\n", 304, "", NULL, NULL},
	{"GET /a\r\nIf-None-Match: \"0\", \"1\"\r\n", 304, "", NULL, NULL},
	{"GET /a\r\nIf-None-Match: *\r\n", 304, "", NULL, NULL},
	{"HEAD /a\r\nIf-None-Match: \"1\"\r\n", 304, "", NULL, NULL},
	{"GET /a\r\nIf-None-Match: \"2\"\r\n", 200, TEXT, NULL, NULL},
	{"GET /a\r\nIf-Modified-Since: Tue, 14 Nov 2023 00:00:00 GMT\r\n", 304, "", NULL, NULL},
	{"GET /a\r\nIf-Modified-Since: Mon, 13 Nov 2023 00:00:00 GMT\r\n", 200, TEXT, NULL, NULL},
	/* If-None-Match decides alone where there are both (RFC 9110 13.2.2). */
	{"GET /a\r\nIf-None-Match: \"2\"\r\nIf-Modified-Since: Tue, 14 Nov 2023 00:00:00 GMT\r\n", 200, TEXT, NULL,
		NULL},
	{"GET /a\r\nRange: bytes=4-8\r\n", 206, "quick", "Content-Range", "bytes 4-8/19"},
	{"GET /a\r\nRange: bytes=-3\r\n", 206, "fox", "Content-Range", "bytes 16-18/19"},
	{"GET /a\r\nRange: bytes=16-\r\n", 206, "fox", "Content-Length", "3"},
	{"GET /a\r\nRange: bytes=16-99\r\n", 206, "fox", "Content-Range", "bytes 16-18/19"},
	{"GET /a\r\nRange: bytes=19-\r\n", 416, NULL, "Content-Range", "bytes */19"},
	{"GET /a\r\nRange: lines=1-2\r\n", 200, TEXT, NULL, NULL},
	{"GET /a\r\nRange: bytes=8-4\r\n", 200, TEXT, NULL, NULL},
	{"HEAD /a\r\nRange: bytes=4-8\r\n", 200, "", "Content-Length", "19"},
	{"GET /a\r\nRange: bytes=4-8\r\nIf-Range: \"1\"\r\n", 206, "quick", NULL, NULL},
	{"GET /a\r\nRange: bytes=4-8\r\nIf-Range: \"2\"\r\n", 200, TEXT, NULL, NULL},
	{"GET /a\r\nRange: bytes=4-8\r\nIf-Range: W/\"1\"\r\n", 200, TEXT, NULL, NULL},
	{"GET /a\r\nRange: bytes=4-8\r\nIf-None-Match: \"1\"\r\n", 304, "", NULL, NULL},
	{"GET /a\r\nCache-Control: only-if-cached\r\n", 200, TEXT, NULL, NULL},
	{"GET /a\r\nConnection: close\r\n", 200, TEXT, NULL, NULL},
};

static void each_request_gets_what_the_stored_response_gives(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a", FIELDS, TEXT);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct recorder *r = rig_ask(g, rows[i].request);

		recorder_got(r, rows[i].status, rows[i].body);
		if (rows[i].field)
			assert_string_equal(recorder_field(r, rows[i].field), rows[i].value);
	}
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(rig_responses(g, RESPONSE_HIT), ARRAY_LEN(rows));
}

static void several_ranges_are_parts_of_one_body(void **state)
{
	struct rig *g = *state;
	struct recorder *r;

	rig_store(g, "GET /a", FIELDS, TEXT);
	r = rig_ask(g, "GET /a\r\nRange: bytes=0-2, 16-18\r\n");
	recorder_got(r, 206, NULL);
	assert_memory_equal(recorder_field(r, "Content-Type"), "multipart/byteranges; boundary=", 31);
	assert_true(recorder_has(r, "Content-Range: bytes 0-2/19\r\n"));
	assert_true(recorder_has(r, "\r\n\r\nthe\r\n--"));
	assert_true(recorder_has(r, "Content-Range: bytes 16-18/19\r\n"));
	assert_true(recorder_has(r, "\r\n\r\nfox\r\n--"));
	assert_memory_equal(r->body.p + r->body.n - 4, "--\r\n", 4);
	assert_int_equal(fake_fetches(), 1);
}

/* ---- Both ways ---- */

/* What is of this moment, or made by chance, becomes '#': ages, times to live, and the delimiter of parts. */
static char *lasting_text(const struct recorder *r)
{
	static const char *const passing[] = {"\r\nAge: ", "ttl=", "boundary=", "\r\n--"};
	size_t n = r->head.n + r->body.n;
	char *text = calloc(1, n + 1);

	assert_non_null(text);
	memcpy(text, r->head.p, r->head.n);
	if (r->body.n)
		memcpy(text + r->head.n, r->body.p, r->body.n);
	for (unsigned i = 0; i < ARRAY_LEN(passing); i++)
		for (char *p = text; (p = memmem(p, (size_t)(text + n - p), passing[i], strlen(passing[i])));) {
			p += strlen(passing[i]);
			while (*p && !strchr("\r; ", *p))
				*p++ = '#';
		}
	return text;
}

static void are_the_same(const struct recorder *a, const struct recorder *b)
{
	char *one = lasting_text(a), *two = lasting_text(b);

	assert_int_equal(a->status, b->status);
	assert_string_equal(one, two);
	assert_int_equal(a->how, b->how);
	assert_int_equal(a->closes, b->closes);
	free(one);
	free(two);
}

/* True: the hit's own way has answered. */
static bool compare_ways(struct rig *g, const char *request)
{
	struct recorder *by_hit = rig_send(g, 0, RIG_BY_HIT, request, NULL), *by_transaction;

	rig_turn(g);
	if (!by_hit->calls.n) /* nothing was said: whole requests take the other way */
		return false;
	by_transaction = rig_send(g, 0, RIG_BY_TRANSACTION, request, NULL);
	rig_turn(g);
	are_the_same(by_hit, by_transaction);
	return true;
}

static void both_ways_give_the_same_bytes(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a", FIELDS, TEXT);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		assert_true(compare_ways(g, rows[i].request));
	assert_true(compare_ways(g, "GET /a\r\nRange: bytes=0-2, 16-18\r\n"));
	assert_true(compare_ways(g, "GET /a\r\nRange: bytes=0-2, 4-8, 16-18\r\nIf-Range: \"1\"\r\n"));
	assert_int_equal(fake_fetches(), 1);
}

static void both_ways_close_when_the_worker_drains(void **state)
{
	struct rig *g = *state;
	struct recorder *r;

	rig_store(g, "GET /a", FIELDS, TEXT);
	post_worker_drain(&g->workers[0]);
	rig_turn(g);
	for (enum rig_way way = RIG_AS_GATE; way <= RIG_BY_HIT; way++) {
		r = rig_send(g, 0, way, "GET /a", NULL);
		rig_turn(g);
		recorder_got(r, 200, TEXT);
		assert_true(r->closes);
	}
}

/* What the first way does not answer it leaves as it was: nothing said, nothing counted, nothing asked. */
static void what_is_no_hit_is_left_to_the_other_way(void **state)
{
	static const char *const requests[] = {"GET /none", "HEAD /none", "POST /a", "PUT /a", "DELETE /a",
		"GET /a\r\nCache-Control: no-cache\r\n", "GET /none\r\nCache-Control: only-if-cached\r\n"};
	struct rig *g = *state;

	rig_store(g, "GET /a", FIELDS, TEXT);
	for (unsigned i = 0; i < ARRAY_LEN(requests); i++)
		assert_false(compare_ways(g, requests[i]));
	assert_int_equal(fake_fetches(), 1);
	assert_int_equal(rig_responses(g, RESPONSE_HIT), 0);
}

/* ---- Bodies ---- */

/* More than is copied: it is referred to, and stays as long as the client takes, whatever becomes of the entry. */
static void a_body_outlives_its_entry(void **state)
{
	struct rig *g = *state;
	struct recorder *r;
	static char text[100001];

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text + sizeof(text) - 4, "end", 3);
	fake_head((rig_ask(g, "GET /a"), fake_fetch(0)), 200, "Content-Length: 100000\r\n");
	fake_body_text(fake_fetch(0), text);
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	for (enum rig_way way = RIG_AS_GATE; way <= RIG_BY_HIT; way++) {
		r = rig_client(g, "GET /a", NULL);
		r->is_stuck = true;
		rig_begin_client(g, r, 0, way);
	}
	assert_int_equal(rig_stats(g).entries, 1);
	rig_purge(g, "http://o.example/a", false);
	cache_sweep(g->cache, 1000, clock_now());
	assert_int_equal(rig_stats(g).entries, 0);
	for (unsigned i = 1; i < g->clients_n; i++)
		g->clients[i]->is_stuck = false;
	rig_turn(g);
	for (unsigned i = 1; i < g->clients_n; i++)
		recorder_got(g->clients[i], 200, text);
}

static void gzip_is(const struct recorder *r, const char *text)
{
	char out[8192];
	z_stream z = {.next_in = (Bytef *)r->body.p,
		.avail_in = (uInt)r->body.n,
		.next_out = (Bytef *)out,
		.avail_out = sizeof(out)};

	assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, strlen(text));
	assert_memory_equal(out, text, strlen(text));
	inflateEnd(&z);
}

static void a_client_that_takes_gzip_gets_it(void **state)
{
	struct rig g;
	struct recorder *r;
	char text[2001];

	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	rig_begin(&g, "[route all]\nmatch = /*\nttl = 60s\ncompress = gzip\n");
	rig_store(&g, "GET /a", FIELDS, text);
	r = rig_ask(&g, "GET /a\r\nAccept-Encoding: gzip\r\n");
	recorder_got(r, 200, NULL);
	assert_string_equal(recorder_field(r, "Content-Encoding"), "gzip");
	assert_true(r->body.n < 200);
	gzip_is(r, text);
	recorder_got(rig_ask(&g, "GET /a"), 200, text);
	recorder_got(rig_ask(&g, "GET /a\r\nAccept-Encoding: gzip;q=0\r\n"), 200, text);
	assert_true(compare_ways(&g, "GET /a\r\nAccept-Encoding: gzip\r\n"));
	assert_true(compare_ways(&g, "HEAD /a\r\nAccept-Encoding: gzip\r\n"));
	assert_true(compare_ways(&g, "GET /a\r\nAccept-Encoding: gzip\r\nIf-None-Match: \"1\"\r\n"));
	assert_true(compare_ways(&g, "GET /a\r\nAccept-Encoding: gzip\r\nRange: bytes=0-9\r\n"));
	assert_int_equal(fake_fetches(), 1);
	rig_end(&g);
}

static void variants_do_not_mix(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a\r\nAccept-Language: de\r\n", "Vary: Accept-Language\r\n", "hallo");
	rig_store(g, "GET /a\r\nAccept-Language: en\r\n", "Vary: Accept-Language\r\n", "hello");
	for (enum rig_way way = RIG_AS_GATE; way <= RIG_BY_HIT; way++) {
		struct recorder *de = rig_send(g, 0, way, "GET /a\r\nAccept-Language: de\r\n", NULL);
		struct recorder *en = rig_send(g, 1, way, "GET /a\r\nAccept-Language: en\r\n", NULL);

		rig_turn(g);
		recorder_got(de, 200, "hallo");
		recorder_got(en, 200, "hello");
	}
	assert_int_equal(fake_fetches(), 2);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_hit_is_whole_and_asks_nobody),
		TEST(a_try_for_a_hit_alone_has_no_effect),
		TEST(each_request_gets_what_the_stored_response_gives),
		TEST(several_ranges_are_parts_of_one_body),
		TEST(both_ways_give_the_same_bytes),
		TEST(both_ways_close_when_the_worker_drains),
		TEST(what_is_no_hit_is_left_to_the_other_way),
		TEST(a_body_outlives_its_entry),
		cmocka_unit_test(a_client_that_takes_gzip_gets_it),
		TEST(variants_do_not_mix),
	};

	return cmocka_run_group_tests_name("transaction_hit", tests, NULL, NULL);
}
