/* SPDX-License-Identifier: MIT */
/* The PROXY protocol, versions 1 (text) and 2 (binary): what stands before a connection's first byte when something in
 * front of us passes it on, and says who the client is. A pure function from bytes to a verdict.
 * Thread: any. Owns: nothing. Bounds: PROXY_HEADER_MAX bytes of header. */
#ifndef PROXY_CONNECTION_PROXY_PROTOCOL_H
#define PROXY_CONNECTION_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "proxy/connection/peer.h"

enum { PROXY_HEADER_MAX = 4096 };

enum proxy_header_parse { PROXY_HEADER_DONE, PROXY_HEADER_MORE, PROXY_HEADER_BAD };

struct proxy_header {
	size_t bytes; /* what follows them is the client's */
	bool has_source; /* else the connection is the sender's own (LOCAL), or of a family that we don't know (UNKNOWN, UNSPEC) */
	struct peer source;
};

/* MORE only while every byte so far can begin a header of at most PROXY_HEADER_MAX bytes. Strict: single spaces, decimal
 * numbers without leading zeros, addresses of the family that is named, TLVs that fill their space, a right CRC-32C
 * where there is one. `out` is set when it is DONE. */
enum proxy_header_parse proxy_header_parse(const char *p, size_t n, struct proxy_header *out) WARN_UNUSED;

#endif
