/* SPDX-License-Identifier: MIT */
/* Message heads, parsed strictly (RFC 9112) into slices of the caller's bytes. No I/O.
 * Thread: one at a time. Borrows: the head's bytes, which must stay in place while the view is used. */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"
#include "http/fields.h"

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_TRACE,
	HTTP_CONNECT,
	HTTP_PATCH,
	HTTP_QUERY,
	HTTP_PROPFIND,
	HTTP_REPORT,
	HTTP_SEARCH,
	HTTP_OTHER, /* any other token: carried by its bytes */
};

enum http_method http_method_of(struct slice token); /* case-sensitive (RFC 9110 9.1) */
bool http_method_is_safe(enum http_method m);        /* as IANA's registry of methods has it; OTHER is unsafe */

enum http_target_form { HTTP_TARGET_ORIGIN, HTTP_TARGET_ABSOLUTE, HTTP_TARGET_ASTERISK };

enum http_body_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_request {
	enum http_method method;
	struct slice method_token;
	struct slice target; /* the whole request-target as received */
	enum http_target_form form;
	struct slice host; /* host[:port] from the absolute-form target, else from Host; empty only for HTTP/1.0 */
	struct slice
		path; /* begins with '/' ("/" for an absolute-form target without a path); "*" for asterisk-form, as
	                      * which `OPTIONS http://host` counts too (RFC 9112 3.2.4) */
	struct slice query;             /* after '?', without it */
	bool has_query;                 /* "/a?" differs from "/a" */
	int minor;                      /* HTTP/1.minor, 0 or 1 (a higher minor is read as 1) */
	bool keep_alive;                /* what RFC 9112 9.3 makes of version and Connection */
	bool expect_continue;           /* asked for, and there is content to wait for (RFC 9110 10.1.1) */
	enum http_body_framing framing; /* NONE, LENGTH or CHUNKED */
	uint64_t content_length;        /* of LENGTH */
	struct http_fields fields;      /* owned array: http_request_fini frees it; reused between requests */
	size_t head_bytes;              /* from p to past the last CRLF CRLF, a skipped empty line included */
};

enum http_parse {
	HTTP_PARSE_DONE,
	HTTP_PARSE_MORE, /* the head is not complete yet */
	HTTP_PARSE_BAD,  /* error says what: answer with it, then close */
};

struct http_error {
	int status;         /* 400, 405, 414, 417, 431, 501, 503 (out of memory), 505; 502 for an upstream's response */
	const char *reason; /* a constant sentence for the log and the response's body */
};

struct http_head_limits {
	size_t max_head; /* bytes of the whole head: past it 431, or 414 while still in the request line */
	uint32_t max_fields;
};

void http_request_init(struct http_request *r);
void http_request_fini(struct http_request *r);

/* Parses the head at the start of p[0..n). Refused: bare CR or LF, NUL, obs-fold, whitespace before the colon, bad names
 * or methods, control characters in values, Content-Length with Transfer-Encoding, repeated or invalid Content-Length
 * (identical repetition too), any Transfer-Encoding but a single `chunked` (501 for other codings before a final
 * chunked, 400 where framing is in doubt and from an HTTP/1.0 client), missing, repeated or bad Host (HTTP/1.1), userinfo
 * or fragment in the target, a target that is not visible ASCII, absolute-form with another scheme than http or https,
 * CONNECT and TRACE (405), another major version than 1 (505), an expectation other than 100-continue (417). One
 * leading empty line is skipped (RFC 9112 2.2).
 * Targets: all of 0x21-0x7E but '#' is taken, as browsers and curl send characters that RFC 3986 would have encoded.
 * The authority of an absolute-form target wins over Host (RFC 9112 3.2.2), and the Host field's value becomes that
 * authority, so that nobody can act on the other one. A comma in Host is refused: it is what a joined repetition looks like.
 * On MORE, *scanned lets the next call go on where this one stopped: 0 at first, and again after DONE. A fault in an
 * incomplete head is found at the latest when its last line is in or it grows past max_head. */
enum http_parse http_request_parse(const char *p, size_t n, const struct http_head_limits *limits, size_t *scanned,
	struct http_request *out, struct http_error *err);

/* The n bytes of the head that were parsed at `from` are at `to` now. What points elsewhere (constants) stays. */
void http_request_moved(struct http_request *r, const char *from, size_t n, const char *to);

/* Chunks count, even if it turns out that there are none. */
bool http_request_has_content(const struct http_request *r);

/* ---- Responses of an upstream, seen line by line as libcurl hands them over ---- */

struct http_response_head {
	int status; /* 100-599; others are refused */
	int minor;  /* 0, 1; 2 or 3 when the transport says so */
	struct http_fields fields;
	struct http_error err; /* set when a line was refused: status 502, and why */
	/* private */
	char *bytes; /* owned copy of all field lines; fields point into it */
	size_t bytes_n, bytes_cap, max_bytes;
	struct http_line_span
		*spans; /* where in bytes each field is, until http_response_head_end makes slices of them */
	uint32_t spans_n, spans_cap;
};

void http_response_head_init(struct http_response_head *h, size_t max_bytes);
void http_response_head_fini(struct http_response_head *h);
/* A status line, without its CRLF, begins a head anew (after a 1xx). `wire_is_http1`: the line must be exactly HTTP/1.0
 * or HTTP/1.1; else it is what libcurl composes for HTTP/2 and 3. 0, or -EPROTO with err set. After an error, the other two
 * functions return -EPROTO until the next status line. */
int http_response_head_status(struct http_response_head *h, struct slice line, bool wire_is_http1) WARN_UNUSED;
/* One field line without its CRLF, strict: obs-fold and bad names are -EPROTO. Blanks before the colon are taken out (RFC 9112
 * 5.1), but those of Content-Length and Transfer-Encoding are -EPROTO. -ENOBUFS past max_bytes or HTTP_FIELDS_MAX, -ENOMEM. */
int http_response_head_field(struct http_response_head *h, struct slice line) WARN_UNUSED;
/* The empty line: makes the field slices valid and checks framing (RFC 9112 6.3): every Content-Length a plain number or a
 * list of them, all equal; then one line is left of them, with that number. Transfer-Encoding exactly `chunked`, in
 * HTTP/1.1 only, never together with Content-Length (such a head may be an attempt at splitting, RFC 9112 6.1). A 1xx frames
 * nothing and is not checked.
 * *content_length is -1 when there is none and for 1xx and 204, which have no content whatever they say; for 304 and
 * responses to HEAD it is the length that a GET would have. */
int http_response_head_end(struct http_response_head *h, int64_t *content_length) WARN_UNUSED;

/* Standard reason phrase, or "" for a status that has none. */
const char *http_reason(int status);

/* For those who count responses by status: the place of one in a table of HTTP_STATUS_SLOTS, whatever an origin sends. Common ones have a
 * place of their own, the others one for their class; the name is "404", "4xx", or "other" for what is in no class. */
#define HTTP_STATUS_SLOTS 40
unsigned http_status_slot(int status);
const char *http_status_slot_name(unsigned slot);

#endif
