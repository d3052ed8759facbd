/* SPDX-License-Identifier: MIT */
#include "cache/cache.h"

#include <errno.h>

#include "cache/lower.h"

/* Shards share one budget, but each has its own order of use: so small a shard would evict far from that order. */
#define SHARD_BYTES (16 << 20)
#define SHARDS_MAX 1024

unsigned cache_shards(uint64_t memory_bytes)
{
	unsigned n = 1;

	while (n < SHARDS_MAX && memory_bytes / (2 * n) >= SHARD_BYTES)
		n *= 2;
	return n;
}

int cache_new(const struct cache_options *o, struct cache **out)
{
	struct cache *c = mem_zalloc(sizeof(*c));
	int err;

	CHECK(o->shards > 0 && (o->shards & (o->shards - 1)) == 0);
	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->o = *o;
	pthread_mutex_init(&c->holds_mu, NULL);
	link_init(&c->holds);
	err = invalidation_table_new(o->max_invalidation_rules, &c->invalidation);
	if (err)
		goto fail_invalidation;
	err = memory_init(&c->memory, o->memory_bytes, o->shards, o->max_variants, o->max_markers, c->invalidation);
	if (err)
		goto fail_memory;
	/* What waits to be encoded is held in memory: no more than an eighth of it. */
	err = encoder_new(o->workers, o->memory_bytes / 8, &c->encoder);
	if (err)
		goto fail_encoder;
	*out = c;
	return 0;

fail_encoder:
	memory_fini(&c->memory);
fail_memory:
	invalidation_table_free(&c->invalidation);
fail_invalidation:
	pthread_mutex_destroy(&c->holds_mu);
	mem_free(c);
	return err;
}

void cache_end(struct cache **cache)
{
#ifndef MEMOPROXY_HOOKS /* builds with them count what is left over */
	if (*cache)
		(*cache)->leaves_memory = true;
#endif
	cache_free(cache);
}

void cache_free(struct cache **cache)
{
	struct cache *c = *cache;

	*cache = NULL;
	if (!c)
		return;
	CHECK(counted(&c->tier_reads) == 0);
	encoder_free(&c->encoder);
	if (c->tier)
		c->tier->ops->close(&c->tier); /* what it still writes is the memory's */
	if (c->leaves_memory)
		return;
	memory_fini(&c->memory);
#ifdef MEMOPROXY_HOOKS
	CHECK(counted(&c->n.flights) == 0);
	CHECK(counted(&c->n.waiters) == 0);
	CHECK(counted(&c->n.large_readers) == 0);
	CHECK(counted(&c->n.large_read_bytes) == 0);
	CHECK(link_is_empty(&c->holds));
	CHECK(counted(&c->memory.bytes) == 0); /* a byte left: somebody kept a reference */
#endif
	invalidation_table_free(&c->invalidation);
	pthread_mutex_destroy(&c->holds_mu);
	mem_free(c);
}

void cache_set_tier(struct cache *c, struct tier *t)
{
	c->tier = t;
}

struct invalidation_table *cache_invalidation(struct cache *c)
{
	return c->invalidation;
}

bool cache_is_in_tier(struct cache *c, const struct cache_key *key)
{
	return lower_may_have(c, key);
}

struct telling {
	void (*each)(void *arg, const struct cache_ranked *r);
	void *arg;
};

static void tell_ranked(void *arg, const struct memory_ranked *r)
{
	const struct telling *t = arg;

	t->each(t->arg, &(struct cache_ranked){entry_url(r->entry), r->hits, r->fetch_ms});
}

int cache_top(struct cache *c, unsigned n, void (*each)(void *arg, const struct cache_ranked *r), void *arg)
{
	struct telling t = {each, arg};

	return memory_top(&c->memory, n, tell_ranked, &t);
}

int cache_browse_tier(struct cache *c, struct tier_listing *l)
{
	int err;

	if (!c->tier)
		return -ENODEV;
	count(&c->tier_reads);
	err = c->tier->ops->list(c->tier, l);
	if (err)
		uncount(&c->tier_reads);
	return err;
}

void cache_browse_end(struct cache *c)
{
	uncount(&c->tier_reads);
}

unsigned cache_tier_reads(const struct cache *c)
{
	return (unsigned)counted(&c->tier_reads);
}

void cache_hand_over_tier(struct cache *c)
{
	if (c->tier)
		c->tier->ops->hand_over(c->tier);
}

int cache_disown_tier(struct cache *c)
{
	return c->tier ? c->tier->ops->disown(c->tier) : 0;
}

void cache_met_locked(const struct cache *c, const struct object *o)
{
	struct purgeable set;

	if (!c->o.on_met)
		return;
	object_purgeable(o, &set);
	c->o.on_met(c->o.on_met_arg, invalidation_purged_by(c->invalidation, &set, object_epoch(o)));
}

static int purge_in_memory(struct cache *c, const struct purge *v, unsigned n, uint64_t *seq)
{
	for (unsigned i = 0; i < n; i++)
		invalidation_purge(c->invalidation, &v[i], seq);
	return 0;
}

static int purge_here(struct cache *c, const struct purge *p, uint64_t *seq)
{
	count(&c->n.purges);
	return c->tier ? c->tier->ops->purge(c->tier, p, 1, false, seq) : purge_in_memory(c, p, 1, seq);
}

/* What nobody purged another process is not to make up for either. */
static void tell_purges(struct cache *c, const struct purge *v, unsigned n, int err)
{
	for (unsigned i = 0; c->o.on_purge && err != -EMSGSIZE && i < n; i++)
		c->o.on_purge(c->o.on_purge_arg, &v[i]);
}

void cache_purge_as_told(struct cache *c, const struct purge *p)
{
	uint64_t seq;

	/* What can't be noted is made up for by more. That the journal failed is counted there. */
	if (purge_here(c, p, &seq) == -EMSGSIZE)
		(void)purge_here(c, &(struct purge){.kind = PURGE_ALL, .soft = p->soft}, &seq);
}

int cache_purge_note(struct cache *c, const struct purge *v, unsigned n, uint64_t *seq, struct tier_purging *p)
{
	int err;

	for (unsigned i = 0; i < n; i++)
		count(&c->n.purges);
	err = c->tier ? c->tier->ops->purge_note(c->tier, v, n, seq, p) : purge_in_memory(c, v, n, seq);
	tell_purges(c, v, n, err);
	return err;
}

int cache_purge_wait(struct cache *c, struct tier_purging *p)
{
	int err;

	if (!c->tier)
		return 0;
	count(&c->tier_reads);
	err = c->tier->ops->purge_wait(c->tier, p);
	if (err != -EINPROGRESS)
		uncount(&c->tier_reads);
	return err;
}

void cache_purge_end(struct cache *c)
{
	uncount(&c->tier_reads);
}

int cache_purge_soon(struct cache *c, const struct purge *p, uint64_t *seq)
{
	int err = purge_here(c, p, seq);

	tell_purges(c, p, 1, err);
	return err;
}

void cache_stats(struct cache *c, struct cache_stats *out)
{
	struct memory *m = &c->memory;
	struct encoder_stats encoder;

	*out = (struct cache_stats){
#define IN_CACHE(counter) counted(&c->n.counter)
#define IN_MEMORY(counter) counted(&m->counter)
#define IN_ASKED(counter) 0
#define STAT(where, kind, name, help) .name = IN_##where(name),
#include "cache/memory/cache_stats.def"
	};
	out->memory_bytes = m->limit_bytes;
	encoder_stats(c->encoder, &encoder);
	out->encodings_waiting = encoder.waiting;
	out->encodings_made = encoder.made;
	out->encodings_dropped = encoder.dropped;
	invalidation_stats(c->invalidation, &out->invalidation);
	out->has_tier = c->tier != NULL;
	if (c->tier)
		c->tier->ops->stats(c->tier, &out->tier);
}

const char *cache_tier_name(const struct cache *c)
{
	return c->tier ? c->tier->name : NULL;
}

void cache_tier_counts(struct cache *c, void (*each)(void *arg, const struct tier_count *n), void *arg)
{
	if (c->tier)
		c->tier->ops->counts(c->tier, each, arg);
}
