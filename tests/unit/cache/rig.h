/* SPDX-License-Identifier: MIT */
/* What the cache's tests share: a cache with its own clock and mailboxes, requests written as text, responses as text.
 * Thread: the rig is one thread's; tests with threads say what they share. */
#ifndef TESTS_UNIT_CACHE_RIG_H
#define TESTS_UNIT_CACHE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cache/cache.h"
#include "cache/policy/key_body.h"
#include "http/syntax.h"

#define RIG_WORKERS 3

struct rig {
	struct cache *c;
	struct cache_options o;
	struct cache_rules rules;
	struct key_secret secret; /* of users' identities */
	struct slice tag_names[1];
	struct mailbox mailboxes[RIG_WORKERS];
	struct mailbox *mailbox_list[RIG_WORKERS];
	struct now now;
	struct cache_asked asked;
};

void rig_options(struct rig *g); /* fills o and rules; to be changed before rig_start */
void rig_start(struct rig *g);
void rig_begin(struct rig *g);   /* both */
void rig_end(struct rig *g);     /* delivers what is left and frees the cache, which checks for leaks */
void rig_restart(struct rig *g); /* another cache: o has been changed. (rules may change at any time) */
/* Of a test: *state is a rig that has begun, and ends with it. */
int rig_setup(void **state);
int rig_teardown(void **state);
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
void rig_deliver(struct rig *g);
/* For a response whose request went upstream just now. */
const struct cache_asked *rig_asked(struct rig *g);

/* A request with its key. */
struct ask {
	char text[4096];
	struct http_request http;
	struct cache_key key;
	struct cache_request r;
	struct cache_result out;
};
/* "GET /a" and further field lines, each ended by \r\n, or NULL. Worker 0. */
void ask_init(struct rig *g, struct ask *a, const char *method_and_target, const char *fields);
void ask_fini(struct ask *a); /* drops the result's references too */
enum cache_verdict ask_lookup(struct rig *g, struct ask *a);
/* Both. */
enum cache_verdict ask_for(struct rig *g, struct ask *a, const char *method_and_target, const char *fields);
/* Init, look up, fini, for verdicts that need no more. */
enum cache_verdict rig_verdict(struct rig *g, const char *method_and_target, const char *fields);

enum flight_fate rig_answer(struct rig *g, struct flight *f, int status, const char *fields, int64_t content_length,
	enum policy_store *why);
/* Leads, answers 200 with those fields and that body, ends. */
void rig_store(struct rig *g, const char *target, const char *request_fields, const char *fields, const char *body);
void rig_body_is(const struct object *o, const char *body);
bool rig_head_has(const struct object *o, const char *line);
struct cache_stats rig_stats(struct rig *g);

struct waiter {
	struct flight_waiter w;
	unsigned told;
};
void waiter_join(struct waiter *w, struct ask *a, unsigned worker);
struct flight_view waiter_look(struct waiter *w);

/* A leader and two others, on workers 0, 1 and 2, who wait for the same: GET /a, or that request, with those fields of theirs. */
#define HERD 3
struct herd {
	struct rig g;
	struct ask a[HERD];
	struct waiter w[HERD];
	struct flight *f;
};
void herd_begin(struct herd *h); /* its rig, too */
void herd_begin_with(struct herd *h, const char *first, const char *second, const char *third);
void herd_begin_as(struct herd *h, const char *request, const char *first, const char *second, const char *third);
void herd_end(struct herd *h); /* and the rig */

#endif
