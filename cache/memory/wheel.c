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
	w->due_second = due_second;
}

static void place(struct wheel *w, struct link *l)
{
	int64_t due_second = w->due_second(l);
	int64_t wait = due_second - w->second, span = WHEEL_SLOTS;
	int shift = 0, level = 0;

	if (wait <= 0) {
		link_append(&w->due, l);
		return;
	}
	for (; level < WHEEL_LEVELS - 1 && wait >= span; level++) {
		span *= WHEEL_SLOTS;
		shift += 6;
	}
	if (wait >= span) /* the top level wraps: the furthest slot is the best it can say */
		due_second = w->second + span - 1;
	link_append(&w->slots[level][(due_second >> shift) & (WHEEL_SLOTS - 1)], l);
}

void wheel_add(struct wheel *w, struct link *l)
{
	w->n++;
	place(w, l);
}

void wheel_remove(struct wheel *w, struct link *l)
{
	w->n--;
	link_remove(l);
}

/* Spreads a slot of a higher level over those below. What is due in this very second goes to `due`. */
static void cascade(struct wheel *w, int level)
{
	struct link *slot = &w->slots[level][(w->second >> 6 * level) & (WHEEL_SLOTS - 1)], moved;

	if (link_is_empty(slot))
		return;
	moved = *slot;
	moved.prev->next = &moved;
	moved.next->prev = &moved;
	link_init(slot);
	while (!link_is_empty(&moved)) {
		struct link *l = moved.next;

		link_remove(l);
		place(w, l);
	}
}

static void turn(struct wheel *w)
{
	w->second++;
	for (int level = WHEEL_LEVELS - 1; level > 0; level--)
		if ((w->second & (((int64_t)1 << 6 * level) - 1)) == 0)
			cascade(w, level);
	cascade(w, 0);
}

#define TURNS_MAX 4096

void wheel_advance(struct wheel *w, int64_t second)
{
	if (w->n == 0 && second > w->second)
		w->second = second;
	for (int i = 0; i < TURNS_MAX && w->second < second; i++)
		turn(w);
}
