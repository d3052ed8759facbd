/* SPDX-License-Identifier: MIT */
/* A stored response: immutable head, a body that may still be arriving, shared by reference count.
 * Thread: any reads; object_append and object_finish only by the one that fills it. Owns: its bytes.
 * Life: made at the response head (body growing), published to waiters, complete at the end, then in the index or dropped. The
 * last reference frees it, never under a shard lock. */
#ifndef CACHE_MEMORY_OBJECT_H
#define CACHE_MEMORY_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "cache/policy/policy.h"

struct object;

struct object *object_ref(struct object *o);
void object_unref(struct object **o);

int object_status(const struct object *o);
/* The prebuilt head: "HTTP/1.1 200 OK\r\n" and field lines, each with CRLF, without the empty line, and without Age,
 * Connection, our own Cache-Status; Via and (for a complete body) Content-Length are in it. */
struct slice object_head(const struct object *o);
/* Iterates the stored fields: start with *at = 0; false at the end. */
bool object_field_next(const struct object *o, size_t *at, struct http_field *out);
bool object_field(const struct object *o, enum http_field_id id, struct slice *value); /* first line */
/* A stored 206: its body is the bytes from *first on of a representation of *total bytes. Its head has no Content-Range
 * and no Content-Length. False: the body is the whole. */
bool object_part(const struct object *o, uint64_t *first, uint64_t *total);
/* Its ETag was made here: the upstream does not know it. */
bool object_etag_is_ours(const struct object *o);
/* Is it such a tag, less its last quote? So they can be told without what is stored. */
bool object_tag_is_made(struct slice tag_less_quote);
const struct freshness *object_freshness(const struct object *o);
struct slice object_url(const struct object *o);
uint64_t object_epoch(const struct object *o);

/* Body. length is -1 while it is not known (no Content-Length and still arriving). */
int64_t object_body_length(const struct object *o);
/* False: it has no Content-Length. What arrived without one says nothing of its length, though it be whole meanwhile. */
bool object_head_says_length(const struct object *o);
/* What its head says the length will be, or is; -1: it does not. */
int64_t object_announced_length(const struct object *o);
enum body_state { BODY_GROWING, BODY_COMPLETE, BODY_BROKEN };
/* *available: bytes that can be read now (acquire). */
enum body_state object_body_state(const struct object *o, uint64_t *available);
/* The whole body in that coding, where the route has it made and it has been; valid while the object is referenced. */
bool object_encoded(const struct object *o, enum cache_coding c, struct slice *bytes);
bool object_may_encode(const struct object *o);
/* Its Content-Encoding; "" for identity. */
struct slice cache_coding_name(enum cache_coding c);
/* A contiguous run at `offset`, at least 1 byte when offset < available; valid while the caller holds its reference
 * (and, for a response that outgrew max_object, until it says flight_advance past it). */
struct slice object_body_at(const struct object *o, uint64_t offset);
/* The body is complete and stays where it is while a reference is held; else its bytes are to be copied before the
 * waiter says flight_advance past them or leaves. */
bool object_body_is_stable(const struct object *o);
/* The body is complete but not in memory: no object_body_at, struct body_reader. */
bool object_body_is_in_lower(const struct object *o);

#endif
