/* SPDX-License-Identifier: MIT */
#include "cache/memory/variants.h"

#define GROWS_BY 8

struct variant_slot {
	uint32_t by_values;
	uint32_t
		by_language; /* of a response with Content-Language: where that stands for what Accept-Language had; 0: none */
	struct object *object;
};

struct variant_set {
	struct object *one; /* of those with these names */
	unsigned n;
};

struct variant_index {
	unsigned n, cap, sets_n;
	struct variant_set sets[VARIANT_SETS];
	struct variant_slot slots[]; /* oldest first */
};

static struct variant_index *index_of(const struct entry *e)
{
	struct variant_index **at = e->variants ? object_index(e->variants) : NULL;

	return at ? *at : NULL;
}

static struct object *next_variant(const struct object *o)
{
	return object_next(o) ? *object_next(o) : NULL;
}

/* ---- Its memory, in `bytes` as the tables of the shard's index are ---- */

static void count_bytes(const struct entry *e, size_t n)
{
	atomic_fetch_add_explicit(&e->shard->memory->bytes, n, memory_order_relaxed);
}

static void free_index(const struct entry *e, struct variant_index **x)
{
	count_bytes(e, -mem_size(*x));
	mem_free(*x);
	*x = NULL;
}

/* False: there is no memory, and what there was is as before. */
static bool grow(const struct entry *e, struct variant_index **x, unsigned cap)
{
	size_t before = *x ? mem_size(*x) : 0;
	struct variant_index *bigger = mem_realloc(*x, sizeof(**x) + cap * sizeof((*x)->slots[0]));

	if (!bigger)
		return false;
	if (!*x)
		bigger->n = bigger->sets_n = 0;
	bigger->cap = cap;
	*x = bigger;
	count_bytes(e, mem_size(bigger) - before);
	return true;
}

/* ---- Sets of names ---- */

static struct variant_set *set_of(struct variant_index *x, const struct object *o)
{
	for (unsigned i = 0; i < x->sets_n; i++)
		if (slice_equal(object_vary_names(x->sets[i].one), object_vary_names(o)))
			return &x->sets[i];
	return NULL;
}

static bool join_set(struct variant_index *x, struct object *o)
{
	struct variant_set *set = set_of(x, o);

	if (!set) {
		if (x->sets_n == VARIANT_SETS)
			return false;
		set = &x->sets[x->sets_n++];
		*set = (struct variant_set){.one = o};
	}
	set->n++;
	return true;
}

static void leave_set(struct variant_index *x, const struct object *o)
{
	struct variant_set *set = set_of(x, o);

	if (--set->n == 0) {
		*set = x->sets[--x->sets_n];
		return;
	}
	for (unsigned i = 0; set->one == o && i < x->n; i++)
		if (x->slots[i].object != o && slice_equal(object_vary_names(x->slots[i].object), object_vary_names(o)))
			set->one = x->slots[i].object;
}

/* ---- What comes and goes ---- */

static struct variant_slot slot_of(struct object *o)
{
	struct slice language;

	(void)object_field(o, HF_CONTENT_LANGUAGE, &language);
	return (struct variant_slot){
		.by_values = vary_hash(object_vary_names(o), object_vary_values(o)),
		.by_language = vary_hash_by_language(object_vary_names(o), object_vary_values(o), language),
		.object = o,
	};
}

static bool add(const struct entry *e, struct variant_index **x, struct object *o)
{
	if ((*x)->n == (*x)->cap && !grow(e, x, (*x)->cap + GROWS_BY))
		return false;
	if (!join_set(*x, o))
		return false;
	(*x)->slots[(*x)->n++] = slot_of(o);
	return true;
}

/* Of all; NULL where there can be none. */
static struct variant_index *make(const struct entry *e, unsigned n)
{
	struct variant_index *x = NULL;
	bool ok = grow(e, &x, n + GROWS_BY - n % GROWS_BY);

	for (struct object *o = e->variants; o && ok; o = next_variant(o))
		ok = add(e, &x, o);
	if (!ok && x)
		free_index(e, &x);
	for (unsigned i = 0; x && i < x->n / 2; i++) {
		struct variant_slot s = x->slots[i];

		x->slots[i] = x->slots[x->n - 1 - i];
		x->slots[x->n - 1 - i] = s;
	}
	return x;
}

void variants_added_locked(struct entry *e, struct object *o, unsigned others)
{
	struct object *second = next_variant(o);
	struct variant_index **from = second ? object_index(second) : NULL, **to = object_index(o);

	if (!from || !to)
		return;
	*to = *from;
	*from = NULL;
	/* Tried again each time: there may be memory now, or fewer sets of names. */
	if (!*to && others >= VARIANTS_LISTED)
		*to = make(e, others + 1);
	else if (*to && !add(e, to, o))
		free_index(e, to);
}

void variants_dropping_locked(struct entry *e, struct object *o)
{
	struct variant_index **at = object_index(e->variants), *x = at ? *at : NULL;
	struct object *second = next_variant(e->variants);
	unsigned i = 0;

	if (!x)
		return;
	leave_set(x, o);
	while (x->slots[i].object != o)
		i++;
	x->n--;
	memmove(&x->slots[i], &x->slots[i + 1], (x->n - i) * sizeof(x->slots[0]));
	if (o != e->variants)
		return;
	if (second)
		*object_index(second) = x;
	else
		free_index(e, &x);
	*at = NULL;
}

void variants_moved_locked(struct entry *e)
{
	struct variant_index *x = index_of(e);
	unsigned i = x ? x->n : 0;

	for (struct object *o = e->variants; i > 0; o = next_variant(o)) {
		struct variant_slot *s = &x->slots[--i];

		for (unsigned k = 0; k < x->sets_n; k++)
			if (x->sets[k].one == s->object)
				x->sets[k].one = o;
		s->object = o;
	}
}

/* ---- What is looked for ---- */

void variants_seek_locked(const struct entry *e, struct vary_wants *w, struct variant_seek *s)
{
	const struct variant_index *x = index_of(e);

	s->before = x->n;
	s->hashes_n = 0;
	for (unsigned i = 0; i < x->sets_n; i++)
		s->hashes_n += vary_wants_hashes(w, object_vary_names(x->sets[i].one), &s->hashes[s->hashes_n]);
}

static bool may_be(const struct variant_seek *s, const struct variant_slot *slot)
{
	for (unsigned i = 0; i < s->hashes_n; i++)
		if (slot->by_values == s->hashes[i] || slot->by_language == s->hashes[i])
			return true;
	return false;
}

struct object *variants_next_locked(const struct entry *e, struct variant_seek *s)
{
	const struct variant_index *x = index_of(e);

	while (x && s->before > 0)
		if (may_be(s, &x->slots[--s->before]))
			return x->slots[s->before].object;
	return NULL;
}
