/* SPDX-License-Identifier: MIT */
/* A hierarchical timing wheel of seconds: who is due, without ordering all.
 * Thread: one at a time. Owns: nothing; links are embedded. Bounds: a deadline further off than
 * 64^4 s is looked at again by then. */
#ifndef CACHE_MEMORY_WHEEL_H
#define CACHE_MEMORY_WHEEL_H

#include <stdint.h>

#include "base/list.h"

#define WHEEL_LEVELS 4
#define WHEEL_SLOTS 64

struct wheel {
	struct link slots[WHEEL_LEVELS][WHEEL_SLOTS];
	struct link due; /* whose time has come */
	int64_t second;
	uint64_t n;                                  /* links in slots and due */
	int64_t (*due_second)(const struct link *l); /* set once: must not change while the link is in the wheel */
};

void wheel_init(struct wheel *w, int64_t second, int64_t (*due_second)(const struct link *l));
void wheel_add(struct wheel *w, struct link *l);
void wheel_remove(struct wheel *w, struct link *l);
/* Moves to `due` what is due by then; a long pause is made up for in several calls. */
void wheel_advance(struct wheel *w, int64_t second);

#endif
