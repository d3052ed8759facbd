/* SPDX-License-Identifier: MIT */
/* What the demonstration's API answers: requests as slices in, status, fields and a body out. No I/O, no clock.
 * Thread: one at a time. Owns: the data. Bounds: those of demo_data.h; a response has at most DEMO_RESPONSE_MAX bytes. */
#ifndef PROXY_DEMO_DEMO_API_H
#define PROXY_DEMO_DEMO_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/check.h"
#include "http/message.h"

enum { DEMO_RESPONSE_MAX = 32 * 1024 * 1024, DEMO_SLOW_MAX_MS = 60000 };

struct demo_api;

struct demo_call {
	enum http_method method;
	struct slice path, query, body;
};

struct demo_response {
	int status;
	struct buf body;           /* empty: none; else JSON */
	char location[64];         /* empty: no such field */
	char cache_tag[96];        /* the same */
	const char *cache_control; /* NULL: no such field, the proxy's route decides */
	const char *allow;         /* the same */
};

int demo_api_new(struct demo_api **out) WARN_UNUSED;
void demo_api_free(struct demo_api **api);

void demo_response_init(struct demo_response *a);
void demo_response_fini(struct demo_response *a);

/* How long the call should take: what /slow asks for, at most DEMO_SLOW_MAX_MS, else usual_ms. */
int64_t demo_api_delay_ms(const struct demo_call *call, int64_t usual_ms);
/* HEAD is answered as GET is; not sending the body is the caller's business. Errors are problem details (RFC 9457). */
void demo_api_answer(struct demo_api *api, const struct demo_call *call, int64_t wall_ms, struct demo_response *a);

#endif
