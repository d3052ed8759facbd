/* SPDX-License-Identifier: MIT */
/* A failing origin: which requests are told what befell others a moment ago, and which ask it again. */
#include "rig.h"

#include <string.h>

#define USUAL "User-Agent: a\r\n"
#define OTHER "User-Agent: b\r\n"
#define FAR "Range: bytes=9000000-9000009\r\n"
#define IF_MATCH "If-Match: \"1\"\r\n"
#define NO_STORE "Cache-Control: no-store\r\n"

/* Leads; answers with that status and body, or, 0, not at all. */
static enum flight_fate lead(
	struct rig *g, const char *request, const char *fields, int status, const char *response, const char *body)
{
	enum flight_fate fate = FLIGHT_REVALIDATED;
	struct ask a;

	assert_int_equal(ask_for(g, &a, request, fields), CACHE_LEAD);
	if (status == 0) {
		flight_fail(a.out.flight, 504, g->now);
	} else {
		fate = rig_answer(g, a.out.flight, status, response, (int64_t)strlen(body), NULL);
		if (fate == FLIGHT_STORES) {
			assert_int_equal(flight_body(a.out.flight, body, strlen(body)), FLIGHT_BODY_OK);
			flight_end(a.out.flight, true, g->now);
		}
	}
	ask_fini(&a);
	return fate;
}

/* The head comes, and a part of the body. */
static void lead_and_break(struct rig *g, const char *request, const char *fields)
{
	struct ask a;

	assert_int_equal(ask_for(g, &a, request, fields), CACHE_LEAD);
	assert_int_equal(rig_answer(g, a.out.flight, 200, "Cache-Control: max-age=60\r\n", 10, NULL), FLIGHT_STORES);
	assert_int_equal(flight_body(a.out.flight, "abc", 3), FLIGHT_BODY_OK);
	flight_end(a.out.flight, false, g->now);
	ask_fini(&a);
}

/* Passes, and is answered with that status; 0: no response comes; -1: it could not be sent. */
static void pass(struct rig *g, const char *request, const char *fields, int status, const char *response)
{
	struct cache_passed p = {
		.status = status > 0 ? status : 502, .befalls_all = status < 0, .request_time = g->now, .now = g->now};
	struct http_fields list;
	struct ask a;

	assert_int_equal(ask_for(g, &a, request, fields), CACHE_PASS);
	http_fields_init(&list);
	if (response)
		assert_int_equal(
			http_fields_add(&list, SLICE_LIT("Cache-Control"), (struct slice){response, strlen(response)}),
			0);
	if (status > 0)
		p.response = &list;
	cache_saw_passed(g->c, &a.r, rig_asked(g), &p);
	http_fields_fini(&list);
	ask_fini(&a);
}

/* What a request is told without asking the origin; 0: it asks. */
static int told(struct rig *g, const char *request, const char *fields)
{
	int status = 0;
	struct ask a;

	ask_init(g, &a, request, fields);
	switch (ask_lookup(g, &a)) {
	case CACHE_FAILED:
		status = a.out.status;
		break;
	case CACHE_LEAD:
		flight_abandon(a.out.flight);
		break;
	default:
		assert_int_equal(a.out.verdict, CACHE_PASS);
	}
	ask_fini(&a);
	return status;
}

/* ---- HEAD ---- */

static void what_befell_a_head_is_told_to_the_next(void **state)
{
	struct rig *g = *state;
	struct ask a;

	(void)lead(g, "HEAD /a", USUAL, 0, "", "");
	assert_int_equal(told(g, "HEAD /a", USUAL), 504);
	assert_int_equal(told(g, "HEAD /a", OTHER), 0);
	assert_int_equal(told(g, "GET /a", USUAL), 0); /* many an API has no HEAD */
	g->now.mono_ms += 1000;
	assert_int_equal(told(g, "HEAD /a", USUAL), 0);
	/* An error is remembered when it comes twice, with its fields. */
	(void)lead(g, "HEAD /b", USUAL, 503, "X-Why: because\r\n", "");
	(void)lead(g, "HEAD /b", OTHER, 503, "X-Why: because\r\n", "");
	assert_int_equal(told(g, "HEAD /b", NULL), 503);
	assert_int_equal(ask_for(g, &a, "HEAD /b", NULL), CACHE_FAILED);
	assert_true(rig_head_has(a.out.object, "X-Why: because\r\n"));
	ask_fini(&a);
	assert_int_equal(told(g, "GET /b", USUAL), 0);
}

static void a_head_that_is_answered_ends_the_trouble(void **state)
{
	struct rig *g = *state;

	(void)lead(g, "HEAD /a", USUAL, 503, "", "");
	(void)lead(g, "HEAD /a", USUAL, 200, "Cache-Control: max-age=60\r\n", "");
	(void)lead(g, "HEAD /a", USUAL, 503, "", "");
	assert_int_equal(told(g, "HEAD /a", USUAL), 0);
}

static void what_befell_a_get_is_told_to_a_head_and_what_was_not_sent_to_all(void **state)
{
	struct rig *g = *state;
	struct ask a;

	(void)lead(g, "GET /a", USUAL, 0, "", "");
	assert_int_equal(told(g, "HEAD /a", USUAL), 504);
	assert_int_equal(ask_for(g, &a, "HEAD /b", USUAL), CACHE_LEAD);
	flight_fail_for_all(a.out.flight, 502, g->now);
	ask_fini(&a);
	assert_int_equal(told(g, "GET /b", OTHER), 502);
	assert_int_equal(told(g, "GET /b", FAR OTHER), 502);
}

/* It passes, as something is stored for it; what is stored may stand in as soon as the error is remembered. */
static void a_head_that_passes_is_one_too(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=1\r\n", "a");
	rig_store(g, "GET /b", NULL, "Cache-Control: max-age=1, stale-if-error=100\r\n", "a");
	g->now.mono_ms += 2000;
	g->now.wall_ms += 2000;
	pass(g, "HEAD /a", USUAL, 0, NULL);
	assert_int_equal(told(g, "HEAD /a", USUAL), 502);
	assert_int_equal(told(g, "GET /a", USUAL), 0);
	pass(g, "HEAD /b", USUAL, 0, NULL);
	assert_int_equal(rig_verdict(g, "HEAD /b", USUAL), CACHE_STALE);
}

static void no_head_is_told_what_befell_a_credential(void **state)
{
	static const char *const credentials[] = {"Authorization: x\r\n", "Cookie: sid=a\r\n"};
	struct rig g;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(credentials); i++) {
		rig_begin(&g);
		pass(&g, "HEAD /a", credentials[i], 0, NULL);
		pass(&g, "HEAD /a", credentials[i], 503, NULL);
		pass(&g, "HEAD /a", credentials[i], 503, NULL);
		assert_int_equal(told(&g, "HEAD /a", credentials[i]), 0);
		(void)lead(&g, "HEAD /a", USUAL, 503, "", "");
		(void)lead(&g, "HEAD /a", OTHER, 503, "", "");
		assert_int_equal(told(&g, "HEAD /a", USUAL), 503);
		assert_int_equal(told(&g, "HEAD /a", credentials[i]), 0);
		rig_end(&g);
	}
}

/* ---- Responses that break off ---- */

static void what_breaks_off_twice_is_told_to_those_who_want_the_whole(void **state)
{
	struct rig *g = *state;

	g->rules.range_fill = CACHE_RANGE_WHOLE;
	lead_and_break(g, "GET /a", USUAL);
	lead_and_break(g, "GET /a", OTHER); /* one may be a slip */
	assert_int_equal(told(g, "GET /a", NULL), 502);
	assert_int_equal(told(g, "HEAD /a", NULL), 0);
	assert_int_equal(told(g, "GET /a", "Range: bytes=3-\r\n"), 0); /* a download goes on where it broke off */
	assert_int_equal(told(g, "GET /a", "Authorization: x\r\n"), 0);
	g->now.mono_ms += 1000;
	assert_int_equal(told(g, "GET /a", NULL), 0);
	lead_and_break(g, "GET /a", NULL);
	assert_int_equal(told(g, "GET /a", NULL), 502);
}

static void what_comes_whole_in_between_ends_the_trouble(void **state)
{
	struct rig *g = *state;

	lead_and_break(g, "GET /a", NULL);
	(void)lead(g, "GET /a", NULL, 200, "Cache-Control: max-age=1\r\n", "well");
	g->now.mono_ms += 1500;
	g->now.wall_ms += 1500;
	lead_and_break(g, "GET /a", NULL);
	assert_int_equal(told(g, "GET /a", NULL), 0);
}

/* ---- A client's own no-store ---- */

static void a_clients_no_store_is_no_failure_of_its_own(void **state)
{
	struct rig *g = *state;
	struct ask a;

	(void)lead(g, "GET /a", NO_STORE USUAL, 0, "", "");
	assert_int_equal(told(g, "GET /a", NO_STORE USUAL), 504);
	assert_int_equal(told(g, "GET /a", USUAL), 504);
	/* Of an error the status alone: the response is not to be stored. */
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(lead(g, "GET /b", NO_STORE USUAL, 503, "", "mine"), FLIGHT_PRIVATE);
	assert_int_equal(ask_for(g, &a, "GET /b", USUAL), CACHE_FAILED);
	assert_int_equal(a.out.status, 503);
	assert_null(a.out.object);
	ask_fini(&a);
	/* And what others' errors were it is told like they. */
	for (unsigned i = 0; i < 2; i++)
		(void)lead(g, "GET /c", USUAL, 503, "", "no");
	assert_int_equal(told(g, "GET /c", NO_STORE USUAL), 503);
}

static void an_error_that_its_origin_keeps_to_itself_is_not_remembered_of_no_store_either(void **state)
{
	static const char *const fields[] = {NO_STORE, "Set-Cookie: a=b\r\n", "Cache-Control: private\r\n",
		"Vary: *\r\n", "Cache-Control: max-age=0\r\n"};
	struct rig g;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
		rig_begin(&g);
		for (unsigned k = 0; k < 3; k++)
			(void)lead(&g, "GET /a", NO_STORE USUAL, 503, fields[i], "");
		rig_end(&g);
	}
}

/* ---- Ranges and conditions of their own ---- */

static const char *const own[] = {
	FAR USUAL, IF_MATCH USUAL, ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n" USUAL)};

static void what_befell_who_passes_is_told_to_its_like(void **state)
{
	struct rig g;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(own); i++) {
		rig_begin(&g);
		pass(&g, "GET /a", own[i], 0, NULL);
		assert_int_equal(told(&g, "GET /a", own[i]), 502);
		assert_int_equal(told(&g, "GET /a", "Range: bytes=9500000-\r\n" USUAL), 0);
		assert_int_equal(told(&g, "GET /a", USUAL), 0); /* it may be the range that the origin stumbles over */
		pass(&g, "GET /a", "Range: bytes=9500000-\r\n" USUAL, 0, NULL);
		assert_int_equal(told(&g, "GET /a", "Range: bytes=9700000-\r\n" OTHER), 502);
		assert_int_equal(told(&g, "GET /a", "If-Match: \"2\"\r\n"), 502);
		assert_int_equal(told(&g, "GET /a", USUAL), 0);
		assert_int_equal(told(&g, "GET /a", "If-Match: \"2\"\r\nAuthorization: x\r\n"), 502);
		g.now.mono_ms += 1000;
		assert_int_equal(told(&g, "GET /a", own[i]), 0);
		rig_end(&g);
	}
}

static void an_error_said_to_who_passes_is_remembered_when_it_comes_twice(void **state)
{
	struct rig g;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(own); i++) {
		rig_begin(&g);
		pass(&g, "GET /a", own[i], 503, NULL);
		pass(&g, "GET /a", own[i], 503, NULL);
		assert_int_equal(told(&g, "GET /a", own[i]), 503);
		assert_int_equal(told(&g, "GET /a", "If-Match: \"2\"\r\nAuthorization: x\r\n"), 0);
		rig_end(&g);
		rig_begin(&g); /* a response in between says that the origin works */
		pass(&g, "GET /a", own[i], 503, NULL);
		pass(&g, "GET /a", own[i], 412, NULL);
		pass(&g, "GET /a", own[i], 503, NULL);
		assert_int_equal(told(&g, "GET /a", own[i]), 0);
		rig_end(&g);
		rig_begin(&g); /* these are for one client each */
		for (unsigned k = 0; k < 3; k++)
			pass(&g, "GET /a", own[i], 503, "no-store");
		rig_end(&g);
	}
}

static void who_passes_is_told_what_befell_plain_requests(void **state)
{
	struct rig g;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(own); i++) {
		rig_begin(&g);
		(void)lead(&g, "GET /a", USUAL, 0, "", "");
		assert_int_equal(told(&g, "GET /a", own[i]), 504);
		(void)lead(&g, "GET /b", USUAL, 503, "", "no");
		(void)lead(&g, "GET /b", USUAL, 503, "", "no");
		assert_int_equal(told(&g, "GET /b", own[i]), 503);
		pass(&g, "GET /c", own[i], -1, NULL);
		assert_int_equal(told(&g, "GET /c", OTHER), 502);
		rig_end(&g);
	}
}

/* Nothing that is stored can fulfil or fail If-Match, so nothing of that stands in. */
static void nothing_stale_stands_in_where_the_origin_has_to_judge(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a", NULL, "Cache-Control: max-age=1, stale-if-error=100\r\n", "a");
	g->now.mono_ms += 2000;
	g->now.wall_ms += 2000;
	pass(g, "GET /a", IF_MATCH, 0, NULL);
	assert_int_equal(told(g, "GET /a", IF_MATCH), 502);
}

static void a_purge_undoes_what_befell_who_passed(void **state)
{
	struct purge p = {.kind = PURGE_URL, .what = SLICE_LIT("http://o/a")};
	struct rig g;
	uint64_t seq;

	(void)state;
	for (unsigned is_swept = 0; is_swept < 2; is_swept++) {
		rig_begin(&g);
		pass(&g, "GET /a", FAR, 0, NULL);
		(void)lead(&g, "HEAD /a", NULL, 0, "", "");
		assert_int_equal(cache_purge_soon(g.c, &p, &seq), 0);
		for (unsigned i = 0; is_swept && i < 1000; i++)
			(void)cache_sweep(g.c, 1000, g.now);
		assert_int_equal(told(&g, "GET /a", FAR), 0);
		assert_int_equal(told(&g, "HEAD /a", NULL), 0);
		rig_end(&g);
	}
}

static void a_body_that_is_in_no_key_may_be_the_cause(void **state)
{
	struct rig *g = *state;
	struct ask a;

	ask_init(g, &a, "GET /a", "Content-Length: 5\r\n");
	cache_saw_passed(
		g->c, &a.r, rig_asked(g), &(struct cache_passed){.status = 502, .request_time = g->now, .now = g->now});
	ask_fini(&a);
	assert_int_equal(told(g, "GET /a", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(what_befell_a_head_is_told_to_the_next),
		RIG_TEST(a_head_that_is_answered_ends_the_trouble),
		RIG_TEST(what_befell_a_get_is_told_to_a_head_and_what_was_not_sent_to_all),
		RIG_TEST(a_head_that_passes_is_one_too),
		cmocka_unit_test(no_head_is_told_what_befell_a_credential),
		RIG_TEST(what_breaks_off_twice_is_told_to_those_who_want_the_whole),
		RIG_TEST(what_comes_whole_in_between_ends_the_trouble),
		RIG_TEST(a_clients_no_store_is_no_failure_of_its_own),
		cmocka_unit_test(an_error_that_its_origin_keeps_to_itself_is_not_remembered_of_no_store_either),
		cmocka_unit_test(what_befell_who_passes_is_told_to_its_like),
		cmocka_unit_test(an_error_said_to_who_passes_is_remembered_when_it_comes_twice),
		cmocka_unit_test(who_passes_is_told_what_befell_plain_requests),
		RIG_TEST(nothing_stale_stands_in_where_the_origin_has_to_judge),
		cmocka_unit_test(a_purge_undoes_what_befell_who_passed),
		RIG_TEST(a_body_that_is_in_no_key_may_be_the_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
