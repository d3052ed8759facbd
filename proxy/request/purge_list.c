/* SPDX-License-Identifier: MIT */
#include "proxy/request/purge_list.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "proxy/request/admin_url.h"

void purge_list_init(struct purge_list *l)
{
	*l = (struct purge_list){.n = 0};
	buf_init(&l->text, PURGE_LIST_TEXT);
}

void purge_list_fini(struct purge_list *l)
{
	buf_fini(&l->text);
	mem_free(l->v);
	purge_list_init(l);
}

static int reserve(struct purge_list *l)
{
	unsigned cap = l->cap ? 2 * l->cap : 4;
	struct purge *v;

	if (l->n < l->cap)
		return 0;
	if (cap > PURGE_LIST_MAX)
		return -ENOBUFS;
	v = mem_realloc(l->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->v = v;
	l->cap = cap;
	return 0;
}

/* The text may move when it grows. */
static int copy_text(struct purge_list *l, struct slice *what)
{
	size_t at = l->text.n;
	const char *was = l->text.p;

	if (what->n == 0)
		return 0;
	if (buf_add_slice(&l->text, *what))
		return l->text.err;
	if (l->text.p != was) {
		size_t off = 0;

		for (unsigned i = 0; i < l->n; off += l->v[i++].what.n)
			l->v[i].what.p = l->text.p + off;
	}
	what->p = l->text.p + at;
	return 0;
}

int purge_list_add(struct purge_list *l, const struct purge *p)
{
	struct purge copy = *p;
	int err = p->what.n > CACHE_KEY_MAX ? -ENOBUFS : reserve(l);

	if (!err)
		err = copy_text(l, &copy.what);
	if (!err)
		l->v[l->n++] = copy;
	return err;
}

/* ---- URLs ---- */

static bool has_from(const struct purge_list *l, unsigned first, struct slice what)
{
	for (unsigned i = first; i < l->n; i++)
		if (slice_equal(l->v[i].what, what))
			return true;
	return false;
}

static int add_as_others_keep_it(
	struct purge_list *l, const struct snapshot *s, const struct admin_url *at, struct purge p, unsigned first)
{
	struct buf url;
	unsigned i = 0;
	int next, err = 0;

	buf_init(&url, CACHE_KEY_MAX);
	while (!err && (next = admin_url_next(at, s, &i, &url)) != 0) {
		p.what = buf_slice(&url);
		err = next < 0 ? next : has_from(l, first, p.what) ? 0 : purge_list_add(l, &p);
	}
	buf_fini(&url);
	return err;
}

/* What was found, and as other routes keep it, once each. */
static int add_found(struct purge_list *l, const struct snapshot *s, const struct admin_url *at, const struct purge *p)
{
	unsigned first = l->n;
	struct purge found = *p;
	int err;

	found.what = buf_slice(&at->url);
	err = purge_list_add(l, &found);
	return err || p->kind == PURGE_PREFIX ? err : add_as_others_keep_it(l, s, at, *p, first);
}

int purge_list_add_asked(struct purge_list *l, const struct snapshot *s, struct slice scheme, struct slice host,
	struct slice path_query, const struct purge *p)
{
	struct admin_url at;
	int err;

	admin_url_init(&at);
	err = admin_url_find_on(&at, s, scheme, host, path_query);
	if (!err)
		err = add_found(l, s, &at, p);
	admin_url_fini(&at);
	return err;
}

int purge_list_add_url(struct purge_list *l, const struct snapshot *s, const struct purge *p)
{
	const char *why = "";
	struct admin_url at;
	int err;

	admin_url_init(&at);
	err = admin_url_find(&at, s, p->what, p->kind == PURGE_PREFIX, &why);
	if (err == -EINVAL)
		snprintf(l->why, sizeof(l->why), "%s", why);
	if (!err)
		err = add_found(l, s, &at, p);
	admin_url_fini(&at);
	return err;
}

/* ---- Users ---- */

static bool has_user_from(const struct purge_list *l, unsigned first, uint64_t user)
{
	for (unsigned i = first; i < l->n; i++)
		if (l->v[i].user == user)
			return true;
	return false;
}

/* Routes may take identities from different places: the name is purged in each of them, once. */
int purge_list_add_user(struct purge_list *l, const struct snapshot *s, const struct purge *p)
{
	const struct config *config = s->config;
	unsigned first = l->n;
	int err = 0;

	for (unsigned i = 0; !err && i < config->routes_n; i++) {
		const struct cache_rules *rules = &config->routes[i].rules;
		struct purge one = {.kind = PURGE_USER, .soft = p->soft, .spread = p->spread};

		if (rules->scope != CACHE_SCOPE_USER)
			continue;
		err = cache_user_hash(rules, s->secret, p->what, &one.user);
		if (!err && !has_user_from(l, first, one.user))
			err = purge_list_add(l, &one);
	}
	return !err && l->n == first ? -ENOENT : err;
}
