/* SPDX-License-Identifier: MIT */
/* A server of evhttp behind a gate, and raw clients, all on one loop: what the gate's tests share.
 * Thread: one. Bounds: wait_for fails the test after 20 s. */
#ifndef TESTS_GATE_RIG_H
#define TESTS_GATE_RIG_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxy/front/gate_internal.h"

struct client {
	struct bufferevent *bev;
	struct evbuffer *in; /* all that came */
	char *text;          /* the same, for client_text */
	bool eof, failed;
};

/* One request that the server has not answered yet. */
struct served {
	struct evhttp_request *req;
	struct gate *g;
	uint64_t left; /* of a /bulk response */
	bool gone, complete;
};

struct rig {
	struct event_base *base;
	struct front *front;
	uint16_t port;
	struct gate_options options;
	struct gate_stats stats;
	struct admission *admission; /* a test's; freed here */
	struct served held[4096];    /* of /hold, /stream and /bulk, in the order in which they came */
	unsigned held_n, requests, completed, gone, refused, refused_status, hits;
	char last_method[32], last_target[128], last_body[256];
	size_t last_body_n, most_unsent; /* the latter: behind hits */
};

void rig_listen(struct rig *r); /* on a port of its own, which new clients go to */

/* The group's set-up and tear-down of each test: *state is the rig. */
int rig_setup(void **state);
int rig_teardown(void **state);

struct client *client_new(struct rig *r);
struct client *client_with_buffer(struct rig *r, int receive_bytes);
void client_free(struct client *c);  /* an orderly close */
void client_reset(struct client *c); /* RST, and frees it */
void client_send(struct client *c, const char *text);
void client_send_bytes(struct client *c, const char *p, size_t n);
void client_half_close(struct client *c);
const char *client_text(struct client *c);
unsigned client_count(struct client *c, const char *needle);
void client_forget(struct client *c);

/* Runs the loop until the condition holds. */
#define wait_for(r, condition)                                                 \
	do {                                                                   \
		rig_start_watch(r);                                            \
		while (!(condition))                                           \
			if (!rig_turn(r))                                      \
				fail_msg("waited in vain for %s", #condition); \
	} while (0)
void rig_start_watch(struct rig *r);
bool rig_turn(struct rig *r);
/* Lets everything that can happen at once happen. */
void rig_settle(struct rig *r);

#define assert_has(c, needle) assert_true_msg(strstr(client_text(c), needle) != NULL, client_text(c), needle)
#define assert_lacks(c, needle) assert_true_msg(strstr(client_text(c), needle) == NULL, client_text(c), needle)
#define assert_true_msg(condition, text, needle)                                    \
	do {                                                                        \
		if (!(condition))                                                   \
			fail_msg("%s: \"%s\" in \"%s\"", #condition, needle, text); \
	} while (0)

/* Answers a held request with 200 and the text. */
void rig_release(struct rig *r, unsigned i, const char *text);
void rig_start(struct rig *r, unsigned i, const char *content_length);
void rig_chunk(struct rig *r, unsigned i, const char *text);
void rig_finish(struct rig *r, unsigned i);

#endif
