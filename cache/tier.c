/* SPDX-License-Identifier: MIT */
#include "cache/tier.h"

#include "base/mem.h"
#include "cache/disk/body.h"
#include "cache/memory/encode.h"
#include "cache/tier_large.h"
#include "cache/policy/vary.h"

/* What an object knows of itself beside its fields goes with the record's freshness, in bits that policy has no use for. */
enum { FLAG_ETAG_IS_OURS = 1 << 14, FLAG_MAY_ENCODE = 1 << 15 };

/* ---- Writing ---- */

struct tier_source {
	struct disk_source disk;
	struct object *object;
};

static struct hash128 hash_of(const struct entry *e)
{
	return hash128_of(e->key, e->hh.keylen);
}

static struct slice body_at(const struct disk_source *s, uint64_t offset)
{
	return object_body_at(CONTAINER_OF(s, struct tier_source, disk)->object, offset);
}

static void source_free(struct tier_source **s)
{
	if (!*s)
		return;
	object_unref(&(*s)->object);
	mem_free(*s);
	*s = NULL;
}

static void on_release(struct disk_source *s)
{
	struct tier_source *source = CONTAINER_OF(s, struct tier_source, disk);

	source_free(&source);
}

void tier_describe(const struct object *o, struct disk_source *out)
{
	const struct entry *e = o->entry;

	*out = (struct disk_source){
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

static struct tier_source *source_new(struct object *o)
{
	struct tier_source *s = mem_zalloc(sizeof(*s));
	const struct disk_body *place;

	if (!s)
		return NULL;
	s->object = object_ref(o);
	place = object_disk_body(o);
	tier_describe(o, &s->disk);
	s->disk.body_n = (uint64_t)object_body_length(o);
	s->disk.body_at = body_at;
	s->disk.sums = place ? place->sums : NULL;
	s->disk.on_release = on_release;
	return s;
}

static bool is_stored_locked(const struct object *o)
{
	for (const struct object *v = o->entry->variants; v; v = object_next(v) ? *object_next(v) : NULL)
		if (v == o)
			return true;
	return false;
}

void tier_write_begin(struct tier_write *w, struct cache *c, struct object *o)
{
	*w = (struct tier_write){0};
	if (!c->disk || !o)
		return;
	w->object = o;
	if (o->body_kind != BODY_CHUNKS)
		w->source = source_new(o);
}

static void hand_over(struct tier_write *w, struct cache *c, bool is_refresh)
{
	struct disk_source *s = &w->source->disk;
	struct scope_set scopes;
	int err;

	object_scopes(w->object, &scopes);
	s->epoch = object_epoch(w->object);
	s->tags = scopes.tags;
	s->tags_n = scopes.tags_n;
	err = is_refresh ? disk_refresh(c->disk, s) : disk_put(c->disk, s);
	if (err)
		w->forget_before = s->forget_before;
	else
		w->source = NULL;
}

void tier_write_locked(struct tier_write *w, struct cache *c, bool is_refresh)
{
	const struct object *o = w->object;

	if (!o || !is_stored_locked(o))
		return;
	if (w->source)
		hand_over(w, c, is_refresh);
	else
		w->forget_before =
			disk_drop_put(c->disk, hash_of(o->entry), object_vary_names(o), object_vary_values(o));
}

void tier_retire_locked(struct tier_write *w, struct cache *c, const struct entry *e)
{
	if (c->disk)
		w->forget_before = disk_retire(c->disk, hash_of(e));
}

void tier_write_end(struct tier_write *w, struct cache *c, const struct entry *e)
{
	source_free(&w->source);
	if (w->forget_before > 0) /* a file is written to, so not under the lock */
		disk_forget_before(c->disk, hash_of(e), w->forget_before);
	if ((w->tells || w->forget_before > 0) && c->o.on_forget)
		c->o.on_forget(c->o.on_forget_arg, (struct slice){e->key, e->hh.keylen}, entry_user(e));
}

void tier_retire_key_locked(struct tier_write *w, struct cache *c, const struct cache_key *key)
{
	if (c->disk)
		w->forget_before = disk_retire(c->disk, key->hash);
}

void tier_write_end_key(struct tier_write *w, struct cache *c, const struct cache_key *key)
{
	source_free(&w->source);
	if (w->forget_before > 0)
		disk_forget_before(c->disk, key->hash, w->forget_before);
	if ((w->tells || w->forget_before > 0) && c->o.on_forget)
		c->o.on_forget(c->o.on_forget_arg, (struct slice){key->bytes.p, key->bytes.n}, key->user);
}

bool tier_has(struct cache *c, const struct object *o)
{
	return c->disk && disk_holds(c->disk, hash_of(o->entry), object_vary_names(o), object_vary_values(o));
}

/* ---- Reading ---- */

struct read {
	struct disk_lookup lookup;
	struct flight *flight;
};

bool tier_may_have(struct cache *c, const struct cache_key *key)
{
	return disk_may_have(c->disk, key->hash);
}

bool tier_is_newest_locked(const struct flight *f, uint64_t lsn)
{
	return disk_is_newest(f->cache->disk, hash_of(f->entry), lsn);
}

uint64_t tier_oldest_epoch(struct cache *c)
{
	uint64_t epoch = c->disk ? disk_oldest_epoch(c->disk) : UINT64_MAX;

	return epoch > 0 ? epoch : 1;
}

/* On this thread or a reader's; the flight's request does not change. */
static bool accepts(struct disk_lookup *l, const struct disk_object *candidate)
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

static struct object *object_from(struct flight *f, const struct disk_object *d)
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
		spec.shared = tier_place_block(f->entry, d->large);
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
		disk_object_free(c->disk, &r->lookup.object);
	}
	found = o != NULL;
	flight_end_read(f, o, lsn, now);
	flight_unref(&r->flight);
	mem_free(r);
	uncount(&c->disk_reads);
	return found;
}

static void on_read(struct mail *m)
{
	struct read *r = CONTAINER_OF(CONTAINER_OF(m, struct disk_lookup, mail), struct read, lookup);
	struct now now = r->lookup.now;
	int64_t later_ms = atomic_load(&r->flight->cache->memory.now_ms);

	if (later_ms > now.mono_ms)
		now.mono_ms = later_ms;
	(void)finish(r, now);
}

enum tier_verdict tier_read(struct flight *f, struct hash128 hash, struct now now)
{
	struct cache *c = f->cache;
	struct read *r = mem_zalloc(sizeof(*r));

	if (!r) {
		flight_end_read(f, NULL, 0, now);
		return TIER_ABSENT;
	}
	count(&c->disk_reads);
	r->flight = flight_ref(f);
	r->lookup = (struct disk_lookup){
		.key = {f->entry->key, f->entry->hh.keylen},
		.hash = hash,
		.now = now,
		.whole_max = c->o.max_object_bytes,
		.accepts = accepts,
		.reply_to = c->o.mailboxes[f->worker],
		.mail.on_mail = on_read,
	};
	if (disk_get(c->disk, &r->lookup) == DISK_PENDING)
		return TIER_PENDING;
	return finish(r, now) ? TIER_FOUND : TIER_ABSENT;
}
