/* SPDX-License-Identifier: MIT */
#include "cache/landing.h"

#include "cache/policy/vary.h"

/* ---- Numbers ---- */

uint64_t landing_order(struct cache *c)
{
	return atomic_fetch_add_explicit(&c->orders, 1, memory_order_relaxed) + 1;
}

static unsigned slot_of(unsigned place)
{
	return place & (LANDED_SLOTS - 1);
}

bool landing_is_past_locked(const struct cache *c, const struct entry *e, uint64_t order)
{
	return atomic_load(&c->landed[slot_of(e->hh.hashv)]) > order;
}

bool landing_key_is_past_locked(const struct cache *c, const struct cache_key *key, uint64_t order)
{
	return atomic_load(&c->landed[slot_of((unsigned)key->place)]) > order;
}

static void note_landed(struct cache *c, unsigned place, uint64_t order)
{
	_Atomic uint64_t *slot = &c->landed[slot_of(place)];
	uint64_t was = atomic_load(slot);

	/* Keys of several shards may share it. */
	while (was < order && !atomic_compare_exchange_weak(slot, &was, order))
		;
}

void landing_key_locked(struct cache *c, const struct cache_key *key, uint64_t order)
{
	note_landed(c, (unsigned)key->place, order);
}

/* ---- Who is late ---- */

/* A sign is a hash of what a response has to have; 0: there is none, so this never is. */
static uint64_t sign_of(struct slice s)
{
	return hash64_of(s.p, s.n) | 1;
}

/* Two that differ leave nothing that an older response could be like. */
static void require_sign(struct flight *f, uint64_t *sign, uint64_t required)
{
	if (*sign != 0 && *sign != required)
		f->is_late = true;
	*sign = required;
}

/* By the Vary that its response has, or else that responses of the key had when it began. */
static bool is_of_one_variant(struct flight *f, const struct http_fields *request)
{
	bool is;

	pthread_mutex_lock(&f->mu);
	if (f->object)
		is = object_serves(f->object, request);
	else
		is = f->names.n == 0 ||
		     vary_matches(buf_slice(&f->names), buf_slice(&f->values), (struct slice){"", 0}, request);
	pthread_mutex_unlock(&f->mu);
	return is;
}

static bool is_about(const struct landing *l, struct flight *f)
{
	if (l->stored)
		return object_serves(l->stored, &f->request);
	return !l->request || is_of_one_variant(f, l->request);
}

static void tell_older(struct flight *f, const struct landing *l, bool is_for_it)
{
	if (is_for_it && l->is_partial_evidence && l->validator.n > 0)
		require_sign(f, &f->wants_validator, sign_of(l->validator));
	else if (is_for_it && (!l->is_partial_evidence || f->kind == FLIGHT_KEPT))
		f->is_late = true;
	else if (!is_for_it &&
		 l->stored) /* a response that speaks for everybody would take the newer one's place too */
		require_sign(f, &f->wants_names, sign_of(object_vary_names(l->stored)));
}

static void tell(struct flight *f, const struct landing *l)
{
	bool is_for_it;

	/* What is read from the lower tier is judged by its number in the log. */
	if (f->kind == FLIGHT_READ || f->order == l->order)
		return;
	is_for_it = is_about(l, f);
	if (f->order < l->order)
		tell_older(f, l, is_for_it);
	if (is_for_it && !l->is_partial_evidence)
		f->has_newer = true;
}

void landing_locked(struct cache *c, struct entry *e, const struct landing *l)
{
	note_landed(c, e->hh.hashv, l->order);
	for (struct flight *f = e->markers ? e->markers->flights : NULL; f; f = f->next_of_entry)
		tell(f, l);
}

bool landing_is_late_locked(const struct flight *f, const struct object *o)
{
	if (f->is_late)
		return true;
	return o && ((f->wants_names != 0 && f->wants_names != sign_of(object_vary_names(o))) ||
			    (f->wants_validator != 0 && f->wants_validator != sign_of(object_strong_validator(o))));
}

/* ---- Landing ---- */

bool object_serves_wants(const struct object *o, struct vary_wants *w)
{
	struct slice names = object_vary_names(o), language;

	if (names.n == 0)
		return true;
	if (vary_wants_match(w, names, object_vary_values(o), (struct slice){"", 0}))
		return true;
	return w->best_language.n > 0 && object_field(o, HF_CONTENT_LANGUAGE, &language) &&
	       vary_wants_match(w, names, object_vary_values(o), language);
}

bool object_serves(const struct object *o, const struct http_fields *request)
{
	struct vary_wants w;

	vary_wants_init(&w, request);
	return object_serves_wants(o, &w);
}

void landing_stored_locked(struct flight *f, const struct object *o)
{
	landing_locked(f->cache, f->entry,
		&(struct landing){
			.order = f->order,
			.stored = o,
			.is_partial_evidence = o->flags & OBJECT_IS_PARTIAL,
			.validator = object_strong_validator(o),
		});
}

static bool drop_selected_locked(struct entry *e, const struct http_fields *request, struct garbage *g)
{
	bool any = false;

	for (struct object *o = e->variants, *next; o; o = next) {
		next = object_next(o) ? *object_next(o) : NULL;
		if (!object_serves(o, request))
			continue;
		variant_drop_locked(e, o, DROP_REPLACED, g);
		any = true;
	}
	return any;
}

void landing_retire_locked(struct flight *f, struct lower_write *w, struct garbage *g)
{
	w->tells = drop_selected_locked(f->entry, &f->request, g) || f->is_forced;
	w->lands = true;
	lower_retire_locked(w, f->cache, f->entry);
	landing_locked(f->cache, f->entry, &(struct landing){.order = f->order, .request = &f->request});
}
