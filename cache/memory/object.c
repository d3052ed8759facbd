/* SPDX-License-Identifier: MIT */
#include "cache/memory/object_internal.h"

#include <errno.h>

#include "cache/tier/tier.h"
#include "cache/memory/encodings.h"

/* ---- References ---- */

void block_unref(struct shard *s, struct block *b)
{
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		memory_give(s, b);
}

struct object *object_ref(struct object *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void object_unref(struct object **o)
{
	struct object *gone = *o;
	struct entry *e;

	*o = NULL;
	if (!gone || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
		return;
	e = gone->entry;
	encodings_unref(e->shard, object_encodings(gone));
	if (gone->body_kind == BODY_BLOCK || gone->body_kind == BODY_IN_LOWER)
		block_unref(e->shard, gone->body.block);
	else if (gone->body_kind == BODY_CHUNKS)
		chunks_free(e->shard, gone->body.chunks);
	memory_give(e->shard, gone);
	entry_unref(&e);
}

/* ---- Where things lie ---- */

/* Of one that is partial they lie behind the part. */
static const char *tags_at(const struct object *o)
{
	const char *p = (const char *)(object_extras(o) + 1);

	return o->flags & OBJECT_IS_PARTIAL ? p + sizeof(struct object_part) : p;
}

static size_t head_offset(const struct object *o)
{
	const struct object_extras *x = object_extras(o);

	return x ? x->total_n : 0;
}

static char *inline_body(const struct object *o)
{
	return (char *)(uintptr_t)(o->tail + head_offset(o) + o->head_n);
}

struct slice object_vary_names(const struct object *o)
{
	const struct object_extras *x = object_extras(o);

	return x ? (struct slice){tags_at(o) + x->tags_n * sizeof(uint64_t), x->names_n} : (struct slice){"", 0};
}

struct slice object_vary_values(const struct object *o)
{
	const struct object_extras *x = object_extras(o);
	struct slice names = object_vary_names(o);

	return x ? (struct slice){names.p + names.n, x->values_n} : (struct slice){"", 0};
}

bool object_part(const struct object *o, uint64_t *first, uint64_t *total)
{
	const struct object_part *part;

	if (!(o->flags & OBJECT_IS_PARTIAL))
		return false;
	part = (const void *)(object_extras(o) + 1);
	*first = part->first;
	*total = part->total;
	return true;
}

_Atomic(struct encodings *) *object_encodings_at(const struct object *o)
{
	return o->flags & OBJECT_MAY_ENCODE ? &object_extras(o)->encodings : NULL;
}

struct encodings *object_encodings(const struct object *o)
{
	_Atomic(struct encodings *) *at = object_encodings_at(o);

	return at ? atomic_load_explicit(at, memory_order_acquire) : NULL;
}

bool object_may_encode(const struct object *o)
{
	return o->flags & OBJECT_MAY_ENCODE;
}

bool object_etag_is_ours(const struct object *o)
{
	return o->flags & OBJECT_ETAG_IS_OURS;
}

int object_status(const struct object *o)
{
	return o->status;
}

struct slice object_head(const struct object *o)
{
	return (struct slice){o->tail + head_offset(o), o->head_n};
}

const struct freshness *object_freshness(const struct object *o)
{
	return &o->freshness;
}

struct slice object_url(const struct object *o)
{
	return entry_url(o->entry);
}

uint64_t object_epoch(const struct object *o)
{
	return atomic_load_explicit(&o->epoch, memory_order_relaxed);
}

void object_purgeable(const struct object *o, struct purgeable *out)
{
	const struct object_extras *x = object_extras(o);

	*out = (struct purgeable){.url = object_url(o), .user = entry_user(o->entry)};
	if (x && x->tags_n > 0) {
		out->tags = (const void *)tags_at(o);
		out->tags_n = x->tags_n;
	}
}

enum purge_state object_check(struct object *o)
{
	struct invalidation_table *invalidation = o->entry->shard->memory->invalidation;
	uint64_t epoch = object_epoch(o);
	struct purgeable set;

	if (epoch >= invalidation_now(invalidation))
		return NOT_PURGED;
	object_purgeable(o, &set);
	return invalidation_check(invalidation, &set, epoch, &o->epoch);
}

/* ---- Fields ---- */

bool object_head_field_next(struct slice head, size_t *at, struct http_field *out)
{
	const char *line, *end, *colon;

	if (*at == 0) { /* behind the status line */
		end = memchr(head.p, '\n', head.n);
		*at = end ? (size_t)(end + 1 - head.p) : head.n;
	}
	if (*at >= head.n)
		return false;
	line = head.p + *at;
	end = memchr(line, '\r', head.n - *at);
	colon = end ? memchr(line, ':', (size_t)(end - line)) : NULL;
	if (!colon)
		return false;
	out->name = (struct slice){line, (size_t)(colon - line)};
	out->value = slice_trim((struct slice){colon + 1, (size_t)(end - colon - 1)});
	out->id = http_field_id_of(out->name);
	*at += (size_t)(end + 2 - line);
	return true;
}

bool object_field_next(const struct object *o, size_t *at, struct http_field *out)
{
	return object_head_field_next(object_head(o), at, out);
}

bool object_field(const struct object *o, enum http_field_id id, struct slice *value)
{
	struct http_field f;

	for (size_t at = 0; object_field_next(o, &at, &f);)
		if (f.id == id) {
			*value = f.value;
			return true;
		}
	*value = (struct slice){"", 0};
	return false;
}

/* A stale response that can be validated is worth keeping for a while: it saves the origin a body. */
#define VALIDATOR_KEEP_MS (60LL * 60 * 1000)

int64_t object_useful_until_ms(const struct object *o)
{
	const struct freshness *f = &o->freshness;
	int64_t stale = policy_stale_window_ms(f);

	if (o->flags & OBJECT_HAS_VALIDATOR)
		stale = stale < VALIDATOR_KEEP_MS ? VALIDATOR_KEEP_MS : stale;
	else if (f->flags & POLICY_NO_CACHE)
		return f->received_mono_ms; /* to be validated before each use, and it can't be */
	return f->received_mono_ms - f->initial_age_ms + f->lifetime_ms + stale;
}

/* ---- Body ---- */

bool object_head_says_length(const struct object *o)
{
	return o->flags & OBJECT_SAYS_LENGTH;
}

int64_t object_body_length(const struct object *o)
{
	uint64_t n;

	switch (o->body_kind) {
	case BODY_INLINE:
		return (int64_t)o->body.inline_n;
	case BODY_BLOCK:
		return (int64_t)o->body.block->n;
	case BODY_IN_LOWER:
		return (int64_t)object_tier_body(o)->n;
	default:
		return object_body_state(o, &n) == BODY_COMPLETE ? (int64_t)n : -1;
	}
}

int64_t object_announced_length(const struct object *o)
{
	return o->body_kind == BODY_CHUNKS && chunks_announced(o->body.chunks) >= 0 ? chunks_announced(o->body.chunks)
										    : object_body_length(o);
}

enum body_state object_body_state(const struct object *o, uint64_t *available)
{
	uint64_t progress = atomic_load_explicit(&o->progress, memory_order_acquire);

	*available = progress >> 2;
	return (enum body_state)(progress & 3);
}

struct slice object_body_at(const struct object *o, uint64_t offset)
{
	uint64_t available;
	const char *p;

	(void)object_body_state(o, &available);
	if (offset >= available || o->body_kind == BODY_IN_LOWER)
		return (struct slice){"", 0};
	if (o->body_kind == BODY_CHUNKS)
		return chunks_at(o->body.chunks, offset, available);
	p = o->body_kind == BODY_INLINE ? inline_body(o) : o->body.block->bytes;
	return (struct slice){p + offset, available - offset};
}

static char *fixed_body(struct object *o)
{
	return o->body_kind == BODY_INLINE ? inline_body(o) : o->body.block->bytes;
}

int object_append(struct object *o, const void *p, size_t n, bool beyond)
{
	uint64_t at;
	int err;

	(void)object_body_state(o, &at);
	if (o->body_kind == BODY_CHUNKS) {
		int64_t announced = chunks_announced(o->body.chunks);

		if (announced >= 0 && n > (uint64_t)announced - at)
			return -EMSGSIZE;
		err = chunks_append(o->entry->shard, o->body.chunks, at, p, n, beyond);
		if (err)
			return err;
	} else {
		if (n > (uint64_t)object_body_length(o) - at)
			return -EMSGSIZE;
		memcpy(fixed_body(o) + at, p, n);
	}
	/* Readers that see the new length see the bytes. */
	atomic_store_explicit(&o->progress, (at + n) << 2 | BODY_GROWING, memory_order_release);
	return 0;
}

void object_finish(struct object *o, enum body_state state)
{
	uint64_t n;

	(void)object_body_state(o, &n);
	atomic_store_explicit(&o->progress, n << 2 | (uint64_t)state, memory_order_release);
}

void object_discard(struct object *o, uint64_t offset)
{
	CHECK(o->body_kind == BODY_CHUNKS);
	chunks_discard(o->entry->shard, o->body.chunks, offset);
}

uint64_t object_total_bytes(const struct object *o)
{
	uint64_t n = heap_size(o);

	if (o->body_kind == BODY_BLOCK || o->body_kind == BODY_IN_LOWER)
		n += heap_size(o->body.block);
	return n + encodings_bytes(object_encodings(o));
}

bool object_body_is_stable(const struct object *o)
{
	uint64_t available;

	return o->body_kind != BODY_CHUNKS && o->body_kind != BODY_IN_LOWER &&
	       object_body_state(o, &available) == BODY_COMPLETE;
}

bool object_body_is_in_lower(const struct object *o)
{
	return o->body_kind == BODY_IN_LOWER;
}

struct tier_body *object_tier_body(const struct object *o)
{
	return o->body_kind == BODY_IN_LOWER ? (void *)o->body.block->bytes : NULL;
}
