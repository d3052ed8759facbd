/* SPDX-License-Identifier: MIT */
#include "cache/disk/index.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

#define SLOTS_MIN 16

static struct index_shard *shard_of(const struct index *ix, struct hash128 hash)
{
	return &ix->shards[hash.hi & (INDEX_SHARDS - 1)];
}

/* Keyed: those who choose what is asked for could choose it so that long runs come about. */
static uint32_t home_of(uint64_t key, uint32_t slots_n)
{
	return (uint32_t)(((hash_keyed_u64(key) >> 32) * slots_n) >> 32);
}

static uint32_t next_of(const struct index_shard *s, uint32_t i)
{
	return i + 1 < s->slots_n ? i + 1 : 0;
}

int index_init(struct index *ix, uint32_t plain, void (*on_count)(void *arg, uint32_t seg, int change), void *arg)
{
	ix->shards = mem_zalloc(INDEX_SHARDS * sizeof(*ix->shards));
	if (!ix->shards)
		return -ENOMEM;
	for (unsigned i = 0; i < INDEX_SHARDS; i++)
		pthread_mutex_init(&ix->shards[i].mu, NULL);
	ix->on_count = on_count;
	ix->is_outdated = NULL;
	ix->arg = arg;
	ix->plain = plain;
	return 0;
}

void index_fini(struct index *ix)
{
	if (!ix->shards)
		return;
	for (unsigned i = 0; i < INDEX_SHARDS; i++) {
		pthread_mutex_destroy(&ix->shards[i].mu);
		mem_free(ix->shards[i].slots);
	}
	mem_free(ix->shards);
	ix->shards = NULL;
}

/* ---- The table of one shard ---- */

static void place(struct index_slot *slots, uint32_t slots_n, const struct index_slot *slot)
{
	uint32_t i = home_of(slot->key, slots_n);

	while (slots[i].kind != INDEX_EMPTY)
		i = i + 1 < slots_n ? i + 1 : 0;
	slots[i] = *slot;
}

/* By a quarter when nine tenths are in use: between 72 % and 90 %, so 36 to 44 bytes a record. */
static int make_room_locked(struct index_shard *s)
{
	uint32_t n = s->slots_n < SLOTS_MIN ? SLOTS_MIN : s->slots_n + s->slots_n / 4;
	struct index_slot *slots;

	if ((uint64_t)(s->used + 1) * 10 <= (uint64_t)s->slots_n * 9)
		return 0;
	slots = n > s->slots_n ? mem_zalloc(n * sizeof(*slots)) : NULL;
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->slots_n; i++)
		if (s->slots[i].kind != INDEX_EMPTY)
			place(slots, n, &s->slots[i]);
	mem_free(s->slots);
	s->slots = slots;
	s->slots_n = n;
	return 0;
}

static bool is_record(const struct index_slot *slot)
{
	return slot->kind == INDEX_WHOLE || slot->kind == INDEX_HEAD;
}

/* Closes the gap by moving back what may move: no slot may be cut off from its home. */
static void remove_locked(struct index *ix, struct index_shard *s, uint32_t gap)
{
	ix->on_count(ix->arg, s->slots[gap].seg, -1);
	s->records -= is_record(&s->slots[gap]);
	s->used--;
	for (uint32_t i = next_of(s, gap); s->slots[i].kind != INDEX_EMPTY; i = next_of(s, i)) {
		uint32_t home = home_of(s->slots[i].key, s->slots_n);
		uint32_t from_home = i >= home ? i - home : i + s->slots_n - home;
		uint32_t from_gap = i >= gap ? i - gap : i + s->slots_n - gap;

		if (from_home < from_gap)
			continue;
		s->slots[gap] = s->slots[i];
		gap = i;
	}
	s->slots[gap].kind = INDEX_EMPTY;
}

/* Walks the slots of a key: begin with *i from home_of. NULL at the end of the run. */
static struct index_slot *step_locked(struct index_shard *s, uint64_t key, uint32_t *i)
{
	for (; s->slots[*i].kind != INDEX_EMPTY; *i = next_of(s, *i))
		if (s->slots[*i].key == key)
			return &s->slots[*i];
	return NULL;
}

#define EACH_OF_KEY(s, key_, i, slot)                                  \
	uint32_t i = (s)->slots_n ? home_of((key_), (s)->slots_n) : 0; \
	(s)->slots_n && ((slot) = step_locked((s), (key_), &i));       \
	i = next_of((s), i)

/* Removes the slots of the key that `want` names; starts over after each, as removal moves others. */
static unsigned remove_where_locked(struct index *ix, struct index_shard *s, uint64_t key,
	bool (*want)(const struct index *ix, const struct index_slot *slot, const struct index_slot *arg),
	const struct index_slot *arg)
{
	struct index_slot *slot;
	unsigned removed = 0;
	bool again = s->slots_n > 0;

	while (again) {
		again = false;
		for (EACH_OF_KEY(s, key, i, slot)) {
			if (!want(ix, slot, arg))
				continue;
			remove_locked(ix, s, i);
			removed++;
			again = true;
			break;
		}
	}
	return removed;
}

/* ---- Finding ---- */

static bool goes_before(const struct index_slot *a, const struct index_slot *b)
{
	if (is_record(a) != is_record(b))
		return is_record(a);
	return a->lsn > b->lsn;
}

static unsigned insert_sorted(struct index_slot *out, unsigned n, const struct index_slot *slot)
{
	unsigned at = n;

	if (n == INDEX_FOUND_MAX)
		return n;
	for (; at > 0 && goes_before(slot, &out[at - 1]); at--)
		out[at] = out[at - 1];
	out[at] = *slot;
	return n + 1;
}

unsigned index_find(struct index *ix, struct hash128 hash, bool mark, struct index_slot out[INDEX_FOUND_MAX])
{
	struct index_shard *s = shard_of(ix, hash);
	struct index_slot *slot;
	unsigned n = 0;

	pthread_mutex_lock(&s->mu);
	for (EACH_OF_KEY(s, hash.lo, i, slot)) {
		n = insert_sorted(out, n, slot);
		if (mark)
			slot->hit = 1;
	}
	pthread_mutex_unlock(&s->mu);
	return n;
}

bool index_has(struct index *ix, struct hash128 hash)
{
	struct index_shard *s = shard_of(ix, hash);
	uint32_t i;
	bool has;

	pthread_mutex_lock(&s->mu);
	i = s->slots_n ? home_of(hash.lo, s->slots_n) : 0;
	has = s->slots_n && step_locked(s, hash.lo, &i);
	pthread_mutex_unlock(&s->mu);
	return has;
}

static struct index_slot *at_locked(struct index_shard *s, uint64_t key, uint32_t seg, uint32_t off8)
{
	struct index_slot *slot;

	for (EACH_OF_KEY(s, key, i, slot))
		if (slot->seg == seg && slot->off8 == off8)
			return slot;
	return NULL;
}

bool index_get_at(struct index *ix, struct hash128 hash, uint32_t seg, uint32_t off8, struct index_slot *out)
{
	struct index_shard *s = shard_of(ix, hash);
	const struct index_slot *slot;

	pthread_mutex_lock(&s->mu);
	slot = at_locked(s, hash.lo, seg, off8);
	if (slot)
		*out = *slot;
	pthread_mutex_unlock(&s->mu);
	return slot != NULL;
}

/* ---- Adding ---- */

/* Only the newer of the two is of use. */
static bool exclude(const struct index *ix, const struct index_slot *a, const struct index_slot *b)
{
	return a->variant == b->variant || a->variant == ix->plain || b->variant == ix->plain;
}

static bool is_superseded(const struct index *ix, const struct index_slot *slot, const struct index_slot *arg)
{
	return slot->lsn < arg->lsn && exclude(ix, slot, arg);
}

static bool is_older(const struct index *ix, const struct index_slot *slot, const struct index_slot *arg)
{
	(void)ix;
	return slot->lsn < arg->lsn;
}

static bool is_variant(const struct index *ix, const struct index_slot *slot, const struct index_slot *arg)
{
	(void)ix;
	return slot->variant == arg->variant;
}

/* Not the base, which stays as the body. */
static bool is_superseded_by_head(const struct index *ix, const struct index_slot *slot, const struct index_slot *arg)
{
	return is_superseded(ix, slot, arg) && !(slot->variant == arg->variant && slot->kind == INDEX_BODY);
}

static bool has_newer_locked(const struct index *ix, struct index_shard *s, const struct index_slot *slot)
{
	const struct index_slot *other;

	for (EACH_OF_KEY(s, slot->key, i, other))
		if (other->lsn > slot->lsn && exclude(ix, other, slot))
			return true;
	return false;
}

bool index_keeps_out(struct index *ix, struct hash128 hash, uint32_t variant, uint64_t lsn)
{
	const struct index_slot older = {.key = hash.lo, .variant = variant, .lsn = lsn - 1};
	struct index_shard *s = shard_of(ix, hash);
	bool keeps;

	pthread_mutex_lock(&s->mu);
	keeps = has_newer_locked(ix, s, &older);
	pthread_mutex_unlock(&s->mu);
	return keeps;
}

static void repoint_locked(struct index *ix, struct index_slot *slot, uint32_t seg, uint32_t off8)
{
	ix->on_count(ix->arg, seg, 1);
	ix->on_count(ix->arg, slot->seg, -1);
	slot->seg = seg;
	slot->off8 = off8;
}

static void insert_locked(struct index *ix, struct index_shard *s, const struct index_slot *slot)
{
	place(s->slots, s->slots_n, slot);
	s->used++;
	s->records += is_record(slot);
	ix->on_count(ix->arg, slot->seg, 1);
}

/* Keeps a key to INDEX_VARIANTS records, by dropping the oldest. */
static void bound_variants_locked(struct index *ix, struct index_shard *s, uint64_t key)
{
	const struct index_slot *slot;
	struct index_slot oldest = {.lsn = UINT64_MAX};
	unsigned n = 0;

	for (EACH_OF_KEY(s, key, i, slot)) {
		if (!is_record(slot))
			continue;
		n++;
		if (slot->lsn < oldest.lsn)
			oldest = *slot;
	}
	if (n > INDEX_VARIANTS) {
		remove_where_locked(ix, s, key, is_variant, &oldest);
		s->dropped_variants++;
	}
}

static int add_whole_locked(struct index *ix, struct index_shard *s, const struct index_slot *slot)
{
	struct index_slot *other;

	/* A copy of the same record, as whole or as the body of a later head. */
	for (EACH_OF_KEY(s, slot->key, i, other))
		if (other->variant == slot->variant && other->lsn == slot->lsn && other->kind != INDEX_HEAD) {
			repoint_locked(ix, other, slot->seg, slot->off8);
			other->hit = slot->hit;
			return 0;
		}
	if (has_newer_locked(ix, s, slot))
		return -ESTALE;
	if (make_room_locked(s) != 0)
		return -ENOMEM;
	remove_where_locked(ix, s, slot->key, is_superseded, slot);
	insert_locked(ix, s, slot);
	return 0;
}

static int add_head_locked(struct index *ix, struct index_shard *s, const struct index_slot *slot, uint64_t base_lsn)
{
	struct index_slot *other, *base = NULL;

	if (make_room_locked(s) != 0)
		return -ENOMEM;
	if (has_newer_locked(ix, s, slot))
		return -ESTALE;
	for (EACH_OF_KEY(s, slot->key, i, other)) {
		if (other->variant != slot->variant)
			continue;
		if (other->kind == INDEX_HEAD && other->lsn == slot->lsn) {
			repoint_locked(ix, other, slot->seg, slot->off8);
			other->hit = slot->hit;
			return 0;
		}
		if (other->kind != INDEX_HEAD && other->lsn == base_lsn)
			base = other;
	}
	if (!base)
		return -ENOENT;
	s->records -= is_record(base);
	base->kind = INDEX_BODY;
	remove_where_locked(ix, s, slot->key, is_superseded_by_head, slot);
	insert_locked(ix, s, slot);
	return 0;
}

int index_add(struct index *ix, struct hash128 hash, const struct index_slot *slot, uint64_t base_lsn)
{
	struct index_shard *s = shard_of(ix, hash);
	int err;

	pthread_mutex_lock(&s->mu);
	if (ix->is_outdated && ix->is_outdated(ix->arg, hash, slot->lsn))
		err = -ESTALE;
	else if (slot->kind == INDEX_HEAD)
		err = add_head_locked(ix, s, slot, base_lsn);
	else
		err = add_whole_locked(ix, s, slot);
	if (!err)
		bound_variants_locked(ix, s, slot->key);
	pthread_mutex_unlock(&s->mu);
	return err;
}

bool index_move(struct index *ix, struct hash128 hash, const struct index_slot *from, uint32_t seg, uint32_t off8)
{
	struct index_shard *s = shard_of(ix, hash);
	struct index_slot *slot;

	pthread_mutex_lock(&s->mu);
	slot = at_locked(s, hash.lo, from->seg, from->off8);
	if (slot && slot->lsn != from->lsn)
		slot = NULL;
	if (slot) {
		repoint_locked(ix, slot, seg, off8);
		slot->hit = 0;
	}
	pthread_mutex_unlock(&s->mu);
	return slot != NULL;
}

/* ---- Removing ---- */

bool index_drop_at(struct index *ix, struct hash128 hash, uint32_t seg, uint32_t off8)
{
	struct index_shard *s = shard_of(ix, hash);
	const struct index_slot *slot;

	pthread_mutex_lock(&s->mu);
	slot = at_locked(s, hash.lo, seg, off8);
	if (slot) {
		struct index_slot gone = *slot;

		remove_where_locked(ix, s, hash.lo, is_variant, &gone);
	}
	pthread_mutex_unlock(&s->mu);
	return slot != NULL;
}

static unsigned drop(struct index *ix, struct hash128 hash, const struct index_slot *arg,
	bool (*want)(const struct index *ix, const struct index_slot *slot, const struct index_slot *arg))
{
	struct index_shard *s = shard_of(ix, hash);
	unsigned n;

	pthread_mutex_lock(&s->mu);
	n = remove_where_locked(ix, s, hash.lo, want, arg);
	pthread_mutex_unlock(&s->mu);
	return n;
}

unsigned index_drop_variant(struct index *ix, struct hash128 hash, uint32_t variant, uint64_t before_lsn)
{
	struct index_slot arg = {.variant = variant, .lsn = before_lsn};

	return drop(ix, hash, &arg, is_superseded);
}

unsigned index_drop_key(struct index *ix, struct hash128 hash, uint64_t before_lsn)
{
	struct index_slot arg = {.lsn = before_lsn};

	return drop(ix, hash, &arg, is_older);
}

/* A head whose body goes here, or the other way round, is found out by the read that misses it. What a removal moves
 * comes from further on, or, past the table's end, from where this walk has been. */
static void drop_segment_locked(struct index *ix, struct index_shard *s, uint32_t seg)
{
	for (uint32_t i = 0; i < s->slots_n;) {
		if (s->slots[i].kind != INDEX_EMPTY && s->slots[i].seg == seg)
			remove_locked(ix, s, i);
		else
			i++;
	}
}

void index_drop_segment(struct index *ix, uint32_t seg)
{
	for (unsigned i = 0; i < INDEX_SHARDS; i++) {
		pthread_mutex_lock(&ix->shards[i].mu);
		drop_segment_locked(ix, &ix->shards[i], seg);
		pthread_mutex_unlock(&ix->shards[i].mu);
	}
}

static void drop_going_locked(struct index *ix, struct index_shard *s)
{
	for (uint32_t i = 0; i < s->slots_n;) {
		struct index_slot *slot = &s->slots[i], gone = *slot;

		if (slot->hit < INDEX_GOES || slot->kind == INDEX_EMPTY) {
			i++;
		} else if (slot->hit == INDEX_GOES_ALONE && slot->kind == INDEX_BODY) {
			slot->hit = 0;
			i++;
		} else {
			remove_where_locked(ix, s, gone.key, is_variant, &gone);
		}
	}
}

void index_drop_going(struct index *ix)
{
	for (unsigned i = 0; i < INDEX_SHARDS; i++) {
		pthread_mutex_lock(&ix->shards[i].mu);
		drop_going_locked(ix, &ix->shards[i]);
		pthread_mutex_unlock(&ix->shards[i].mu);
	}
}

static int by_key(const void *a, const void *b)
{
	const struct index_slot *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->lsn > y->lsn) - (x->lsn < y->lsn);
}

static unsigned copy_from(struct index_shard *s, uint64_t from, struct index_slot *out, unsigned cap)
{
	unsigned n = 0;

	pthread_mutex_lock(&s->mu);
	for (uint32_t i = 0; i < s->slots_n; i++) {
		if (!is_record(&s->slots[i]) || s->slots[i].key < from)
			continue;
		if (n < cap)
			out[n] = s->slots[i];
		n++;
	}
	pthread_mutex_unlock(&s->mu);
	return n;
}

int index_list(struct index *ix, unsigned shard, uint64_t from, struct index_slot **out, unsigned *n)
{
	struct index_shard *s = &ix->shards[shard];
	unsigned cap = 0;

	*out = NULL;
	/* Nothing is allocated under the lock, so it may have grown in between. */
	while ((*n = copy_from(s, from, *out, cap)) > cap) {
		mem_free(*out);
		cap = *n + *n / 8;
		*out = mem_alloc(cap * sizeof(**out));
		if (!*out)
			return -ENOMEM;
	}
	if (*n > 1)
		qsort(*out, *n, sizeof(**out), by_key);
	return 0;
}

void index_stats(struct index *ix, struct index_stats *out)
{
	*out = (struct index_stats){.bytes = INDEX_SHARDS * sizeof(*ix->shards)};
	for (unsigned i = 0; i < INDEX_SHARDS; i++) {
		struct index_shard *s = &ix->shards[i];

		pthread_mutex_lock(&s->mu);
		out->records += s->records;
		out->dropped_variants += s->dropped_variants;
		out->bytes += (uint64_t)s->slots_n * sizeof(*s->slots);
		pthread_mutex_unlock(&s->mu);
	}
}
