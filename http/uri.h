/* SPDX-License-Identifier: MIT */
/* URIs as bytes (RFC 3986): splitting, percent-decoding, queries, name patterns, resolving references.
 * Thread: any. Borrows: what it is given; results point into it. Bounds: none but the input's length. */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/slice.h"

/* scheme "://" authority [path] [?query]: the parts of an absolute URL; path_query may be empty. False for anything
 * else, a fragment included. The authority is not looked at. */
bool uri_split_absolute(
	struct slice url, struct slice *scheme, struct slice *authority, struct slice *path_query) WARN_UNUSED;

/* host [":" port] as Host and targets hold it (RFC 9110 7.2): a registered name or IPv4 address of unreserved characters,
 * sub-delims but the comma, and percent-encoded bytes; or an IPv6 address in brackets. No userinfo, no empty host. *host
 * keeps its brackets; *port is -1 when there is none (RFC 3986 allows an empty one), else 0-65535. */
bool uri_authority_parse(struct slice authority, struct slice *host, int *port) WARN_UNUSED;

/* 80 for http, 443 for https, else -1. */
int uri_default_port(struct slice scheme);

/* Appends s with each valid %XX decoded; anything else, a '%' without two hex digits too, as it is. '+' is not a space:
 * that is a form's business. Returns out's error. */
int uri_decode(struct slice s, struct buf *out) WARN_UNUSED;
/* The same where '+' is a space (application/x-www-form-urlencoded). */
int uri_decode_form(struct slice s, struct buf *out) WARN_UNUSED;

/* One name[=value] of a query. `whole` is as received, for putting a query together again. */
struct uri_param {
	struct slice whole, name, value;
};
/* The next parameter; '&' separates them, empty ones count ("a&&b" has three). Start with *rest = the query and *at_end =
 * false; an empty query has one empty parameter. False at the end. */
bool uri_query_next(struct slice *rest, bool *at_end, struct uri_param *out);

/* Does the name, percent-decoded, fit the pattern? '*' in the pattern is any run of bytes. Case-sensitive. Costs at most
 * pattern x name, no recursion. */
bool uri_name_matches(struct slice pattern, struct slice encoded_name);

/* Resolves a reference (Location, Content-Location) against the URL of the request that it answers (RFC 3986 5.2) and
 * appends the absolute URL without its fragment. The base is an absolute URL. 0, -EINVAL when base or reference is not
 * a URL with an authority, or out's error. Bytes that no URL may hold (a blank, UTF-8) are escaped, as browsers do. Dot segments of the reference are removed; a request target never comes
 * through here. */
int uri_resolve(struct slice base, struct slice reference, struct buf *out) WARN_UNUSED;

/* The URL in normal form, but for the case of what needs its escape, and of scheme and host: each escape of an unreserved character is
 * that character, once, anywhere (RFC 3986 6.2.2.2), and in an absolute URL's path dot segments are removed (6.2.2.3). Of the
 * beginning of a URL (`is_whole` false) what may go on stays as it is: an escape that is cut, a last segment. For comparing, never for sending: servers may tell these apart.
 * `out` has room for url.n bytes; returns how many it has, fewer if and only if the URL was not in this form. */
size_t uri_normalize(struct slice url, bool is_whole, char *out);

/* Might a server read the path as another one than its bytes say? Escapes, dot segments, doubled slashes, backslashes, `;`
 * parameters. Most paths have none: a cheap look. */
bool uri_path_is_plain(struct slice path);
/* Has the path something that servers read in more ways than can be listed: a segment "." or ".." (RFC 3986 5.2.4), with parameters or
 * without, between slashes or backslashes; an escaped overlong UTF-8 sequence; a "%u002f"? Escapes of dots are not looked through:
 * uri_read_path is for that. */
bool uri_path_is_unreadable(struct slice path);

/* What a server may do to a path that it reads, in any order and more than once. */
enum uri_reading {
	URI_MERGES = 1,         /* doubled slashes are one */
	URI_STRIPS = 2,         /* a segment ends at its ';' */
	URI_CUTS = 4,           /* the path ends at its ';' */
	URI_REVERSES = 8,       /* a backslash is a slash */
	URI_ENDS = 16,          /* the path ends at an encoded '#', '?', NUL or line end */
	URI_DECODES_SLASH = 32, /* "%2f" is a slash; the next four likewise. Matching decodes all other escapes. */
	URI_DECODES_BACKSLASH = 64,
	URI_DECODES_DOT = 128,
	URI_DECODES_SEMICOLON = 256,
	URI_DECODES_PERCENT = 512,
	URI_READINGS_END = 1024, /* above the last */
};
/* The set of readings that would change this path. */
unsigned uri_path_readings(struct slice path);
/* Appends the path as it is after this reading. For comparing, never for sending. Returns out's error. */
int uri_read_path(struct slice path, enum uri_reading reading, struct buf *out) WARN_UNUSED;
/* Where the path ends under URI_ENDS, or its length. */
size_t uri_path_end(struct slice path);

/* Same scheme, host (any case) and port, the scheme's own where none is written (RFC 9110 4.3.1). False for what is not
 * an absolute http or https URL. */
bool uri_same_origin(struct slice a, struct slice b);

#endif
