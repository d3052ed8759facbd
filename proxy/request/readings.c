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
	const uint8_t *address; /* of the client; NULL: nothing is refused */
	bool is_unknown;        /* there are readings of which nobody can say the route */
	bool is_other;          /* or that are another route's */
	bool is_denied;
	const struct config_route *limited_by;
};

static void note_route(struct routed *p, const struct config_route *found)
{
	if (found == p->route)
		return;
	p->is_other = true;
	p->is_denied |= p->address && config_route_refuses(found, p->address);
	p->limited_by = config_route_slower(p->limited_by, found);
}

/* Whether or not the origin decodes escapes of characters that need none. */
static void match(struct routed *p, struct slice path, bool has_query, struct slice query)
{
	struct slice host = p->request->host;

	note_route(p, config_route_for(p->config, host, path, has_query, query));
	note_route(p, config_route_decoded(p->config, host, path, has_query, query));
}

static void look_at(struct routed *p, struct slice path)
{
	size_t end = uri_path_end(path);
	struct slice head = {path.p, end};

	p->is_unknown = uri_path_is_unreadable(path);
	if (p->is_unknown)
		return;
	match(p, path, p->request->has_query, p->request->query);
	if (end == path.n)
		return;
	/* What ends the path may begin the query, or a fragment that swallows it. */
	match(p, head, false, (struct slice){"", 0});
	match(p, head, true, slice_from(path, end + 3));
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

/* Once it is another route's, only those that refuse or slow down clients are still looked for. */
static bool is_settled(const struct routed *p)
{
	return p->is_unknown || p->is_denied ||
	       (p->is_other && !(p->address && (p->config->is_restricted || p->config->slowest)));
}

int readings_look(struct readings *all, const struct config *c, const struct asked *asked,
	const struct config_route *route, struct readings_verdict *out)
{
	struct routed p = {.config = c,
		.request = asked->http,
		.route = route,
		.address = asked->address,
		.limited_by = config_route_slower(route, NULL)};
	struct slice path = p.request->path;
	int err = 0;

	p.is_denied = c->is_restricted && p.address && config_route_refuses(route, p.address);
	*out = (struct readings_verdict){.is_denied = p.is_denied, .limited_by = p.is_denied ? NULL : p.limited_by};
	if (uri_path_is_plain(path))
		return 0;
	p.is_unknown = path.n > READINGS_PATH_MAX;
	buf_reset(&all->text);
	all->n = 0;
	if (!p.is_unknown)
		err = add_spelling(all, path);
	for (unsigned i = 0; i < all->n && !err && !is_settled(&p); i++) {
		look_at(&p, spelling_at(all, i));
		p.is_unknown |= !p.is_unknown && !read_on(all, i, &err);
	}
	out->is_ambiguous = p.is_unknown || p.is_other;
	out->is_denied = p.is_denied || (p.is_unknown && p.address && config_refuses(c, p.address));
	out->limited_by = out->is_denied ? NULL
			  : p.is_unknown ? config_route_slower(p.limited_by, c->slowest)
					 : p.limited_by;
	return err;
}
