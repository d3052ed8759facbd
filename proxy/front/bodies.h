/* SPDX-License-Identifier: MIT */
/* Request bodies as they arrive, and the memory that all of them together may take.
 *
 * A body takes room before it grows. What it can't have it waits for, first come first served, while its client meets a
 * full window. All bodies but one share `pool`; that one, who waited longest when there was no room, has what is left of
 * the whole (`reserve`, the longest body that is accepted) to itself: so of any number of half-finished bodies that fill the
 * pool one can always be finished, and gives its place to the next.
 *
 *     most = pool + reserve     held by all but the one <= pool     held by the one <= reserve
 *
 * Thread: bodies: any; a body and its port: the worker's. Owns: a body its bytes, until the last buffer that refers to
 * them is gone. Bounds: `most`; what one takes is counted as allocated. Above 128 KiB it is mapped by itself, so that it
 * goes back to the system with the body. */
#ifndef PROXY_FRONT_BODIES_H
#define PROXY_FRONT_BODIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mailbox.h"

struct bodies;
struct body;
struct evbuffer;

struct body_port { /* one a worker */
	struct bodies *bodies;
	struct mailbox *mailbox;
	struct message message;
	struct link granted; /* guarded by the bodies' mu */
	uint64_t *bytes;     /* the worker's gauge: what its bodies take */
};

/* most: bytes of all bodies; reserve: the longest body, of which `most` is to hold at least one. 0 or -ENOMEM. */
int bodies_new(size_t most, size_t reserve, struct bodies **out) WARN_UNUSED;
/* No body is left. */
void bodies_free(struct bodies **b);
/* From now on; what is there stays. */
void bodies_set_bounds(struct bodies *b, size_t most, size_t reserve);
/* Whether a body waits for room. */
bool bodies_are_short(const struct bodies *b);

/* The mailbox's owner is who uses the port. `bytes` is written by it alone. */
void body_port_init(struct body_port *p, struct bodies *b, struct mailbox *mailbox, uint64_t *bytes);

/* longest: no more will be asked of it. on_room is called by message when what it waited for is there. port NULL: no bound.
 * 0 or -ENOMEM. */
int body_new(
	struct body_port *port, size_t longest, void (*on_room)(void *arg), void *arg, struct body **out) WARN_UNUSED;
/* Whether there is memory for n bytes more, which are no more than `longest` allows. 0; -EAGAIN: not now, on_room follows;
 * -ENOMEM. The body may have moved. */
int body_make_room(struct body **b, size_t n) WARN_UNUSED;
/* After body_make_room: takes n bytes from the buffer, or from p. */
void body_take(struct body *b, struct evbuffer *from, size_t n);
void body_add(struct body *b, const void *p, size_t n);
size_t body_length(const struct body *b);
/* Adds its bytes, in one piece, to the end of `to`, which has the body from then on. 0 or -ENOMEM: it is still here. */
int body_pass_on(struct body **b, struct evbuffer *to) WARN_UNUSED;
/* It may be waiting. NULL is nothing. */
void body_free(struct body **b);

#endif
