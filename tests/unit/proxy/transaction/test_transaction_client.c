/* SPDX-License-Identifier: MIT */
/* Clients that are slow, and clients that leave: nobody else waits for them, and nothing stays behind. */
#include "tests/unit/proxy/transaction/transaction_rig.h"

#include <stdlib.h>

enum { MARK = 1000 };

static char *pattern(size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)('a' + i % 26);
	p[n] = '\0';
	return p;
}

/* ---- Slow ---- */

/* Takes some, now and then, and never has more waiting than its mark and one piece of what arrives. */
static void take_slowly(struct rig *g, struct recorder *r, size_t most)
{
	for (unsigned i = 0; i < 10000 && r->how == RECORDER_OPEN; i++) {
		assert_true(r->unsent_n <= most);
		recorder_take(r, 300);
		rig_turn(g);
	}
	r->is_stuck = false;
	rig_turn(g);
}

static void a_slow_client_gets_no_more_than_it_has_room_for(void **state)
{
	struct rig *g = *state;
	struct recorder *slow = rig_client(g, "GET /a", NULL), *quick;
	char *text = pattern(5000);

	slow->mark = MARK;
	slow->is_stuck = true;
	rig_begin_client(g, slow, 0, RIG_AS_GATE);
	quick = rig_send(g, 1, RIG_AS_GATE, "GET /a", NULL);
	fake_head(fake_fetch(0), 200, "Content-Length: 5000\r\n");
	rig_turn(g);
	fake_body_text(fake_fetch(0), text);
	fake_end(fake_fetch(0), FETCH_OK);
	rig_turn(g);
	recorder_got(quick, 200, text);
	assert_int_equal(fake_fetch(0)->state, FAKE_ENDED); /* the upstream need not wait */
	assert_int_equal(slow->unsent_n, MARK);
	take_slowly(g, slow, MARK);
	recorder_got(slow, 200, text);
	free(text);
}

static void a_slow_client_holds_up_what_is_its_own(void **state)
{
	struct rig *g = *state;
	struct recorder *r = rig_client(g, "GET /a", NULL);
	char *text = pattern(20000);
	struct fetch *f;

	r->mark = MARK;
	r->is_stuck = true;
	rig_begin_client(g, r, 0, RIG_AS_GATE);
	f = fake_fetch(0);
	fake_head(f, 200, "Cache-Control: private\r\nContent-Length: 20000\r\n");
	for (unsigned i = 0; i < 40; i++)
		fake_body(f, text + 500 * (size_t)i, 500);
	fake_end(f, FETCH_OK);
	rig_turn(g);
	assert_int_equal(f->state, FAKE_RUNNING);
	assert_true(f->is_paused);
	assert_int_equal(r->unsent_n, MARK);
	take_slowly(g, r, 20000);
	recorder_got(r, 200, text);
	assert_int_equal(f->state, FAKE_ENDED);
	free(text);
}

/* ---- Longer than is stored: it passes by, at the pace of the slowest ---- */

#define SMALL_CACHE "[cache]\nmemory = 1M\nmax_object = 64K\n[route all]\nmatch = /*\nttl = 60s\n"
enum { LARGE = 4 << 20, PIECE = 16384 };

static void feed(struct rig *g, struct fetch *f, const char *text, size_t *at)
{
	while (*at < LARGE && f->state == FAKE_RUNNING && !f->is_paused) {
		fake_body(f, text + *at, PIECE);
		*at += PIECE;
		rig_turn(g);
	}
}

/* Two clients of what is too large to be stored, of which one takes nothing: as far as the fetch goes on. */
static struct fetch *begin_large(
	struct rig *g, struct recorder **slow, struct recorder **quick, const char *text, size_t *at)
{
	struct fetch *f;

	rig_begin(g, SMALL_CACHE);
	*slow = rig_client(g, "GET /a", NULL);
	(*slow)->mark = MARK;
	(*slow)->is_stuck = true;
	rig_begin_client(g, *slow, 0, RIG_AS_GATE);
	*quick = rig_send(g, 1, RIG_AS_GATE, "GET /a", NULL);
	f = fake_fetch(0);
	fake_head(f, 200, "Transfer-Encoding: chunked\r\n");
	feed(g, f, text, at);
	assert_true(f->is_paused);
	return f;
}

static void what_is_too_large_waits_for_the_slowest(void **state)
{
	struct rig g;
	struct recorder *slow, *quick;
	char *text = pattern(LARGE);
	size_t at = 0;
	struct fetch *f;

	(void)state;
	f = begin_large(&g, &slow, &quick, text, &at);
	assert_true(at < LARGE / 2); /* not all of it lies here */
	assert_int_equal(fake_fetches(), 1);
	slow->is_stuck = false;
	for (unsigned i = 0; i < 1000 && at < LARGE; i++) {
		rig_turn(&g);
		feed(&g, f, text, &at);
	}
	assert_int_equal(at, LARGE);
	rig_turn(&g);
	fake_end(f, FETCH_OK);
	rig_turn(&g);
	recorder_got(slow, 200, text);
	recorder_got(quick, 200, text);
	assert_int_equal(rig_stats(&g).stored, 0);
	rig_end(&g);
	free(text);
}

static void who_leaves_holds_nobody_up(void **state)
{
	struct rig g;
	struct recorder *slow, *quick;
	char *text = pattern(LARGE);
	size_t at = 0;
	struct fetch *f;

	(void)state;
	f = begin_large(&g, &slow, &quick, text, &at);
	recorder_leave(slow);
	rig_turn(&g);
	assert_false(f->is_paused);
	feed(&g, f, text, &at);
	fake_end(f, FETCH_OK);
	rig_turn(&g);
	recorder_got(quick, 200, text);
	rig_end(&g);
	free(text);
}

static void what_nobody_wants_and_nobody_stores_is_not_fetched_on(void **state)
{
	struct rig g;
	char *text = pattern(LARGE);
	size_t at = 0;
	struct fetch *f;

	(void)state;
	rig_begin(&g, SMALL_CACHE);
	rig_ask(&g, "GET /a");
	f = fake_fetch(0);
	fake_head(f, 200, "Transfer-Encoding: chunked\r\n");
	recorder_leave(g.clients[0]);
	feed(&g, f, text, &at);
	assert_int_equal(f->state, FAKE_ENDED);
	assert_int_equal(f->result, FETCH_CANCELLED);
	assert_true(at < LARGE / 2);
	rig_end(&g);
	free(text);
}

/* ---- Gone ---- */

enum { STEPS = 6 };

static const struct {
	const char *request, *fields;
	unsigned cancelled_from; /* the step from which the fetch ends with its client; before it, it goes on */
	bool is_stored;
} kinds[] = {
	{"GET /a", "Content-Length: 6\r\n", STEPS, true},
	{"GET /a", "Transfer-Encoding: chunked\r\n", STEPS, true},
	/* Until its head is here it may turn out to be for others. */
	{"GET /a\r\nAuthorization: Basic eDp5\r\n", "Content-Length: 6\r\n", 2, false},
	{"PROPFIND /a", "Content-Length: 6\r\n", 0, false},
	/* A write happens, whoever listens. */
	{"POST /a\r\nContent-Length: 5\r\n", "Content-Length: 6\r\n", STEPS, false},
};

static void step(struct rig *g, struct fetch *f, unsigned kind, unsigned i)
{
	if (f->state != FAKE_RUNNING)
		return;
	switch (i) {
	case 1:
		fake_informational(f, 103, "Link: </a>\r\n");
		break;
	case 2:
		fake_head(f, 200, kinds[kind].fields);
		break;
	case 3:
		fake_body_text(f, "abc");
		break;
	case 4:
		fake_body_text(f, "def");
		break;
	case 5:
		fake_end(f, FETCH_OK);
		break;
	default:
		break;
	}
	rig_turn(g);
}

/* The client leaves after that many steps. It has taken nothing, so that even the last word waits for it. */
static void leave_after(unsigned kind, unsigned steps)
{
	struct recorder *r;
	struct fetch *f;
	struct rig g;
	bool is_ended;

	rig_begin(&g, NULL);
	r = rig_client(&g, kinds[kind].request, strchr(kinds[kind].request, 'L') ? "hello" : NULL);
	r->is_stuck = true;
	rig_begin_client(&g, r, 0, RIG_AS_GATE);
	rig_turn(&g);
	f = fake_fetch(0);
	for (unsigned i = 1; i <= steps; i++)
		step(&g, f, kind, i);
	is_ended = f->state == FAKE_ENDED;
	recorder_leave(r);
	assert_int_equal(f->state, is_ended                             ? FAKE_ENDED
				   : steps < kinds[kind].cancelled_from ? FAKE_RUNNING
									: FAKE_CANCELLED);
	for (unsigned i = steps + 1; i < STEPS; i++)
		step(&g, f, kind, i);
	assert_int_equal(g.workers[0].transactions_n, 0);
	assert_int_equal(g.workers[0].stats.clients_gone, 1);
	assert_int_equal(rig_stats(&g).stored, kinds[kind].is_stored);
	if (kinds[kind].is_stored)
		recorder_got(rig_ask(&g, "GET /a"), 200, "abcdef");
	rig_end(&g);
}

static void a_client_may_leave_at_any_moment(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++)
		for (unsigned steps = 0; steps < STEPS; steps++)
			leave_after(kind, steps);
}

static void a_client_may_leave_a_hit(void **state)
{
	struct rig *g = *state;

	rig_store(g, "GET /a", "", "abc");
	for (enum rig_way way = RIG_AS_GATE; way <= RIG_BY_TRANSACTION; way++) {
		struct recorder *r = rig_client(g, "GET /a", NULL);

		r->is_stuck = true;
		rig_begin_client(g, r, 0, way);
		rig_turn(g);
		recorder_leave(r);
	}
	assert_int_equal(g->workers[0].transactions_n, 0);
}

/* ---- A transport that has no memory ---- */

/* The nth piece can't be added: what has begun is cut, what has not is refused, and nothing short passes for whole. */
static void a_piece_that_is_not_taken_ends_the_response(void **state)
{
	struct rig *g = *state;

	for (unsigned kind = 0; kind < 3; kind++) /* from the store, led, alone */
		for (unsigned at = 1; at <= 3; at++) {
			unsigned n = fake_fetches();
			struct recorder *r =
				rig_client(g, kind == 0 ? "GET /stored\r\nRange: bytes=0-0, 2-2\r\n" : "GET /a", NULL);

			if (kind == 0 && n == 0) {
				rig_store(g, "GET /stored", "", "abc");
				n++;
			}
			r->fails_at_add = at;
			rig_begin_client(g, r, 0, RIG_BY_TRANSACTION);
			if (kind) {
				fake_head(fake_fetch(n), 200, kind == 1 ? "" : "Cache-Control: private\r\n");
				for (unsigned i = 0; i < 3; i++) {
					fake_body_text(fake_fetch(n), "x");
					rig_turn(g);
				}
				fake_end(fake_fetch(n), FETCH_OK);
			}
			rig_turn(g);
			assert_int_equal(r->how, kind == 0 ? RECORDER_REFUSED : RECORDER_ABORTED);
			assert_int_equal(r->body.n, kind == 0 ? 0 : at - 1);
			rig_purge(g, "http://o.example/a", false);
		}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_slow_client_gets_no_more_than_it_has_room_for),
		TEST(a_slow_client_holds_up_what_is_its_own),
		cmocka_unit_test(what_is_too_large_waits_for_the_slowest),
		cmocka_unit_test(who_leaves_holds_nobody_up),
		cmocka_unit_test(what_nobody_wants_and_nobody_stores_is_not_fetched_on),
		cmocka_unit_test(a_client_may_leave_at_any_moment),
		TEST(a_client_may_leave_a_hit),
		TEST(a_piece_that_is_not_taken_ends_the_response),
	};

	return cmocka_run_group_tests_name("transaction_client", tests, NULL, NULL);
}
