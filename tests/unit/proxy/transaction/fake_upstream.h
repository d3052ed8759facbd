/* SPDX-License-Identifier: MIT */
/* An upstream without sockets, in place of the room upstream/ (of which the linker takes nothing, as all that is asked of it is
 * here): each fetch lies in the test's hand, which says what is answered and when.
 * Thread: the test's. Owns: what was asked, until fake_upstream_end. */
#ifndef TESTS_UNIT_PROXY_TRANSACTION_FAKE_UPSTREAM_H
#define TESTS_UNIT_PROXY_TRANSACTION_FAKE_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "upstream/fetch.h"

enum fake_state { FAKE_RUNNING, FAKE_ENDED, FAKE_CANCELLED };

struct fetch {
	/* What was asked. */
	char *method, *target, *host, *fields /* "Name: value\r\n"... */;
	char *body; /* NULL: none */
	unsigned worker;
	enum fake_state state;
	/* private */
	struct upstream_loop *loop;
	struct fetch *next;
	const struct fetch_handler *handler;
	void *arg;
	char *waiting; /* bytes that were not taken */
	size_t waiting_n;
	bool is_paused, is_resumed, ends_after, in_handler, has_head;
	enum fetch_result result;
};

struct fake_upstream {
	int start_error; /* fetch_start says it instead of starting */
	bool is_spared;
	unsigned stretch, retry_after_s;
	unsigned loops_n, renewals;
	/* private */
	struct fetch *first, **last;
	unsigned fetches_n;
};

extern struct fake_upstream fake_upstream;

void fake_upstream_begin(void);
/* All loops have gone. */
void fake_upstream_end(void);

unsigned fake_fetches(void); /* that were started so far */
/* The nth that was started, from 0. The test fails where there is none. */
struct fetch *fake_fetch(unsigned n);
unsigned fake_running(void);
/* Did the request have this whole line? "Range: bytes=0-1" */
bool fake_was_asked(const struct fetch *f, const char *line);

void fake_informational(struct fetch *f, int status, const char *fields);
/* `fields`: lines with CRLF; Content-Length among them is the length that is announced. */
void fake_head(struct fetch *f, int status, const char *fields);
void fake_body(struct fetch *f, const char *p, size_t n);
void fake_body_text(struct fetch *f, const char *text);
void fake_end(struct fetch *f, enum fetch_result result);
/* All of it: Content-Length is added. */
void fake_answer(struct fetch *f, int status, const char *fields, const char *body);
/* A later turn of the loops: offers again what was not taken, where that was asked for. True: something happened. */
bool fake_turn(void);

#endif
