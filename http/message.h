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
	HTTP_OTHER, /* any other token: carried by its bytes */
};

enum http_method http_method_of(struct slice token); /* case-sensitive (RFC 9110 9.1) */
bool http_method_is_safe(enum http_method m);        /* GET HEAD OPTIONS TRACE QUERY; OTHER is unsafe */
bool http_method_is_idempotent(enum http_method m);  /* the safe ones, PUT and DELETE */

enum http_target_form { HTTP_TARGET_ORIGIN, HTTP_TARGET_ABSOLUTE, HTTP_TARGET_ASTERISK };

enum http_body_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE };

struct http_request {
	enum http_method method;
	struct slice method_token;
	struct slice target; /* the whole request-target as received */
	enum http_target_form form;
	struct slice host;   /* host[:port] from the absolute-form target, else from Host; empty only for HTTP/1.0 */
	struct slice path;   /* begins with '/' ("/" for an absolute-form target without a path); "*" for asterisk-form */
	struct slice query;  /* after '?', without it */
	bool has_query;      /* "/a?" differs from "/a" */
	int minor;           /* HTTP/1.minor, 0 or 1 (a higher minor is read as 1) */
	bool keep_alive;     /* what RFC 9112 9.3 makes of version and Connection */
	bool expect_continue;
	enum http_body_framing framing; /* NONE, LENGTH or CHUNKED */
	uint64_t content_length;        /* of LENGTH */
	struct http_fields fields;      /* owned array: http_request_fini frees it; reused between requests */
	size_t head_bytes;              /* length of the head with its last CRLF CRLF */
};

enum http_parse {
	HTTP_PARSE_DONE,
	HTTP_PARSE_MORE, /* the head is not complete yet */
	HTTP_PARSE_BAD,  /* error says what: answer with it, then close */
};

struct http_error {
	int status;         /* 400, 405, 414, 417, 431, 501, 505 */
	const char *reason; /* a constant sentence for the log and the answer's body */
};

struct http_head_limits {
	size_t max_head;   /* bytes of the whole head: past it 431, or 414 while still in the request line */
	uint32_t max_fields;
};

void http_request_init(struct http_request *r);
void http_request_fini(struct http_request *r);

/* Parses the head at the start of p[0..n). Refused: bare CR or LF inside, NUL, obs-fold, whitespace before the colon,
 * bad names or methods, control characters in values, CL with TE, repeated or invalid Content-Length (identical
 * repetition too), any Transfer-Encoding but a single final `chunked` (501 for codings that we do not know, 400 where
 * framing is in doubt; any TE from an HTTP/1.0 client), missing, repeated or bad Host (HTTP/1.1), userinfo or fragment
 * in the target, a target that is not visible ASCII (no raw bytes above 0x7E), absolute-form with a scheme other than
 * http/https or whose authority differs from Host?: RFC 9112 3.2.2 lets the target win; we do), CONNECT and TRACE (405),
 * HTTP/2+ (505), Expect other than 100-continue (417). One leading empty line (CRLF) is skipped (RFC 9112 2.2).
 * On MORE, *scanned lets the next call go on where this one stopped: 0 at first. */
enum http_parse http_request_parse(const char *p, size_t n, const struct http_head_limits *limits, size_t *scanned,
                                   struct http_request *out, struct http_error *err);

/* ---- Answers of an upstream, seen line by line as libcurl hands them over ---- */

struct http_response_head {
	int status;         /* 100-599; others are refused */
	int minor;          /* 0, 1; 2 or 3 when the transport says so */
	struct http_fields fields;
	struct http_error err; /* reason when a line was refused (status 502) */
	/* private */
	char *bytes;        /* owned copy of all field lines; fields point into it */
	size_t bytes_n, bytes_cap, max_bytes;
	uint32_t *offsets;  /* (name, name_n, value, value_n) x n until http_response_head_end makes slices of them */
	uint32_t offsets_n, offsets_cap;
};

void http_response_head_init(struct http_response_head *h, size_t max_bytes);
void http_response_head_fini(struct http_response_head *h);
/* A status line begins a head anew (after a 1xx). `wire_is_http1`: the line must be exactly HTTP/1.0 or HTTP/1.1; else
 * it is what libcurl composes for HTTP/2. 0, or -EPROTO with err set. */
int http_response_head_status(struct http_response_head *h, struct slice line, bool wire_is_http1) WARN_UNUSED;
/* One field line without its CRLF, strict. obs-fold, bad names and `Name :` are refused. */
int http_response_head_field(struct http_response_head *h, struct slice line) WARN_UNUSED;
/* The empty line: makes the field slices valid and checks framing (RFC 9112 6.3): every Content-Length a plain number,
 * all of them equal (a list of equal values too), Transfer-Encoding exactly chunked and not together with
 * Content-Length from a stored-able answer. *content_length is -1 when none. */
int http_response_head_end(struct http_response_head *h, int64_t *content_length) WARN_UNUSED;

/* Standard reason phrase, or "" for a status that has none. */
const char *http_reason(int status);

#endif
