#include "proxy/invalidate.h"

#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/sf.h"
#include "http/uri.h"
#include "proxy/worker.h"

#define INVALIDATION_MAX (64 * 1024)

/* One thing to purge: a kind byte ('u' or 'p'), the URL, NUL. URLs hold no NUL. */
struct invalidation {
	struct buf list;
	size_t own_n; /* the first entry is the target URL itself: list.p + 1, own_n bytes */
};

static void add_entry(struct buf *list, char kind, struct slice url)
{
	buf_add_char(list, kind);
	buf_add_slice(list, url);
	buf_add_char(list, '\0');
}

static int add_own(struct invalidation *i, const struct target *t, const struct http_request *r, struct slice origin)
{
	struct buf url;
	int err;

	buf_init(&url, INVALIDATION_MAX);
	err = cache_url_build(&url, t->rules, origin, r->path, r->has_query, r->query);
	if (!err)
		add_entry(&i->list, 'u', buf_slice(&url));
	i->own_n = url.n;
	buf_fini(&url);
	return err ? err : i->list.err;
}

static int add_templates(struct invalidation *i, const struct target *t, struct slice origin)
{
	const struct config_invalidates *templates = &t->route->invalidates;
	int err = 0;

	for (unsigned k = 0; k < templates->n && !err; k++) {
		buf_add_char(&i->list, pattern_template_is_prefix(templates->v[k]) ? 'p' : 'u');
		buf_add_slice(&i->list, origin);
		err = pattern_expand(templates->v[k], &t->captures, &i->list);
		buf_add_char(&i->list, '\0');
	}
	return err ? err : i->list.err;
}

int invalidation_new(const struct target *t, const struct http_request *r, struct invalidation **out)
{
	struct invalidation *i;
	struct buf origin;
	int err;

	*out = NULL;
	if (r->form == HTTP_TARGET_ASTERISK)
		return 0;
	i = mem_zalloc(sizeof(*i));
	if (!i)
		return -ENOMEM;
	buf_init(&i->list, INVALIDATION_MAX);
	buf_init(&origin, INVALIDATION_MAX);
	err = target_origin(t->upstream, r, &origin);
	if (!err)
		err = add_own(i, t, r, buf_slice(&origin));
	if (!err)
		err = add_templates(i, t, buf_slice(&origin));
	buf_fini(&origin);
	if (err)
		invalidation_free(&i);
	*out = i;
	return err;
}

void invalidation_free(struct invalidation **ip)
{
	struct invalidation *i = *ip;

	*ip = NULL;
	if (!i)
		return;
	buf_fini(&i->list);
	mem_free(i);
}

/* The purges of one write. */
struct purges {
	struct worker *w;
	uint64_t last; /* its sequence */
	unsigned n;
};

static void purge(struct purges *p, enum scope_kind kind, struct slice url)
{
	static struct log_limit limit;
	int err = cache_purge_soon(p->w->cache, kind, url, 0, false, &p->last);

	p->n++;
	p->w->stats.invalidated_by_writes++;
	if (err && log_allowed(&limit))
		log_warn("invalidation after a write: %s", strerror(-err));
}

struct slice invalidation_url(const struct invalidation *i)
{
	return (struct slice){i->list.p + 1, i->own_n};
}

/* Location and Content-Location count on the same origin only: else one site could empty another's cache. */
static void purge_named(
	const struct invalidation *i, struct purges *p, const struct http_fields *response, enum http_field_id id)
{
	const struct http_field *f = http_fields_get(response, id);
	struct slice own = invalidation_url(i);
	struct buf url;

	if (!f)
		return;
	buf_init(&url, INVALIDATION_MAX);
	if (uri_resolve(own, f->value, &url) == 0 && uri_same_origin(own, buf_slice(&url)))
		purge(p, SCOPE_URL, buf_slice(&url));
	buf_fini(&url);
}

/* RFC 9875 3: a list of Strings, on answers to unsafe requests only, which is what we are called for. Groups of another
 * origin that bear the same name go too: that costs a fetch, no more. */
static void purge_groups(struct purges *p, const struct http_fields *response)
{
	struct sf_parser parser;
	struct sf_item item;
	struct buf joined, group;

	if (!http_fields_get(response, HF_CACHE_GROUP_INVALIDATION))
		return;
	buf_init(&joined, INVALIDATION_MAX);
	buf_init(&group, INVALIDATION_MAX);
	if (http_fields_join(response, HF_CACHE_GROUP_INVALIDATION, &joined) == 0 &&
		sf_list_valid(buf_slice(&joined))) {
		sf_parser_init(&parser, buf_slice(&joined));
		while (sf_list_next(&parser, &item) == 1) {
			buf_reset(&group);
			if (item.type == SF_STRING && sf_string_unescape(&item, &group) == 0)
				purge(p, SCOPE_TAG, buf_slice(&group));
		}
	}
	buf_fini(&group);
	buf_fini(&joined);
}

uint64_t invalidation_apply(
	const struct invalidation *i, struct worker *w, const struct http_fields *response, uint64_t before)
{
	const char *at = i->list.p, *end = i->list.p + i->list.n;
	struct purges p = {w, before, 0};

	while (at < end) {
		struct slice url = slice_of(at + 1);

		purge(&p, *at == 'p' ? SCOPE_PREFIX : SCOPE_URL, url);
		at = url.p + url.n + 1;
	}
	purge_named(i, &p, response, HF_LOCATION);
	purge_named(i, &p, response, HF_CONTENT_LOCATION);
	purge_groups(&p, response);
	return p.last == before + p.n ? p.last : before;
}
