/* SPDX-License-Identifier: MIT */
/* The request as the origin is sent it, made before anything is decided. Whatever decides which response serves a request
 * (key, variant, user, credentials, conditions, ranges) looks at this and at nothing that the client sent: no field can
 * count that the origin did not see, and none can change a response without having counted.
 * Thread: one at a time. Owns: its field list and text, kept from request to request. Borrows: the client's request, and
 * its address as text. */
#ifndef PROXY_REQUEST_SENT_H
#define PROXY_REQUEST_SENT_H

#include "base/buf.h"
#include "config/config.h"
#include "http/message.h"

/* A request as it came, and from whom. target.c and sent.c alone look into it. */
struct asked {
	const struct http_request *http;
	const char *peer;                 /* the client's address; NULL: an operator asks, for nobody */
	const uint8_t *address;           /* its 16 bytes; NULL: nobody's, who is refused nothing */
	bool is_tls;                      /* its scheme is https */
	const struct config_route *route; /* by which it goes, of the snapshot's; NULL: as its host and path say */
};

struct sent {
	/* Method, framing, path and query are the client's; what the origin is asked for is the target's `path`. `fields`:
	 * what goes end to end and what we add (Via, X-Forwarded-For, X-Forwarded-Proto), without Host. `host`: where it
	 * comes from the client, in its normal form; else empty, and the origin's own is sent. */
	struct http_request http;
	struct slice public_host; /* whom the client asked: what routes and public URLs go by; may be empty */
	bool is_tls;
	unsigned underscores_dropped; /* fields that did not pass because their names have a twin with dashes */
	struct buf text;              /* what is not the client's own bytes */
};

/* Which fields pass depends on these two. */
struct sent_terms {
	const struct config_route *route;
	bool host_from_client;
	bool is_cacheable; /* fields that could change the response without being in its key are left out */
};

void sent_init(struct sent *s);
void sent_fini(struct sent *s);
/* 0, -ENOMEM, or -EMSGSIZE: too many fields, or Connection names too many. */
int sent_make(struct sent *s, const struct asked *a, const struct sent_terms *terms) WARN_UNUSED;
/* Appends a Host value in lower case, without an empty port and without the scheme's own (RFC 9110 4.2.3). Returns out's
 * error. */
int sent_host_add(struct buf *out, struct slice host, struct slice scheme) WARN_UNUSED;

#endif
