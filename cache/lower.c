/* SPDX-License-Identifier: MIT */
#include "cache/lower.h"

#include "base/mem.h"
#include "cache/memory/encode.h"
#include "cache/policy/vary.h"

/* What an object knows of itself beside its fields goes with the record's freshness, in bits that policy has no use for. */
enum { FLAG_ETAG_IS_OURS = 1 << 14, FLAG_MAY_ENCODE = 1 << 15 };

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
		out->freshness.flags |= FLAG_ETAG_IS_OURS;
	if (o->flags & OBJECT_MAY_ENCODE)
		out->freshness.flags |= FLAG_MAY_ENCODE;
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
	source_free(&w->source);
	if (w->forget_before > 0) /* a file is written to, so not under the lock */
		c->tier->ops->forget_before(c->tier, hash, w->forget_before);
	if ((w->tells || w->forget_before > 0) && !w->was_told && c->o.on_forget)
		c->o.on_forget(c->o.on_forget_arg, key, user);
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

bool lower_has(struct cache *c, const struct object *o)
{
	return c->tier && c->tier->ops->holds(c->tier, hash_of(o->entry), object_vary_names(o), object_vary_values(o));
}

bool lower_has_body(struct cache *c, const struct object *o)
{
	return c->tier->ops->body_is_there(c->tier, object_tier_body(o));
}

/* ---- Reading ---- */

struct read {
	struct tier_lookup lookup;
	struct flight *flight;
};

bool lower_may_have(struct cache *c, const struct cache_key *key)
{
	return c->tier && c->tier->ops->may_have(c->tier, key->hash);
}

bool lower_is_newest_locked(const struct flight *f, uint64_t lsn)
{
	struct tier *t = f->cache->tier;

	return t->ops->is_newest(t, hash_of(f->entry), lsn);
}

uint64_t lower_oldest_epoch(struct cache *c)
{
	uint64_t epoch = c->tier ? c->tier->ops->oldest_epoch(c->tier) : UINT64_MAX;

	return epoch > 0 ? epoch : 1;
}

/* On this thread or a reader's; the flight's request does not change. */
static bool accepts(struct tier_lookup *l, const struct tier_object *candidate)
{
	const struct flight *f = CONTAINER_OF(l, struct read, lookup)->flight;
	struct slice language = {"", 0};
	struct http_field field;

	if (candidate->vary_names.n == 0)
		return true;
	for (size_t at = 0; language.n == 0 && object_head_field_next(candidate->head, &at, &field);)
		if (field.id == HF_CONTENT_LANGUAGE)
			language = field.value;
	return vary_matches(candidate->vary_names, candidate->vary_values, language, &f->request);
}

static int fields_of(struct slice head, struct http_fields *out)
{
	struct http_field field;
	int err = 0;

	for (size_t at = 0; !err && object_head_field_next(head, &at, &field);)
		err = http_fields_add(out, field.name, field.value);
	return err;
}

/* A copy that counts as memory; the caller unrefs it. NULL: no room. */
static struct block *place_block(struct entry *e, const struct tier_body *b)
{
	struct block *block = block_new(e->shard, b->bytes);

	if (block)
		memcpy(block->bytes, b, b->bytes);
	return block;
}

static struct object *object_from(struct flight *f, const struct tier_object *d)
{
	struct object_part part = {d->part_first, d->part_total};
	struct http_fields fields;
	struct object_spec spec = {
		.entry = f->entry,
		.status = d->status,
		.fields = &fields,
		.content_length = (int64_t)d->body_n,
		.freshness = d->freshness,
		.epoch = d->epoch,
		.vary_names = d->vary_names,
		.vary_values = d->vary_values,
		.tags = d->tags,
		.tags_n = d->tags_n,
		.may_encode = d->freshness.flags & FLAG_MAY_ENCODE,
		.etag_is_ours = d->freshness.flags & FLAG_ETAG_IS_OURS,
		.part = d->part_total > 0 ? &part : NULL,
	};
	struct object *o = NULL;

	if (d->large) {
		spec.shared = place_block(f->entry, d->large);
		spec.is_on_disk = true;
		if (!spec.shared)
			return NULL;
	}
	spec.freshness.flags &= (uint16_t) ~(FLAG_ETAG_IS_OURS | FLAG_MAY_ENCODE);
	http_fields_init(&fields);
	if (fields_of(d->head, &fields) == 0)
		o = object_new(&spec);
	http_fields_fini(&fields);
	if (d->large)
		block_unref(f->entry->shard, spec.shared);
	else if (o && d->body_n > 0 && object_append(o, d->body.p, d->body.n, false) != 0)
		object_unref(&o);
	if (o) {
		object_finish(o, BODY_COMPLETE);
		if (!d->large)
			encode_object(
				f->cache->encoder, o, f->rules); /* before anybody can see it, as when it was stored */
	}
	return o;
}

static struct object *take(struct read *r, struct now now)
{
	struct object *o = NULL;

	/* A user's digest is in the key, which was compared; that both say the same is only to be expected. */
	if (r->lookup.object->user == entry_user(r->flight->entry))
		o = object_from(r->flight, r->lookup.object);
	/* What could not be used in any way would only come back for every request. */
	if (o && object_useful_until_ms(o) <= now.mono_ms && !(o->flags & OBJECT_HAS_VALIDATOR))
		object_unref(&o);
	return o;
}

static bool finish(struct read *r, struct now now)
{
	struct flight *f = r->flight;
	struct cache *c = f->cache;
	struct object *o = NULL;
	uint64_t lsn = 0;
	bool found;

	if (r->lookup.object) {
		o = take(r, now);
		lsn = r->lookup.object->lsn;
		c->tier->ops->object_free(c->tier, &r->lookup.object);
	}
	found = o != NULL;
	flight_end_read(f, o, lsn, now);
	flight_unref(&r->flight);
	mem_free(r);
	uncount(&c->tier_reads);
	return found;
}

static void on_read(struct message *m)
{
	struct read *r = CONTAINER_OF(CONTAINER_OF(m, struct tier_lookup, message), struct read, lookup);
	struct now now = r->lookup.now;
	int64_t later_ms = atomic_load(&r->flight->cache->memory.now_ms);

	if (later_ms > now.mono_ms)
		now.mono_ms = later_ms;
	(void)finish(r, now);
}

enum lower_verdict lower_read(struct flight *f, struct hash128 hash, struct now now)
{
	struct cache *c = f->cache;
	struct read *r = mem_zalloc(sizeof(*r));

	if (!r) {
		flight_end_read(f, NULL, 0, now);
		return LOWER_ABSENT;
	}
	count(&c->tier_reads);
	r->flight = flight_ref(f);
	r->lookup = (struct tier_lookup){
		.key = {f->entry->key, f->entry->hh.keylen},
		.hash = hash,
		.now = now,
		.whole_max = c->o.max_object_bytes,
		.accepts = accepts,
		.reply_to = c->o.mailboxes[f->worker],
		.message.on_message = on_read,
	};
	if (c->tier->ops->get(c->tier, &r->lookup) == TIER_PENDING)
		return LOWER_PENDING;
	return finish(r, now) ? LOWER_FOUND : LOWER_ABSENT;
}
