/* SPDX-License-Identifier: MIT */
/* Errors that may not be stored: who gets them, for how long, and what they say of those who come next. */
#include "rig.h"

#include <string.h>

static enum flight_phase phase_of(struct herd *h, unsigned i)
{
	return waiter_look(&h->w[i]).phase;
}

static enum flight_fate answer_with(struct rig *g, struct flight *f, int status, const char *fields, const char *body)
{
	enum flight_fate fate = rig_answer(g, f, status, fields ? fields : "", (int64_t)strlen(body), NULL);

	if (fate == FLIGHT_STORES) {
		assert_int_equal(flight_body(f, body, strlen(body)), FLIGHT_BODY_OK);
		flight_end(f, true, g->now);
	}
	return fate;
}

/* Leads with those fields of a request, and is answered. */
static void lead_and_answer(struct rig *g, const char *request_fields, int status, const char *fields)
{
	struct ask a;

	assert_int_equal(ask_for(g, &a, "GET /a", request_fields), CACHE_LEAD);
	answer_with(g, a.out.flight, status, fields, "no");
	ask_fini(&a);
}

static const int errors[] = {302, 401, 403, 404, 429, 500, 503};

static void an_error_without_a_lifetime_answers_all_who_waited_and_is_not_stored(void **state)
{
	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(errors); k++) {
		struct herd h;

		herd_begin(&h);
		assert_int_equal(answer_with(&h.g, h.f, errors[k], "X-Why: because\r\n", "no"), FLIGHT_STORES);
		for (unsigned i = 0; i < HERD; i++) {
			struct flight_view v = waiter_look(&h.w[i]);

			assert_int_equal(v.phase, FLIGHT_RESPONSE);
			assert_int_not_equal(v.verdict, POLICY_STORE);
			assert_int_equal(v.status, errors[k]);
			assert_true(rig_head_has(v.object, "X-Why: because\r\n"));
			rig_body_is(v.object, "no");
		}
		assert_int_equal(rig_stats(&h.g).objects, 0);
		assert_int_equal(rig_stats(&h.g).released, 0);
		herd_end(&h);
	}
}

static void an_error_leaves_the_next_herd_together(void **state)
{
	static const char *const fields[] = {NULL, "Cache-Control: no-store\r\n", "Set-Cookie: a=b\r\n", "Vary: *\r\n"};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(errors); k++)
		for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
			struct rig g;

			rig_begin(&g);
			lead_and_answer(&g, NULL, errors[k], fields[i]);
			g.now.mono_ms += 1001; /* failure_memory */
			lead_and_answer(&g, NULL, 200, "Cache-Control: max-age=60\r\n");
			assert_int_equal(rig_verdict(&g, "GET /a", NULL), CACHE_HIT);
			rig_end(&g);
		}
}

static void what_is_uncacheable_by_nature_is_not_waited_for(void **state)
{
	static const char *const fields[] = {"Cache-Control: no-store\r\n", "Cache-Control: private\r\n",
		"Set-Cookie: a=b\r\n", "Vary: *\r\n", NULL,
		"Content-Type: text/event-stream\r\nCache-Control: max-age=9\r\n"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
		struct rig g;

		rig_begin(&g);
		lead_and_answer(&g, NULL, 200, fields[i]);
		assert_int_equal(rig_verdict(&g, "GET /a", NULL), CACHE_PASS);
		g.now.mono_ms += 119999;
		lead_and_answer(
			&g, NULL, 503, NULL); /* a second's probe meets an error: that says nothing of what is usual */
		assert_int_equal(rig_verdict(&g, "GET /a", NULL), CACHE_PASS);
		rig_end(&g);
	}
}

static void an_error_that_may_not_be_shared_releases_all(void **state)
{
	static const char *const fields[] = {"Cache-Control: no-store\r\n", "Cache-Control: private\r\n",
		"Set-Cookie: a=b\r\n", "Vary: *\r\n", "Content-Type: text/event-stream\r\n"};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(errors); k++)
		for (unsigned i = 0; i <= ARRAY_LEN(fields); i++) {
			struct herd h;

			rig_options(&h.g);
			h.g.rules.share_errors = i < ARRAY_LEN(fields);
			rig_start(&h.g);
			herd_begin_with(&h, NULL, NULL, NULL);
			assert_int_equal(
				answer_with(&h.g, h.f, errors[k], i < ARRAY_LEN(fields) ? fields[i] : NULL, "no"),
				FLIGHT_PRIVATE);
			assert_int_equal(phase_of(&h, 1), FLIGHT_RELEASED);
			/* For a moment nobody waits for another: after that they do. */
			assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_PASS);
			herd_end(&h);
		}
}

static void who_comes_within_failure_memory_gets_the_response_of_an_origin_in_trouble(void **state)
{
	struct rig g;
	struct ask a;

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(errors); k++) {
		bool is_troubled = errors[k] == 429 || errors[k] >= 500;

		rig_begin(&g);
		lead_and_answer(&g, NULL, errors[k], "Retry-After: 9\r\n");
		lead_and_answer(&g, NULL, errors[k], "Retry-After: 9\r\n"); /* one may be a slip */
		ask_init(&g, &a, "GET /a", NULL);
		assert_int_equal(ask_lookup(&g, &a), is_troubled ? CACHE_FAILED : CACHE_LEAD);
		if (is_troubled) {
			assert_int_equal(a.out.status, errors[k]);
			rig_body_is(a.out.object, "no");
			assert_true(rig_head_has(a.out.object, "Retry-After: 9\r\n"));
			g.now.mono_ms += 1000;
			assert_int_equal(ask_lookup(&g, &a), CACHE_LEAD);
			answer_with(&g, a.out.flight, errors[k], "", "no");
			assert_int_equal(ask_lookup(&g, &a), CACHE_FAILED);
			g.now.mono_ms += 2000; /* that is long ago: the next one may be a slip again */
			assert_int_equal(ask_lookup(&g, &a), CACHE_LEAD);
			answer_with(&g, a.out.flight, errors[k], "", "no");
			assert_int_equal(ask_lookup(&g, &a), CACHE_LEAD);
		}
		flight_abandon(a.out.flight);
		ask_fini(&a);
		rig_end(&g);
	}
}

static void a_remembered_error_is_not_for_credentials_nor_beyond_a_purge_nor_for_another_variant(void **state)
{
	struct rig *g = *state;
	uint64_t seq;

	lead_and_answer(g, NULL, 500, "Vary: Accept\r\n");
	lead_and_answer(g, NULL, 500, "Vary: Accept\r\n");
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_FAILED);
	assert_int_equal(rig_verdict(g, "GET /a", "Authorization: x\r\n"), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", "Cookie: sid=a\r\n"), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", "Accept: b\r\n"), CACHE_LEAD);
	assert_int_equal(cache_purge_soon(g->c, &(struct purge){.kind = PURGE_ALL}, &seq), 0);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
}

/* A purge is a rule that the sweeper forgets when nothing older than it is left. */
static void a_purge_of_a_remembered_error_is_not_forgotten(void **state)
{
	struct rig g;
	uint64_t seq;

	(void)state;
	for (unsigned is_soft = 0; is_soft < 2; is_soft++) {
		rig_begin(&g);
		for (unsigned i = 0; i < 2; i++)
			lead_and_answer(&g, NULL, 503, NULL);
		assert_int_equal(rig_verdict(&g, "GET /a", NULL), CACHE_FAILED);
		for (unsigned i = 0; i < 1000; i++) /* without a purge it stays, whatever is swept */
			(void)cache_sweep(g.c, 1000, g.now);
		assert_int_equal(rig_verdict(&g, "GET /a", NULL), CACHE_FAILED);
		assert_int_equal(
			cache_purge_soon(g.c,
				&(struct purge){.kind = PURGE_PREFIX, .what = SLICE_LIT("http://o/"), .soft = is_soft},
				&seq),
			0);
		for (unsigned i = 0; i < 1000; i++)
			(void)cache_sweep(g.c, 1000, g.now);
		assert_int_equal(rig_verdict(&g, "GET /a", NULL), CACHE_LEAD);
		rig_end(&g);
	}
}

static void purge_kind(struct rig *g, enum purge_kind kind, bool soft)
{
	struct purge p = {.kind = kind, .soft = soft};
	uint64_t seq;

	if (kind == PURGE_URL)
		p.what = SLICE_LIT("http://o/a");
	else if (kind == PURGE_PREFIX)
		p.what = SLICE_LIT("http://o/");
	else if (kind == PURGE_TAG)
		p.what = SLICE_LIT("t");
	else if (kind == PURGE_USER)
		assert_int_equal(cache_user_hash(&g->rules, &g->secret, SLICE_LIT("ann"), &p.user), 0);
	assert_int_equal(cache_purge_soon(g->c, &p, &seq), 0);
}

static void fail_with_nothing(struct rig *g, struct flight *f)
{
	flight_fail(f, 502, g->now);
}

static void answer_without_sharing(struct rig *g, struct flight *f)
{
	(void)answer_with(g, f, 200, "Cache-Control: no-store\r\nCache-Tag: t\r\n", "x");
}

static void fail_with_a_tag(struct rig *g, struct flight *f)
{
	(void)answer_with(g, f, 503, "Cache-Tag: t\r\n", "no");
}

/* Whoever asks once a purge was answered is told nothing of what was met by a request from before it, whether that had failed by
 * then or fails only now; and the purge is not forgotten while it counts. */
static void a_purge_undoes_what_is_remembered(void **state)
{
	static const enum purge_kind kinds[] = {PURGE_URL, PURGE_PREFIX, PURGE_ALL, PURGE_USER, PURGE_TAG};
	void (*const ends[])(struct rig * g, struct flight * f) = {
		fail_with_nothing, answer_without_sharing, fail_with_a_tag};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(kinds) * ARRAY_LEN(ends) * 8; k++) {
		enum purge_kind kind = kinds[k / 8 % ARRAY_LEN(kinds)];
		unsigned end = k / 8 / ARRAY_LEN(kinds);
		bool is_late = k & 1, soft = k & 2, is_swept = k & 4;
		struct rig g;
		struct ask a;

		if (kind == PURGE_TAG && end != 2) /* it has no response with tags that could be remembered */
			continue;
		rig_options(&g);
		g.rules.scope = CACHE_SCOPE_USER;
		g.rules.user_from.name = SLICE_LIT("X-User");
		rig_start(&g);
		if (end == 2) /* one may be a slip */
			lead_and_answer(&g, "X-User: ann\r\n", 503, "Cache-Tag: t\r\n");
		assert_int_equal(ask_for(&g, &a, "GET /a", "X-User: ann\r\n"), CACHE_LEAD);
		if (is_late)
			purge_kind(&g, kind, soft);
		ends[end](&g, a.out.flight);
		if (!is_late) {
			assert_int_equal(
				rig_verdict(&g, "GET /a", "X-User: ann\r\n"), end == 1 ? CACHE_PASS : CACHE_FAILED);
			purge_kind(&g, kind, soft);
		}
		for (unsigned i = 0; is_swept && i < 1000; i++)
			(void)cache_sweep(g.c, 1000, g.now);
		assert_int_equal(rig_verdict(&g, "GET /a", "X-User: ann\r\n"), CACHE_LEAD);
		ask_fini(&a);
		rig_end(&g);
	}
}

static void what_failed_before_a_purge_takes_no_place_of_what_failed_after_it(void **state)
{
	struct ask before, after;
	struct rig *g = *state;

	ask_init(g, &before, "GET /a", NULL);
	ask_init(g, &after, "GET /a", NULL);
	assert_int_equal(ask_lookup(g, &before), CACHE_LEAD);
	purge_kind(g, PURGE_URL, false);
	assert_int_equal(ask_lookup(g, &after), CACHE_LEAD);
	flight_fail(after.out.flight, 502, g->now);
	flight_fail(before.out.flight, 504, g->now);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_FAILED);
	ask_fini(&before);
	ask_fini(&after);
}

static void what_its_origin_calls_outdated_is_not_remembered(void **state)
{
	static const char *const fields[] = {"Cache-Control: no-cache\r\n", "Cache-Control: max-age=0\r\n"};
	struct herd h;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
		herd_begin(&h);
		assert_int_equal(answer_with(&h.g, h.f, 503, fields[i], "no"), FLIGHT_STORES);
		assert_int_equal(phase_of(&h, 1), FLIGHT_RESPONSE);
		lead_and_answer(&h.g, NULL, 503, fields[i]);
		assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_LEAD);
		herd_end(&h);
	}
}

static void a_long_error_is_remembered_by_its_status_only(void **state)
{
	static char body[70000];
	struct rig *g = *state;
	struct ask a;

	memset(body, 'x', sizeof(body) - 1);
	assert_int_equal(ask_for(g, &a, "GET /a", NULL), CACHE_LEAD);
	assert_int_equal(answer_with(g, a.out.flight, 500, NULL, body), FLIGHT_STORES);
	assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
	assert_int_equal(answer_with(g, a.out.flight, 500, NULL, body), FLIGHT_STORES);
	assert_int_equal(ask_lookup(g, &a), CACHE_FAILED);
	assert_int_equal(a.out.status, 500);
	assert_null(a.out.object);
	assert_int_equal(rig_stats(g).errors_without_body, 1);
	ask_fini(&a);
}

static void errors_remembered_take_a_bounded_part_of_memory_and_go_when_they_are_over(void **state)
{
	char target[32], body[16001];
	uint64_t before;
	struct rig *g = *state;

	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	before = rig_stats(g).bytes;
	for (unsigned i = 0; i < 60; i++) { /* 960 kB of them, in 8 MiB */
		struct ask a;
		unsigned k;

		snprintf(target, sizeof(target), "GET /%u", i);
		ask_init(g, &a, target, NULL);
		for (k = 0; k < 2; k++) {
			assert_int_equal(ask_lookup(g, &a), CACHE_LEAD);
			assert_int_equal(answer_with(g, a.out.flight, 500, NULL, body), FLIGHT_STORES);
		}
		ask_fini(&a);
	}
	assert_true(rig_stats(g).bytes - before < (8 << 20) / 32 + 60000);
	assert_true(rig_stats(g).bytes - before > 200000);
	assert_int_equal(rig_stats(g).failures_remembered, 60);
	assert_in_range(rig_stats(g).errors_without_body, 30, 50);
	g->now.mono_ms += 2001;
	for (unsigned i = 0; i < 100; i++)
		(void)cache_sweep(g->c, 1000, g->now);
	assert_true(rig_stats(g).bytes - before < 20000);
}

#define ODD "X-Odd: 1\r\n"
#define USUAL "User-Agent: a\r\n"

static void what_one_odd_request_caused_is_its_own(void **state)
{
	struct herd h;

	(void)state;
	rig_begin(&h.g);
	herd_begin_with(&h, ODD, USUAL, ODD);
	flight_fail(h.f, 502, h.g.now);
	assert_int_equal(phase_of(&h, 0), FLIGHT_FAILED);
	assert_int_equal(phase_of(&h, 1), FLIGHT_RETRY);
	assert_int_equal(phase_of(&h, 2), FLIGHT_FAILED);
	assert_int_equal(rig_verdict(&h.g, "GET /a", ODD), CACHE_FAILED);
	/* The second try: well, so nothing is remembered. */
	lead_and_answer(&h.g, USUAL, 200, "Cache-Control: max-age=60\r\n");
	assert_int_equal(rig_verdict(&h.g, "GET /a", USUAL), CACHE_HIT);
	herd_end(&h);
}

static void what_befell_two_befalls_all(void **state)
{
	struct rig *g = *state;
	struct ask a;

	lead_and_answer(g, ODD, 503, NULL);
	assert_int_equal(ask_for(g, &a, "GET /a", USUAL), CACHE_LEAD);
	flight_fail(a.out.flight, 502, g->now);
	assert_int_equal(rig_verdict(g, "GET /a", "User-Agent: b\r\n"), CACHE_FAILED);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_FAILED);
	ask_fini(&a);
}

/* Each of those who wait sends a User-Agent of its own to an origin that hangs: the time-outs are longer than what is remembered. */
static void of_two_forms_that_fail_one_after_the_other_nobody_waits_for_a_third(void **state)
{
	static const int ends[] = {0, 500, 503};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(ends); k++) {
		struct herd h;
		struct ask a;

		rig_begin(&h.g);
		herd_begin_with(&h, ODD, USUAL, "User-Agent: b\r\n");
		h.g.now.mono_ms += 3000;
		if (ends[k] == 0)
			flight_fail(h.f, 504, h.g.now);
		else
			answer_with(&h.g, h.f, ends[k], NULL, "no");
		assert_int_equal(phase_of(&h, 1), FLIGHT_RETRY);
		assert_true(waiter_look(&h.w[2]).failure >= 500);
		h.g.now.mono_ms += 900;
		assert_int_equal(ask_for(&h.g, &a, "GET /a", USUAL), CACHE_LEAD);
		for (unsigned i = 0; i < 1000;
			i++) { /* what befell the first is not forgotten before the second is over */
			h.g.now.mono_ms += 3;
			(void)cache_sweep(h.g.c, 1000, h.g.now);
		}
		if (ends[k] == 0)
			flight_fail(a.out.flight, 504, h.g.now);
		else
			answer_with(&h.g, a.out.flight, ends[k], NULL, "no");
		assert_int_equal(rig_verdict(&h.g, "GET /a", "User-Agent: b\r\n"), CACHE_FAILED);
		assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_FAILED);
		ask_fini(&a);
		herd_end(&h);
	}
}

static void what_failed_long_before_the_second_was_sent_says_nothing_of_others(void **state)
{
	struct rig *g = *state;
	struct ask a;

	assert_int_equal(ask_for(g, &a, "GET /a", ODD), CACHE_LEAD);
	flight_fail(a.out.flight, 504, g->now);
	ask_fini(&a);
	g->now.mono_ms += 1000;
	assert_int_equal(ask_for(g, &a, "GET /a", USUAL), CACHE_LEAD);
	flight_fail(a.out.flight, 504, g->now);
	ask_fini(&a);
	assert_int_equal(rig_verdict(g, "GET /a", USUAL), CACHE_FAILED);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
}

static void what_failed_before_it_was_sent_goes_for_all(void **state)
{
	struct herd h;

	(void)state;
	rig_begin(&h.g);
	herd_begin_with(&h, ODD, USUAL, NULL);
	flight_fail_for_all(h.f, 502, h.g.now);
	for (unsigned i = 0; i < HERD; i++)
		assert_int_equal(phase_of(&h, i), FLIGHT_FAILED);
	assert_int_equal(rig_verdict(&h.g, "GET /a", "User-Agent: b\r\n"), CACHE_FAILED);
	herd_end(&h);
}

/* Also where nothing is remembered: with failure_memory = 0. */
static void who_waited_for_two_failures_is_told_the_second(void **state)
{
	static const int ends[] = {0, 403, 429, 500};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(ends); k++) {
		struct herd h;
		bool befalls = ends[k] == 0 || ends[k] >= 500;

		rig_options(&h.g);
		h.g.o.failure_memory_ms = 0;
		rig_start(&h.g);
		herd_begin_with(&h, ODD, USUAL, NULL);
		h.w[1].w.met_failure = true;
		if (ends[k] == 0)
			flight_fail(h.f, 504, h.g.now);
		else
			answer_with(&h.g, h.f, ends[k], NULL, "no");
		assert_int_equal(phase_of(&h, 1), !befalls  ? FLIGHT_RELEASED
						  : ends[k] ? FLIGHT_RESPONSE
							    : FLIGHT_FAILED);
		assert_int_equal(phase_of(&h, 2), befalls ? FLIGHT_RETRY : FLIGHT_RELEASED);
		/* Both of them of one form, they say no more than one. */
		h.w[2].w.met_form = waiter_look(&h.w[2]).form;
		h.w[2].w.met_failure = true;
		assert_int_equal(phase_of(&h, 2), befalls ? FLIGHT_RETRY : FLIGHT_RELEASED);
		herd_end(&h);
	}
}

#define STALE_SOON "Cache-Control: max-age=10, stale-if-error=100\r\n"

/* They wait by the Vary of the newest response, which says nothing of the one that stands in. */
static void what_stands_in_is_for_those_whose_variant_it_is(void **state)
{
	static const struct {
		const char *fields;
		enum flight_phase phase;
	} rows[] = {{"Accept: a\r\n", FLIGHT_STALE}, {"Accept: b\r\n", FLIGHT_RETRY}, {NULL, FLIGHT_RETRY}};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(rows); k++) {
		struct ask leader, other;
		struct waiter w[2];
		struct rig g;

		rig_begin(&g);
		rig_store(&g, "GET /a", "Accept: a\r\n", STALE_SOON "Vary: Accept\r\n", "a");
		rig_store(&g, "GET /a", "Accept: c\r\nAccept-Language: de\r\n", STALE_SOON "Vary: Accept-Language\r\n",
			"de");
		g.now.mono_ms += 20000;
		ask_init(&g, &leader, "GET /a", "Accept: a\r\n");
		ask_init(&g, &other, "GET /a", rows[k].fields);
		assert_int_equal(ask_lookup(&g, &leader), CACHE_LEAD);
		waiter_join(&w[0], &leader, 0);
		assert_int_equal(ask_lookup(&g, &other), CACHE_JOIN);
		waiter_join(&w[1], &other, 1);
		flight_fail(leader.out.flight, 502, g.now);
		assert_int_equal(waiter_look(&w[0]).phase, FLIGHT_STALE);
		rig_body_is(waiter_look(&w[0]).object, "a");
		assert_int_equal(waiter_look(&w[1]).phase, rows[k].phase);
		for (unsigned i = 0; i < 2; i++)
			flight_leave(&w[i].w);
		ask_fini(&leader);
		ask_fini(&other);
		rig_end(&g);
	}
}

/* Whoever came after a purge was answered, and was told to wait a moment before the flight failed. */
static void what_is_purged_stands_in_no_more(void **state)
{
	static const char *const kept[] = {
		STALE_SOON, "Cache-Control: max-age=100, must-revalidate, stale-if-error=100\r\n"};

	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		struct purge purge = {.kind = PURGE_ALL, .soft = k & 1};
		bool never_stale = k & 2;
		struct waiter w;
		struct ask a;
		struct rig g;
		uint64_t seq;

		rig_begin(&g);
		rig_store(&g, "GET /a", NULL, kept[never_stale], "x");
		if (!never_stale)
			g.now.mono_ms += 20000;
		assert_int_equal(ask_for(&g, &a, "GET /a", "Cache-Control: no-cache\r\n"), CACHE_LEAD);
		waiter_join(&w, &a, 0);
		flight_fail(a.out.flight, 502, g.now);
		assert_int_equal(cache_purge_soon(g.c, &purge, &seq), 0);
		assert_int_equal(waiter_look(&w).phase, purge.soft && !never_stale ? FLIGHT_STALE : FLIGHT_RETRY);
		flight_leave(&w.w);
		ask_fini(&a);
		rig_end(&g);
	}
}

/* Whatever it met, and whoever asked: it comes again when failure_memory is over. */
static void a_refresh_in_the_background_that_was_in_vain_rests(void **state)
{
	static const struct {
		int status;
		const char *fields;
		bool is_ahead;
	} rows[] = {{500, "Cache-Control: no-store\r\n", false}, {503, "Set-Cookie: a=b\r\n", true}, {500, NULL, false},
		{429, NULL, true}, {429, "Cache-Control: private\r\n", false}, {0, NULL, false}, {0, NULL, true}};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(rows); k++) {
		enum cache_verdict verdict = rows[k].is_ahead ? CACHE_HIT : CACHE_STALE;
		struct ask a;
		struct rig g;

		rig_options(&g);
		if (rows[k].is_ahead)
			g.rules.refresh_ahead.ms = 60000;
		rig_start(&g);
		rig_store(&g, "GET /a", NULL, "Cache-Control: max-age=10, stale-while-revalidate=100\r\n", "x");
		g.now.mono_ms += rows[k].is_ahead ? 1000 : 20000;
		for (unsigned round = 0; round < 2; round++) {
			assert_int_equal(ask_for(&g, &a, "GET /a", ODD), verdict);
			assert_non_null(a.out.flight);
			if (rows[k].status)
				(void)answer_with(&g, a.out.flight, rows[k].status, rows[k].fields, "no");
			else
				flight_fail(a.out.flight, 502, g.now);
			ask_fini(&a);
			g.now.mono_ms += 999;
			for (unsigned i = 0; i < 100; i++)
				(void)cache_sweep(g.c, 1000, g.now);
			assert_int_equal(ask_for(&g, &a, "GET /a", USUAL), verdict);
			assert_null(a.out.flight);
			ask_fini(&a);
			g.now.mono_ms += 1;
		}
		rig_end(&g);
	}
}

static void too_many_requests_is_said_to_those_who_look_the_same(void **state)
{
	struct rig *g = *state;

	lead_and_answer(g, NULL, 429, NULL);
	lead_and_answer(g, NULL, 429, NULL);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_FAILED);
	assert_int_equal(rig_verdict(g, "GET /a", "X-Key: mine\r\n"), CACHE_LEAD);
}

static void too_many_requests_stays_with_its_form_whoever_failed_before(void **state)
{
	struct rig *g = *state;

	lead_and_answer(g, USUAL, 503, NULL);
	lead_and_answer(g, ODD, 429, NULL);
	assert_int_equal(rig_verdict(g, "GET /a", ODD), CACHE_FAILED);
	assert_int_equal(rig_verdict(g, "GET /a", NULL), CACHE_LEAD);
}

static void an_error_of_another_form_sends_the_others_on(void **state)
{
	static const struct {
		int status;
		enum flight_phase others;
	} rows[] = {{403, FLIGHT_RELEASED}, {404, FLIGHT_RELEASED}, {429, FLIGHT_RELEASED}, {500, FLIGHT_RETRY}};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(rows); k++) {
		struct herd h;

		rig_begin(&h.g);
		herd_begin_with(&h, USUAL, ODD, USUAL);
		assert_int_equal(answer_with(&h.g, h.f, rows[k].status, NULL, "no"), FLIGHT_STORES);
		assert_int_equal(phase_of(&h, 0), FLIGHT_RESPONSE);
		assert_int_equal(phase_of(&h, 1), rows[k].others);
		assert_int_equal(phase_of(&h, 2), FLIGHT_RESPONSE);
		herd_end(&h);
	}
}

static void ids_and_conditions_make_no_other_form(void **state)
{
	struct rig *g = *state;

	lead_and_answer(g, "X-Request-ID: 1\r\nIf-None-Match: \"a\"\r\n" USUAL, 500, NULL);
	lead_and_answer(g, "X-Request-ID: 3\r\n" USUAL, 500, NULL);
	assert_int_equal(rig_verdict(g, "GET /a", "X-Request-ID: 2\r\nConnection: close\r\n" USUAL), CACHE_FAILED);
	assert_int_equal(rig_verdict(g, "GET /a", ODD), CACHE_LEAD);
}

/* Nobody else can make the origin stumble over a field that others do not have, or have otherwise. */
static void a_made_up_id_or_type_takes_nothing_from_who_has_none(void **state)
{
	const char *const odd[] = {"X-Request-ID: evil\r\n", "X-Request-ID: \r\n", "traceparent: 00-x\r\n",
		"baggage: a=<b>\r\n", "Content-Type: x\r\n", "Cache-Control: odd\r\n", "Cache-Control: no-cache=1\r\n",
		"Cache-Control: max-age\r\n", "Cache-Control: max-age=\r\n", "Cache-Control: \r\n", "Pragma: u=1\r\n",
		"Priority: ?\r\n", "Priority: no-cache\r\n", "Priority: u=9\r\n",
		"Pragma: no-cache\r\nPragma: no-cache\r\nPragma: no-cache\r\nPragma: no-cache\r\n"
		"Cache-Control: max-age=000000000, max-age=000000000, max-age=000000000\r\n"
		"Cache-Control: max-age=000000000, max-age=000000000, max-age=000000000\r\n"};
	struct rig *g = *state;

	for (unsigned i = 0; i < ARRAY_LEN(odd); i++) {
		char fields[800], target[20];

		snprintf(target, sizeof(target), "GET /%u", i);
		snprintf(fields, sizeof(fields), "%s" USUAL, odd[i]);
		for (unsigned k = 0; k < 2; k++) {
			struct ask a;

			if (ask_for(g, &a, target, fields) == CACHE_LEAD)
				flight_fail(a.out.flight, 502, g->now);
			ask_fini(&a);
		}
		assert_int_equal(rig_verdict(g, target, fields), CACHE_FAILED);
		assert_int_equal(rig_verdict(g, target, USUAL), CACHE_LEAD);
	}
	/* Nor from those who have an id that looks like one. */
	lead_and_answer(g, "X-Request-ID: \"<>\r\n" USUAL, 500, NULL);
	lead_and_answer(g, "X-Request-ID: \"<>\r\n" USUAL, 500, NULL);
	assert_int_equal(rig_verdict(g, "GET /a", "X-Request-ID: 2\r\n" USUAL), CACHE_LEAD);
}

static void break_off(struct rig *g, struct flight *f)
{
	flight_fail(f, 502, g->now);
}

static void not_store(struct rig *g, struct flight *f)
{
	assert_int_equal(answer_with(g, f, 200, "Cache-Control: no-store\r\n", "x"), FLIGHT_PRIVATE);
}

static void not_share(struct rig *g, struct flight *f)
{
	assert_int_equal(answer_with(g, f, 503, "Cache-Control: no-store\r\n", "x"), FLIGHT_PRIVATE);
}

static void outgrow(struct rig *g, struct flight *f)
{
	static char much[1 << 16];

	assert_int_equal(rig_answer(g, f, 200, "Cache-Control: max-age=60\r\n", -1, NULL), FLIGHT_STORES);
	for (uint64_t n = 0; n <= g->o.max_object_bytes; n += sizeof(much))
		(void)flight_body(f, much, sizeof(much));
	flight_end(f, true, g->now);
}

/* What was asked for later has landed meanwhile: this end says nothing about those who come next. */
static void what_comes_too_late_is_not_remembered(void **state)
{
	void (*const ends[])(struct rig * g, struct flight * f) = {break_off, not_store, not_share, outgrow};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		for (int is_late = 0; is_late <= 1; is_late++) {
			struct ask older, newer;
			struct rig g;

			rig_begin(&g);
			assert_int_equal(ask_for(&g, &older, "GET /a", NULL), CACHE_LEAD);
			if (is_late) {
				ask_init(&g, &newer, "GET /a", NULL);
				cache_refresh(g.c, &newer.r, g.now, &newer.out);
				assert_int_equal(newer.out.verdict, CACHE_LEAD);
				assert_int_equal(answer_with(&g, newer.out.flight, 404, NULL, "gone"), FLIGHT_STORES);
				ask_fini(&newer);
			}
			ends[i](&g, older.out.flight);
			assert_int_equal(rig_verdict(&g, "GET /a", NULL) == CACHE_LEAD, is_late);
			ask_fini(&older);
			rig_end(&g);
		}
}

#define PEER "10.0.0.1"
#define SPOOFED "X-Forwarded-For: 6.6.6.6, " PEER "\r\n"

static void the_clients_own_list_of_addresses_makes_another_form(void **state)
{
	static const int statuses[] = {403, 429, 500};
	struct rig *g = *state;

	for (unsigned k = 0; k < ARRAY_LEN(statuses); k++) {
		struct herd h;

		rig_begin(&h.g);
		herd_begin_with(&h, SPOOFED, "X-Forwarded-For: " PEER "\r\n", SPOOFED);
		assert_int_equal(answer_with(&h.g, h.f, statuses[k], NULL, "no"), FLIGHT_STORES);
		assert_int_equal(phase_of(&h, 0), FLIGHT_RESPONSE);
		assert_int_not_equal(phase_of(&h, 1), FLIGHT_RESPONSE);
		assert_int_equal(phase_of(&h, 2), FLIGHT_RESPONSE);
		herd_end(&h);
	}
	lead_and_answer(g, SPOOFED, 429, NULL);
	lead_and_answer(g, SPOOFED, 429, NULL);
	assert_int_equal(rig_verdict(g, "GET /a", "X-Forwarded-For: 6.6.6.6, 10.0.0.2\r\n"), CACHE_FAILED);
	assert_int_equal(rig_verdict(g, "GET /a", "X-Forwarded-For: 7.7.7.7, " PEER "\r\n"), CACHE_LEAD);
	assert_int_equal(rig_verdict(g, "GET /a", "X-Forwarded-For: " PEER "\r\n"), CACHE_LEAD);
}

static void the_proxys_own_words_make_no_form(void **state)
{
	static const char own[] =
		"Via: 1.1 me\r\nX-Forwarded-For: " PEER "\r\nX-Forwarded-Proto: http\r\nCDN-Loop: me; id=1\r\n";
	static const char *const others[] = {
		"Via: 1.1 x, 1.1 me\r\n", "CDN-Loop: x\r\nCDN-Loop: me; id=1\r\n", "CDN-Loop: x, me; id=1\r\n"};
	struct rig g;

	(void)state;
	rig_begin(&g);
	lead_and_answer(&g, own, 500, NULL);
	lead_and_answer(&g, own, 500, NULL);
	assert_int_equal(rig_verdict(&g, "GET /a", NULL), CACHE_FAILED);
	assert_int_equal(rig_verdict(&g, "GET /a", ODD), CACHE_FAILED); /* it was the URL's doing */
	rig_end(&g);
	for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
		rig_begin(&g);
		lead_and_answer(&g, others[i], 500, NULL);
		lead_and_answer(&g, others[i], 500, NULL);
		assert_int_equal(rig_verdict(&g, "GET /a", others[i]), CACHE_FAILED);
		assert_int_equal(rig_verdict(&g, "GET /a", own), CACHE_LEAD);
		rig_end(&g);
	}
}

static void the_clients_address_makes_no_other_form(void **state)
{
	struct rig *g = *state;

	lead_and_answer(g, "X-Forwarded-For: " PEER "\r\n", 429, NULL);
	lead_and_answer(g, "X-Forwarded-For: " PEER "\r\n", 429, NULL);
	assert_int_equal(rig_verdict(g, "GET /a", "X-Forwarded-For: 10.0.0.2\r\n"), CACHE_FAILED);
}

/* Each browser has one of its own, which its route says not to matter. */
static void shared_cookies_make_no_form_while_they_look_like_such(void **state)
{
	const struct slice shared[] = {SLICE_LIT("_ga"), SLICE_LIT("_ga_*")};
	static char blanks[600], longer[600];
	const struct {
		const char *cookies;
		bool is_other;
	} rows[] = {{"_ga=GA1.1.98765.4321", false}, {"_ga_X1=GS1.1.17; _ga=b", false}, {"_ga=b;_ga_Y=c", false},
		{NULL, true}, {"_ga=<b>", true}, {"_ga=..%2fb", true}, {"_gab=b", true}, {"_ga=b; _gab=c", true},
		{"_ga=b;;", true}, {"_ga=b;   _ga_Z=c", true}, {blanks, true}, {longer, true}};

	(void)state;
	snprintf(blanks, sizeof(blanks), "_ga=b;%500s_ga_X=c", "");
	memset(longer, 'x', sizeof(longer) - 1);
	memcpy(longer, "_ga=", 4);
	for (unsigned k = 0; k < ARRAY_LEN(rows); k++) {
		char line[700] = "";
		struct rig g;

		rig_options(&g);
		g.rules.shared_credentials = (struct slices){shared, ARRAY_LEN(shared)};
		rig_start(&g);
		if (rows[k].cookies)
			snprintf(line, sizeof(line), "Cookie: %s\r\n", rows[k].cookies);
		lead_and_answer(&g, "Cookie: _ga=GA1.1.1234.5678\r\n", 429, NULL);
		lead_and_answer(&g, "Cookie: _ga=GA1.1.1234.5678\r\n", 429, NULL);
		assert_int_equal(rig_verdict(&g, "GET /a", line), rows[k].is_other ? CACHE_LEAD : CACHE_FAILED);
		rig_end(&g);
	}
}

/* What an error is to the one who waits with its leader and looks like it, and to the one who looks otherwise. */
static const struct share_row {
	int status;
	const char *fields;
	enum flight_phase same, other;
} share_rows[] = {{404, "", FLIGHT_RESPONSE, FLIGHT_RELEASED}, {429, "", FLIGHT_RESPONSE, FLIGHT_RELEASED},
	{503, "", FLIGHT_RESPONSE, FLIGHT_RETRY}, {404, "Cache-Control: private\r\n", FLIGHT_RELEASED, FLIGHT_RELEASED},
	{429, "Cache-Control: no-store\r\n", FLIGHT_RELEASED, FLIGHT_RELEASED},
	{503, "Set-Cookie: a=b\r\n", FLIGHT_RELEASED, FLIGHT_RELEASED},
	{503, "Vary: *\r\n", FLIGHT_RELEASED, FLIGHT_RELEASED}};

static void see_their_share(struct herd *h, const struct share_row *row)
{
	answer_with(&h->g, h->f, row->status, row->fields, "");
	assert_int_equal(phase_of(h, 1), row->same);
	assert_int_equal(phase_of(h, 2), row->other);
}

static void an_error_said_to_a_head_is_for_heads_that_wait_and_look_the_same(void **state)
{
	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(share_rows); k++) {
		struct herd h;

		rig_begin(&h.g);
		herd_begin_as(&h, "HEAD /a", NULL, NULL, "X-Odd: 1\r\n");
		assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_LEAD);
		see_their_share(&h, &share_rows[k]);
		assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_LEAD);
		herd_end(&h);
	}
}

static void a_head_that_failed_says_nothing_of_gets(void **state)
{
	struct herd h;

	(void)state;
	rig_begin(&h.g);
	herd_begin_as(&h, "HEAD /a", NULL, NULL, NULL);
	flight_fail(h.f, 504, h.g.now);
	assert_int_equal(phase_of(&h, 1), FLIGHT_FAILED);
	assert_int_equal(rig_verdict(&h.g, "GET /a", NULL), CACHE_LEAD);
	herd_end(&h);
}

/* A client's range brought it, of an origin that names no version. */
static void store_beginning(struct rig *g)
{
	struct flight *f;
	struct ask a;

	ask_init(g, &a, "GET /a", "Range: bytes=0-4\r\n");
	f = cache_keep(g->c, &a.r, rig_asked(g), g->now);
	assert_non_null(f);
	assert_int_equal(
		answer_with(g, f, 206, "Content-Range: bytes 0-4/20\r\nCache-Control: max-age=60\r\n", "ABCDE"),
		FLIGHT_STORES);
	flight_unref(&f);
	ask_fini(&a);
}

static void an_error_said_for_the_rest_of_a_part_is_shared_like_that_for_the_whole(void **state)
{
	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(share_rows); k++) {
		struct slice validator;
		struct herd h;
		uint64_t from;

		rig_begin(&h.g);
		store_beginning(&h.g);
		herd_begin_with(&h, NULL, NULL, "X-Odd: 1\r\n");
		assert_true(flight_tail(h.f, &from, &validator));
		assert_int_equal(validator.n, 0);
		see_their_share(&h, &share_rows[k]);
		herd_end(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_without_a_lifetime_answers_all_who_waited_and_is_not_stored),
		cmocka_unit_test(an_error_leaves_the_next_herd_together),
		cmocka_unit_test(what_is_uncacheable_by_nature_is_not_waited_for),
		cmocka_unit_test(an_error_that_may_not_be_shared_releases_all),
		cmocka_unit_test(who_comes_within_failure_memory_gets_the_response_of_an_origin_in_trouble),
		RIG_TEST(a_remembered_error_is_not_for_credentials_nor_beyond_a_purge_nor_for_another_variant),
		cmocka_unit_test(a_purge_of_a_remembered_error_is_not_forgotten),
		cmocka_unit_test(what_its_origin_calls_outdated_is_not_remembered),
		RIG_TEST(a_long_error_is_remembered_by_its_status_only),
		RIG_TEST(errors_remembered_take_a_bounded_part_of_memory_and_go_when_they_are_over),
		cmocka_unit_test(what_one_odd_request_caused_is_its_own),
		RIG_TEST(what_befell_two_befalls_all),
		cmocka_unit_test(a_purge_undoes_what_is_remembered),
		RIG_TEST(what_failed_before_a_purge_takes_no_place_of_what_failed_after_it),
		cmocka_unit_test(a_refresh_in_the_background_that_was_in_vain_rests),
		cmocka_unit_test(what_stands_in_is_for_those_whose_variant_it_is),
		cmocka_unit_test(what_is_purged_stands_in_no_more),
		cmocka_unit_test(of_two_forms_that_fail_one_after_the_other_nobody_waits_for_a_third),
		RIG_TEST(what_failed_long_before_the_second_was_sent_says_nothing_of_others),
		cmocka_unit_test(what_failed_before_it_was_sent_goes_for_all),
		cmocka_unit_test(who_waited_for_two_failures_is_told_the_second),
		RIG_TEST(too_many_requests_stays_with_its_form_whoever_failed_before),
		cmocka_unit_test(what_comes_too_late_is_not_remembered),
		cmocka_unit_test(the_proxys_own_words_make_no_form),
		RIG_TEST(too_many_requests_is_said_to_those_who_look_the_same),
		cmocka_unit_test(an_error_of_another_form_sends_the_others_on),
		RIG_TEST(ids_and_conditions_make_no_other_form),
		RIG_TEST(a_made_up_id_or_type_takes_nothing_from_who_has_none),
		RIG_TEST(the_clients_own_list_of_addresses_makes_another_form),
		RIG_TEST(the_clients_address_makes_no_other_form),
		cmocka_unit_test(shared_cookies_make_no_form_while_they_look_like_such),
		cmocka_unit_test(an_error_said_to_a_head_is_for_heads_that_wait_and_look_the_same),
		cmocka_unit_test(a_head_that_failed_says_nothing_of_gets),
		cmocka_unit_test(an_error_said_for_the_rest_of_a_part_is_shared_like_that_for_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
