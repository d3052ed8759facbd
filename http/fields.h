/* SPDX-License-Identifier: MIT */
/* A list of HTTP fields as slices, with known names interned so that looking one up compares small numbers.
 * Thread: one at a time (read-only use: any). Owns: the array; Borrows: the bytes of names and values.
 * Bounds: HTTP_FIELDS_MAX fields; one more is -ENOBUFS (a request then gets 431, a response 502). */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/slice.h"

/* Known names, from names.def: ids are HF_<ID>, HF_OTHER is 0 and stands for every name that is not in that list. */
enum http_field_id {
	HF_OTHER = 0,
#define X(id, name) HF_##id,
#include "http/names.def"
#undef X
	HF_COUNT
};

#define HTTP_FIELDS_MAX 1000

struct http_field {
	struct slice name;  /* as received, case kept */
	struct slice value; /* trimmed of OWS, otherwise byte for byte */
	enum http_field_id id;
};

struct http_fields {
	struct http_field *v;
	uint32_t n, cap;
};

void http_fields_init(struct http_fields *f);
void http_fields_fini(struct http_fields *f);
void http_fields_clear(struct http_fields *f); /* n = 0, storage kept */
enum http_field_id http_field_id_of(struct slice name);
struct slice http_field_name(enum http_field_id id);
/* 0, -ENOBUFS or -ENOMEM. The name is interned here. */
int http_fields_add(struct http_fields *f, struct slice name, struct slice value) WARN_UNUSED;
/* Room for n more. 0, -ENOBUFS or -ENOMEM. */
int http_fields_reserve(struct http_fields *f, uint32_t n) WARN_UNUSED;
/* One of another list, as it is there; room was reserved for it. */
static inline void http_fields_append(struct http_fields *f, const struct http_field *field)
{
	f->v[f->n++] = *field;
}
int http_fields_add_id(struct http_fields *f, enum http_field_id id, struct slice value) WARN_UNUSED;
void http_fields_remove(struct http_fields *f, enum http_field_id id);
void http_fields_remove_at(struct http_fields *f, uint32_t i); /* keeps the order */

/* First field with that id, or NULL. */
const struct http_field *http_fields_get(const struct http_fields *f, enum http_field_id id);
/* First field with that name, any case (interned or not), or NULL. */
const struct http_field *http_fields_find(const struct http_fields *f, struct slice name);
/* The next at or after index *i, which is then past it; NULL at the end. Start with *i = 0. */
const struct http_field *http_fields_next(const struct http_fields *f, enum http_field_id id, uint32_t *i);
const struct http_field *http_fields_find_next(const struct http_fields *f, struct slice name, uint32_t *i);
unsigned http_fields_count(const struct http_fields *f, enum http_field_id id);

/* Members of a comma-separated list in one value (RFC 9110 5.6.1): quoted strings are kept whole, empty members are
 * skipped, OWS is trimmed. Start with *rest = value; false at the end. */
bool http_list_next(struct slice *rest, struct slice *member);
/* The media type of the one Content-Type (RFC 9110 8.3.1), trimmed; *parameters, if it is not NULL: what is behind its ';'. Both are
 * empty where there is no such field or more than one. */
struct slice http_media_type(const struct http_fields *f, struct slice *parameters);
/* application/json and types that end in "+json" (RFC 8259 11, RFC 6839 3.1). */
bool http_media_type_is_json(struct slice type);
/* Did a page have its reader's browser send the request? By Origin (RFC 6454 7), or Sec-Fetch-Site (Fetch Metadata) that is not "none". */
bool http_fields_are_of_page(const struct http_fields *request);
/* Is there a member equal to token (any case) in any line of that field? Parameters after ';' are not looked at. */
bool http_fields_has_token(const struct http_fields *f, enum http_field_id id, struct slice token);

/* All lines of a field as one value, joined by ", " (RFC 9110 5.3), appended to out. 0 or out's error. */
int http_fields_join(const struct http_fields *f, enum http_field_id id, struct buf *out) WARN_UNUSED;

/* Ends at the next hop whether or not Connection names it (RFC 9110 7.6.1; the Proxy-Auth* family: RFC 9111 3.1). */
bool http_field_is_hop_by_hop(enum http_field_id id);
/* Removes hop-by-hop fields and every field that Connection names on any of its lines, but for those that are meant for
 * every recipient (Host, Content-Length, Cache-Control, Cookie and the like: fields.c), which stay. Do it before a key
 * is made of the fields: what a client's Connection took away must not be in it. -ENOBUFS, and nothing removed, when
 * Connection names too many fields that we do not know. Costs (fields + members) x log members. */
int http_fields_drop_hop_by_hop(struct http_fields *f) WARN_UNUSED;

#endif
