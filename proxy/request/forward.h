/* SPDX-License-Identifier: MIT */
/* The fields of one fetch: those of the request as the origin is sent it, with the conditions and the range that the fetch
 * is made with.
 * Thread: one at a time. */
#ifndef PROXY_REQUEST_FORWARD_H
#define PROXY_REQUEST_FORWARD_H

#include "cache/memory/object.h"
#include "proxy/request/target.h"

struct forward {
	struct http_fields fields; /* end-to-end, in order; slices of the target, the stored object and `range` */
	struct buf tags;           /* of the client's conditions, as the origin made them */
	char range[40];
};

struct forward_options {
	const struct target *target;
	bool is_plain;               /* without the client's conditions: the response is for the cache */
	const struct object *stored; /* its validators make the request conditional; NULL: none */
	bool is_tail; /* only the bytes from `tail_from` on, if `tail_validator` holds (empty: whatever holds) */
	uint64_t tail_from;
	struct slice tail_validator;
};

void forward_init(struct forward *f);
void forward_fini(struct forward *f);
int forward_build(struct forward *f, const struct forward_options *o) WARN_UNUSED;

#endif
