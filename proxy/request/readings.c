/* SPDX-License-Identifier: MIT */
#include "proxy/request/readings.h"

#include "http/uri.h"

void readings_init(struct readings *all)
{
	buf_init(&all->text, READINGS_BYTES_MAX);
	buf_init(&all->next, READINGS_PATH_MAX);
	all->n = 0;
}

void readings_fini(struct readings *all)
{
	buf_fini(&all->text);
	buf_fini(&all->next);
}

static struct slice spelling_at(const struct readings *all, unsigned i)
{
	size_t begin = i > 0 ? all->ends[i - 1] : 0;

	return (struct slice){all->text.p + begin, all->ends[i] - begin};
}

static int add_spelling(struct readings *all, struct slice spelling)
{
	for (unsigned i = 0; i < all->n; i++)
		if (slice_equal(spelling_at(all, i), spelling))
			return 0;
	if (buf_add_slice(&all->text, spelling) != 0)
		return all->text.err;
	all->ends[all->n++] = all->text.n;
	return 0;
}

struct routed {
	const struct config *config;
	const struct http_request *request;
	const struct config_route *route;
};

/* Whether or not the origin decodes escapes of characters that need none. */
static bool is_matched(const struct routed *p, struct slice path, bool has_query, struct slice query)
{
	struct slice host = p->request->host;

	return config_route_for(p->config, host, path, has_query, query) == p->route &&
	       config_route_decoded(p->config, host, path, has_query, query) == p->route;
}

static bool is_of_route(const struct routed *p, struct slice path)
{
	size_t end = uri_path_end(path);
	struct slice head = {path.p, end};

	if (uri_path_is_unreadable(path) || !is_matched(p, path, p->request->has_query, p->request->query))
		return false;
	/* What ends the path may begin the query, or a fragment that swallows it. */
	return end == path.n || (is_matched(p, head, false, (struct slice){"", 0}) &&
					is_matched(p, head, true, (struct slice){path.p + end + 3, path.n - end - 3}));
}

/* All that becomes of one spelling by one reading more. False: they are too many. */
static bool read_on(struct readings *all, unsigned i, int *err)
{
	unsigned readings = uri_path_readings(spelling_at(all, i));
	size_t n = spelling_at(all, i).n;

	for (unsigned one = 1; one < URI_READINGS_END && !*err; one <<= 1) {
		if (!(readings & one))
			continue;
		if (all->n == READINGS_SPELLINGS_MAX || all->text.n + n > READINGS_BYTES_MAX)
			return false;
		buf_reset(&all->next);
		*err = uri_read_path(spelling_at(all, i), (enum uri_reading)one, &all->next);
		if (!*err)
			*err = add_spelling(all, buf_slice(&all->next));
	}
	return true;
}

int readings_look(struct readings *all, const struct config *c, const struct http_request *r,
	const struct config_route *route, bool *is_ambiguous)
{
	const struct routed routed = {c, r, route};
	int err;

	*is_ambiguous = false;
	if (uri_path_is_plain(r->path))
		return 0;
	*is_ambiguous = r->path.n > READINGS_PATH_MAX;
	buf_reset(&all->text);
	all->n = 0;
	err = *is_ambiguous ? 0 : add_spelling(all, r->path);
	for (unsigned i = 0; i < all->n && !err && !*is_ambiguous; i++)
		*is_ambiguous = !is_of_route(&routed, spelling_at(all, i)) || !read_on(all, i, &err);
	return err;
}
