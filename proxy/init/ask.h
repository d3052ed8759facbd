/* SPDX-License-Identifier: MIT */
/* Calls by HTTP, one after the other, by people's orders: what init and `-t --connect` want to know of an API, and what the
 * commands tell a running proxy.
 * Thread: one at a time; it blocks. Owns: its connections. Bounds: body_max bytes of a body, ASK_HEAD_MAX of a head, the
 * options' times and number of calls. Redirects are not followed. */
#ifndef PROXY_INIT_ASK_H
#define PROXY_INIT_ASK_H

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "http/fields.h"

enum { ASK_BODY_MAX = 4 << 20, ASK_HEAD_MAX = 64 << 10, ASK_WHY_MAX = 256 };

struct ask_options {
	const char *const *fields; /* "Name: value", sent with calls that ask for it */
	unsigned fields_n;
	const char *tls_ca; /* empty: the system's */
	bool tls_verify;
	bool plain_http2; /* HTTP/2 without asking whether it is spoken, where there is no TLS */
	int64_t connect_timeout_ms, timeout_ms;
	unsigned calls_max;
	size_t body_max; /* 0: ASK_BODY_MAX */
};

struct answer {
	int status;
	struct http_fields fields; /* pointing into head */
	struct buf head, body;
	bool is_cut; /* the body is longer */
	int64_t time_ms;
	struct now asked, received;
	char why[ASK_WHY_MAX]; /* a sentence, when there is none */
};

struct ask;

/* 0, -ENOMEM, or -EINVAL for a field that is none. The options' texts are borrowed. */
int ask_new(const struct ask_options *o, struct ask **out) WARN_UNUSED;
void ask_free(struct ask **a);

void answer_init(struct answer *a);
void answer_fini(struct answer *a);
/* GET, whatever was in the answer before. 0; -ECONNREFUSED when no response came, and why; -EDQUOT when all calls were made; -ENOMEM. */
int ask_get(struct ask *a, const char *url, bool with_fields, struct answer *out) WARN_UNUSED;
/* POST of a form, likewise. */
int ask_post(struct ask *a, const char *url, struct slice form, bool with_fields, struct answer *out) WARN_UNUSED;
unsigned ask_calls(const struct ask *a);

#endif
