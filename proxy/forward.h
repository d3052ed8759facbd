/* The request as the upstream gets it: which of the client's fields pass, which are ours (RFC 9110 7.6, design: keys).
 * Thread: one at a time. */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include "base/buf.h"
#include "cache/object.h"
#include "http/message.h"
#include "proxy/target.h"

struct forward {
	struct http_fields fields; /* end-to-end, in order; slices of the request, the stored object and `text` */
	struct buf text;
	struct buf tags; /* of the client's conditions, as the origin made them */
	char range[40];
	char max_forwards[24];
};

struct forward_options {
	const struct target *target;
	const struct http_request *http;
	const char *peer; /* appended to X-Forwarded-For; NULL: none */
	bool tls;
	bool is_plain;               /* without the client's conditions: the answer is for the cache */
	const struct object *stored; /* its validators make the request conditional; NULL: none */
	bool is_tail; /* only the bytes from `tail_from` on, if `tail_validator` holds (empty: whatever holds) */
	uint64_t tail_from;
	struct slice tail_validator;
};

void forward_init(struct forward *f);
void forward_fini(struct forward *f);
int forward_build(struct forward *f, const struct forward_options *o) WARN_UNUSED;

#endif
