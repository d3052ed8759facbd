/* SPDX-License-Identifier: MIT */
#include "cache/memory/move.h"

#include "cache/memory/encodings.h"
#include "cache/memory/object_internal.h"
#include "cache/memory/users.h"
#include "cache/memory/variants.h"

/* ---- When ---- */

#define GIVE_BACK_BYTES HEAP_REGION /* in a step, or a region more */
#define LEAVE_LOOK 64               /* regions looked at in a step */

/* Not needed by what is stored; some of it will be by what comes next, and is not worth asking the system for again. */
static bool has_more_than(const struct memory *m, unsigned part)
{
	uint64_t used = atomic_load_explicit(&m->heap.used, memory_order_relaxed);

	return heap_resident(&m->heap) > used + used / part + m->slack_bytes;
}

static uint64_t excess(const struct memory *m)
{
	uint64_t used = atomic_load_explicit(&m->heap.used, memory_order_relaxed), resident = heap_resident(&m->heap);

	return resident > used ? resident - used : 0;
}

/* Where a move brought little, the next one would bring no more, until much else has gone or there is more to be had. */
static bool is_worth_moving(struct memory *m)
{
	if (excess(m) < m->excess_left)
		m->excess_left = excess(m);
	if (atomic_load_explicit(&m->heap.used, memory_order_relaxed) < m->used_then / 8 * 7)
		m->excess_left = 0;
	return has_more_than(m, 5) &&
	       excess(m) > m->excess_left + m->excess_left / 4 + m->slack_bytes / 2 + HEAP_REGION;
}

/* What is moved is there twice until the regions that it lay in are empty, and what is stored meanwhile finds no room in those. So
 * much may be resident then: as much as the tier may have without it, but where there is that much already, a little more. */
static uint64_t most_resident(const struct memory *m)
{
	uint64_t usual = m->limit_bytes + m->limit_bytes / 5 + m->slack_bytes;
	uint64_t least = heap_resident(&m->heap) + m->limit_bytes / 32 + HEAP_POOLS * HEAP_REGION;

	return usual > least ? usual : least;
}

static void begin_choosing(struct memory *m)
{
	m->compacting = COMPACT_CHOOSE;
	m->resident_most = most_resident(m);
	m->has_chosen_all = true;
	m->choose_left = atomic_load_explicit(&m->heap.regions, memory_order_relaxed) + HEAP_POOLS * LEAVE_LOOK;
	m->used_then = atomic_load_explicit(&m->heap.used, memory_order_relaxed);
	m->excess_then = excess(m);
}

static bool give_back(struct memory *m)
{
	size_t bytes = 0;

	for (unsigned without = 0; without < HEAP_POOLS && bytes < GIVE_BACK_BYTES;) {
		size_t n = heap_give_back(&m->heap, m->compact_pool);

		m->compact_pool = (m->compact_pool + 1) % HEAP_POOLS;
		without = n == 0 ? without + 1 : 0;
		bytes += n;
	}
	return bytes > 0;
}

/* Chooses what is to be emptied, a region a step; false: all have been looked at, or there would be no room for more. */
static bool choose(struct memory *m)
{
	uint64_t moved = atomic_load_explicit(&m->heap.leaving_used, memory_order_relaxed);

	if (heap_resident(&m->heap) + moved >= m->resident_most) {
		m->has_chosen_all = false;
		return false;
	}
	if (heap_leave(&m->heap, m->compact_pool, LEAVE_LOOK))
		return true;
	m->choose_left -= m->choose_left < LEAVE_LOOK ? m->choose_left : LEAVE_LOOK;
	m->compact_pool = (m->compact_pool + 1) % HEAP_POOLS;
	return m->choose_left > 0;
}

/* By what was chosen, as what goes meanwhile leaves more that could be moved. */
static bool has_brought_little(const struct memory *m)
{
	return m->chosen - m->not_emptied <= m->chosen / 4 || (m->has_chosen_all && m->gain <= m->excess_then / 4);
}

/* What could not be emptied goes on, a region a step. */
static void go_on(struct memory *m)
{
	if (atomic_load_explicit(&m->heap.leaving, memory_order_relaxed) > 0) {
		if (!heap_return(&m->heap, m->compact_pool))
			m->compact_pool = (m->compact_pool + 1) % HEAP_POOLS;
		return;
	}
	m->compacting = COMPACT_IDLE;
	m->excess_left = has_brought_little(m) ? excess(m) : 0;
}

static void end_choosing(struct memory *m)
{
	m->chosen = atomic_load_explicit(&m->heap.leaving, memory_order_relaxed);
	m->not_emptied = 0;
	m->gain = m->chosen * HEAP_REGION - atomic_load_explicit(&m->heap.leaving_used, memory_order_relaxed);
	m->compacting = m->chosen > 0 ? COMPACT_CHOSEN : COMPACT_RETURN;
}

/* Where the walk has ended, or so much has been stored meanwhile that there is no room for copies any more. */
static void end_moving(struct memory *m)
{
	m->compacting = COMPACT_RETURN;
	m->not_emptied = atomic_load_explicit(&m->heap.leaving, memory_order_relaxed);
}

bool memory_compact(struct memory *m, bool walk_begins)
{
	bool has_chosen = m->compacting == COMPACT_CHOSEN || m->compacting == COMPACT_MOVE;

	if (has_chosen && heap_resident(&m->heap) > m->resident_most)
		end_moving(m);
	if (walk_begins && m->compacting == COMPACT_MOVE)
		end_moving(m);
	if (walk_begins && m->compacting == COMPACT_CHOSEN)
		m->compacting = COMPACT_MOVE;
	if (m->compacting == COMPACT_RETURN)
		go_on(m);
	if (has_more_than(m, 8) && give_back(m))
		return true;
	if (m->compacting == COMPACT_IDLE && is_worth_moving(m))
		begin_choosing(m);
	if (m->compacting == COMPACT_CHOOSE && !choose(m))
		end_choosing(m);
	return m->compacting != COMPACT_IDLE;
}

/* ---- What ---- */

/* Lies in what was moved away, until it is freed. */
static void leave_behind(struct shard *s, void *old, struct garbage *g)
{
	struct husk *h = old;

	h->shard = s;
	h->next = g->husks;
	g->husks = h;
}

/* A copy somewhere else; NULL: it may stay, or there is no room. */
static void *copy_out(struct shard *s, const void *old)
{
	const struct memory *m = s->memory;
	size_t n = heap_size(old);
	void *copy;

	if (!heap_is_leaving(&m->heap, old) ||
		atomic_load_explicit(&m->bytes, memory_order_relaxed) + n > m->limit_bytes)
		return NULL;
	n = heap_room(old);
	copy = memory_take_beyond(s, n);
	return copy ? memcpy(copy, old, n) : NULL;
}

static void move_link(struct link *old, struct link *new)
{
	if (old->next == old) {
		link_init(new);
		return;
	}
	*new = *old;
	new->prev->next = new;
	new->next->prev = new;
}

static bool has_one_ref(const _Atomic uint32_t *refs)
{
	return atomic_load_explicit(refs, memory_order_acquire) == 1;
}

static void move_body(struct object *o, struct shard *s, struct garbage *g)
{
	struct block *old, *copy;

	if (o->body_kind != BODY_BLOCK && o->body_kind != BODY_IN_LOWER)
		return;
	old = o->body.block;
	copy = has_one_ref(&old->refs) ? copy_out(s, old) : NULL;
	if (!copy)
		return;
	o->body.block = copy;
	leave_behind(s, old, g);
}

static void move_encodings(struct object *o, struct shard *s, struct garbage *g)
{
	_Atomic(struct encodings *) *at = object_encodings_at(o);
	struct encodings *old = at ? atomic_load_explicit(at, memory_order_relaxed) : NULL, *copy;

	if (!old || encodings_are_shared(old))
		return;
	for (unsigned c = 0; c < CACHE_CODINGS; c++) {
		struct block **b = encodings_block(old, (enum cache_coding)c), *moved = *b ? copy_out(s, *b) : NULL;

		if (!moved)
			continue;
		leave_behind(s, *b, g);
		*b = moved;
	}
	copy = copy_out(s, old);
	if (!copy)
		return;
	atomic_store_explicit(at, copy, memory_order_relaxed);
	leave_behind(s, old, g);
}

/* Returns where it is now. */
static struct object *move_object(struct object *o, struct shard *s, struct garbage *g)
{
	struct object *copy;

	move_body(o, s, g);
	move_encodings(o, s, g);
	copy = copy_out(s, o);
	if (!copy)
		return o;
	move_link(&o->expiry, &copy->expiry);
	leave_behind(s, o, g);
	return copy;
}

/* In uthash's order of elements and in its chain, as entry_move_last_locked does. */
static void replace_in_index(struct shard *s, struct entry *old, struct entry *new)
{
	UT_hash_table *t = old->hh.tbl;
	struct entry *prev = old->hh.prev, *next = old->hh.next;

	new->hh.key = new->key;
	if (prev)
		prev->hh.next = new;
	else
		s->index = new;
	if (next)
		next->hh.prev = new;
	else
		t->tail = &new->hh;
	if (old->hh.hh_prev)
		old->hh.hh_prev->hh_next = &new->hh;
	else
		t->buckets[old->hh.hashv & (t->num_buckets - 1)].hh_head = &new->hh;
	if (old->hh.hh_next)
		old->hh.hh_next->hh_prev = &new->hh;
}

static void move_variants(struct pass_marker *m, struct shard *s, struct garbage *g)
{
	struct pass_variants *old = m->variants, *copy = old ? copy_out(s, old) : NULL;

	if (!copy)
		return;
	m->variants = copy;
	leave_behind(s, old, g);
}

static void move_markers(struct entry *e, struct garbage *g)
{
	struct markers *old = e->markers, *copy;

	if (!old)
		return;
	move_variants(&old->pass, e->shard, g);
	move_variants(&old->heads, e->shard, g);
	copy = copy_out(e->shard, old);
	if (!copy)
		return;
	if (old->is_marked)
		move_link(&old->marker, &copy->marker);
	e->markers = copy;
	leave_behind(e->shard, old, g);
}

static struct entry *move_entry(struct entry *e, struct garbage *g)
{
	struct shard *s = e->shard;
	struct entry *copy = copy_out(s, e);

	if (!copy)
		return e;
	replace_in_index(s, e, copy);
	if (e->has_user)
		users_moved_locked(e, copy);
	if (copy->markers)
		copy->markers->entry = copy;
	for (struct object *o = copy->variants; o; o = object_next(o) ? *object_next(o) : NULL)
		o->entry = copy;
	leave_behind(s, e, g);
	return copy;
}

/* It holds the entry. */
static bool remembers_error(const struct markers *n)
{
	for (unsigned kind = 0; kind < FAILED_KINDS; kind++)
		if (n->failed[kind].response)
			return true;
	return false;
}

/* Who has no reference gets none without the shard's lock. */
static bool is_the_indexs_alone(const struct entry *e)
{
	uint32_t n = 1;

	if (e->markers && (e->markers->flights || remembers_error(e->markers)))
		return false;
	for (const struct object *o = e->variants; o; o = object_next(o) ? *object_next(o) : NULL, n++)
		if (!has_one_ref(&o->refs))
			return false;
	return atomic_load_explicit(&e->refs, memory_order_acquire) == n;
}

struct entry *entry_move_locked(struct entry *e, struct garbage *g)
{
	struct shard *s = e->shard;
	const struct husk *before = g->husks;

	if (s->memory->compacting != COMPACT_MOVE || !is_the_indexs_alone(e))
		return e;
	for (struct object **at = &e->variants; at && *at; at = object_next(*at))
		*at = move_object(*at, s, g);
	move_markers(e, g);
	variants_moved_locked(e);
	e = move_entry(e, g);
	if (g->husks != before)
		atomic_fetch_add_explicit(&s->memory->moved, 1, memory_order_relaxed);
	return e;
}
