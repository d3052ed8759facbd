/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "cache/memory/wheel.h"

#define TIMERS 500

struct timer {
	struct link link;
	int64_t due, at_latest;
	bool is_in, is_far; /* further off than the wheel reaches */
};

static struct timer timers[TIMERS];
static uint32_t dice = 7;

static uint32_t roll(uint32_t n)
{
	dice = dice * 1664525u + 1013904223u;
	return (dice >> 4) % n;
}

static int64_t due_of(const struct link *l)
{
	return CONTAINER_OF(l, const struct timer, link)->due;
}

/* Late by less than a thirtieth of the wait; one that the wheel does not reach is added anew when its slot has passed. */
static int64_t latest(const struct wheel *w, int64_t due)
{
	int64_t wait = due > w->second ? due - w->second : 0;

	return due + wait / 30;
}

static void add(struct wheel *w, struct timer *t)
{
	static const uint32_t spans[] = {10, 100, 10000, 1000000, 40000000};
	uint32_t span = spans[roll(5)];

	t->due = w->second - 3 + (int64_t)roll(span);
	t->at_latest = latest(w, t->due);
	t->is_in = true;
	t->is_far = t->due - w->second >= (int64_t)(WHEEL_SLOTS - 2) << (WHEEL_LEVELS - 1);
	wheel_add(w, &t->link);
}

/* Nothing is due too early, and nothing is left that should have been due. */
static void collect(struct wheel *w)
{
	while (!link_is_empty(&w->due)) {
		struct timer *t = CONTAINER_OF(w->due.next, struct timer, link);

		if (wheel_put_back(w, &t->link)) {
			assert_true(t->is_far && t->due > w->second);
			continue;
		}
		assert_true(t->due <= w->second);
		t->is_in = false;
		wheel_remove(w, &t->link);
	}
	for (int i = 0; i < TIMERS; i++)
		assert_true(!timers[i].is_in || (timers[i].due > w->second || timers[i].at_latest > w->second));
}

static void play(struct wheel *w, int64_t first_second)
{
	static const uint32_t steps[] = {1, 70, 5000, 300000, 30000000};
	unsigned n = 0;

	memset(timers, 0, sizeof(timers));
	wheel_init(w, first_second, due_of);
	for (int round = 0; round < 5000; round++) {
		struct timer *t = &timers[roll(TIMERS)];
		int64_t second = w->second + roll(1 + steps[roll(round % 100 == 0 ? 5 : 3)]);

		if (t->is_in) { /* taken out, or renewed */
			t->is_in = false;
			wheel_remove(w, &t->link);
		}
		if (roll(3) > 0)
			add(w, t);
		wheel_advance(w, round % 50 == 7 ? w->second - 5 : second);
		collect(w);
	}
	for (int i = 0; i < TIMERS; i++)
		n += timers[i].is_in;
	assert_int_equal(w->n, n);
}

static void everything_is_due_when_it_should_be_however_far_off(void **state)
{
	static struct wheel w;

	(void)state;
	play(&w, 0);
	play(&w, 1000);
	play(&w, ((int64_t)1 << 33) - 100);
}

/* Of many that are due in one second, or in the second of a boundary, or wait behind it, none is moved but by its owner. */
static void time_moves_slots_and_not_what_is_in_them(void **state)
{
	static struct timer many[20000];
	static struct wheel w;
	uint64_t before;

	(void)state;
	wheel_init(&w, 0, due_of);
	for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
		many[i].due = i % 4 == 0 ? 4096 + 7 : 4096 + i;
		wheel_add(&w, &many[i].link);
	}
	assert_int_equal(w.steps, ARRAY_LEN(many));
	for (int64_t second = 1; second < 30000; second++) {
		before = w.steps;
		wheel_advance(&w, second);
		assert_in_range(w.steps - before, 0, WHEEL_LEVELS);
	}
	before = w.steps;
	wheel_advance(&w, 1000000000);
	assert_in_range(w.steps - before, 0, WHEEL_LEVELS * WHEEL_SLOTS);
	while (!link_is_empty(&w.due))
		wheel_remove(&w, w.due.next);
	assert_int_equal(w.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_due_when_it_should_be_however_far_off),
		cmocka_unit_test(time_moves_slots_and_not_what_is_in_them),
	};

	return cmocka_run_group_tests_name("cache wheel", tests, NULL, NULL);
}
