/* SPDX-License-Identifier: MIT */
/* A shard of the memory tier, under its mu: the index, the LRU in its order, variants, markers; and what is freed after it. */
#include <errno.h>

#include "base/mem.h"
#include "cache/memory/memory.h"
#include "cache/memory/object_internal.h"
#include "cache/memory/pass.h"
#include "cache/memory/users.h"
#include "cache/memory/variants.h"
#include "cache/policy/coarse.h"

/* This part of memory, 1/n, may hold errors that are remembered. */
#define FAILED_SHARE 32

/* ---- Garbage ---- */

void garbage_add(struct garbage *g, struct object *o)
{
	o->expiry.next = g->objects ? &g->objects->expiry : NULL;
	g->objects = o;
}

void garbage_free(struct garbage *g)
{
	for (struct object *o = g->objects, *next; o; o = next) {
		next = o->expiry.next ? CONTAINER_OF(o->expiry.next, struct object, expiry) : NULL;
		object_unref(&o);
	}
	for (struct markers *n = g->markers, *next; n; n = next) {
		next = n->marker.next ? CONTAINER_OF(n->marker.next, struct markers, marker) : NULL;
		memory_give(n->shard, n);
	}
	for (struct entry *e = g->entries, *next; e; e = next) {
		next = e->hh.next;
		entry_unref(&e);
	}
	for (struct husk *h = g->husks, *next; h; h = next) {
		next = h->next;
		memory_give(h->shard, h);
	}
	*g = (struct garbage){0};
}

/* ---- The index ---- */

struct entry *entry_find_locked(struct shard *s, const struct cache_key *key)
{
	struct entry *e = NULL;

	/* uthash compares the whole key where the hash is equal. */
	HASH_FIND_BYHASHVALUE(hh, s->index, key->bytes.p, key->bytes.n, (unsigned)key->place, e);
	return e;
}

/* The tables of the index are bytes too; they change only where an entry comes or goes. */
static void count_index(struct shard *s)
{
	size_t now = 0;

	if (s->index)
		now = mem_size(s->index->hh.tbl) + mem_size(s->index->hh.tbl->buckets);
	atomic_fetch_add_explicit(&s->memory->bytes, now - s->index_bytes, memory_order_relaxed);
	s->index_bytes = now;
}

/* uthash doubles a table when one chain is long, and never again once that has not helped. Here it does when there are
 * more entries than chains, always. */
static void let_index_grow(struct shard *s)
{
	if (s->index)
		s->index->hh.tbl->noexpand = s->index->hh.tbl->num_items < s->index->hh.tbl->num_buckets;
}

int entry_link_locked(struct shard *s, struct entry *e)
{
	bool hash_ok = true;
	unsigned n = e->hh.keylen, hash = e->hh.hashv;

	let_index_grow(s);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->index, e->key, n, hash, e);
	if (!hash_ok) {
		e->hh.keylen = n;
		e->hh.hashv = hash;
		count_index(s);
		return -ENOMEM;
	}
	count_index(s);
	atomic_fetch_add_explicit(&s->memory->entries, 1, memory_order_relaxed);
	return 0;
}

static void unlink_entry(struct entry *e, struct garbage *g)
{
	struct shard *s = e->shard;

	HASH_DEL(s->index, e);
	if (e->has_user)
		users_forget_locked(e);
	count_index(s);
	atomic_fetch_sub_explicit(&s->memory->entries, 1, memory_order_relaxed);
	e->hh.next = g->entries;
	g->entries = e;
}

void entry_tidy_locked(struct entry *e, struct garbage *g)
{
	struct markers *n = e->markers;

	if (n && !n->flights && !n->is_marked) {
		e->markers = NULL;
		n->marker.next = g->markers ? &g->markers->marker : NULL;
		g->markers = n;
	}
	if (!e->variants && !e->markers)
		unlink_entry(e, g);
}

void entry_move_last_locked(struct entry *e)
{
	struct shard *s = e->shard;
	struct entry *prev = e->hh.prev, *next = e->hh.next, *last;

	if (!next)
		return;
	/* By hand in uthash's order of elements: deleting and adding anew would do the same but may allocate. */
	next->hh.prev = prev;
	if (prev)
		prev->hh.next = next;
	else
		s->index = next;
	last = ELMT_FROM_HH(e->hh.tbl, e->hh.tbl->tail);
	last->hh.next = e;
	e->hh.prev = last;
	e->hh.next = NULL;
	e->hh.tbl->tail = &e->hh;
}

void entry_touch_locked(struct entry *e, struct now now)
{
	uint32_t second = (uint32_t)(now.mono_ms / 1000);

	if (second - e->touched_s < 2)
		return;
	e->touched_s = second;
	entry_move_last_locked(e);
}

#define IDLE_HOURS 0x8000u
#define IDLE_MAX 0x7fffu

void entry_set_idle_locked(struct entry *e, int64_t ms)
{
	int64_t s = (ms + 999) / 1000, h = (s + 3599) / 3600;

	if (ms < 0)
		e->idle = 0;
	else if (s <= IDLE_MAX)
		e->idle = s > 0 ? (uint16_t)s : 1;
	else
		e->idle = (uint16_t)(IDLE_HOURS | (h < IDLE_MAX ? h : IDLE_MAX));
}

/* A touch is noted up to two seconds late. */
bool entry_is_idle_locked(const struct entry *e, struct now now)
{
	int64_t idle_s = e->idle & IDLE_HOURS ? (e->idle & IDLE_MAX) * INT64_C(3600) : e->idle;

	return e->idle > 0 && (uint32_t)(now.mono_ms / 1000) - e->touched_s >= idle_s + 2;
}

/* Bucket numbers counted with their bits reversed: when the table doubles, a bucket that was visited splits into two
 * that both count as visited. */
static uint32_t next_bucket(uint32_t at, uint32_t mask)
{
	uint32_t bit = (mask + 1) >> 1;

	while (bit && (at & bit)) {
		at &= ~bit;
		bit >>= 1;
	}
	return bit ? at | bit : 0;
}

unsigned shard_walk_locked(struct shard *s, uint32_t *cursor, void (*visit)(struct entry *e, void *arg), void *arg)
{
	uint32_t mask;
	unsigned n = 0;

	if (!s->index) {
		*cursor = 0;
		return 0;
	}
	mask = s->index->hh.tbl->num_buckets - 1;
	for (UT_hash_handle *hh = s->index->hh.tbl->buckets[*cursor & mask].hh_head, *next; hh; hh = next, n++) {
		next = hh->hh_next;
		visit(CONTAINER_OF(hh, struct entry, hh), arg);
	}
	*cursor = next_bucket(*cursor & mask, mask);
	return n;
}

static uint32_t reverse_bits(uint32_t v)
{
	v = (v & 0x55555555u) << 1 | (v >> 1 & 0x55555555u);
	v = (v & 0x33333333u) << 2 | (v >> 2 & 0x33333333u);
	v = (v & 0x0f0f0f0fu) << 4 | (v >> 4 & 0x0f0f0f0fu);
	return __builtin_bswap32(v);
}

struct entry *shard_seek_locked(struct shard *s, uint64_t *place)
{
	uint32_t mask, last;
	struct entry *found = NULL;

	if (!s->index) {
		*place = SHARD_END;
		return NULL;
	}
	mask = s->index->hh.tbl->num_buckets - 1;
	last = (uint32_t)*place | reverse_bits(~mask);
	for (UT_hash_handle *hh = s->index->hh.tbl->buckets[reverse_bits((uint32_t)*place) & mask].hh_head; hh;
		hh = hh->hh_next) {
		uint32_t at = reverse_bits(hh->hashv);

		if (at >= *place && (at < last || (at == last && !found))) {
			found = CONTAINER_OF(hh, struct entry, hh);
			last = at;
		}
	}
	*place = found ? last : (uint64_t)last + 1;
	return found;
}

struct entry *entry_next_of_hash(const struct entry *e)
{
	for (UT_hash_handle *hh = e->hh.hh_next; hh; hh = hh->hh_next)
		if (hh->hashv == e->hh.hashv)
			return CONTAINER_OF(hh, struct entry, hh);
	return NULL;
}

/* ---- Variants ---- */

static void count_drop(struct memory *m, enum drop_reason why)
{
	_Atomic uint64_t *counters[] = {
		[DROP_LRU] = &m->evicted_lru,
		[DROP_EXPIRED] = &m->evicted_expired,
		[DROP_IDLE] = &m->evicted_idle,
		[DROP_PURGED] = &m->evicted_purged,
		[DROP_REPLACED] = &m->evicted_replaced,
	};

	atomic_fetch_add_explicit(counters[why], 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&m->objects, 1, memory_order_relaxed);
}

static struct object *next_variant(const struct object *o)
{
	return object_next(o) ? *object_next(o) : NULL;
}

void variant_drop_locked(struct entry *e, struct object *o, enum drop_reason why, struct garbage *g)
{
	struct shard *s = e->shard;
	struct object **at = &e->variants;

	if (o->hits > 0)
		e->past_hits = coarse_add(e->past_hits, o->hits,
			(uint32_t)hash_keyed_u64((uint64_t)o->freshness.received_mono_ms ^ (uintptr_t)o));
	variants_dropping_locked(e, o);
	while (*at != o)
		at = object_next(*at);
	*at = next_variant(o);
	wheel_remove(&s->wheel, &o->expiry);
	atomic_fetch_sub_explicit(&s->objects_n, 1, memory_order_relaxed);
	count_drop(s->memory, why);
	garbage_add(g, o);
}

static bool is_superseded(const struct object *old, const struct object *new)
{
	/* A response without Vary serves every request, so it leaves no room for others, nor they for it (RFC 9111 4.1). */
	if (object_vary_names(old).n == 0 || object_vary_names(new).n == 0)
		return true;
	return slice_equal(object_vary_names(old), object_vary_names(new)) &&
	       slice_equal(object_vary_values(old), object_vary_values(new));
}

/* The whole of what is new only in part, while it can be used. Which of two is newer, landing.h says. */
static bool keeps_its_place(const struct object *old, const struct object *new, struct now now)
{
	return (new->flags &OBJECT_IS_PARTIAL) && !(old->flags & OBJECT_IS_PARTIAL) &&
	       policy_ttl_ms(&old->freshness, now) > 0;
}

bool variant_supersede_locked(struct entry *e, struct object *o, struct now now, struct garbage *g)
{
	for (struct object *old = e->variants; old; old = next_variant(old))
		if (is_superseded(old, o) && keeps_its_place(old, o, now))
			return false;
	for (struct object *old = e->variants, *next; old; old = next) {
		next = next_variant(old);
		if (is_superseded(old, o))
			variant_drop_locked(e, old, DROP_REPLACED, g);
	}
	return true;
}

bool variant_store_locked(struct entry *e, struct object *o, struct now now, struct garbage *g)
{
	struct shard *s = e->shard;
	struct object *last = NULL;
	unsigned kept = 0;

	for (struct object *old = e->variants; old; old = next_variant(old))
		if (is_superseded(old, o) && keeps_its_place(old, o, now)) {
			garbage_add(g, o);
			return false;
		}
	for (struct object *old = e->variants, *next; old; old = next) {
		next = next_variant(old);
		if (is_superseded(old, o)) {
			variant_drop_locked(e, old, DROP_REPLACED, g);
		} else {
			last = old;
			kept++;
		}
	}
	if (last && kept >= s->memory->max_variants) {
		variant_drop_locked(e, last, DROP_REPLACED, g);
		kept--;
	}
	if (object_next(o))
		*object_next(o) = e->variants;
	e->variants = o;
	variants_added_locked(e, o, kept);
	wheel_advance(&s->wheel, now.mono_ms / 1000);
	wheel_add(&s->wheel, &o->expiry);
	atomic_fetch_add_explicit(&s->objects_n, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->memory->objects, 1, memory_order_relaxed);
	e->touched_s = (uint32_t)(now.mono_ms / 1000);
	entry_move_last_locked(e);
	return true;
}

/* ---- The bound of a user ---- */

static void drop_all_locked(struct entry *e, struct garbage *g)
{
	while (e->variants)
		variant_drop_locked(e, e->variants, DROP_REPLACED, g);
	entry_tidy_locked(e, g);
}

void user_bound_locked(struct entry *e, unsigned max, struct garbage *g)
{
	struct entry *over = NULL;

	if (e->has_user && max > 0)
		(void)users_note_locked(e, max, &over);
	if (over)
		drop_all_locked(over, g);
}

/* ---- Markers ---- */

void marker_keep_response_locked(struct markers *n, struct failure_marker *m, struct object *o, struct garbage *g)
{
	struct memory *memory = n->shard->memory;
	_Atomic uint64_t *bytes = &memory->failed_bytes;

	if (m->response) {
		atomic_fetch_sub_explicit(bytes, object_total_bytes(m->response), memory_order_relaxed);
		garbage_add(g, m->response);
	}
	m->response = NULL;
	/* They are not in the order of eviction: what is stored shall not have to make room for many of them. */
	if (!o || atomic_load_explicit(bytes, memory_order_relaxed) + object_total_bytes(o) >
			  memory->limit_bytes / FAILED_SHARE)
		return;
	m->response = object_ref(o);
	atomic_fetch_add_explicit(bytes, object_total_bytes(o), memory_order_relaxed);
}

void marker_clear_failure_locked(struct markers *n, enum failure_kind kind, struct garbage *g)
{
	struct failure_marker *m = &n->failed[kind];

	m->until_ms = 0;
	m->trouble_until_ms = 0;
	marker_keep_response_locked(n, m, NULL, g);
}

void marker_set_since(struct marker_epoch *m, uint64_t epoch)
{
	m->epoch = epoch;
	atomic_store_explicit(&m->checked, epoch, memory_order_relaxed);
}

bool marker_is_purged_locked(const struct entry *e, struct marker_epoch *m)
{
	struct purgeable set = {.url = entry_url(e), .user = entry_user(e)};

	return invalidation_check(e->shard->memory->invalidation, &set, m->epoch, &m->checked) != NOT_PURGED;
}

void marker_clear_locked(struct markers *n, struct garbage *g)
{
	pass_clear_locked(&n->pass, g);
	pass_clear_locked(&n->heads, g);
	marker_clear_failures_locked(n, g);
}

void marker_clear_failures_locked(struct markers *n, struct garbage *g)
{
	struct shard *s = n->shard;

	n->rest_until_ms = 0;
	for (unsigned kind = 0; kind < FAILED_KINDS; kind++)
		marker_clear_failure_locked(n, kind, g);
	if (n->pass.until_ms != 0 || n->heads.until_ms != 0)
		return;
	/* A purge may have undone them. */
	pass_clear_locked(&n->pass, g);
	pass_clear_locked(&n->heads, g);
	if (!n->is_marked)
		return;
	n->is_marked = false;
	link_remove(&n->marker);
	s->markers_n--;
	atomic_fetch_sub_explicit(&s->memory->markers, 1, memory_order_relaxed);
}

void marker_set_locked(struct entry *e, struct garbage *g)
{
	struct shard *s = e->shard;
	struct markers *n = e->markers;

	if (n->is_marked) {
		link_remove(&n->marker);
		link_append(&s->markers, &n->marker);
		return;
	}
	if (s->markers_n >= s->memory->max_markers) {
		struct markers *oldest = CONTAINER_OF(s->markers.next, struct markers, marker);

		atomic_fetch_add_explicit(&s->memory->markers_evicted, 1, memory_order_relaxed);
		marker_clear_locked(oldest, g);
		entry_tidy_locked(oldest->entry, g);
	}
	n->is_marked = true;
	link_append(&s->markers, &n->marker);
	s->markers_n++;
	atomic_fetch_add_explicit(&s->memory->markers, 1, memory_order_relaxed);
}
