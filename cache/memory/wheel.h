/* SPDX-License-Identifier: MIT */
/* Timing wheels of seconds: who is due, without ordering all. A slot of level k is 2^k seconds wide and becomes due as a whole when
 * it has passed, so nothing is ever moved from level to level, however many are in it: a link is put in once and taken out
 * once. What it costs is precision: never early, and late by less than a thirtieth of the wait.
 * Thread: one at a time. Owns: nothing; links are embedded. Bounds: a deadline further off than 64 * 2^18 s is looked
 * at again by then. wheel_advance moves slots, not links: at most all of them, whatever time has passed. */
#ifndef CACHE_MEMORY_WHEEL_H
#define CACHE_MEMORY_WHEEL_H

#include <stdint.h>

#include "base/list.h"

#define WHEEL_LEVELS 19
#define WHEEL_SLOTS 64

struct wheel {
	struct link slots[WHEEL_LEVELS][WHEEL_SLOTS];
	struct link due; /* whose time has come */
	int64_t second;
	uint64_t n;                                  /* links in slots and due */
	uint64_t steps;                              /* links and slots that were moved so far */
	int64_t (*due_second)(const struct link *l); /* set once: must not change while the link is in the wheel */
};

void wheel_init(struct wheel *w, int64_t second, int64_t (*due_second)(const struct link *l));
void wheel_add(struct wheel *w, struct link *l);
void wheel_remove(struct wheel *w, struct link *l);
/* Moves to `due` what is due by then. A second that has been is passed over. */
void wheel_advance(struct wheel *w, int64_t second);
/* Of one in `due`: it was further off than the wheel reaches, and waits on. */
bool wheel_put_back(struct wheel *w, struct link *l);

#endif
