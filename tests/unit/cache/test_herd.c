/* SPDX-License-Identifier: MIT */
/* Many who wait for the same on one worker: they are told as many at a time as a delivery has steps, in the order in which
 * they came, and nobody misses anything. */
#include "rig.h"

#include <string.h>

#include "cache/cache_internal.h"

#define FRESH "Cache-Control: max-age=60\r\n"
#define MANY (3 * MAILBOX_STEPS)

struct one {
	struct flight_waiter w;
	struct ask *a;
	unsigned told;
	uint64_t seen;                     /* bytes, when it was told last */
	struct flight_waiter *takes_along; /* leaves when this one is told */
};

struct crowd {
	struct rig g;
	struct ask a, other;
	struct one v[MANY], of_other;
	unsigned order[4 * MANY], order_n;
};

static struct crowd *herd;

static void on_progress(struct flight_waiter *w)
{
	struct one *o = CONTAINER_OF(w, struct one, w);
	struct flight_view view;

	flight_look(w, &view);
	o->told++;
	if (view.object)
		(void)object_body_state(view.object, &o->seen);
	herd->order[herd->order_n++] = (unsigned)(o - herd->v);
	if (o->takes_along)
		flight_leave(o->takes_along);
}

static void join(struct one *o, struct ask *a)
{
	*o = (struct one){.w.on_progress = on_progress, .a = a};
	flight_wait(a->out.flight, 0, &a->http.fields, &o->w);
}

static int crowd_begin(void **state)
{
	herd = test_calloc(1, sizeof(*herd));
	rig_begin(&herd->g);
	ask_init(&herd->g, &herd->a, "GET /a", NULL);
	ask_init(&herd->g, &herd->other, "GET /b", NULL);
	assert_int_equal(ask_lookup(&herd->g, &herd->a), CACHE_LEAD);
	assert_int_equal(ask_lookup(&herd->g, &herd->other), CACHE_LEAD);
	for (unsigned i = 0; i < MANY; i++)
		join(&herd->v[i], &herd->a);
	join(&herd->of_other, &herd->other);
	*state = herd;
	return 0;
}

static int crowd_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		flight_leave(&herd->v[i].w);
	flight_leave(&herd->of_other.w);
	flight_abandon(herd->a.out.flight);
	flight_abandon(herd->other.out.flight);
	ask_fini(&herd->a);
	ask_fini(&herd->other);
	rig_end(&herd->g);
	test_free(herd);
	return 0;
}

static bool deliver(void)
{
	return mailbox_deliver(&herd->g.mailboxes[0]);
}

static void answer(struct ask *a)
{
	assert_int_equal(rig_answer(&herd->g, a->out.flight, 200, FRESH, -1, NULL), FLIGHT_STORES);
}

static void a_turn_tells_as_many_as_it_has_steps_for_in_the_order_of_coming(void **state)
{
	(void)state;
	answer(&herd->a);
	deliver();
	assert_int_equal(herd->order_n, MAILBOX_STEPS);
	answer(&herd->other);
	rig_deliver(&herd->g);
	assert_int_equal(herd->order_n, MANY + 1);
	/* The other's one waits for the herd's next turn, not for all of the herd. */
	assert_ptr_equal(&herd->v[herd->order[2 * MAILBOX_STEPS]], &herd->of_other);
	for (unsigned i = 0, n = 0; i < herd->order_n; i++)
		if (herd->order[i] < MANY)
			assert_int_equal(herd->order[i], n++);
}

/* Those that were told already are told again; those that were not see both at once, or are told twice. */
static void what_is_news_in_the_midst_reaches_all(void **state)
{
	(void)state;
	answer(&herd->a);
	deliver();
	flight_body(herd->a.out.flight, "abcd", 4);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(herd->v[i].told, i < MAILBOX_STEPS);
	rig_deliver(&herd->g);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(herd->v[i].seen, 4);
	/* A body that grows with each turn keeps nobody from being told. */
	herd->order_n = 0;
	for (unsigned turn = 1; turn <= MANY / MAILBOX_STEPS; turn++) {
		flight_body(herd->a.out.flight, "e", 1);
		deliver();
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_true(herd->v[i].seen > 4);
	assert_int_equal(herd->order_n, MANY);
}

static void who_leaves_in_the_midst_is_passed_by_and_who_comes_has_seen_it(void **state)
{
	static struct one late;

	(void)state;
	/* The next one, the first of the next turn, and the last. */
	herd->v[1].takes_along = &herd->v[2].w;
	herd->v[3].takes_along = &herd->v[MAILBOX_STEPS + 1].w;
	herd->v[4].takes_along = &herd->v[MANY - 1].w;
	answer(&herd->a);
	deliver();
	join(&late, &herd->a);
	flight_leave(&herd->v[MAILBOX_STEPS + 2].w);
	rig_deliver(&herd->g);
	assert_int_equal(late.told, 0);
	assert_int_equal(herd->order_n, MANY - 4);
	flight_body(herd->a.out.flight, "x", 1);
	rig_deliver(&herd->g);
	assert_int_equal(late.seen, 1);
	flight_leave(&late.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_turn_tells_as_many_as_it_has_steps_for_in_the_order_of_coming, crowd_begin, crowd_end),
		cmocka_unit_test_setup_teardown(what_is_news_in_the_midst_reaches_all, crowd_begin, crowd_end),
		cmocka_unit_test_setup_teardown(
			who_leaves_in_the_midst_is_passed_by_and_who_comes_has_seen_it, crowd_begin, crowd_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
