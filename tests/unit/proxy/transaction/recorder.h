/* SPDX-License-Identifier: MIT */
/* A client without a socket: the transport that writes down what it is told, and fails the test where the order of the calls is
 * not what transport.h draws.
 * Thread: the test's. Owns: its request, and all that was added to it, references included, until the client takes it. */
#ifndef TESTS_UNIT_PROXY_TRANSACTION_RECORDER_H
#define TESTS_UNIT_PROXY_TRANSACTION_RECORDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/front/transport.h"

enum recorder_end {
	RECORDER_OPEN,
	RECORDER_WHOLE, /* `end` */
	RECORDER_REFUSED,
	RECORDER_ABORTED,
};

struct recorder {
	struct transport transport;
	struct http_request request;
	char *text; /* that the request is parsed from */
	struct evbuffer *request_body;

	/* What was said. */
	int status;
	bool is_unframed;
	struct buf head;    /* status line and field lines */
	struct buf body;    /* that the client has taken */
	struct buf calls;   /* "begin flush add flush end": runs of add and add_reference count once */
	struct buf interim; /* "103 Link: </a>\r\n" of each */
	enum recorder_end how;
	bool closes;
	bool is_complete, is_gone; /* which of the two callbacks it has had */

	/* How the client behaves; set by the test at any time. */
	size_t mark;                   /* how much may wait for it; 0: no bound */
	bool is_stuck;                 /* it takes nothing */
	bool is_deaf;                  /* its begin fails */
	unsigned adds_n, fails_at_add; /* the nth add fails, counted from 1; 0: none */

	/* private */
	struct recorder_piece *first, **last;
	size_t unsent_n; /* added, not taken; what is not flushed included */
	bool has_begun, has_flushed, wants_room;
};

/* `request`: a head with its empty line; body may be NULL. */
struct recorder *recorder_new(const char *request, const char *body);
void recorder_free(struct recorder **r);
/* A turn of its loop: it takes what was flushed, and says what is to be said. True: something happened. */
bool recorder_turn(struct recorder *r);
/* n bytes at most are taken. */
void recorder_take(struct recorder *r, size_t n);
/* The client leaves. */
void recorder_leave(struct recorder *r);
/* The response has all its bytes with the client. */
bool recorder_is_done(const struct recorder *r);

/* The field's value in the head; "" where there is none. Valid until the next call. */
const char *recorder_field(const struct recorder *r, const char *name);
bool recorder_has(const struct recorder *r, const char *in_body);
/* The whole response came, with this status and body (NULL: any). */
void recorder_got(struct recorder *r, int status, const char *body);

#endif
