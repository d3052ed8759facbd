/* SPDX-License-Identifier: MIT */
/* How an object lies in memory, and how it is made. Private to cache/.
 * Thread: as object.h says; `expiry` and `hits` are guarded by the mu of the entry's shard. */
#ifndef CACHE_MEMORY_OBJECT_INTERNAL_H
#define CACHE_MEMORY_OBJECT_INTERNAL_H

#include <stdatomic.h>

#include "cache/memory/chunks.h"
#include "cache/memory/memory.h"
#include "cache/memory/object.h"

/* Bodies up to here lie behind the head, in the object's own allocation. */
#define OBJECT_INLINE_MAX 16384

enum body_kind {
	BODY_INLINE,
	BODY_BLOCK,    /* one allocation, shared by reference between a response and its refreshed successors */
	BODY_CHUNKS,   /* length not known while it arrives, or more than memory is to hold */
	BODY_IN_LOWER, /* a block, shared in the same way, that says where it lies: struct tier_body */
};

struct block {
	_Atomic uint32_t refs;
	uint64_t n;
	char bytes[];
};

enum object_flag {
	OBJECT_HAS_EXTRAS = 1 << 0,
	OBJECT_HAS_VALIDATOR = 1 << 1, /* a 2xx with ETag or Last-Modified: it can be validated */
	OBJECT_IS_PARTIAL = 1 << 2,    /* the extras say which part */
	OBJECT_ETAG_IS_OURS = 1 << 3,  /* made of the body: it means nothing to the upstream */
	OBJECT_MAY_ENCODE = 1 << 4,    /* the extras hold its encodings, once they are made */
	OBJECT_SAYS_LENGTH = 1 << 5,   /* Content-Length is in the head */
};

/* In front of the tail, where there is Vary, a tag or a part. */
struct object_extras {
	struct object *next;                   /* guarded by the shard: the next older variant */
	struct variant_index *index;           /* guarded by the shard, of the newest: variants.h; or NULL */
	_Atomic(struct encodings *) encodings; /* owned reference; set once */
	uint32_t names_n, values_n, tags_n;
	uint32_t total_n; /* of all extras: where the head begins */
};

struct object {
	_Atomic uint32_t refs;
	uint16_t status;
	uint8_t body_kind;
	uint8_t flags;
	struct entry *entry; /* owned reference: its URL is the object's */
	/* The sequence of invalidation up to which it is known to be valid: its epoch, raised by each check that found it
	 * valid. Nothing is lost by raising it: no rule that it falls under has a number up to there. */
	_Atomic uint64_t epoch;
	struct freshness freshness;
	_Atomic uint64_t progress; /* bytes published << 2 | enum body_state */
	union {
		uint64_t inline_n;
		struct block *block;
		struct chunks *chunks;
	} body;
	struct link expiry;
	uint32_t head_n;
	uint32_t hits;
	char tail[]; /* extras (struct, part, tags, names, values), head, inline body */
};

/* Which bytes of a representation. */
struct object_part {
	uint64_t first, total;
};

struct object_spec {
	struct entry *entry;
	int status;
	const struct http_fields *fields;
	struct slice via;       /* appended to the Via that is there; empty: as it is */
	int64_t content_length; /* -1: not known yet */
	struct freshness freshness;
	uint64_t epoch;
	struct slice vary_names, vary_values;
	const struct slices *tag_headers; /* may be NULL */
	const uint64_t *tags;             /* where they are known already, in place of tag_headers */
	unsigned tags_n;
	bool may_encode;
	struct slice etag;              /* one of our own, added to the fields; else empty */
	bool etag_is_ours;              /* the one in the fields is of that kind */
	const struct object_part *part; /* of a 206; NULL: the body is the whole */
	struct block *shared;           /* a complete body, of content_length bytes, to be referred to; or NULL */
	bool is_windowed;               /* the body passes by: of whatever length, it comes in chunks */
	bool is_in_lower;               /* `shared` says where that body lies */
};

/* NULL when there is no room. The body is GROWING. The caller holds no lock (nor for the next ones). */
struct object *object_new(const struct object_spec *spec) WARN_UNUSED;
struct block *block_new(struct shard *s, uint64_t n) WARN_UNUSED;
void block_unref(struct shard *s, struct block *b);
/* Where its body lies, when it is not in memory; else NULL. */
struct tier_body *object_tier_body(const struct object *o);
/* The same response, complete, with its length in the head and its body in one piece. */
struct object *object_consolidated(const struct object *o, const struct slices *tag_headers) WARN_UNUSED;
/* Borrowed; NULL: there are none, or not yet. */
struct encodings *object_encodings(const struct object *o);
/* Where they are to be put; NULL: it may have none. */
_Atomic(struct encodings *) *object_encodings_at(const struct object *o);
/* That, with an ETag made of its bytes. */
struct object *object_tagged(const struct object *o, const struct slices *tag_headers) WARN_UNUSED;
int object_copy_body(struct object *to, const struct object *from) WARN_UNUSED;
/* As object_field_next, of any head that was an object's. */
bool object_head_field_next(struct slice head, size_t *at, struct http_field *out);
/* Appends the stored fields to `out`, which borrows them. */
int object_fields(const struct object *o, struct http_fields *out) WARN_UNUSED;

/* 0; -ENOMEM when there is no room in the budget (`beyond`: in the machine); -EMSGSIZE past the announced length. */
int object_append(struct object *o, const void *p, size_t n, bool beyond) WARN_UNUSED;
void object_finish(struct object *o, enum body_state state);
/* Of a body in chunks: all readers are past `offset`. */
void object_discard(struct object *o, uint64_t offset);

/* When nothing can be done with it any more: fresh, stale-while-revalidate, stale-if-error, validation. */
int64_t object_useful_until_ms(const struct object *o);
static inline struct object_extras *object_extras(const struct object *o) /* or NULL */
{
	return o->flags & OBJECT_HAS_EXTRAS ? (struct object_extras *)(uintptr_t)o->tail : NULL;
}
static inline struct object **object_next(const struct object *o) /* NULL where it can have no further variants */
{
	return o->flags & OBJECT_HAS_EXTRAS ? &object_extras(o)->next : NULL;
}
static inline struct variant_index **object_index(const struct object *o) /* likewise */
{
	return o->flags & OBJECT_HAS_EXTRAS ? &object_extras(o)->index : NULL;
}
struct slice object_vary_names(const struct object *o);
struct slice object_vary_values(const struct object *o);
void object_purgeable(const struct object *o, struct purgeable *out); /* borrows from o */
enum purge_state object_check(struct object *o);
uint64_t object_total_bytes(const struct object *o);

#endif
