/* SPDX-License-Identifier: MIT */
#include "proxy/init/found.h"

#include <errno.h>
#include <stdlib.h>

#include "http/syntax.h"
#include "proxy/init/shape.h"

enum { PATH_BYTES_MAX = PATTERN_MAX };

int found_init(struct found *f)
{
	memset(f, 0, sizeof(*f));
	f->arena = arena_new();
	return f->arena ? 0 : -ENOMEM;
}

void found_fini(struct found *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		struct pattern *p = (struct pattern *)(uintptr_t)f->v[i].compiled;

		pattern_free(&p);
	}
	arena_free(&f->arena);
}

static struct route *add(struct found *f, struct slice text)
{
	struct slice pattern = arena_copy(f->arena, text);
	struct pattern *compiled;
	const char *why;

	if (!pattern.p || pattern_compile(pattern, &compiled, &why))
		return NULL;
	if (f->n == FOUND_MAX) {
		f->left_out++;
		pattern_free(&compiled);
		return NULL;
	}
	f->v[f->n] = (struct route){.pattern = pattern, .compiled = compiled};
	return &f->v[f->n++];
}

static struct route *find(struct found *f, struct slice pattern)
{
	for (unsigned i = 0; i < f->n; i++)
		if (slice_equal(f->v[i].pattern, pattern))
			return &f->v[i];
	return NULL;
}

/* A document's template has its paths, whatever they look like. */
static struct route *find_template_of(struct found *f, struct slice path)
{
	struct route *best = NULL;

	for (unsigned i = 0; i < f->n; i++)
		if (f->v[i].is_template && pattern_match(f->v[i].compiled, path, false, SLICE_LIT(""), NULL) &&
			(!best || shape_compare(f->v[i].pattern, best->pattern) < 0))
			best = &f->v[i];
	return best;
}

struct route *found_path(struct found *f, struct slice whole)
{
	struct slice path, query;
	struct buf folded;
	struct route *r;

	(void)slice_cut(whole, '?', &path, &query);
	if (path.n == 0 || path.p[0] != '/' || path.n > PATH_BYTES_MAX || !http_all_of(whole, HTTP_CH_TARGET))
		return NULL;
	buf_init(&folded, 2 * PATH_BYTES_MAX);
	r = find_template_of(f, path);
	if (!r && shape_fold(path, &folded) == 0) {
		r = find(f, buf_slice(&folded));
		if (!r)
			r = add(f, buf_slice(&folded));
	}
	buf_fini(&folded);
	if (r && r->example.n == 0)
		r->example = arena_copy(f->arena, whole);
	return r;
}

/* "/users" is "/users/{id}", "/users/7/posts" is "/users/{id}/posts/{item}". */
static struct route *add_item(struct found *f, struct slice list)
{
	struct route *r = NULL;
	struct buf pattern;

	buf_init(&pattern, 2 * PATH_BYTES_MAX);
	if (shape_fold(list, &pattern) == 0 && pattern.n > 0 && pattern.p[pattern.n - 1] != '/')
		buf_add_char(&pattern, '/');
	buf_add_str(&pattern, slice_contains(buf_slice(&pattern), SLICE_LIT("{id}")) ? "{item}" : "{id}");
	if (!pattern.err) {
		r = find(f, buf_slice(&pattern));
		if (!r)
			r = add(f, buf_slice(&pattern));
	}
	buf_fini(&pattern);
	return r;
}

struct route *found_item(struct found *f, struct slice list, struct slice id)
{
	struct route *r = NULL;
	struct buf path;

	if (list.n + id.n >= PATH_BYTES_MAX || !http_all_of(id, HTTP_CH_TARGET) || memchr(id.p, '/', id.n) ||
		memchr(id.p, '?', id.n))
		return NULL;
	buf_init(&path, PATH_BYTES_MAX + 2);
	buf_add_slice(&path, list);
	if (list.p[list.n - 1] != '/')
		buf_add_char(&path, '/');
	if (buf_add_slice(&path, id) == 0) {
		r = find_template_of(f, buf_slice(&path));
		if (!r)
			r = add_item(f, list);
	}
	if (r && r->example.n == 0)
		r->example = arena_copy(f->arena, buf_slice(&path));
	buf_fini(&path);
	return r;
}

struct route *found_template(struct found *f, struct slice text)
{
	struct buf shaped;
	struct route *r = NULL;

	if (text.n == 0 || text.p[0] != '/' || text.n > PATH_BYTES_MAX)
		return NULL;
	buf_init(&shaped, 2 * PATH_BYTES_MAX);
	if (shape_template(text, &shaped) == 0 && shaped.n > 0) {
		r = find(f, buf_slice(&shaped));
		if (!r)
			r = add(f, buf_slice(&shaped));
	}
	buf_fini(&shaped);
	if (r)
		r->is_template = true;
	return r;
}

static bool derive(struct found *f, struct route *r, const struct route *from)
{
	struct slice rest = {r->pattern.p + from->pattern.n, 0}, path, query;
	struct buf example;

	if (from->example.n == 0 || !slice_starts_with(r->pattern, from->pattern) || r->pattern.n == from->pattern.n)
		return false;
	rest.n = r->pattern.n - from->pattern.n;
	if (rest.p[0] != '/' || memchr(rest.p, '{', rest.n) || memchr(rest.p, '*', rest.n))
		return false;
	(void)slice_cut(from->example, '?', &path, &query);
	buf_init(&example, 2 * PATH_BYTES_MAX);
	buf_add_slice(&example, path);
	if (buf_add_slice(&example, rest) == 0)
		r->example = arena_copy(f->arena, buf_slice(&example));
	buf_fini(&example);
	return r->example.n > 0;
}

unsigned found_derive(struct found *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n; i++)
		for (unsigned k = 0; k < f->n && f->v[i].example.n == 0; k++)
			n += derive(f, &f->v[i], &f->v[k]);
	return n;
}

static int by_shape(const void *a, const void *b)
{
	return shape_compare(((const struct route *)a)->pattern, ((const struct route *)b)->pattern);
}

void found_sort(struct found *f)
{
	if (f->n > 0)
		qsort(f->v, f->n, sizeof(f->v[0]), by_shape);
}
