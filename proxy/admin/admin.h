/* The admin listener: health, purge, refresh, stats, entries, explain. An evhttp of its own on main's loop, behind a gate
 * of its own; what needs a worker goes there and back by letter.
 * Thread: main. Owns: its listener and the letters in flight. Bounds: ADMIN_CALLS_MAX, and
 * CONNECTIONS_MAX, of which the longest idle one makes place for the next. */
#ifndef PROXY_ADMIN_ADMIN_H
#define PROXY_ADMIN_ADMIN_H

#include <stdbool.h>

#include "base/check.h"

struct admin;
struct server;

/* 0 with *out NULL where no admin listen is set. */
int admin_start(struct server *s, struct admin **out) WARN_UNUSED;
/* Its connections go; their last bytes, and the gates that read our options, with the event base. NULL is harmless. */
void admin_stop(struct admin *a);
/* After the event base. */
void admin_free(struct admin **a);
/* No further connections; those that are open go after the answer to what was asked on them, idle ones now. NULL is harmless. */
void admin_drain(struct admin *a);
/* Is none left? */
bool admin_is_drained(const struct admin *a);
/* The server's snapshot is another one: its limits and time-outs count from now on. NULL is harmless. */
void admin_reconfigure(struct admin *a);

#endif
