/* SPDX-License-Identifier: MIT */
#include "cache/memory/memory.h"

#include <errno.h>

#include "cache/memory/object_internal.h"
#include "cache/memory/users.h"

static int64_t object_due_second(const struct link *l)
{
	const struct object *o = CONTAINER_OF(l, const struct object, expiry);

	return object_useful_until_ms(o) / 1000 + 1;
}

static bool evict_some(struct shard *home);

#define SLACK_BYTES ((uint64_t)16 << 20)

/* Where a sanitizer looks, each block is malloc's own. */
#if defined(__SANITIZE_ADDRESS__)
#define HEAP_SMALL 0
#else
#define HEAP_SMALL HEAP_SMALL_MAX
#endif

static int init_shard(struct shard *s, struct memory *m)
{
	s->memory = m;
	wheel_init(&s->wheel, 0, object_due_second);
	link_init(&s->markers);
	link_init(&s->flights);
	s->users = m->user_slots + (size_t)(s - m->shards) * m->user_slots_n;
	return -pthread_mutex_init(&s->mu, NULL);
}

int memory_init(struct memory *m, uint64_t limit_bytes, unsigned shards, unsigned max_variants, unsigned max_markers,
	struct invalidation_table *invalidation)
{
	const size_t line = _Alignof(struct shard);
	int err;

	m->block = mem_zalloc(shards * sizeof(struct shard) + line);
	if (!m->block)
		return -ENOMEM;
	m->shards = (void *)(((uintptr_t)m->block + line - 1) & ~(uintptr_t)(line - 1));
	m->limit_bytes = limit_bytes;
	m->max_variants = max_variants ? max_variants : 1;
	m->max_markers = max_markers / shards ? max_markers / shards : 1;
	m->invalidation = invalidation;
	m->evict = evict_some;
	m->slack_bytes = SLACK_BYTES;
	err = heap_init(&m->heap, HEAP_SMALL);
	if (!err)
		err = users_init(m, shards);
	if (err) {
		memory_fini(m);
		return err;
	}
	for (m->shards_n = 0; m->shards_n < shards; m->shards_n++) {
		err = init_shard(&m->shards[m->shards_n], m);
		if (err) {
			memory_fini(m);
			return err;
		}
	}
	return 0;
}

static void drop_everything(struct entry *e, void *arg)
{
	struct garbage *g = arg;

	while (e->variants)
		variant_drop_locked(e, e->variants, DROP_REPLACED, g);
	if (e->markers)
		marker_clear_locked(e->markers, g);
	entry_tidy_locked(e, g);
}

void memory_fini(struct memory *m)
{
	for (unsigned i = 0; i < m->shards_n; i++) {
		struct shard *s = &m->shards[i];
		struct garbage g = {0};
		uint32_t cursor = 0;

		pthread_mutex_lock(&s->mu);
		do
			shard_walk_locked(s, &cursor, drop_everything, &g);
		while (cursor != 0);
		pthread_mutex_unlock(&s->mu);
		garbage_free(&g);
		pthread_mutex_destroy(&s->mu);
	}
	users_fini(m);
	heap_fini(&m->heap);
	mem_free(m->block);
	m->block = NULL;
}

struct shard *memory_shard(struct memory *m, const struct cache_key *key)
{
	/* All of a user's entries together, so that one lock guards their number. */
	return &m->shards[(key->user ? key->user : key->place >> 32) & (m->shards_n - 1)];
}

/* Not on every call: all threads read this line. */
void memory_tick(struct memory *m, struct now now)
{
	if (now.mono_ms - atomic_load_explicit(&m->now_ms, memory_order_relaxed) > 200)
		atomic_store_explicit(&m->now_ms, now.mono_ms, memory_order_relaxed);
}

/* ---- Eviction ---- */

unsigned shard_expire_locked(struct shard *s, int64_t now_ms, unsigned max, struct garbage *g)
{
	unsigned n = 0;

	wheel_advance(&s->wheel, now_ms / 1000);
	for (; n < max && !link_is_empty(&s->wheel.due); n++) {
		struct object *o = CONTAINER_OF(s->wheel.due.next, struct object, expiry);
		struct entry *e = o->entry;

		if (wheel_put_back(&s->wheel, &o->expiry))
			continue;
		variant_drop_locked(e, o, DROP_EXPIRED, g);
		entry_tidy_locked(e, g);
	}
	return n;
}

/* The entry that was used longest ago and holds a response; those without are put behind. */
static bool evict_oldest_locked(struct shard *s, struct garbage *g)
{
	for (unsigned looked = 0; s->index && looked < 1024; looked++) {
		struct entry *e = s->index;

		if (!e->variants) {
			entry_move_last_locked(e);
			continue;
		}
		while (e->variants)
			variant_drop_locked(e, e->variants, DROP_LRU, g);
		entry_tidy_locked(e, g);
		return true;
	}
	return false;
}

static bool evict_from(struct shard *s, bool only_expired, bool may_wait)
{
	int64_t now_ms = atomic_load_explicit(&s->memory->now_ms, memory_order_relaxed);
	struct garbage g = {0};
	bool any;

	if (atomic_load_explicit(&s->objects_n, memory_order_relaxed) == 0)
		return false;
	if (may_wait)
		pthread_mutex_lock(&s->mu);
	else if (pthread_mutex_trylock(&s->mu) != 0)
		return false;
	any = shard_expire_locked(s, now_ms, 8, &g) > 0;
	if (!any && !only_expired)
		any = evict_oldest_locked(s, &g);
	pthread_mutex_unlock(&s->mu);
	garbage_free(&g);
	return any;
}

/* The expired first, wherever they are; then the least recently used, at home first. No lock is held on the way from one
 * shard to the next, so waiting for one can't deadlock. */
static bool evict_some(struct shard *home)
{
	struct memory *m = home->memory;
	unsigned at = (unsigned)(home - m->shards);

	for (unsigned i = 0; i < m->shards_n; i++)
		if (evict_from(&m->shards[(at + i) & (m->shards_n - 1)], true, i == 0))
			return true;
	if (evict_from(home, false, true))
		return true;
	for (unsigned wait = 0; wait < 2; wait++)
		for (unsigned i = 1; i < m->shards_n; i++)
			if (evict_from(&m->shards[(at + i) & (m->shards_n - 1)], false, wait))
				return true;
	return false;
}
