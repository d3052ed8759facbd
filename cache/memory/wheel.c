/* SPDX-License-Identifier: MIT */
#include "cache/memory/wheel.h"

void wheel_init(struct wheel *w, int64_t second, int64_t (*due_second)(const struct link *l))
{
	for (int level = 0; level < WHEEL_LEVELS; level++)
		for (int i = 0; i < WHEEL_SLOTS; i++)
			link_init(&w->slots[level][i]);
	link_init(&w->due);
	w->second = second;
	w->n = 0;
	w->steps = 0;
	w->due_second = due_second;
}

/* The lowest level that reaches so far. Rounded up to the end of a slot: it is never due too early, unless even the top
 * level does not reach. */
static struct link *slot_for(struct wheel *w, int64_t due_second)
{
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		int64_t at = (due_second - 1) >> level, now = w->second >> level;

		if (at + 1 - now < WHEEL_SLOTS)
			return &w->slots[level][(at + 1) & (WHEEL_SLOTS - 1)];
	}
	return &w->slots[WHEEL_LEVELS - 1][((w->second >> (WHEEL_LEVELS - 1)) - 1) & (WHEEL_SLOTS - 1)];
}

static void place(struct wheel *w, struct link *l)
{
	int64_t due_second = w->due_second(l);

	w->steps++;
	link_append(due_second <= w->second ? &w->due : slot_for(w, due_second), l);
}

void wheel_add(struct wheel *w, struct link *l)
{
	w->n++;
	place(w, l);
}

void wheel_remove(struct wheel *w, struct link *l)
{
	w->n--;
	w->steps++;
	link_remove(l);
}

void wheel_advance(struct wheel *w, int64_t second)
{
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		int64_t from = w->second >> level, to = second >> level;

		if (from >= to)
			break; /* nor has a wider slot passed */
		if (to - from > WHEEL_SLOTS)
			from = to - WHEEL_SLOTS;
		for (w->steps += (uint64_t)(to - from); from < to; from++)
			link_splice(&w->due, &w->slots[level][(from + 1) & (WHEEL_SLOTS - 1)]);
	}
	if (second > w->second)
		w->second = second;
}

bool wheel_put_back(struct wheel *w, struct link *l)
{
	if (w->due_second(l) <= w->second)
		return false;
	link_remove(l);
	place(w, l);
	return true;
}
