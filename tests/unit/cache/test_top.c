/* SPDX-License-Identifier: MIT */
/* What spared the API the most time (cache_top), beside counting. */
#include "rig.h"

#include <string.h>

#define FRESH "Cache-Control: max-age=600\r\n"

struct told {
	unsigned n;
	char urls[8][64];
	uint64_t hits[8], fetch_ms[8];
};

static void tell(void *arg, const struct cache_ranked *r)
{
	struct told *t = arg;

	assert_true(t->n < ARRAY_LEN(t->urls));
	snprintf(t->urls[t->n], sizeof(t->urls[0]), "%.*s", SLICE_ARG(r->url));
	t->hits[t->n] = r->hits;
	t->fetch_ms[t->n++] = r->fetch_ms;
}

static struct told top(struct rig *g, unsigned n)
{
	struct told t = {0};

	assert_int_equal(cache_top(g->c, n, tell, &t), 0);
	return t;
}

/* The fetch takes so long until the response begins. */
static void store(struct rig *g, const char *target, int64_t fetch_ms)
{
	struct now before = g->now;
	struct http_fields fields;
	struct flight_response response = {.status = 200, .content_length = 1, .request_time = before};
	enum policy_store why;
	struct ask a;

	assert_int_equal(ask_for(g, &a, target, NULL), CACHE_LEAD);
	g->now.mono_ms += fetch_ms;
	g->now.wall_ms += fetch_ms;
	response.now = g->now;
	http_fields_init(&fields);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("Cache-Control"), SLICE_LIT("max-age=600")), 0);
	assert_int_equal(http_fields_add(&fields, SLICE_LIT("ETag"), SLICE_LIT("\"1\"")), 0);
	response.fields = &fields;
	assert_int_equal(flight_response(a.out.flight, &response, &why), FLIGHT_STORES);
	http_fields_fini(&fields);
	assert_int_equal(flight_body(a.out.flight, "x", 1), FLIGHT_BODY_OK);
	flight_end(a.out.flight, true, g->now);
	ask_fini(&a);
}

static void hit(struct rig *g, const char *target, const char *fields, unsigned times)
{
	while (times-- > 0)
		assert_int_equal(rig_verdict(g, target, fields), CACHE_HIT);
}

static void the_time_that_was_spared_decides(void **state)
{
	struct rig *g = *state;
	struct told t;

	store(g, "GET /slow", 800);
	store(g, "GET /hot", 2);
	store(g, "GET /never-asked-for-again", 10000);
	store(g, "GET /some", 100);
	hit(g, "GET /slow", NULL, 3);
	hit(g, "GET /hot", NULL, 700);
	hit(g, "GET /some", NULL, 13);
	t = top(g, 8);
	assert_int_equal(t.n, 3);
	assert_string_equal(strrchr(t.urls[0], '/'), "/slow");
	assert_string_equal(strrchr(t.urls[1], '/'), "/hot");
	assert_string_equal(strrchr(t.urls[2], '/'), "/some");
	assert_int_equal(t.hits[0], 3);
	assert_in_range(t.fetch_ms[0], 750, 850);
	assert_in_range(t.hits[1], 650, 750);
	t = top(g, 2);
	assert_int_equal(t.n, 2);
	assert_string_equal(strrchr(t.urls[0], '/'), "/slow");
	assert_string_equal(strrchr(t.urls[1], '/'), "/hot");
	assert_int_equal(top(g, 0).n, 0);
}

static void many_are_ranked_as_sorting_them_does(void **state)
{
	enum { MANY = 300 };
	struct rig *g = *state;
	char target[32];
	struct told t;

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(target, sizeof(target), "GET /%u", i);
		store(g, target, 1);
		hit(g, target, NULL, 1 + i * 7919 % MANY % 15); /* exact in a byte */
	}
	t = top(g, 8);
	assert_int_equal(t.n, 8);
	for (unsigned i = 0; i < t.n; i++)
		assert_int_equal(t.hits[i], 15);
}

/* A new response, a validated one, and one that was retired meanwhile: what was asked for counts all the same. */
static void hits_outlive_what_was_hit(void **state)
{
	struct rig *g = *state;
	struct ask a;

	store(g, "GET /a", 300);
	hit(g, "GET /a", NULL, 5);
	ask_init(g, &a, "GET /a", NULL);
	cache_refresh(g->c, &a.r, g->now, &a.out);
	assert_int_equal(rig_answer(g, a.out.flight, 200, FRESH "ETag: \"2\"\r\n", 0, NULL), FLIGHT_STORES);
	flight_end(a.out.flight, true, g->now);
	ask_fini(&a);
	hit(g, "GET /a", NULL, 4);
	assert_int_equal(top(g, 1).hits[0], 9);
	ask_init(g, &a, "GET /a", NULL);
	cache_refresh(g->c, &a.r, g->now, &a.out);
	assert_int_equal(rig_answer(g, a.out.flight, 304, FRESH "ETag: \"2\"\r\n", -1, NULL), FLIGHT_REVALIDATED);
	ask_fini(&a);
	hit(g, "GET /a", NULL, 3);
	assert_int_equal(top(g, 1).hits[0], 12);
}

static void a_validation_says_nothing_of_how_long_a_fetch_takes(void **state)
{
	struct rig *g = *state;
	struct ask a;

	store(g, "GET /a", 300);
	hit(g, "GET /a", NULL, 1);
	ask_init(g, &a, "GET /a", NULL);
	cache_refresh(g->c, &a.r, g->now, &a.out);
	assert_int_equal(rig_answer(g, a.out.flight, 304, FRESH "ETag: \"1\"\r\n", -1, NULL), FLIGHT_REVALIDATED);
	ask_fini(&a);
	assert_in_range(top(g, 1).fetch_ms[0], 280, 320);
}

/* It would not be what a GET of the URL asks for. */
static void what_is_one_users_or_has_more_in_its_key_is_left_out(void **state)
{
	struct rig *g = *state;

	g->rules.scope = CACHE_SCOPE_USER;
	g->rules.user_from = (struct cache_user_from){.name = SLICE_LIT("X-User")};
	rig_store(g, "GET /mine", "X-User: a\r\n", FRESH, "x");
	hit(g, "GET /mine", "X-User: a\r\n", 9);
	assert_int_equal(top(g, 8).n, 0);
	g->rules.scope = CACHE_SCOPE_SHARED;
	g->rules.user_from = (struct cache_user_from){.name = SLICE_LIT("")};
	g->tag_names[0] = SLICE_LIT("X-Tenant");
	g->rules.key_headers = (struct slices){g->tag_names, 1};
	rig_store(g, "GET /tenant", "X-Tenant: a\r\n", FRESH, "x");
	hit(g, "GET /tenant", "X-Tenant: a\r\n", 9);
	assert_int_equal(top(g, 8).n, 0);
	g->rules.key_headers = (struct slices){NULL, 0};
	rig_store(g, "GET /all", NULL, FRESH, "x");
	hit(g, "GET /all", NULL, 1);
	assert_int_equal(top(g, 8).n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(the_time_that_was_spared_decides),
		RIG_TEST(many_are_ranked_as_sorting_them_does),
		RIG_TEST(hits_outlive_what_was_hit),
		RIG_TEST(a_validation_says_nothing_of_how_long_a_fetch_takes),
		RIG_TEST(what_is_one_users_or_has_more_in_its_key_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
