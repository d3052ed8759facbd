/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "cache/memory/wheel.h"

#define TIMERS 500

struct timer {
	struct link link;
	int64_t due;
	bool is_in;
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

static void add(struct wheel *w, struct timer *t)
{
	static const uint32_t spans[] = {10, 100, 10000, 1000000, 40000000};

	t->due = w->second + (int64_t)roll(spans[roll(5)]);
	t->is_in = true;
	wheel_add(w, &t->link);
}

/* Nothing is due too early, and after catching up nothing is left that is due. */
static void collect(struct wheel *w)
{
	while (!link_is_empty(&w->due)) {
		struct timer *t = CONTAINER_OF(w->due.next, struct timer, link);

		assert_true(t->due <= w->second);
		t->is_in = false;
		wheel_remove(w, &t->link);
	}
	for (int i = 0; i < TIMERS; i++)
		assert_true(!timers[i].is_in || timers[i].due > w->second);
}

static void everything_is_due_in_its_second_however_far_off(void **state)
{
	static const uint32_t steps[] = {1, 70, 5000, 300000};
	static struct wheel w;
	unsigned n = 0;

	(void)state;
	wheel_init(&w, 1000, due_of);
	for (int round = 0; round < 2000; round++) {
		struct timer *t = &timers[roll(TIMERS)];
		int64_t until = w.second + roll(1 + steps[roll(round % 100 == 0 ? 4 : 3)]);

		if (t->is_in) {
			t->is_in = false;
			wheel_remove(&w, &t->link);
		} else {
			add(&w, t);
		}
		while (w.second < until)
			wheel_advance(&w, until);
		collect(&w);
	}
	for (int i = 0; i < TIMERS; i++)
		n += timers[i].is_in;
	assert_int_equal(w.n, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_due_in_its_second_however_far_off),
	};

	return cmocka_run_group_tests_name("cache wheel", tests, NULL, NULL);
}
