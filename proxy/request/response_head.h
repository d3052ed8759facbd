/* SPDX-License-Identifier: MIT */
/* Composes what goes to a client: one function answers from a stored object for both paths, others from an upstream's
 * fields or from ourselves. The result is a finished head and a description of the body; sending is the caller's.
 * Thread: one at a time. Owns: its head buffer, reused from response to response. Borrows: the object of an object body.
 * Bounds: RESPONSE_HEAD_MAX bytes of head. */
#ifndef PROXY_REQUEST_RESPONSE_HEAD_H
#define PROXY_REQUEST_RESPONSE_HEAD_H

#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cache/cache.h"
#include "http/message.h"
#include "http/range.h"
#include "proxy/request/problem.h"

#define RESPONSE_HEAD_MAX (256 * 1024)

enum response_body {
	RESPONSE_EMPTY, /* no body bytes follow the head (HEAD, 204, 304...) */
	RESPONSE_BYTES, /* `bytes` */
	RESPONSE_OBJECT, /* bytes [offset, offset + length) of the object; length -1: to its end, which is not known yet */
	RESPONSE_PARTS,  /* multipart/byteranges: parts of a complete object, each after its own head */
	RESPONSE_STREAM, /* comes from the upstream as it arrives */
};

struct response_part {
	size_t head_off, head_n; /* in part_heads: delimiter and part fields that go before the part's bytes */
	uint64_t offset, length; /* length 0: the closing delimiter */
};

struct response {
	int status;
	struct buf head;        /* status line and field lines, each with CRLF, no empty line, no Connection */
	int64_t content_length; /* -1: not announced */
	enum response_body body;
	struct slice bytes; /* of BYTES: points into `text` or at a constant */
	struct buf text;
	uint64_t offset;
	int64_t length;
	struct buf part_heads;
	struct response_part parts[HTTP_RANGES_MAX + 1];
	unsigned parts_n;
	enum cache_coding coding; /* of an object's body */
	bool shows_forms;         /* as in cache_status */
};

/* What Cache-Status says (RFC 9211). */
struct cache_status {
	bool hit;
	enum cache_forward forward; /* NONE on a plain hit */
	int forward_status;         /* 0: not known */
	bool stored, collapsed;
	bool shows_forms; /* the route compresses: tags are shown as tags.h says */
	bool has_ttl;
	int64_t ttl_ms;
	const char *detail;     /* text of visible ASCII characters without quotes, or NULL */
	struct slice key;       /* empty: not said */
	struct slice own_lines; /* field lines for this client alone; empty: none */
};

/* As Cache-Status has it (RFC 9211 2.2); NULL for NONE. */
const char *response_forward_name(enum cache_forward f);

void response_init(struct response *r);
void response_fini(struct response *r);

/* RFC 9110 15.4.5: a 304 leaves out what describes the content and has no part in validating or in updating a cache's entry. */
bool response_is_in_304(enum http_field_id id);
/* Can response_from_object answer from an object of which more is to come? A single range needs its first byte (all of it, where no
 * more will come), several need the end, and so does any where the length is not known: until then RFC 9110 14.2 has no 206 and
 * no 416 for them. Uses r as scratch. */
bool response_can_begin(
	struct response *r, const struct http_request *request, const struct object *o, bool shows_forms);
/* The response that a stored (or arriving) object gives to a request: 200 and the like, 304, 206 or 416, with Age and
 * Cache-Status (RFC 9110 13.2.2, 14; RFC 9111 4). 0, -ENOMEM or -ENOBUFS. */
int response_from_object(struct response *r, const struct http_request *request, const struct object *o, struct now now,
	const struct cache_status *cache_status) WARN_UNUSED;
/* An upstream's response passed through: fields less hop-by-hop already; Via and Date are added where due. */
int response_from_fields(struct response *r, const struct http_request *request, int status,
	const struct http_fields *fields, int64_t content_length, struct now now,
	const struct cache_status *cache_status) WARN_UNUSED;
/* Our own word about something that went wrong, with Proxy-Status and X-Request-ID; never to be stored. */
int response_problem(struct response *r, const struct http_request *request, const struct response_problem *p,
	struct now now, const struct cache_status *cache_status) WARN_UNUSED;

#endif
