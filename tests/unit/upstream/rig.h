/* SPDX-License-Identifier: MIT */
/* A loop with one upstream at a scripted origin, and fetches that write down what happened to them.
 * Thread: the test's. */
#ifndef TESTS_UPSTREAM_RIG_H
#define TESTS_UPSTREAM_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <event2/event.h>

#include "base/buf.h"
#include "server.h"
#include "upstream/fetch.h"

struct rig {
	struct event_base *base;
	struct upstream_options upstream;
	struct upstream_loop_options options;
	struct upstream_loop *loop;
	char url[64];
	struct event *watchdog;
};

/* One fetch and what became of it. */
struct seen {
	struct rig *rig;
	struct fetch *fetch;
	int status, informational, heads, ends;
	int64_t content_length;
	enum fetch_result result;
	bool reused, framed, queued; /* its connection was used before; its end was marked; it did not begin at once */
	bool was_sent;
	enum fetch_cause cause;
	struct buf fields; /* "Name: value\n" of the head */
	struct buf body;
	char detail[256];
	unsigned pause_each; /* pause at every nth offer; 0: never */
	bool resume_at_once; /* ask to go on before returning PAUSE */
	unsigned offers, pauses;
	bool refuse_head, cancel_body;
	struct seen *cancel_other; /* from on_body */
	struct seen *start_other;  /* from on_head */
};

/* A scripted origin, the rig that has it as its upstream, and one fetch. */
struct scripted {
	struct server server;
	struct rig rig;
	struct seen seen;
};

void rig_defaults(struct rig *r, int port); /* change r->upstream, then rig_open */
void rig_open(struct rig *r);
void rig_close(struct rig *r);

void seen_init(struct seen *s, struct rig *r);
void seen_fini(struct seen *s);
struct fetch_request rig_request(const char *method, const char *target);
int rig_start(struct seen *s, const struct fetch_request *q);
/* Until s has ended; fails the test after 20 s. */
void rig_wait(struct seen *s);
/* Until *flag is true. */
void rig_wait_flag(struct rig *r, const bool *flag);
void rig_turn(struct rig *r); /* one turn of the loop that does not wait */
/* Start and wait. */
void rig_fetch(struct seen *s, const char *method, const char *target);
/* The same with a seen that is made anew. */
void rig_fetch_again(struct seen *s, const char *method, const char *target);
struct upstream_stats rig_stats(const struct rig *r);
bool seen_body_is(const struct seen *s, const char *text);

void scripted_prepare(struct scripted *w, script_fn *script); /* change w->rig.upstream, then rig_open and seen_init */
void scripted_open(struct scripted *w, script_fn *script);
void scripted_close(struct scripted *w);

#endif
