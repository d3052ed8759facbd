/* SPDX-License-Identifier: MIT */
/* Flights that read the lower tier, so that all who ask for a key meanwhile wait for one read. */
#include "base/mem.h"
#include "cache/flight_internal.h"
#include "cache/lower.h"
#include "cache/memory/encode.h"
#include "cache/policy/vary.h"

struct read {
	struct tier_lookup lookup;
	struct flight *flight;
};

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

static struct object *object_from(struct flight *f, const struct tier_object *d, struct now now)
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
		.may_encode = d->freshness.flags & RECORD_MAY_ENCODE,
		.etag_is_ours = d->freshness.flags & RECORD_ETAG_IS_OURS,
		.part = d->part_total > 0 ? &part : NULL,
	};
	struct object *o = NULL;

	if (d->large) {
		spec.shared = place_block(f->entry, d->large);
		spec.is_in_lower = true;
		if (!spec.shared)
			return NULL;
	}
	spec.freshness.flags &= (uint16_t) ~(RECORD_ETAG_IS_OURS | RECORD_MAY_ENCODE);
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
			encode_object(f->cache->encoder, o, f->rules, f->worker,
				now.mono_ms); /* before anybody can see it, as when it was stored */
	}
	return o;
}

static struct object *take(struct read *r, struct now now)
{
	struct object *o = NULL;

	/* A user's digest is in the key, which was compared; that both say the same is only to be expected. */
	if (r->lookup.object->user == entry_user(r->flight->entry))
		o = object_from(r->flight, r->lookup.object, now);
	/* What could not be used in any way would only come back for every request. */
	if (o && object_useful_until_ms(o) <= now.mono_ms && !(o->flags & OBJECT_HAS_VALIDATOR))
		object_unref(&o);
	return o;
}

/* What was read, the record `lsn`, goes into the memory tier, with the caller's reference, if nothing newer has come meanwhile;
 * NULL: nothing. All who wait look up again. */
static void end(struct flight *f, struct object *o, uint64_t lsn, struct now now)
{
	flight_finish(f, &(struct ending){.phase = FLIGHT_RETRY, .store = o, .read_lsn = lsn, .now = now});
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
	end(f, o, lsn, now);
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

enum flight_read flight_read(struct flight *f, struct hash128 hash, struct now now)
{
	struct cache *c = f->cache;
	struct read *r = mem_zalloc(sizeof(*r));

	if (!r) {
		end(f, NULL, 0, now);
		return FLIGHT_READ_ABSENT;
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
		return FLIGHT_READ_PENDING;
	return finish(r, now) ? FLIGHT_READ_FOUND : FLIGHT_READ_ABSENT;
}
