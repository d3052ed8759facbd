/* SPDX-License-Identifier: MIT */
/* A command's conversation with the admin side of the running proxy: it is found, seen to be one before it is sent a token or told to do
 * anything, and asked as often as the command likes. What goes wrong is one sentence on standard error.
 * Thread: main; it blocks. Owns: its connection, and the last answer. Bounds: those of control.h. */
#ifndef PROXY_CONTROL_TALK_H
#define PROXY_CONTROL_TALK_H

#include <jansson.h>

#include "proxy/control/control.h"
#include "proxy/control/where.h"
#include "proxy/init/ask.h"

struct talk {
	const char *who; /* what a sentence begins with */
	struct where where;
	const char *field; /* of `where` */
	struct ask *ask;
	struct answer answer; /* the last one, as it came */
};

/* CONTROL_DONE, or how the command ends. talk_end is due either way. */
int talk_begin(struct talk *t, const struct control_order *o, const char *who) WARN_UNUSED;
void talk_end(struct talk *t);

/* An endpoint, with a form; *out is an object for json_decref, or NULL where none came. CONTROL_DONE, or how the command ends: after
 * CONTROL_REFUSED and CONTROL_USAGE, *out may be the problem that the proxy answered, which is not told yet. */
int talk_post(struct talk *t, const char *path, struct slice form, json_t **out) WARN_UNUSED;
int talk_get(struct talk *t, const char *path, struct slice query, json_t **out) WARN_UNUSED;
/* Prints "WHO: what more" and returns the status. */
int talk_say(const struct talk *t, int status, const char *what, const char *more);

/* Appends name=value to a form, with _ for the name's -; NULL: 1. */
void form_add(struct buf *form, const char *name, struct slice value);

#endif
