/* SPDX-License-Identifier: MIT */
/* Requests from text, seen by a snapshot of a configuration from text. */
#ifndef TESTS_UNIT_PROXY_REQUEST_RIG_H
#define TESTS_UNIT_PROXY_REQUEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/request/target.h"

/* The configuration whole. */
struct snapshot *snapshot_of(const char *config);

/* "GET /a\r\nName: value\r\n": HTTP/1.1, `Host: h` where there is none, and the empty line are added. */
struct request {
	char text[8192];
	struct http_request http;
	struct target target;
};

/* Parsed only. */
void request_parse(struct request *r, const char *text);
/* And resolved, from 192.0.2.7 by plain http. */
void request_begin(struct request *r, struct snapshot *s, const char *text);
void request_end(struct request *r);

/* A response as the cache holds it: to GET of /stored by `s`. NULL body: its bytes are still to come, in `flight`. */
struct stored {
	struct cache *cache;
	struct mailbox mailbox, *mailboxes[1];
	struct request request;
	struct flight *flight;
	struct flight_waiter waiter;
	struct object *object;
	struct now now;
};
void stored_begin(struct stored *o, struct snapshot *s, const char *fields, const char *body);
void stored_add(struct stored *o, const char *body);
void stored_complete(struct stored *o);
void stored_end(struct stored *o);
/* "Name: value\r\n"... */
void fields_parse(struct http_fields *out, const char *text);

#endif
