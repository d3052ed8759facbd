/* SPDX-License-Identifier: MIT */
#include "cache/lower.h"

#include "base/mem.h"

/* ---- Writing ---- */

struct lower_source {
	struct tier_source put;
	struct object *object;
};

static struct hash128 hash_of(const struct entry *e)
{
	return hash128_of(e->key, e->hh.keylen);
}

static struct slice body_at(const struct tier_source *s, uint64_t offset)
{
	return object_body_at(CONTAINER_OF(s, struct lower_source, put)->object, offset);
}

static void source_free(struct lower_source **s)
{
	if (!*s)
		return;
	object_unref(&(*s)->object);
	mem_free(*s);
	*s = NULL;
}

static void on_release(struct tier_source *s)
{
	struct lower_source *source = CONTAINER_OF(s, struct lower_source, put);

	source_free(&source);
}

void lower_describe(const struct object *o, struct tier_source *out)
{
	const struct entry *e = o->entry;

	*out = (struct tier_source){
		.key = {e->key, e->hh.keylen},
		.hash = hash_of(e),
		.url = entry_url(e),
		.user = entry_user(e),
		.vary_names = object_vary_names(o),
		.vary_values = object_vary_values(o),
		.head = object_head(o),
		.status = o->status,
		.freshness = o->freshness,
	};
	(void)object_part(o, &out->part_first, &out->part_total);
	if (o->flags & OBJECT_ETAG_IS_OURS)
		out->freshness.flags |= RECORD_ETAG_IS_OURS;
	if (o->flags & OBJECT_MAY_ENCODE)
		out->freshness.flags |= RECORD_MAY_ENCODE;
}

static struct lower_source *source_new(struct object *o)
{
	struct lower_source *s = mem_zalloc(sizeof(*s));

	if (!s)
		return NULL;
	s->object = object_ref(o);
	lower_describe(o, &s->put);
	s->put.body_n = (uint64_t)object_body_length(o);
	s->put.body_at = body_at;
	s->put.body = object_tier_body(o);
	s->put.on_release = on_release;
	return s;
}

static bool is_stored_locked(const struct object *o)
{
	for (const struct object *v = o->entry->variants; v; v = object_next(v) ? *object_next(v) : NULL)
		if (v == o)
			return true;
	return false;
}

void lower_write_begin(struct lower_write *w, struct cache *c, struct object *o)
{
	*w = (struct lower_write){0};
	if (!c->tier || !o)
		return;
	w->object = o;
	if (o->body_kind != BODY_CHUNKS)
		w->source = source_new(o);
}

static void hand_over(struct lower_write *w, struct cache *c, bool is_refresh)
{
	struct tier_source *s = &w->source->put;
	struct tier *t = c->tier;
	struct purgeable purgeable;
	int err;

	object_purgeable(w->object, &purgeable);
	s->epoch = object_epoch(w->object);
	s->tags = purgeable.tags;
	s->tags_n = purgeable.tags_n;
	err = is_refresh ? t->ops->refresh(t, s) : t->ops->put(t, s);
	if (err)
		w->forget_before = s->forget_before;
	else
		w->source = NULL;
}

void lower_write_locked(struct lower_write *w, struct cache *c, bool is_refresh)
{
	const struct object *o = w->object;

	if (!o || !is_stored_locked(o))
		return;
	if (w->source)
		hand_over(w, c, is_refresh);
	else
		w->forget_before =
			c->tier->ops->drop_put(c->tier, hash_of(o->entry), object_vary_names(o), object_vary_values(o));
}

void lower_retire_locked(struct lower_write *w, struct cache *c, const struct entry *e)
{
	if (c->tier)
		w->forget_before = c->tier->ops->retire(c->tier, hash_of(e));
}

static void end_write(struct lower_write *w, struct cache *c, struct hash128 hash, struct slice key, uint64_t user)
{
	bool had_older = w->tells || w->forget_before > 0;

	source_free(&w->source);
	if (w->forget_before > 0) /* a file is written to, so not under the lock */
		c->tier->ops->forget_before(c->tier, hash, w->forget_before);
	if ((had_older || w->lands) && !w->was_told && c->o.on_forget)
		c->o.on_forget(c->o.on_forget_arg, key, user, had_older);
}

void lower_write_end(struct lower_write *w, struct cache *c, const struct entry *e)
{
	end_write(w, c, hash_of(e), (struct slice){e->key, e->hh.keylen}, entry_user(e));
}

void lower_retire_key_locked(struct lower_write *w, struct cache *c, const struct cache_key *key)
{
	if (c->tier)
		w->forget_before = c->tier->ops->retire(c->tier, key->hash);
}

void lower_write_end_key(struct lower_write *w, struct cache *c, const struct cache_key *key)
{
	end_write(w, c, key->hash, (struct slice){key->bytes.p, key->bytes.n}, key->user);
}

/* ---- What is there ---- */

bool lower_has(struct cache *c, const struct object *o)
{
	return c->tier && c->tier->ops->holds(c->tier, hash_of(o->entry), object_vary_names(o), object_vary_values(o));
}

bool lower_has_body(struct cache *c, const struct object *o)
{
	return c->tier->ops->body_is_there(c->tier, object_tier_body(o));
}

bool lower_may_have(struct cache *c, const struct cache_key *key)
{
	return c->tier && c->tier->ops->may_have(c->tier, key->hash);
}

bool lower_is_newest_locked(struct cache *c, const struct entry *e, uint64_t lsn)
{
	return c->tier->ops->is_newest(c->tier, hash_of(e), lsn);
}

uint64_t lower_oldest_epoch(struct cache *c)
{
	uint64_t epoch = c->tier ? c->tier->ops->oldest_epoch(c->tier) : UINT64_MAX;

	return epoch > 0 ? epoch : 1;
}
