/* SPDX-License-Identifier: MIT */
#include "proxy/init/same.h"

enum { DEPTH_MAX = 100, POINTER_MAX = 400 };

struct walk {
	struct buf *out;
	unsigned n, depth;
	char at[POINTER_MAX];
	size_t at_n;
};

/* Once, however many members of a list it is in. */
static void tell(struct walk *w)
{
	const char *place = w->at_n ? w->at : "/";
	size_t n = w->at_n ? w->at_n : 1;

	if (slice_contains(buf_slice(w->out), (struct slice){place, n}))
		return;
	w->n++;
	if (w->n <= SAME_PLACES_MAX)
		buf_addf(w->out, "%s%.*s", w->n > 1 ? ", " : "", (int)n, place);
}

static void walk(struct walk *w, const json_t *a, const json_t *b);

static void walk_member(struct walk *w, const char *name, const json_t *a, const json_t *b)
{
	size_t before = w->at_n, n = strlen(name);

	if (n + 1 < sizeof(w->at) - w->at_n) {
		w->at[w->at_n++] = '/';
		memcpy(w->at + w->at_n, name, n);
		w->at_n += n;
	}
	walk(w, a, b);
	w->at_n = before;
}

static void walk_object(struct walk *w, const json_t *a, const json_t *b)
{
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)(uintptr_t)a, name, member)
		walk_member(w, name, member, json_object_get(b, name));
	json_object_foreach((json_t *)(uintptr_t)b, name, member)
	{
		if (!json_object_get(a, name))
			walk_member(w, name, NULL, member);
	}
}

static void walk(struct walk *w, const json_t *a, const json_t *b)
{
	size_t n = json_array_size(a);

	if (w->depth == DEPTH_MAX)
		return;
	w->depth++;
	if (json_is_object(a) && json_is_object(b))
		walk_object(w, a, b);
	else if (json_is_array(a) && json_is_array(b) && n == json_array_size(b))
		for (size_t i = 0; i < n; i++)
			walk_member(w, "*", json_array_get(a, i), json_array_get(b, i));
	else if (!json_equal(a, b))
		tell(w);
	w->depth--;
}

unsigned same_json(const json_t *a, const json_t *b, struct buf *out)
{
	struct walk w = {.out = out};

	walk(&w, a, b);
	return w.n;
}

/* ---- Fields ---- */

static bool may_differ(const struct http_field *f)
{
	return f->id == HF_DATE || f->id == HF_AGE || f->id == HF_EXPIRES || http_field_is_hop_by_hop(f->id);
}

static bool has_equal(const struct http_fields *all, const struct http_field *f)
{
	uint32_t i = 0;
	const struct http_field *other;

	while ((other = http_fields_find_next(all, f->name, &i)) != NULL)
		if (slice_equal(other->value, f->value))
			return true;
	return false;
}

unsigned same_fields(const struct http_fields *a, const struct http_fields *b, struct buf *out)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < a->n; i++) {
		if (may_differ(&a->v[i]) || has_equal(b, &a->v[i]) || slice_contains(buf_slice(out), a->v[i].name))
			continue;
		if (n++ < SAME_PLACES_MAX)
			buf_addf(out, "%s%.*s", n > 1 ? ", " : "", SLICE_ARG(a->v[i].name));
	}
	return n;
}
