/* SPDX-License-Identifier: MIT */
#include "cache/memory/pass.h"

static uint32_t hash_of(struct slice names, struct vary_wants *wants)
{
	uint32_t hashes[2];

	return vary_wants_hashes(wants, names, hashes) > 0 ? hashes[0] : 0;
}

static struct slice names_of(const struct pass_variants *v)
{
	return (struct slice){v->names, v->names_n};
}

static void drop(struct pass_variants *v, struct garbage *g)
{
	v->husk.next = g->husks;
	g->husks = &v->husk;
}

struct pass_variants *pass_variants_new(struct shard *s, struct slice names, const struct http_fields *request)
{
	struct pass_variants *v;
	struct vary_wants wants;

	if (names.n == 0 || names.n > PASS_NAMES_MAX)
		return NULL;
	v = memory_take(s, sizeof(*v) + names.n);
	if (!v)
		return NULL;
	vary_wants_init(&wants, request);
	*v = (struct pass_variants){.husk.shard = s, .n = 1, .names_n = (uint8_t)names.n};
	memcpy(v->names, names.p, names.n);
	v->hashes[0] = hash_of(names, &wants);
	return v;
}

static bool contains(const struct pass_variants *v, uint32_t hash)
{
	for (unsigned i = 0; i < v->n; i++)
		if (v->hashes[i] == hash)
			return true;
	return false;
}

bool pass_covers(const struct pass_marker *m, struct vary_wants *wants)
{
	const struct pass_variants *v = m->variants;

	return !v || v->is_all || contains(v, hash_of(names_of(v), wants));
}

struct slice pass_names(const struct pass_marker *m)
{
	return m->variants ? names_of(m->variants) : (struct slice){"", 0};
}

/* Where all that came were private, one more than there is room for says that all are: a page of each browser's own. Else the one
 * that has been there longest makes room. */
static void add(struct pass_variants *v, uint32_t hash)
{
	if (contains(v, hash))
		return;
	if (v->n < PASS_VARIANTS) {
		v->hashes[v->n++] = hash;
	} else if (!v->is_mixed) {
		v->is_all = true;
	} else {
		v->hashes[v->next] = hash;
		v->next = (v->next + 1) % PASS_VARIANTS;
	}
}

/* What is known by other names can't be compared with it. */
void pass_add_locked(struct pass_marker *m, struct pass_variants **v, struct garbage *g)
{
	struct pass_variants *old = m->variants, *new = *v;

	*v = NULL;
	if (!new)
		return;
	if (old && slice_equal(names_of(old), names_of(new))) {
		add(old, new->hashes[0]);
		drop(new, g);
		return;
	}
	if (old) {
		new->is_mixed = old->is_mixed;
		drop(old, g);
	}
	m->variants = new;
}

static void remove_hash(struct pass_variants *v, uint32_t hash)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < v->n; i++)
		if (v->hashes[i] != hash)
			v->hashes[kept++] = v->hashes[i];
	v->n = (uint8_t)kept;
	v->next = 0;
}

void pass_unmark_locked(struct pass_marker *m, const struct http_fields *request, struct garbage *g)
{
	struct pass_variants *v = m->variants;
	struct vary_wants wants;

	if (m->until_ms == 0 || !v) {
		pass_clear_locked(m, g);
		return;
	}
	vary_wants_init(&wants, request);
	remove_hash(v, hash_of(names_of(v), &wants));
	if (v->is_all)
		v->n = 0;
	v->is_all = false;
	v->is_mixed = true;
}

void pass_clear_locked(struct pass_marker *m, struct garbage *g)
{
	m->until_ms = 0;
	if (m->variants)
		drop(m->variants, g);
	m->variants = NULL;
}
